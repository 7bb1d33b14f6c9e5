//! The value itself: entries, policy and counters, and everything that may happen to them.
//!
//! A lookup never changes what a cache holds, only counters and the order of use. Everything else is a mutator, which
//! answers what it did as [`Effects`]; who keeps copies of the cache (replicas, an append-only file) repeats the effects
//! through the `repeat_` functions of [`super::persist`], never the request: requests depend on the clock and the policy.

use super::alerts::{Alerts, MAX_ALERTS};
use super::effects::Effects;
use super::entry::{EntryView, Phase, Slot};
use super::feedback::Feedback;
use super::hot::Copied;
use super::identity::{Digest, EntryId};
use super::ledger::Ledger;
use super::matching::Wanted;
use super::plans::{Plans, MAX_PROFILES};
use super::policy::{Compress, Mode, Policy, PolicyChange};
use super::pressing::{Moving, Waiting};
use super::similarity::guards::Guard;
use super::similarity::index::Index;
use super::similarity::{Kind, Method};
use super::store::Store;
use super::strategy::{Strategies, StrategyError};
use super::time::UnixMs;
use super::training::Schedule;
use std::borrow::Cow;
use std::collections::VecDeque;

/// How long a dead entry is kept, so that a lookup can still tell that its answer has expired.
pub const GRACE_MS: u64 = 1000;

/// How many slots a command may look at for entries that are to be indexed: about a millisecond's work.
pub(super) const INDEXED_AT_ONCE: u64 = 160;

/// After how many of them it is seen to the limits.
const INDEX_STEP: u64 = 16;

/// One cache.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    pub(super) store: Store,
    pub(super) policy: Policy,
    pub(super) strategies: Strategies,
    pub(super) ledger: Ledger,
    /// Answers that wait to be compressed, the oldest first. Here and below a name may be that of an entry that is gone or has
    /// changed, which is seen when its turn comes; they are swept before such names outnumber the others.
    pub(super) pending: VecDeque<Waiting>,
    /// How many of them, from the first on, are with a compressor.
    pub(super) out: usize,
    /// Entries with a hot copy.
    pub(super) copies: VecDeque<Copied>,
    /// Answers that are to be stored in another way, and when a dictionary is trained.
    pub(super) moving: Moving,
    pub(super) schedule: Schedule,
    pub(super) debris: Option<Box<Store>>,
    pub(super) feedback: Feedback,
    pub(super) plans: Plans,
    pub(super) alerts: Alerts,
    /// How many of the next entries that are repeated are told once more, and were counted before.
    pub(super) retold: u64,
    /// How many answers were stored before their etag was known.
    pub(super) versions: u64,
    /// Whether a similar lookup came to a cache whose own mode is exact.
    pub(super) asked_similar: bool,
    /// Whether the server is short of memory, so that nothing is put into an index that was only asked for.
    pub(super) is_held: bool,
    /// Whether a limit has become lower than what there is, and entries go bit by bit.
    pub(super) shrinking: bool,
}

/// What a lookup asks for beside the identity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// Match like this, whatever the cache's own mode.
    pub mode: Option<Mode>,
    /// How similar an answer must be at least, beside what the cache asks.
    pub threshold: Option<f64>,
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
#[derive(Clone, Debug, PartialEq)]
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
    /// The option belongs to another kind of similarity.
    OtherKind {
        /// The option.
        name: &'static str,
        /// The kind it belongs to.
        kind: Kind,
        /// The kind that the cache has.
        is: Kind,
    },
    /// There are vectors of another size already.
    OtherDim {
        /// The size of those.
        dim: u32,
        /// The size that was asked for.
        got: u32,
    },
    /// There are as many plans as there may be.
    Profiles,
    /// There are as many alerts as there may be.
    Alerts,
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
            Self::OtherKind { name, kind, is } => {
                write!(f, "{name} belongs to SIMILARITY {}, this is a cache of SIMILARITY {}", kind.name(), is.name())
            }
            Self::OtherDim { dim, got } => {
                write!(f, "DIM is {dim} by the vectors that are stored, and cannot become {got} while they are")
            }
            Self::Profiles => write!(f, "PLAN would be one profile too many, a cache may have {MAX_PROFILES}"),
            Self::Alerts => write!(f, "ALERT would be one too many, a cache may have {MAX_ALERTS}: delete one first"),
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
    /// There are entries to compare with, and none is similar enough.
    BelowThreshold,
    /// The most similar one was called a bad answer to this prompt.
    Feedback,
    /// The most similar one differs in what this guard looks at.
    Guard(Guard),
}

/// Which entry a lookup finds, before anything is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// The very answer, and whether it is stale.
    Exact(Slot, Phase),
    /// The answer to a similar question.
    Similar {
        /// Where it is.
        slot: Slot,
        /// Whether it is stale.
        phase: Phase,
        /// How similar the question is.
        similarity: f64,
    },
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
        /// How similar its question is, where it is not the very same.
        similar: Option<f64>,
    },
}

