//! The order in which entries go: a clock, ranks, and who has the least.
//!
//! A cache has a clock of its own, in *half-lives*: what was asked a half-life ago counts half. A half-life is sixteen lookups
//! for each entry that is there, so a small cache forgets sooner than a large one, and one that nobody asks forgets nothing.
//! Each use has a time of its own. An entry keeps when it was last used, and how often it was asked, as of then; a hit
//! writes these two and nothing else.
//!
//! A rank is a time on this clock, the same for every policy: for `lru` that of the last use; for `lfu` the time at which an
//! entry would have been asked just once, if all its use had been then, so that one asked twice as often has a half-life more;
//! for `cost` the same with what each time saved, per byte. Ranks stand still between two uses, and a use only raises
//! them: that is why a heap of bounds is enough to find the least.

use super::ghosts::Ghosts;
use super::heap::Heap;
use crate::core::entry::{Effort, Entry, Slot};
use crate::core::policy::Evict;

/// A half-life on the clock.
pub(super) const HALF_LIFE: u64 = 1 << 32;

/// How many lookups a half-life has for each entry.
const LOOKUPS: u64 = 16;

/// The clock begins here: no rank lies that far before its time.
const BEGIN: u64 = 1 << 44;

/// Fewer entries are taken for so many, or the clock of a small cache would come to its end in weeks.
const FEWEST: usize = 64;

/// What a newcomer counts of which nothing is known: less than one that was asked.
const NEWCOMER: f32 = 0.5;

/// What one counts at most that was asked before, when nobody knows how long before: it was read from a file.
pub(in crate::core) const VETERAN: f32 = 10_000.0;

/// How many ranks are set right for one victim. Where more are out of date, the least of those that were looked at goes.
const LOOKED_AT: usize = 256;

/// What rank means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum By {
    Recency,
    Frequency,
    #[default]
    Worth,
}

impl By {
    fn rank(self, entry: &Entry) -> u64 {
        let weight = match self {
            Self::Recency => return entry.used,
            Self::Frequency => entry.asked,
            Self::Worth => entry.asked * worth(entry),
        };
        // Twice the weight is a half-life more.
        entry.used.saturating_add_signed((f64::from(weight).log2() * HALF_LIFE as f64) as i64)
    }
}

/// Micro-dollars that a hit saves, for each byte that the entry takes.
fn worth(entry: &Entry) -> f32 {
    saved(&entry.body.effort()) / entry.cold_memory() as f32
}

/// Micro-dollars that a hit saves. Where nobody said what an answer cost, it is taken for that of a small model: 0.10 dollars
/// for a million tokens in and 0.40 out. So answers without a price are compared by their tokens, and beside those
/// that have one they count little, but not nothing.
fn saved(effort: &Effort) -> f32 {
    match effort.cost.micros() {
        0 => (effort.tokens_in as f32 * 0.1 + effort.tokens_out as f32 * 0.4).max(0.1),
        micros => micros as f32,
    }
}

/// The clock and the ranks of a store's entries.
#[derive(Clone, Debug)]
pub(in crate::core) struct Order {
    clock: u64,
    /// How far a lookup moves the clock.
    step: u64,
    by: By,
    heap: Heap,
    /// Made by the first eviction.
    ghosts: Ghosts,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            clock: BEGIN,
            step: HALF_LIFE / LOOKUPS,
            by: By::default(),
            heap: Heap::default(),
            ghosts: Ghosts::default(),
        }
    }
}

impl Order {
    /// Bytes that one entry more takes here: twelve and four, with the slack of vectors that grow.
    pub const CHARGE: usize = (12 + 4) * 3 / 2;

    /// The same for what is remembered of others, where that is so or will be.
    pub const GHOSTS: usize = Ghosts::CHARGE;

    /// Whether anything is remembered.
    pub fn has_ghosts(&self) -> bool {
        !self.ghosts.is_empty()
    }

    /// From now on entries go by this policy. Ranks are found out as they are needed.
    pub fn set_policy(&mut self, evict: Evict) {
        let by = match evict {
            Evict::Lru | Evict::Ttl => By::Recency,
            Evict::Lfu => By::Frequency,
            Evict::Cost => By::Worth,
        };
        if self.by != by {
            self.by = by;
            self.heap.forget();
        }
    }

    /// Time passes by so many lookups.
    pub fn pass(&mut self, lookups: u64) {
        self.clock = self.clock.saturating_add(self.step.saturating_mul(lookups));
    }

