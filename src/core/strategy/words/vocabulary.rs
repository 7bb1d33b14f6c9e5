//! The words that the rules name, as numbers.
//!
//! A rule never looks into a word; it only asks whether it is this one or that one. So the words of a prompt are looked
//! up once, while it is read, and everything behind compares numbers and bits. The table is made once and small: 1,200
//! words, none longer than a `u128`, which is therefore the word itself. Its hash is one multiplication, since the words
//! are known beforehand and nobody can add any; most words of a prompt meet an empty slot.

/// A word that the rules name, or [`Word::OTHER`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Word(u16);

impl Word {
    /// Every word that no rule names.
    pub const OTHER: Self = Self(0);

    /// Its place in a table of all words.
    pub fn number(self) -> usize {
        usize::from(self.0)
    }
}

/// The letters of a word as one number, which is made while they are read.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Key {
    letters: u128,
    len: usize,
}

impl Key {
    /// Of these letters, those of ASCII in lower case.
    pub fn of(letters: &[u8]) -> Self {
        letters.iter().fold(Self::default(), |key, letter| key.and(letter.to_ascii_lowercase()))
    }

    /// With one letter more.
    pub fn and(self, letter: u8) -> Self {
        Self { letters: self.letters << 8 | u128::from(letter), len: self.len + 1 }
    }

    /// How many letters there are.
    pub fn len(self) -> usize {
        self.len
    }

    /// No letter is a zero, so no two words share a number; 0, which is none, for all that are too long to be known.
    fn number(self) -> u128 {
        if self.len <= size_of::<u128>() {
            self.letters
        } else {
            0
        }
    }
}

/// The closed lists that a word stands in, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Class(u16);

impl Class {
    /// Written out otherwise.
    pub const SHORT: Self = Self(1);
    /// "'s" behind it is "is".
    pub const IS_BEHIND: Self = Self(1 << 1);
    /// Ends a noun phrase.
    pub const STOPPER: Self = Self(1 << 2);
    /// Ends one behind its noun.
    pub const ENDER: Self = Self(1 << 3);
    /// Begins a clause of its own.
    pub const CLAUSE: Self = Self(1 << 4);
    /// May stand before a request and its comma.
    pub const LEAD: Self = Self(1 << 5);
    /// Begins a request behind a lead without a comma.
    pub const ASKING: Self = Self(1 << 6);
    /// Begins a question, which asks for one thing only.
    pub const QUESTION: Self = Self(1 << 7);
    /// Asks for an explanation.
    pub const EXPLAINING: Self = Self(1 << 8);
    /// Joins two requests.
    pub const JOINING: Self = Self(1 << 9);
    /// "now".
    pub const NOW: Self = Self(1 << 10);

    /// Whether the two have a list in common.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The lists of both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How many slots the table has: a power of two, at most half of them taken.
const SLOTS: usize = 4096;

/// All words that the rules name.
#[derive(Debug)]
pub(in super::super) struct Vocabulary {
    /// The numbers of the words from the slot on that their hash names; 0 where there is none.
    slots: Box<[u16; SLOTS]>,
    /// The words by their numbers.
    keys: Vec<u128>,
    classes: Vec<Class>,
}

impl Vocabulary {
    /// None but [`Word::OTHER`].
    pub fn new() -> Self {
        Self { slots: Box::new([0; SLOTS]), keys: vec![0], classes: vec![Class::default()] }
    }

    /// The number of a word, which is taken in if it is new. None if it is too long, or one too many.
    pub fn take_in(&mut self, letters: &str) -> Option<Word> {
        let key = Some(Key::of(letters.as_bytes()).number()).filter(|key| *key != 0)?;
        let (slot, known) = self.slot_of(key);
        if known != Word::OTHER {
            return Some(known);
        }
        let number = u16::try_from(self.keys.len()).ok().filter(|number| usize::from(*number) <= SLOTS / 2)?;
        *self.slots.get_mut(slot)? = number;
        self.keys.push(key);
        self.classes.push(Class::default());
        Some(Word(number))
    }

    /// Puts words on a closed list.
    pub fn put(&mut self, class: Class, words: &[&str]) -> Option<()> {
        for letters in words {
            let word = self.take_in(letters)?;
            let known = self.classes.get_mut(word.number())?;
            *known = known.and(class);
        }
        Some(())
    }

    /// The word with these letters, and the lists that it stands in.
    pub fn find(&self, key: Key) -> (Word, Class) {
        let word = self.slot_of(key.number()).1;
        (word, self.classes.get(word.number()).copied().unwrap_or_default())
    }

    /// How many words there are, [`Word::OTHER`] among them.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The slot of a word and its number, or the empty slot where it would be put.
    fn slot_of(&self, key: u128) -> (usize, Word) {
        let mut slot = home(key);
        // Half of the slots are empty, so this ends, and soon.
        loop {
            let number = self.slots.get(slot).copied().unwrap_or_default();
            if number == 0 || self.keys.get(usize::from(number)) == Some(&key) {
                return (slot, Word(number));
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// The slot from which on a word is looked for.
fn home(key: u128) -> usize {
    let folded = (key >> 64) as u64 ^ key as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOTS.ilog2())) as usize
}
