//! The little language in which the content rules are written, and its matcher.
//!
//! A pattern is a row of elements, parted by spaces:
//!
//! | element | fits |
//! |---|---|
//! | `now` | this word |
//! | `a\|an\|<asset>` | one of these; `<asset>` is a list that has a name; `<#dice>` is how a word looks |
//! | `?please` | the word, or nothing |
//! | `..` | up to five words of one noun phrase: none of [`STOPPERS`] among them |
//! | `...` | up to twelve words of one sentence, no clause beginning among them |
//! | `!my\|our` | no word, but the next one is none of these |
//! | `!!my\|our` | no word, but none of these is among the next four of the noun phrase |
//! | `$` | no word, but the clause ends here |
//! | `~` | no word, but the noun phrase ends here |
//! | `^` in front | the pattern fits only where a request begins |
//!
//! Patterns are found by their first word, so a word that begins none costs one look-up.

use super::words::{Kind, Looks, Words};
use std::collections::HashMap;

/// Words that end a noun phrase.
pub(super) const STOPPERS: &[&str] = &[
    "about", "as", "at", "because", "but", "by", "for", "from", "how", "if", "in", "into", "is", "are", "like", "on",
    "so", "sure", "than", "that", "then", "to", "using", "via", "was", "were", "what", "when", "where", "which", "who",
    "whose", "why", "with",
];

/// Words that end one behind its noun.
pub(super) const ENDERS: &[&str] = &[
    "again",
    "and",
    "between",
    "consisting",
    "containing",
    "having",
    "including",
    "instead",
    "long",
    "now",
    "of",
    "only",
    "or",
    "please",
    "string",
    "strings",
    "thank",
    "thanks",
    "today",
    "v1",
    "v4",
    "v5",
    "v7",
    "version",
    "without",
];

/// Words that begin a clause of their own.
pub(super) const CLAUSES: &[&str] = &["that", "which", "who", "how", "function", "script", "program", "code", "query"];

