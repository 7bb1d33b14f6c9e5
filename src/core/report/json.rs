//! Figures as JSON.

use super::{Figures, Value};
use crate::core::ledger::latency::Percentiles;
use std::fmt::Write;

use serde_json::{json, Map, Number, Value as Json};

/// One object: fields by their names. Dollars are strings, so that nobody's floating point changes them.
pub fn object(figures: &Figures) -> Map<String, Json> {
    let value = |value| match value {
        Value::Count(count) => Json::from(count),
        Value::Real(real) => Number::from_f64(real).map_or(Json::Null, Json::Number),
        Value::Usd(usd) => Json::from(usd.to_string()),
        Value::Times(Percentiles { p50, p95, p99, max, .. }) => json!({"p50": p50, "p95": p95, "p99": p99, "max": max}),
    };
    figures.fields().map(|(field, found)| (field.name.to_owned(), value(found))).collect()
}

/// A name as text. Bytes that are no UTF-8 are written as a replacement character and their two hex digits; so are those of
/// that character itself, so that two names stay two.
pub fn text(name: &[u8]) -> String {
    readable(name, |_| true)
}

/// The same, and of other characters only those that are plain stay as they are.
pub(super) fn readable(name: &[u8], is_plain: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(name.len());
    let write_bytes = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a string does not fail.
            let _ = write!(text, "{}{byte:02x}", char::REPLACEMENT_CHARACTER);
        }
    };
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                c if c != char::REPLACEMENT_CHARACTER && is_plain(c) => text.push(c),
                c => write_bytes(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        write_bytes(&mut text, chunk.invalid());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn names_that_are_no_text_stay_different() {
        let names =
            [&b"plain\n\\"[..], "größe".as_bytes(), b"a\xff", b"a\\xff", "a\u{fffd}ff".as_bytes(), b"\xfe\xffz"];
        let shown = [
            "plain\n\\",
            "größe",
            "a\u{fffd}ff",
            "a\\xff",
            "a\u{fffd}ef\u{fffd}bf\u{fffd}bdff",
            "\u{fffd}fe\u{fffd}ffz",
        ];
        assert_eq!(names.map(text), shown);
    }
}
