//! Sørensen-Dice over the bigrams of letters, as `strsim::sorensen_dice` has it, its ways included: white space is left
//! out, equal texts are 1 even where they have no bigrams, and the lengths are counted in bytes, so texts that are not
//! ASCII get less than their bigrams would earn them unless they are equal.
//!
//! With c bigrams in common and lengths of a and b (in bytes, less one) the similarity is 2c / (a + b). So the other
//! prompt's length is bounded both ways, and one that shares none of the query's rarest bigrams shares too few.

use super::super::text::Text;
use super::grams::{common, grams, tokens};
use super::measure::{Form, Measure, Token, SLACK};
use super::sketch::{Mask, Sketch};
use std::hash::{BuildHasher, RandomState};

/// What equality weighs: more than all bigrams.
const WHOLE: u32 = 1 << 20;

/// Whether two equal texts of this kind would get less than 1 from their bigrams. Such a text has itself for a token.
fn is_odd(text: &[u8]) -> bool {
    text.len() < 2 || !text.is_ascii()
}

fn whole(text: &[u8], hasher: &RandomState) -> Option<u64> {
    // Bigrams leave the highest bit alone.
    is_odd(text).then(|| hasher.hash_one(text) | 1 << 63)
}

fn size_of_text(text: &[u8]) -> u32 {
    text.len().saturating_sub(1) as u32
}

/// A prompt that is asked for.
#[derive(Clone, Debug)]
pub struct Dice {
    text: Vec<u8>,
    grams: Vec<u64>,
    tokens: Vec<Token>,
    mask: Mask,
}

impl Measure for Dice {
    /// Its text, without white space.
    type Unit = u8;
    type Sketch = Sketch;
    type Scratch = Vec<u64>;

    const THRESHOLD: f64 = super::Metric::Dice.default_threshold();
    const LOOK: f64 = 8.0;
    const COMPARISON: f64 = 0.8;
    const COMPARED: f64 = 0.02;

    fn form(text: &Text, _: &RandomState) -> Form<u8> {
        let text: String = text.normal.chars().filter(|letter| !letter.is_whitespace()).collect();
        Form { size: size_of_text(text.as_bytes()), units: text.into_bytes() }
    }

    fn tokens_of(units: &[u8], hasher: &RandomState) -> Vec<u64> {
        let mut tokens = tokens(units);
        tokens.extend(whole(units, hasher));
        tokens
    }

    fn sketch(size: u32, _: &[u8], hashes: &[u64]) -> Sketch {
        Sketch::new(size, hashes)
    }

    fn ask(text: &Text, hasher: &RandomState) -> Self {
        let text = Self::form(text, hasher).units;
        let mut sorted = Vec::new();
        grams(&text, &mut sorted);
        let mut weighed: Vec<_> = tokens(&text).into_iter().map(|key| Token { key, weight: 1 }).collect();
        weighed.extend(whole(&text, hasher).map(|key| Token { key, weight: WHOLE }));
        Self { text, grams: sorted, tokens: weighed, mask: Mask::default() }
    }

    fn size(&self) -> u32 {
        size_of_text(&self.text)
    }

    fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    fn learn(&mut self, hashes: &[u64]) {
        self.mask = Mask::new(&self.tokens, hashes);
    }

    fn reaches(&self, size: u32, common: u32, floor: f64) -> bool {
        let most = 2.0 * f64::from(common.min(size));
        common >= WHOLE || most + SLACK >= floor * (f64::from(self.size()) + f64::from(size))
    }

    fn reaches_within(&self, (from, to): (u32, u32), common: u32, floor: f64) -> bool {
        // As long as every letter of the other prompt can be one in common, a longer one is better, then a shorter one.
        self.reaches(common.clamp(from, to), common, floor)
    }

    fn admits(&self, sketch: &Sketch, floor: f64) -> bool {
        self.reaches(sketch.size, self.mask.most(sketch), floor)
    }

    fn compare(&self, _: u32, units: &[u8], _: f64, scratch: &mut Vec<u64>) -> Option<f64> {
        if units == self.text {
            return Some(1.0);
        }
        if units.len() < 2 || self.text.len() < 2 {
            return Some(0.0);
        }
        grams(units, scratch);
        let common = common(&self.grams, scratch);
        Some(f64::from(2 * common) / (units.len() + self.text.len() - 2) as f64)
    }
}
