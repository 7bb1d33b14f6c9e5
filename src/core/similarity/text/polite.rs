//! Greetings, requests and thanks around what is asked.
//!
//! They are patterns of words, matched again and again at both ends until nothing fits. A pattern is a line of words;
//! `a|b` is one of several, `a?` may be missing. What comes last may be a condition on what follows, which stays:
//!
//! - `,` a pause, or nothing;
//! - `>` a pause, or a word that begins a question or a request; `~` that, or a word that begins a clause;
//! - `=a|b` one of these words; `!a|b` none of them.
//!
//! "Can you" is only a wrapper where an answer cannot be yes or no, so the patterns name what must follow it: "can you eat
//! raw potatoes" stays whole. And something must always be left: "Hello, world!" and "thank you" are no wrappers.

use super::super::words::WordHash;
use super::token::{Pause, Token};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

/// Before the question.
#[rustfmt::skip]
const FRONT: &[&str] = &[
    "hi|hello|hey|hiya|howdy|greetings there|all|everyone|everybody|guys|folks|team|friend|friends|sir|madam|again|dear|chatgpt|gpt|claude|gemini|copilot|assistant|ai|bot? >",
    "good morning|afternoon|evening|day there|all|everyone|everybody|sir|madam|team? >",
    "dear all|sir|madam|team|friend|friends|assistant|chatgpt|ai >",
    "excuse|pardon me >",
    "sorry|apologies ,",
    "sorry to bother|disturb|trouble you but? >",
    "ok|okay|alright|well|um|uh|hmm|anyway|btw|so|now|right ,",
    "so =how|what|when|where|which|who|why",
    "by the way >",
    "please|pls|plz|plese|kindly",
    "just|only? a|one|another? quick|short|small|simple|random|silly|stupid|dumb|general|serious question >",
    "i just? have|had|got a|one|another quick|short|small|simple|little? question|doubt|query for|to? you? ~",
    "my question is this|that|as? follows? >",
    "here is|comes my|a|the question >",
    "question|query ,",
    "answer this|the|my|following following? question|questions ,",
    "please|kindly? answer|help ,",
    "can|could|will|would|may you|u|someone|somebody|anyone|anybody please|pls|plz|kindly",
    "can|could|will|would you|u|someone|somebody|anyone|anybody possibly? =clarify|describe|elaborate|enlighten|explain|outline|paraphrase|proofread|recommend|rephrase|suggest|summarise|summarize|translate",
    "can|could|will|would you|u|someone|somebody|anyone|anybody possibly? =advise|assist|guide|help|inform|show|teach|tell =me|us",
    "can|could|will|would you|u possibly? =draw|educate|find|give|provide|remind|send|walk|write =me|us",
    "can|could|would you be so kind as? to|and",
    "would|could you be able|willing|kind to|enough to?",
    "would you mind telling me|us ~",
    "is there anyone|anybody|someone|somebody who|that can|could =explain|help|tell",
    "i am|was hoping you|someone|somebody can|could|would|might",
    "i would really|greatly|highly|very|much? appreciate it? if you|someone|somebody can|could|would",
    "i would be very|really|so? grateful|thankful|glad|happy if you|someone|somebody can|could|would",
    "it would be really|very|so? great|nice|helpful|good if you|someone|somebody can|could|would",
    "can|could|will|would you|u|someone|somebody|anyone|anybody please? help|assist me|us? out? with|in? this|it|something? ,",
    "can|could|will|would you|u|someone|somebody|anyone|anybody please? answer this|my|a|the|following? question|questions? for? me? ,",
    "i really|just? need|want|require your|some|a|any? help|assistance|advice with|on|in? this|something? ,",
    "need|want some|your|a? help|assistance|advice ,",
    "help|assist me|us please|out? ,",
    "help me|us to? =build|calculate|choose|compare|create|decide|determine|figure|find|fix|identify|improve|learn|make|plan|prepare|prove|solve|translate|understand|write",
    "tell|inform me|us please? !a|an|another|in|it|joke|jokes|more|one|some|something|stories|story|that|this|your",
    "let me|us know ~",
    "let me|us ask you? something|this|a? question? ,",
    "i|id|we would|just|really|also|only? just|really|also|only? desire|have|like|love|need|want|wanted|wish to know please?",
    "i|id|we would|just|really|also|only? just|really|also|only? like|love|need|want|wanted|wish to ask|enquire|inquire you? ~",
    "i|id|we would|just|really|also|only? just|really|also|only? like|love|need|want|wanted|wish to find out ~",
    "want|need|would to|like to? know ~",
    "i am|was just|also|really|kind|always|very? of? wondering|curious ~",
    "just|was wondering|curious ~",
    "wondering ~",
    "i always|often|just? wonder ~",
    "do|would you|u|anyone|anybody|somebody|someone happen to know ~",
    "do you know =what|when|where|which|why",
    "does anyone|anybody|someone|somebody here? know =how|if|what|when|where|whether|which|who|why",
    "may|can|could|might i|we please? ask|know you? please? ~",
];

