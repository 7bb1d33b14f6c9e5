//! Where each letter stands in a text, as bits: what compares two texts a word of the machine at a time.

use std::ops::ControlFlow;

/// Shows each letter of a text to `see` until it has seen enough.
pub fn each(text: &[u8], see: impl FnMut(char) -> ControlFlow<()>) {
    // A text is kept as bytes among those of others. It was a string once, so there is always one to be had from it.
    let _ = match text.is_ascii() {
        true => text.iter().map(|byte| char::from(*byte)).try_for_each(see),
        false => std::str::from_utf8(text).unwrap_or_default().chars().try_for_each(see),
    };
}

/// How many letters a text has.
pub fn count(text: &[u8]) -> u32 {
    text.iter().filter(|byte| !matches!(byte, 0x80..=0xbf)).count() as u32
}

/// The letters of a text.
#[derive(Clone, Debug)]
pub struct Letters {
    /// In order.
    pub chars: Vec<char>,
    /// Words of the machine that a bit for each of them takes.
    pub words: usize,
    /// For each letter where its bits are; the first bits are those of letters that do not occur.
    ascii: [u16; 128],
    others: Vec<(char, u16)>,
    bits: Vec<u64>,
}

impl Letters {
    pub fn of(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let words = chars.len().div_ceil(64);
        let mut letters = Self { chars, words, ascii: [0; 128], others: Vec::new(), bits: vec![0; words] };
        for at in 0..letters.chars.len() {
            let Some(letter) = letters.chars.get(at).copied() else { continue };
            let mut place = letters.place(letter);
            if place == 0 {
                place = letters.add(letter);
            }
            if let Some(word) = letters.bits.get_mut(usize::from(place) * words + at / 64) {
                *word |= 1 << (at % 64);
            }
        }
        letters
    }

    fn place(&self, letter: char) -> u16 {
        match self.ascii.get(letter as usize) {
            Some(place) => *place,
            None => match self.others.binary_search_by_key(&letter, |other| other.0) {
                Ok(at) => self.others.get(at).map_or(0, |other| other.1),
                Err(_) => 0,
            },
        }
    }

    fn add(&mut self, letter: char) -> u16 {
        let place = (self.bits.len() / self.words.max(1)) as u16;
        self.bits.resize(self.bits.len() + self.words, 0);
        match self.ascii.get_mut(letter as usize) {
            Some(at) => *at = place,
            None => {
                let at = self.others.partition_point(|other| other.0 < letter);
                self.others.insert(at, (letter, place));
            }
        }
        place
    }

    /// Where a letter stands: bit by bit, the first lowest.
    pub fn bits(&self, letter: char) -> &[u64] {
        let from = usize::from(self.place(letter)) * self.words;
        self.bits.get(from..from + self.words).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_where_the_letters_are() {
        let text = "naïve ïñ ".repeat(30);
        let letters = Letters::of(&text);
        for wanted in "naïveñ x".chars() {
            for (at, letter) in text.chars().enumerate() {
                let bit = letters.bits(wanted)[at / 64] >> (at % 64) & 1;
                assert_eq!(bit == 1, letter == wanted, "{wanted} at {at}");
            }
        }
        assert_eq!(count(text.as_bytes()) as usize, text.chars().count());
    }
}
