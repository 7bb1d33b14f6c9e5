//! Canonical JSON: one text for everything that means the same.
//!
//! White space, the order of keys and the way a string is escaped do not matter; of a repeated key the last one counts,
//! as in most parsers. Numbers are decimal values, not floats: `1.50` and `15e-1` are one, and no digit is ever rounded
//! away, so two seeds above 2^53 stay two.
//!
//! serde_json splits the bytes into tokens (and refuses nesting beyond 128 levels); what the tokens mean is decided here,
//! because its own `Value` would not do: with `arbitrary_precision` it takes a hostile object for a number (see
//! [`NUMBER_TOKEN`]), and it compares numbers by their spelling.
//!
//! What is parsed is private, so an error tells a kind and a position and never a byte of the input.

mod number;

pub use number::Number;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A JSON value in canonical form: equal values are equal texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A decimal number of any length.
    Number(Number),
    /// A string without its escapes.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Object),
}

/// The fields of a JSON object: sorted by the bytes of their keys, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object(Vec<(String, Json)>);

/// Why some bytes are not JSON, and where: line and column, nothing of the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError(String);

/// Why a text cannot serve as `PARAMS`. The text completes "PARAMS …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamsError {
    /// It is no JSON at all.
    NotJson(JsonError),
    /// It is JSON, but not an object.
    NotAnObject,
}

/// Reads one JSON value and nothing behind it.
pub fn parse(bytes: &[u8]) -> Result<Json, JsonError> {
    serde_json::from_slice(bytes).map_err(|error| JsonError::of(&error))
}

/// Why a text is no array of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArrayError {
    /// It is no JSON at all.
    NotJson(JsonError),
    /// It is JSON, but not an array.
    NotAnArray,
}

/// Hands out the elements of a JSON array one after the other, so that a long one is never held as a whole, until one is
/// not taken. Of one that ends in an error the first elements have been handed out.
pub fn each_element(bytes: &[u8], take: impl FnMut(Json) -> bool) -> Result<(), ArrayError> {
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        return Err(parse(bytes).map_or_else(ArrayError::NotJson, |_| ArrayError::NotAnArray));
    }
    let mut elements = Elements { take, enough: false };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = reader.deserialize_seq(&mut elements).and_then(|()| reader.end());
    match read {
        Err(error) if !elements.enough => Err(ArrayError::NotJson(JsonError::of(&error))),
        _ => Ok(()),
    }
}

struct Elements<F> {
    take: F,
    enough: bool,
}

impl<'de, F: FnMut(Json) -> bool> Visitor<'de> for &mut Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element()? {
            if !(self.take)(element) {
                self.enough = true;
                break;
            }
        }
        Ok(())
    }
}

/// The canonical text of a plain `PARAMS` option; empty for an object without fields, as if it had been left out.
pub fn canonical_params(bytes: &[u8]) -> Result<String, ParamsError> {
    match parse(bytes).map_err(ParamsError::NotJson)? {
        Json::Object(fields) => Ok(fields.into_params()),
        _ => Err(ParamsError::NotAnObject),
    }
}

/// Whether canonical params ask for a sampling temperature above 1. Any other text is answered too, somehow.
///
/// A scan rather than a parse: the params of a long conversation hold all of it, and only its top level matters here.
pub fn temperature_above_one(canonical_params: &str) -> bool {
    const FIELD: &[u8] = b"\"temperature\":";
    let bytes = canonical_params.as_bytes();
    let (mut depth, mut at) = (0u64, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            // With no white space around, a string at depth 1 is the field's name exactly where a colon ends the match.
            b'"' if depth == 1 && bytes[at..].starts_with(FIELD) => {
                return above_one(&canonical_params[at + FIELD.len()..])
            }
            b'"' => at = end_of_string(bytes, at + 1),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    false
}

/// Where the quote is that ends a string, or beyond the end if there is none.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    loop {
        match bytes.get(at) {
            Some(b'"') | None => return at,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// Whether a text starts with a canonical number above 1. Canonical ones below 1 start with a minus sign, with a zero,
/// or have a negative exponent.
fn above_one(text: &str) -> bool {
    let number = text.split([',', '}']).next().unwrap_or_default();
    number.starts_with(|first: char| matches!(first, '1'..='9')) && number != "1" && !number.contains("e-")
}

impl Json {
    /// The value of a field, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.as_object()?.get(key)
    }

    /// The fields, if this is an object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Json::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The elements, if this is an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if this is one.
    pub fn as_number(&self) -> Option<&Number> {
        match self {
            Json::Number(number) => Some(number),
            _ => None,
        }
    }

    /// What an error may say about this value: its type, with an article.
    pub fn type_name(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }

    /// Appends the canonical text.
    pub fn write_canonical(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(true) => out.push_str("true"),
            Json::Bool(false) => out.push_str("false"),
            Json::Number(number) => out.push_str(number.as_str()),
            Json::String(text) => write_string(text, out),
            Json::Array(elements) => {
                out.push('[');
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    element.write_canonical(out);
                }
                out.push(']');
            }
            Json::Object(fields) => fields.write_canonical(out),
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_canonical(&mut text);
        f.write_str(&text)
    }
}

