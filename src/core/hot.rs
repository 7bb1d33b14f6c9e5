//! Answers that stay at hand uncompressed.
//!
//! What was just stored or is asked often has a *hot copy* beside its compressed answer, within a budget, so that GET need
//! not decompress it: first in, first out, but one that was asked meanwhile gets another turn. Letting a hot copy go costs
//! nothing, so they are the first to go when memory is short.

use super::cache::Cache;
use super::codec::SMALL;
use super::entry::{Entry, Slot};

/// Hot copies may take this much in any cache: little for a server, and all that a small cache needs.
const BUDGET_FLOOR: u64 = 4 << 20;

/// In a larger cache they may take this part of what all answers would take uncompressed.
const BUDGET_SHARE: u64 = 8;

/// They never take more than this part of a cache's limit.
const LIMIT_SHARE: u64 = 4;

impl Cache {
    /// Keeps an uncompressed copy beside a compressed answer.
    pub(super) fn warm(&mut self, slot: Slot, raw: Box<[u8]>) {
        let budget = self.hot_budget();
        let limit = self.policy.max_memory;
        // Twice its length is more than it can take with its place.
        let fits = limit == 0 || (self.memory() + 2 * raw.len() + SMALL) as u64 <= limit;
        if raw.len() > budget / 4 || !fits {
            return;
        }
        let Some(hits) = self.store.get(slot).filter(|entry| entry.hot.is_none()).map(|entry| entry.hits) else {
            return;
        };
        self.copies.push_back((slot, hits));
        self.store.set_hot(slot, Some(raw));
        self.cool_to(budget);
    }

    /// Lets hot copies go until they take no more than `bytes`.
    pub(super) fn cool_to(&mut self, bytes: usize) {
        // Each copy may get another turn once.
        let mut turns = self.copies.len();
        while self.store.hot().bytes > bytes {
            let Some((slot, hits_then)) = self.copies.pop_front() else { break };
            let Some(hits) = self.store.get(slot).filter(|entry| entry.hot.is_some()).map(|entry| entry.hits) else {
                continue;
            };
            if hits > hits_then && turns > 0 {
                turns -= 1;
                self.copies.push_back((slot, hits));
                continue;
            }
            self.store.set_hot(slot, None);
        }
        if self.copies.len() > 2 * self.store.hot().entries + 64 {
            let store = &self.store;
            self.copies.retain(|(slot, _)| store.get(*slot).is_some_and(|entry| entry.hot.is_some()));
        }
    }

    /// Lets hot copies of about so many bytes go, to give memory back.
    pub fn cool(&mut self, bytes: usize) {
        self.cool_by(bytes as u64);
    }

    /// Lets hot copies of about so many bytes go.
    pub(super) fn cool_by(&mut self, bytes: u64) {
        if bytes > 0 {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            self.cool_to(self.store.hot().bytes.saturating_sub(bytes));
        }
    }

    fn hot_budget(&self) -> usize {
        let (raw, _) = self.store.answer_bytes();
        let budget = BUDGET_FLOOR.max(raw / BUDGET_SHARE);
        let most = match self.policy.max_memory {
            0 => u64::MAX,
            limit => limit / LIMIT_SHARE,
        };
        usize::try_from(budget.min(most)).unwrap_or(usize::MAX)
    }
}

/// Whether a lookup that had to decompress leaves a copy behind: one in four does, so that what is asked often has its copy
/// soon, and what is asked once does not take the place of another.
pub(super) fn is_worth_warming(entry: &Entry) -> bool {
    entry.hits % 4 == 3
}