/// One way to fit an element.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// These words in a row.
    Phrase(Vec<&'static str>),
    /// A word that looks like this.
    Looks(Looks),
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Any { choices: Vec<Choice>, optional: bool },
    NounPhrase,
    Sentence,
    Unless { words: Vec<&'static str>, reach: usize },
    ClauseEnd,
    PhraseEnd,
}

/// A pattern ready to be matched.
#[derive(Debug)]
pub(super) struct Pattern<Group> {
    /// What it speaks for.
    pub group: Group,
    /// Whether it fits only where a request begins.
    pub at_start: bool,
    steps: Vec<Step>,
}

/// All patterns, by the word that they may begin with.
#[derive(Debug)]
pub(super) struct Book<Group> {
    patterns: Vec<Pattern<Group>>,
    by_word: HashMap<&'static [u8], Vec<usize>>,
    by_looks: Vec<(Looks, usize)>,
}

/// A list of words or phrases that patterns call by a name.
pub(super) type List = (&'static str, &'static [&'static str]);

impl<Group: Copy> Book<Group> {
    /// The patterns of all groups. A text that is no pattern is left out and named in the second place, for the tests.
    pub fn new(groups: &[(Group, &[&'static str])], lists: &[List]) -> (Self, Vec<&'static str>) {
        let mut book = Self { patterns: Vec::new(), by_word: HashMap::new(), by_looks: Vec::new() };
        let mut bad = Vec::new();
        for (group, texts) in groups {
            for text in *texts {
                if book.add(*group, text, lists).is_none() {
                    bad.push(*text);
                }
            }
        }
        (book, bad)
    }

    fn add(&mut self, group: Group, text: &'static str, lists: &[List]) -> Option<()> {
        let (at_start, text) = match text.strip_prefix("^ ") {
            Some(text) => (true, text),
            None => (false, text),
        };
        let steps = text.split(' ').map(|element| step(element, lists)).collect::<Option<Vec<_>>>()?;
        let firm = steps.iter().position(|step| matches!(step, Step::Any { optional: false, .. }))?;
        let number = self.patterns.len();
        for step in steps.get(..=firm)? {
            let Step::Any { choices, .. } = step else { return None };
            for choice in choices {
                match choice {
                    Choice::Looks(looks) => self.by_looks.push((*looks, number)),
                    Choice::Phrase(words) => {
                        let numbers = self.by_word.entry(words.first()?.as_bytes()).or_default();
                        if numbers.last() != Some(&number) {
                            numbers.push(number);
                        }
                    }
                }
            }
        }
        self.patterns.push(Pattern { group, at_start, steps });
        Some(())
    }

    /// The numbers of the patterns that may begin with this word.
    pub fn beginning_with(&self, letters: &[u8]) -> &[usize] {
        self.by_word.get(letters).map(Vec::as_slice).unwrap_or_default()
    }

    /// The numbers of the patterns that may begin with a word that looks like this.
    pub fn looking_like(&self, looks: Looks) -> impl Iterator<Item = usize> + '_ {
        let seen = if looks == Looks::default() { &[] } else { self.by_looks.as_slice() };
        seen.iter().filter(move |(wanted, _)| looks.show(*wanted)).map(|(_, number)| *number)
    }

    /// The pattern of this number.
    pub fn pattern(&self, number: usize) -> Option<&Pattern<Group>> {
        self.patterns.get(number)
    }
}

impl Looks {
    /// Whether all that is wanted can be seen.
    fn show(self, wanted: Self) -> bool {
        let both = Self {
            capitals: self.capitals & wanted.capitals,
            ticker: self.ticker & wanted.ticker,
            dice: self.dice & wanted.dice,
            number: self.number & wanted.number,
        };
        both == wanted && wanted != Self::default()
    }
}

impl<Group> Pattern<Group> {
    /// Where the pattern ends if it fits from here on.
    pub fn fits(&self, words: &Words, at: usize) -> Option<usize> {
        fits(&self.steps, words, at)
    }
}

fn step(element: &'static str, lists: &[List]) -> Option<Step> {
    match element {
        ".." => return Some(Step::NounPhrase),
        "..." => return Some(Step::Sentence),
        "$" => return Some(Step::ClauseEnd),
        "~" => return Some(Step::PhraseEnd),
        _ => {}
    }
    let unless = |text: &'static str, reach| {
        let listed = |word: &'static str| match word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
            Some(name) => lists.iter().find(|(list, _)| *list == name).map(|(_, words)| words.to_vec()),
            None => is_word(word).then(|| vec![word]),
        };
        let words = text.split('|').map(listed).collect::<Option<Vec<_>>>()?;
        Some(Step::Unless { words: words.concat(), reach })
    };
    if let Some(text) = element.strip_prefix("!!") {
        return unless(text, 4);
    }
    if let Some(text) = element.strip_prefix('!') {
        return unless(text, 1);
    }
    let (optional, text) = match element.strip_prefix('?') {
        Some(text) => (true, text),
        None => (false, element),
    };
    let mut choices = Vec::new();
    for word in text.split('|') {
        match word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
            Some("#capitals") => choices.push(Choice::Looks(Looks { capitals: true, ..Looks::default() })),
            Some("#ticker") => choices.push(Choice::Looks(Looks { ticker: true, ..Looks::default() })),
            Some("#dice") => choices.push(Choice::Looks(Looks { dice: true, ..Looks::default() })),
            Some("#number") => choices.push(Choice::Looks(Looks { number: true, ..Looks::default() })),
            Some(name) => {
                let (_, phrases) = lists.iter().find(|(list, _)| *list == name)?;
                choices.extend(phrases.iter().map(|phrase| Choice::Phrase(phrase.split(' ').collect())));
            }
            None => choices.push(Choice::Phrase(vec![is_word(word).then_some(word)?])),
        }
    }
    Some(Step::Any { choices, optional })
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn among(words: &[&str], letters: &[u8]) -> bool {
    words.iter().any(|word| word.as_bytes() == letters)
}

/// Where the steps end if they fit from here on. As deep as there are steps.
fn fits(steps: &[Step], words: &Words, at: usize) -> Option<usize> {
    let Some((step, rest)) = steps.split_first() else { return Some(at) };
    match step {
        Step::Any { choices, optional } => {
            let one = words.plain(at).and_then(|word| {
                let ends = choices.iter().filter_map(|choice| choice.fits(words, word, at));
                ends.filter_map(|end| fits(rest, words, end)).next()
            });
            one.or_else(|| if *optional { fits(rest, words, at) } else { None })
        }
        Step::NounPhrase => gap(words, at, 5, STOPPERS).find_map(|at| fits(rest, words, at)),
        Step::Sentence => gap(words, at, 12, CLAUSES).find_map(|at| fits(rest, words, at)),
        Step::Unless { words: unwanted, reach } => {
            let mut near = gap(words, at, reach.saturating_sub(1), if *reach > 1 { STOPPERS } else { &[] });
            if near.any(|at| words.kind(at) == Kind::Word && among(unwanted, words.letters(at))) {
                return None;
            }
            fits(rest, words, at)
        }
        Step::ClauseEnd => (words.kind(at) != Kind::Word).then(|| fits(rest, words, at))?,
        Step::PhraseEnd => {
            let letters = words.letters(at);
            let number = words.plain(at).is_some_and(|(_, looks)| looks.number);
            let ends = words.kind(at) != Kind::Word || number || among(STOPPERS, letters) || among(ENDERS, letters);
            ends.then(|| fits(rest, words, at))?
        }
    }
}

impl Choice {
    /// The place behind it, if it fits the word here and, if it has more than one, those behind it.
    fn fits(&self, words: &Words, (letters, looks): (&[u8], Looks), at: usize) -> Option<usize> {
        match self {
            Self::Looks(wanted) => looks.show(*wanted).then_some(at + 1),
            Self::Phrase(phrase) => {
                let (first, more) = phrase.split_first()?;
                let fits = |(word, at): (&&str, usize)| words.plain(at).is_some_and(|(w, _)| w == word.as_bytes());
                (first.as_bytes() == letters && more.iter().zip(at + 1..).all(fits)).then_some(at + phrase.len())
            }
        }
    }
}

/// The places from here on that lie at most so many words away, none of the words between being one of `stoppers`.
fn gap<'a>(
    words: &'a Words,
    at: usize,
    most: usize,
    stoppers: &'static [&'static str],
) -> impl Iterator<Item = usize> + 'a {
    let mut next = Some(at);
    let mut left = most;
    std::iter::from_fn(move || {
        let here = next?;
        next = match words.kind(here) {
            Kind::Stop | Kind::Cut => None,
            Kind::Comma => Some(here + 1),
            Kind::Word if left == 0 || among(stoppers, words.letters(here)) => None,
            Kind::Word => {
                left -= 1;
                Some(here + 1)
            }
        };
        Some(here)
    })
}
