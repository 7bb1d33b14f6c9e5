//! The model that ships inside the module: a table of vectors for pieces of words, distilled from all-MiniLM-L6-v2, and
//! a scorer for the best candidates that a search by these vectors finds.
//!
//! It knows English. A text that is mostly made of words it has never seen has no vector, and is compared by its
//! letters alone: single letters of a foreign script do have vectors, and would make any two texts of that script look
//! alike.

pub mod pair;
mod table;
mod vocabulary;
pub mod wordpiece;

use super::text::Text;
use super::words::{self, Class, Word};
use table::Table;
use vocabulary::Vocabulary;

/// How many numbers a vector has.
pub const DIM: usize = 256;

/// Changes with any bit of the table. Vectors of different tables cannot be compared.
pub fn model_id() -> u32 {
    Table::get().model_id
}

/// The vector of a text, of length 1. None where the model does not know the words.
pub fn encode(text: &Text) -> Option<[f32; DIM]> {
    if !is_known(&text.words) {
        return None;
    }
    let mut pieces = Vec::with_capacity(64);
    wordpiece::tokenize(&text.normal, &mut pieces);
    let unknown = Vocabulary::get().unknown();
    if pieces.iter().all(|piece| *piece == unknown) {
        return None;
    }
    let mut sum = [0.0; DIM];
    for piece in pieces {
        Table::get().add(piece, &mut sum);
    }
    to_unit(&mut sum).then_some(sum)
}

/// Whether enough of the words are known English ones. A word that is in no list may be a name or a slip and counts
/// half; a word of another language or script counts in full.
fn is_known(words: &[Word]) -> bool {
    let (mut known, mut unknown) = (0, 0);
    for word in words.iter().filter(|word| matches!(word.class, Class::Function | Class::Content)) {
        match (word.class, word.known) {
            (Class::Function, _) => known += 2,
            (_, true) if !words::is_foreign(&word.text) => known += 2,
            (_, false) if word.text.is_ascii() => unknown += 1,
            _ => unknown += 2,
        }
    }
    known >= unknown
}

/// Makes a vector one of length 1. False where it has none.
fn to_unit(vector: &mut [f32; DIM]) -> bool {
    let norm = dot(vector, vector).sqrt();
    if !norm.is_normal() {
        return false;
    }
    for component in vector {
        *component /= norm;
    }
    true
}

/// In eight sums, so that the compiler may add several at once.
fn dot(a: &[f32; DIM], b: &[f32; DIM]) -> f32 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

/// Reads the tables now rather than with the first prompt.
pub fn prepare() {
    Table::get();
    Vocabulary::get();
    pair::prepare();
}

#[cfg(test)]
mod tests;
