//! The value itself: entries, policy and counters, and everything that may happen to them.
//!
//! A lookup never changes what a cache holds, only counters and the order of use. Everything else is a mutator, which
//! answers what it did as [`Effects`]; who keeps copies of the cache (replicas, an append-only file) repeats the effects
//! through the `repeat_` functions of [`super::persist`], never the request: requests depend on the clock and the policy.

use super::codec::{Codec, Damaged, Encoding};
use super::counters::Counters;
use super::effects::Effects;
use super::entry::{EntryView, Phase, Slot};
use super::hot::{is_worth_warming, Queues};
use super::identity::{Digest, EntryId};
use super::policy::{Policy, PolicyChange};
use super::store::Store;
use super::strategy::{Strategies, StrategyError};
use super::time::UnixMs;

/// How long a dead entry is kept, so that a lookup can still tell that its answer has expired.
pub const GRACE_MS: u64 = 1000;

/// One cache.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    pub(super) store: Store,
    pub(super) policy: Policy,
    pub(super) strategies: Strategies,
    pub(super) counters: Counters,
    pub(super) queues: Queues,
    pub(super) debris: Option<Store>,
}

/// What a lookup asks for beside the identity.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Serve an answer whose time is up but that may still be stale.
    pub stale_ok: bool,
    /// Serve nothing older than this.
    pub max_age_ms: Option<u64>,
    /// Leave counters and the order of use alone.
    pub no_touch: bool,
    /// Say only that it has not changed, where it is this very answer.
    pub if_none_match: Option<u64>,
}

/// Why a policy, a strategy or a rule cannot be. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlterError {
    /// Because of a strategy or rule.
    Strategy(StrategyError),
    /// The cache is larger than its limit without any entries.
    NoRoom {
        /// The limit.
        limit: u64,
        /// What the cache takes.
        needed: u64,
    },
}

impl From<StrategyError> for AlterError {
    fn from(e: StrategyError) -> Self {
        Self::Strategy(e)
    }
}

impl std::fmt::Display for AlterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Strategy(e) => e.fmt(f),
            Self::NoRoom { limit, needed } => write!(
                f,
                "MAXMEMORY must be 0 for no limit, or at least {needed} bytes, which the cache takes without entries, \
                 got {limit}"
            ),
        }
    }
}

/// Why a lookup found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// There is no such entry.
    Absent,
    /// There is one, and its time is up.
    Expired,
}

/// Which entry a lookup finds, before anything is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An answer, and whether it is stale.
    Entry(Slot, Phase),
    /// None, and why.
    Miss(Miss),
}

/// What a lookup answers.
#[derive(Debug)]
pub enum Got<'a> {
    /// Nothing.
    Miss,
    /// It is the answer the caller has.
    NotModified,
    /// The answer.
    Hit {
        /// Whose answer it is.
        entry: EntryView<'a>,
        /// Its bytes.
        response: &'a [u8],
        /// Whether its time is up.
        stale: bool,
    },
}

