//! Named things: who and where, which product, which language.
//!
//! The one guard that pays most: prompts that differ in nothing but a name look most alike to any measure of similarity, and
//! have nothing to do with each other. It strikes where both prompts name something that the other lacks. A name that only
//! one of them has is often left out or known from the context, so it says little.
//!
//! A name is a word in capitals that stands not at the beginning of a sentence, a word that is in no corpus, or one of a
//! list of names that people write without capitals. So it works for prompts that are all lower case or SHOUTED, where the
//! reader of texts has already taken the capitals for what they are worth.

use super::super::words::{Capital, Class, Word};
use super::compared::{Compared, Side};
use super::lists::{self, Key};

/// Names of one prompt that are looked at. One that has more is a list, which no single name decides.
const MOST_NAMES: usize = 32;

/// Prompts that differ in more words of content than this are put in other words altogether. Then any name may be left out
/// or added, and only names of one sort, or in the same place, exclude each other.
const CLOSE: usize = 4;

/// Names that are units beside a number.
const CURRENCIES: [&str; 12] =
    ["dollar", "dollars", "eur", "euro", "euros", "gbp", "inr", "pounds", "rs", "rupee", "rupees", "usd"];

/// Letters of an abbreviation.
const ABBREVIATION: std::ops::RangeInclusive<usize> = 2..=6;

/// Why the names of the two prompts exclude a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    if !compared.differs_both_ways() {
        return None;
    }
    if let Some((a, b)) = compared.alone_pairs().find(|(a, b)| are_other_letters(compared, *a, *b)) {
        return Some(format!("{} and {}", compared.query.text(a), compared.entry.text(b)));
    }
    let (query, entry) = (names(&compared.query), names(&compared.entry));
    if query.is_empty() || entry.is_empty() {
        return None;
    }
    let absent = |names: &[Name], others: &[Name], side: &Side, other: &Side| -> Vec<Name> {
        let has = |name: &Name| others.iter().any(|other| other.thing == name.thing);
        let (own, other) = (Spelled::new(side), Spelled::new(other));
        names.iter().filter(|name| !has(name) && !other.has(side.text(name.at), &own)).copied().collect()
    };
    let asked = absent(&query, &entry, &compared.query, &compared.entry);
    let stored = absent(&entry, &query, &compared.entry, &compared.query);
    let content = |side: &Side| side.alone_of(Class::Content).count();
    let close = content(&compared.query) + content(&compared.entry) <= CLOSE;
    let excludes = |a: &Name, b: &Name| close || a.sort.is_like(b.sort) || compared.same_place(a.at, b.at);
    let (a, b) = asked.iter().find_map(|a| Some((a, stored.iter().find(|b| excludes(a, b))?)))?;
    Some(format!("{} and {}", compared.query.text(a.at), compared.entry.text(b.at)))
}

/// Plan A and plan B, C and C++: single letters name things.
fn are_other_letters(compared: &Compared, a: usize, b: usize) -> bool {
    let letter = |word: &Word| {
        let letters = word.text.trim_end_matches(['+', '#', '*']);
        // "I" is somebody, and "u" and "r" are short for words.
        letters.len() == 1 && letters.bytes().all(|c| c.is_ascii_lowercase()) && !matches!(letters, "i" | "u" | "r")
    };
    let (one, other) = (compared.query.word(a), compared.entry.word(b));
    one.is_some_and(letter) && other.is_some_and(letter) && compared.same_place(a, b)
}

/// A name of a prompt.
#[derive(Clone, Copy)]
struct Name {
    at: usize,
    thing: Key,
    sort: Sort,
}

/// What makes a word a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Listed,
    Capital,
    Unknown,
}

impl Sort {
    /// Whether two names are names with about the same certainty.
    fn is_like(self, other: Self) -> bool {
        self == other && self != Self::Unknown
    }
}

/// The names that have no partner; of the whole of "new york" where half of it has none.
fn names(side: &Side) -> Vec<Name> {
    side.alone.iter().take(MOST_NAMES).filter_map(|at| name(side, *at)).collect()
}

/// Whether the word is a name.
pub(super) fn is_name(side: &Side, at: usize) -> bool {
    name(side, at).is_some()
}

/// What the word names, if it is a name.
fn name(side: &Side, at: usize) -> Option<Name> {
    let word = side.word(at)?;
    if is_currency(side, at) {
        return None;
    }
    let capital = word.capital != Capital::None && (!word.starts || word.capital != Capital::First);
    let listed = pair_of_words(side, at).or_else(|| lists::thing(lists::key(&word.text), capital));
    if let Some(thing) = listed {
        return Some(Name { at, thing, sort: Sort::Listed });
    }
    let letters = word.text.chars().filter(|c| c.is_alphabetic()).count();
    let thing = side.stem(at);
    match word.class {
        Class::Content | Class::Number if capital && letters > 1 => Some(Name { at, thing, sort: Sort::Capital }),
        Class::Content if letters > 1 && !lists::is_word(word) => Some(Name { at, thing, sort: Sort::Unknown }),
        _ => None,
    }
}

