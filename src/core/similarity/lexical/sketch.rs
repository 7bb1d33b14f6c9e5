//! A glance at a row: its size, and a bit for each of its tokens.
//!
//! What two prompts have in common weighs at most what the tokens weigh whose bits both have. Tokens that happen to
//! share a bit make that too much, never too little.

use super::measure::Token;

const BITS: usize = 96;
type Bits = [u32; BITS / 32];

/// What a row shows of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sketch {
    pub size: u32,
    bits: Bits,
}

/// The same of the prompt that is asked for, with what its tokens weigh.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    bits: Bits,
    /// By bit. None where each token weighs 1, so that counting bits is enough.
    weights: Option<Box<[u32]>>,
    /// What tokens weigh that share the bits of others.
    spare: u32,
}

fn bit_of(hash: u64) -> (usize, u32) {
    // Other bits of the hash than those that the tables use.
    let bit = ((hash >> 36 & 0xfff_ffff) * BITS as u64) >> 28;
    (bit as usize / 32, bit as u32 % 32)
}

fn set(bits: &mut Bits, hash: u64) -> bool {
    let (word, bit) = bit_of(hash);
    let Some(word) = bits.get_mut(word) else { return false };
    let fresh = *word >> bit & 1 == 0;
    *word |= 1 << bit;
    fresh
}

impl Sketch {
    pub fn new(size: u32, hashes: &[u64]) -> Self {
        let mut bits = Bits::default();
        hashes.iter().for_each(|hash| {
            set(&mut bits, *hash);
        });
        Self { size, bits }
    }
}

impl Mask {
    pub fn new(tokens: &[Token], hashes: &[u64]) -> Self {
        let mut mask = Self::default();
        let alike = tokens.iter().all(|token| token.weight == 1);
        let mut weights = vec![0u32; BITS];
        for (token, hash) in tokens.iter().zip(hashes) {
            if !set(&mut mask.bits, *hash) && alike {
                mask.spare += 1;
            }
            let (word, bit) = bit_of(*hash);
            if let Some(weight) = weights.get_mut(word * 32 + bit as usize) {
                *weight = weight.saturating_add(token.weight);
            }
        }
        mask.weights = (!alike).then(|| weights.into());
        mask
    }

    /// The most that a row with this sketch can have in common with the prompt.
    pub fn most(&self, sketch: &Sketch) -> u32 {
        let [a, b, c] = [0, 1, 2].map(|i| self.bits[i] & sketch.bits[i]);
        let Some(weights) = &self.weights else {
            return (u64::from(a) << 32 | u64::from(b)).count_ones() + c.count_ones() + self.spare;
        };
        let mut sum = 0u32;
        for (word, mut bits) in weights.chunks_exact(32).zip([a, b, c]) {
            while bits != 0 {
                sum = sum.saturating_add(word.get(bits.trailing_zeros() as usize).copied().unwrap_or(0));
                bits &= bits - 1;
            }
        }
        sum
    }
}