/// Behind the question.
#[rustfmt::skip]
const BACK: &[&str] = &[
    "please|pls|plz|plese|kindly",
    "thanks|thx|thnx|tnx|tq|thankyou a? lot|ton|million|bunch|again|all|everyone|guys|everybody|folks|sir|buddy|mate|friend|friends|dear? in? advance|anticipation?",
    "thank you so|very? much|kindly? in? advance|anticipation|again|all|everyone|guys|everybody|folks|sir|buddy|mate? in? advance?",
    "thanks|thank you? so|a? very? much|lot|ton? for your|the|any|all|reading|helping|answering your|the|any? kind? help|time|assistance|answer|answers|support|advice|replies|reply|response|responses|suggestions|attention? and? support|time|help? in? advance?",
    "many|much thanks in? advance?",
    ", much|greatly|highly appreciated",
    ", best|kind|warm? regards|wishes",
    ", cheers|tia|ty",
    ", have a nice|good|great|lovely day|one|evening|weekend",
    "any kind? of? help|advice|suggestion|suggestions|tips|ideas|insight|insights|answers|guidance|assistance is|are|would|will be? very? much|greatly|highly|really|so? appreciated|welcome|welcomed|helpful|great",
    ", please|pls|plz|kindly? help|assist|guide|advise|answer|reply|respond|suggest me|us? out? please|asap|soon?",
    ", please|pls|plz|kindly let me|us know",
    ", let me|us know please?",
    ", can|could|will|would you|someone|anyone|somebody|anybody please|kindly? help|assist me|us? out? with|in? this|that|it? please?",
    ", can|could|will|would you|someone|anyone|somebody|anybody please|kindly? tell|explain|answer|advise|advice me|us? please?",
    ", can|could|will|would you|someone|anyone|somebody|anybody please|kindly? let me|us know please?",
    ", i would really|greatly|highly? appreciate your|any|the? help|it|answer|advice",
    ", i hope you|someone|somebody can|could help me|us? out?",
    ", looking forward to your|an|the|hearing reply|answer|response|from? you?",
    ", i am just|really? asking|curious|wondering",
    ", just asking|curious|wondering",
];

/// Words with which a question or a request begins.
#[rustfmt::skip]
const ASKING: &[&str] = &[
    "am", "are", "can", "could", "define", "describe", "did", "do", "does", "explain", "find", "give", "had", "has",
    "have", "help", "how", "i", "is", "kindly", "let", "list", "may", "might", "must", "need", "please", "pls", "plz",
    "shall", "should", "show", "summarize", "tell", "translate", "was", "were", "what", "when", "where", "which", "who",
    "whom", "whose", "why", "will", "would", "write",
];

/// Words with which it begins behind "I was wondering".
#[rustfmt::skip]
const CLAUSE: &[&str] = &["about", "any", "as", "at", "for", "from", "if", "in", "on", "the", "there", "to", "whether"];

/// Words that make a following "please" or "thank you" a part of the sentence: "how do you say thank you".
#[rustfmt::skip]
const HOLDING: &[&str] = &[
    "a", "an", "and", "are", "as", "be", "by", "called", "can", "could", "for", "gave", "give", "gives", "giving", "he",
    "her", "his", "i", "in", "is", "just", "like", "mean", "means", "my", "named", "no", "not", "of", "only", "or",
    "phrase", "pronounce", "reply", "respond", "said", "say", "saying", "says", "she", "should", "spell", "than", "the",
    "their", "they", "to", "translate", "use", "using", "versus", "vs", "we", "will", "with", "without", "word",
    "words", "would", "write", "you", "your",
];

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

impl Pattern {
    fn new(line: &'static str) -> Self {
        let (mut parts, mut then) = (Vec::new(), Vec::new());
        let apart = line.starts_with(", ");
        for word in line.strip_prefix(", ").unwrap_or(line).split(' ') {
            let list = |words: &'static str| words.split('|').collect();
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
