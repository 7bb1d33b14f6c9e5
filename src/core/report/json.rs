//! Figures as JSON.

use super::{Figures, Value};
use crate::core::ledger::latency::Percentiles;
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

/// A name as text: bytes that are no UTF-8 are replaced.
pub fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
