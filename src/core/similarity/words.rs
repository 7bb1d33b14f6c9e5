//! What is known of words: their stems, how rare they are, which of them carry meaning.

mod hash;
mod lists;
mod numbers;
mod spoken;
mod stems;
mod table;

pub(super) use hash::WordHash;
pub use numbers::is_number;
pub use stems::rarity;
pub use table::rarest;
pub(super) use table::{known, Known};

/// What a word is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It holds the sentence together: the, of, is, not.
    Function,
    /// It says what the sentence is about.
    Content,
    /// A number, in digits or in words, with whatever belongs to it.
    Number,
    /// An operator, a currency sign, an emoji.
    Symbol,
}

impl Class {
    /// What the signs of a word tell, which is all there is to know of one that is in no list.
    fn by_signs(word: &str) -> Self {
        if numbers::has_digits(word) {
            Self::Number
        } else if word.chars().any(char::is_alphanumeric) {
            Self::Content
        } else {
            Self::Symbol
        }
    }
}

/// How a word was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capital {
    /// All lower, without letters that have a case, or in a prompt where capitals say nothing.
    None,
    /// First letter only.
    First,
    /// ALL of at least two letters.
    All,
    /// miXed.
    Mixed,
}

impl Capital {
    /// How this is written. "I" counts as small.
    pub fn of(written: &str) -> Self {
        if written.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Self::None;
        }
        let (mut upper, mut lower, mut first) = (0, 0, None);
        for c in written.chars().filter(|c| c.is_alphabetic()) {
            let is_upper = c.is_uppercase();
            first.get_or_insert(is_upper);
            *(if is_upper { &mut upper } else { &mut lower }) += 1;
        }
        match (upper, lower, first) {
            (0, ..) => Self::None,
            (1, 0, _) if written == "I" => Self::None,
            (1, _, Some(true)) => Self::First,
            (2.., 0, _) => Self::All,
            _ => Self::Mixed,
        }
    }
}

/// A word of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// As it stands in the normalised text.
    pub text: String,
    /// Its stem, by which words are compared.
    pub stem: String,
    /// How much it tells: the inverse document frequency in the corpus of the model; the largest for unknown words.
    pub idf: f32,
    /// Whether the corpus of the model knows it. Numbers and symbols count as known.
    pub known: bool,
    /// What it is for.
    pub class: Class,
    /// How it was written in the prompt.
    pub capital: Capital,
    /// Whether it was the first of a sentence, where a capital letter says nothing.
    pub starts: bool,
    /// Whether it owns what follows: the boss's wife.
    pub owns: bool,
}

impl Word {
    /// A word of a normalised text.
    pub(super) fn new(text: String, known: Option<&'static Known>, capital: Capital, starts: bool) -> Self {
        match known {
            Some(known) => {
                let stem = known.stem().to_owned();
                Self { text, stem, idf: known.idf, known: true, class: known.class, capital, starts, owns: false }
            }
            None => {
                let class = Class::by_signs(&text);
                let (stem, known) = (table::stem(&text).into_owned(), class != Class::Content);
                Self { text, stem, idf: rarest(), known, class, capital, starts, owns: false }
            }
        }
    }
}

/// Whether a word in lower case is a sign of another language than English.
pub(super) fn is_foreign(text: &str) -> bool {
    known(text).is_some_and(|known| known.foreign)
}

/// The stem of a word in lower case.
pub(super) fn stem_of(text: &str) -> String {
    known(text).map_or_else(|| table::stem(text).into_owned(), |known| known.stem().to_owned())
}

/// Whether a word in lower case only holds a sentence together.
pub fn is_function(text: &str) -> bool {
    known(text).is_some_and(|known| known.class == Class::Function)
}

/// Decides what only the neighbours of a word tell: in "one way" one is a number, in "which one" and "how can one" not.
pub(super) fn settle(words: &mut [Word]) {
    for at in 0..words.len() {
        let text_at = |at: Option<usize>| at.and_then(|at| words.get(at)).map(|word| word.text.as_str());
        let (before, word) = (text_at(at.checked_sub(1)), text_at(Some(at)));
        let counts = match word {
            Some("one") => {
                let counted = words.get(at + 1).is_some_and(|next| next.class != Class::Function);
                counted && !before.is_some_and(|before| lists::BEFORE_PRONOUN.contains(&before))
            }
            Some("second" | "seconds") => {
                !before.is_some_and(|before| is_number(before) || matches!(before, "a" | "per" | "each"))
            }
            _ => continue,
        };
        if let Some(word) = words.get_mut(at) {
            word.class = match (counts, word.text.as_str()) {
                (true, "one" | "second") => Class::Number,
                (_, "one") => Class::Function,
                _ => Class::Content,
            };
        }
    }
}

/// Reads the table now rather than with the first word.
pub(super) fn prepare() {
    table::prepare();
    stems::prepare();
}

#[cfg(test)]
mod tests;
