//! Compression behind the reply.
//!
//! A new answer is stored as it came, so that SET does not wait for a compressor. Whoever owns the cache takes the
//! [`Pressing`]s that are due, compresses them wherever it likes and brings them back; an answer that has changed
//! meanwhile is left alone. What was uncompressed stays beside the compressed answer as a hot copy (see [`super::hot`]).
//!
//! ```text
//!   SET -> raw, pending -> pressing -> compressed + hot copy -> compressed
//!                                            ^-------- GET ---------'
//! ```

use super::cache::Cache;
use super::codec::{Codec, Encoding, Packed, SMALL};
use super::entry::{Entry, Slot};
use super::identity::EntryId;

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

impl Cache {
    /// Whether an answer of this length is to be compressed, and how.
    pub(super) fn pressing_level(&self, length: usize) -> Option<i32> {
        self.policy.compression().filter(|_| length >= SMALL)
    }

    /// Notes that an entry was stored as it came though it is to be compressed.
    pub(super) fn await_pressing(&mut self, slot: Slot, etag: u64) {
        let store = &self.store;
        let queue = &mut self.pending;
        queue.push_back((slot, etag));
        if queue.len() > 2 * store.len() + 64 {
            queue.retain(|(slot, etag)| is_pending(store.get(*slot), *etag));
        }
    }

    /// Lists all answers anew that wait for a compressor, also those that are with one: what a copy of a cache needs.
    pub fn await_all_pressings(&mut self) {
        let waiting = self.store.from_slot(0).filter(|(_, view)| is_pending(Some(view.entry), view.entry.etag));
        let waiting = waiting.filter(|(_, view)| self.pressing_level(view.entry.answer.bytes.len()).is_some());
        self.pending = waiting.map(|(slot, view)| (slot, view.entry.etag)).collect();
    }

    /// Whether an answer waits for a compressor.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes the answers that are due to be compressed, of about `bytes` at most.
    pub fn take_pressings(&mut self, bytes: usize) -> Vec<Pressing> {
        let mut taken = Vec::new();
        let mut left = bytes;
        while left > 0 {
            let Some((slot, etag)) = self.pending.pop_front() else { break };
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
            self.keep_fresh(slot, raw);
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
        while let Some((slot, etag)) = self.pending.front().copied() {
            if let Some(entry) = self.store.get(slot).filter(|entry| is_pending(Some(entry), etag)) {
                let length = entry.answer.bytes.len();
                if length > left.min(INLINE) {
                    return;
                }
                left -= length;
                self.press_now(slot, codec);
            }
            self.pending.pop_front();
        }
    }
}

/// Whether this is the answer that was to be compressed, and nobody has tried yet.
fn is_pending(entry: Option<&Entry>, etag: u64) -> bool {
    entry.is_some_and(|entry| entry.etag == etag && entry.answer.encoding == Encoding::Raw && !entry.incompressible)
}
