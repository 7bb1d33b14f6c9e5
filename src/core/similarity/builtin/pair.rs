//! A closer look at two texts whose vectors are near each other.
//!
//! A vector is a sum of words, in which one word that differs weighs little. The scorer looks at what differs: it
//! aligns the words of both texts, measures what has no partner, and asks a set of small regression trees
//! (`model/pairs.txt`) what cosine a sentence encoder would find. It costs some ten microseconds, so only the best
//! candidates are worth it.
//!
//! All features are the same whichever of the texts is the query.

mod alignment;
mod side;
mod trees;

use super::super::text::Text;
use alignment::Alignment;
pub use side::Side;
use trees::Trees;

/// What the trees know of a pair, in the order in which [`features`] gives it. "less" and "more" are the smaller and
/// the larger value of the two sides.
pub const FEATURES: [&str; 38] = [
    "cosine",
    "content_cosine",
    "function_cosine",
    "aligned_less",
    "aligned_more",
    "worst_less",
    "worst_more",
    "worst_weight_less",
    "worst_weight_more",
    "partners_less",
    "partners_more",
    "lost_less",
    "lost_more",
    "lost_share_less",
    "lost_share_more",
    "lost_words_less",
    "lost_words_more",
    "lost_function_less",
    "lost_function_more",
    "lost_cosine",
    "lost_length_less",
    "lost_length_more",
    "lost_unknown",
    "shared_words",
    "shared_share",
    "shared_weight",
    "words_less",
    "words_more",
    "words_ratio",
    "numbers",
    "negations",
    "asking",
    "first_cosine",
    "last_cosine",
    "neighbours",
    "inversions",
    "spelling",
    "weight_ratio",
];

/// What the trees are asked about. `cosine` is that of the vectors of the texts.
pub fn features(a: &Text, b: &Text, cosine: f32) -> [f32; FEATURES.len()] {
    Alignment::new(&Side::new(a), &Side::new(b)).features(cosine)
}

/// How similar two texts are, on the scale of a cosine.
pub fn score(a: &Text, b: &Text, cosine: f32) -> f32 {
    score_sides(&Side::new(a), &Side::new(b), cosine)
}

/// The same for sides that are made once and compared several times.
pub fn score_sides(a: &Side, b: &Side, cosine: f32) -> f32 {
    match Trees::get() {
        Some(trees) => trees.ask(&Alignment::new(a, b).features(cosine)),
        None => cosine,
    }
}

/// Reads the trees now rather than with the first pair.
pub(super) fn prepare() {
    Trees::get();
}

#[cfg(test)]
mod tests;
