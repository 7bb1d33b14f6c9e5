//! What a cache has done: plain counters, each node's own.

use super::entry::Effort;
use super::money::MicroUsd;
use super::time::UnixMs;

/// Counters since the cache was made. `hits_exact`, `hits_similar` and `hits_stale` are apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // named as STATS names them
pub struct Counters {
    pub first_lookup: Option<UnixMs>,
    pub lookups: u64,
    pub hits_exact: u64,
    pub hits_similar: u64,
    pub hits_stale: u64,
    pub miss_absent: u64,
    pub miss_expired: u64,
    pub miss_threshold: u64,
    pub miss_guard: u64,
    pub feedback_good: u64,
    pub feedback_bad: u64,
    pub stores: u64,
    pub skips: u64,
    pub evictions: u64,
    pub expirations: u64,
    pub invalidations: u64,
    pub tokens_saved_in: u64,
    pub tokens_saved_out: u64,
    /// Of the tokens saved, those that were guessed.
    pub tokens_saved_estimated: u64,
    pub cost_saved: MicroUsd,
    pub cost_spent: MicroUsd,
    pub latency_saved_ms: u64,
    /// Of the hits, those that waited for somebody else's answer.
    pub coalesced: u64,
}

impl Counters {
    /// All lookups that were answered.
    pub fn hits(&self) -> u64 {
        self.hits_exact.saturating_add(self.hits_similar).saturating_add(self.hits_stale)
    }

    /// All lookups that were not.
    pub fn misses(&self) -> u64 {
        [self.miss_absent, self.miss_expired, self.miss_threshold, self.miss_guard]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Hits for each lookup, 0 before the first.
    pub fn hit_rate(&self) -> f64 {
        share(self.hits(), self.lookups)
    }

    /// Tokens that the hits saved.
    pub fn tokens_saved(&self) -> u64 {
        self.tokens_saved_in.saturating_add(self.tokens_saved_out)
    }

    /// Which part of the tokens saved was guessed.
    pub fn estimated_share(&self) -> f64 {
        share(self.tokens_saved_estimated, self.tokens_saved())
    }

    pub(super) fn looked_up(&mut self, now: UnixMs) {
        self.lookups += 1;
        self.first_lookup.get_or_insert(now);
    }

    pub(super) fn saved(&mut self, effort: &Effort) {
        let tokens = effort.tokens_in.saturating_add(effort.tokens_out);
        add(&mut self.tokens_saved_in, effort.tokens_in);
        add(&mut self.tokens_saved_out, effort.tokens_out);
        add(&mut self.tokens_saved_estimated, if effort.estimated { tokens } else { 0 });
        add(&mut self.latency_saved_ms, effort.latency_ms);
        self.cost_saved = self.cost_saved.saturating_add(effort.cost);
    }

    /// Adds another cache's counters to these.
    pub fn merge(&mut self, other: &Self) {
        self.first_lookup = match (self.first_lookup, other.first_lookup) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        for (mine, theirs) in self.fields_mut().into_iter().zip(other.fields()) {
            add(mine, theirs);
        }
        self.cost_saved = self.cost_saved.saturating_add(other.cost_saved);
        self.cost_spent = self.cost_spent.saturating_add(other.cost_spent);
    }

    /// The plain counters in the order in which they are stored: a new one goes to the end.
    pub(super) fn fields(&self) -> [u64; 20] {
        [
            self.lookups,
            self.hits_exact,
            self.hits_similar,
            self.hits_stale,
            self.miss_absent,
            self.miss_expired,
            self.stores,
            self.skips,
            self.evictions,
            self.expirations,
            self.invalidations,
            self.tokens_saved_in,
            self.tokens_saved_out,
            self.tokens_saved_estimated,
            self.latency_saved_ms,
            self.miss_threshold,
            self.miss_guard,
            self.feedback_good,
            self.feedback_bad,
            self.coalesced,
        ]
    }

    /// The same, to be changed.
    pub(super) fn fields_mut(&mut self) -> [&mut u64; 20] {
        [
            &mut self.lookups,
            &mut self.hits_exact,
            &mut self.hits_similar,
            &mut self.hits_stale,
            &mut self.miss_absent,
            &mut self.miss_expired,
            &mut self.stores,
            &mut self.skips,
            &mut self.evictions,
            &mut self.expirations,
            &mut self.invalidations,
            &mut self.tokens_saved_in,
            &mut self.tokens_saved_out,
            &mut self.tokens_saved_estimated,
            &mut self.latency_saved_ms,
            &mut self.miss_threshold,
            &mut self.miss_guard,
            &mut self.feedback_good,
            &mut self.feedback_bad,
            &mut self.coalesced,
        ]
    }
}

fn add(counter: &mut u64, n: u64) {
    *counter = counter.saturating_add(n);
}

/// `part` of `whole` as a number from 0 to 1; 0 where there is no whole.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_stored_in_one_place() {
        let mut counters = Counters::default();
        let mut next = 1;
        counters.fields_mut().into_iter().for_each(|field| (*field, next) = (next, next + 1));
        assert_eq!(counters.fields(), std::array::from_fn(|i| i as u64 + 1), "read in the order of writing");
        let mut twice = counters.clone();
        twice.merge(&counters);
        assert_eq!(twice.fields(), counters.fields().map(|field| field * 2));
    }

    #[test]
    fn sums_stop_at_the_largest() {
        let cost = MicroUsd::MAX;
        let mut all = Counters { cost_saved: cost, cost_spent: cost, ..Counters::default() };
        all.fields_mut().into_iter().for_each(|field| *field = u64::MAX);
        all.merge(&all.clone());
        all.saved(&Effort { tokens_in: u64::MAX, tokens_out: 1, estimated: true, cost, latency_ms: 1 });
        assert_eq!((all.hits(), all.misses(), all.tokens_saved()), (u64::MAX, u64::MAX, u64::MAX));
        assert_eq!((all.cost_saved, all.hit_rate(), all.estimated_share()), (MicroUsd::MAX, 1.0, 1.0));
    }

    #[test]
    fn the_first_lookup_of_several_caches_is_the_earliest() {
        let at = |first_lookup| Counters { first_lookup, ..Counters::default() };
        let (none, early, late) = (at(None), at(Some(UnixMs(1))), at(Some(UnixMs(2))));
        for (a, b, expected) in [(&none, &none, None), (&none, &late, Some(2)), (&late, &early, Some(1))] {
            let mut sum = a.clone();
            sum.merge(b);
            assert_eq!(sum.first_lookup, expected.map(UnixMs));
        }
        assert_eq!((none.hit_rate(), none.estimated_share()), (0.0, 0.0), "nothing of nothing is nothing");
    }
}
