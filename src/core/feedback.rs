//! What users said of answers: pairs of a prompt and an entry that do not belong together.
//!
//! A pair outlives its entry: an answer that expires and is made again has the same id and is as wrong for that prompt as
//! it was. The list is bounded; the oldest pairs are forgotten first.

use super::cache::Cache;
use super::effects::Effects;
use super::identity::{Digest, EntryId};
use super::memory;
use super::time::UnixMs;
use super::wire::WireError;
use std::collections::{BTreeSet, VecDeque};

/// How many pairs a cache remembers.
pub const MAX_PAIRS: usize = 65_536;

/// A prompt, by the id that its own entry would have, and the entry that must not answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Who asked.
    pub prompt: EntryId,
    /// What must not answer.
    pub entry: EntryId,
}

/// The bad pairs of a cache.
#[derive(Clone, Debug, Default)]
pub struct Feedback {
    bad: BTreeSet<Pair>,
    order: VecDeque<Pair>,
}

impl Feedback {
    /// Whether an entry was a bad answer to the prompt of this digest.
    pub fn is_bad(&self, prompt: &Digest, entry: &EntryId) -> bool {
        !self.bad.is_empty() && self.bad.contains(&Pair { prompt: prompt.id(), entry: *entry })
    }

    /// Remembers a pair as bad, or forgets that it was; whether that changes anything.
    pub(super) fn note(&mut self, pair: Pair, good: bool, most: usize) -> bool {
        if good {
            return self.forgive(&pair);
        }
        if !self.bad.insert(pair) {
            return false;
        }
        self.order.push_back(pair);
        while self.bad.len() > most {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bad.remove(&oldest);
        }
        if self.order.capacity() > 2 * most.max(32) {
            self.order.shrink_to(most);
        }
        true
    }

    fn forgive(&mut self, pair: &Pair) -> bool {
        let there = self.bad.remove(pair);
        if there {
            self.order.retain(|other| other != pair);
        }
        there
    }

    /// All bad pairs, the oldest first.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = &Pair> {
        self.order.iter()
    }

    /// Bytes behind it.
    pub(super) fn memory(&self) -> usize {
        memory::of_btree::<Pair>(self.bad.len()) + memory::of_vec::<Pair>(self.order.len() * 3 / 2)
    }
}

/// What users say of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It was right.
    Good,
    /// It was wrong.
    Bad,
}

impl Cache {
    /// Notes what users say of an entry, of itself or as the answer to the prompt of a digest. A bad answer to a prompt
    /// never answers that prompt by similarity again, until somebody calls it good; an entry that is bad by itself goes.
    /// None where there is no such entry.
    pub fn note(
        &mut self,
        id: &EntryId,
        opinion: Opinion,
        prompt: Option<&Digest>,
        now: UnixMs,
    ) -> (Option<()>, Effects) {
        let mut effects = Effects::default();
        let Some(slot) = self.visible(id, now) else { return (None, effects) };
        self.count_slot(slot, now, |counters| match opinion {
            Opinion::Good => counters.feedback_good += 1,
            Opinion::Bad => counters.feedback_bad += 1,
        });
        match (opinion, prompt) {
            (Opinion::Bad, None) => effects = self.delete(&[*id], now).1,
            (_, Some(prompt)) => {
                let (pair, good) = (Pair { prompt: prompt.id(), entry: *id }, opinion == Opinion::Good);
                if self.feedback.note(pair, good, self.most_pairs()) {
                    effects.judged = Some((pair, good));
                    self.keep_limits(None, now, &mut effects);
                }
            }
            (Opinion::Good, None) => {}
        }
        (Some(()), effects)
    }

    /// How many pairs there may be: an eighth of the cache's memory at most.
    pub(super) fn most_pairs(&self) -> usize {
        const SHARE: u64 = 8 * 128;
        match self.policy.max_memory {
            0 => MAX_PAIRS,
            limit => usize::try_from(limit / SHARE).map_or(MAX_PAIRS, |most| most.clamp(1, MAX_PAIRS)),
        }
    }

    /// Repeats what another node noted of a pair.
    pub fn repeat_feedback(&mut self, record: &[u8]) -> Result<Effects, WireError> {
        self.read_feedback(record)?;
        Ok(Effects::default())
    }
}
