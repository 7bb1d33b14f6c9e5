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

/// A name as text: bytes that are no UTF-8 are written as `\xff`, and a backslash as two, so that two names stay two.
pub fn text(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn names_that_are_no_text_stay_different() {
        let names = [&b"plain"[..], "größe".as_bytes(), b"a\xff", b"a\\xff", b"a\\\xff", b"\xfe\xffz", b"a\\\\xff"];
        let shown = ["plain", "größe", r"a\xff", r"a\\xff", r"a\\\xff", r"\xfe\xffz", r"a\\\\xff"];
        assert_eq!(names.map(text), shown);
    }
}