    /// So many lookups have found an entry.
    pub fn touch(&mut self, entry: &mut Entry, lookups: u64) {
        self.pass(lookups);
        entry.asked = lookups as f32 + self.asked(entry);
        entry.used = self.clock;
    }

    /// How often an entry was asked, as much of it as still counts.
    pub fn asked(&self, entry: &Entry) -> f32 {
        entry.asked * (-(self.clock.saturating_sub(entry.used) as f32) / HALF_LIFE as f32).exp2()
    }

    /// An entry comes, with what is known of it in `asked`: what is remembered, if nothing is.
    pub fn enter(&mut self, entry: &mut Entry) {
        self.clock = self.clock.saturating_add(1);
        entry.used = self.clock;
        entry.asked = match self.ghosts.recall(entry.id.far_lot(), self.clock) {
            Some(before) if entry.asked == 0.0 => 1.0 + before,
            _ => entry.asked.max(NEWCOMER),
        };
    }

    /// The entry that has come is in this slot.
    pub fn insert(&mut self, slot: Slot, entry: &Entry) {
        self.heap.set(slot, self.by.rank(entry));
        self.keep_pace();
    }

    /// The slot is empty again.
    pub fn remove(&mut self, slot: Slot) {
        self.heap.remove(slot);
        if self.heap.len() == 0 {
            self.ghosts = Ghosts::default();
        }
        self.keep_pace();
    }

    fn keep_pace(&mut self) {
        self.step = (HALF_LIFE / (LOOKUPS * self.heap.len().max(FEWEST) as u64)).max(1);
    }

    /// An entry is about to go that somebody may ask for again. Where none was evicted yet, those that expire are forgotten.
    pub fn remember(&mut self, entry: &Entry, evicted: bool) {
        if !evicted && self.ghosts.is_empty() {
            return;
        }
        self.ghosts.remember(entry.id.far_lot(), By::Frequency.rank(entry), self.heap.len());
    }

    /// Something has changed that may lower the rank of an entry: it takes more bytes than before.
    pub fn lower(&mut self, slot: Slot, entry: &Entry) {
        let rank = self.by.rank(entry);
        if self.heap.bound(slot).is_some_and(|bound| bound > rank) {
            self.heap.set(slot, rank);
        }
    }

    /// The slot of least rank, but not `kept`.
    pub fn least<'a>(&mut self, kept: Option<Slot>, entry: impl Fn(Slot) -> Option<&'a Entry>) -> Option<Slot> {
        let (by, mut least, mut aside) = (self.by, None, None);
        for _ in 0..LOOKED_AT {
            let Some((bound, slot)) = self.heap.top() else { break };
            let Some(rank) = entry(slot).map(|entry| by.rank(entry)) else { break };
            if kept == Some(slot) {
                aside = kept;
                self.heap.remove(slot);
            } else if rank <= bound {
                // Nobody's bound is lower, so nobody's rank is.
                least = Some((rank, slot));
                break;
            } else {
                self.heap.set(slot, rank);
                least = Some(least.map_or((rank, slot), |least: (u64, Slot)| least.min((rank, slot))));
            }
        }
        if let Some((slot, entry)) = aside.and_then(|slot| Some((slot, entry(slot)?))) {
            self.heap.set(slot, by.rank(entry));
        }
        least.map(|(_, slot)| slot)
    }

    /// What entry saves for each byte, in dollars, if it goes on as it did: what its uses have saved, for each hour since it
    /// was stored. Unlike a rank, it can be compared between caches, and falls where nobody asks.
    pub fn hourly_worth(entry: &Entry, age_ms: u64) -> f64 {
        const HOUR_MS: f64 = 3_600_000.0;
        let hours = age_ms.max(1000) as f64 / HOUR_MS;
        (entry.hits as f64 + f64::from(NEWCOMER)) * f64::from(worth(entry)) / 1e6 / hours
    }

    /// Checks that each entry has a bound that is one.
    pub fn validate<'a>(&self, mut entries: impl ExactSizeIterator<Item = (Slot, &'a Entry)>) -> Result<(), String> {
        self.heap.validate()?;
        if entries.len() != self.heap.len() {
            return Err("nothing else has a rank".into());
        }
        let bounded = |(slot, entry): (Slot, &Entry)| {
            entry.used <= self.clock && self.heap.bound(slot).is_some_and(|bound| bound <= self.by.rank(entry))
        };
        entries.all(bounded).then_some(()).ok_or_else(|| "the bound of a rank is not above it".into())
    }
}
