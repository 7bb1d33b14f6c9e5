//! Making room: dead entries first, then the policy's victims.
//!
//! Who that is, [`order`] knows: it ranks entries by their last use, by how often they are asked lately, or by what that saves
//! for each byte. [`heap`] finds the least of them, and [`ghosts`] remembers those that went.

mod ghosts;
mod heap;
pub(super) mod order;

use super::cache::{Cache, GRACE_MS};
use super::effects::Effects;
use super::entry::Slot;
use super::policy::Evict;
use super::time::UnixMs;
use order::Order;

/// How near the server is to its `maxmemory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// There is room.
    None,
    /// There is none, but other caches make some for what is to be stored here.
    Granted,
    /// Caches may not grow: each new answer displaces others.
    Tight,
    /// Caches give memory back.
    Over,
}

/// How many entries go by the way while a cache shrinks to a lower limit.
const SHRINKING: usize = 256;

impl Cache {
    /// Gives back the memory of entries that died at least [`GRACE_MS`] ago, `budget` of them at most.
    pub fn expire(&mut self, now: UnixMs, budget: usize) -> u64 {
        let mut expired = 0;
        for _ in 0..budget {
            match self.store.soonest() {
                Some((dead_at, slot)) if dead_at.plus(GRACE_MS) <= now => {
                    self.count_slot(slot, now, |counters| counters.expirations += 1);
                    self.store.remember(slot, false);
                    self.store.remove(slot);
                    expired += 1;
                }
                _ => break,
            }
        }
        expired
    }

    /// Whether there is more than the limits allow.
    pub fn is_over(&self) -> bool {
        let (entries, memory) = (self.policy.max_entries, self.policy.max_memory);
        (entries > 0 && self.store.len() as u64 > entries) || (memory > 0 && self.memory() as u64 > memory)
    }

    /// Whether more than half of the memory is taken that it may take: only then may that limit be reached soon.
    pub fn is_filling(&self) -> bool {
        let limit = self.policy.max_memory;
        limit > 0 && self.memory() as u64 > limit / 2
    }

    /// Makes the limits hold: hot copies go first, then entries, but never `kept`. While a cache shrinks to a lower limit,
    /// this goes on with that for a few entries only.
    pub(super) fn keep_limits(&mut self, kept: Option<Slot>, now: UnixMs, effects: &mut Effects) {
        let budget = if self.shrinking { SHRINKING } else { usize::MAX };
        self.keep_limits_within(budget, kept, now, effects);
    }

    fn keep_limits_within(&mut self, budget: usize, kept: Option<Slot>, now: UnixMs, effects: &mut Effects) {
        let memory = self.policy.max_memory;
        if memory > 0 {
            self.cool_by((self.memory() as u64).saturating_sub(memory));
        }
        let mut left = budget;
        while self.is_over() {
            if left == 0 {
                return;
            }
            left -= 1;
            if !self.evict_one(kept, now, effects) {
                break;
            }
        }
        self.shrinking = false;
    }

    /// Whether entries are still to go since a limit has become lower.
    pub fn is_shrinking(&self) -> bool {
        self.shrinking
    }

    /// Lets so many more of them go.
    pub fn shrink(&mut self, budget: usize, now: UnixMs) -> Effects {
        let mut effects = Effects::default();
        self.keep_limits_within(budget, None, now, &mut effects);
        effects
    }

    /// Evicts until the cache takes no more than `target` bytes beside its statistics, but never `kept`, and `budget` entries
    /// at most.
    pub(super) fn evict_to(
        &mut self,
        target: usize,
        budget: usize,
        kept: Option<Slot>,
        now: UnixMs,
        effects: &mut Effects,
    ) {
        self.cool_by(self.footprint().saturating_sub(target) as u64);
        for _ in 0..budget {
            if self.footprint() <= target || !self.evict_one(kept, now, effects) {
                break;
            }
        }
    }

    /// Whether there are entries to give back. While answers wait to be compressed, that is what gives memory back.
    pub fn can_give(&self) -> bool {
        !self.store.is_empty() && !self.has_pending()
    }

    /// Gives back about `bytes`, evicting `budget` entries at most.
    pub fn relieve(&mut self, bytes: usize, budget: usize, now: UnixMs) -> Effects {
        let mut effects = Effects::default();
        let target = self.footprint().saturating_sub(bytes);
        self.evict_to(target, budget, None, now, &mut effects);
        effects
    }

    fn evict_one(&mut self, kept: Option<Slot>, now: UnixMs, effects: &mut Effects) -> bool {
        if let Some((dead_at, slot)) = self.store.soonest() {
            if dead_at <= now && kept != Some(slot) {
                self.count_slot(slot, now, |counters| counters.expirations += 1);
                self.store.remember(slot, false);
                self.store.remove(slot);
                effects.expired += 1;
                return true;
            }
        }
        let Some(victim) = self.victim(kept) else { return false };
        self.count_slot(victim, now, |counters| counters.evictions += 1);
        self.store.remember(victim, true);
        let Some(entry) = self.store.remove(victim) else { return false };
        effects.evicted.push(entry.id);
        true
    }

    fn victim(&mut self, kept: Option<Slot>) -> Option<Slot> {
        let soonest = match self.policy.evict {
            Evict::Ttl => self.store.by_expiry().find(|slot| kept != Some(*slot)),
            Evict::Lru | Evict::Lfu | Evict::Cost => None,
        };
        self.store.order_by(self.policy.evict);
        soonest.or_else(|| self.store.least(kept))
    }

    /// What the entry that would go next saves for each byte that it takes, in dollars an hour: nothing, if it is dead. Where
    /// several caches must give memory back, the one that has the least to lose goes first.
    pub fn least_worth(&mut self, now: UnixMs) -> Option<f64> {
        if self.store.soonest().is_some_and(|(dead_at, _)| dead_at <= now) {
            return Some(0.0);
        }
        let victim = self.victim(None)?;
        let entry = self.store.get(victim)?;
        Some(Order::hourly_worth(entry, now.since(entry.created())))
    }
}
