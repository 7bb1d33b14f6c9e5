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
//! Patterns are found by their first word and their group: where nothing that is asked for can begin, a place costs one
//! comparison of bits.

use super::words::{Class, Kind, Looks, Vocabulary, Word, Words};

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

/// Which groups of patterns are asked for, or may begin with a word: one set for those that fit anywhere, and one for
/// those that fit only where a request begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    anywhere: u16,
    at_start: u16,
}

impl Groups {
    /// The groups of these bits: the patterns that fit anywhere, and those that fit where a request begins.
    pub const fn of(anywhere: u16, at_start: u16) -> Self {
        Self { anywhere, at_start }
    }

    /// Those that are in both.
    pub fn both(self, other: Self) -> Self {
        Self::of(self.anywhere & other.anywhere, self.at_start & other.at_start)
    }

    fn either(self, other: Self) -> Self {
        Self::of(self.anywhere | other.anywhere, self.at_start | other.at_start)
    }

    fn meet(self, other: Self) -> bool {
        self.both(other) != Self::default()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Any { choices: Choices, optional: bool },
    NounPhrase,
    Sentence,
    Unless { words: Vec<Word>, reach: usize },
    ClauseEnd,
    PhraseEnd,
}

/// The ways to fit an element.
#[derive(Debug, Default, PartialEq, Eq)]
struct Choices {
    words: Vec<Word>,
    /// More than one word in a row each.
    phrases: Vec<Vec<Word>>,
    looks: Looks,
}

/// A pattern ready to be matched.
#[derive(Debug)]
struct Pattern<Group> {
    group: Group,
    steps: Vec<Step>,
}

/// A way to begin a pattern.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    /// The group of the pattern, as one that fits anywhere or only where a request begins.
    groups: Groups,
    pattern: u16,
    /// How many steps are done, and with how many words.
    done: (u8, u8),
    /// The words that may come next.
    next: Filter,
}

/// A set of words that may hold some more: a bit for every 64th.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Filter(u64);

impl Filter {
    const ALL: Self = Self(u64::MAX);

