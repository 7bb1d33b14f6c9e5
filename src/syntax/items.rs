//! The items of `WARM`: objects of JSON as prompts and words, and options for all of them with options of their own.
//!
//! An object is turned into the words that SET would be given, and SET's own reader reads those. So it means the same,
//! and its errors are the same.

use super::args::{Args, Token};
use super::error::{shown, SyntaxError};
use super::set::{Set, SetOptions};
use super::warm::MAX_STORED;
use super::Bounds;
use crate::core::identity::EntryId;
use crate::core::json::{self, ArrayError, Json};
use crate::core::plans::{Planned, Profile, MAX_ITEMS};
use std::collections::HashSet;

/// How an option's value stands in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Flag,
    Text,
    Json,
    Number,
    Dollars,
    Pair,
    Texts,
    Numbers,
}

/// The options that items may have: their keys are these names in lower case.
const OPTIONS: &[(&str, Form)] = &[
    ("MODEL", Form::Text),
    ("SYSTEM", Form::Text),
    ("PARAMS", Form::Json),
    ("SCOPE", Form::Text),
    ("VALUES", Form::Numbers),
    ("NX", Form::Flag),
    ("XX", Form::Flag),
    ("STRATEGY", Form::Text),
    ("EX", Form::Number),
    ("PX", Form::Number),
    ("EXAT", Form::Number),
    ("PXAT", Form::Number),
    ("KEEPTTL", Form::Flag),
    ("PERSIST", Form::Flag),
    ("STALE", Form::Number),
    ("TYPE", Form::Text),
    ("TAGS", Form::Texts),
    ("TOKENS", Form::Pair),
    ("COST", Form::Dollars),
    ("LATENCY", Form::Number),
    ("META", Form::Json),
];

/// The names of all options that a call may give.
pub(super) const NAMES: &[&str] = &[
    "MODEL", "SYSTEM", "PARAMS", "SCOPE", "FP32", "VALUES", "REQUEST", "NX", "XX", "STRATEGY", "EX", "PX", "EXAT",
    "PXAT", "KEEPTTL", "PERSIST", "STALE", "TYPE", "TAGS", "TOKENS", "COST", "LATENCY", "META",
];

/// How many words the option takes that stands in front, its name among them. None where it is no option.
pub(super) fn option_length<W: AsRef<[u8]>>(words: &[W]) -> Option<usize> {
    let token = Token::of(words.first()?.as_ref());
    let counted = || {
        let count = words.get(1).and_then(|word| super::args::integer(word.as_ref()));
        // Where the count is none, the reader says so.
        2usize.saturating_add(count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0))
    };
    Some(match token.name() {
        "FP32" => 2,
        "REQUEST" => 1,
        name => match OPTIONS.iter().find(|(option, _)| *option == name)?.1 {
            Form::Flag => 1,
            Form::Pair => 3,
            Form::Texts | Form::Numbers => counted(),
            Form::Text | Form::Json | Form::Number | Form::Dollars => 2,
        },
    })
}

/// What an option stands in the place of: itself, and those that exclude it.
fn place_of(name: &str) -> &str {
    match name {
        "STRATEGY" | "EX" | "PX" | "EXAT" | "PXAT" | "KEEPTTL" | "PERSIST" => "STRATEGY",
        "NX" | "XX" => "NX",
        "FP32" | "VALUES" => "VALUES",
        name => name,
    }
}

/// The options one by one.
fn each<W: AsRef<[u8]>>(mut words: &[W]) -> impl Iterator<Item = (Token, &[W])> {
    std::iter::from_fn(move || {
        let name = Token::of(words.first()?.as_ref());
        let (option, rest) = words.split_at(option_length(words).unwrap_or(1).min(words.len()));
        words = rest;
        Some((name, option))
    })
}

/// The options of a call as they were given: they hold for each item that says nothing else.
#[derive(Clone, Debug)]
pub struct Given<'a>(Vec<&'a [u8]>);

impl<'a> Given<'a> {
    /// These words.
    pub fn of(words: Vec<&'a [u8]>) -> Self {
        Self(words)
    }

    /// Whether this one is among them.
    pub fn has(&self, name: &str) -> bool {
        each(&self.0).any(|(token, _)| token.name() == name)
    }

