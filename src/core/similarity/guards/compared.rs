//! Two prompts side by side: which words they share, and which stand alone.
//!
//! Words are paired by their stems, each with one of the other prompt, in order; then what is left over is paired where it
//! says the same in another way (five and 5, USA and US, a misspelling). What is alone after that is what the two prompts
//! differ in, and nearly every guard looks at nothing else.

use super::super::typo;
use super::super::words::{Capital, Class, Word};
use super::lists::{self, Key};
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// The most words alone that are looked at on either side. Prompts that differ in more are not decided by a word.
const MOST_ALONE: usize = 24;

/// One of the two prompts.
pub(super) struct Side<'a> {
    pub words: &'a [Word],
    /// The hash of each word's stem.
    pub stems: Vec<Key>,
    /// The place of the same word in the other prompt.
    pub partner: Vec<Option<usize>>,
    /// The places of the words that have no partner.
    pub alone: Vec<usize>,
}

impl<'a> Side<'a> {
    fn new(words: &'a [Word]) -> Self {
        let stems = words.iter().map(|word| lists::key(&word.stem)).collect();
        Self { words, stems, partner: vec![None; words.len()], alone: Vec::new() }
    }

    pub fn word(&self, at: usize) -> Option<&'a Word> {
        self.words.get(at)
    }

    pub fn text(&self, at: usize) -> &'a str {
        self.words.get(at).map(|word| word.text.as_str()).unwrap_or_default()
    }

    pub fn stem(&self, at: usize) -> Key {
        self.stems.get(at).copied().unwrap_or_default()
    }

    pub fn partner(&self, at: usize) -> Option<usize> {
        self.partner.get(at).copied().flatten()
    }

    /// The words of this class without a partner, with their places.
    pub fn alone_of(&self, class: Class) -> impl Iterator<Item = (usize, &'a Word)> + '_ {
        let words = self.words;
        let alone = self.alone.iter().filter_map(move |at| Some((*at, words.get(*at)?)));
        alone.filter(move |(_, word)| word.class == class)
    }

    fn gather_alone(&mut self) {
        self.alone = (0..self.words.len()).filter(|at| self.partner(*at).is_none()).collect();
    }
}

/// Both prompts.
pub(super) struct Compared<'a> {
    pub query: Side<'a>,
    pub entry: Side<'a>,
}

impl<'a> Compared<'a> {
    pub fn new(query: &'a [Word], entry: &'a [Word]) -> Self {
        let mut compared = Self { query: Side::new(query), entry: Side::new(entry) };
        compared.pair_stems();
        compared.pair_spellings();
        compared
    }

    /// Whether both prompts have words that the other lacks.
    pub fn differs_both_ways(&self) -> bool {
        !self.query.alone.is_empty() && !self.entry.alone.is_empty()
    }

    /// Pairs the same words, the first with the first and so on: sorted by stem and place, both sides are walked at once.
    fn pair_stems(&mut self) {
        let order = |side: &Side| {
            let mut order: Vec<(Key, usize)> =
                side.stems.iter().copied().enumerate().map(|(at, stem)| (stem, at)).collect();
            order.sort_unstable();
            order
        };
        let (query, entry) = (order(&self.query), order(&self.entry));
        let (mut query, mut entry) = (query.iter().peekable(), entry.iter().peekable());
        while let (Some((a, at)), Some((b, place))) = (query.peek(), entry.peek()) {
            if a == b && self.query.word(*at).map(|word| &word.stem) == self.entry.word(*place).map(|word| &word.stem) {
                self.pair(*at, *place);
            }
            if a <= b {
                query.next();
            }
            if b <= a {
                entry.next();
            }
        }
        self.query.gather_alone();
        self.entry.gather_alone();
    }

    /// Pairs what is left and says the same.
    fn pair_spellings(&mut self) {
        if !self.differs_both_ways() {
            return;
        }
        for at in self.query.alone.iter().copied().take(MOST_ALONE).collect::<Vec<_>>() {
            let same = |place: &&usize| {
                let (Some(a), Some(b)) = (self.query.word(at), self.entry.word(**place)) else { return false };
                self.entry.partner(**place).is_none() && same(a, b)
            };
            if let Some(place) = self.entry.alone.iter().take(MOST_ALONE).find(same).copied() {
                self.pair(at, place);
            }
        }
        self.query.gather_alone();
        self.entry.gather_alone();
    }

