//! Labelled prompts, as the data folder has them.

use crate::common::data::objects;
use serde_json::Value;
use std::path::Path;

/// A cached prompt.
pub struct Entry {
    pub id: String,
    pub text: String,
}

/// A query, with the entries that may answer it.
pub struct Query {
    pub id: String,
    pub text: String,
    pub right: Vec<String>,
}

/// An entry and a variant of it that it must (1) or must not (0) answer.
pub struct Case {
    pub id: String,
    pub entry: String,
    pub query: String,
    pub label: u64,
    pub kind: String,
}

pub struct Data {
    pub entries: Vec<Entry>,
    pub queries: Vec<Query>,
    pub cases: Vec<Case>,
    /// Sentences that differ by a synonym; these are the project's own.
    pub synonyms: Vec<(String, String)>,
}

impl Data {
    /// Reads the folder; none where it is not there.
    pub fn read(folder: &Path) -> Option<Self> {
        let folder = folder.join("similarity");
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/safe_synonyms.tsv");
        let synonyms = std::fs::read_to_string(own).unwrap_or_default();
        let pairs = synonyms.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'));
        let entry = |line: &Value| Entry { id: text(line, "id"), text: text(line, "text") };
        let query = |line: &Value| {
            let right =
                line["right"].as_array().into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect();
            Query { id: text(line, "id"), text: text(line, "text"), right }
        };
        let case = |line: &Value| Case {
            id: text(line, "id"),
            entry: text(line, "entry"),
            query: text(line, "query"),
            label: line["label"].as_u64().expect("a label"),
            kind: text(line, "kind"),
        };
        Some(Self {
            entries: objects(&folder.join("sim_entries.jsonl.gz"))?.iter().map(entry).collect(),
            queries: objects(&folder.join("sim_queries.jsonl.gz"))?.iter().map(query).collect(),
            cases: objects(&folder.join("guards.jsonl.gz"))?.iter().map(case).collect(),
            synonyms: pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).collect(),
        })
    }
}

fn text(line: &Value, field: &str) -> String {
    line[field].as_str().expect("a field of text").to_owned()
}
