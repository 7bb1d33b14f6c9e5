//! A glance at a row: a bit for each of its tokens.
//!
//! What two prompts have in common weighs at most what the tokens weigh whose bits both have. Tokens that happen to
//! share a bit make that too much, never too little. Longer prompts have longer sketches, three to six bits to a
//! token: with fewer, long searches compare many rows in vain.

use super::measure::Token;

/// Words for a sketch of so many tokens.
pub fn words_for(tokens: u32) -> usize {
    ((tokens / 16).next_power_of_two() as usize).clamp(2, 64)
}

fn bit_of(hash: u64, words: usize) -> (usize, u64) {
    // Other bits of the hash than those that the tables use. The number of words is a power of two.
    let bit = (hash >> 36) as usize & (words * 64 - 1);
    (bit / 64, 1 << (bit % 64))
}

/// The sketch of a prompt whose tokens have these hashes.
pub fn sketch(words: usize, hashes: &[u64]) -> Vec<u64> {
    let mut sketch = vec![0; words];
    for hash in hashes {
        let (word, bit) = bit_of(*hash, words);
        if let Some(word) = sketch.get_mut(word) {
            *word |= bit;
        }
    }
    sketch
}

/// What the sketch of a row must show for the row to be compared with the prompt that is asked for.
#[derive(Debug)]
pub struct Gate {
    bits: Vec<u64>,
    /// By bit. None where each token weighs 1, so that counting bits is enough.
    weights: Option<Vec<u32>>,
    /// What tokens weigh that share the bits of others.
    spare: u32,
    /// What the tokens in common must weigh.
    least: u32,
}

impl Gate {
    pub fn new(words: usize, tokens: &[Token], hashes: &[u64], least: u32) -> Self {
        let bits = sketch(words, hashes);
        if tokens.iter().all(|token| token.weight == 1) {
            let distinct: u32 = bits.iter().map(|word| word.count_ones()).sum();
            return Self { bits, weights: None, spare: tokens.len() as u32 - distinct, least };
        }
        let mut weights = vec![0u32; words * 64];
        for (token, hash) in tokens.iter().zip(hashes) {
            let (word, bit) = bit_of(*hash, words);
            if let Some(weight) = weights.get_mut(word * 64 + bit.trailing_zeros() as usize) {
                *weight = weight.saturating_add(token.weight);
            }
        }
        Self { bits, weights: Some(weights), spare: 0, least }
    }

    /// The most that a row with this sketch can have in common with the prompt, if that is enough.
    pub fn pass(&self, sketch: &[u64]) -> Option<u32> {
        let both = self.bits.iter().zip(sketch).map(|(a, b)| a & b);
        let most = match (&self.weights, &*self.bits, sketch) {
            (None, [a, b], [x, y]) => (a & x).count_ones() + (b & y).count_ones() + self.spare,
            (None, ..) => both.map(u64::count_ones).sum::<u32>() + self.spare,
            (Some(weights), ..) => {
                let mut sum = 0u32;
                for (weights, mut bits) in weights.chunks_exact(64).zip(both) {
                    while bits != 0 {
                        sum = sum.saturating_add(weights.get(bits.trailing_zeros() as usize).copied().unwrap_or(0));
                        bits &= bits - 1;
                    }
                }
                sum
            }
        };
        (most >= self.least).then_some(most)
    }
}
