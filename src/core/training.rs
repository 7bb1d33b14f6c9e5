//! Making dictionaries: when, from what, and whether one is worth its memory.
//!
//! A cache says when it wants one. Whoever owns it gathers a [`Training`] from it, a little at a time, has the work done
//! wherever it likes, and hands back what was [`Trained`]. A dictionary is tried on answers that it was not made from; it
//! is adopted if what it saves there, over all that the cache holds or will soon hold, is more than what it takes.
//!
//! A cache trains when it has some 200 answers, again at 1,000, 4,000 and 20,000, and later only when answers come that its
//! dictionary does not fit. Between two trainings that nothing came of, more and more answers must be stored.

use super::cache::Cache;
use super::codec::{Codec, Encoding, SMALL_WITH_DICTIONARY};
use super::dictionary::{Dictionary, Facts, MAX_CONTENT};
use super::effects::Effects;
use super::entry::Known;
use super::policy::Compress;
use super::pressing::{Pressed, Pressing, Why};
use super::time::UnixMs;
use std::collections::HashSet;
use std::sync::Arc;

/// With how many entries a cache trains, whatever its dictionary does.
const MILESTONES: [u64; 4] = [200, 1000, 4000, 20_000];

/// Beyond them it trains for other reasons after so many new answers at least.
const PATIENCE: u64 = 2000;
const MOST_PATIENCE: u64 = 1 << 20;

/// How much worse than on those it was tried on a dictionary may do on new answers, in percent of what is stored.
const DRIFT_PERCENT: u64 = 10;

/// Over about how many answers that is looked at.
const RECENT: u64 = 500;

/// How large a dictionary is: so many bytes, and this part of all answers as they came.
const SIZE: u64 = 12 << 10;
const SIZE_PART: u64 = 100;

/// The smallest content that is worth its tables.
const LEAST_CONTENT: usize = 8 << 10;

/// Which part of a cache's limit a dictionary may take.
const LIMIT_SHARE: u64 = 16;

/// How many answers are learned from, of how many bytes in all, and how long one may be.
const SAMPLES: u64 = 2000;

/// How many bytes of answers are hashed at once to tell which are the same.
const HASHED: usize = 1 << 20;
const SAMPLE_BYTES: usize = 3 << 20;
const LONGEST_SAMPLE: usize = 32 << 10;

/// One in so many is kept apart to try the dictionary on.
const TRIED: usize = 8;

/// How many answers come back with a dictionary, compressed with it.
const FIRST_USERS: usize = 32;

/// How many older dictionaries there may be when another is made.
const OLDER: usize = 2;

/// How often a cache must still grow for a dictionary to be worth its memory.
const GROWTH: u64 = 4;

/// What a cache knows of its trainings.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// How many entries there were at the last one.
    entries: u64,
    /// How many answers have been stored since, and how many must be.
    stored: u64,
    patience: u64,
    /// Answers that were compressed with the current dictionary of late: how many, as they came, as they are stored.
    recent: [u64; 3],
}

impl Default for Schedule {
    fn default() -> Self {
        Self { entries: 0, stored: 0, patience: PATIENCE, recent: [0; 3] }
    }
}

impl Schedule {
    /// Counts an answer that was stored.
    pub(super) fn stored(&mut self, length: usize) {
        self.stored += u64::from(length >= SMALL_WITH_DICTIONARY);
    }

    /// Counts a new answer that was compressed with the current dictionary.
    pub(super) fn pressed(&mut self, raw: u32, stored: usize) {
        for (sum, more) in self.recent.iter_mut().zip([1, u64::from(raw), stored as u64]) {
            *sum += more;
        }
        // The older half fades.
        if self.recent.first().is_some_and(|count| *count >= RECENT) {
            self.recent.iter_mut().for_each(|sum| *sum /= 2);
        }
    }

    /// Whether new answers fit the dictionary clearly worse than those that it was tried on.
    fn has_drifted(&self, facts: &Facts) -> bool {
        let [count, raw, stored] = self.recent;
        let (tried_raw, tried_stored) = (u64::from(facts.tried_raw), u64::from(facts.tried_stored));
        let product = |a: u64, b: u64, percent: u64| u128::from(a) * u128::from(b) * u128::from(percent);
        count >= RECENT / 2 && product(stored, tried_raw, 100) > product(tried_stored, raw, 100 + DRIFT_PERCENT)
    }
}

/// A dictionary to be made, and what from.
#[derive(Debug)]
pub struct Training {
    /// How large it may become.
    size: usize,
    version: u32,
    entries: u32,
    /// Where the next sample is looked for, and how far on the one after it.
    next: u64,
    step: u64,
    samples: Vec<Pressing>,
    most: usize,
    bytes: usize,
    /// Answers that are there twice are one sample.
    seen: HashSet<u64>,
    /// The dictionary that was in use.
    base: Option<Arc<Dictionary>>,
}

