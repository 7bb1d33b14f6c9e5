//! Comparing words and letters instead of vectors.
//!
//! Four metrics, each with a definition that compares two prompts ([`similarity`]) and an index of the prompts of one
//! context ([`Terms`]) that finds what the definition finds best, always, and looks at as few prompts as it can:
//!
//! ```text
//!   index ── tail: up to 64 prompts, compared one by one       all that a small context ever has
//!         └─ deep ── dictionary   token -> rows that hold it   what to look at (not for Jaro-Winkler)
//!                 └─ shelves      rows by size                 what may be passed over as too long or too short
//!                      └─ blocks  sketch, then the text        a look at 16 to 32 bytes before a comparison
//! ```
//!
//! What a prompt is taken apart into, how much two prompts must share to reach a similarity, and the comparison itself
//! is each metric's own ([`measure::Measure`]); everything else is the same for all of them. Every bound errs on the
//! side of looking once too often, and no number of comparisons is the last: what is far below any threshold of use is
//! found as well (EXPLAIN asks for it), by comparing nearly everything.
//!
//! A search holds `Arc`s of what it reads, so it may run on any thread. Whoever writes meanwhile copies the few pieces
//! that it changes, a few kilobytes each, and never waits.

mod block;
mod dice;
mod dictionary;
mod grams;
mod idf;
mod index;
mod jaro_winkler;
mod letters;
mod levenshtein;
mod measure;
mod postings;
mod run;
mod search;
mod shelf;
mod sketch;

use super::text::Text;
use dice::Dice;
use idf::Idf;
use index::Index;
use jaro_winkler::JaroWinkler;
use levenshtein::Levenshtein;
use search::Find;

/// How prompts are compared, on their normalised text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Metric {
    /// The cosine of their stemmed words, weighted by how rare each is in the corpus of the model.
    Idf = 0,
    /// Sørensen-Dice over the bigrams of their letters, white space left out.
    Dice = 1,
    /// 1 − distance / longer length, in characters.
    Levenshtein = 2,
    /// Jaro-Winkler.
    JaroWinkler = 3,
}

impl Metric {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Idf, Self::Dice, Self::Levenshtein, Self::JaroWinkler];

    /// As an option names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idf => "idf",
            Self::Dice => "dice",
            Self::Levenshtein => "levenshtein",
            Self::JaroWinkler => "jaro_winkler",
        }
    }

    /// The metric of a stored tag, if there is one.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| *metric as u8 == tag)
    }

    /// How similar a prompt must be where nobody has said so: with the guards on, some 84 % of the hits on the public
    /// part of the simulation are right. `tests/core_lexical.rs` prints the table. Without guards that takes 0.90, 0.96,
    /// 0.975 and 0.99.
    pub const fn default_threshold(self) -> f64 {
        match self {
            Self::Idf => 0.88,
            Self::Dice => 0.815,
            Self::Levenshtein => 0.82,
            Self::JaroWinkler => 0.955,
        }
    }
}

/// How similar two prompts are: the definition, which the indexes are tested against.
pub fn similarity(metric: Metric, a: &Text, b: &Text) -> f64 {
    match metric {
        Metric::Idf => idf::cosine(a, b),
        Metric::Dice => strsim::sorensen_dice(&a.normal, &b.normal),
        Metric::Levenshtein => strsim::normalized_levenshtein(&a.normal, &b.normal),
        Metric::JaroWinkler => strsim::jaro_winkler(&a.normal, &b.normal),
    }
}

/// A prompt that was found. Slot and stamp are the caller's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// What the prompt was inserted as.
    pub slot: u32,
    /// What was inserted with it.
    pub stamp: u32,
    /// How similar it is.
    pub similarity: f64,
}

#[derive(Clone, Debug)]
enum Kind {
    Idf(Index<Idf>),
    Dice(Index<Dice>),
    Levenshtein(Index<Levenshtein>),
    JaroWinkler(Index<JaroWinkler>),
}

/// The prompts of one context, to be searched by one metric.
#[derive(Clone, Debug)]
pub struct Terms(Kind);

macro_rules! of_kind {
    ($terms:expr, $index:ident => $do:expr) => {
        match $terms {
            Kind::Idf($index) => $do,
            Kind::Dice($index) => $do,
            Kind::Levenshtein($index) => $do,
            Kind::JaroWinkler($index) => $do,
        }
    };
}

impl Terms {
    /// No prompts.
    pub fn new(metric: Metric) -> Self {
        Self(match metric {
            Metric::Idf => Kind::Idf(Index::default()),
            Metric::Dice => Kind::Dice(Index::default()),
            Metric::Levenshtein => Kind::Levenshtein(Index::default()),
            Metric::JaroWinkler => Kind::JaroWinkler(Index::default()),
        })
    }

    /// Puts a prompt in. Its slot must not be there.
    pub fn insert(&mut self, slot: u32, stamp: u32, text: &Text) {
        of_kind!(&mut self.0, index => index.insert(slot, stamp, text));
    }

    /// Takes a prompt out; whether it was there. What it was inserted with is known here, so its text is not needed.
    pub fn take(&mut self, slot: u32) -> bool {
        of_kind!(&mut self.0, index => index.take(slot))
    }

    /// How many prompts there are.
    pub fn len(&self) -> usize {
        of_kind!(&self.0, index => index.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes behind it, without its own. Searches that are under way are not counted.
    pub fn memory(&self) -> usize {
        of_kind!(&self.0, index => index.memory())
    }

    /// A search for prompts like this one among those that are here now.
    pub fn snapshot(&self, query: &Text) -> Search {
        of_kind!(&self.0, index => Search(Box::new(index.snapshot(query))))
    }

    /// Checks that its parts agree.
    pub fn validate(&self) -> Result<(), String> {
        of_kind!(&self.0, index => index.validate())
    }
}

/// A search, with all that it needs.
#[derive(Debug)]
pub struct Search(Box<dyn Find>);

impl Search {
    /// The best `k` prompts from this similarity on, the best first; of equal ones the lowest slot.
    pub fn best(&self, floor: f64, k: usize) -> Vec<Hit> {
        self.0.best(floor, k)
    }

    /// About how many microseconds a search from this similarity takes.
    pub fn cost_from(&self, floor: f64) -> u64 {
        self.0.cost(floor)
    }
}
