//! Greetings, requests and thanks around what is asked.
//!
//! They are patterns of words, matched again and again at both ends until nothing fits. A pattern is a line of words;
//! `a|b` is one of several, `<name>` one of a list, and `a?` may be missing. A comma in front wants a pause there.
//! Behind the words there may be conditions on what follows, which stays:
//!
//! - `,` a pause, or nothing;
//! - `>` a pause, or a word that begins a question or a request; `~` that, or a word that begins a clause;
//! - `=a|b` one of these words; `!a|b` none of them.
//!
//! "Can you" is only a wrapper where an answer cannot be yes or no, so the patterns name what must follow it: "can you
//! eat raw potatoes" stays whole. And something must always be left: "Hello, world!" and "thank you" are no wrappers.

mod lists;

use super::super::words::WordHash;
use super::token::{Pause, Token};
use lists::{ASKING, BACK, CLAUSE, FRONT, HOLDING, NAMED};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

#[derive(Debug)]
enum Part {
    One(Vec<&'static str>),
    Maybe(Vec<&'static str>),
}

#[derive(Debug)]
enum Then {
    Pause,
    Question,
    Clause,
    These(Vec<&'static str>),
    NoneOf(Vec<&'static str>),
}

#[derive(Debug)]
struct Pattern {
    /// Whether a pause must stand before it.
    apart: bool,
    parts: Vec<Part>,
    /// What must follow.
    then: Vec<Then>,
}

/// The alternatives that stand at one place of a pattern.
fn list(words: &'static str) -> Vec<&'static str> {
    let named = |word: &'static str| NAMED.iter().find(|(name, _)| *name == word).map_or(word, |(_, words)| *words);
    words.split('|').flat_map(|word| named(word).split('|')).collect()
}

impl Pattern {
    fn new(line: &'static str) -> Self {
        let (mut parts, mut then) = (Vec::new(), Vec::new());
        let apart = line.starts_with(", ");
        for word in line.strip_prefix(", ").unwrap_or(line).split(' ') {
            match (word, word.strip_prefix('='), word.strip_prefix('!'), word.strip_suffix('?')) {
                (",", ..) => then.push(Then::Pause),
                (">", ..) => then.push(Then::Question),
                ("~", ..) => then.push(Then::Clause),
                (_, Some(these), ..) => then.push(Then::These(list(these))),
                (_, _, Some(these), _) => then.push(Then::NoneOf(list(these))),
                (.., Some(these)) => parts.push(Part::Maybe(list(these))),
                _ => parts.push(Part::One(list(word))),
            }
        }
        Self { apart, parts, then }
    }

    /// How many words the pattern takes, from the first on.
    fn len(&self, tokens: &[Token]) -> Option<usize> {
        let mut at: usize = 0;
        for part in &self.parts {
            // A pattern does not go on behind the end of a sentence, and what is quoted belongs to nobody's manners.
            let held = at.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|t| t.pause == Pause::Long);
            let word = tokens.get(at).filter(|token| !held && !token.quoted).map(|token| token.text.as_str());
            match part {
                Part::One(words) if !word.is_some_and(|word| words.contains(&word)) => return None,
                Part::Maybe(words) if !word.is_some_and(|word| words.contains(&word)) => {}
                _ => at += 1,
            }
        }
        Some(at)
    }

    fn front(&self, tokens: &[Token]) -> Option<usize> {
        let len = self.len(tokens)?;
        let pauses = len.checked_sub(1).and_then(|last| tokens.get(last)).is_none_or(|last| last.pause > Pause::None);
        let mut rest = tokens.get(len..).unwrap_or_default().iter();
        let fits = self.then.iter().all(|then| {
            let next = rest.next();
            let next_is = |words: &[&str]| next.is_some_and(|next| !next.quoted && words.contains(&next.text.as_str()));
            match then {
                Then::Pause => pauses,
                Then::Question => pauses || next_is(ASKING),
                Then::Clause => pauses || next_is(ASKING) || next_is(CLAUSE),
                Then::These(words) => next_is(words),
                Then::NoneOf(words) => pauses || !next_is(words),
            }
        });
        let left = tokens.get(len..).unwrap_or_default();
        // "Hello, world!" greets nobody.
        let enough = left.len() > usize::from(!self.then.is_empty()) && is_enough(left);
        (fits && enough && len > 0).then_some(len)
    }
}

/// Patterns by the words that they may begin with.
struct Book(HashMap<&'static str, Vec<Pattern>, WordHash>);

impl Book {
    fn new(lines: &[&'static str]) -> Self {
        let mut book: HashMap<_, Vec<_>, WordHash> = HashMap::default();
        for line in lines {
            for first in edge(Pattern::new(line).parts.iter()) {
                book.entry(first).or_default().push(Pattern::new(line));
            }
        }
        Self(book)
    }

    fn patterns(&self, first: &Token) -> &[Pattern] {
        self.0.get(first.text.as_str()).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The words that may be the first of these parts.
fn edge<'a>(parts: impl Iterator<Item = &'a Part>) -> BTreeSet<&'static str> {
    let mut words = BTreeSet::new();
    for part in parts {
        match part {
            Part::Maybe(these) => words.extend(these),
            Part::One(these) => {
                words.extend(these);
                break;
            }
        }
    }
    words
}

static FRONT_BOOK: LazyLock<Book> = LazyLock::new(|| Book::new(FRONT));
static BACK_BOOK: LazyLock<Book> = LazyLock::new(|| Book::new(BACK));

/// The words that patterns at the end may end in. Most prompts end in another one, which spares the rest of the work.
static LAST: LazyLock<HashSet<&str, WordHash>> =
    LazyLock::new(|| BACK.iter().flat_map(|line| edge(Pattern::new(line).parts.iter().rev())).collect());

/// Reads the patterns now rather than with the first prompt.
pub(super) fn prepare() {
    LazyLock::force(&FRONT_BOOK);
    LazyLock::force(&BACK_BOOK);
    LazyLock::force(&LAST);
}

/// The longest pattern at the end, in words.
const LONGEST: usize = 14;

/// What is left without the wrappers.
pub(super) fn unwrap(tokens: &[Token]) -> Range<usize> {
    let mut range = 0..tokens.len();
    loop {
        let all = tokens.get(range.clone()).unwrap_or_default();
        let rest = if let Some(len) = front(all) {
            range.start + len..range.end
        } else if let Some(len) = back(all) {
            range.start..range.end - len
        } else {
            return range;
        };
        range = rest;
    }
}

fn front(tokens: &[Token]) -> Option<usize> {
    let first = tokens.first().filter(|first| !first.quoted)?;
    FRONT_BOOK.patterns(first).iter().filter_map(|pattern| pattern.front(tokens)).max()
}

fn back(tokens: &[Token]) -> Option<usize> {
    if !tokens.last().is_some_and(|last| LAST.contains(last.text.as_str())) {
        return None;
    }
    let from = tokens.len().saturating_sub(LONGEST);
    (from.max(1)..tokens.len()).find_map(|at| {
        let (rest, end) = tokens.split_at_checked(at)?;
        let (before, first) = (rest.last()?, end.first()?);
        if first.quoted || !is_enough(rest) {
            return None;
        }
        let apart = before.pause > Pause::None;
        let joins = apart || !HOLDING.contains(&before.text.as_str());
        let fits =
            |pattern: &&Pattern| (if pattern.apart { apart } else { joins }) && pattern.len(end) == Some(end.len());
        BACK_BOOK.patterns(first).iter().find(fits).map(|_| end.len())
    })
}

/// Whether this says anything by itself.
fn is_enough(rest: &[Token]) -> bool {
    rest.len() > 1 || rest.iter().any(|token| !token.is_function())
}
