//! The cosine of stemmed words, weighted by how rare each is in the corpus of the model.
//!
//! How rare a stem is does not depend on what else is cached, so two prompts are as similar in one cache as in another.
//! Each stem counts once, however often it occurs: counted by its frequency, recall at the same precision is lower by one
//! to two points. Weights are hundredths in whole numbers, so sums do not depend on their order and the index gives the
//! definition's value to the last bit.
//!
//! With c for the squares of the weights in common, a and b for those of each prompt, the similarity is c / √(ab). As c is
//! no more than b, that is at most √(c / a): from 0.8 on, a prompt that has none of the words that make up 36 % of the
//! query's squares need not be looked at.

use super::super::text::Text;
use super::super::words::rarity;
use super::measure::{Form, Measure, Token, SLACK};
use super::sketch::{self, Gate};
use std::hash::{BuildHasher, RandomState};

/// The square of a stem's weight, which is 20.00 at most: far more than any corpus gives, and few enough that the squares
/// of a prompt's thousand words are a `u32`.
fn square(stem: &str) -> u32 {
    // Not a number becomes 0.
    ((rarity(stem) * 100.0).round().clamp(0.0, 2000.0) as u32).pow(2)
}

fn sum(squares: impl Iterator<Item = u32>) -> u32 {
    squares.fold(0, u32::saturating_add)
}

fn quotient(common: u32, a: u32, b: u32) -> f64 {
    if common == 0 {
        return 0.0;
    }
    (f64::from(common) / (f64::from(a) * f64::from(b)).sqrt()).min(1.0)
}

/// The definition.
pub fn cosine(a: &Text, b: &Text) -> f64 {
    fn stems(text: &Text) -> Vec<&str> {
        let mut stems: Vec<_> = text.words.iter().map(|word| &*word.stem).collect();
        stems.sort_unstable();
        stems.dedup();
        stems
    }
    let (a, b) = (stems(a), stems(b));
    let common = a.iter().filter(|stem| b.binary_search(stem).is_ok());
    let squares = |stems: &[&str]| sum(stems.iter().map(|stem| square(stem)));
    quotient(sum(common.map(|stem| square(stem))), squares(&a), squares(&b))
}

/// The hash of each stem, and its square, by hash. Each index hashes with a key of its own, so nobody outside can choose
/// stems that meet, and by chance no two ever will.
fn weighed(text: &Text, hasher: &RandomState) -> Vec<Token> {
    let token = |stem: &str| Token { key: hasher.hash_one(stem), weight: square(stem) };
    let mut tokens: Vec<_> = text.words.iter().map(|word| token(&word.stem)).collect();
    tokens.sort_unstable_by_key(|token| token.key);
    tokens.dedup_by_key(|token| token.key);
    tokens
}

/// A prompt that is asked for.
#[derive(Clone, Debug)]
pub struct Idf {
    tokens: Vec<Token>,
    size: u32,
}

impl Measure for Idf {
    /// The hash of a stem.
    type Unit = u64;
    type Gate = Gate;
    type Scratch = ();

    const THRESHOLD: f64 = super::Metric::Idf.default_threshold();
    const COMMON: usize = 16;
    const LOOK: f64 = 8.0;
    const COMPARISON: f64 = 100.0;
    const COMPARED: f64 = 0.05;

    fn form(text: &Text, hasher: &RandomState) -> Form<u64> {
        let tokens = weighed(text, hasher);
        let size = sum(tokens.iter().map(|token| token.weight));
        Form { size, units: tokens.into_iter().map(|token| token.key).collect() }
    }

    fn tokens_of(units: &[u64], _: &RandomState) -> Vec<u64> {
        units.to_vec()
    }

    /// One for all: the lists are short enough, and what a class costs is more than it would save.
    fn class(_: u32) -> u32 {
        0
    }

    fn sizes(_: u32) -> (u32, u32) {
        (0, u32::MAX)
    }

    fn words(_: u32) -> usize {
        2
    }

    fn sketch(words: usize, _: &[u64], hashes: &[u64]) -> Vec<u64> {
        sketch::sketch(words, hashes)
    }

    fn ask(text: &Text, hasher: &RandomState) -> Self {
        let tokens = weighed(text, hasher);
        let size = sum(tokens.iter().map(|token| token.weight));
        Self { tokens, size }
    }

    fn size(&self) -> u32 {
        self.size
    }

    fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    fn length(&self) -> u32 {
        self.tokens.len() as u32
    }

    fn reaches(&self, size: u32, common: u32, floor: f64) -> bool {
        let common = f64::from(common.min(size)) * (1.0 + SLACK);
        floor <= 0.0 || common * common >= floor * floor * f64::from(self.size) * f64::from(size)
    }

    fn reaches_within(&self, (from, to): (u32, u32), common: u32, floor: f64) -> bool {
        // A prompt that has nothing else is the most similar.
        self.reaches(common.clamp(from, to), common, floor)
    }

    fn gate(&self, class: u32, floor: f64, hashes: &[u64]) -> Gate {
        Gate::new(Self::words(class), &self.tokens, hashes, self.least(class, floor))
    }

    fn pass(gate: &Gate, sketch: &[u64]) -> Option<u32> {
        gate.pass(sketch)
    }

    fn compare(&self, size: u32, units: &[u64], _: f64, (): &mut ()) -> Option<f64> {
        let mut units = units.iter().copied().peekable();
        let common = self.tokens.iter().filter(|token| {
            while units.next_if(|unit| *unit < token.key).is_some() {}
            units.next_if_eq(&token.key).is_some()
        });
        Some(quotient(sum(common.map(|token| token.weight)), self.size, size))
    }
}
