//! Bigrams of letters as tokens.
//!
//! A bigram that occurs twice is two tokens, the first and the second of its kind, so that what two prompts have in
//! common as multisets they have in common as sets.

use super::letters::each;
use std::ops::ControlFlow;

/// Bits of a `char`.
const CHAR: u32 = 21;
/// Bits of an occurrence; prompts are shorter than that.
const OCCURRENCE: u32 = 12;

/// The bigrams of a text, sorted.
pub fn grams(text: &[u8], grams: &mut Vec<u64>) {
    grams.clear();
    let mut before = None;
    each(text, |letter| {
        let letter = u64::from(u32::from(letter));
        if let Some(before) = before.replace(letter) {
            grams.push(before << CHAR | letter);
        }
        ControlFlow::Continue(())
    });
    grams.sort_unstable();
}

/// The bigrams of a text as tokens, each once, in order.
pub fn tokens(text: &[u8]) -> Vec<u64> {
    let mut tokens = Vec::with_capacity(text.len() + 1);
    grams(text, &mut tokens);
    let (mut same, mut occurrence) = (None, 0u64);
    for token in &mut tokens {
        occurrence = if same.replace(*token) == Some(*token) { occurrence + 1 } else { 0 };
        *token = *token << OCCURRENCE | occurrence.min((1 << OCCURRENCE) - 1);
    }
    tokens.dedup();
    tokens
}

/// How much two sorted lists have in common as multisets.
pub fn common(a: &[u64], b: &[u64]) -> u32 {
    let (mut i, mut j, mut common) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        common += u32::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bigram_that_occurs_twice_is_two_tokens() {
        assert_eq!(tokens(b"anan").len(), 3);
        assert_eq!(common(&tokens(b"anan"), &tokens(b"an")), 1);
        assert_eq!(common(&tokens(b"anan"), &tokens(b"nana")), 2);
        assert_eq!(tokens("é".as_bytes()).len(), 0);
        assert_eq!(tokens("éàé".as_bytes()).len(), 2);
    }
}