/// What came of it.
#[derive(Debug)]
pub struct Trained {
    base: Option<Arc<Dictionary>>,
    made: Option<Made>,
}

#[derive(Debug)]
struct Made {
    dictionary: Arc<Dictionary>,
    /// Bytes of the answers that it was tried on, as they would be stored without it.
    before: u64,
    first_users: Vec<Pressed>,
}

/// For whom an adopted dictionary must leave room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Entries go where there is none.
    Evict,
    /// Without room it is not adopted.
    Fit,
    /// The limit is somebody else's to keep.
    Any,
}

impl Cache {
    /// Whether it is time to train a dictionary.
    pub fn wants_training(&self) -> bool {
        self.policy.compress == Compress::Dict
            && self.content_size().is_some()
            && !self.is_moving_all()
            && self.store.dictionaries().len() <= OLDER
            && self.has_reason_to_train()
    }

    fn has_reason_to_train(&self) -> bool {
        let (entries, schedule) = (self.store.len() as u64, &self.schedule);
        if MILESTONES.iter().any(|milestone| schedule.entries < *milestone && entries >= *milestone) {
            return true;
        }
        let is_wanting = match self.store.dictionaries().current() {
            Some((_, dictionary)) => schedule.has_drifted(dictionary.facts()),
            None => entries >= MILESTONES[0],
        };
        is_wanting && schedule.stored >= schedule.patience
    }

    /// How large a dictionary may be here. None where none would be worth its memory.
    fn content_size(&self) -> Option<usize> {
        let (raw, _) = self.store.answer_bytes();
        let mut size = wanted_size(raw);
        if self.policy.max_memory > 0 {
            let share = usize::try_from(self.policy.max_memory / LIMIT_SHARE).unwrap_or(usize::MAX);
            while size >= LEAST_CONTENT && Dictionary::memory_of(size) > share {
                size -= size / 8;
            }
        }
        Some(size).filter(|size| *size >= LEAST_CONTENT)
    }

    /// Begins to gather what a dictionary is made from, of so many bytes at most. It is this cache's last until there is another
    /// reason.
    pub fn begin_training(&mut self, most: usize) -> Option<Training> {
        let size = self.content_size().filter(|_| self.wants_training())?;
        let entries = self.store.len() as u64;
        self.schedule.entries = entries;
        self.schedule.stored = 0;
        let dictionaries = self.store.dictionaries();
        Some(Training {
            size,
            version: dictionaries.next_version(),
            entries: u32::try_from(entries).unwrap_or(u32::MAX),
            next: 0,
            step: (self.store.end_slot() / SAMPLES).max(1),
            samples: Vec::new(),
            most: most.min(SAMPLE_BYTES),
            bytes: 0,
            seen: HashSet::new(),
            base: dictionaries.current().map(|(_, dictionary)| dictionary.clone()),
        })
    }

    /// Gathers more, looking at `looks` entries at most; whether that is all.
    pub fn gather(&self, training: &mut Training, looks: usize) -> bool {
        // What was just stored has no etag yet, and to make some takes longer than to look at many.
        let mut hashed = 0;
        for _ in 0..looks {
            if hashed >= HASHED {
                break;
            }
            if training.next >= self.store.end_slot() || training.bytes >= training.most {
                return true;
            }
            let entry = self.store.slot_at(training.next).and_then(|slot| self.store.get(slot));
            training.next += training.step;
            let fits = |length: u32| (SMALL_WITH_DICTIONARY..=LONGEST_SAMPLE).contains(&(length as usize));
            let Some(entry) = entry.filter(|entry| fits(entry.raw_len)) else { continue };
            hashed += if entry.known == Known::Nothing { entry.raw_len as usize } else { 0 };
            if training.seen.insert(entry.etag()) {
                training.bytes += entry.raw_len as usize;
                training.samples.push(self.pressing(entry, i32::from(self.policy.level), Why::Move));
            }
        }
        false
    }

    /// Takes a dictionary into use, if it is still wanted and worth its memory. What goes for it is told.
    pub fn adopt(&mut self, trained: Trained, room: Room, now: UnixMs) -> Effects {
        let mut effects = Effects::default();
        let current = self.store.dictionaries().current().map(|(_, current)| current);
        let same = match (&trained.base, current) {
            (Some(base), Some(current)) => Arc::ptr_eq(base, current),
            (None, None) => true,
            _ => false,
        };
        if !same || self.policy.compress != Compress::Dict {
            return effects;
        }
        let made = trained.made.filter(|made| self.is_worth_it(made, trained.base.as_deref()));
        let made = made.filter(|made| room != Room::Fit || self.has_room_for(&made.dictionary));
        let adopted = made.is_some_and(|made| self.take_up(made));
        let schedule = &mut self.schedule;
        schedule.recent = [0; 3];
        schedule.patience = match adopted {
            true => PATIENCE.max(schedule.entries),
            false => (schedule.patience * 2).min(MOST_PATIENCE),
        };
        if adopted && room == Room::Evict {
            self.keep_limits(None, now, &mut effects);
        }
        effects
    }