impl Cache {
    /// An empty cache with a policy.
    pub fn with_policy(policy: Policy) -> Self {
        let mut ledger = Ledger::default();
        ledger.set_limit(policy.max_memory);
        Self { policy, ledger, ..Self::default() }
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
    pub fn ledger(&self) -> Cow<'_, Ledger> {
        self.ledger.booked()
    }

    /// The same, to note what only the shell knows.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// What users said of its answers.
    pub fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    /// Its entries.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its entries, for the defragmentation of memory.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// What INVALIDATE ALL has left behind, or the index of another way to compare. To free a large one takes long, so
    /// whoever takes it says where.
    pub fn take_debris(&mut self) -> Option<Store> {
        self.debris.take().map(|debris| *debris)
    }

    /// Bytes behind the whole cache.
    pub fn memory(&self) -> usize {
        self.entries_memory()
            + self.store.shared_memory()
            + self.store.likeness_memory()
            + self.store.dictionaries().memory()
            + self.policy_memory()
    }

    /// Bytes of its entries, and of what is remembered of those that had to go.
    pub fn entries_memory(&self) -> usize {
        self.store.entries_memory() + self.store.ghosts_memory(self.policy.max_memory > 0)
    }

    /// The same without the statistics, which nobody evicts.
    pub(super) fn footprint(&self) -> usize {
        self.memory() - self.ledger.charge()
    }

    /// Bytes behind its statistics, or set aside for them.
    pub fn statistics_memory(&self) -> usize {
        self.ledger.charge()
    }

    /// Bytes behind what the cache is, apart from what it holds.
    pub fn policy_memory(&self) -> usize {
        // Counted also where there is no index yet, so that one that comes does not pass the limit.
        super::memory::allocated(size_of::<Self>())
            + Index::OWN
            + self.policy.memory()
            + self.strategies.memory()
            + self.feedback.memory()
            + self.plans.memory()
            + self.alerts.memory()
            + self.ledger.charge()
    }

    /// Which entry answers this digest on these terms.
    pub fn find(&self, digest: &Digest, terms: &Terms, now: UnixMs) -> Found {
        self.found(self.store.find(digest), terms, now)
    }

    /// The same for a lookup, which may leave a shortcut for the next.
    pub(super) fn recall(&mut self, wanted: &Wanted<'_>) -> Found {
        let slot = self.store.find_question(&wanted.identity, || wanted.digest());
        self.found(slot, wanted.terms, wanted.now)
    }

    fn found(&self, slot: Option<Slot>, terms: &Terms, now: UnixMs) -> Found {
        let Some((slot, entry)) = slot.and_then(|slot| Some((slot, self.store.get(slot)?))) else {
            return Found::Miss(Miss::Absent);
        };
        match entry.serves(terms, now) {
            Some(phase) => Found::Exact(slot, phase),
            None => Found::Miss(Miss::Expired),
        }
    }

    /// The slot of an entry that somebody can still see.
    pub fn visible(&self, id: &EntryId, now: UnixMs) -> Option<Slot> {
        self.store.find_id(id).filter(|slot| self.is_visible(*slot, now))
    }

    pub(super) fn is_visible(&self, slot: Slot, now: UnixMs) -> bool {
        self.store.get(slot).is_some_and(|entry| entry.phase(now) != Phase::Dead)
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
        let mut effects = self.begin_to_alter(change, now)?;
        while self.shrinking {
            effects.merge(self.shrink(usize::MAX, now));
        }
        Ok(effects)
    }

    /// Changes the policy; some of the entries that no longer fit go, and the others with [`Cache::shrink`].
    pub fn begin_to_alter(&mut self, change: &PolicyChange, now: UnixMs) -> Result<Effects, AlterError> {
        let policy = self.policy.changed(change)?;
        self.strategies.check_default(&policy.strategy)?;
        if let (Some(dim), Some(got)) = (self.policy.dim, change.dim) {
            let there =
                self.store.likeness().is_some_and(|index| index.method() == Method::Vector && !index.is_empty());
            if there && dim != got {
                return Err(AlterError::OtherDim { dim, got });
            }
        }
        let before = std::mem::replace(&mut self.policy, policy);
        self.check_room().inspect_err(|_| self.policy = before)?;
        self.ledger.set_limit(self.policy.max_memory);
        self.asked_similar &= change.mode != Some(Mode::Exact);
        self.shrinking = true;
        self.keep_likeness();
        self.keep_dictionary();
        let mut left = INDEXED_AT_ONCE / INDEX_STEP;
        let mut effects = self.index_some(true, now, || {
            left = left.saturating_sub(1);
            left > 0
        });
        self.altered(now, &mut effects);
        Ok(effects)
    }

    /// Whether similar prompts are to be found here: by policy, because somebody asked for it, or because clients sent
    /// vectors, which nobody can make again.
    fn needs_likeness(&self) -> bool {
        self.asked_similar || self.policy.mode == Mode::Similar || self.policy.similarity == Kind::Vector
    }

