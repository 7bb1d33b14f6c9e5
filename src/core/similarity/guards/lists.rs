//! The word lists that the guards go by, as `tools/wordnet` wrote them.
//!
//! Nothing is kept of a word but the hash of its stem: 64 bits do not collide by chance, a set of numbers is half the size
//! of one of strings, and a question ("do these two exclude each other?") costs one look-up. Reading all lists takes some
//! milliseconds, most of which goes into the stems, so it is done once.

use super::super::words::{Class, Word};
use rust_stemmers::{Algorithm, Stemmer};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

macro_rules! model {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/model/", $file))
    };
}

/// A word or a stem, by its hash.
pub(super) type Key = u64;

/// FNV-1a, and a last turn that spreads what short words have in common.
pub(super) fn key(word: &str) -> Key {
    let hash = word
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Keys are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash << 8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Set = HashSet<Key, BuildHasherDefault<AsItIs>>;
type Map<V> = HashMap<Key, V, BuildHasherDefault<AsItIs>>;

/// Pairs of words in either order.
struct Pairs(Set);

impl Pairs {
    fn read(file: &'static str, stems: &mut Stems) -> Self {
        let mut pairs = Set::default();
        for (word, others) in records(file) {
            let word = stems.key(word);
            pairs.extend(others.split(' ').map(|other| pair(word, stems.key(other))));
        }
        Self(pairs)
    }

    fn has(&self, a: Key, b: Key) -> bool {
        a != b && self.0.contains(&pair(a, b))
    }
}

fn pair(a: Key, b: Key) -> Key {
    a.min(b).rotate_left(17) ^ a.max(b)
}

/// What a name names.
#[derive(Clone, Copy)]
struct Name {
    thing: Key,
    /// Only with a capital letter: "bush", "oracle".
    capital: bool,
}

struct Lists {
    antonyms: Pairs,
    synonyms: Pairs,
    names: Map<Name>,
    /// First words of names of two words.
    openers: Set,
    /// The kinds that a word is of, a bit for each.
    kinds: Map<u64>,
    /// The bits of kinds of things that are done.
    acts: u64,
    verbs: Set,
    adverbs: Set,
    rare: Set,
    coined: Set,
}

static LISTS: LazyLock<Lists> = LazyLock::new(Lists::read);

impl Lists {
    fn read() -> Self {
        let mut stems = Stems { stemmer: Stemmer::create(Algorithm::English), seen: HashMap::with_capacity(16_384) };
        let (names, openers) = names();
        let (mut kinds, mut acts) = (Map::default(), 0);
        for (bit, (kind, words)) in records(model!("kinds.tsv")).enumerate() {
            let bit = 1_u64 << (bit % 64);
            acts |= if kind.ends_with('!') { bit } else { 0 };
            for word in words.split(' ') {
                *kinds.entry(stems.key(word)).or_default() |= bit;
            }
        }
        let mut part = |part: &str| {
            let words =
                records(model!("parts.tsv")).filter(|(name, _)| *name == part).flat_map(|(_, words)| words.split(' '));
            words.map(|word| stems.key(word)).collect()
        };
        let (verbs, adverbs) = (part("verb"), part("adverb"));
        let antonyms = Pairs::read(model!("antonyms.tsv"), &mut stems);
        let synonyms = Pairs::read(model!("synonyms.tsv"), &mut stems);
        let rare = records(model!("rare.tsv")).map(|(word, _)| key(word)).collect();
        let coined = records(model!("coined.tsv")).map(|(word, _)| key(word)).collect();
        Self { antonyms, synonyms, names, openers, kinds, acts, verbs, adverbs, rare, coined }
    }
}

fn names() -> (Map<Name>, Set) {
    let (mut names, mut openers) = (Map::default(), Set::default());
    for (spelling, thing) in records(model!("names.tsv")) {
        let bare = spelling.trim_start_matches('^');
        if let Some((first, _)) = bare.split_once('_') {
            openers.insert(key(first));
        }
        let thing = if thing.is_empty() { bare } else { thing };
        names.insert(key(bare), Name { thing: key(thing), capital: spelling.len() > bare.len() });
    }
    (names, openers)
}

/// Lines of two fields; the second may be missing.
fn records(file: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once('\t').unwrap_or((line, "")))
}

/// Makes each stem once.
struct Stems {
    stemmer: Stemmer,
    seen: HashMap<&'static str, Key>,
}

