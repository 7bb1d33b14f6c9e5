//! The built-in rules on the content of a prompt: what kind of answer is asked for, and how long that kind lasts.
//!
//! The rules are lists of word patterns ([`super::lists`], in the language of [`super::patterns`]); there is no model
//! and no chance in them, so that people can foresee what they do, and every server decides alike. They are asked in the
//! order of [`BUILTIN_RULES`], which goes from short lives to long ones: an answer that is thrown away too early costs a
//! request, one that is kept too long misleads somebody, so where a prompt fits several rules the shorter life wins.
//! "Explain what the price of gold is today" is about today.
//!
//! Three things keep the short lives from taking all. One-time requests and analyses count only where a request begins
//! ("Generate a password", not "How do I generate a password"); words such as "stocks" or "weather", which are the
//! subject of explanations as well, do not count where one is asked for; and phrases such as "electric current" are taken
//! out before.

use super::lists;
use super::patterns::{Book, Groups};
use super::words::{put_readings, Class, Kind, Words};
use std::sync::LazyLock;

/// A built-in rule, for documentation and for EXPLAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltinRule {
    /// `builtin:…`.
    pub name: &'static str,
    /// The strategy that it chooses.
    pub strategy: &'static str,
    /// What it is about, in one line.
    pub about: &'static str,
}

const fn rule(name: &'static str, strategy: &'static str, about: &'static str) -> BuiltinRule {
    BuiltinRule { name, strategy, about }
}

const TEMPERATURE: BuiltinRule =
    rule("builtin:temperature", "nocache", "the params ask for a sampling temperature above 1");
const ONE_TIME: BuiltinRule = rule("builtin:one-time", "nocache", "asks for something random, new or unique");
const LIVE: BuiltinRule =
    rule("builtin:live", "realtime", "about this very moment, a running conversation, or how somebody feels");
const TIME_SENSITIVE: BuiltinRule =
    rule("builtin:time-sensitive", "conservative", "about today, news, weather, prices, rates or markets");
const ANALYSIS: BuiltinRule =
    rule("builtin:analysis", "standard", "asks to analyse, compare, evaluate, recommend, review or summarise");
const DEFINITION: BuiltinRule =
    rule("builtin:definition", "aggressive", "asks what something is or means, or to explain it");
const HOW_TO: BuiltinRule = rule("builtin:how-to", "aggressive", "asks how something works or is done");

/// The built-in rules in the order in which they are asked.
pub const BUILTIN_RULES: &[BuiltinRule] = &[TEMPERATURE, ONE_TIME, LIVE, TIME_SENSITIVE, ANALYSIS, DEFINITION, HOW_TO];

/// What a pattern speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Mask,
    Opener,
    Explaining,
    OneTime,
    Live,
    Time,
    Topic,
    Analysis,
    Definition,
    HowTo,
}

impl Group {
    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl From<Group> for u16 {
    fn from(group: Group) -> Self {
        group.bit()
    }
}

/// The groups that choose a rule.
const RULES: u16 = !(Group::Mask.bit() | Group::Opener.bit() | Group::Explaining.bit());

const GROUPS: [(Group, &[&str]); 10] = [
    (Group::Mask, lists::MASKS),
    (Group::Opener, lists::OPENERS),
    (Group::Explaining, lists::EXPLAINING),
    (Group::OneTime, lists::ONE_TIME),
    (Group::Live, lists::LIVE),
    (Group::Time, lists::TIME),
    (Group::Topic, lists::TOPICS),
    (Group::Analysis, lists::ANALYSIS),
    (Group::Definition, lists::DEFINITION),
    (Group::HowTo, lists::HOW_TO),
];

/// Words that decide where requests begin.
const CLASSES: [(Class, &[&str]); 6] = [
    (Class::LEAD, lists::LEADS),
    (Class::ASKING, &["how", "what", "why", "explain"]),
    (
        Class::QUESTION,
        &[
            "are", "can", "could", "did", "do", "does", "how", "is", "should", "what", "when", "where", "which", "who",
            "why", "would",
        ],
    ),
    (Class::EXPLAINING, &["define", "describe", "explain"]),
    (Class::JOINING, &["and", "then"]),
    (Class::NOW, &["now"]),
];

/// Derived from the constants above and never changed.
static BOOK: LazyLock<Book<Group>> = LazyLock::new(|| {
    let mut book = Book::new(&GROUPS, lists::LISTS).0;
    put_readings(&mut book.vocabulary);
    for (class, words) in CLASSES {
        book.vocabulary.put(class, words);
    }
    book
});

/// Where requests begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Start {
    /// Not here.
    #[default]
    Not,
    /// In the middle of a sentence that asks for an explanation: behind a comma, "and" or "then".
    BesideExplanation,
    /// In the middle of another one.
    Beside,
    /// At the beginning of a sentence, or behind "please", "can you" and the like.
    Full,
}