/// Escapes what JSON forbids in a string and nothing else.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        // All three are ASCII, so both slices end between characters.
        out.push_str(&text[written..at]);
        written = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\r' => out.push_str("\\r"),
            control => {
                out.push_str("\\u00");
                out.extend([control >> 4, control & 15].map(|nibble| char::from(b"0123456789abcdef"[nibble as usize])));
            }
        }
    }
    out.push_str(&text[written..]);
    out.push('"');
}

impl Object {
    /// The value of a field.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.position(key).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    /// Takes a field out.
    pub fn remove(&mut self, key: &str) -> Option<Json> {
        self.position(key).ok().map(|at| self.0.remove(at).1)
    }

    /// Puts a field in, in the place of one of the same name.
    pub fn insert(&mut self, key: &str, value: Json) {
        match self.position(key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key.to_owned(), value)),
        }
    }

    /// The fields in canonical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Json)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The canonical text as the params of a context keep it: nothing at all when there are no fields.
    pub fn into_params(self) -> String {
        let mut text = String::new();
        if !self.is_empty() {
            self.write_canonical(&mut text);
        }
        text
    }

    /// Sorts what was read; of a repeated key the last one stays.
    fn of(mut fields: Vec<(String, Json)>) -> Self {
        // The sort is stable and `dedup_by` keeps the first of a run, so the later value moves forward.
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        fields.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(&mut later.1, &mut kept.1);
            }
            same
        });
        Self(fields)
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(field, _)| field.as_str().cmp(key))
    }

    fn write_canonical(&self, out: &mut String) {
        out.push('{');
        for (i, (key, value)) in self.0.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            write_string(key, out);
            out.push(':');
            value.write_canonical(out);
        }
        out.push('}');
    }
}

impl JsonError {
    fn of(error: &serde_json::Error) -> Self {
        // The tokenizer's own messages are fixed texts. Of the rest, only a number can be wrong with a value; the message
        // is replaced all the same, since serde's standard ones quote what they found.
        if error.is_data() {
            return Self(format!("number out of range at line {} column {}", error.line(), error.column()));
        }
        Self(error.to_string())
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

impl fmt::Display for ParamsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a JSON object")?;
        match self {
            ParamsError::NotJson(error) => write!(f, ": {error}"),
            ParamsError::NotAnObject => Ok(()),
        }
    }
}

impl std::error::Error for ParamsError {}

/// With `arbitrary_precision`, serde_json hands any number beyond 64-bit integers to a visitor as a map with this one key and the spelled number
/// as its value. An object in the input may have the same key, so the key proves nothing. The value does: a number's
/// spelling arrives as an owned string (`visit_string`), and a string of the input never does.
const NUMBER_TOKEN: &str = "$serde_json::private::Number";

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    // Whole numbers of up to 64 bits come as such, all others behind the token.
    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Json::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        if let Some(key) = map.next_key::<String>()? {
            let value = if key != NUMBER_TOKEN {
                map.next_value()?
            } else {
                match map.next_value_seed(BehindToken)? {
                    Behind::Spelling(number) => {
                        let number = Number::canonical(&number);
                        return number.map(Json::Number).ok_or_else(|| de::Error::custom("number out of range"));
                    }
                    Behind::Value(value) => value,
                }
            };
            fields.push((key, value));
        }
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Object(Object::of(fields)))
    }
}

/// What stands behind the [`NUMBER_TOKEN`].
enum Behind {
    Spelling(String),
    Value(Json),
}

struct BehindToken;

impl<'de> DeserializeSeed<'de> for BehindToken {
    type Value = Behind;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Behind, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BehindToken {
    type Value = Behind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        JsonVisitor.expecting(f)
    }

