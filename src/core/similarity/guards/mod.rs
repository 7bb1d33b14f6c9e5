//! Guards stop a similar hit when what differs changes the meaning.
//!
//! Similarity says how much of two prompts is the same. A guard looks at the rest: the one number, name or "not" that makes
//! two questions of them, however alike they look. Each guard is asked for itself, knows nothing of the similarity, and
//! says in a few words why it struck. The cheap ones and those that strike most come first.
//!
//! A guard that strikes too often costs hits, one that strikes too rarely costs trust. So each of them has to show on pairs
//! of real questions that it strikes different ones far more often than paraphrases (`examples/guard_cases.rs`), and what
//! was tried and did not show it is not here: question words ("who" and "where" are exchanged freely), modal verbs, tenses.

mod antonyms;
mod compared;
mod kinds;
mod lists;
mod names;
mod narrowed;
mod negation;
mod numbers;
mod order;
mod particles;
mod quotes;
mod replaced;
mod roles;
mod signs;
mod times;

use super::text::{Text, MAX_PROMPT};
use super::words::Word;
use super::Kind;
use compared::Compared;

/// The most words of a prompt that is compared with another one word by word.
pub const MOST_WORDS: usize = 64;

/// The guards, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// Different amounts, units, versions or dates.
    Numbers,
    /// One prompt denies what the other says.
    Negation,
    /// Each prompt names something that the other does not.
    Names,
    /// One prompt is about a place or a thing by name, the other about all of them.
    Narrowed,
    /// Different strings in quotation marks.
    Quotes,
    /// Different operators, or options of a command.
    Signs,
    /// Opposites.
    Antonyms,
    /// Different things of one kind.
    Kinds,
    /// The same words in an order that changes who does what.
    Order,
    /// One word replaced by one that says something else.
    Replaced,
    /// A prompt of so many words that what differs cannot be found in it.
    Long,
    /// A prompt that guards cannot read, because it is too long or no text.
    Unread,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Numbers,
        Self::Negation,
        Self::Names,
        Self::Narrowed,
        Self::Quotes,
        Self::Signs,
        Self::Antonyms,
        Self::Kinds,
        Self::Order,
        Self::Replaced,
    ];

    /// As EXPLAIN and the counters call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
            Self::Negation => "negation",
            Self::Names => "names",
            Self::Narrowed => "narrowed",
            Self::Quotes => "quotes",
            Self::Signs => "signs",
            Self::Antonyms => "antonyms",
            Self::Kinds => "kinds",
            Self::Order => "order",
            Self::Replaced => "replaced",
            Self::Long => "long",
            Self::Unread => "unread",
        }
    }

    /// Whether a candidate that was found by this method needs the guard.
    fn is_for(self, kind: Kind, words: usize) -> bool {
        match self {
            // A client's own vectors may know that two words say the same where a thesaurus does not.
            Self::Replaced => kind != Kind::Vector,
            // These take long where there are many words.
            Self::Names | Self::Narrowed | Self::Quotes | Self::Order => words <= MOST_WORDS,
            _ => true,
        }
    }
}

/// What a guard found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    /// Which guard it was.
    pub guard: Guard,
    /// What it goes by, in a few words: "2 and 3".
    pub reason: String,
}

impl Strike {
    /// What is said of a pair of prompts of which one cannot be read.
    pub fn unread() -> Self {
        let reason = format!("no text of {MAX_PROMPT} bytes at most");
        Self { guard: Guard::Unread, reason }
    }
}

impl Strike {
    /// What is said of prompts of so many words, of which the longer one has this many. Clients' vectors may see what differs.
    fn long(words: usize, kind: Kind) -> Option<Self> {
        let strikes = words > MOST_WORDS && kind != Kind::Vector;
        strikes.then(|| Self { guard: Guard::Long, reason: format!("{words} words, {MOST_WORDS} can be compared") })
    }
}

/// The first guard that strikes, if one does.
pub fn first(query: &Text, entry: &Text, kind: Kind) -> Option<Strike> {
    if query.normal == entry.normal {
        return None;
    }
    let most = query.words.len().max(entry.words.len());
    if let Some(strike) = Strike::long(most, kind) {
        return Some(strike);
    }
    let compared = Compared::new(&query.words, &entry.words);
    let asked = Guard::ALL.into_iter().filter(|guard| guard.is_for(kind, most));
    asked.filter_map(|guard| Some(Strike { guard, reason: check(guard, query, entry, &compared, kind)? })).next()
}

/// What each guard says: the reason, where it strikes.
pub fn all(query: &Text, entry: &Text, kind: Kind) -> Vec<(Guard, Option<String>)> {
    let most = query.words.len().max(entry.words.len());
    if let Some(strike) = Strike::long(most, kind).filter(|_| query.normal != entry.normal) {
        return vec![(strike.guard, Some(strike.reason))];
    }
    let compared = Compared::new(&query.words, &entry.words);
    let asked = Guard::ALL.into_iter().filter(|guard| guard.is_for(kind, most));
    asked.map(|guard| (guard, check(guard, query, entry, &compared, kind))).collect()
}

fn check(guard: Guard, query: &Text, entry: &Text, compared: &Compared, kind: Kind) -> Option<String> {
    match guard {
        Guard::Numbers => numbers::check(compared),
        Guard::Negation => negation::check(compared),
        Guard::Names => names::check(compared),
        Guard::Narrowed => narrowed::check(compared),
        Guard::Quotes => quotes::check(query, entry),
        Guard::Signs => signs::check(compared),
        Guard::Antonyms => antonyms::check(compared),
        Guard::Kinds => kinds::check(compared),
        Guard::Order => order::check(compared).or_else(|| roles::check(compared)),
        Guard::Replaced => replaced::check(compared, kind),
        Guard::Long | Guard::Unread => None,
    }
}

/// Whether a dictionary has this word, or a list of names.
pub(super) fn is_word_or_name(word: &Word) -> bool {
    lists::is_word(word) || lists::thing(lists::key(&word.text), true).is_some()
}

/// Whether the word is a name however it is written.
pub(super) fn is_named(word: &Word) -> bool {
    lists::thing(lists::key(&word.text), false).is_some()
}

/// Reads the word lists now rather than with the first question.
pub fn prepare() {
    lists::prepare();
}

#[cfg(test)]
mod testing {
    use super::*;

    /// What a guard says of two prompts.
    pub fn says(guard: Guard, query: &str, entry: &str) -> Option<String> {
        says_of(Kind::Builtin, guard, query, entry)
    }

    /// The same where they were found by this method.
    pub fn says_of(kind: Kind, guard: Guard, query: &str, entry: &str) -> Option<String> {
        let read = |prompt: &str| Text::read(prompt.as_bytes()).expect("a prompt");
        let (query, entry) = (read(query), read(entry));
        let compared = Compared::new(&query.words, &entry.words);
        check(guard, &query, &entry, &compared, kind)
    }

    /// A guard strikes these pairs, whichever of the two is asked, and not those.
    pub fn test(guard: Guard, strikes: &[(&str, &str)], passes: &[(&str, &str)]) {
        for (a, b) in strikes {
            assert!(says(guard, a, b).is_some(), "{a} | {b}");
            assert!(says(guard, b, a).is_some(), "{b} | {a}");
        }
        for (a, b) in passes {
            assert_eq!(says(guard, a, b), None, "{a} | {b}");
            assert_eq!(says(guard, b, a), None, "{b} | {a}");
        }
    }
}
