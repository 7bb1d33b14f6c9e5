//! The tokenizer gives what the original gives, on texts that the original was asked about when the model was made:
//! plain prompts, and whatever is likely to go wrong.

use flate2::read::GzDecoder;
use llmcache::core::similarity::builtin::wordpiece::tokenize;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};

#[test]
fn every_text_has_the_pieces_that_the_original_gives() {
    let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wordpiece.jsonl.gz")).unwrap();
    let (mut texts, mut wrong) = (0, Vec::new());
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let row: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let text = row["text"].as_str().unwrap();
        let expected: Vec<u32> = row["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        let mut pieces = Vec::new();
        tokenize(text, &mut pieces);
        texts += 1;
        if pieces != expected {
            wrong.push(format!("{text:?}: {pieces:?} instead of {expected:?}"));
        }
    }
    assert!(texts >= 5000, "only {texts} texts");
    assert!(
        wrong.is_empty(),
        "{} of {texts} texts, such as {}",
        wrong.len(),
        wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
}
