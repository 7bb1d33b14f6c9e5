//! What a cache keeps to find similar prompts: for each context its vectors or terms, and the normalised texts of all.
//!
//! Contexts are apart from the ground up: each has rows or terms of its own, and a search sees those of one context and
//! nothing else. A context of three entries costs three rows, whether there are few such contexts or many.
//!
//! The built-in model knows English. Where it does not know the words of a prompt it gives no vector, and the prompt is
//! compared by its letters with others of that sort.

use super::dense::{BadVector, Codes, Probe, Rows, Shape};
use super::lexical::{Metric, Terms};
use super::text::Text;
use super::{builtin, Method};
use crate::core::entry::Slot;
use crate::core::interner::Symbol;
use crate::core::memory;
use hashbrown::{HashMap, HashTable};
use std::hash::{BuildHasher, RandomState};

/// What an entry keeps of its place here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its row among the vectors of its context; terms know theirs, and have `NO_ROW`.
    row: u32,
    /// The hash of its normalised text, where it is listed under that.
    form: Option<u32>,
}

const NO_ROW: u32 = u32::MAX;

/// How many entries are listed under one normalised text. Prompts that differ in nothing that counts are as many as somebody
/// cares to make up; the search finds the others.
const LISTED: usize = 8;

/// How prompts are compared whose words the built-in model does not know.
const UNKNOWN_METRIC: Metric = Metric::Dice;

/// What the vectors of the built-in model are like.
pub const BUILTIN: Shape = Shape { dim: builtin::DIM, fine: false };

/// A prompt that is looked for.
#[derive(Clone, Debug)]
pub struct Query {
    /// The prompt, as far as it can be read. The vectors of clients stand for prompts that need not be.
    pub text: Option<Text>,
    /// How it is compared.
    pub method: Method,
    /// Its vector.
    probe: Option<Probe>,
}

impl Query {
    /// Reads a prompt. None where nothing can be compared with it.
    pub fn read(method: Method, prompt: &[u8], vector: Option<&[f32]>) -> Option<Self> {
        let text = Text::read(prompt);
        if text.is_none() && method != Method::Vector {
            return None;
        }
        let probe = match (method, &text) {
            (Method::Builtin, Some(text)) => builtin::encode(text).and_then(|vector| Probe::from_f32(&vector).ok()),
            (Method::Vector, _) => Some(Probe::from_f32(vector?).ok()?),
            _ => None,
        };
        let method =
            if method == Method::Builtin && probe.is_none() { Method::Lexical(UNKNOWN_METRIC) } else { method };
        Some(Self { text, method, probe })
    }
}

/// An entry that may be similar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Where it was.
    pub slot: Slot,
    /// Bits of its digest: the slot may hold another entry by now.
    pub stamp: u32,
    /// How similar the index finds it.
    pub similarity: f64,
}

impl Hit {
    /// Keeps the best of what was found in several parts.
    pub fn keep_best(hits: &mut Vec<Self>, count: usize) {
        hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.slot.cmp(&b.slot)));
        hits.truncate(count);
    }
}

/// A search, with all that it needs: it may run on any thread, and what is stored meanwhile does not touch it.
#[derive(Debug)]
pub enum Search {
    /// Among vectors.
    Vectors(super::dense::Snapshot, Probe),
    /// Among terms.
    Terms(super::lexical::Search),
}

impl Search {
    /// The best `count` entries from this similarity on, the best first.
    pub fn run(&self, floor: f64, count: usize) -> Vec<Hit> {
        self.run_parts(0..self.parts(), floor, count)
    }

    /// Into how many parts it can be split among threads.
    pub fn parts(&self) -> usize {
        match self {
            Self::Vectors(rows, _) => rows.parts(),
            Self::Terms(_) => 1,
        }
    }

    /// The same in some of the parts.
    pub fn run_parts(&self, mut parts: impl Iterator<Item = usize>, floor: f64, count: usize) -> Vec<Hit> {
        let hit = |slot, stamp, similarity| Hit { slot: Slot(slot), stamp, similarity };
        match self {
            Self::Vectors(rows, probe) => {
                let hits = rows.best_of(parts, probe, floor as f32, count);
                hits.into_iter().map(|found| hit(found.slot, found.stamp, found.similarity.into())).collect()
            }
            Self::Terms(search) => {
                let hits = if parts.next() == Some(0) { search.best(floor, count) } else { Vec::new() };
                hits.into_iter().map(|found| hit(found.slot, found.stamp, found.similarity)).collect()
            }
        }
    }

    /// About how many microseconds it takes from this similarity on.
    pub fn cost(&self, floor: f64) -> u64 {
        match self {
            Self::Vectors(rows, _) => rows.cost(),
            Self::Terms(search) => search.cost_from(floor),
        }
    }
}