    fn pair(&mut self, at: usize, place: usize) {
        if let (Some(a), Some(b)) = (self.query.partner.get_mut(at), self.entry.partner.get_mut(place)) {
            (*a, *b) = (Some(place), Some(at));
        }
    }

    /// Whether two words stand in the same place: between the same neighbours, or both at an end.
    pub fn same_place(&self, at: usize, place: usize) -> bool {
        let before = |at: usize| at.checked_sub(1);
        let left = match (before(at), before(place)) {
            (None, None) => true,
            (Some(a), Some(b)) => self.query.partner(a) == Some(b),
            _ => false,
        };
        let (a, b) = (at + 1, place + 1);
        let ends = a >= self.query.words.len() && b >= self.entry.words.len();
        left && (ends || self.query.partner(a) == Some(b))
    }

    /// All pairs of one word alone from each side.
    pub fn alone_pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let entry = &self.entry.alone;
        self.query.alone.iter().take(MOST_ALONE).flat_map(move |a| entry.iter().take(MOST_ALONE).map(move |b| (*a, *b)))
    }
}

/// Whether two words with different stems are one word in two spellings: USA and US, pokémon and pokemon, b.tech and btech,
/// or a word and a slip of the pen.
fn same(a: &Word, b: &Word) -> bool {
    let capital = |word: &Word| word.capital != Capital::None;
    let thing = |word: &Word| lists::thing(lists::key(&word.text), capital(word));
    match (thing(a), thing(b)) {
        (Some(a), Some(b)) => a == b,
        _ => bare(&a.text) == bare(&b.text) || is_plural(&a.text, &b.text) || typo::is_slip(a, b),
    }
}

/// Words whose plural has another stem.
const PLURALS: [(&str, &str); 10] = [
    ("child", "children"),
    ("die", "dice"),
    ("foot", "feet"),
    ("goose", "geese"),
    ("man", "men"),
    ("mouse", "mice"),
    ("ox", "oxen"),
    ("person", "people"),
    ("tooth", "teeth"),
    ("woman", "women"),
];

pub(super) fn is_plural(a: &str, b: &str) -> bool {
    PLURALS.contains(&(a, b)) || PLURALS.contains(&(b, a))
}

/// The letters and digits of a word, without accents. What has few of them is not made the same by it: C, C++ and C#.
fn bare(word: &str) -> Cow<'_, str> {
    if word.bytes().all(|letter| letter.is_ascii_alphanumeric()) {
        return Cow::Borrowed(word);
    }
    let letters: String = word.nfd().filter(|c| c.is_alphanumeric()).collect();
    if letters.len() < 3 || letters.bytes().all(|letter| letter.is_ascii_digit()) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(letters)
}

#[cfg(test)]
mod tests {
    use super::super::super::text::Text;
    use super::*;

    fn alone(a: &str, b: &str) -> (String, String) {
        let read = |prompt: &str| Text::read(prompt.as_bytes()).expect("a prompt");
        let (a, b) = (read(a), read(b));
        let compared = Compared::new(&a.words, &b.words);
        let words = |side: &Side| side.alone.iter().map(|at| side.text(*at)).collect::<Vec<_>>().join(" ");
        (words(&compared.query), words(&compared.entry))
    }

    #[test]
    fn what_is_left_is_the_difference() {
        let cases = [
            ("the cat sat", "a cat sits there", "the sat", "a sits there"),
            ("running in the rain", "he runs in rain", "the", "he"),
            ("to be or not to be", "to be", "or not to be", ""),
            ("the USA and Bombay", "the US and mumbai", "", ""),
            ("learn photosythesis", "learn photosynthesis", "", ""),
            ("a b.tech degree", "a btech degree", "", ""),
            ("learn c", "learn c++", "c", "c++"),
        ];
        for (a, b, asked, stored) in cases {
            assert_eq!(alone(a, b), (asked.to_owned(), stored.to_owned()), "{a} | {b}");
        }
    }

    #[test]
    fn places_are_the_same_between_the_same_neighbours() {
        let read = |prompt: &str| Text::read(prompt.as_bytes()).expect("a prompt");
        let (a, b) = (read("the red car stops"), read("the blue car stops here"));
        let compared = Compared::new(&a.words, &b.words);
        assert!(compared.same_place(1, 1));
        assert!(!compared.same_place(1, 4) && !compared.same_place(3, 4));
    }
}
