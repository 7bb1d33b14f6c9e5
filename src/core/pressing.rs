//! Compression behind the reply.
//!
//! A new answer is stored as it came, so that SET does not wait for a compressor, and rests until no other comes for a moment,
//! or for two seconds: a burst of stores does not share the processor with its own compression, and what is overwritten at once
//! is not compressed for nothing. Whoever
//! owns the cache takes the [`Pressing`]s that are due, compresses them wherever it likes and brings them back; an answer that has changed
//! meanwhile is left alone. What was uncompressed stays beside the compressed answer as a hot copy (see [`super::hot`]).
//!
//! ```text
//!   SET -> raw, pending -> pressing -> compressed + hot copy -> compressed -> moved to a newer dictionary
//!                                            ^-------- GET ---------'
//! ```
//!
//! A new dictionary (see [`super::training`]) is used for new answers at once. The others move over in the background, a
//! few at a time, in the same way; so older dictionaries lose their users in the end.

use super::cache::Cache;
use super::codec::{Codec, Encoding, Packed, BLOCK, SMALL, SMALL_WITH_DICTIONARY};
use super::dictionary::Dictionary;
use super::entry::{Entry, Known, Slot};
use super::identity::EntryId;
use super::storing::etag;
use super::time::UnixMs;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many bytes a command may compress on its way, and the highest level for that.
pub const INLINE: usize = 256 << 10;
pub(super) const INLINE_LEVEL: i32 = 3;

/// For how many ticks of 64 ms no answer may have come that new ones are compressed, and after how many they are in any case.
const QUIET: u32 = 3;
const LONGEST_REST: u32 = 31;

/// How many slots are looked at for answers to be moved, for each of these that may be taken.
const LOOKS: usize = 4;

/// What an answer to be moved costs at least, in bytes: to find it takes longer than to copy a short one.
const LEAST_COST: usize = 1024;

/// An answer to be compressed.
#[derive(Clone, Debug)]
pub struct Pressing {
    /// Whose answer it is.
    pub id: EntryId,
    /// Which answer it is.
    pub(super) version: Version,
    /// The level to compress at.
    pub level: i32,
    /// The answer as it is stored.
    pub stored: Packed,
    /// The dictionary that it is read with.
    pub(super) read_with: Option<Arc<Dictionary>>,
    /// The dictionary to compress with.
    pub(super) dictionary: Option<Arc<Dictionary>>,
    pub(super) why: Why,
}

/// Why an answer is to be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It lies as it came.
    New,
    /// It was compressed in haste, without the dictionary that there was.
    Haste,
    /// There is a newer dictionary.
    Move,
}

/// Which of an entry's answers: by its number, as long as its etag was not known, and by its etag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    number: Option<u64>,
    etag: Option<u64>,
}

impl Version {
    /// That of the answer which an entry has.
    fn of(entry: &Entry) -> Self {
        let is_etag = entry.known != Known::Nothing;
        Self { number: Some(entry.version).filter(|_| !is_etag), etag: Some(entry.version).filter(|_| is_etag) }
    }

    /// The same once the answer has been read.
    fn read(self, answer: Option<&[u8]>) -> Self {
        Self { etag: self.etag.or_else(|| answer.map(etag)), ..self }
    }

    /// Whether an entry still has it.
    fn is_of(self, entry: &Entry) -> bool {
        let known = if entry.known == Known::Nothing { self.number } else { self.etag };
        known == Some(entry.version)
    }
}

/// An answer that has been compressed, or that is not worth it.
#[derive(Clone, Debug)]
pub struct Pressed {
    /// Whose answer it is.
    pub id: EntryId,
    /// Which answer it is.
    pub(super) version: Version,
    /// The answer as it is to be stored.
    pub packed: Packed,
    /// The dictionary that was tried.
    pub(super) dictionary: Option<Arc<Dictionary>>,
    pub(super) why: Why,
}

