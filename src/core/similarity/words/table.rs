//! The words of the corpus that the model was made from, and in how many of its texts each of them stands.
//!
//! `model/words.tsv` is text, so that people can read and diff it: a first line `# N documents`, then
//! `word<TAB>documents` for each word. It is read once, in a few milliseconds. A stem costs as much as looking ten
//! words up, so each is made when it is asked for, and kept.

use super::{is_number, lists, numbers, spoken, Class, WordHash};
use rust_stemmers::{Algorithm, Stemmer};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

const WORDS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/model/words.tsv"));

/// Words longer than this have no stem of their own: nothing that long is an English word.
const LONGEST_STEMMED: usize = 32;

/// What is known of a word.
#[derive(Debug)]
pub(in super::super) struct Known {
    word: &'static str,
    stem: OnceLock<Cow<'static, str>>,
    pub idf: f32,
    pub class: Class,
    /// What it is short for.
    pub spoken: Option<&'static [&'static str]>,
    /// Whether titles leave it small.
    pub small: bool,
    /// Whether it is a sign of another language.
    pub foreign: bool,
}

impl Known {
    pub fn stem(&self) -> &str {
        self.stem.get_or_init(|| stem(self.word))
    }
}

struct Table {
    words: Vec<Known>,
    places: HashMap<&'static str, u32, WordHash>,
    /// Of a word that is in no text.
    rarest: f32,
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::read);

impl Table {
    fn read() -> Self {
        let (documents, rows) = rows();
        let idf = |count: f32| ((documents + 1.0) / (count + 1.0)).ln().max(0.0);
        let make = |word, count| Known {
            word,
            stem: OnceLock::new(),
            idf: idf(count),
            class: Class::by_signs(word),
            spoken: None,
            small: false,
            foreign: false,
        };
        let mut table = Self { words: Vec::new(), places: HashMap::default(), rarest: idf(0.0) };
        let lines = WORDS.lines().count();
        table.words.reserve(lines);
        table.places.reserve(lines);
        rows.for_each(|(word, count)| table.put(make(word, count)));
        // What the corpus may lack but every reader knows.
        let mut mark = |word, mark: &dyn Fn(&mut Known)| {
            if !table.places.contains_key(word) {
                table.put(make(word, 1.0));
            }
            let place = table.places.get(word).and_then(|place| usize::try_from(*place).ok());
            if let Some(known) = place.and_then(|place| table.words.get_mut(place)) {
                mark(known);
            }
        };
        lists::FUNCTION.iter().for_each(|word| mark(word, &|known| known.class = Class::Function));
        lists::SMALL.iter().for_each(|word| mark(word, &|known| known.small = true));
        lists::FOREIGN.iter().for_each(|word| mark(word, &|known| known.foreign = true));
        numbers::WORDS.iter().for_each(|word| mark(word, &|known| known.class = Class::Number));
        spoken::SPOKEN.iter().for_each(|(word, short_for)| mark(word, &|known| known.spoken = Some(short_for)));
        table
    }

    fn put(&mut self, known: Known) {
        if let Ok(place) = u32::try_from(self.words.len()) {
            self.places.insert(known.word, place);
            self.words.push(known);
        }
    }

    fn known(&self, word: &str) -> Option<&Known> {
        self.places.get(word).and_then(|place| self.words.get(usize::try_from(*place).ok()?))
    }
}

/// How many texts the corpus has, and each word with the number of those it stands in.
pub(super) fn rows() -> (f32, impl Iterator<Item = (&'static str, f32)>) {
    let (head, rows) = WORDS.split_once('\n').unwrap_or_default();
    let numbers = head.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    let pairs = rows.lines().filter_map(|row| row.split_once('\t'));
    (numbers.fold(1.0, f32::max), pairs.filter_map(|(word, count)| Some((word, count.trim().parse().ok()?))))
}

/// What words are compared by. Numbers, symbols and words of other scripts are their own stems.
pub(super) fn stem(word: &str) -> Cow<'_, str> {
    if word.len() <= LONGEST_STEMMED && word.bytes().all(|letter| letter.is_ascii_lowercase()) && !is_number(word) {
        Stemmer::create(Algorithm::English).stem(word)
    } else {
        Cow::Borrowed(word)
    }
}

/// What is known of a word in lower case.
pub(in super::super) fn known(word: &str) -> Option<&'static Known> {
    TABLE.known(word)
}

/// The inverse document frequency of a word that the corpus lacks.
pub fn rarest() -> f32 {
    TABLE.rarest
}

pub(super) fn prepare() {
    LazyLock::force(&TABLE);
}