impl Cache {
    /// An empty cache with a policy.
    pub fn with_policy(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Its policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Its strategies and rules.
    pub fn strategies(&self) -> &Strategies {
        &self.strategies
    }

    /// What it has done.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Its entries.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its entries, for the defragmentation of memory.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// What INVALIDATE ALL has left behind. To free a large one takes long, so whoever takes it says where.
    pub fn take_debris(&mut self) -> Option<Store> {
        self.debris.take()
    }

    /// Bytes behind the whole cache.
    pub fn memory(&self) -> usize {
        self.store.entries_memory() + self.store.shared_memory() + self.policy_memory()
    }

    /// Bytes behind what the cache is, apart from what it holds.
    pub fn policy_memory(&self) -> usize {
        super::memory::allocated(size_of::<Self>()) + self.policy.memory() + self.strategies.memory()
    }

    /// Which entry answers this digest on these terms.
    pub fn find(&self, digest: &Digest, terms: &Terms, now: UnixMs) -> Found {
        let Some((slot, entry)) = self.store.find(digest).and_then(|slot| Some((slot, self.store.get(slot)?))) else {
            return Found::Miss(Miss::Absent);
        };
        if terms.max_age_ms.is_some_and(|limit| now.since(entry.created) > limit) {
            return Found::Miss(Miss::Expired);
        }
        match entry.life.phase(now) {
            Phase::Stale if !terms.stale_ok => Found::Miss(Miss::Expired),
            Phase::Dead => Found::Miss(Miss::Expired),
            phase => Found::Entry(slot, phase),
        }
    }

    /// The answer to a digest. One whose bytes are damaged is an error, and nothing is counted.
    pub fn get<'a>(
        &'a mut self,
        digest: &Digest,
        terms: &Terms,
        now: UnixMs,
        codec: &'a mut Codec,
    ) -> Result<Got<'a>, Damaged> {
        let found = self.find(digest, terms, now);
        let Found::Entry(slot, phase) = found else {
            self.count(found, terms, now);
            return Ok(Got::Miss);
        };
        let entry = self.store.get(slot);
        if entry.is_some_and(|entry| terms.if_none_match == Some(entry.etag)) {
            self.count(found, terms, now);
            return Ok(Got::NotModified);
        }
        // Whatever can fail comes before anything is counted.
        let mut copy = None;
        if let Some(entry) = entry.filter(|entry| entry.hot.is_none()) {
            codec.prepare(&entry.answer)?;
            let warms = entry.answer.encoding != Encoding::Raw && !terms.no_touch && is_worth_warming(entry);
            copy = warms.then(|| codec.prepared(&entry.answer).into());
        }
        self.count(found, terms, now);
        if let Some(copy) = copy {
            self.warm(slot, copy);
        }
        Ok(match self.store.view(slot) {
            Some(entry) => {
                let response = entry.hot().unwrap_or_else(|| codec.prepared(entry.packed()));
                Got::Hit { entry, response, stale: phase == Phase::Stale }
            }
            None => Got::Miss,
        })
    }

    fn count(&mut self, found: Found, terms: &Terms, now: UnixMs) {
        if terms.no_touch {
            return;
        }
        self.counters.looked_up(now);
        match found {
            Found::Miss(Miss::Absent) => self.counters.miss_absent += 1,
            Found::Miss(Miss::Expired) => self.counters.miss_expired += 1,
            Found::Entry(slot, phase) => {
                self.store.touch(slot);
                match phase {
                    Phase::Stale => self.counters.hits_stale += 1,
                    _ => self.counters.hits_exact += 1,
                }
                if let Some(entry) = self.store.get(slot) {
                    self.counters.saved(&entry.effort);
                }
            }
        }
    }

    /// The slot of an entry that somebody can still see.
    pub fn visible(&self, id: &EntryId, now: UnixMs) -> Option<Slot> {
        self.store.find_id(id).filter(|slot| self.is_visible(*slot, now))
    }

    pub(super) fn is_visible(&self, slot: Slot, now: UnixMs) -> bool {
        self.store.get(slot).is_some_and(|entry| entry.life.phase(now) != Phase::Dead)
    }

    /// A page of entries from a cursor on, looking at `count` slots at most; the cursor to go on from, 0 at the end.
    pub fn scan<'a>(
        &'a self,
        cursor: u64,
        count: u64,
        now: UnixMs,
        wanted: impl Fn(&EntryView<'_>) -> bool,
    ) -> (u64, Vec<EntryView<'a>>) {
        let end = cursor.saturating_add(count);
        let page = self
            .store
            .page(cursor, count)
            .map(|(_, view)| view)
            .filter(|view| view.life().phase(now) != Phase::Dead && wanted(view));
        let page = page.collect();
        (if end < self.store.end_slot() { end } else { 0 }, page)
    }

    /// Changes the policy; entries that no longer fit go.
    pub fn alter(&mut self, change: &PolicyChange, now: UnixMs) -> Result<Effects, AlterError> {
        let policy = self.policy.changed(change);
        self.strategies.check_default(&policy.strategy)?;
        let before = std::mem::replace(&mut self.policy, policy);
        self.check_room().inspect_err(|_| self.policy = before)?;
        Ok(self.altered(now))
    }

    /// Changes strategies or rules; entries that no longer fit beside them go.
    pub fn alter_strategies<T>(
        &mut self,
        now: UnixMs,
        change: impl FnOnce(&mut Strategies, &Policy) -> Result<T, StrategyError>,
    ) -> Result<(T, Effects), AlterError> {
        let before = self.strategies.clone();
        let answer = change(&mut self.strategies, &self.policy)?;
        self.check_room().inspect_err(|_| self.strategies = before)?;
        Ok((answer, self.altered(now)))
    }

    fn altered(&mut self, now: UnixMs) -> Effects {
        let mut effects = Effects { policy: true, ..Effects::default() };
        self.keep_limits(None, now, &mut effects);
        effects
    }

    /// A limit that the cache would not keep without any entries is none.
    fn check_room(&self) -> Result<(), AlterError> {
        let (limit, needed) = (self.policy.max_memory, self.policy_memory() as u64);
        if limit > 0 && limit < needed {
            return Err(AlterError::NoRoom { limit, needed });
        }
        Ok(())
    }

    /// Checks that everything agrees, and says what does not. The limits are the primary's to keep: a replica frees dead
    /// entries at other times, so there only [`Store::validate`] holds after each step.
    pub fn validate(&self) -> Result<(), String> {
        self.store.validate()?;
        let (entries, memory) = (self.policy.max_entries, self.policy.max_memory);
        if entries > 0 && self.store.len() as u64 > entries {
            return Err(format!("{} entries, {entries} allowed", self.store.len()));
        }
        // An empty cache may be too large by its policy alone: there is nothing left to evict.
        if memory > 0 && self.memory() as u64 > memory && !self.store.is_empty() {
            return Err(format!("{} bytes, {memory} allowed", self.memory()));
        }
        self.strategies.check_default(&self.policy.strategy).map_err(|why| why.to_string())?;
        Ok(())
    }
}