/// The entries of one context.
#[derive(Clone, Debug, Default)]
struct Place {
    rows: Option<Rows>,
    terms: Option<Terms>,
}

impl Place {
    fn memory(&self) -> usize {
        self.rows.as_ref().map_or(0, Rows::memory) + self.terms.as_ref().map_or(0, Terms::memory)
    }

    fn len(&self) -> usize {
        self.rows.as_ref().map_or(0, Rows::len) + self.terms.as_ref().map_or(0, Terms::len)
    }

    /// What is empty goes.
    fn tidy(&mut self) {
        self.rows.take_if(|rows| rows.is_empty());
        self.terms.take_if(|terms| terms.is_empty());
    }
}

/// A slot and the hash of its normalised text.
#[derive(Clone, Copy, Debug)]
struct Form {
    slot: Slot,
    hash: u32,
}

/// The index of one cache.
#[derive(Clone, Debug)]
pub struct Index {
    method: Method,
    places: HashMap<Symbol, Place, RandomState>,
    forms: HashTable<Form>,
    hasher: RandomState,
    places_memory: usize,
    len: usize,
}

/// An entry to be indexed.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Its context.
    pub context: Symbol,
    /// Its slot.
    pub slot: Slot,
    /// Bits of its digest.
    pub stamp: u32,
    /// Its prompt.
    pub prompt: &'a [u8],
}

fn spread(hash: u32) -> u64 {
    // The table takes its bucket from the low bits and its tag from the high ones.
    u64::from(hash) << 32 | u64::from(hash)
}

impl Index {
    /// Bytes of an index that is empty.
    pub const OWN: usize = memory::allocated(size_of::<Self>());

    /// An empty index.
    pub fn new(method: Method) -> Self {
        let hasher = RandomState::new();
        let places = HashMap::with_hasher(hasher.clone());
        Self { method, places, forms: HashTable::new(), hasher, places_memory: 0, len: 0 }
    }

    /// Bytes behind an index of this one entry, and a little more for tables that were larger once.
    pub fn memory_of(method: Method, item: Item<'_>, vector: Option<&Codes>) -> usize {
        const SLACK: usize = 512;
        let mut index = Self::new(method);
        index.put(item, vector);
        index.memory() + SLACK
    }

    /// How it compares.
    pub fn method(&self) -> Method {
        self.method
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What a vector becomes that a client sends with an entry.
    pub fn codes(vector: &[f32]) -> Result<Codes, BadVector> {
        Codes::from_f32(vector, true)
    }

    fn form_hash(&self, context: Symbol, normal: &str) -> u32 {
        self.hasher.hash_one((context, normal)) as u32
    }

    /// Puts an entry in, with its vector where it is known already. None where it cannot be compared with others.
    pub fn put(&mut self, item: Item<'_>, vector: Option<&Codes>) -> Option<Mark> {
        let text = Text::read(item.prompt);
        let made;
        let codes = match (self.method, vector, &text) {
            (Method::Vector, None, _) | (Method::Builtin | Method::Lexical(_), _, None) => return None,
            (Method::Lexical(_), ..) => None,
            (Method::Builtin | Method::Vector, Some(vector), _) => Some(vector),
            (Method::Builtin, None, Some(text)) => {
                made = builtin::encode(text).and_then(|vector| Codes::from_f32(&vector, BUILTIN.fine).ok());
                made.as_ref()
            }
        };
        let metric = match self.method {
            Method::Lexical(metric) => metric,
            Method::Builtin | Method::Vector => UNKNOWN_METRIC,
        };
        let place = self.places.entry(item.context).or_default();
        let before = if place.len() == 0 { 0 } else { place.memory() };
        let row = match (codes, &text) {
            (Some(codes), _) => {
                let rows = place.rows.get_or_insert_with(|| Rows::new(codes.shape()));
                if rows.shape() != codes.shape() {
                    return None;
                }
                rows.insert(item.slot.0, item.stamp, codes)
            }
            (None, Some(text)) => {
                place.terms.get_or_insert_with(|| Terms::new(metric)).insert(item.slot.0, item.stamp, text);
                NO_ROW
            }
            (None, None) => return None,
        };
        let after = place.memory();
        self.places_memory = self.places_memory - before + after;
        self.len += 1;
        let text = text.filter(|_| self.method != Method::Vector);
        let form = text.map(|text| self.form_hash(item.context, &text.normal));
        let form = form.filter(|hash| self.forms.iter_hash(spread(*hash)).take(LISTED).count() < LISTED);
        if let Some(hash) = form {
            self.forms.insert_unique(spread(hash), Form { slot: item.slot, hash }, |form| spread(form.hash));
        }
        Some(Mark { row, form })
    }

    /// Takes an entry out. Answers the slot of the entry that got its row, and what that one's mark is now about: the row.
    pub fn take(&mut self, item: Item<'_>, mark: Mark) -> Option<(Slot, u32)> {
        let place = self.places.get_mut(&item.context)?;
        let before = place.memory();
        let mut moved = None;
        if mark.row == NO_ROW {
            place.terms.as_mut().map(|terms| terms.take(item.slot.0));
        } else if let Some(rows) = &mut place.rows {
            moved = rows.remove(mark.row).map(|slot| (Slot(slot), mark.row));
        }
        place.tidy();
        let mut after = place.memory();
        if place.len() == 0 {
            self.places.remove(&item.context);
            after = 0;
        }
        self.places_memory = self.places_memory + after - before;
        self.len -= 1;
        if let Some(hash) = mark.form {
            if let Ok(found) = self.forms.find_entry(spread(hash), |form| form.slot == item.slot) {
                found.remove();
            }
        }
        self.shrink();
        moved
    }

    /// Gives table memory back when little of it is in use.
    fn shrink(&mut self) {
        const SPARE: usize = 8;
        if self.len == 0 {
            *self = Self::new(self.method);
            return;
        }
        if self.forms.capacity() > SPARE && self.forms.len() < self.forms.capacity() / 4 {
            self.forms.shrink_to(self.forms.len() * 3 / 2, |form| spread(form.hash));
        }
        if self.places.capacity() > SPARE && self.places.len() < self.places.capacity() / 4 {
            self.places.shrink_to(self.places.len() * 3 / 2);
        }
    }

    fn place(&self, context: Symbol) -> Option<&Place> {
        self.places.get(&context)
    }

    /// The vector of an entry, for whoever keeps a copy of the cache.
    pub fn vector(&self, context: Symbol, mark: Mark) -> Option<Codes> {
        self.place(context)?.rows.as_ref()?.codes(mark.row)
    }

    /// Entries of a context whose normalised text may be this one.
    pub fn with_form(&self, context: Symbol, normal: &str) -> impl Iterator<Item = Slot> + '_ {
        let hash = self.form_hash(context, normal);
        self.forms.iter_hash(spread(hash)).filter(move |form| form.hash == hash).map(|form| form.slot)
    }