    /// A copy of the words.
    pub fn to_owned(&self) -> Box<[Box<[u8]>]> {
        self.0.iter().map(|word| Box::from(*word)).collect()
    }
}

/// An item's own options, and those for all that its own say nothing of.
pub fn merged<'a, A: AsRef<[u8]>, B: AsRef<[u8]>>(all: &'a [A], own: &'a [B]) -> Vec<&'a [u8]> {
    let mut words: Vec<&[u8]> = own.iter().map(AsRef::as_ref).collect();
    for (token, option) in each(all) {
        if !each(own).any(|(other, _)| place_of(other.name()) == place_of(token.name())) {
            words.extend(option.iter().map(AsRef::as_ref));
        }
    }
    words
}

/// An item that is to be stored.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// Its place in the array.
    pub position: u64,
    /// The prompt, or the body of a request.
    pub prompt: Vec<u8>,
    /// The answer; none in a plan.
    pub response: Option<Vec<u8>>,
    /// Its own options.
    pub options: Vec<Vec<u8>>,
}

/// What was not stored, and why: all of it counted, the first thousand shown.
#[derive(Debug, Default)]
pub struct Rejections {
    /// How many there are.
    pub count: u64,
    shown: Vec<(u64, String)>,
}

/// How many rejections are shown.
pub const SHOWN: usize = 1000;

impl Rejections {
    /// One more, at this place.
    pub fn add(&mut self, position: u64, why: String) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push((position, why));
        }
    }

    /// These and those as one, in the order of the items.
    pub fn joined(some: &Self, more: &Self) -> Self {
        let mut shown = [some.shown.as_slice(), &more.shown].concat();
        shown.sort_by_key(|(position, _)| *position);
        shown.truncate(SHOWN);
        Self { count: some.count + more.count, shown }
    }

    /// Those that are shown.
    pub fn shown(&self) -> &[(u64, String)] {
        &self.shown
    }
}

/// The items of an array of JSON, and those that are none. An error if it is no array of JSON at all.
pub fn read(array: &[u8]) -> Result<(Vec<Item>, Rejections), SyntaxError> {
    let (mut items, mut rejections) = (Vec::new(), Rejections::default());
    elements(array, MAX_STORED, |position, element| {
        match item(position, element, true) {
            Ok(item) => items.push(item),
            Err(why) => rejections.add(position, why.to_string()),
        }
        Ok(())
    })?;
    Ok((items, rejections))
}

fn elements(
    array: &[u8],
    most: usize,
    mut take: impl FnMut(u64, Json) -> Result<(), SyntaxError>,
) -> Result<(), SyntaxError> {
    let (mut position, mut refused) = (0, None);
    let read = json::each_element(array, |element| {
        if position == most as u64 {
            refused = Some(SyntaxError::Unfit("JSON", format!("may hold at most {most} items")));
        } else if let Err(why) = take(position, element) {
            refused = Some(why);
        }
        position += 1;
        refused.is_none()
    });
    match (refused, read) {
        (Some(why), _) => Err(why),
        (None, Ok(())) => Ok(()),
        (None, Err(ArrayError::NotJson(e))) => {
            Err(SyntaxError::Unfit("JSON", format!("must be an array of JSON: {e}")))
        }
        (None, Err(ArrayError::NotAnArray)) => Err(SyntaxError::Unfit("JSON", "must be an array of JSON".into())),
    }
}

/// An object as an item.
fn item(position: u64, element: Json, answered: bool) -> Result<Item, SyntaxError> {
    let Json::Object(mut fields) = element else {
        return Err(SyntaxError::Unfit("the item", format!("must be an object, got {}", element.type_name())));
    };
    let text = |name, value| match value {
        Json::String(text) => Ok(text.into_bytes()),
        other => Err(wrong_type(name, "a string", &other)),
    };
    let (prompt, request) = (fields.remove("prompt"), fields.remove("request"));
    let response = answered.then(|| fields.remove("response")).flatten();
    let mut options = Vec::new();
    let prompt = match (prompt, request) {
        (Some(_), Some(_)) => return Err(SyntaxError::Contradiction("prompt", "request")),
        (None, None) => return Err(SyntaxError::Refused("the item needs a prompt or a request".into())),
        (Some(prompt), None) => text("prompt", prompt)?,
        (None, Some(request)) => {
            options.push(b"REQUEST".to_vec());
            json_text("request", request)?
        }
    };
    let response = match response {
        Some(response) => Some(text("response", response)?),
        None if answered => return Err(SyntaxError::Refused("the item needs a response".into())),
        None => None,
    };
    for (key, value) in fields.iter() {
        let option = OPTIONS.iter().find(|(name, _)| name.to_ascii_lowercase() == key);
        let Some((name, form)) = option.filter(|(name, _)| answered || !matches!(*name, "NX" | "XX")) else {
            return Err(SyntaxError::Refused(format!("unknown key {}", shown(key.as_bytes()))));
        };
        write_option(name, *form, value, &mut options)?;
    }
    Ok(Item { position, prompt, response, options })
}

