//! Compression behind the reply, and answers that stay at hand uncompressed.
//!
//! A new answer is stored as it came, so that SET does not wait for a compressor. Whoever owns the cache takes the
//! [`Pressing`]s that are due, compresses them wherever it likes and brings them back; an answer that has changed
//! meanwhile is left alone. What was uncompressed stays beside the compressed answer as a *hot copy*, within a budget, so
//! that GET need not decompress what is asked often: first in, first out, but one that was asked meanwhile gets another
//! turn. Letting a hot copy go costs nothing, so they are the first to go when memory is short.
//!
//! ```text
//!   SET -> raw, pending -> pressing -> compressed + hot copy -> compressed
//!                                            ^-------- GET ---------'
//! ```

use super::cache::Cache;
use super::codec::{Codec, Encoding, Packed, SMALL};
use super::entry::{Entry, Slot};
use super::identity::EntryId;
use std::collections::VecDeque;

/// Hot copies may take this much in any cache: little for a server, and all that a small cache needs.
const BUDGET_FLOOR: u64 = 4 << 20;

/// In a larger cache they may take this part of what all answers would take uncompressed.
const BUDGET_SHARE: u64 = 8;

/// They never take more than this part of a cache's limit.
const LIMIT_SHARE: u64 = 4;

/// How many bytes a command may compress on its way, and the highest level for that.
pub const INLINE: usize = 256 << 10;
pub(super) const INLINE_LEVEL: i32 = 3;

/// An answer to be compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pressing {
    /// Whose answer it is.
    pub id: EntryId,
    /// Which answer it is.
    pub etag: u64,
    /// The level to compress at.
    pub level: i32,
    /// The answer.
    pub answer: Box<[u8]>,
}

/// An answer that has been compressed, or that is not worth it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pressed {
    /// Whose answer it is.
    pub id: EntryId,
    /// Which answer it is.
    pub etag: u64,
    /// The answer as it is to be stored.
    pub packed: Packed,
}

impl Pressing {
    /// Does the work.
    pub fn press(&self, codec: &mut Codec) -> Pressed {
        Pressed { id: self.id, etag: self.etag, packed: codec.pack(&self.answer, Some(self.level)) }
    }
}

/// Who waits for a compressor, and who has a hot copy. Both lists may name entries that are gone or have changed, which
/// is seen when their turn comes; they are swept before such names outnumber the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues {
    pending: VecDeque<(Slot, u64)>,
    /// With the number of hits that the entry had.
    hot: VecDeque<(Slot, u64)>,
}

impl Cache {
    /// Whether an answer of this length is to be compressed, and how.
    pub(super) fn pressing_level(&self, length: usize) -> Option<i32> {
        self.policy.compression().filter(|_| length >= SMALL)
    }

    /// Notes that an entry was stored as it came though it is to be compressed.
    pub(super) fn await_pressing(&mut self, slot: Slot, etag: u64) {
        let store = &self.store;
        let queue = &mut self.queues.pending;
        queue.push_back((slot, etag));
        if queue.len() > 2 * store.len() + 64 {
            queue.retain(|(slot, etag)| is_pending(store.get(*slot), *etag));
        }
    }

    /// Lists all answers anew that wait for a compressor, also those that are with one: what a copy of a cache needs.
    pub fn await_all_pressings(&mut self) {
        let waiting = self.store.from_slot(0).filter(|(_, view)| is_pending(Some(view.entry), view.entry.etag));
        let waiting = waiting.filter(|(_, view)| self.pressing_level(view.entry.answer.bytes.len()).is_some());
        self.queues.pending = waiting.map(|(slot, view)| (slot, view.entry.etag)).collect();
    }

    /// Whether an answer waits for a compressor.
    pub fn has_pending(&self) -> bool {
        !self.queues.pending.is_empty()
    }

    /// Takes the answers that are due to be compressed, of about `bytes` at most.
    pub fn take_pressings(&mut self, bytes: usize) -> Vec<Pressing> {
        let mut taken = Vec::new();
        let mut left = bytes;
        while left > 0 {
            let Some((slot, etag)) = self.queues.pending.pop_front() else { break };
            let Some(entry) = self.store.get(slot).filter(|entry| is_pending(Some(entry), etag)) else { continue };
            let Some(level) = self.pressing_level(entry.answer.bytes.len()) else { continue };
            left = left.saturating_sub(entry.answer.bytes.len());
            taken.push(Pressing { id: entry.digest.id(), etag, level, answer: entry.answer.bytes.clone() });
        }
        taken
    }

    /// Brings a compressed answer back. One that is not there any more, or not the same, is forgotten.
    pub fn bring_back(&mut self, pressed: Pressed) {
        let Some(slot) = self.store.find_id(&pressed.id) else { return };
        if !is_pending(self.store.get(slot), pressed.etag) {
            return;
        }
        if pressed.packed.encoding == Encoding::Raw {
            self.store.set_incompressible(slot);
        } else if let Some(raw) = self.store.set_answer(slot, pressed.packed) {
            self.warm(slot, raw);
        }
    }

    /// Compresses one answer here and now, if it still waits for that and is small enough to be done on the way.
    pub fn press_now(&mut self, slot: Slot, codec: &mut Codec) {
        let Some(entry) = self.store.get(slot).filter(|entry| is_pending(Some(entry), entry.etag)) else { return };
        let length = entry.answer.bytes.len();
        let Some(level) = self.pressing_level(length).filter(|_| length <= INLINE) else { return };
        let packed = codec.pack(&entry.answer.bytes, Some(level.min(INLINE_LEVEL)));
        self.bring_back(Pressed { id: entry.digest.id(), etag: entry.etag, packed });
    }

    /// Compresses up to `bytes` of the answers that wait, here and now, but none that is too large for that.
    pub fn press_some(&mut self, bytes: usize, codec: &mut Codec) {
        let mut left = bytes;
        while let Some((slot, etag)) = self.queues.pending.front().copied() {
            if let Some(entry) = self.store.get(slot).filter(|entry| is_pending(Some(entry), etag)) {
                let length = entry.answer.bytes.len();
                if length > left.min(INLINE) {
                    return;
                }
                left -= length;
                self.press_now(slot, codec);
            }
            self.queues.pending.pop_front();
        }
    }

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
        self.queues.hot.push_back((slot, hits));
        self.store.set_hot(slot, Some(raw));
        self.cool_to(budget);
    }

    /// Lets hot copies go until they take no more than `bytes`.
    pub(super) fn cool_to(&mut self, bytes: usize) {
        // Each copy may get another turn once.
        let mut turns = self.queues.hot.len();
        while self.store.hot().bytes > bytes {
            let Some((slot, hits_then)) = self.queues.hot.pop_front() else { break };
            let Some(hits) = self.store.get(slot).filter(|entry| entry.hot.is_some()).map(|entry| entry.hits) else {
                continue;
            };
            if hits > hits_then && turns > 0 {
                turns -= 1;
                self.queues.hot.push_back((slot, hits));
                continue;
            }
            self.store.set_hot(slot, None);
        }
        if self.queues.hot.len() > 2 * self.store.hot().entries + 64 {
            let store = &self.store;
            self.queues.hot.retain(|(slot, _)| store.get(*slot).is_some_and(|entry| entry.hot.is_some()));
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

/// Whether this is the answer that was to be compressed, and nobody has tried yet.
fn is_pending(entry: Option<&Entry>, etag: u64) -> bool {
    entry.is_some_and(|entry| entry.etag == etag && entry.answer.encoding == Encoding::Raw && !entry.incompressible)
}