    /// A search for a query among the entries of a context.
    pub fn search(&self, context: Symbol, query: &Query) -> Option<Search> {
        let place = self.place(context)?;
        match &query.probe {
            // Vectors of another size are refused before they come here.
            Some(probe) => {
                let rows = place.rows.as_ref().filter(|rows| rows.shape().dim == probe.dim())?;
                Some(Search::Vectors(rows.snapshot(), probe.clone()))
            }
            None => Some(Search::Terms(place.terms.as_ref()?.snapshot(query.text.as_ref()?))),
        }
    }

    /// Bytes behind it, beside [`Self::OWN`].
    pub fn memory(&self) -> usize {
        self.places_memory
            + memory::allocated(self.places.allocation_size())
            + memory::allocated(self.forms.allocation_size())
    }

    /// Checks that its parts agree with each other and with what is indexed.
    pub fn validate<'a>(&self, indexed: impl Iterator<Item = (Item<'a>, Mark)>) -> Result<(), String> {
        let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let (mut len, mut forms) = (0, 0);
        for (item, mark) in indexed {
            len += 1;
            let place = self.place(item.context).ok_or("an indexed entry's context has a place")?;
            if let Some(rows) = place.rows.as_ref().filter(|_| mark.row != NO_ROW) {
                check(rows.owner(mark.row) == Some((item.slot.0, item.stamp)), "an entry's row is its own")?;
            }
            if let Some(hash) = mark.form {
                let own = Text::read(item.prompt).map(|text| self.form_hash(item.context, &text.normal));
                check(own == Some(hash), "an entry's form is that of its prompt")?;
                let listed = self.forms.iter_hash(spread(hash)).any(|form| form.slot == item.slot);
                check(listed, "an entry's form is listed")?;
                forms += 1;
            }
        }
        check(len == self.len && forms == self.forms.len(), "the index holds what is marked as indexed")?;
        let places = self.places.values();
        let (mut sum, mut rows) = (0, 0);
        for place in places {
            sum += place.memory();
            rows += place.len();
            place.rows.as_ref().map_or(Ok(()), Rows::validate)?;
            place.terms.as_ref().map_or(Ok(()), Terms::validate)?;
        }
        check(sum == self.places_memory, "the index's memory is the sum of its places'")?;
        check(rows == len, "the places hold what is indexed")
    }
}

impl Mark {
    /// The mark after another entry's row came to this one.
    #[must_use]
    pub fn moved_to(self, row: u32) -> Self {
        Self { row, ..self }
    }
}
