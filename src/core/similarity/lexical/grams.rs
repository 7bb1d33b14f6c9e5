//! Bigrams of letters as tokens.
//!
//! A bigram that occurs twice is two tokens, the first and the second of its kind, so that what two prompts have in
//! common as multisets they have in common as sets.

use super::letters::each;
use std::ops::ControlFlow;

/// Bits of a `char`.
const CHAR: u32 = 21;
/// Bits of an occurrence. The highest bit of a token stays free, for others.
const OCCURRENCE: u32 = 21;

/// Shows each bigram of a text to `see` until it has seen enough.
fn each_gram(text: &[u8], mut see: impl FnMut(u64) -> ControlFlow<()>) {
    let mut before = None;
    each(text, |letter| {
        let letter = u64::from(u32::from(letter));
        match before.replace(letter) {
            Some(before) => see(before << CHAR | letter),
            None => ControlFlow::Continue(()),
        }
    });
}

/// The bigrams of a text as tokens, each once, in order.
pub fn tokens(text: &[u8]) -> Vec<u64> {
    let mut tokens = Vec::with_capacity(text.len() + 1);
    each_gram(text, |gram| {
        tokens.push(gram);
        ControlFlow::Continue(())
    });
    tokens.sort_unstable();
    let (mut same, mut occurrence) = (None, 0u64);
    for token in &mut tokens {
        occurrence = if same.replace(*token) == Some(*token) { occurrence + 1 } else { 0 };
        *token = *token << OCCURRENCE | occurrence.min((1 << OCCURRENCE) - 1);
    }
    tokens.dedup();
    tokens
}

/// Room to count in.
#[derive(Debug, Default)]
pub struct Scratch {
    /// How many are left of each bigram.
    left: Vec<u16>,
    /// What was taken away, and is given back.
    taken: Vec<(u32, u16)>,
}

/// The bigrams of a text and how often each occurs, in a table that other texts are held against.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Each bigram, more by 1, in the first free place from its own on; 0 where there is none.
    grams: Vec<u64>,
    counts: Vec<u16>,
}

impl Counted {
    pub fn of(text: &[u8]) -> Self {
        // At most a quarter full, so that a bigram or a free place is found at once.
        let room = (4 * text.len()).next_power_of_two();
        let mut counted = Self { grams: vec![0; room], counts: vec![0; room] };
        each_gram(text, |gram| {
            let at = counted.place(gram);
            if let (Some(place), Some(count)) = (counted.grams.get_mut(at), counted.counts.get_mut(at)) {
                *place = gram + 1;
                *count = count.saturating_add(1);
            }
            ControlFlow::Continue(())
        });
        counted
    }

    fn place(&self, gram: u64) -> usize {
        let mask = self.grams.len() - 1;
        let mut at = (gram.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize & mask;
        while self.grams.get(at).is_some_and(|held| *held != gram + 1 && *held != 0) {
            at = (at + 1) & mask;
        }
        at
    }

    /// How many bigrams a text has in common with this one, if at least `least`. Wants the same scratch for each text.
    pub fn common(&self, text: &[u8], least: u32, scratch: &mut Scratch) -> Option<u32> {
        if scratch.left.len() != self.counts.len() {
            scratch.left.clone_from(&self.counts);
        }
        let (mut common, mut to_come) = (0, text.len() as u32);
        each_gram(text, |gram| {
            let at = self.place(gram);
            // Whether it is in common nobody can foresee, so no branch depends on it.
            let held = scratch.left.get_mut(at).map_or(0, |left| {
                let held = u16::from(*left > 0);
                *left -= held;
                held
            });
            scratch.taken.push((at as u32, held));
            common += u32::from(held);
            to_come = to_come.saturating_sub(1);
            if common + to_come < least {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        for (at, held) in scratch.taken.drain(..) {
            if let Some(left) = scratch.left.get_mut(at as usize) {
                *left += held;
            }
        }
        Some(common).filter(|common| *common >= least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bigram_that_occurs_twice_is_two_tokens() {
        assert_eq!(tokens(b"anan").len(), 3);
        let common = |a: &[u8], b: &[u8]| Counted::of(a).common(b, 0, &mut Scratch::default());
        assert_eq!(common(b"anan", b"an"), Some(1));
        assert_eq!(common(b"anan", b"nana"), Some(2));
        assert_eq!(common(b"\0\0\0a", b"\0\0\0\0"), Some(2));
        assert_eq!(common("日本語".as_bytes(), "本語日本".as_bytes()), Some(2));
        assert_eq!(Counted::of(b"abcdef").common(b"abxdef", 4, &mut Scratch::default()), None);
        assert_eq!(tokens("é".as_bytes()).len(), 0);
        assert_eq!(tokens("éàé".as_bytes()).len(), 2);
    }
}