    /// Makes the index of similar prompts where it is needed and not there, and does away with one that is of no use; and the
    /// order of eviction is as the policy says.
    pub(super) fn keep_likeness(&mut self) {
        self.store.order_by(self.policy.evict);
        let needed = self.needs_likeness().then(|| self.policy.method());
        if self.store.likeness().map(Index::method) != needed {
            self.debris = self.store.set_likeness(needed).map(Box::new).or(self.debris.take());
        }
    }

    /// New answers are compressed with the newest dictionary where the policy says so, and with none elsewhere. What is
    /// stored stays as it is.
    pub(super) fn keep_dictionary(&mut self) {
        let had_one = self.store.dictionaries().current().is_some();
        self.store.dictionaries_mut().choose(self.policy.compress == Compress::Dict);
        if !had_one && self.store.dictionaries().current().is_some() {
            self.move_all();
        }
    }

    /// Puts entries into the index that were stored before there was one, a few at a time while it may go on. It makes room
    /// for them where this node may evict and the policy wants the index; otherwise it goes as far as there is room.
    pub fn index_some(&mut self, may_evict: bool, now: UnixMs, mut go_on: impl FnMut() -> bool) -> Effects {
        // What a few more entries may take, with a block of the index that grows.
        let most = |cache: &Self| 8192 + (cache.store.likeness_memory() as u64 / 2).min(128 << 10);
        let mut effects = Effects::default();
        let limit = self.policy.max_memory;
        let may_evict = may_evict && self.policy.mode == Mode::Similar;
        while go_on() {
            if !may_evict && (self.is_held || limit > 0 && self.memory() as u64 + most(self) > limit) {
                break;
            }
            let more = self.store.index_some(INDEX_STEP);
            if may_evict {
                self.keep_limits(None, now, &mut effects);
            }
            if !more {
                break;
            }
        }
        effects
    }

    /// Takes up no more room for what only lookups ask for while the server is short of memory, or goes on.
    pub fn hold(&mut self, is_short: bool) {
        self.is_held = is_short;
        self.ledger.hold(is_short);
    }

    /// Whether the index goes as far as there is room, and no further: it was only asked for.
    pub fn has_partial_index(&self) -> bool {
        let is_limited = self.policy.max_memory > 0 || self.is_held;
        self.store.is_indexing() && self.policy.mode == Mode::Exact && is_limited
    }

    /// Gives up an index that was only asked for; whether there was one.
    pub fn give_up_asked_index(&mut self) -> bool {
        let had_one =
            std::mem::take(&mut self.asked_similar) && !self.needs_likeness() && self.store.likeness().is_some();
        self.keep_likeness();
        had_one
    }

    /// The same for a lookup, which evicts nothing and does not take long.
    pub(super) fn index_within(&mut self, slots: u64, now: UnixMs) {
        let mut left = slots / INDEX_STEP;
        let go_on = || {
            left = left.saturating_sub(1);
            left > 0
        };
        self.index_some(false, now, go_on);
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
        let mut effects = Effects::default();
        self.altered(now, &mut effects);
        Ok((answer, effects))
    }

    fn altered(&mut self, now: UnixMs, effects: &mut Effects) {
        effects.policy = true;
        self.keep_limits(None, now, effects);
    }

    /// A limit that the cache would not keep without any entries is none.
    pub(super) fn check_room(&self) -> Result<(), AlterError> {
        let limit = self.policy.max_memory;
        let needed = Ledger::beside(self.policy_memory() - self.ledger.charge());
        if limit > 0 && limit < needed {
            return Err(AlterError::NoRoom { limit, needed });
        }
        Ok(())
    }

    /// Checks that everything agrees, and says what does not. The limits are the primary's to keep: a replica frees dead
    /// entries at other times, so there only [`Store::validate`] holds after each step.
    pub fn validate(&self) -> Result<(), String> {
        self.agrees()?;
        let (entries, memory) = match self.shrinking {
            true => (0, 0),
            false => (self.policy.max_entries, self.policy.max_memory),
        };
        if entries > 0 && self.store.len() as u64 > entries {
            return Err(format!("{} entries, {entries} allowed", self.store.len()));
        }
        // An empty cache may be too large by its policy alone: there is nothing left to evict.
        if memory > 0 && self.memory() as u64 > memory && !self.store.is_empty() {
            return Err(format!("{} bytes, {memory} allowed", self.memory()));
        }
        Ok(())
    }

    /// The same without the limits.
    pub fn agrees(&self) -> Result<(), String> {
        self.store.validate()?;
        self.plans.validate()?;
        self.alerts.validate()?;
        self.ledger.validate()?;
        self.ledger.booked().validate()?;
        self.strategies.check_default(&self.policy.strategy).map_err(|why| why.to_string())
    }
}