fn wrong_type(name: &'static str, must: &str, got: &Json) -> SyntaxError {
    SyntaxError::Unfit(name, format!("must be {must}, got {}", got.type_name()))
}

/// An object, or a string of JSON.
fn json_text(name: &'static str, value: Json) -> Result<Vec<u8>, SyntaxError> {
    match value {
        Json::String(text) => Ok(text.into_bytes()),
        Json::Object(_) => Ok(value.to_string().into_bytes()),
        other => Err(wrong_type(name, "an object or a string of JSON", &other)),
    }
}

/// Appends an option as SET takes it.
fn write_option(name: &'static str, form: Form, value: &Json, words: &mut Vec<Vec<u8>>) -> Result<(), SyntaxError> {
    let wrong = |must| Err(wrong_type(name, must, value));
    let mut option = vec![name.as_bytes().to_vec()];
    match (form, value) {
        (Form::Flag, Json::Bool(true)) => {}
        (Form::Flag, Json::Bool(false)) => return Ok(()),
        (Form::Flag, _) => return wrong("true or false"),
        (Form::Text, Json::String(text)) | (Form::Dollars, Json::String(text)) => {
            option.push(text.clone().into_bytes())
        }
        (Form::Text, _) => return wrong("a string"),
        (Form::Json, Json::String(_) | Json::Object(_)) => option.push(json_text(name, value.clone())?),
        (Form::Json, _) => return wrong("an object or a string of JSON"),
        (Form::Number | Form::Dollars, Json::Number(number)) => option.push(number.as_str().as_bytes().to_vec()),
        (Form::Number, _) => return wrong("a number"),
        (Form::Dollars, _) => return wrong("a number or a string"),
        (Form::Pair, Json::Array(pair)) if pair.len() == 2 => numbers(name, pair, &mut option)?,
        (Form::Pair, _) => return wrong("an array of two numbers"),
        (Form::Numbers, Json::Array(all)) => {
            option.push(all.len().to_string().into_bytes());
            numbers(name, all, &mut option)?;
        }
        (Form::Numbers, _) => return wrong("an array of numbers"),
        (Form::Texts, Json::Array(all)) => {
            option.push(all.len().to_string().into_bytes());
            for text in all {
                match text {
                    Json::String(text) => option.push(text.clone().into_bytes()),
                    other => return Err(wrong_type(name, "an array of strings", other)),
                }
            }
        }
        (Form::Texts, _) => return wrong("an array of strings"),
    }
    words.append(&mut option);
    Ok(())
}

fn numbers(name: &'static str, all: &[Json], words: &mut Vec<Vec<u8>>) -> Result<(), SyntaxError> {
    for number in all {
        let Some(number) = number.as_number() else { return Err(wrong_type(name, "an array of numbers", number)) };
        words.push(number.as_str().as_bytes().to_vec());
    }
    Ok(())
}

/// Reads the words of one item as SET would.
pub fn set<'a>(
    prompt: &'a [u8],
    response: &'a [u8],
    words: &'a [&'a [u8]],
    bounds: &Bounds,
) -> Result<Set<'a>, SyntaxError> {
    Set::of(prompt, response, SetOptions::parse(&mut Args::new(words), bounds)?, bounds)
}

