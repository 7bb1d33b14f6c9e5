//! What a lookup answers, and what is counted for whatever happens.

use super::cache::{Cache, Found, Got, Miss, Terms};
use super::codec::{Codec, Damaged, Encoding};
use super::entry::{Effort, Entry, Phase, Slot};
use super::identity::Identity;
use super::ledger::counters::Counters;
use super::ledger::Labels;
use super::matching::Wanted;
use super::storing::Answer;
use super::time::UnixMs;

impl Cache {
    /// The answer to this very question. One whose bytes are damaged is an error, and nothing is counted.
    pub fn get<'a>(
        &'a mut self,
        identity: &Identity<'_>,
        terms: &Terms,
        now: UnixMs,
        codec: &'a mut Codec,
    ) -> Result<Got<'a>, Damaged> {
        let wanted = Wanted::exactly(*identity, terms, now);
        let found = self.recall(&wanted);
        self.serve(found, &wanted, codec)
    }

    /// What a lookup answers that has found this. Damaged bytes are an error, and nothing is counted.
    pub fn serve<'a>(
        &'a mut self,
        found: Found,
        wanted: &Wanted<'_>,
        codec: &'a mut Codec,
    ) -> Result<Got<'a>, Damaged> {
        let terms = wanted.terms;
        let (slot, phase, similar) = match found {
            Found::Exact(slot, phase) => (slot, phase, None),
            Found::Similar { slot, phase, similarity } => (slot, phase, Some(similarity)),
            Found::Miss(why) => {
                self.missed(why, &Labels::of(&wanted.identity.context), terms, wanted.now);
                return Ok(Got::Miss);
            }
        };
        let entry = self.store.get(slot);
        if entry.is_some_and(|entry| terms.if_none_match.is_some_and(|etag| etag == entry.etag())) {
            self.hit(found, 1, terms, wanted.now);
            return Ok(Got::NotModified);
        }
        // Whatever can fail comes before anything is counted.
        if let Some(entry) = entry.filter(|entry| !entry.hot.is_some()) {
            codec.prepare(entry.answer(), self.store.dictionary_of(entry.answer()))?;
        }
        // What is asked once does not take the place of another.
        let warms = !terms.no_touch
            && entry.is_some_and(|entry| !entry.hot.is_some() && entry.hits > 0 && entry.encoding != Encoding::Raw);
        self.hit(found, 1, terms, wanted.now);
        if warms && self.makes_room(slot, wanted.now) {
            let copy = self.store.get(slot).map(|entry| codec.prepared(entry.answer()).into());
            copy.into_iter().for_each(|copy| self.warm(slot, copy, wanted.now));
        }
        Ok(match self.store.view(slot) {
            Some(entry) => {
                let response = entry.hot().unwrap_or_else(|| codec.prepared(entry.packed()));
                Got::Hit { entry, response, stale: phase == Phase::Stale, similar }
            }
            None => Got::Miss,
        })
    }

    /// Counts lookups that found an answer.
    fn hit(&mut self, found: Found, count: u64, terms: &Terms, now: UnixMs) {
        let (slot, phase, similar) = match found {
            Found::Exact(slot, phase) => (slot, phase, false),
            Found::Similar { slot, phase, .. } => (slot, phase, true),
            Found::Miss(_) => return,
        };
        if terms.no_touch {
            return;
        }
        self.ledger.looked_up(now);
        self.store.touch(slot, count);
        let Some(view) = self.store.view(slot) else { return };
        let effort = view.effort();
        let add = |counters: &mut Counters| {
            for _ in 0..count {
                counters.lookups += 1;
                *match phase {
                    Phase::Fresh if similar => &mut counters.hits_similar,
                    Phase::Fresh => &mut counters.hits_exact,
                    _ => &mut counters.hits_stale,
                } += 1;
                counters.saved(&effort);
            }
        };
        let names = || (view.labels(), view.tags());
        let generation = self.store.census().generation();
        let is_tallied = view.key().is_some_and(|key| self.ledger.tally(now, generation, &key, names, add));
        if !is_tallied {
            self.ledger.count(now, &view.labels(), view.tags(), add);
        }
    }

    /// Counts a lookup that found nothing, and changes nothing else.
    pub fn missed(&mut self, why: Miss, labels: &Labels<'_>, terms: &Terms, now: UnixMs) {
        if terms.no_touch {
            return;
        }
        self.ledger.looked_up(now);
        self.store.missed();
        self.ledger.count(now, labels, std::iter::empty(), |counters| {
            counters.lookups += 1;
            *match why {
                Miss::Absent => &mut counters.miss_absent,
                Miss::Expired => &mut counters.miss_expired,
                Miss::BelowThreshold => &mut counters.miss_threshold,
                Miss::Guard(_) | Miss::Feedback => &mut counters.miss_guard,
            } += 1;
        });
    }

    /// Counts lookups that waited for somebody else's answer and got it.
    pub fn coalesce(&mut self, found: Found, terms: &Terms, count: u64, now: UnixMs) {
        self.hit(found, count, terms, now);
        if let (Found::Exact(slot, _) | Found::Similar { slot, .. }, false) = (found, terms.no_touch) {
            self.count_slot(slot, now, |counters| counters.coalesced += count);
        }
    }

    /// The same for an answer that was not kept.
    pub fn coalesce_passing(&mut self, answer: &Answer<'_>, effort: &Effort, count: u64, now: UnixMs) {
        self.ledger.looked_up(now);
        let strategy = self.strategy_of(answer, now);
        self.count_answer(answer, strategy.as_bytes(), now, |counters| {
            counters.coalesced += count;
            for _ in 0..count {
                counters.lookups += 1;
                counters.hits_exact += 1;
                counters.saved(effort);
            }
        });
    }

    /// Counts something for an entry.
    pub(super) fn count_slot(&mut self, slot: Slot, now: UnixMs, add: impl Fn(&mut Counters)) {
        if let Some(view) = self.store.view(slot) {
            self.ledger.count(now, &view.labels(), view.tags(), add);
        }
    }

    /// Counts something for each of some entries: those that have the same names in one go.
    pub(super) fn count_slots(&mut self, slots: &[Slot], now: UnixMs, add: impl Fn(&mut Counters, u64)) {
        let alike = |a: &Slot, b: &Slot| {
            let (Some(a), Some(b)) = (self.store.get(*a), self.store.get(*b)) else { return false };
            let names = |entry: &Entry| (entry.model, entry.scope, entry.strategy, entry.typ);
            names(a) == names(b) && a.body.tags().eq(b.body.tags())
        };
        let runs: Vec<_> = slots.chunk_by(alike).map(|run| (run.first().copied(), run.len() as u64)).collect();
        for (slot, count) in runs {
            if let Some(slot) = slot {
                self.count_slot(slot, now, |counters| add(counters, count));
            }
        }
    }

    /// Counts something for an answer that is no entry, under the strategy that it would have had.
    pub(super) fn count_answer(
        &mut self,
        answer: &Answer<'_>,
        strategy: &[u8],
        now: UnixMs,
        add: impl Fn(&mut Counters),
    ) {
        let typ = answer.typ.unwrap_or_default();
        let labels = Labels { strategy, typ, ..Labels::of(&answer.identity.context) };
        let tags = answer.tags.iter().enumerate();
        let tags = tags.filter(|(i, tag)| !answer.tags.iter().take(*i).any(|before| before == *tag));
        self.ledger.count(now, &labels, tags.map(|(_, tag)| *tag), add);
    }
}
