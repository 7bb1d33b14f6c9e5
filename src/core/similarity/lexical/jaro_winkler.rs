//! Jaro-Winkler, as `strsim::jaro_winkler` has it.
//!
//! It forgives so much (any order within half the text's length) that no token two prompts must share is rare: there is
//! no list to look into. What bounds the work is a sketch: no more letters can match than both texts have of each, and
//! from the lengths, that number and the letters in front follows the most that Jaro-Winkler can give. Prompts in one
//! language have three quarters of their letters in common by nature, so about the threshold many sketches still admit
//! their text, and such a search takes milliseconds where the others take microseconds.
//!
//! The matches are those of strsim's two loops, found by words of bits. Which letters match does not depend on which
//! text comes first: of the places of one letter in both texts, both ways take the first pair that lies within the
//! window and go on behind it.

use super::super::text::Text;
use super::letters::{count, each, Letters};
use super::measure::{Form, Measure, Token, SLACK};
use std::hash::RandomState;
use std::ops::ControlFlow;

/// Kinds of letters that a sketch counts.
const KINDS: usize = 24;
/// What the front is worth, for each of four letters.
const FRONT: f64 = 0.1;

type Lead = [u8; 4];
type Counts = [u8; KINDS];

/// How many letters of which kinds a text has, and which four it begins with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sketch {
    size: u32,
    lead: Lead,
    counts: Counts,
}

fn kind_of(letter: char) -> usize {
    // The letters that English has most of have a kind of their own.
    const OWN: &[u8; KINDS - 2] = b" etaoinsrhldcumpgyfwbv";
    const KIND: [u8; 128] = {
        let mut kinds = [KINDS as u8 - 1; 128];
        let mut letter = b'a';
        while letter <= b'z' {
            kinds[letter as usize] = KINDS as u8 - 2;
            letter += 1;
        }
        let mut kind = 0;
        while kind < OWN.len() {
            kinds[OWN[kind] as usize] = kind as u8;
            kind += 1;
        }
        kinds
    };
    // The letters of other scripts are spread over all kinds.
    KIND.get(letter as usize).map_or(letter as usize % KINDS, |kind| usize::from(*kind))
}

impl Sketch {
    /// With the letters that were too many to be counted.
    fn of(size: u32, text: &[u8]) -> (Self, u32) {
        let mut sketch = Self { size, lead: Lead::default(), counts: Counts::default() };
        let (mut at, mut uncounted) = (0, 0);
        each(text, |letter| {
            if let Some(place) = sketch.lead.get_mut(at) {
                *place = (letter as u32 & 0x7f) as u8 | u8::from(!letter.is_ascii()) << 7;
            }
            if let Some(count) = sketch.counts.get_mut(kind_of(letter)) {
                match count.checked_add(1) {
                    Some(more) => *count = more,
                    None => uncounted += 1,
                }
            }
            at += 1;
            ControlFlow::Continue(())
        });
        (sketch, uncounted)
    }
}

/// A prompt that is asked for.
#[derive(Clone, Debug)]
pub struct JaroWinkler {
    letters: Letters,
    sketch: Sketch,
    uncounted: u32,
}

/// Room for matches.
#[derive(Debug, Default)]
pub struct Matches {
    /// Which letters of the query have one, by bit.
    used: Vec<u64>,
    /// The other text's letters that have one.
    others: Vec<char>,
}

/// What Jaro's measure becomes with so many letters alike in front.
fn winkler(jaro: f64, front: u32) -> f64 {
    if jaro > 0.7 {
        jaro + FRONT * f64::from(front) * (1.0 - jaro)
    } else {
        jaro
    }
}

impl JaroWinkler {
    /// The most that is possible with so many matches.
    fn most(&self, size: u32, matches: u32, front: u32) -> f64 {
        if self.sketch.size == 0 || size == 0 {
            return f64::from(u8::from(self.sketch.size == size));
        }
        let matches = f64::from(matches);
        winkler((matches / f64::from(self.sketch.size) + matches / f64::from(size) + 1.0) / 3.0, front)
    }

    /// How many letters must match to reach a similarity.
    fn needed(&self, size: u32, front: u32, floor: f64) -> u32 {
        let front = FRONT * f64::from(front);
        let jaro = (floor - front) / (1.0 - front);
        let parts = 1.0 / f64::from(self.sketch.size) + 1.0 / f64::from(size);
        ((3.0 * jaro - 1.0) / parts - SLACK).ceil().max(0.0) as u32
    }