/// 500 rupees, Rs 500: an amount and no name.
fn is_currency(side: &Side, at: usize) -> bool {
    let number = |at: Option<usize>| at.and_then(|at| side.word(at)).is_some_and(|word| word.class == Class::Number);
    let money = |word: &str| CURRENCIES.contains(&word);
    money(side.text(at)) && (number(at.checked_sub(1)) || number(Some(at + 1)))
}

/// New York, United States: the word with the one before or behind it.
fn pair_of_words(side: &Side, at: usize) -> Option<Key> {
    let joined = |first: usize| {
        let (a, b) = (side.text(first), side.text(first + 1));
        if b.is_empty() || !lists::opens_name(lists::key(a)) {
            return None;
        }
        lists::thing(lists::key(&format!("{a}_{b}")), true)
    };
    joined(at).or_else(|| joined(at.checked_sub(1)?))
}

/// A prompt in which a name is looked for in another spelling.
struct Spelled<'a> {
    side: &'a Side<'a>,
    /// The first letters of all but the smallest words.
    initials: Vec<u8>,
}

impl<'a> Spelled<'a> {
    fn new(side: &'a Side<'a>) -> Self {
        let tells = |word: &&Word| !matches!(word.text.as_str(), "of" | "and" | "the" | "for" | "in");
        let words = side.words.iter().filter(tells);
        Self { side, initials: words.map(|word| word.text.bytes().next().unwrap_or_default()).collect() }
    }

    /// Whether it has the name in two words, as part of a longer word, as the words that it is short for, or as the short
    /// form of words of the prompt that the name is from.
    fn has(&self, name: &str, from: &Spelled) -> bool {
        let mut shorts = self.side.alone_of(Class::Content).take(MOST_NAMES).map(|(_, word)| word.text.as_str());
        let begins = |short: &str| name.bytes().next().is_some_and(|first| short.bytes().any(|letter| letter == first));
        self.spells(name) || self.joins(name) || shorts.any(|short| begins(short) && from.spells(short))
    }

    /// Facebook, face book.
    fn joins(&self, name: &str) -> bool {
        let joined = |at: usize| {
            let (a, b) = (self.side.text(at), self.side.text(at + 1));
            let split = name.strip_prefix(a).is_some_and(|rest| !rest.is_empty() && rest == b);
            split || (a.len() > name.len() && a.contains(name))
        };
        name.len() > 4 && (0..self.side.words.len()).any(joined)
    }

    /// Whether consecutive words begin with these letters: ml, machine learning.
    fn spells(&self, short: &str) -> bool {
        ABBREVIATION.contains(&short.len())
            && short.bytes().all(|letter| letter.is_ascii_alphabetic())
            && self.initials.windows(short.len()).any(|window| window == short.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{says, test};
    use super::super::Guard;

    #[test]
    fn names_exclude_each_other() {
        let strikes = [
            ("who rules Denmark", "who rules Belgium"),
            ("who rules denmark", "who rules belgium"),
            ("WHO RULES DENMARK NOW", "WHO RULES BELGIUM NOW"),
            ("Is Oracle a good employer", "Is Adobe a good employer"),
            ("who is Mr Grumbleby", "who is Mr Snorkwell"),
            ("who is grumbleby", "who is snorkwell"),
            ("flights to New York", "flights to New Orleans"),
            ("is swahili hard", "is finnish hard"),
            ("how old is the ECB", "how old is the BBC"),
            ("what is plan A", "what is plan B"),
            ("read a file in c", "read a file in c++"),
            ("is vitamin c good", "is vitamin d good"),
        ];
        let passes = [
            ("who rules Denmark", "who rules denmark"),
            ("who rules Denmark", "who is the ruler of Denmark"),
            ("the Danish king", "the king of Denmark"),
            ("flights to NYC", "flights to New York"),
            ("the US economy", "the economy of America"),
            ("learn ML", "learn machine learning"),
            ("is Facebook dead", "is face book dead"),
            ("a crêpe recipe", "a crepe recipe"),
            ("i paid 500 rupees", "i paid Rs 500"),
            ("The oracle spoke", "An oracle spoke"),
            ("the weather in Denmark", "the weather today"),
        ];
        test(Guard::Names, &strikes, &passes);
    }

    #[test]
    fn it_says_which_names() {
        let said = says(Guard::Names, "Who rules Denmark?", "Who rules Belgium?");
        assert_eq!(said.as_deref(), Some("denmark and belgium"));
    }
}
