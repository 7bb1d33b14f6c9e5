//! Dictionaries: what many answers of a cache have in common, so that each is stored without it.
//!
//! A dictionary is made once (see [`super::training`]) and never changes. Entries name it by a small number, its place in
//! the cache's set; it lives as long as one of them does. What is kept of it is what reading needs, prepared so that a
//! lookup has nothing to set up, and its content, compressed: that is needed for snapshots and to prepare an [`Encoders`]
//! place, on a worker thread, and nowhere else.

use super::memory;
use std::fmt;
use std::sync::{Arc, Weak};
use zstd::zstd_safe::{self, CDict, DDict};

/// The largest content of a dictionary.
pub const MAX_CONTENT: usize = 112 << 10;

/// How many dictionaries a cache holds at once: the one in use, and those that its older entries still refer to.
pub const MAX_DICTIONARIES: usize = 8;

/// What a trained dictionary begins with. Four bytes for its id follow, which stay zero: frames then do not name it.
const MAGIC: [u8; 4] = 0xec30_a437_u32.to_le_bytes();

/// How well the content is compressed at rest.
const CONTENT_LEVEL: i32 = 3;

/// What is known of a dictionary's making.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The how manieth of its cache it is, from 1 on.
    pub version: u32,
    /// From how many answers it was trained.
    pub samples: u32,
    /// How many entries there were then.
    pub entries: u32,
    /// Bytes of the answers that it was tried on and not trained on, as they came.
    pub tried_raw: u32,
    /// The same, compressed with it.
    pub tried_stored: u32,
}

/// A dictionary, ready to read with.
pub struct Dictionary {
    facts: Facts,
    /// The content as one zstd frame, and its length.
    content: Box<[u8]>,
    length: usize,
    decoder: DDict<'static>,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary").field("facts", &self.facts).field("length", &self.length).finish_non_exhaustive()
    }
}

impl Dictionary {
    /// Prepares what a training has made. None where it is no dictionary.
    pub(super) fn made(mut content: Vec<u8>, facts: Facts) -> Option<Self> {
        content.get_mut(4..8)?.fill(0);
        let packed = zstd::bulk::compress(&content, CONTENT_LEVEL).ok()?;
        Self::prepared(&content, packed.into(), facts)
    }

    /// Prepares what was saved, by whomever. None where it is no dictionary.
    pub(super) fn read(packed: &[u8], length: u32, facts: Facts) -> Option<Self> {
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_CONTENT)?;
        let content = zstd::bulk::decompress(packed, length).ok()?;
        Self::prepared(&content, packed.into(), facts).filter(|made| made.length == length)
    }

    fn prepared(content: &[u8], packed: Box<[u8]>, facts: Facts) -> Option<Self> {
        let (head, rest) = content.split_at_checked(8)?;
        let is_one = head.starts_with(&MAGIC) && head.ends_with(&[0; 4]) && !rest.is_empty();
        if !is_one || content.len() > MAX_CONTENT || packed.len() > zstd_safe::compress_bound(MAX_CONTENT) {
            return None;
        }
        // zstd looks through its tables here, and refuses those that lie.
        let decoder = DDict::try_create(content)?;
        Some(Self { facts, content: packed, length: content.len(), decoder })
    }

    pub(super) fn with_facts(self, facts: Facts) -> Self {
        Self { facts, ..self }
    }

    /// What is known of its making.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Bytes of its content.
    pub fn content_len(&self) -> usize {
        self.length
    }

    /// Its content as it is saved.
    pub(super) fn packed(&self) -> &[u8] {
        &self.content
    }

    pub(super) fn decoder(&self) -> &DDict<'static> {
        &self.decoder
    }

    /// Bytes behind it. What a worker needs to compress with it is the worker's.
    pub fn memory(&self) -> usize {
        // Behind an `Arc`, with its two counts.
        memory::allocated(size_of::<Self>() + 16) + memory::allocated(self.content.len()) + self.decoder.sizeof()
    }

    /// What a dictionary of this size takes, about and at most.
    pub(super) fn memory_of(size: usize) -> usize {
        const TABLES: usize = 28 << 10;
        TABLES + size + size * 2 / 3
    }

    fn encoder(&self, level: i32) -> Option<CDict<'static>> {
        let content = zstd::bulk::decompress(&self.content, self.length).ok()?;
        CDict::try_create(&content, level)
    }
}

/// One dictionary in a cache's set.
#[derive(Clone, Debug)]
struct Held {
    dictionary: Arc<Dictionary>,
    /// How many entries refer to it.
    users: u32,
}

/// A dictionary as INFO shows it.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The dictionary.
    pub dictionary: &'a Dictionary,
    /// How many entries refer to it.
    pub users: u32,
    /// Whether new answers are compressed with it.
    pub is_current: bool,
}

/// The dictionaries of a cache. A place is used again once no entry refers to what is in it.
#[derive(Clone, Debug, Default)]
pub struct Dictionaries {
    held: Vec<Option<Held>>,
    current: Option<u8>,
    versions: u32,
}

impl Dictionaries {
    /// The dictionary in a place.
    pub(super) fn get(&self, place: u8) -> Option<&Arc<Dictionary>> {
        self.held.get(usize::from(place))?.as_ref().map(|held| &held.dictionary)
    }

