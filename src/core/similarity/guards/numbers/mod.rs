//! Numbers and units: how many, how much, which version, when.
//!
//! All numbers of one prompt must be found in the other. What counts is the amount, not how it is written: 5 is five, 5k is
//! 5000, 90 minutes are an hour and a half where both say it in minutes. Two amounts of different measures differ, unless
//! one of them names no unit.

mod read;
mod units;

use super::super::words::{Class, Word};
use read::{Quantity, Weight};

/// Tables with more numbers than this must have the same ones in the same order.
const MOST: usize = 64;

/// Why the numbers of the two prompts exclude a hit.
pub(super) fn check(query: &[Word], entry: &[Word]) -> Option<String> {
    if !has_number(query) && !has_number(entry) {
        return None;
    }
    let (mut asked, mut stored) = (read::read(query), read::read(entry));
    if asked.len().max(stored.len()) > MOST {
        let same = asked.len() == stored.len() && asked.iter().zip(&stored).all(|(a, b)| a.same(b));
        return (!same).then(|| format!("{} and {} of them", asked.len(), stored.len()));
    }
    asked.retain(|quantity| match stored.iter().position(|other| quantity.same(other)) {
        Some(at) => {
            stored.remove(at);
            false
        }
        None => true,
    });
    let full = |side: &[Quantity]| side.iter().any(|quantity| quantity.weight == Weight::Full);
    match (asked.first(), stored.first()) {
        (Some(a), Some(b)) => Some(format!("{} and {}", a.shown(query), b.shown(entry))),
        (Some(only), None) if full(&asked) => Some(format!("{} is asked only", only.shown(query))),
        (None, Some(only)) if full(&stored) => Some(format!("{} is stored only", only.shown(entry))),
        _ => None,
    }
}

fn has_number(words: &[Word]) -> bool {
    let digits = |word: &Word| {
        let last = word.text.bytes().next_back().unwrap_or_default();
        word.class == Class::Content && (last.is_ascii_digit() || matches!(word.text.as_str(), "iv" | "vi" | "ix"))
    };
    words.iter().any(|word| word.class == Class::Number || digits(word))
}