    fn visit_string<E>(self, spelling: String) -> Result<Behind, E> {
        Ok(Behind::Spelling(spelling))
    }

    fn visit_unit<E>(self) -> Result<Behind, E> {
        Ok(Behind::Value(Json::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Behind, E> {
        Ok(Behind::Value(Json::Bool(value)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Behind, E> {
        Ok(Behind::Value(Json::Number(number.into())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Behind, E> {
        Ok(Behind::Value(Json::Number(number.into())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Behind, E> {
        Ok(Behind::Value(Json::String(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Behind, A::Error> {
        JsonVisitor.visit_seq(seq).map(Behind::Value)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Behind, A::Error> {
        JsonVisitor.visit_map(map).map(Behind::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
    }

    #[test]
    fn what_means_the_same_is_one_text() {
        for (spelled, expected) in [
            (" null ", "null"),
            ("[ true , false ,[ ] , { } ]", "[true,false,[],{}]"),
            (r#"{ "b" : 1 , "a" : 2 }"#, r#"{"a":2,"b":1}"#),
            (r#"{"a":{"d":1,"c":[{"f":1,"e":2}]}}"#, r#"{"a":{"c":[{"e":2,"f":1}],"d":1}}"#),
            // Escapes, and what must stay escaped.
            (r#""\u0061\/\u00e9\ud83d\ude00""#, "\"a/é😀\""),
            (r#""\b\f\n\r\t\"\\\u0000\u007f""#, "\"\\u0008\\u000c\\n\\r\\t\\\"\\\\\\u0000\u{7f}\""),
            (r#"{"\u0061":1}"#, r#"{"a":1}"#),
            // Keys by their bytes: "Z" before "a" before "é".
            (r#"{"é":1,"a":2,"Z":3,"":4}"#, r#"{"":4,"Z":3,"a":2,"é":1}"#),
            // The last of a repeated key counts, also under another spelling.
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (r#"{"a":1,"\u0061":2,"a":3,"a":4}"#, r#"{"a":4}"#),
        ] {
            assert_eq!(canonical(spelled), expected, "{spelled}");
            assert_eq!(canonical(expected), expected, "canonical text reads as itself");
        }
    }

    /// serde_json shows numbers to a visitor as an object with this key: such an object in the input is none.
    #[test]
    fn an_object_with_the_key_of_numbers_is_no_number() {
        const KEY: &str = "$serde_json::private::Number";
        let escaped = KEY.replace('N', "\\u004e");
        for value in [
            r#""12""#,
            r#""1\u0032""#,
            r#""\u0031""#,
            r#""x""#,
            "12",
            "null",
            "true",
            "[]",
            r#"["12"]"#,
            "1.5",
            r#""1.5""#,
        ] {
            for key in [KEY, &escaped] {
                let inner = canonical(value);
                let object = format!(r#"{{"{KEY}":{inner}}}"#);
                assert_eq!(canonical(&format!(r#"{{"{key}":{value}}}"#)), object);
                assert_eq!(canonical(&format!(r#"[[{{"{key}" : {value}}}],12]"#)), format!("[[{object}],12]"));
                assert_eq!(
                    canonical(&format!(r#"{{"{key}":{{"{key}":{value}}}}}"#)),
                    format!(r#"{{"{KEY}":{object}}}"#)
                );
                let with_others = format!(r#"{{"{KEY}":{inner},"a":1}}"#);
                assert_eq!(canonical(&format!(r#"{{"{key}":{value},"a":1}}"#)), with_others);
                assert_eq!(canonical(&format!(r#"{{"a":1,"{key}":{value}}}"#)), with_others);
                assert_eq!(canonical(&format!(r#"{{"{key}":1,"{KEY}":{value}}}"#)), object);
            }
        }
        assert_eq!(canonical("12"), "12");
        assert_eq!(canonical(&format!(r#"{{"{KEY}":12}}"#)), format!(r#"{{"{KEY}":12}}"#));
        assert_eq!(
            canonical(r#"{"$serde_json::private::RawValue":"12"}"#),
            r#"{"$serde_json::private::RawValue":"12"}"#
        );
    }

    #[test]
    fn what_is_no_json_is_an_error_without_content() {
        let deep = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(parse(&deep(127)).is_ok());
        let objects = r#"{"secret":"#.repeat(1_000_000);
        for hostile in [
            &b""[..],
            b"secret",
            b"{\"secret\"",
            b"{\"secret\":1,}",
            b"{secret:1}",
            b"[\"secret\",]",
            b"\"secret",
            b"\"secret\" \"secret\"",
            b"{} secret",
            b"\"secret\xff\"",
            b"{\"secret\xc3\":1}",
            b"\xff",
            b"\"secret \\ud800\"",
            b"\"secret \\udc00\"",
            b"\"secret \\ud800\\ud800\"",
            b"\"secret\n\"",
            b"\"\\secret\"",
            b"0123",
            b"+1",
            b".5",
            b"1.",
            b"1e",
            b"-",
            b"NaN",
            b"1e9223372036854775808",
            b"{\"secret\":[1e-99999999999999999999]}",
            &deep(128),
            &vec![b'['; 1_000_000],
            objects.as_bytes(),
        ] {
            let shown = String::from_utf8_lossy(&hostile[..hostile.len().min(40)]);
            let error = parse(hostile).expect_err(&shown).to_string();
            assert!(!error.contains("secret") && !error.contains("99999"), "{error}");
            assert!(error.contains(" at line ") && error.contains(" column "), "{error}");
        }
        assert_eq!(
            parse(b"[1,\n 1e99999999999999999999]").unwrap_err().to_string(),
            "number out of range at line 2 column 23"
        );
    }

    #[test]
    fn params_are_an_object_or_nothing() {
        assert_eq!(canonical_params(br#"{"b":[],"a":1.0}"#).unwrap(), r#"{"a":1,"b":[]}"#);
        assert_eq!(canonical_params(b" { } ").unwrap(), "");
        assert_eq!(canonical_params(b"[]").unwrap_err().to_string(), "must be a JSON object");
        assert_eq!(canonical_params(b"\"{}\"").unwrap_err().to_string(), "must be a JSON object");
        let error = canonical_params(b"{").unwrap_err().to_string();
        assert_eq!(error, "must be a JSON object: EOF while parsing an object at line 1 column 1");
    }

    #[test]
    fn a_temperature_above_one_is_seen_at_the_top_level_only() {
        for (params, above) in [
            (r#"{"temperature":2}"#, true),
            (r#"{"temperature":1.01}"#, true),
            (r#"{"temperature":1.000000000000000000000000000000000000000000000000000001}"#, true),
            (r#"{"temperature":1e300}"#, true),
            (r#"{"a":[{"x":"}"}],"b":"\"{[\\","temperature":1.5,"z":1}"#, true),
            (r#"{"temperature":1}"#, false),
            (r#"{"temperature":1.0}"#, false),
            (r#"{"temperature":0.99}"#, false),
            (r#"{"temperature":3e-300}"#, false),
            (r#"{"temperature":-2}"#, false),
            (r#"{"temperature":"2"}"#, false),
            (r#"{"temperature":[2]}"#, false),
            (r#"{"temperature":{"temperature":2}}"#, false),
            (r#"{"temperature":null}"#, false),
            (r#"{"temperatures":2}"#, false),
            (r#"{"a":{"temperature":2}}"#, false),
            (r#"{"a":[{"temperature":2}]}"#, false),
            (r#"{"a":"\"temperature\":2"}"#, false),
            (r#"{"a":"temperature","b":2}"#, false),
        ] {
            assert_eq!(temperature_above_one(&canonical_params(params.as_bytes()).unwrap()), above, "{params}");
        }
        for junk in ["", "{", "\"", "\\", "}}}]]", "{\"temperature\":", "{\"é\\", "{\"a\":\"\\é", "]{\"temperature\":é"]
        {
            assert!(!temperature_above_one(junk), "{junk}");
        }
    }

    #[test]
    fn fields_are_found_taken_and_put() {
        let Json::Object(mut fields) = parse(br#"{"b":2,"a":[1,"x"]}"#).unwrap() else { panic!("an object") };
        assert_eq!(fields.get("a").and_then(Json::as_array).and_then(|a| a[1].as_str()), Some("x"));
        assert_eq!(fields.get("c"), None);
        fields.insert("c", Json::Null);
        fields.insert("aa", Json::Bool(true));
        fields.insert("b", Json::Number(7u64.into()));
        assert_eq!(fields.remove("c"), Some(Json::Null));
        assert_eq!(fields.remove("c"), None);
        assert_eq!(fields.into_params(), r#"{"a":[1,"x"],"aa":true,"b":7}"#);
    }
}
