//! Answers that stay at hand uncompressed.
//!
//! What is asked often has a *hot copy* beside its compressed answer, so that GET need not decompress it. There is room for
//! as many bytes as two thirds of all answers take uncompressed, but a copy that nobody asks for goes after a while: memory is
//! taken while it buys speed. What was just stored has a copy as well, within a much smaller part. Letting a copy go costs
//! nothing, so they are the first to go when memory is short.
//!
//! When there is no room, a newcomer takes the place of a copy that was not asked for lately, or less often than itself;
//! it looks at two of them and then goes without, so that what is asked now and then leaves what is asked often alone.

use super::cache::Cache;
use super::codec::SMALL;
use super::entry::Slot;
use super::time::UnixMs;
use std::collections::{HashSet, VecDeque};

/// Hot copies may take two thirds of what all answers would take uncompressed, and this much in any cache.
const SHARE: (u64, u64) = (2, 3);
const FLOOR: u64 = 64 << 10;

/// What was just stored and nobody has asked for yet has a copy while all of them take less than this part.
const FRESH_SHARE: u64 = 64;

/// They never take more than this part of a cache's limit.
const LIMIT_SHARE: u64 = 4;

/// For how many seconds a copy stays that nobody asks for, and how soon it may be pushed out.
const IDLE: u32 = 30;
const YOUNG: u32 = 1;

/// How many copies a newcomer may look at in search of a place.
const LOOKS: usize = 2;

/// A hot copy, as it was when it was last looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copied {
    slot: Slot,
    /// The hits that its entry had.
    hits: u64,
    /// When that was, in seconds; 0 where nobody knows yet.
    since: u32,
}

impl Cache {
    /// Whether what was just stored may have a copy.
    pub(super) fn keeps_fresh(&self, length: usize) -> bool {
        let (all, _) = self.store.answer_bytes();
        self.is_room(length, self.hot_budget().min(all / FRESH_SHARE))
    }

    /// Keeps a copy of what was just stored.
    pub(super) fn keep_fresh(&mut self, slot: Slot, raw: Box<[u8]>) {
        self.copy(slot, raw, 0, 0);
    }

    /// Makes room for a copy of an answer that somebody has asked for before; whether there is.
    pub(super) fn makes_room(&mut self, slot: Slot, now: UnixMs) -> bool {
        let Some(entry) = self.store.get(slot).filter(|entry| !entry.hot.is_some()) else { return false };
        let (length, hits) = (entry.raw_len as usize, entry.hits);
        let (budget, now) = (self.hot_budget(), seconds(now));
        if length as u64 > budget / 4 {
            return false;
        }
        let mut looks = LOOKS;
        while !self.is_room(length, budget) {
            let Some(copied) = self.copies.pop_front() else { return false };
            let Some(entry) = self.store.get(copied.slot).filter(|entry| entry.hot.is_some()) else { continue };
            let is_asked = entry.hits > copied.hits || copied.since + YOUNG >= now;
            if is_asked && entry.hits >= hits {
                self.copies.push_back(Copied { hits: entry.hits, since: now, ..copied });
                looks -= 1;
                if looks == 0 {
                    return false;
                }
                continue;
            }
            self.store.set_hot(copied.slot, None);
        }
        true
    }

    /// Keeps a copy for which there is room.
    pub(super) fn warm(&mut self, slot: Slot, raw: Box<[u8]>, now: UnixMs) {
        let hits = self.store.get(slot).map_or(0, |entry| entry.hits);
        self.copy(slot, raw, hits, seconds(now));
    }

    fn copy(&mut self, slot: Slot, raw: Box<[u8]>, hits: u64, since: u32) {
        self.copies.push_back(Copied { slot, hits, since });
        self.store.set_hot(slot, Some(raw));
        self.tidy_copies();
    }

    fn is_room(&self, length: usize, budget: u64) -> bool {
        let limit = self.policy.max_memory;
        // Twice its length is more than it can take with its place.
        let fits = limit == 0 || (self.memory() + 2 * length + SMALL) as u64 <= limit;
        fits && (self.store.hot().bytes + length) as u64 <= budget
    }

    /// Lets copies go that nobody has asked for lately, looking at `budget` that were not looked at for the longest time.
    pub fn cool_idle(&mut self, now: UnixMs, budget: &mut usize) {
        let now = seconds(now);
        while *budget > 0 {
            let Some(copied) = self.copies.front().copied().filter(|copied| copied.since + IDLE <= now) else { break };
            self.copies.pop_front();
            *budget -= 1;
            let Some(entry) = self.store.get(copied.slot).filter(|entry| entry.hot.is_some()) else { continue };
            if entry.hits > copied.hits || copied.since == 0 {
                self.copies.push_back(Copied { hits: entry.hits, since: now, ..copied });
            } else {
                self.store.set_hot(copied.slot, None);
            }
        }
    }

    /// Lets hot copies of about so many bytes go, to give memory back: first those that were not looked at for the longest
    /// time.
    pub fn cool(&mut self, bytes: usize) {
        let target = self.store.hot().bytes.saturating_sub(bytes);
        // Each copy that was asked for gets another turn once.
        let mut turns = self.copies.len();
        while self.store.hot().bytes > target {
            let Some(copied) = self.copies.pop_front() else { break };
            let Some(entry) = self.store.get(copied.slot).filter(|entry| entry.hot.is_some()) else { continue };
            if entry.hits > copied.hits && turns > 0 {
                turns -= 1;
                self.copies.push_back(Copied { hits: entry.hits, ..copied });
                continue;
            }
            self.store.set_hot(copied.slot, None);
        }
        self.tidy_copies();
    }

    /// Lets hot copies of about so many bytes go.
    pub(super) fn cool_by(&mut self, bytes: u64) {
        if bytes > 0 {
            self.cool(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    fn tidy_copies(&mut self) {
        if self.copies.len() > 2 * self.store.hot().entries + 64 {
            // Of a slot that was used again, the last to be noted is the one that is there.
            let mut seen = HashSet::new();
            let is_there = |copied: &&Copied| self.store.get(copied.slot).is_some_and(|entry| entry.hot.is_some());
            let newest = self.copies.iter().rev().filter(is_there).filter(|copied| seen.insert(copied.slot));
            let mut left: VecDeque<Copied> = newest.copied().collect();
            left.make_contiguous().reverse();
            self.copies = left;
        }
    }

    fn hot_budget(&self) -> u64 {
        let (raw, _) = self.store.answer_bytes();
        let most = match self.policy.max_memory {
            0 => u64::MAX,
            limit => limit / LIMIT_SHARE,
        };
        FLOOR.max(raw / SHARE.1 * SHARE.0).min(most)
    }
}

fn seconds(now: UnixMs) -> u32 {
    u32::try_from(now.0 / 1000).unwrap_or(u32::MAX - IDLE)
}