impl Start {
    /// The groups whose patterns for the beginning of a request may speak here.
    fn open_to(self) -> u16 {
        match self {
            Self::Not => 0,
            Self::BesideExplanation => Group::Analysis.bit(),
            Self::Beside => Group::Analysis.bit() | Group::OneTime.bit(),
            Self::Full => RULES,
        }
    }
}

/// Makes the table of the words and patterns, which takes the first decision's time otherwise.
pub fn prepare() {
    LazyLock::force(&BOOK);
}

/// The first built-in rule that fits.
pub fn classify(prompt: &[u8], temperature_above_one: bool) -> Option<&'static BuiltinRule> {
    if temperature_above_one {
        return Some(&TEMPERATURE);
    }
    let mut reading = Reading::of(prompt);
    reading.mask();
    reading.find_starts();
    match reading.first_group()? {
        Group::OneTime => Some(&ONE_TIME),
        Group::Live => Some(&LIVE),
        Group::Time | Group::Topic => Some(&TIME_SENSITIVE),
        Group::Analysis => Some(&ANALYSIS),
        Group::Definition => Some(&DEFINITION),
        Group::HowTo => Some(&HOW_TO),
        Group::Mask | Group::Opener | Group::Explaining => None,
    }
}

struct Reading {
    book: &'static Book<Group>,
    words: Words<'static>,
    starts: Vec<Start>,
}

impl Reading {
    fn of(prompt: &[u8]) -> Self {
        let book = &*BOOK;
        let words = Words::of(prompt, &book.vocabulary);
        let starts = vec![Start::Not; words.len()];
        Self { book, words, starts }
    }

    /// Where the longest pattern of a group ends that fits from here on.
    #[inline]
    fn fits(&self, group: Group, at: usize) -> Option<usize> {
        let groups = Groups::of(group.bit(), group.bit());
        if !self.book.may_begin(&self.words, at, groups) {
            return None;
        }
        self.book.fitting(&self.words, at, groups).map(|(_, end)| end).max()
    }

    fn mask(&mut self) {
        for at in 0..self.words.len() {
            if let Some(end) = self.fits(Group::Mask, at) {
                self.words.mask(at, end);
            }
        }
    }

    fn start(&self, at: usize) -> Start {
        self.starts.get(at).copied().unwrap_or_default()
    }

    /// Marks a place, and those behind each opener there; answers the last of them.
    fn mark(&mut self, mut at: usize, start: Start) -> usize {
        loop {
            if let Some(mark) = self.starts.get_mut(at).filter(|mark| **mark != Start::Full) {
                *mark = start;
            }
            let Some(end) = self.fits(Group::Opener, at) else { return at };
            if self.words.class(at).meets(Class::NOW) {
                self.words.mask(at, at + 1); // "Now explain …" is not about this moment.
            }
            at = if self.words.kind(end) == Kind::Comma { end + 1 } else { end };
        }
    }

    fn find_starts(&mut self) {
        let mut from = 0;
        let mut readable = true;
        while from < self.words.len() {
            let to = (from..self.words.len()).find(|at| matches!(self.words.kind(*at), Kind::Stop | Kind::Cut));
            let to = to.unwrap_or(self.words.len());
            // Behind a cut a sentence has lost its beginning.
            if readable {
                self.find_starts_of_sentence(from, to);
            }
            readable = self.words.kind(to) != Kind::Cut;
            from = to + 1;
        }
    }

    fn find_starts_of_sentence(&mut self, from: usize, to: usize) {
        let mut head = self.mark(from, Start::Full);
        let leads = self.words.class(from).meets(Class::LEAD);
        let comma = (from..to).find(|at| self.words.kind(*at) == Kind::Comma);
        if let Some(comma) = comma.filter(|comma| leads || *comma <= from + 2) {
            head = self.mark(comma + 1, Start::Full);
        } else if leads {
            let asks = (from + 1..to.min(from + 6)).find(|at| self.words.class(*at).meets(Class::ASKING));
            if let Some(asking) = asks {
                head = self.mark(asking, Start::Full);
            }
        }
        let beside = match self.words.class(head) {
            class if class.meets(Class::QUESTION) => return,
            class if class.meets(Class::EXPLAINING) => Start::BesideExplanation,
            _ => Start::Beside,
        };
        for at in head..to {
            if self.words.kind(at) == Kind::Comma || self.words.class(at).meets(Class::JOINING) {
                self.mark(at + 1, beside);
            }
        }
    }

