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
    let (mut query, mut entry) = (read::read(query), read::read(entry));
    if query.len().max(entry.len()) > MOST {
        let same = query.len() == entry.len() && query.iter().zip(&entry).all(|(a, b)| a.same(b));
        return (!same).then(|| format!("{} and {} of them", query.len(), entry.len()));
    }
    query.retain(|quantity| match entry.iter().position(|other| quantity.same(other)) {
        Some(at) => {
            entry.swap_remove(at);
            false
        }
        None => true,
    });
    let full = |side: &[Quantity]| side.iter().any(|quantity| quantity.weight == Weight::Full);
    match (query.first(), entry.first()) {
        (Some(a), Some(b)) => Some(format!("{} and {}", a.text, b.text)),
        (Some(only), None) if full(&query) => Some(format!("{} is asked only", only.text)),
        (None, Some(only)) if full(&entry) => Some(format!("{} is stored only", only.text)),
        _ => None,
    }
}

fn has_number(words: &[Word]) -> bool {
    let digits = |word: &Word| word.class == Class::Content && word.text.ends_with(|c: char| c.is_ascii_digit());
    words.iter().any(|word| word.class == Class::Number || digits(word))
}
