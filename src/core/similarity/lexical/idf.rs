//! The cosine of stemmed words, weighted by how rare each is in the corpus of the model.
//!
//! How rare a word is does not depend on what else is cached, so two prompts are as similar in one cache as in another.
//! Each stem counts once, however often it occurs; of its forms the rarest gives the weight. Weights are hundredths in
//! whole numbers, so sums do not depend on their order and the index gives the definition's value to the last bit.
//!
//! What makes the index fast is the inequality of Cauchy and Schwarz: two prompts that have only some of the words in
//! common are at most as similar as the square root of those words' share in the squares of one prompt's weights. From
//! 0.8 on, a prompt that has none of the words that make up 36 % of the query's squares need not be looked at.

use super::super::text::Text;
use super::measure::{Form, Measure, Token, SLACK};
use super::sketch::{Mask, Sketch};
use std::cmp::Ordering;
use std::hash::{BuildHasher, RandomState};

/// The largest weight: 20.00, far above what any corpus gives.
const MOST: f32 = 2000.0;
/// A term is kept in 64 bits: so many for the weight, the others for the hash of the stem.
const WEIGHT: u32 = 11;
const WEIGHT_MASK: u64 = (1 << WEIGHT) - 1;

fn hundredths(idf: f32) -> u32 {
    // Not a number becomes 0.
    (idf * 100.0).round().clamp(0.0, MOST) as u32
}

/// What must be sorted by key and weight, each key with its largest weight.
fn once<K: PartialEq>(terms: &mut Vec<(K, u32)>) {
    terms.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.max(next.1);
        }
        same
    });
}

fn mass(weights: impl Iterator<Item = u32>) -> u32 {
    weights.fold(0, |sum, weight| sum.saturating_add(weight * weight))
}

/// What two sorted lists of terms have in common: the sum of the products of their weights.
fn product<K: Ord>(a: &[(K, u32)], b: &[(K, u32)]) -> u64 {
    let (mut i, mut j, mut sum) = (0, 0, 0);
    while let (Some((x, v)), Some((y, w))) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            Ordering::Less => i += 1,
            Ordering::Greater => j += 1,
            Ordering::Equal => {
                sum += u64::from(*v) * u64::from(*w);
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    sum
}

fn quotient(product: u64, a: u32, b: u32) -> f64 {
    if product == 0 {
        return 0.0;
    }
    (product as f64 / (f64::from(a) * f64::from(b)).sqrt()).min(1.0)
}

/// The definition.
pub fn cosine(a: &Text, b: &Text) -> f64 {
    fn terms(text: &Text) -> Vec<(&str, u32)> {
        let mut terms: Vec<_> = text.words.iter().map(|word| (&*word.stem, hundredths(word.idf))).collect();
        terms.sort_unstable();
        once(&mut terms);
        terms
    }
    let (a, b) = (terms(a), terms(b));
    let mass = |terms: &[(&str, u32)]| mass(terms.iter().map(|term| term.1));
    quotient(product(&a, &b), mass(&a), mass(&b))
}

fn split(unit: u64) -> (u64, u32) {
    (unit >> WEIGHT, (unit & WEIGHT_MASK) as u32)
}

/// A prompt that is asked for.
#[derive(Clone, Debug)]
pub struct Idf {
    terms: Vec<(u64, u32)>,
    tokens: Vec<Token>,
    mass: u32,
    mask: Mask,
}

impl Measure for Idf {
    /// A stem's hash and weight. The hash has a key of its own for each index, so nobody outside can make two stems
    /// meet; by chance two words of two prompts do so once in 10¹⁵.
    type Unit = u64;
    type Sketch = Sketch;
    type Scratch = ();

    const THRESHOLD: f64 = super::Metric::Idf.default_threshold();
    const LOOK: f64 = 8.0;
    const COMPARISON: f64 = 0.1;
    const COMPARED: f64 = 0.05;

    fn form(text: &Text, hasher: &RandomState) -> Form<u64> {
        let term = |word: &super::super::words::Word| (hasher.hash_one(&*word.stem) >> WEIGHT, hundredths(word.idf));
        let mut terms: Vec<_> = text.words.iter().map(term).collect();
        terms.sort_unstable();
        once(&mut terms);
        let size = mass(terms.iter().map(|term| term.1));
        Form { size, units: terms.into_iter().map(|(stem, weight)| stem << WEIGHT | u64::from(weight)).collect() }
    }

    fn tokens_of(units: &[u64], _: &RandomState) -> Vec<u64> {
        units.iter().map(|unit| split(*unit).0).collect()
    }

    fn sketch(size: u32, _: &[u64], hashes: &[u64]) -> Sketch {
        Sketch::new(size, hashes)
    }

    /// A cosine does not depend on sizes.
    fn class(_: u32) -> u32 {
        0
    }

    fn sizes(_: u32) -> (u32, u32) {
        (0, u32::MAX)
    }

    fn ask(text: &Text, hasher: &RandomState) -> Self {
        let form = Self::form(text, hasher);
        let terms: Vec<_> = form.units.into_iter().map(split).collect();
        let tokens = terms.iter().map(|(key, weight)| Token { key: *key, weight: weight * weight }).collect();
        Self { terms, tokens, mass: form.size, mask: Mask::default() }
    }

    fn size(&self) -> u32 {
        self.mass
    }

    fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    fn learn(&mut self, hashes: &[u64]) {
        self.mask = Mask::new(&self.tokens, hashes);
    }

    fn reaches(&self, _: u32, common: u32, floor: f64) -> bool {
        f64::from(common) * (1.0 + SLACK) >= floor * floor.abs() * f64::from(self.mass)
    }

    fn reaches_within(&self, _: (u32, u32), common: u32, floor: f64) -> bool {
        self.reaches(0, common, floor)
    }

    fn admits(&self, sketch: &Sketch, floor: f64) -> bool {
        self.reaches(0, self.mask.most(sketch), floor)
    }

    fn compare(&self, size: u32, units: &[u64], _: f64, (): &mut ()) -> Option<f64> {
        let (mut at, mut sum) = (0, 0);
        for (stem, weight) in units.iter().map(|unit| split(*unit)) {
            while self.terms.get(at).is_some_and(|term| term.0 < stem) {
                at += 1;
            }
            match self.terms.get(at) {
                Some(term) if term.0 == stem => sum += u64::from(term.1) * u64::from(weight),
                Some(_) => {}
                None => break,
            }
        }
        Some(quotient(sum, self.mass, size))
    }
}