impl Pressing {
    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.stored.bytes.len()
    }

    /// Does the work. What is damaged stays as it is.
    pub fn press(&self, codec: &mut Codec) -> Pressed {
        let unpacked;
        let answer = match self.stored.encoding {
            Encoding::Raw => Some(&*self.stored.bytes),
            _ => {
                unpacked = codec.unpack(&self.stored, self.read_with.as_deref()).map(<[u8]>::to_vec);
                unpacked.as_deref().ok()
            }
        };
        let version = self.version.read(answer);
        let packed = match (answer, &self.dictionary) {
            (None, _) => self.stored.clone(),
            (Some(answer), Some(dictionary)) => codec.pack_with(answer, self.level, dictionary),
            (Some(answer), None) => codec.pack(answer, Some(self.level)),
        };
        // What is damaged was tried with none.
        let dictionary = answer.and(self.dictionary.clone());
        Pressed { id: self.id, version, packed, dictionary, why: self.why }
    }

    /// This answer, which has been read, compressed with a dictionary.
    pub(super) fn pressed_with(&self, answer: &[u8], packed: Packed, dictionary: &Arc<Dictionary>) -> Pressed {
        let (version, dictionary) = (self.version.read(Some(answer)), Some(dictionary.clone()));
        Pressed { id: self.id, version, packed, dictionary, why: Why::Move }
    }
}

/// An answer that waits to be compressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    slot: Slot,
    /// The tick in which it was stored; 0 where that is long ago.
    since: u32,
    version: u64,
}

/// Answers that are compressed, but not in the best way.
#[derive(Clone, Debug, Default)]
pub(super) struct Moving {
    /// Those that are known, by slot and version.
    queue: VecDeque<(Slot, u64)>,
    /// From this slot on there may be more.
    next: Option<u64>,
}

impl Cache {
    /// Whether an answer of this length is to be compressed, and how.
    pub(super) fn pressing_level(&self, length: usize) -> Option<i32> {
        let has_dictionary = self.store.dictionaries().current().is_some();
        let least = if has_dictionary { SMALL_WITH_DICTIONARY } else { SMALL };
        self.policy.compression().filter(|_| length >= least)
    }

    /// Notes that an entry was stored as it came though it is to be compressed.
    pub(super) fn await_pressing(&mut self, slot: Slot, version: u64, stored: UnixMs) {
        let store = &self.store;
        let queue = &mut self.pending;
        queue.push_back(Waiting { slot, since: tick(stored), version });
        if queue.len() > 2 * store.len() + 64 {
            let (mut at, mut out) = (0, 0);
            queue.retain(|waiting| {
                let stays = store.get(waiting.slot).is_some_and(|entry| is_pending(entry, waiting.version));
                out += usize::from(stays && at < self.out);
                at += 1;
                stays
            });
            self.out = out;
        }
    }

    /// Notes that an entry was compressed without the dictionary that there is.
    pub(super) fn await_move(&mut self, slot: Slot) {
        let movable = self.store.get(slot).filter(|entry| self.is_movable(entry));
        let Some(version) = movable.map(|entry| entry.version) else { return };
        let store = &self.store;
        let queue = &mut self.moving.queue;
        queue.push_back((slot, version));
        if queue.len() > 2 * store.len() + 64 {
            queue.retain(|(slot, version)| store.get(*slot).is_some_and(|entry| entry.version == *version));
        }
    }

    /// Looks at all entries for those that are to move to the current dictionary.
    pub(super) fn move_all(&mut self) {
        self.moving.queue.clear();
        self.moving.next = self.store.dictionaries().current().map(|_| 0);
    }

    /// Whether entries may still have to move.
    pub fn is_moving(&self) -> bool {
        self.moving.next.is_some() || !self.moving.queue.is_empty()
    }

    /// Whether not all entries have been looked at since there is the current dictionary. Single ones may wait all the time,
    /// where stores find no room.
    pub(super) fn is_moving_all(&self) -> bool {
        self.moving.next.is_some()
    }

    /// Whether this answer could be compressed with the current dictionary, and is not.
    fn is_movable(&self, entry: &Entry) -> bool {
        let Some((current, _)) = self.store.dictionaries().current() else { return false };
        let is_there = entry.answer().dictionary() == Some(current);
        !is_there && (SMALL_WITH_DICTIONARY..=BLOCK).contains(&(entry.raw_len as usize))
    }

    /// Lists all answers anew that wait for a compressor, also those that are with one: what a copy of a cache needs.
    pub fn resume_compression(&mut self) {
        let waiting = self.store.from_slot(0).filter(|(_, view)| is_pending(view.entry, view.entry.version));
        let waiting = waiting.filter(|(_, view)| self.pressing_level(view.entry.body.answer_len()).is_some());
        let waiting = waiting.map(|(slot, view)| Waiting { slot, since: 0, version: view.entry.version }).collect();
        (self.pending, self.out) = (waiting, 0);
        self.move_all();
        self.resume_training();
    }

    /// Whether an answer waits for a compressor.
    pub fn has_pending(&self) -> bool {
        self.pending.len() > self.out
    }

