//! Jaro-Winkler, as `strsim::jaro_winkler` has it.
//!
//! It forgives so much (any order within half the text's length) that no token two prompts must share is rare: there is
//! no list to look into. What bounds the work is a sketch: no more letters can match than both texts have of each, and
//! from the lengths, that number and the letters in front follows the most that Jaro-Winkler can give. So each search reads
//! all sketches of its sizes; and as prompts in one language have three quarters of their letters in common by nature,
//! below 0.9 many sketches admit their text, and a search of 100,000 prompts takes milliseconds.
//!
//! The matches are those of strsim's two loops, found by words of bits. Which letters match does not depend on which
//! text comes first: of the places of one letter in both texts, both ways take the first pair that lies within the
//! window and go on behind it.

use super::super::text::Text;
use super::letters::{count, each, Letters};
use super::measure::{lowest, Form, Measure, Token, SLACK};
use std::hash::RandomState;
use std::ops::ControlFlow;

/// Kinds of letters that a sketch counts.
const KINDS: usize = 24;
/// Words of a sketch.
const WORDS: usize = KINDS / 8 + 1;
/// What the front is worth, for each of four letters.
const FRONT: f64 = 0.1;

/// What a sketch is made of: how many letters of which kinds a text has, and the four that it begins with.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counts {
    kinds: [u8; KINDS],
    lead: u32,
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

impl Counts {
    /// With the letters that were too many to be counted.
    fn of(text: &[u8]) -> (Self, u32) {
        let mut counts = Self { kinds: [0; KINDS], lead: 0 };
        let (mut at, mut uncounted) = (0, 0);
        each(text, |letter| {
            if at < 4 {
                counts.lead |= (u32::from(letter) & 0x7f | u32::from(!letter.is_ascii()) << 7) << (at * 8);
            }
            if let Some(count) = counts.kinds.get_mut(kind_of(letter)) {
                match count.checked_add(1) {
                    Some(more) => *count = more,
                    None => uncounted += 1,
                }
            }
            at += 1;
            ControlFlow::Continue(())
        });
        (counts, uncounted)
    }
}

/// What a sketch is read with.
#[derive(Debug)]
pub struct Gate {
    counts: Counts,
    uncounted: u32,
    /// How many letters must match, by how many are alike in front.
    least: [u32; 5],
}

/// A prompt that is asked for.
#[derive(Clone, Debug)]
pub struct JaroWinkler {
    letters: Letters,
    counts: Counts,
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
        if self.size() == 0 || size == 0 {
            return f64::from(u8::from(self.size() == size));
        }
        let matches = f64::from(matches.min(size).min(self.size()));
        winkler((matches / f64::from(self.size()) + matches / f64::from(size) + 1.0) / 3.0, front)
    }

    /// The same for the size of a class that allows most: the shortest that has room for the matches.
    fn most_within(&self, (from, to): (u32, u32), matches: u32, front: u32) -> f64 {
        self.most(matches.clamp(from, to), matches, front)
    }

    /// How many letters must match to reach a similarity.
    fn needed(&self, size: u32, front: u32, floor: f64) -> u32 {
        let front = FRONT * f64::from(front);
        let jaro = (floor - front) / (1.0 - front);
        let parts = 1.0 / f64::from(self.size()) + 1.0 / f64::from(size);
        ((3.0 * jaro - 1.0) / parts - SLACK).ceil().max(0.0) as u32
    }

    /// Finds the letters that match, if they can be `needed`; how many.
    fn matches(&self, text: &[u8], size: u32, needed: u32, found: &mut Matches) -> Option<u32> {
        found.used.clear();
        found.used.resize(self.letters.words, 0);
        found.others.clear();
        let window = (self.size().max(size) as usize / 2).saturating_sub(1);
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
    type Gate = Gate;
    type Scratch = Matches;

    const THRESHOLD: f64 = super::Metric::JaroWinkler.default_threshold();
    const COMMON: usize = 8;
    const LOOK: f64 = 8.0;
    const COMPARISON: f64 = 400.0;
    const COMPARED: f64 = 0.005;

    fn form(text: &Text, _: &RandomState) -> Form<u8> {
        let units = text.normal.as_bytes().to_vec();
        Form { size: count(&units), units }
    }

    fn tokens_of(_: &[u8], _: &RandomState) -> Vec<u64> {
        Vec::new()
    }

    fn words(_: u32) -> usize {
        WORDS
    }

    fn sketch(_: usize, units: &[u8], _: &[u64]) -> Vec<u64> {
        let counts = Counts::of(units).0;
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        counts.kinds.chunks(8).map(word).chain([u64::from(counts.lead)]).collect()
    }

    fn ask(text: &Text, _: &RandomState) -> Self {
        let (counts, uncounted) = Counts::of(text.normal.as_bytes());
        Self { letters: Letters::of(&text.normal), counts, uncounted }
    }

    fn size(&self) -> u32 {
        self.letters.chars.len() as u32
    }

    /// None: letters alone are no tokens that a list could be kept of.
    fn tokens(&self) -> &[Token] {
        &[]
    }

    fn total(&self) -> u32 {
        self.size()
    }

    fn reaches(&self, size: u32, common: u32, floor: f64) -> bool {
        self.most(size, common, 4) + SLACK >= floor
    }

    fn reaches_within(&self, sizes: (u32, u32), common: u32, floor: f64) -> bool {
        self.most_within(sizes, common, 4) + SLACK >= floor
    }

    fn gate(&self, class: u32, floor: f64, _: &[u64]) -> Gate {
        let (sizes, total) = (Self::sizes(class), self.total());
        let enough = |front, matches| self.most_within(sizes, matches, front) + SLACK >= floor;
        let least = [0, 1, 2, 3, 4].map(|front| lowest(total + 1, |matches| enough(front, matches)));
        Gate { counts: self.counts, uncounted: self.uncounted, least }
    }

    fn pass(gate: &Gate, sketch: &[u64]) -> Option<u32> {
        let mut kinds = [0; KINDS];
        for (place, word) in kinds.chunks_exact_mut(8).zip(sketch) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let counted = gate.counts.kinds.iter().zip(&kinds).map(|(a, b)| u16::from(*a.min(b)));
        let matches = u32::from(counted.sum::<u16>()) + gate.uncounted;
        let lead = sketch.last().map_or(0, |word| *word as u32);
        let front = (gate.counts.lead ^ lead).trailing_zeros() / 8;
        gate.least.get(front as usize).filter(|least| matches >= **least).map(|_| matches)
    }

    fn compare(&self, size: u32, units: &[u8], floor: f64, scratch: &mut Matches) -> Option<f64> {
        if self.size() == 0 || size == 0 {
            return Some(self.most(size, 0, 0));
        }
        let front = self.front(units);
        let matches = self.matches(units, size, self.needed(size, front, floor), scratch)?;
        if matches == 0 {
            return Some(0.0);
        }
        let (transpositions, found) = (self.transpositions(scratch), f64::from(matches));
        let jaro =
            (found / f64::from(self.size()) + found / f64::from(size) + f64::from(matches - transpositions) / found)
                / 3.0;
        Some(winkler(jaro, front))
    }
}