/// The profile that a plan's array makes. One item that cannot be is an error for all of them; a question that comes again
/// is left out.
pub fn plan(
    all: &[impl AsRef<[u8]>],
    array: &[u8],
    (every_ms, limit): (u64, u32),
    bounds: &Bounds,
) -> Result<Profile, SyntaxError> {
    let mut planned: Vec<Planned> = Vec::new();
    let mut seen: HashSet<EntryId> = HashSet::new();
    elements(array, MAX_ITEMS, |position, element| {
        let named = |why: SyntaxError| {
            let why = why.to_string();
            SyntaxError::Refused(format!("item {position}: {}", why.strip_prefix("ERR ").unwrap_or(&why)))
        };
        let Item { prompt, options, .. } = item(position, element, false).map_err(named)?;
        let words = merged(all, &options);
        let digest = SetOptions::parse(&mut Args::new(&words), bounds)
            .and_then(|options| options.asked(&prompt, bounds))
            .map_err(named)?
            .identity()
            .digest();
        if seen.insert(digest.id()) {
            let options = options.into_iter().map(Vec::into_boxed_slice).collect();
            planned.push(Planned { digest, prompt: prompt.into(), options });
        }
        Ok(())
    })?;
    let all = all.iter().map(|word| Box::from(word.as_ref())).collect();
    Ok(Profile::new(every_ms, limit, all, planned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::UnixMs;

    const BOUNDS: Bounds = Bounds { now: UnixMs(1_700_000_000_000), max_prompt_bytes: 100, max_response_bytes: 100 };

    fn words(item: &Item) -> String {
        item.options.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn objects_become_the_words_of_set() {
        let array = r#"[
            {"prompt": "p", "response": "r"},
            {"prompt": "p", "response": "r", "model": "m", "system": "s", "params": {"b": 1, "a": 2.50}, "scope": "x",
             "ex": 3600, "tags": ["a", "b"], "tokens": [1, 2], "cost": "0.01", "latency": 7, "type": "t",
             "meta": {"k": [null]}, "values": [1, -0.5], "stale": 1e1},
            {"request": {"model": "m", "messages": []}, "response": "r", "cost": 0.5, "persist": true, "nx": false},
            {"request": "{}", "response": "r", "strategy": "auto", "params": "{}"}
        ]"#;
        let (items, rejections) = read(array.as_bytes()).unwrap();
        assert_eq!(rejections.count, 0);
        assert_eq!(items.iter().map(words).collect::<Vec<_>>(), [
            "",
            "COST 0.01 EX 3600 LATENCY 7 META {\"k\":[null]} MODEL m PARAMS {\"a\":2.5,\"b\":1} SCOPE x STALE 10 SYSTEM s \
             TAGS 2 a b TOKENS 1 2 TYPE t VALUES 2 1 -0.5",
            "REQUEST COST 0.5 PERSIST",
            "REQUEST PARAMS {} STRATEGY auto",
        ]);
        assert_eq!(items[2].prompt, br#"{"messages":[],"model":"m"}"#);
        let given: Vec<&[u8]> = items[1].options.iter().map(Vec::as_slice).collect();
        set(b"p", b"r", &given, &BOUNDS).unwrap();
    }

    #[test]
    fn an_item_that_is_none_says_why() {
        for (element, why) in [
            ("7", "ERR the item must be an object, got a number"),
            ("{}", "ERR the item needs a prompt or a request"),
            (r#"{"prompt":"p"}"#, "ERR the item needs a response"),
            (
                r#"{"prompt":"p","request":{},"response":"r"}"#,
                "ERR prompt and request exclude each other, give one of them",
            ),
            (r#"{"prompt":7,"response":"r"}"#, "ERR prompt must be a string, got a number"),
            (r#"{"prompt":"p","response":null}"#, "ERR response must be a string, got null"),
            (r#"{"request":[],"response":"r"}"#, "ERR request must be an object or a string of JSON, got an array"),
            (r#"{"prompt":"p","response":"r","EX":1}"#, "ERR unknown key 'EX'"),
            (r#"{"prompt":"p","response":"r","token":"t"}"#, "ERR unknown key 'token'"),
            (r#"{"prompt":"p","response":"r","fp32":""}"#, "ERR unknown key 'fp32'"),
            (r#"{"prompt":"p","response":"r","two words":1}"#, "ERR unknown key 9 bytes"),
            (r#"{"prompt":"p","response":"r","ex":"1"}"#, "ERR EX must be a number, got a string"),
            (r#"{"prompt":"p","response":"r","persist":1}"#, "ERR PERSIST must be true or false, got a number"),
            (r#"{"prompt":"p","response":"r","model":null}"#, "ERR MODEL must be a string, got null"),
            (r#"{"prompt":"p","response":"r","tags":"a"}"#, "ERR TAGS must be an array of strings, got a string"),
            (r#"{"prompt":"p","response":"r","tags":[1]}"#, "ERR TAGS must be an array of strings, got a number"),
            (
                r#"{"prompt":"p","response":"r","tokens":[1]}"#,
                "ERR TOKENS must be an array of two numbers, got an array",
            ),
            (r#"{"prompt":"p","response":"r","values":["1"]}"#, "ERR VALUES must be an array of numbers, got a string"),
            (
                r#"{"prompt":"p","response":"r","params":[]}"#,
                "ERR PARAMS must be an object or a string of JSON, got an array",
            ),
            (r#"{"prompt":"p","response":"r","cost":true}"#, "ERR COST must be a number or a string, got a boolean"),
        ] {
            let (items, rejections) = read(format!("[{element}]").as_bytes()).unwrap();
            assert_eq!((items.len(), rejections.shown()), (0, &[(0, why.to_owned())][..]));
        }
        for array in ["", "{}", "[", "[1,]", "7", "[] []", "\"[]\""] {
            let error = read(array.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("ERR JSON must be an array of JSON"), "{array}: {error}");
        }
    }

    #[test]
    fn an_items_own_options_come_first() {
        let merge = |all: &str, own: &str| {
            let split = |line: &str| line.split_whitespace().map(str::as_bytes).map(<[u8]>::to_vec).collect::<Vec<_>>();
            let (all, own) = (split(all), split(own));
            let words = merged(&all, &own);
            words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(merge("MODEL m EX 5", "PERSIST"), "PERSIST MODEL m");
        assert_eq!(merge("nx tags 2 ex px TYPE t", "TYPE u XX"), "TYPE u XX tags 2 ex px");
        assert_eq!(merge("VALUES 2 1 2 COST 1", "FP32 x"), "FP32 x COST 1");
        assert_eq!(merge("TOKENS 1 2", ""), "TOKENS 1 2");
        assert_eq!(merge("", "EX 1"), "EX 1");
    }

    #[test]
    fn rejections_are_bounded_and_counted() {
        let (mut some, mut more) = (Rejections::default(), Rejections::default());
        (1000..3000).for_each(|position| some.add(position, String::new()));
        (0..500).for_each(|position| more.add(position, String::new()));
        let some = Rejections::joined(&some, &more);
        assert_eq!((some.count, some.shown().len()), (2500, SHOWN));
        assert_eq!((some.shown()[0].0, some.shown()[499].0, some.shown()[500].0), (0, 499, 1000));
    }

    #[test]
    fn a_plan_is_read_as_a_whole() {
        let all: &[&[u8]] = &[b"MODEL", b"m"];
        let read = |array: &str| plan(all, array.as_bytes(), (1000, 3), &BOUNDS).map_err(|e| e.to_string());
        let profile = read(r#"[{"prompt":"a"},{"prompt":"b","model":"n"},{"prompt":"a","ex":5}]"#).unwrap();
        assert_eq!(profile.items().len(), 2, "the same question comes once");
        assert_eq!(merged(profile.common(), &profile.items()[1].options), [b"MODEL", b"n" as &[u8]]);
        for (array, why) in [
            (r#"[{"prompt":"a"},{"prompt":""}]"#, "ERR item 1: prompt may not be empty"),
            (r#"[{"prompt":"a","response":"r"}]"#, "ERR item 0: unknown key 'response'"),
            (r#"[{"prompt":"a","nx":true}]"#, "ERR item 0: unknown key 'nx'"),
            (r#"[{"request":{}}]"#, "ERR item 0: REQUEST and MODEL exclude each other, give one of them"),
            (
                r#"[{"prompt":"a","ex":0}]"#,
                "ERR item 0: EX must be a whole number of seconds, 1 or more, and not beyond the year 9999, got '0'",
            ),
            ("{}", "ERR JSON must be an array of JSON"),
        ] {
            assert_eq!(read(array).map(|_| ()), Err(why.to_owned()), "{array}");
        }
    }
}
