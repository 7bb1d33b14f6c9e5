//! What a misspelt prompt was meant to be.
//!
//! A slip of the pen may leave little of a vector: `pasword` is other pieces than `password`. But what it was meant to be is
//! easily found where it is an English word: one letter more, less, other or swapped. What the prompt reads like then is
//! looked up among the normalised texts, and [`super::typo`] decides whether it was a slip.

use super::guards::MOST_WORDS;
use super::text::Text;
use super::words::{self, Class, Word};

/// The most unknown words of a prompt. Some of them may be names, spelt as they should be.
const MOST_UNKNOWN: usize = 3;

/// Of the words that an unknown one may have been, those that are tried.
const MOST_NEIGHBOURS: usize = 5;

/// Of the texts that a prompt may have been meant to have, those that are tried.
const MOST_READINGS: usize = 64;

/// Words of other lengths have too many neighbours, or are no words.
const LENGTHS: std::ops::RangeInclusive<usize> = 3..=24;

/// The normalised texts that a prompt was possibly meant to have; none where nothing is misspelt.
pub fn readings(text: &Text) -> Vec<String> {
    let unknown = text.words.iter().filter(|word| is_unknown(word)).count();
    if unknown == 0 || unknown > MOST_UNKNOWN || text.words.len() > MOST_WORDS {
        return Vec::new();
    }
    let mut texts = vec![String::new()];
    for word in &text.words {
        let mut spellings = if is_unknown(word) { neighbours(&word.text) } else { Vec::new() };
        spellings.push(word.text.clone());
        let longer = |text: &String| {
            let join = if text.is_empty() { "" } else { " " };
            spellings.iter().map(|word| format!("{text}{join}{word}")).collect::<Vec<_>>()
        };
        texts = texts.iter().flat_map(longer).take(MOST_READINGS).collect();
    }
    texts.retain(|reading| *reading != text.normal);
    texts
}

fn is_unknown(word: &Word) -> bool {
    !word.known && word.class == Class::Content && word.text.bytes().all(|b| b.is_ascii_lowercase())
}

/// The most frequent words that are a letter away from this one.
fn neighbours(word: &str) -> Vec<String> {
    if !LENGTHS.contains(&word.len()) {
        return Vec::new();
    }
    let mut found: Vec<(f32, String)> = Vec::new();
    let mut buffer = String::with_capacity(word.len() + 1);
    let mut consider = |parts: &[&str]| {
        buffer.clear();
        parts.iter().for_each(|part| buffer.push_str(part));
        if let Some(known) = words::known(&buffer).filter(|_| !found.iter().any(|(_, word)| *word == buffer)) {
            found.push((known.idf, buffer.clone()));
        }
    };
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
    // The word is ASCII, so every index is the border of a letter.
    let letters = || (0..LETTERS.len()).filter_map(|i| LETTERS.get(i..=i));
    for at in 0..=word.len() {
        let (Some(before), Some(after)) = (word.get(..at), word.get(at..)) else { continue };
        letters().for_each(|letter| consider(&[before, letter, after]));
        let (Some(first), Some(rest)) = (after.get(..1), after.get(1..)) else { continue };
        consider(&[before, rest]);
        letters().for_each(|letter| consider(&[before, letter, rest]));
        if let (Some(second), Some(rest)) = (rest.get(..1), rest.get(1..)) {
            consider(&[before, second, first, rest]);
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.truncate(MOST_NEIGHBOURS);
    found.into_iter().map(|(_, word)| word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(prompt: &str) -> Vec<String> {
        readings(&Text::read(prompt.as_bytes()).unwrap())
    }

    #[test]
    fn a_misspelt_word_is_read_as_a_known_one() {
        for (prompt, meant) in [
            ("How do I reset my pasword?", "how do i reset my password"),
            ("the captial of Germany", "the capital of germany"),
            ("What is fotosynthesis", ""),
            ("How do I chnage my passwrod?", "how do i change my password"),
            ("symtoms of diabetes", "symptoms of diabetes"),
        ] {
            let texts = read(prompt);
            assert_eq!(texts.iter().any(|text| text == meant), !meant.is_empty(), "{prompt}: {texts:?}");
        }
    }

    #[test]
    fn what_is_not_misspelt_is_left_alone() {
        for prompt in ["How do I reset my password?", "xqzt wvbn kjhg", "日本語", "a1b2c3"] {
            assert!(read(prompt).is_empty(), "{prompt}");
        }
    }
}
