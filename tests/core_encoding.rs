//! Vectors are those that the scripts which made the model computed from the same table.

use llmcache::core::similarity::builtin::encode;
use llmcache::core::similarity::text::Text;
use serde_json::Value;

const FIXTURE: &str = include_str!("fixtures/encoding.jsonl");

#[test]
fn vectors_are_those_of_the_scripts() {
    let mut checked = 0;
    for line in FIXTURE.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = Text::read(row["text"].as_str().unwrap().as_bytes()).unwrap();
        // The scripts normalise in their own way; where that is not what we do, there is nothing to compare.
        if text.normal != row["text"].as_str().unwrap() {
            continue;
        }
        let vector = encode(&text).unwrap();
        for (ours, theirs) in vector.iter().zip(row["vector"].as_array().unwrap()) {
            assert!((f64::from(*ours) - theirs.as_f64().unwrap()).abs() < 2e-5, "{}: {ours} {theirs}", text.normal);
        }
        assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        checked += 1;
    }
    assert!(checked >= 270, "only {checked} were comparable");
}
