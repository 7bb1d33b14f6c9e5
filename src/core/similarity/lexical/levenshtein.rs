//! 1 − distance / longer length in characters, as `strsim::normalized_levenshtein` has it.
//!
//! One edit spoils two bigrams at most, so texts at distance d share all but 2d of the longer one's bigrams (Ukkonen's
//! lemma): the index of bigrams serves this metric too, from similarities of about 0.5 on. Below that it sees lengths
//! only. Distances come from Myers' algorithm, 64 characters of the query at a time (Hyyrö's form for longer ones).

use super::super::text::Text;
use super::grams::{tokens, Counted, Scratch};
use super::letters::{count, each, Letters};
use super::measure::{Form, Measure, Token};
use super::sketch::{self, words_for, Gate};
use std::hash::RandomState;
use std::ops::ControlFlow;

/// For rounding, where a number of edits is computed.
const ROUNDING: f64 = 1e-6;

/// A prompt that is asked for.
#[derive(Clone, Debug)]
pub struct Levenshtein {
    letters: Letters,
    grams: Counted,
    tokens: Vec<Token>,
}

/// A column of the table of distances, as differences between neighbours: 64 rows of it.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    plus: u64,
    minus: u64,
}

impl Column {
    const FIRST: Self = Self { plus: u64::MAX, minus: 0 };

    /// The next column, of a letter that stands at `equal`. What comes in from above goes out below.
    fn step(&mut self, equal: u64, (plus_in, minus_in): (u64, u64)) -> (u64, u64) {
        let vertical = equal | self.minus;
        let equal = equal | minus_in;
        let horizontal = ((equal & self.plus).wrapping_add(self.plus) ^ self.plus) | equal;
        let (plus, minus) = (self.minus | !(horizontal | self.plus), self.plus & horizontal);
        let (shifted_plus, shifted_minus) = (plus << 1 | plus_in, minus << 1 | minus_in);
        self.plus = shifted_minus | !(vertical | shifted_plus);
        self.minus = shifted_plus & vertical;
        (plus, minus)
    }
}

