//! One of the two texts: its words with their vectors.

use super::super::super::text::Text;
use super::super::super::words::{Class, Word, WordHash};
use super::super::{dot, table::Table, wordpiece, DIM};
use std::hash::BuildHasher;

/// What is behind this many words is not compared: the cost grows with the square of it.
const MOST: usize = 64;

/// A text, ready to be aligned with others.
pub struct Side<'a> {
    pub(super) parts: Vec<Part<'a>>,
    /// The vectors of the parts, in the same order.
    pub(super) vectors: Vec<[f32; DIM]>,
    /// Of the vectors: how much each word weighs in the vector of the text.
    pub(super) lengths: Vec<f32>,
}

/// A word and what it is compared by.
pub(super) struct Part<'a> {
    pub word: &'a Word,
    /// Of the stem.
    pub hash: u64,
}

impl Part<'_> {
    pub fn is_function(&self) -> bool {
        self.word.class == Class::Function
    }
}

impl<'a> Side<'a> {
    /// Looks the vectors of the words up.
    pub fn new(text: &'a Text) -> Self {
        let table = Table::get();
        let count = text.words.len().min(MOST);
        let (mut parts, mut vectors) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut pieces = Vec::with_capacity(8);
        for word in text.words.iter().take(MOST) {
            pieces.clear();
            wordpiece::tokenize(&word.text, &mut pieces);
            vectors.push([0.0; DIM]);
            if let Some(vector) = vectors.last_mut() {
                pieces.iter().for_each(|piece| table.add(*piece, vector));
            }
            parts.push(Part { word, hash: WordHash::default().hash_one(word.stem.as_str()) });
        }
        let lengths = vectors.iter().map(|vector| dot(vector, vector).sqrt()).collect();
        Self { parts, vectors, lengths }
    }
}