    /// How many answers may lie as they came that will soon be smaller, those that are with a compressor among them.
    pub fn unpressed(&mut self) -> usize {
        self.forget_pressed();
        self.pending.len()
    }

    /// Takes those off the head of the line that wait no more.
    fn forget_pressed(&mut self) {
        while let Some(Waiting { slot, version, .. }) = self.pending.front().copied() {
            if self.store.get(slot).is_some_and(|entry| is_pending(entry, version)) {
                break;
            }
            self.leave(0);
        }
    }

    /// Takes the answers that are due to be compressed, of about `bytes` at most: those that have rested, where there is room
    /// for them to rest, or all.
    pub fn take_pressings(&mut self, bytes: usize, rested: Option<UnixMs>) -> Vec<Pressing> {
        self.forget_pressed();
        let mut taken = Vec::new();
        let mut left = bytes;
        // With a clock that was set back, what seems to come has rested.
        let has_rested =
            |waiting: &Waiting, ticks| rested.is_none_or(|now| tick(now).wrapping_sub(waiting.since) >= ticks);
        let is_quiet = self.pending.back().is_none_or(|last| has_rested(last, QUIET));
        let is_due = |waiting: &Waiting| is_quiet || has_rested(waiting, LONGEST_REST);
        while left > 0 {
            let Some(&Waiting { slot, version, .. }) = self.pending.get(self.out).filter(|waiting| is_due(waiting))
            else {
                break;
            };
            // It stays in line until it has come back: who is short of room compresses it himself.
            self.out += 1;
            let Some(entry) = self.store.get(slot).filter(|entry| is_pending(entry, version)) else { continue };
            let length = entry.body.answer_len();
            left = left.saturating_sub(length);
            let Some(level) = self.pressing_level(length) else {
                // It stays as it came, and nobody else will make its etag.
                let etag = entry.etag();
                self.store.set_etag(slot, etag);
                self.leave(self.out - 1);
                continue;
            };
            taken.push(self.pressing(entry, level, Why::New));
        }
        taken
    }

    /// Takes answers that are to move to the current dictionary, of about `bytes` at most.
    pub fn take_moves(&mut self, bytes: usize) -> Vec<Pressing> {
        let mut taken = Vec::new();
        let mut left = bytes;
        let mut looks = LOOKS * bytes.div_ceil(LEAST_COST);
        let Some(level) = self.policy.compression() else { return taken };
        while left > 0 && looks > 0 && self.is_moving() {
            looks -= 1;
            let (slot, why) = match self.moving.queue.pop_front() {
                Some((slot, version)) => {
                    let is_there = self.store.get(slot).is_some_and(|entry| entry.version == version);
                    (Some(slot).filter(|_| is_there), Why::Haste)
                }
                None => (self.next_to_move(), Why::Move),
            };
            let entry = slot.and_then(|slot| self.store.get(slot)).filter(|entry| self.is_movable(entry));
            if let Some(entry) = entry {
                left = left.saturating_sub(entry.body.answer_len().max(LEAST_COST));
                taken.push(self.pressing(entry, level, why));
            }
        }
        taken
    }

    fn next_to_move(&mut self) -> Option<Slot> {
        let next = self.moving.next?;
        self.moving.next = Some(next + 1).filter(|next| *next < self.store.end_slot());
        self.store.slot_at(next)
    }

    pub(super) fn pressing(&self, entry: &Entry, level: i32, why: Why) -> Pressing {
        let dictionaries = self.store.dictionaries();
        let stored = entry.answer().to_packed();
        let read_with = entry.answer().dictionary().and_then(|place| dictionaries.get(place).cloned());
        let dictionary = dictionaries.current().map(|(_, dictionary)| dictionary.clone());
        let (id, version) = (entry.id, Version::of(entry));
        Pressing { id, version, level, stored, read_with, dictionary, why }
    }