    fn of(word: Word) -> Self {
        Self(1 << (word.number() % 64))
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// All patterns, by the word that they may begin with.
#[derive(Debug)]
pub(super) struct Book<Group> {
    /// The words of the patterns.
    pub vocabulary: Vocabulary,
    patterns: Vec<Pattern<Group>>,
    /// What begins with a word, by its number.
    by_word: Vec<Vec<Beginning>>,
    /// The groups of all that: nearly always enough to see that nothing that is wanted begins here.
    begun: Vec<Groups>,
    by_looks: Vec<(Looks, Beginning)>,
    /// All looks of `by_looks`.
    looks: Looks,
}

/// A list of words or phrases that patterns call by a name.
pub(super) type List = (&'static str, &'static [&'static str]);

impl<Group: Copy> Book<Group>
where
    u16: From<Group>,
{
    /// The patterns of all groups. A text that is no pattern is left out and named in the second place, for the tests.
    pub fn new(groups: &[(Group, &[&'static str])], lists: &[List]) -> (Self, Vec<&'static str>) {
        let (vocabulary, looks) = (Vocabulary::new(), Looks::default());
        let (patterns, by_word, begun, by_looks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut book = Self { vocabulary, patterns, by_word, begun, by_looks, looks };
        let mut bad = Vec::new();
        for (class, words) in [(Class::STOPPER, STOPPERS), (Class::ENDER, ENDERS), (Class::CLAUSE, CLAUSES)] {
            book.vocabulary.put(class, words);
        }
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
        let bit = u16::from(group);
        let (groups, text) = match text.strip_prefix("^ ") {
            Some(text) => (Groups::of(0, bit), text),
            None => (Groups::of(bit, 0), text),
        };
        let elements = text.split(' ');
        let steps = elements.map(|element| step(element, lists, &mut self.vocabulary)).collect::<Option<Vec<_>>>()?;
        let firm = steps.iter().position(|step| matches!(step, Step::Any { optional: false, .. }))?;
        let pattern = u16::try_from(self.patterns.len()).ok()?;
        self.by_word.resize(self.vocabulary.len(), Vec::new());
        self.begun.resize(self.vocabulary.len(), Groups::default());
        for (step, done) in steps.get(..=firm)?.iter().zip(0..) {
            let Step::Any { choices, .. } = step else { return None };
            let next = next(steps.get(usize::from(done) + 1..)?);
            let one = Beginning { groups, pattern, done: (done + 1, 1), next };
            choices.words.iter().try_for_each(|word| self.begin(*word, one))?;
            for phrase in &choices.phrases {
                // It is looked at again as a whole.
                let next = phrase.get(1).copied().map(Filter::of)?;
                self.begin(*phrase.first()?, Beginning { done: (done, 0), next, ..one })?;
            }
            if choices.looks != Looks::default() {
                self.by_looks.push((choices.looks, one));
                self.looks = self.looks.or(choices.looks);
            }
        }
        self.patterns.push(Pattern { group, steps });
        Some(())
    }

    fn begin(&mut self, word: Word, beginning: Beginning) -> Option<()> {
        self.by_word.get_mut(word.number())?.push(beginning);
        let groups = self.begun.get_mut(word.number())?;
        *groups = groups.either(beginning.groups);
        Some(())
    }

    /// Whether a pattern of these groups may begin here: at nearly all places, none.
    #[inline]
    pub fn may_begin(&self, words: &Words, at: usize, wanted: Groups) -> bool {
        let (word, looks) = words.plain(at).unwrap_or_default();
        self.begun.get(word.number()).is_some_and(|groups| groups.meet(wanted)) || looks.meet(self.looks)
    }

    /// The patterns of these groups that fit from here on: their groups, and where they end.
    pub fn fitting<'a>(
        &'a self,
        words: &'a Words,
        at: usize,
        wanted: Groups,
    ) -> impl Iterator<Item = (Group, usize)> + 'a {
        let (word, looks) = words.plain(at).unwrap_or_default();
        let by_word = self.by_word.get(word.number()).map(Vec::as_slice).unwrap_or_default();
        let by_looks = if looks.meet(self.looks) { self.by_looks.as_slice() } else { &[] };
        let by_looks = by_looks.iter().filter(move |(seen, _)| seen.meet(looks)).map(|(_, beginning)| beginning);
        let next = Filter::of(words.word(at + 1).unwrap_or_default());
        let beginnings = by_word.iter().chain(by_looks);
        let beginnings =
            beginnings.filter(move |beginning| beginning.groups.meet(wanted) && beginning.next.meets(next));
        beginnings.filter_map(move |beginning| {
            let pattern = self.patterns.get(usize::from(beginning.pattern))?;
            let (steps, more) = beginning.done;
            let end = fits(pattern.steps.get(usize::from(steps)..)?, words, at + usize::from(more))?;
            Some((pattern.group, end))
        })
    }
}

/// The words that the steps may fit on.
fn next(steps: &[Step]) -> Filter {
    let mut filter = Filter::default();
    for step in steps {
        match step {
            Step::Any { choices, optional } if choices.looks == Looks::default() => {
                let firsts = choices.words.iter().chain(choices.phrases.iter().filter_map(|phrase| phrase.first()));
                filter = firsts.fold(filter, |filter, word| filter.or(Filter::of(*word)));
                if !optional {
                    return filter;
                }
            }
            Step::Unless { .. } => {}
            _ => break,
        }
    }
    Filter::ALL
}

fn step(element: &'static str, lists: &[List], vocabulary: &mut Vocabulary) -> Option<Step> {
    match element {
        ".." => return Some(Step::NounPhrase),
        "..." => return Some(Step::Sentence),
        "$" => return Some(Step::ClauseEnd),
        "~" => return Some(Step::PhraseEnd),
        _ => {}
    }
    if let Some((text, reach)) =
        element.strip_prefix("!!").map(|text| (text, 4)).or(element.strip_prefix('!').map(|text| (text, 1)))
    {
        let Choices { words, phrases, looks } = choices(text, lists, vocabulary)?;
        return (phrases.is_empty() && looks == Looks::default()).then_some(Step::Unless { words, reach });
    }
    let (optional, text) = match element.strip_prefix('?') {
        Some(text) => (true, text),
        None => (false, element),
    };
    Some(Step::Any { choices: choices(text, lists, vocabulary)?, optional })
}

fn choices(text: &'static str, lists: &[List], vocabulary: &mut Vocabulary) -> Option<Choices> {
    let mut choices = Choices::default();
    for word in text.split('|') {
        match word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
            Some("#capitals") => choices.looks = choices.looks.or(Looks::CAPITALS),
            Some("#ticker") => choices.looks = choices.looks.or(Looks::TICKER),
            Some("#dice") => choices.looks = choices.looks.or(Looks::DICE),
            Some("#number") => choices.looks = choices.looks.or(Looks::NUMBER),
            Some(name) => {
                for phrase in lists.iter().find(|(list, _)| *list == name)?.1 {
                    let words = phrase.split(' ').map(|word| vocabulary.take_in(word)).collect::<Option<Vec<_>>>()?;
                    match words[..] {
                        [word] => choices.words.push(word),
                        _ => choices.phrases.push(words),
                    }
                }
            }
            None => choices.words.push(vocabulary.take_in(is_word(word).then_some(word)?)?),
        }
    }
    Some(choices)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Where the steps end if they fit from here on. As deep as there are steps.
fn fits(steps: &[Step], words: &Words, at: usize) -> Option<usize> {
    let Some((step, rest)) = steps.split_first() else { return Some(at) };
    match step {
        Step::Any { choices, optional } => {
            let one =
                words.plain(at).and_then(|word| choices.ends(words, word, at).find_map(|end| fits(rest, words, end)));
            one.or_else(|| if *optional { fits(rest, words, at) } else { None })
        }
        Step::NounPhrase => gap(words, at, 5, Class::STOPPER).find_map(|at| fits(rest, words, at)),
        Step::Sentence => gap(words, at, 12, Class::CLAUSE).find_map(|at| fits(rest, words, at)),
        Step::Unless { words: unwanted, reach } => {
            let stoppers = if *reach > 1 { Class::STOPPER } else { Class::default() };
            let mut near = gap(words, at, reach.saturating_sub(1), stoppers);
            if near.any(|at| words.word(at).is_some_and(|word| unwanted.contains(&word))) {
                return None;
            }
            fits(rest, words, at)
        }
        Step::ClauseEnd => (words.kind(at) != Kind::Word).then(|| fits(rest, words, at))?,
        Step::PhraseEnd => {
            let number = words.plain(at).is_some_and(|(_, looks)| looks.meet(Looks::NUMBER));
            let ends = words.kind(at) != Kind::Word || number || words.class(at).meets(PHRASE_END);
            ends.then(|| fits(rest, words, at))?
        }
    }
}

const PHRASE_END: Class = Class::STOPPER.and(Class::ENDER);

impl Choices {
    /// The places behind those that fit the word here and, if they have more than one, those behind it.
    fn ends<'a>(
        &'a self,
        words: &'a Words,
        (word, looks): (Word, Looks),
        at: usize,
    ) -> impl Iterator<Item = usize> + 'a {
        let one = self.words.contains(&word) || self.looks.meet(looks);
        let row = move |phrase: &&Vec<Word>| {
            phrase.first() == Some(&word)
                && phrase.iter().zip(at..).all(|(word, at)| words.plain(at).is_some_and(|(plain, _)| plain == *word))
        };
        let rows = self.phrases.iter().filter(row).map(move |phrase| at + phrase.len());
        one.then_some(at + 1).into_iter().chain(rows)
    }
}

/// The places from here on that lie at most so many words away, none of the words between being one of `stoppers`.
fn gap<'a>(words: &'a Words, at: usize, most: usize, stoppers: Class) -> impl Iterator<Item = usize> + 'a {
    let mut next = Some(at);
    let mut left = most;
    std::iter::from_fn(move || {
        let here = next?;
        next = match words.kind(here) {
            Kind::Stop | Kind::Cut => None,
            Kind::Comma => Some(here + 1),
            Kind::Word if left == 0 || words.class(here).meets(stoppers) => None,
            Kind::Word => {
                left -= 1;
                Some(here + 1)
            }
        };
        Some(here)
    })
}