    /// Finds the letters that match, if they can be `needed`; how many.
    fn matches(&self, text: &[u8], size: u32, needed: u32, found: &mut Matches) -> Option<u32> {
        found.used.clear();
        found.used.resize(self.letters.words, 0);
        found.others.clear();
        let window = (self.sketch.size.max(size) as usize / 2).saturating_sub(1);
        let own = self.letters.chars.len();
        let (mut at, mut left) = (0usize, size);
        each(text, |letter| {
            let (from, to) = (at.saturating_sub(window), (at + window + 1).min(own));
            let bits = self.letters.bits(letter);
            let mut word = from / 64;
            while word * 64 < to {
                let mut free = bits.get(word).copied().unwrap_or(0) & !found.used.get(word).copied().unwrap_or(0);
                free &= if word == from / 64 { u64::MAX << (from % 64) } else { u64::MAX };
                free &= if to - word * 64 < 64 { (1 << (to - word * 64)) - 1 } else { u64::MAX };
                if free != 0 {
                    if let Some(used) = found.used.get_mut(word) {
                        *used |= free & free.wrapping_neg();
                    }
                    found.others.push(letter);
                    break;
                }
                word += 1;
            }
            (at, left) = (at + 1, left.saturating_sub(1));
            if found.others.len() as u32 + left < needed {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        Some(found.others.len() as u32).filter(|matches| *matches >= needed)
    }

    fn transpositions(&self, found: &Matches) -> u32 {
        let mut others = found.others.iter();
        let mut apart = 0;
        for (word, mut used) in found.used.iter().copied().enumerate() {
            while used != 0 {
                let own = self.letters.chars.get(word * 64 + used.trailing_zeros() as usize);
                apart += u32::from(own != others.next());
                used &= used - 1;
            }
        }
        apart / 2
    }

    fn front(&self, text: &[u8]) -> u32 {
        let (mut own, mut front) = (self.letters.chars.iter().take(4), 0);
        each(text, |letter| {
            if own.next() != Some(&letter) {
                return ControlFlow::Break(());
            }
            front += 1;
            ControlFlow::Continue(())
        });
        front
    }
}

impl Measure for JaroWinkler {
    /// Its text.
    type Unit = u8;
    type Sketch = Sketch;
    type Scratch = Matches;

    const THRESHOLD: f64 = super::Metric::JaroWinkler.default_threshold();
    const LOOK: f64 = 15.0;
    const COMPARISON: f64 = 0.4;
    const COMPARED: f64 = 0.1;

    fn form(text: &Text, _: &RandomState) -> Form<u8> {
        let units = text.normal.as_bytes().to_vec();
        Form { size: count(&units), units }
    }

    fn tokens_of(_: &[u8], _: &RandomState) -> Vec<u64> {
        Vec::new()
    }

    fn sketch(size: u32, units: &[u8], _: &[u64]) -> Sketch {
        Sketch::of(size, units).0
    }

    fn ask(text: &Text, hasher: &RandomState) -> Self {
        let form = Self::form(text, hasher);
        let (sketch, uncounted) = Sketch::of(form.size, &form.units);
        Self { letters: Letters::of(&text.normal), sketch, uncounted }
    }

    fn size(&self) -> u32 {
        self.sketch.size
    }

    fn tokens(&self) -> &[Token] {
        &[]
    }

    fn learn(&mut self, _: &[u64]) {}

    /// Knows of no tokens: the length decides.
    fn reaches(&self, size: u32, _: u32, floor: f64) -> bool {
        self.most(size, self.sketch.size.min(size), 4) + SLACK >= floor
    }

    fn reaches_within(&self, (from, to): (u32, u32), common: u32, floor: f64) -> bool {
        self.reaches(self.sketch.size.clamp(from, to), common, floor)
    }

    fn admits(&self, sketch: &Sketch, floor: f64) -> bool {
        let counted = self.sketch.counts.iter().zip(&sketch.counts).map(|(a, b)| u16::from(*a.min(b)));
        let matches = u32::from(counted.sum::<u16>()) + self.uncounted;
        let front = self.sketch.lead.iter().zip(&sketch.lead).take_while(|(a, b)| a == b).count() as u32;
        self.most(sketch.size, matches.min(sketch.size), front) + SLACK >= floor
    }

    fn compare(&self, size: u32, units: &[u8], floor: f64, scratch: &mut Matches) -> Option<f64> {
        if self.sketch.size == 0 || size == 0 {
            return Some(self.most(size, 0, 0));
        }
        let front = self.front(units);
        let matches = self.matches(units, size, self.needed(size, front, floor), scratch)?;
        if matches == 0 {
            return Some(0.0);
        }
        let (transpositions, found) = (self.transpositions(scratch), f64::from(matches));
        let jaro = (found / f64::from(self.sketch.size)
            + found / f64::from(size)
            + f64::from(matches - transpositions) / found)
            / 3.0;
        Some(winkler(jaro, front))
    }
}