    /// Brings a compressed answer back. One that is not there any more, or not the same, is forgotten.
    pub fn bring_back(&mut self, pressed: Pressed) {
        let Some(slot) = self.store.find_id(&pressed.id) else { return };
        let Some(entry) = self.store.get(slot).filter(|entry| pressed.version.is_of(entry)) else { return };
        let is_pending = is_pending(entry, entry.version);
        if let (Known::Nothing, Some(etag)) = (entry.known, pressed.version.etag) {
            self.store.set_etag(slot, etag);
        }
        let mut packed = pressed.packed;
        let current = self.store.dictionaries().current();
        let tried_current = match (&pressed.dictionary, current) {
            (Some(tried), Some((_, current))) => Arc::ptr_eq(tried, current),
            _ => false,
        };
        if packed.encoding == Encoding::Dict {
            match current {
                Some((place, _)) if tried_current => packed.dictionary = place,
                // Its dictionary is not in use any more, and nobody is to refer to it again.
                _ => return self.await_again(slot),
            }
        }
        if tried_current && pressed.why != Why::Move {
            self.schedule.pressed(packed.raw_len, packed.bytes.len());
        }
        if pressed.why != Why::New || !is_pending {
            self.move_over(slot, packed);
            return self.await_again(slot);
        }
        if packed.encoding == Encoding::Raw {
            self.store.set_incompressible(slot);
        } else {
            let raw = self.store.get(slot).map(|entry| entry.body.answer()).filter(|raw| self.keeps_fresh(raw.len()));
            let raw: Option<Box<[u8]>> = raw.map(Into::into);
            self.store.set_answer(slot, &packed);
            raw.into_iter().for_each(|raw| self.keep_fresh(slot, raw));
        }
        if !tried_current {
            self.await_move(slot);
        }
    }

    /// Puts an answer in line once more that still waits for a compressor: under the name by which it was there, nobody may know
    /// it any more.
    fn await_again(&mut self, slot: Slot) {
        let waiting = self.store.get(slot).filter(|entry| is_pending(entry, entry.version));
        if let Some(version) = waiting.map(|entry| entry.version) {
            self.await_pressing(slot, version, UnixMs(0));
        }
    }

    /// Stores an answer in another way. Nothing else about its entry changes.
    fn move_over(&mut self, slot: Slot, packed: Packed) {
        let Some(entry) = self.store.get(slot).filter(|entry| self.is_movable(entry)) else { return };
        let is_raw = packed.encoding == Encoding::Raw;
        let (before, after) = (entry.body.memory(), entry.body.memory_with(packed.bytes.len()));
        let is_smaller = packed.bytes.len() < entry.body.answer_len();
        // An older dictionary is left in any case, where there is room for it.
        let limit = self.policy.max_memory;
        let fits = limit == 0 || (self.memory() + after) as u64 <= limit + before as u64;
        if is_smaller || (entry.encoding == Encoding::Dict && fits) {
            self.store.set_answer(slot, &packed);
        }
        if is_raw {
            self.store.set_incompressible(slot);
        }
    }

    /// Compresses one answer here and now, if it still waits for that and is small enough to be done on the way. A
    /// dictionary is nothing to be prepared here, so it moves over later.
    pub fn press_now(&mut self, slot: Slot, codec: &mut Codec) {
        let Some(entry) = self.store.get(slot).filter(|entry| is_pending(entry, entry.version)) else { return };
        let length = entry.body.answer_len();
        let Some(level) = self.pressing_level(length).filter(|_| length <= INLINE) else { return };
        let packed = codec.pack(entry.body.answer(), Some(level.min(INLINE_LEVEL)));
        let (id, version) = (entry.id, Version::of(entry));
        self.bring_back(Pressed { id, version, packed, dictionary: None, why: Why::New });
    }

    /// Compresses up to `bytes` of the answers that wait, here and now, but none that is too large for that.
    pub fn press_some(&mut self, bytes: usize, codec: &mut Codec) {
        /// Past so many that are too large for that, nobody looks.
        const LARGE: usize = 64;
        let (mut left, mut at) = (bytes, 0);
        while let Some(Waiting { slot, version, .. }) = self.pending.get(at).copied().filter(|_| at < LARGE) {
            if let Some(entry) = self.store.get(slot).filter(|entry| is_pending(entry, version)) {
                let length = entry.body.answer_len();
                if length > INLINE {
                    at += 1;
                    continue;
                }
                if length > left {
                    return;
                }
                left -= length;
                self.press_now(slot, codec);
            }
            self.leave(at);
        }
    }

    /// Takes one out of the line.
    fn leave(&mut self, at: usize) {
        self.pending.remove(at);
        self.out -= usize::from(at < self.out);
    }
}

fn tick(time: UnixMs) -> u32 {
    (time.0 / 64) as u32
}

/// Whether this is the answer that was to be compressed, and nobody has tried yet.
fn is_pending(entry: &Entry, version: u64) -> bool {
    entry.version == version && entry.encoding == Encoding::Raw && entry.known != Known::Incompressible
}