impl Levenshtein {
    /// The distance to a text of `len` characters, if it is at most `limit`.
    fn distance(&self, text: &[u8], len: u32, limit: u32, columns: &mut Vec<Column>) -> Option<u32> {
        let own = self.letters.chars.len() as u32;
        if own == 0 {
            return Some(len).filter(|distance| *distance <= limit);
        }
        columns.clear();
        columns.resize(self.letters.words, Column::FIRST);
        let last = (own - 1) % 64;
        let (mut distance, mut left) = (own, len);
        each(text, |letter| {
            let mut carried = (1, 0);
            let mut out = (0, 0);
            for (column, equal) in columns.iter_mut().zip(self.letters.bits(letter)) {
                out = column.step(*equal, carried);
                carried = (out.0 >> 63, out.1 >> 63);
            }
            distance = distance + (out.0 >> last & 1) as u32 - (out.1 >> last & 1) as u32;
            left = left.saturating_sub(1);
            // Each letter that is left brings it down by one at most.
            if distance > limit + left {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        Some(distance).filter(|distance| left == 0 && *distance <= limit)
    }

    fn edits(longer: u32, floor: f64) -> f64 {
        (1.0 - floor) * f64::from(longer) + ROUNDING
    }
}

impl Measure for Levenshtein {
    /// Its text.
    type Unit = u8;
    type Gate = Gate;
    type Scratch = (Vec<Column>, Scratch);

    const THRESHOLD: f64 = super::Metric::Levenshtein.default_threshold();
    const COMMON: usize = 16;
    const LOOK: f64 = 5.0;
    const COMPARISON: f64 = 200.0;
    const COMPARED: f64 = 0.01;

    fn form(text: &Text, _: &RandomState) -> Form<u8> {
        let units = text.normal.as_bytes().to_vec();
        Form { size: count(&units), units }
    }

    fn tokens_of(units: &[u8], _: &RandomState) -> Vec<u64> {
        tokens(units)
    }

    fn words(class: u32) -> usize {
        words_for(Self::sizes(class).0)
    }

    fn sketch(words: usize, _: &[u8], hashes: &[u64]) -> Vec<u64> {
        sketch::sketch(words, hashes)
    }

    fn ask(text: &Text, _: &RandomState) -> Self {
        let tokens = tokens(text.normal.as_bytes()).into_iter().map(|key| Token { key, weight: 1 }).collect();
        Self { letters: Letters::of(&text.normal), grams: Counted::of(text.normal.as_bytes()), tokens }
    }

    fn size(&self) -> u32 {
        self.letters.chars.len() as u32
    }

    fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    fn reaches(&self, size: u32, common: u32, floor: f64) -> bool {
        let longer = self.size().max(size);
        let edits = Self::edits(longer, floor).floor();
        f64::from(self.size().abs_diff(size)) <= edits && f64::from(common) + 1.0 + 2.0 * edits >= f64::from(longer)
    }

    fn reaches_within(&self, (from, to): (u32, u32), common: u32, floor: f64) -> bool {
        // The size nearest to one's own allows most. Parts of edits count here: the next size may make them whole.
        let size = self.size().clamp(from, to);
        let longer = self.size().max(size);
        let edits = Self::edits(longer, floor);
        f64::from(self.size().abs_diff(size)) <= edits && f64::from(common) + 1.0 + 2.0 * edits >= f64::from(longer)
    }

    fn gate(&self, class: u32, floor: f64, hashes: &[u64]) -> Gate {
        Gate::new(Self::words(class), &self.tokens, hashes, self.least(class, floor))
    }

    fn pass(gate: &Gate, sketch: &[u64]) -> Option<u32> {
        gate.pass(sketch)
    }

    fn compare(&self, size: u32, units: &[u8], floor: f64, scratch: &mut Self::Scratch) -> Option<f64> {
        let longer = self.size().max(size);
        if longer == 0 {
            return Some(1.0);
        }
        let limit = Self::edits(longer, floor).clamp(0.0, longer.into()) as u32;
        // Counting bigrams takes a part of the time that the distance takes, and settles most.
        let least = longer.saturating_sub(2 * limit + 1);
        if least > 0 {
            self.grams.common(units, least, &mut scratch.1)?;
        }
        let distance = self.distance(units, size, limit, &mut scratch.0)?;
        Some(1.0 - f64::from(distance) / f64::from(longer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(a: &str, b: &str, limit: u32) -> Option<u32> {
        let (letters, grams) = (Letters::of(a), Counted::of(a.as_bytes()));
        let asked = Levenshtein { letters, grams, tokens: Vec::new() };
        asked.distance(b.as_bytes(), count(b.as_bytes()), limit, &mut Vec::new())
    }

    #[test]
    fn distances_are_those_of_strsim() {
        let letters: Vec<char> = "aabbc éñ語".chars().collect();
        let mut state = 3u64;
        let mut draw = |n: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % n
        };
        for round in 0..3000 {
            let most = [3, 12, 70, 200][round % 4];
            let a: String = (0..draw(most)).map(|_| letters[draw(letters.len())]).collect();
            let mut b: Vec<char> = a.chars().collect();
            for _ in 0..draw(most / 2) {
                match draw(3) {
                    0 => b.insert(draw(b.len() + 1), letters[draw(letters.len())]),
                    1 if !b.is_empty() => drop(b.remove(draw(b.len()))),
                    _ => b.reverse(),
                }
            }
            let b: String = b.into_iter().collect();
            let expected = strsim::levenshtein(&a, &b) as u32;
            assert_eq!(distance(&a, &b, 1000), Some(expected), "{a:?} {b:?}");
            let limit = draw(most) as u32;
            assert_eq!(distance(&a, &b, limit), (expected <= limit).then_some(expected), "{a:?} {b:?} {limit}");
        }
    }
}
