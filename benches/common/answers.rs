//! The answers that are stored: real ones from a folder of data, or made-up ones where there is none.

use super::data;
use super::random::Random;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::LazyLock;

/// One answer and how both sides address it.
pub struct Entry {
    pub prompt: Vec<u8>,
    /// 40 bytes: `llm:` and 36 hex digits of the prompt's SHA-256.
    pub key: String,
    pub response: Vec<u8>,
    /// What was asked, as the data has it: several answers may be to the same.
    pub asked: String,
}

/// How long prompts are made unless an option says otherwise.
pub const PROMPT_BYTES: usize = 300;

impl Entry {
    /// `asked` may be short or a placeholder that many rows share; the number tells them apart.
    fn new(number: usize, asked: &str, response: String, prompt_bytes: usize) -> Entry {
        let mut prompt = format!("Question {number}:");
        while prompt.len() < prompt_bytes {
            prompt.push(' ');
            prompt.push_str(if asked.is_empty() { "?" } else { asked });
        }
        let end = (0..=prompt_bytes.min(prompt.len())).rev().find(|&i| prompt.is_char_boundary(i)).unwrap_or(0);
        prompt.truncate(end);
        let key = key_of(prompt.as_bytes());
        Entry { prompt: prompt.into_bytes(), key, response: response.into_bytes(), asked: asked.to_owned() }
    }
}

/// The key that an application makes of a prompt.
pub fn key_of(prompt: &[u8]) -> String {
    let hex: String = Sha256::digest(prompt).iter().take(18).map(|byte| format!("{byte:02x}")).collect();
    format!("llm:{hex}")
}

/// At most this many answers behind prompts of so many bytes, and where they come from.
pub fn load(folder: &Path, at_most: usize, prompt_bytes: usize) -> (Vec<Entry>, String) {
    let Some(rows) = data::objects(&folder.join("responses/responses_permissive.jsonl.gz")) else {
        let made = made_up(at_most.min(8_000), prompt_bytes);
        return (made, "a seeded generator, for want of --data: sizes like real ones, text easier to compress".into());
    };
    let text = |row: &serde_json::Value, field: &str| row[field].as_str().unwrap_or("").to_owned();
    let rows = rows.iter().enumerate();
    let mut entries: Vec<_> =
        rows.map(|(i, row)| Entry::new(i, &text(row, "prompt"), text(row, "response"), prompt_bytes)).collect();
    // The rows stand by source: a part of them must be a mixture all the same.
    let order = Random::new(0).shuffled(entries.len());
    if at_most < entries.len() {
        let mut keep = vec![false; entries.len()];
        order[..at_most].iter().for_each(|&i| keep[i] = true);
        let mut keep = keep.into_iter();
        entries.retain(|_| keep.next() == Some(true));
    }
    (entries, "responses_permissive.jsonl.gz, real answers".into())
}

/// Sizes follow those of real answers: 207, 688 and 2,414 bytes at 10, 50 and 90 percent.
fn made_up(count: usize, prompt_bytes: usize) -> Vec<Entry> {
    let mut random = Random::new(1);
    let entry = |i| {
        let (low, high) = match random.below(10) {
            0 => (60, 207),
            1..=4 => (207, 688),
            5..=8 => (688, 2_414),
            _ => (2_414, 6_000),
        };
        let bytes = low + random.below(high - low);
        let asked = sentences(&mut random, 200);
        let answer = sentences(&mut random, bytes);
        Entry::new(i, &asked, answer, prompt_bytes)
    };
    (0..count).map(entry).collect()
}

/// Sentences of common words, so many bytes or a few more.
pub fn sentences(random: &mut Random, bytes: usize) -> String {
    const WORDS: &str = "the of and to a in is that for it as with on be by are this an at from or which can not have \
        you one all when there use how if then value list text answer question model number time result example \
        function return data server price order customer account password reset check first second because between \
        large small different following important please should would could system memory cache token request reply";
    static SPLIT: LazyLock<Vec<&str>> = LazyLock::new(|| WORDS.split_whitespace().collect());
    let words = &*SPLIT;
    let mut text = String::new();
    while text.len() < bytes {
        // Words that come first are chosen more often, as in any language.
        let word = words[random.below(words.len()).min(random.below(words.len()))];
        text.push_str(word);
        text.push_str(match random.below(14) {
            0 => ".\n",
            1 => ", ",
            2 => " 17 ",
            _ => " ",
        });
    }
    text
}