impl Stems {
    fn key(&mut self, word: &'static str) -> Key {
        let Self { stemmer, seen } = self;
        *seen.entry(word).or_insert_with(|| key(&stemmer.stem(word)))
    }
}

/// Reads the lists now rather than with the first question.
pub(super) fn prepare() {
    LazyLock::force(&LISTS);
}

/// Whether the words with these stems exclude each other: buy and sell.
pub(super) fn exclude(a: Key, b: Key) -> bool {
    LISTS.antonyms.has(a, b)
}

/// Whether one of the words with these stems can stand for the other: buy and purchase.
pub(super) fn alike(a: Key, b: Key) -> bool {
    LISTS.synonyms.has(a, b)
}

/// The thing that the word names, if it is a name even without a capital letter, or has one.
pub(super) fn thing(word: Key, capital: bool) -> Option<Key> {
    LISTS.names.get(&word).filter(|name| capital || !name.capital).map(|name| name.thing)
}

/// Whether names of two words begin with it: united, new.
pub(super) fn opens_name(word: Key) -> bool {
    LISTS.openers.contains(&word)
}

/// Whether words with these stems name two things of one kind, or in the same place, two things that are done.
pub(super) fn are_of_a_kind(a: Key, b: Key, same_place: bool) -> bool {
    let kinds = |stem| LISTS.kinds.get(&stem).copied().unwrap_or_default();
    let common = kinds(a) & kinds(b);
    common != 0 && (same_place || common & !LISTS.acts != 0)
}

/// Whether the word with this stem is mainly used as a verb.
pub(super) fn is_verb(stem: Key) -> bool {
    LISTS.verbs.contains(&stem)
}

/// Whether the word with this stem is mainly used as an adverb.
pub(super) fn is_adverb(stem: Key) -> bool {
    LISTS.adverbs.contains(&stem)
}

/// Whether a dictionary has this word. If not it is a name or a misspelling.
pub(super) fn is_word(word: &Word) -> bool {
    if word.known {
        return word.class != Class::Content || !LISTS.coined.contains(&key(&word.text));
    }
    // By its letters, not by its stem, since the stem of a misspelling may be that of a word.
    let is_rare = |ending: &str| word.text.strip_suffix(ending).is_some_and(|root| LISTS.rare.contains(&key(root)));
    ["", "s", "es", "d", "ed", "ing", "ly"].into_iter().any(is_rare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stem(word: &str) -> Key {
        key(&Stemmer::create(Algorithm::English).stem(word))
    }

    #[test]
    fn what_the_lists_say() {
        for (a, b) in [("buy", "sell"), ("hot", "cold"), ("encrypted", "decrypting"), ("cause", "prevent")] {
            assert!(exclude(stem(a), stem(b)) && exclude(stem(b), stem(a)) && !alike(stem(a), stem(b)), "{a} {b}");
        }
        for (a, b) in [("buy", "purchase"), ("cheap", "inexpensive"), ("went", "go"), ("repair", "fixing")] {
            assert!(alike(stem(a), stem(b)) && alike(stem(b), stem(a)) && !exclude(stem(a), stem(b)), "{a} {b}");
        }
        assert!(!alike(stem("cat"), stem("dog")) && !exclude(stem("cat"), stem("cat")));
        assert_eq!(thing(key("indian"), false), thing(key("india"), false));
        assert!(thing(key("india"), false).is_some() && thing(key("oracle"), false).is_none());
        assert!(thing(key("oracle"), true).is_some() && thing(key("table"), true).is_none());
        assert!(are_of_a_kind(stem("guitar"), stem("piano"), false));
        assert!(!are_of_a_kind(stem("guitar"), stem("tennis"), true));
        assert!(are_of_a_kind(stem("rename"), stem("truncate"), true));
        assert!(!are_of_a_kind(stem("rename"), stem("truncate"), false));
        assert!(is_verb(stem("destroy")) && is_adverb(stem("quickly")) && !is_verb(stem("house")));
    }

    #[test]
    fn the_lists_are_well_formed() {
        assert!(records(model!("kinds.tsv")).count() <= 64);
        for file in [model!("antonyms.tsv"), model!("synonyms.tsv")] {
            assert!(records(file).count() > 2_000);
            assert!(records(file).all(|(word, others)| !word.is_empty() && !others.is_empty()));
        }
    }
}