    fn is_worth_it(&self, made: &Made, base: Option<&Dictionary>) -> bool {
        let facts = made.dictionary.facts();
        let (tried, after) = (u64::from(facts.tried_raw), u64::from(facts.tried_stored));
        // One in a hundred is no gain.
        if tried == 0 || after * 100 > made.before * 99 {
            return false;
        }
        let (raw, _) = self.store.answer_bytes();
        let growth = match self.policy.max_memory {
            0 => GROWTH,
            limit => (limit / (self.memory() as u64).max(1)).clamp(1, GROWTH),
        };
        let saves = u128::from(made.before - after) * u128::from(raw) * u128::from(growth) / u128::from(tried);
        let takes = made.dictionary.memory().saturating_sub(base.map_or(0, Dictionary::memory));
        saves >= takes as u128
    }

    fn has_room_for(&self, dictionary: &Dictionary) -> bool {
        // Its place among the others comes with it.
        const PLACE: usize = 64;
        let limit = self.policy.max_memory;
        limit == 0 || (self.memory() + dictionary.memory() + PLACE) as u64 <= limit
    }

    fn take_up(&mut self, made: Made) -> bool {
        let Some(place) = self.store.dictionaries_mut().put(made.dictionary) else { return false };
        self.store.dictionaries_mut().set_current(Some(place));
        made.first_users.into_iter().for_each(|pressed| self.bring_back(pressed));
        // Without users it would be gone with the first answer that goes.
        self.store.dictionaries_mut().sweep();
        let is_used = self.store.dictionaries().get(place).is_some();
        self.keep_dictionary();
        if is_used {
            self.move_all();
        }
        is_used
    }

    /// Forgets that a training may be under way, of which this cache will not hear.
    pub(super) fn resume_training(&mut self) {
        let current = self.store.dictionaries().current();
        let entries = current.map_or(0, |(_, dictionary)| u64::from(dictionary.facts().entries));
        self.schedule = Schedule { entries, patience: PATIENCE.max(entries), ..Schedule::default() };
    }
}

/// How large a dictionary is to be for answers of so many bytes. What more it holds is asked for more rarely: twice the size
/// saves 1.5 percent more, so it must not grow faster than what it is used for.
fn wanted_size(raw: u64) -> usize {
    usize::try_from(SIZE + raw / SIZE_PART).unwrap_or(usize::MAX).min(MAX_CONTENT)
}

impl Training {
    /// Does the work.
    pub fn train(mut self, codec: &mut Codec) -> Trained {
        let made = self.make(codec);
        Trained { base: self.base, made }
    }

    fn make(&mut self, codec: &mut Codec) -> Option<Made> {
        let (mut texts, mut sizes, mut tried) = (Vec::with_capacity(self.bytes), Vec::new(), Vec::new());
        for (i, sample) in self.samples.iter().enumerate() {
            let Ok(answer) = codec.unpack(&sample.stored, sample.read_with.as_deref()) else { continue };
            if i % TRIED == TRIED / 2 {
                tried.push((sample, answer.to_vec()));
            } else {
                texts.extend_from_slice(answer);
                sizes.push(answer.len());
            }
        }
        let content = zstd::dict::from_continuous(&texts, &sizes, self.size).ok()?;
        drop(texts);
        let samples = u32::try_from(sizes.len()).unwrap_or(u32::MAX);
        let facts = Facts { version: self.version, samples, entries: self.entries, ..Facts::default() };
        let dictionary = Arc::new(Dictionary::made(content, facts)?);
        let (mut before, mut tried_raw, mut tried_stored) = (0, 0, 0);
        let mut first_users = Vec::new();
        for (sample, answer) in &tried {
            let packed = codec.pack_with(answer, sample.level, &dictionary);
            tried_raw += answer.len();
            tried_stored += packed.bytes.len();
            before += match &self.base {
                Some(base) => codec.pack_with(answer, sample.level, base),
                None => codec.pack(answer, Some(sample.level)),
            }
            .bytes
            .len() as u64;
            if packed.encoding == Encoding::Dict && first_users.len() < FIRST_USERS {
                first_users.push((*sample, answer.as_slice(), packed));
            }
        }
        let whole = |sum: usize| u32::try_from(sum).ok();
        let facts = Facts { tried_raw: whole(tried_raw)?, tried_stored: whole(tried_stored)?, ..facts };
        // Now that it is known how well it does, it is a whole one.
        let dictionary = Arc::new(Arc::into_inner(dictionary)?.with_facts(facts));
        let pressed =
            |(sample, answer, packed): (&Pressing, &[u8], _)| sample.pressed_with(answer, packed, &dictionary);
        let first_users = first_users.into_iter().map(pressed).collect();
        Some(Made { dictionary, before, first_users })
    }
}