    /// The dictionary that new answers are compressed with, and its place.
    pub(super) fn current(&self) -> Option<(u8, &Arc<Dictionary>)> {
        self.current.and_then(|place| Some((place, self.get(place)?)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.held.iter().flatten().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The version that the next one gets.
    pub(super) fn next_version(&self) -> u32 {
        self.versions.saturating_add(1)
    }

    /// All of them, the oldest first.
    pub fn list(&self) -> Vec<Shown<'_>> {
        let mut list: Vec<_> = self.placed().map(|(_, shown)| shown).collect();
        list.sort_by_key(|shown| shown.dictionary.facts.version);
        list
    }

    /// All of them by place.
    pub(super) fn placed(&self) -> impl Iterator<Item = (u8, Shown<'_>)> {
        (0..).zip(&self.held).filter_map(|(place, held)| {
            let Held { dictionary, users } = held.as_ref()?;
            Some((place, Shown { dictionary, users: *users, is_current: self.current == Some(place) }))
        })
    }

    /// Puts one in, which nobody refers to yet. None where there are too many.
    pub(super) fn put(&mut self, dictionary: Arc<Dictionary>) -> Option<u8> {
        let free = self.held.iter().position(Option::is_none).unwrap_or(self.held.len());
        if free >= MAX_DICTIONARIES {
            return None;
        }
        self.versions = self.versions.max(dictionary.facts.version);
        let held = Some(Held { dictionary, users: 0 });
        match self.held.get_mut(free) {
            Some(place) => *place = held,
            None => {
                self.held.reserve_exact(1);
                self.held.push(held);
            }
        }
        u8::try_from(free).ok()
    }

    /// Chooses what new answers are compressed with.
    pub(super) fn set_current(&mut self, place: Option<u8>) {
        self.current = place;
    }

    /// New answers are compressed with the newest one from now on, or with none.
    pub(super) fn choose(&mut self, is_wanted: bool) {
        let newest = || self.placed().max_by_key(|(_, shown)| shown.dictionary.facts.version).map(|(place, _)| place);
        self.current = if is_wanted { self.current.or_else(newest) } else { None };
    }

    /// One user more.
    pub(super) fn acquire(&mut self, place: u8) {
        if let Some(Some(held)) = self.held.get_mut(usize::from(place)) {
            held.users += 1;
        }
    }

    /// One user less; the last one takes it along.
    pub(super) fn release(&mut self, place: u8) {
        if let Some(Some(held)) = self.held.get_mut(usize::from(place)) {
            held.users = held.users.saturating_sub(1);
            if held.users == 0 {
                self.forget(place);
            }
        }
    }

    /// Forgets those that nobody refers to.
    pub(super) fn sweep(&mut self) {
        let unused: Vec<_> = self.placed().filter(|(_, shown)| shown.users == 0).map(|(place, _)| place).collect();
        unused.into_iter().for_each(|place| self.forget(place));
    }

    fn forget(&mut self, place: u8) {
        if let Some(held) = self.held.get_mut(usize::from(place)) {
            *held = None;
        }
        self.current = self.current.filter(|current| *current != place);
        if self.is_empty() {
            self.held = Vec::new();
        }
    }

    /// Bytes behind them.
    pub fn memory(&self) -> usize {
        let own: usize = self.held.iter().flatten().map(|held| held.dictionary.memory()).sum();
        own + memory::of_vec::<Option<Held>>(self.held.len())
    }

    /// Checks that each counts its users, those being the places that entries name.
    pub(super) fn validate(&self, named: impl Iterator<Item = u8>) -> Result<(), String> {
        let mut users = [0u32; MAX_DICTIONARIES];
        for place in named {
            let count = users.get_mut(usize::from(place)).filter(|_| self.get(place).is_some());
            *count.ok_or("an entry's dictionary is there")? += 1;
        }
        for (place, shown) in self.placed() {
            if users.get(usize::from(place)) != Some(&shown.users) {
                return Err(format!("dictionary {place} counts {} users, {users:?} are there", shown.users));
            }
            if shown.users == 0 {
                return Err(format!("dictionary {place} has no users"));
            }
        }
        match self.current {
            Some(current) if self.get(current).is_none() => Err("the current dictionary is there".to_owned()),
            _ => Ok(()),
        }
    }
}

/// What compressing with a dictionary needs, for the few that were used last. It is large, several times the dictionary,
/// so it stays with the threads that compress, within a budget.
#[derive(Default)]
pub(super) struct Encoders(Vec<Encoder>);

struct Encoder {
    /// Only to know it again: what has no other owner is gone.
    of: Weak<Dictionary>,
    level: i32,
    prepared: CDict<'static>,
}

/// What the encoders of one thread may take.
pub const ENCODERS_BUDGET: usize = 4 << 20;

impl Encoders {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// The encoder of a dictionary, made where it is not there.
    pub(super) fn of(&mut self, dictionary: &Arc<Dictionary>, level: i32) -> Option<&CDict<'static>> {
        let is_it = |encoder: &Encoder| encoder.level == level && encoder.of.as_ptr() == Arc::as_ptr(dictionary);
        if let Some(there) = self.0.iter().rposition(is_it) {
            // The one that was used last stands last.
            let encoder = self.0.remove(there);
            self.0.push(encoder);
        } else {
            self.0.retain(|encoder| encoder.of.strong_count() > 0);
            let prepared = dictionary.encoder(level)?;
            while !self.0.is_empty() && self.memory() + prepared.sizeof() > ENCODERS_BUDGET {
                self.0.remove(0);
            }
            self.0.push(Encoder { of: Arc::downgrade(dictionary), level, prepared });
        }
        self.0.last().map(|encoder| &encoder.prepared)
    }

    pub(super) fn memory(&self) -> usize {
        self.0.iter().map(|encoder| encoder.prepared.sizeof()).sum()
    }
}
