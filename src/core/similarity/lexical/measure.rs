//! What a metric tells the index of itself.
//!
//! A prompt becomes a *form*: its size and the units that it is kept in. Two prompts can only be similar if they have
//! enough tokens in common, measured by the weight that the tokens have in the prompt that is asked for. How much is
//! enough depends on both sizes, and is each metric's own inequality.

use super::super::text::Text;
use std::fmt::Debug;
use std::hash::RandomState;

/// What is kept of a prompt.
#[derive(Clone, Debug)]
pub struct Form<U> {
    /// How large it is, in the metric's own terms.
    pub size: u32,
    /// Enough to compare it.
    pub units: Vec<U>,
}

/// A token of the prompt that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token {
    /// What it is.
    pub key: u64,
    /// What it weighs in what two prompts have in common.
    pub weight: u32,
}

/// The bit of tokens whose lists are kept however long they are.
pub const KEPT: u64 = 1 << 63;

/// A prompt that is asked for, by one metric.
pub trait Measure: Clone + Debug + Send + Sync + 'static {
    /// What prompts are kept in.
    type Unit: Copy + Debug + Default + Send + Sync + 'static;
    /// What sketches are read with.
    type Gate;
    /// Room to compare in.
    type Scratch: Default;
    /// What is served where nobody says from which similarity on, and from where on [`Self::COMPARED`] holds.
    const THRESHOLD: f64;
    /// One row in how many may hold a token before its list is given up: such a list is long to keep and long to read.
    const COMMON: usize;
    /// Nanoseconds for a look at a sketch.
    const LOOK: f64;
    /// Nanoseconds for a comparison.
    const COMPARISON: f64;
    /// Which share of the looks is followed by one.
    const COMPARED: f64;

    /// What is kept of a prompt.
    fn form(text: &Text, hasher: &RandomState) -> Form<Self::Unit>;

    /// The tokens of a prompt, each once, in order.
    fn tokens_of(units: &[Self::Unit], hasher: &RandomState) -> Vec<u64>;

    /// In which of 64 classes the prompts of a size stand.
    fn class(size: u32) -> u32 {
        class_of(size)
    }

    /// The sizes of a class.
    fn sizes(class: u32) -> (u32, u32) {
        sizes_of(class)
    }

    /// Words of a sketch in a class.
    fn words(class: u32) -> usize;

    /// The sketch of a prompt whose tokens have these hashes, of so many words.
    fn sketch(words: usize, units: &[Self::Unit], hashes: &[u64]) -> Vec<u64>;

    /// Asks for a prompt.
    fn ask(text: &Text, hasher: &RandomState) -> Self;

    /// Its size.
    fn size(&self) -> u32;

    /// Its tokens.
    fn tokens(&self) -> &[Token];

    /// How much there is of it to be compared.
    fn length(&self) -> u32 {
        self.size()
    }

    /// What its tokens weigh together, or what else is the most to have in common with it.
    fn total(&self) -> u32 {
        self.tokens().iter().fold(0, |sum, token| sum.saturating_add(token.weight))
    }

    /// A token that only equal prompts have, where these may be more similar than their tokens say.
    fn twin(&self) -> Option<u64> {
        None
    }

    /// Whether a prompt of this size with at most `common` in common may reach a similarity. Never a wrong no, but for
    /// twins.
    fn reaches(&self, size: u32, common: u32, floor: f64) -> bool;

    /// Whether any of these sizes may.
    fn reaches_within(&self, sizes: (u32, u32), common: u32, floor: f64) -> bool;

    /// What the sketches of a class must show to reach a similarity; `hashes` are those of the tokens.
    fn gate(&self, class: u32, floor: f64, hashes: &[u64]) -> Self::Gate;

    /// The most that a row with this sketch has in common with the prompt, if that may be enough.
    fn pass(gate: &Self::Gate, sketch: &[u64]) -> Option<u32>;

    /// How similar a prompt is, to the last bit as the definition says. None only if that is below `floor`.
    fn compare(&self, size: u32, units: &[Self::Unit], floor: f64, scratch: &mut Self::Scratch) -> Option<f64>;

    /// The least to have in common with the prompt that may be enough in a class.
    fn least(&self, class: u32, floor: f64) -> u32 {
        lowest(self.total(), |common| self.reaches_within(Self::sizes(class), common, floor))
    }
}

/// The lowest number up to `most` that is enough, where what is more is enough as well; `most` if none is.
pub fn lowest(most: u32, enough: impl Fn(u32) -> bool) -> u32 {
    let (mut from, mut to) = (0, most);
    while from < to {
        let middle = from + (to - from) / 2;
        match enough(middle) {
            true => to = middle,
            false => from = middle + 1,
        }
    }
    from
}

/// What is added where a bound is compared with a similarity, so that rounding never makes a no of a yes.
pub const SLACK: f64 = 1e-9;

/// Classes of sizes: four to a doubling, and one for all that is too large to be a prompt.
const FINE: u32 = 2;
const LARGEST: u32 = 63;

/// The class of a size.
fn class_of(size: u32) -> u32 {
    let size = u64::from(size.max(1));
    let doubling = size.ilog2();
    (doubling << FINE | ((size << FINE >> doubling) as u32 & ((1 << FINE) - 1))).min(LARGEST)
}

/// The least and the largest size of a class.
fn sizes_of(class: u32) -> (u32, u32) {
    let least = |class: u32| {
        let (doubling, part) = (class >> FINE, class & ((1 << FINE) - 1));
        ((((1 << FINE) + part) << doubling) + (1 << FINE) - 1) >> FINE
    };
    let from = if class == 0 { 0 } else { least(class) };
    (from, if class < LARGEST { least(class + 1) - 1 } else { u32::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_in_its_class() {
        for size in (0..100_000).chain([1 << 20, u32::MAX / 3, u32::MAX]) {
            let class = class_of(size);
            let (from, to) = sizes_of(class);
            assert!((from..=to).contains(&size) && class < 64, "{size} in {class}: {from} to {to}");
        }
    }
}
