//! What is fuzzed. Each target is a function that reads bytes and panics where something is wrong, and a corpus to begin
//! with, made in code.
//!
//! Two crates include this: the one of cargo-fuzz, for as long as one likes (`make fuzz`), and `tests/core_fuzz.rs`, for a
//! moment with each `make test`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // what is wrong is told by panicking
#![allow(dead_code)] // of what the tests of the cache share, not all is used here
#![allow(clippy::should_implement_trait)] // dice have a next number, and are no iterator

#[path = "../../tests/core_cache/exercise.rs"]
mod exercise;
#[path = "../../tests/core_cache/model.rs"]
mod model;
#[path = "../../tests/core_cache/ops.rs"]
mod ops;
#[path = "../../tests/core_cache/support.rs"]
pub mod support;

pub mod cache;
pub mod glob;
pub mod request;
pub mod similarity;
pub mod syntax;
pub mod wire;

use support::Rng;

/// Something to be fuzzed.
pub struct Target {
    pub name: &'static str,
    /// Reads an input and panics where something is wrong. Whether the input was a good one.
    pub run: fn(&[u8]) -> bool,
    /// Good inputs, to be changed.
    pub corpus: fn(&mut Rng) -> Vec<Vec<u8>>,
    /// What stands in good inputs, to be put into others.
    pub words: &'static [&'static str],
}

pub const TARGETS: [Target; 6] =
    [syntax::TARGET, request::TARGET, wire::TARGET, similarity::TARGET, cache::TARGET, glob::TARGET];

/// Changes a good input: most often a little, sometimes by a piece of another or a word of the trade.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], words: &[&str], rng: &mut Rng) {
    let place = |len: usize, rng: &mut Rng| rng.below(len as u64 + 1) as usize;
    match rng.below(6) {
        0 if !words.is_empty() => {
            let at = place(input.len(), rng);
            let end = if rng.chance(50) { at } else { (at + place(12, rng)).min(input.len()) };
            input.splice(at..end, rng.pick(words).bytes());
        }
        1 => {
            let (from, to) = (place(other.len(), rng), place(input.len(), rng));
            let piece = &other[from..(from + place(64, rng)).min(other.len())];
            input.splice(to..to, piece.iter().copied());
        }
        // One word for another, which leaves the form of many inputs as it was.
        2..=3 => {
            let from = word_at(other, place(other.len(), rng));
            let to = word_at(input, place(input.len(), rng));
            input.splice(to, other[from].iter().copied());
        }
        _ => exercise::mutate(input, rng),
    }
}

/// The letters and digits around a place.
fn word_at(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let start = bytes[..at].iter().rposition(|byte| !is_part(byte)).map_or(0, |before| before + 1);
    let end = bytes[at..].iter().position(|byte| !is_part(byte)).map_or(bytes.len(), |length| at + length);
    start..end
}
