//! The pieces of words that the model has vectors for.
//!
//! Cutting a word asks for its longest beginning that is a piece, then for that of the rest. The hashes of all
//! beginnings are made in one pass, so asking for each of them costs one look-up and no second reading.

use std::sync::LazyLock;

const FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/model/vocab.txt"));

/// Stands before a piece that continues a word.
const CONTINUED: &str = "##";

/// The pieces by their places in the file.
pub(super) struct Vocabulary {
    pieces: Vec<&'static str>,
    /// Places of pieces, 0 for none, by the hash of the piece. At least half of it is empty.
    slots: Vec<u32>,
    /// In bytes, without the mark.
    longest: usize,
    unknown: u32,
}

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary::read(FILE));

/// Of a beginning or a continuing piece, letter by letter.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    const BEGINS: Self = Self(0xcbf2_9ce4_8422_2325);
    const CONTINUES: Self = Self(0x9e37_79b9_7f4a_7c15);

    fn and(self, byte: u8) -> Self {
        Self((self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }

    fn slot(self, slots: usize) -> usize {
        let mixed = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        usize::try_from(mixed).unwrap_or(0) & slots.saturating_sub(1)
    }
}

impl Vocabulary {
    /// The one that ships.
    pub fn get() -> &'static Self {
        &VOCABULARY
    }

    fn read(file: &'static str) -> Self {
        let pieces: Vec<_> = file.lines().collect();
        let mut slots = vec![0; (pieces.len() * 2).next_power_of_two()];
        let mut longest = 0;
        for (place, piece) in (0..).zip(&pieces) {
            let (hash, letters) = match piece.strip_prefix(CONTINUED).filter(|rest| !rest.is_empty()) {
                Some(rest) => (Hash::CONTINUES, rest),
                None => (Hash::BEGINS, *piece),
            };
            longest = longest.max(letters.len());
            let mut at = letters.bytes().fold(hash, Hash::and).slot(slots.len());
            while slots.get(at).is_some_and(|taken| *taken != 0) {
                at = (at + 1) & (slots.len() - 1);
            }
            if let Some(slot) = slots.get_mut(at) {
                *slot = place + 1;
            }
        }
        let unknown = (0..).zip(&pieces).find(|(_, piece)| **piece == "[UNK]").map_or(0, |(place, _)| place);
        Self { pieces, slots, longest, unknown }
    }

    /// The piece for words that cannot be cut.
    pub fn unknown(&self) -> u32 {
        self.unknown
    }

    /// How many pieces there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// How a piece is written.
    #[cfg(test)]
    pub fn text(&self, piece: u32) -> Option<&'static str> {
        self.pieces.get(piece as usize).copied()
    }

    fn find(&self, hash: Hash, letters: &[u8], continues: bool) -> Option<u32> {
        let mut at = hash.slot(self.slots.len());
        loop {
            let piece = self.slots.get(at)?.checked_sub(1)?;
            let text = self.pieces.get(usize::try_from(piece).ok()?)?.as_bytes();
            let text = if continues { text.strip_prefix(CONTINUED.as_bytes()) } else { Some(text) };
            if text == Some(letters) {
                return Some(piece);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Appends the pieces of a word, the longest first; false, and nothing appended, where some part of it is no piece.
    pub fn cut(&self, word: &str, pieces: &mut Vec<u32>) -> bool {
        let before = pieces.len();
        let mut rest = word.as_bytes();
        while !rest.is_empty() {
            let continues = rest.len() < word.len();
            match self.longest_beginning(rest, continues) {
                Some((piece, behind)) => {
                    pieces.push(piece);
                    rest = behind;
                }
                None => {
                    pieces.truncate(before);
                    return false;
                }
            }
        }
        true
    }

    /// The longest piece that `letters` begin with, and what is behind it. Pieces are whole characters, so one is never
    /// cut within a character of the word.
    fn longest_beginning<'a>(&self, letters: &'a [u8], continues: bool) -> Option<(u32, &'a [u8])> {
        let mut hashes = [Hash::BEGINS; 64];
        let most = letters.len().min(self.longest).min(hashes.len());
        let mut hash = if continues { Hash::CONTINUES } else { Hash::BEGINS };
        for (known, byte) in hashes.iter_mut().zip(letters.iter().take(most)) {
            hash = hash.and(*byte);
            *known = hash;
        }
        let beginnings = hashes.iter().enumerate().take(most).rev();
        beginnings
            .filter_map(|(last, hash)| letters.split_at_checked(last + 1).map(|cut| (hash, cut)))
            .find_map(|(hash, (beginning, behind))| self.find(*hash, beginning, continues).map(|piece| (piece, behind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_found() {
        let vocabulary = Vocabulary::get();
        assert!(vocabulary.longest <= 64);
        assert_eq!(vocabulary.text(vocabulary.unknown()), Some("[UNK]"));
        for (place, piece) in vocabulary.pieces.iter().enumerate().filter(|(_, piece)| !piece.starts_with("##")) {
            let mut pieces = Vec::new();
            assert!(vocabulary.cut(piece, &mut pieces));
            assert_eq!(pieces, [place as u32], "{piece}");
        }
    }

    #[test]
    fn what_has_an_unknown_part_is_not_cut() {
        let mut pieces = vec![7];
        assert!(!Vocabulary::get().cut("the\u{e000}", &mut pieces));
        assert_eq!(pieces, [7]);
    }
}