    fn first_group(&self) -> Option<Group> {
        let mut first = None;
        // Once a group speaks, only those before it are asked.
        let mut wanted = RULES;
        for at in 0..self.words.len() {
            let groups = Groups::of(wanted, wanted & self.start(at).open_to());
            if !self.book.may_begin(&self.words, at, groups) {
                continue;
            }
            for (group, _) in self.book.fitting(&self.words, at, groups) {
                if wanted & group.bit() != 0 && !(group == Group::Topic && self.is_explained(at)) {
                    first = Some(group);
                    wanted &= group.bit() - 1;
                }
            }
        }
        first
    }

    /// Whether the sentence around this place asks for an explanation.
    fn is_explained(&self, at: usize) -> bool {
        let parted = |place: &usize| matches!(self.words.kind(*place), Kind::Stop | Kind::Cut);
        let sentence = (0..=at).rev().take_while(|place| !parted(place));
        sentence
            .filter(|place| self.start(*place) == Start::Full)
            .any(|place| self.fits(Group::Explaining, place).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{patterns, words};
    use super::*;
    use std::fmt::Write;

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/auto-strategy.md");

    #[test]
    fn every_pattern_is_one() {
        let (_, bad) = Book::new(&GROUPS, lists::LISTS);
        assert_eq!(bad, Vec::<&str>::new());
    }

    /// A word too long for the vocabulary, or one too many, would never be seen.
    #[test]
    fn every_word_of_a_list_is_known() {
        let readings = [(Class::SHORT, words::SHORT.iter().map(|(short, _)| *short).collect::<Vec<_>>())];
        let lists = CLASSES.iter().map(|(class, words)| (*class, words.to_vec())).chain(readings);
        let others = [(Class::STOPPER, patterns::STOPPERS), (Class::ENDER, patterns::ENDERS)];
        let others =
            others.into_iter().chain([(Class::CLAUSE, patterns::CLAUSES), (Class::IS_BEHIND, words::IS_BEHIND)]);
        for (class, words) in lists.chain(others.map(|(class, words)| (class, words.to_vec()))) {
            for word in words {
                assert!(BOOK.vocabulary.find(words::Key::of(word.as_bytes())).1.meets(class), "{word}");
            }
        }
    }

    #[test]
    fn a_text_that_is_no_pattern_is_named() {
        let texts: &[&str] = &["<nothing>", "a||b", "..", "!a", "a  b", "A", "a ?", "^", ".. a", "a !<nothing>"];
        assert_eq!(Book::new(&[(Group::Live, texts)], lists::LISTS).1, texts);
    }

    /// The lists as the documentation shows them.
    fn lists_for_people() -> String {
        let mut text = String::new();
        let mut section = |title: &str, patterns: &[&str]| {
            write!(text, "\n### {title}\n\n```text\n{}\n```\n", patterns.join("\n")).unwrap();
        };
        section("Where a request begins: words that may stand in front of it", lists::OPENERS);
        section("Phrases that are taken out first", lists::MASKS);
        section("`builtin:one-time` → `nocache`", lists::ONE_TIME);
        section("`builtin:live` → `realtime`", lists::LIVE);
        section("`builtin:time-sensitive` → `conservative`: always", lists::TIME);
        section("`builtin:time-sensitive` → `conservative`: unless an explanation is asked for", lists::TOPICS);
        section("What counts as asking for an explanation", lists::EXPLAINING);
        section("`builtin:analysis` → `standard`", lists::ANALYSIS);
        section("`builtin:definition` → `aggressive`", lists::DEFINITION);
        section("`builtin:how-to` → `aggressive`", lists::HOW_TO);
        let named = lists::LISTS.iter().map(|(name, words)| format!("<{name}>  {}", words.join(", ")));
        let named: Vec<String> = named.collect();
        section("The lists with a name", &named.iter().map(String::as_str).collect::<Vec<_>>());
        section("Words that end a noun phrase", &[&patterns::STOPPERS.join(", ")]);
        section("Words that may stand behind one", &[&patterns::ENDERS.join(", ")]);
        section("Words that begin a clause of their own", &[&patterns::CLAUSES.join(", ")]);
        section("Words behind which a request may begin after a comma", &[&lists::LEADS.join(", ")]);
        let short = words::SHORT.iter().map(|(short, long)| format!("{short} = {long}")).collect::<Vec<_>>();
        section("Words that are written out", &[&short.join(", ")]);
        text
    }

    /// `LLMCACHE_BLESS=1 cargo test` writes them again.
    #[test]
    fn the_documentation_shows_the_rules_as_they_are() {
        let document = std::fs::read_to_string(DOCUMENT).unwrap();
        let (text, lists) = document.split_once("<!-- lists -->\n").unwrap();
        if std::env::var_os("LLMCACHE_BLESS").is_some() {
            std::fs::write(DOCUMENT, format!("{text}<!-- lists -->\n{}", lists_for_people())).unwrap();
        } else {
            assert!(lists == lists_for_people(), "write the lists again: LLMCACHE_BLESS=1 cargo test");
        }
        let rows = BUILTIN_RULES
            .iter()
            .enumerate()
            .map(|(at, rule)| format!("| {} | `{}` | `{}` | {} |\n", at + 1, rule.name, rule.strategy, rule.about));
        for row in rows {
            assert!(text.contains(&row), "{row}");
        }
    }

    #[test]
    fn rules_go_from_short_lives_to_long_ones() {
        let order = ["nocache", "realtime", "conservative", "standard", "aggressive"];
        let ranks = BUILTIN_RULES.iter().map(|rule| order.iter().position(|name| *name == rule.strategy).unwrap());
        assert!(ranks.is_sorted());
    }

    fn rule_of(prompt: &[u8]) -> &'static str {
        classify(prompt, false).map_or("default", |rule| rule.name)
    }

    #[test]
    fn only_both_ends_of_a_long_prompt_are_read() {
        let filler = |len: usize| "lorem ipsum dolor ".repeat(len / 18 + 1).into_bytes();
        let question = b"What is a REST API? ".to_vec();
        let with =
            |before: usize, behind: usize| [filler(before), b"\n".to_vec(), question.clone(), filler(behind)].concat();
        assert_eq!(rule_of(&with(300, 3000)), "builtin:definition");
        assert_eq!(rule_of(&with(3000, 300)), "builtin:definition");
        assert_eq!(rule_of(&with(1500, 3000)), "default");
        // A word at the edge of what is read is only a part of one, and a sentence there has lost its beginning.
        let cut = |before: usize| [vec![b'x'; before - 4], b" now".to_vec(), vec![b'x'; 3000]].concat();
        assert_eq!(rule_of(&cut(words::HEAD)), "default");
        let tail = b" what is a rest api".to_vec();
        let lost = [filler(3000), vec![b'y'; words::TAIL - tail.len()], tail].concat();
        assert_eq!(rule_of(&lost), "default");
    }

    #[test]
    fn any_bytes_have_a_decision() {
        let seed = 0xfeed_u64;
        let mut state = seed;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut vocabulary: Vec<Vec<u8>> =
            [&b"'"[..], b"$", b".", b", ", b"\n", b"\xe2\x80\x99s", b"\xff\xfe", b"\xe2\x80", b"2d6"]
                .iter()
                .map(|word| word.to_vec())
                .collect();
        for (_, texts) in GROUPS {
            let words = texts.iter().flat_map(|text| text.split([' ', '|', '<', '>', '?', '!', '^', '$', '~', '.']));
            vocabulary.extend(words.filter(|word| !word.is_empty()).map(|word| word.as_bytes().to_vec()));
        }
        for _ in 0..4000 {
            let prompt = match draw(3) {
                0 => (0..draw(2000)).map(|_| draw(256) as u8).collect::<Vec<u8>>(),
                kind => {
                    let words = (0..draw(if kind == 1 { 12 } else { 400 })).map(|_| {
                        let word = &vocabulary[draw(vocabulary.len() as u64) as usize];
                        if draw(8) == 0 {
                            word.clone()
                        } else {
                            [word, &b" "[..]].concat()
                        }
                    });
                    words.collect::<Vec<_>>().concat()
                }
            };
            assert_eq!(classify(&prompt, false), classify(&prompt, false), "seed {seed}: {prompt:?}");
        }
    }
}
