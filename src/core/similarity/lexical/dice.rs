//! Sørensen-Dice over the bigrams of letters, as `strsim::sorensen_dice` has it, its ways included: white space is left
//! out, equal texts are 1 even where they have no bigrams, and the lengths are counted in bytes, so texts that are not
//! ASCII get less than their bigrams would earn them unless they are equal.
//!
//! With c bigrams in common and lengths of a and b (in bytes, less one) the similarity is 2c / (a + b). So the other
//! prompt's length is bounded both ways, and one that shares none of the query's rarest bigrams shares too few.

use super::super::text::Text;
use super::grams::{tokens, Counted, Scratch};
use super::measure::{Form, Measure, Token, KEPT, SLACK};
use super::sketch::{self, words_for, Gate};
use std::hash::{BuildHasher, RandomState};

/// The token of a text as a whole, where equal texts would get less than 1 from their bigrams.
fn whole(text: &[u8], hasher: &RandomState) -> Option<u64> {
    (text.len() < 2 || !text.is_ascii()).then(|| hasher.hash_one(text) | KEPT)
}

fn size_of_text(text: &[u8]) -> u32 {
    text.len().saturating_sub(1) as u32
}

/// A prompt that is asked for.
#[derive(Clone, Debug)]
pub struct Dice {
    text: Vec<u8>,
    grams: Counted,
    tokens: Vec<Token>,
    whole: Option<u64>,
}

impl Measure for Dice {
    /// Its text, without white space.
    type Unit = u8;
    type Gate = Gate;
    type Scratch = Scratch;

    const THRESHOLD: f64 = super::Metric::Dice.default_threshold();
    const COMMON: usize = 8;
    const LOOK: f64 = 5.0;
    const COMPARISON: f64 = 150.0;
    const COMPARED: f64 = 0.01;

    fn form(text: &Text, _: &RandomState) -> Form<u8> {
        let text: String = text.normal.chars().filter(|letter| !letter.is_whitespace()).collect();
        Form { size: size_of_text(text.as_bytes()), units: text.into_bytes() }
    }

    fn tokens_of(units: &[u8], hasher: &RandomState) -> Vec<u64> {
        let mut tokens = tokens(units);
        tokens.extend(whole(units, hasher));
        tokens
    }

    fn words(class: u32) -> usize {
        words_for(Self::sizes(class).0)
    }

    fn sketch(words: usize, _: &[u8], hashes: &[u64]) -> Vec<u64> {
        sketch::sketch(words, hashes)
    }

    fn ask(text: &Text, hasher: &RandomState) -> Self {
        let text = Self::form(text, hasher).units;
        let tokens: Vec<_> = tokens(&text).into_iter().map(|key| Token { key, weight: 1 }).collect();
        Self { grams: Counted::of(&text), tokens, whole: whole(&text, hasher), text }
    }

    fn size(&self) -> u32 {
        size_of_text(&self.text)
    }

    fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    fn twin(&self) -> Option<u64> {
        self.whole
    }

    fn reaches(&self, size: u32, common: u32, floor: f64) -> bool {
        let most = 2.0 * f64::from(common.min(size));
        most + SLACK >= floor * (f64::from(self.size()) + f64::from(size))
    }

    fn reaches_within(&self, (from, to): (u32, u32), common: u32, floor: f64) -> bool {
        // As long as every letter of the other prompt can be one in common, a longer one is better, then a shorter one.
        self.reaches(common.clamp(from, to), common, floor)
    }

    fn gate(&self, class: u32, floor: f64, hashes: &[u64]) -> Gate {
        Gate::new(Self::words(class), &self.tokens, hashes, self.least(class, floor))
    }

    fn pass(gate: &Gate, sketch: &[u64]) -> Option<u32> {
        gate.pass(sketch)
    }

    fn compare(&self, _: u32, units: &[u8], floor: f64, scratch: &mut Scratch) -> Option<f64> {
        if units == self.text {
            return Some(1.0);
        }
        if units.len() < 2 || self.text.len() < 2 {
            return Some(0.0);
        }
        let both = (units.len() + self.text.len() - 2) as f64;
        let least = (floor * both / 2.0 - SLACK).ceil().max(0.0) as u32;
        let common = self.grams.common(units, least, scratch)?;
        Some(f64::from(2 * common) / both)
    }
}
