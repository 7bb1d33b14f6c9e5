//! Two machines against the identity of requests: every small conversation there is, and random bodies that are spelled
//! in another way (must stay the same) or changed in one place (must not).

use llmcache::core::identity::{Context, Digest, Identity, Shape};
use llmcache::core::request;
use std::collections::HashMap;

fn digest(body: &str) -> Option<Digest> {
    let request = request::parse(body.as_bytes()).ok()?;
    let context = Context {
        shape: request.shape,
        scope: b"",
        model: request.model.as_bytes(),
        system: request.system.as_bytes(),
        params: request.params.as_bytes(),
    };
    Some(Identity { context, prompt: request.prompt.as_bytes() }.digest())
}

/// Every sequence of up to three turns over every list of up to two parts over a few texts that are easily confused.
/// Two sequences are the same only if they are equal, so no digest may come twice.
#[test]
fn no_two_small_conversations_are_the_same() {
    const TEXTS: [&str; 4] = ["", "a", "\\n", "a\\n"];
    for (shape, kind, list, roles) in [
        (Shape::OpenAiChat, "text", "messages", &["system", "user", "assistant"][..]),
        (Shape::Anthropic, "text", "messages", &["user", "assistant"]),
        (Shape::OpenAiResponses, "input_text", "input", &["system", "user"]),
    ] {
        let part = |text: &str| format!(r#"{{"type":"{kind}","text":"{text}"}}"#);
        let marked = |text: &str| format!(r#"{{"type":"{kind}","text":"{text}","cache_control":1}}"#);
        let picture = r#"{"type":"picture","text":"a"}"#.to_owned();
        let single: Vec<String> = TEXTS.iter().flat_map(|text| [part(text), marked(text)]).chain([picture]).collect();
        let pairs = single.iter().flat_map(|a| single.iter().map(move |b| format!("{a},{b}")));
        let contents: Vec<String> = [String::new()].into_iter().chain(single.iter().cloned()).chain(pairs).collect();
        let turn = |role: &str, content: &str| format!(r#"{{"role":"{role}","content":[{content}]}}"#);
        let turns = |contents: &[String]| -> Vec<String> {
            contents.iter().flat_map(|content| roles.iter().map(move |role| turn(role, content))).collect()
        };

        let (all, few) = (turns(&contents), turns(&[part(""), part("a"), part("a\\n"), part("\\n")]));
        let mut conversations: Vec<String> = [String::new()].into_iter().chain(all.iter().cloned()).collect();
        for a in &all {
            conversations.extend(few.iter().flat_map(|b| [format!("{a},{b}"), format!("{b},{a}")]));
        }
        for a in &few {
            conversations.extend(few.iter().flat_map(|b| few.iter().map(move |c| format!("{a},{b},{c}"))));
        }
        // An empty system prompt equals none: with one in front, there is another conversation that is the same.
        let nothing = turn("system", &part(""));
        let says_nothing = |rest: &str| !rest.starts_with(r#",{"role":"system""#);
        conversations.retain(|turns| !turns.strip_prefix(&nothing).is_some_and(says_nothing));
        conversations.sort();
        conversations.dedup();

        let mut seen = HashMap::new();
        let systems: Vec<String> = match shape {
            Shape::Anthropic => {
                let told = contents.iter().filter(|content| **content != part(""));
                told.map(|system| format!(r#""system":[{system}],"#)).collect()
            }
            // The marks of chat are in its roles; without one the model decides, so it stays out.
            _ => vec![String::new()],
        };
        for system in &systems {
            // All of them with each system prompt would take a minute.
            let step = if systems.len() > 1 { 40 } else { 1 };
            for conversation in conversations.iter().step_by(step) {
                let body = format!(r#"{{{system}"{list}":[{conversation}]}}"#);
                let digest = digest(&body).unwrap_or_else(|| panic!("{body}"));
                assert_eq!(request::parse(body.as_bytes()).unwrap().shape, shape);
                if let Some(other) = seen.insert(digest, body.clone()) {
                    panic!("one identity for\n{other}\n{body}");
                }
            }
        }
        assert!(seen.len() > 2_000, "{}", seen.len());
    }
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.roll() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// JSON that can be written in many ways. A number is digits × 10^exponent.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Null,
    Bool(bool),
    Number(i64, i32),
    Text(String),
    List(Vec<Tree>),
    Fields(Vec<(String, Tree)>),
}

fn text(text: &str) -> Tree {
    Tree::Text(text.to_owned())
}

fn fields<const N: usize>(fields: [(&str, Tree); N]) -> Tree {
    Tree::Fields(fields.map(|(key, value)| (key.to_owned(), value)).into())
}

impl Tree {
    fn plain(&self) -> String {
        self.write(&mut None)
    }

    /// With dice: in any of the ways that mean the same.
    fn write(&self, dice: &mut Option<&mut Dice>) -> String {
        let mut roll = |n: usize| dice.as_mut().map_or(0, |dice| dice.below(n));
        let space = ["", "", " ", "\n\t"][roll(4)];
        let written = match self {
            Tree::Null => "null".to_owned(),
            Tree::Bool(value) => value.to_string(),
            Tree::Number(0, _) => ["0", "-0", "0.00", "0e7"][roll(4)].to_owned(),
            Tree::Number(digits, exponent) => match roll(4) {
                0 => format!("{digits}e{exponent}"),
                1 => format!("{digits}.000E{exponent:+}"),
                2 => format!("{digits}000e{}", exponent - 3),
                _ => {
                    let sign = if *digits < 0 { "-" } else { "" };
                    format!("{sign}0.00{}e{}", digits.abs(), exponent + 2 + digits.abs().to_string().len() as i32)
                }
            },
            Tree::Text(text) => write_text(text, dice),
            Tree::List(list) => {
                let list: Vec<_> = list.iter().map(|element| element.write(dice)).collect();
                format!("[{space}{}]", list.join(","))
            }
            Tree::Fields(fields) => {
                let mut order: Vec<_> = (0..fields.len()).collect();
                for i in (1..order.len()).rev() {
                    let j = dice.as_mut().map_or(i, |dice| dice.below(i + 1));
                    order.swap(i, j);
                }
                let field = |i: usize| {
                    let (key, value) = &fields[i];
                    format!("{}{space}:{}", write_text(key, dice), value.write(dice))
                };
                format!("{{{space}{}}}", order.into_iter().map(field).collect::<Vec<_>>().join(","))
            }
        };
        format!("{space}{written}{space}")
    }
}

fn write_text(text: &str, dice: &mut Option<&mut Dice>) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        if c < ' ' || c == '"' || c == '\\' || dice.as_mut().is_some_and(|dice| dice.one_in(8)) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out += &format!("\\u{unit:04x}"));
        } else {
            out.push(c);
        }
    }
    out + "\""
}

const SHAPES: [Shape; 3] = [Shape::OpenAiChat, Shape::OpenAiResponses, Shape::Anthropic];

fn plain_kind(shape: Shape, role: &str) -> &'static str {
    match (shape, role) {
        (Shape::OpenAiResponses, "assistant") => "output_text",
        (Shape::OpenAiResponses, _) => "input_text",
        _ => "text",
    }
}

fn some_text(dice: &mut Dice) -> Tree {
    let pieces = ["", "a", "b", "\n", "é", "😀", "\"", "\\", "\u{0}", "null", "[]", "$serde_json::private::Number"];
    Tree::Text((0..dice.below(4)).map(|_| dice.pick(&pieces)).collect())
}

fn some_value(dice: &mut Dice, depth: usize) -> Tree {
    match dice.below(if depth == 0 { 4 } else { 6 }) {
        0 => Tree::Null,
        1 => Tree::Bool(dice.one_in(2)),
        2 => Tree::Number(dice.below(2000) as i64 - 1000, dice.below(60) as i32 - 30),
        3 => some_text(dice),
        4 => Tree::List((0..dice.below(3)).map(|_| some_value(dice, depth - 1)).collect()),
        _ => {
            let keys = ["a", "b", "role", "é", "", "content", "$serde_json::private::Number"];
            let mut fields: Vec<(String, Tree)> = Vec::new();
            for _ in 0..dice.below(3) {
                let key = dice.pick(&keys);
                if fields.iter().all(|(other, _)| other != key) {
                    fields.push((key.to_owned(), some_value(dice, depth - 1)));
                }
            }
            Tree::Fields(fields)
        }
    }
}

fn some_content(dice: &mut Dice, shape: Shape, role: &str) -> Tree {
    // A list of one plain text is left to `respell`: it means the same as the text.
    let part = |dice: &mut Dice| {
        let kind = plain_kind(shape, role);
        match dice.below(4) {
            0 => fields([("type", text("picture")), ("data", some_value(dice, 1))]),
            1 => fields([("type", text(kind)), ("text", some_text(dice)), ("cache_control", some_value(dice, 1))]),
            _ => fields([("type", text(kind)), ("text", some_text(dice))]),
        }
    };
    match dice.below(3) {
        0 => Tree::List((0..2 + dice.below(2)).map(|_| part(dice)).collect()),
        _ if role == "system" => some_system(dice),
        _ => some_text(dice),
    }
}

/// A system prompt that says something: an empty one equals none.
fn some_system(dice: &mut Dice) -> Tree {
    match some_text(dice) {
        Tree::Text(text) => Tree::Text(text + "."),
        other => other,
    }
}

fn some_body(dice: &mut Dice, shape: Shape) -> Tree {
    let roles: &[&str] = match shape {
        Shape::Anthropic => &["user", "assistant"],
        _ => &["system", "user", "user", "assistant"],
    };
    let turns = (0..dice.below(5)).map(|_| {
        if shape == Shape::OpenAiResponses && dice.one_in(5) {
            return fields([("type", text("function_call_output")), ("output", some_text(dice))]);
        }
        let role = dice.pick(roles);
        let content = some_content(dice, shape, role);
        match dice.below(6) {
            0 => fields([("role", text(role)), ("content", content), ("extra", some_value(dice, 2))]),
            _ => fields([("role", text(role)), ("content", content)]),
        }
    });
    let turns = Tree::List(turns.collect());
    let temperature = Tree::Number(dice.below(20) as i64, -1);
    match shape {
        Shape::OpenAiResponses => fields([
            ("model", text("m")),
            ("instructions", some_system(dice)),
            ("input", turns),
            ("include", temperature),
        ]),
        Shape::Anthropic => fields([
            ("model", text("m")),
            ("system", some_content(dice, shape, "system")),
            ("messages", turns),
            ("top_k", temperature),
        ]),
        _ => fields([("model", text("m")), ("messages", turns), ("seed", temperature), ("more", some_value(dice, 3))]),
    }
}

/// Changes what the contract calls the same.
fn respell(dice: &mut Dice, shape: Shape, body: &mut Tree) {
    let Tree::Fields(top) = body else { return };
    for (key, value) in &mut *top {
        if let ("messages" | "input", Tree::List(turns)) = (key.as_str(), &mut *value) {
            for turn in turns {
                let Tree::Fields(turn) = turn else { continue };
                let role = turn.iter().find_map(|(key, value)| match value {
                    Tree::Text(role) if key == "role" => Some(role.clone()),
                    _ => None,
                });
                let Some(role) = role else { continue };
                for (key, value) in &mut *turn {
                    match (key.as_str(), &*value) {
                        ("role", Tree::Text(role)) if role == "system" && dice.one_in(2) => *value = text("developer"),
                        ("content", Tree::Text(_)) if dice.one_in(2) => {
                            *value = Tree::List(vec![fields([
                                ("text", value.clone()),
                                ("type", text(plain_kind(shape, &role))),
                            ])]);
                        }
                        _ => {}
                    }
                }
                if shape == Shape::OpenAiResponses && dice.one_in(2) {
                    turn.push(("type".to_owned(), text("message")));
                }
            }
        }
    }
    for left_out in ["stream", "stream_options", "user", "metadata", "store", "service_tier", "prompt_cache_key"] {
        if dice.one_in(3) {
            top.push((left_out.to_owned(), some_value(dice, 2)));
        }
    }
}

fn count(tree: &Tree) -> usize {
    1 + match tree {
        Tree::List(list) => list.iter().map(count).sum(),
        Tree::Fields(fields) => fields.iter().map(|(_, value)| count(value)).sum(),
        _ => 0,
    }
}

/// Changes the `at`-th value into another one, or what is directly in it.
fn mutate(dice: &mut Dice, tree: &mut Tree, at: &mut usize) {
    if *at == 0 {
        *at = usize::MAX;
        *tree = match std::mem::replace(tree, Tree::Null) {
            Tree::Null => Tree::Bool(false),
            Tree::Bool(value) => Tree::Bool(!value),
            Tree::Number(digits, exponent) => Tree::Number(digits + 1, exponent),
            Tree::Text(text) => match dice.below(3) {
                0 => Tree::Text(text + "x"),
                1 => Tree::Text(format!("\n{text}")),
                _ => Tree::List(vec![Tree::Text(text)]),
            },
            Tree::List(mut list) => {
                let (i, j) = (dice.below(list.len().max(1)), dice.below(list.len().max(1)));
                match dice.below(3) {
                    0 if !list.is_empty() => drop(list.remove(i)),
                    1 if list.get(i) != list.get(j) => list.swap(i, j),
                    _ => list.push(Tree::Null),
                }
                Tree::List(list)
            }
            Tree::Fields(mut fields) => {
                if !fields.is_empty() && dice.one_in(2) {
                    fields.remove(dice.below(fields.len()));
                } else {
                    fields.push(("new".to_owned(), some_value(dice, 1)));
                }
                Tree::Fields(fields)
            }
        };
        return;
    }
    *at -= 1;
    let mut inside = |tree: &mut Tree| {
        if *at != usize::MAX {
            mutate(dice, tree, at);
        }
    };
    match tree {
        Tree::List(list) => list.iter_mut().for_each(&mut inside),
        Tree::Fields(fields) => fields.iter_mut().for_each(|(_, value)| inside(value)),
        _ => {}
    }
}

#[test]
fn another_spelling_is_the_same_and_another_value_is_not() {
    const ROUNDS: u64 = 6_000;
    let (mut readable, mut moved) = (0, 0);
    for seed in 0..ROUNDS {
        let dice = &mut Dice(seed);
        let shape = SHAPES[dice.below(3)];
        let body = some_body(dice, shape);
        let written = body.plain();
        let digest_of_body = digest(&written).unwrap_or_else(|| panic!("seed {seed}: {written}"));

        let mut respelled = body.clone();
        respell(dice, shape, &mut respelled);
        let respelled = respelled.write(&mut Some(&mut *dice));
        assert_eq!(digest(&respelled), Some(digest_of_body), "seed {seed}\n{written}\n{respelled}");

        let mut mutated = body.clone();
        let mut at = dice.below(count(&body));
        mutate(dice, &mut mutated, &mut at);
        let mutated = mutated.plain();
        assert_ne!(written, mutated, "seed {seed}: nothing was changed");
        let digest_of_mutated = digest(&mutated);
        assert_ne!(digest_of_mutated, Some(digest_of_body), "seed {seed}\n{written}\n{mutated}");
        readable += u64::from(digest_of_mutated.is_some());
        moved += u64::from(written != respelled);
    }
    // The test says something only while most bodies are still requests after the change.
    assert!(readable > ROUNDS / 2 && moved > ROUNDS * 9 / 10, "{readable} {moved}");
}

#[test]
fn no_byte_sequence_is_too_much() {
    let bodies = [
        r#"{"model":"m","messages":[{"role":"system","content":"be"},{"role":"user","content":[{"type":"text","text":"é"}]}]}"#,
        r#"{"system":[{"type":"text","text":"a"}],"messages":[{"role":"user","content":"hi"}],"max_tokens":1e2}"#,
        r#"{"instructions":"a","input":[{"type":"message","role":"user","content":"hi"},{"type":"x","id":"\ud83d\ude00"}]}"#,
        r#"{"choices":[{"finish_reason":"stop","message":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
    ];
    for seed in 0..20_000 {
        let dice = &mut Dice(seed);
        let mut bytes = dice.pick(&bodies).as_bytes().to_vec();
        for _ in 0..1 + dice.below(3) {
            if bytes.len() < 2 {
                break;
            }
            let at = dice.below(bytes.len());
            match dice.below(4) {
                0 => bytes[at] = dice.roll() as u8,
                1 => bytes[at] = *dice.pick(&[&b'"', &b'{', &b'}', &b'[', &b']', &b'0', &b'\\', &b',']),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        // Any result will do; what counts is that there is one.
        let _ = (request::parse(&bytes), request::check_answer(&bytes));
    }
}
