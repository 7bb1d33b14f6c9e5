//! The answers that are stored: real ones from a folder of data, or made-up ones where there is none.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One answer and how both sides address it.
pub struct Entry {
    pub prompt: Vec<u8>,
    /// 40 bytes: `llm:` and 36 hex digits of the prompt's SHA-256.
    pub key: String,
    pub response: Vec<u8>,
}

const PROMPT_BYTES: usize = 300;

impl Entry {
    /// `asked` may be short or a placeholder that many rows share; the number tells them apart.
    fn new(number: usize, asked: &str, response: &str) -> Entry {
        let mut prompt = format!("Question {number}:");
        while prompt.len() < PROMPT_BYTES {
            prompt.push(' ');
            prompt.push_str(if asked.is_empty() { "?" } else { asked });
        }
        let end = (0..=PROMPT_BYTES).rev().find(|&i| prompt.is_char_boundary(i)).unwrap_or(0);
        prompt.truncate(end);
        let hex: String = Sha256::digest(&prompt).iter().take(18).map(|byte| format!("{byte:02x}")).collect();
        Entry { prompt: prompt.into_bytes(), key: format!("llm:{hex}"), response: response.as_bytes().to_vec() }
    }
}

/// At most this many answers, and where they come from.
pub fn load(dir: Option<&str>, at_most: usize) -> (Vec<Entry>, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = dir.map_or_else(|| root.join("../shared/data"), PathBuf::from);
    let file = dir.join("responses/responses_permissive.jsonl.gz");
    if !file.is_file() {
        let made = made_up(at_most.min(8_000));
        return (made, "a seeded generator, for want of --data: sizes like real ones, text easier to compress".into());
    }
    let out = Command::new("gzip").arg("-dc").arg(&file).output().expect("gzip runs");
    assert!(out.status.success(), "gzip cannot read {}", file.display());
    let text = String::from_utf8(out.stdout).expect("the data is UTF-8");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("the data is JSON"));
    let mut entries: Vec<_> = rows
        .enumerate()
        .map(|(i, row)| Entry::new(i, row["prompt"].as_str().unwrap_or(""), row["response"].as_str().unwrap_or("")))
        .collect();
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

/// Sentences of common words. Sizes follow those of real answers: 207, 688 and 2,414 bytes at 10, 50 and 90 percent.
fn made_up(count: usize) -> Vec<Entry> {
    const WORDS: &str = "the of and to a in is that for it as with on be by are this an at from or which can not have \
        you one all when there use how if then value list text answer question model number time result example \
        function return data server price order customer account password reset check first second because between \
        large small different following important please should would could system memory cache token request reply";
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut random = Random::new(1);
    let sentences = |random: &mut Random, bytes: usize| {
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
    };
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
        Entry::new(i, &asked, &answer)
    };
    (0..count).map(entry).collect()
}

/// SplitMix64: the same numbers on every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}
