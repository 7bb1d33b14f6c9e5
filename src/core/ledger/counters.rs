//! Plain counters, and what follows from them.

use crate::core::entry::Effort;
use crate::core::money::MicroUsd;

/// Counters and the order in which they are stored: a new one goes to the end.
macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        /// What has been counted. `hits_exact`, `hits_similar` and `hits_stale` are apart from each other.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[allow(missing_docs)] // named as STATS names them
        pub struct Counters { $(pub $name: u64),* }

        impl Counters {
            /// All of them, in the order in which they are stored.
            pub fn fields(&self) -> [u64; FIELDS] {
                [$(self.$name),*]
            }

            /// The same, to be changed.
            pub fn fields_mut(&mut self) -> [&mut u64; FIELDS] {
                [$(&mut self.$name),*]
            }
        }

        /// How many counters there are.
        pub const FIELDS: usize = [$(stringify!($name)),*].len();
    };
}

/// The most that a counter shows, and the most that is read of one: far from where adding them up could go over.
pub const MOST: u64 = u64::MAX / 8;

// What a hit counts stands together: that is one line of the processor's cache.
counters! {
    lookups, hits_exact, tokens_saved_in, tokens_saved_out, tokens_saved_estimated, latency_saved_ms, micros_saved,
    hits_similar, hits_stale, miss_absent, miss_expired, miss_threshold, miss_guard, stores, micros_spent, skips,
    evictions, expirations, invalidations, feedback_good, feedback_bad, coalesced,
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

    /// What the hits would have cost.
    pub fn cost_saved(&self) -> MicroUsd {
        MicroUsd::from_micros(self.micros_saved)
    }

    /// What the stored answers have cost.
    pub fn cost_spent(&self) -> MicroUsd {
        MicroUsd::from_micros(self.micros_spent)
    }

    /// Counts what a hit saves.
    pub(in crate::core) fn saved(&mut self, effort: &Effort) {
        let tokens = effort.tokens_in.saturating_add(effort.tokens_out);
        add(&mut self.tokens_saved_in, effort.tokens_in);
        add(&mut self.tokens_saved_out, effort.tokens_out);
        add(&mut self.tokens_saved_estimated, if effort.estimated { tokens } else { 0 });
        add(&mut self.latency_saved_ms, effort.latency_ms);
        add(&mut self.micros_saved, effort.cost.micros());
    }

    /// Counts an answer that was stored.
    pub(in crate::core) fn stored(&mut self, cost: MicroUsd) {
        add(&mut self.stores, 1);
        add(&mut self.micros_spent, cost.micros());
    }

    /// The first so many counters in the order of the versions up to 3, in which the money stood apart.
    pub(super) fn as_once_stored(&mut self, count: usize) -> impl Iterator<Item = &mut u64> {
        let first = [
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
        ];
        first.into_iter().take(count)
    }

    /// Adds others to these.
    pub fn merge(&mut self, other: &Self) {
        self.fields_mut().into_iter().zip(other.fields()).for_each(|(mine, theirs)| add(mine, theirs));
    }

    /// What has come since these were those.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        since.fields_mut().into_iter().zip(before.fields()).for_each(|(now, then)| *now = now.saturating_sub(then));
        since
    }
}

fn add(counter: &mut u64, n: u64) {
    *counter = counter.saturating_add(n).min(MOST);
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
        let mut twice = counters;
        twice.merge(&counters);
        assert_eq!(twice.fields(), counters.fields().map(|field| field * 2));
        assert_eq!(twice.since(&counters), counters);
    }

    /// Their places are those of the files that were written.
    #[test]
    fn the_order_is_pinned() {
        let mut counters = Counters::default();
        (counters.lookups, counters.stores, counters.coalesced, counters.micros_spent) = (1, 2, 3, 4);
        let fields = counters.fields();
        assert_eq!((fields[0], fields[13], fields[21], fields[14], FIELDS), (1, 2, 3, 4, 22));
    }

    #[test]
    fn what_older_versions_kept_is_read_in_their_order() {
        let mut counters = Counters::default();
        let mut next = 1;
        counters.as_once_stored(20).for_each(|field| (*field, next) = (next, next + 1));
        assert_eq!((counters.lookups, counters.stores, counters.latency_saved_ms), (1, 7, 15));
        assert_eq!((counters.miss_threshold, counters.feedback_bad, counters.coalesced), (16, 19, 20));
        assert_eq!((counters.micros_saved, counters.micros_spent), (0, 0));
    }

    #[test]
    fn sums_stop_at_the_largest() {
        let mut all = Counters::default();
        all.fields_mut().into_iter().for_each(|field| *field = MOST);
        all.merge(&all.clone());
        all.stored(MicroUsd::MAX);
        let cost = MicroUsd::MAX;
        all.saved(&Effort { tokens_in: u64::MAX, tokens_out: 1, estimated: true, cost, latency_ms: u64::MAX });
        assert!(all.fields().into_iter().all(|field| field == MOST));
        assert_eq!((all.hits(), all.misses(), all.tokens_saved()), (3 * MOST, 4 * MOST, 2 * MOST));
        assert_eq!((all.cost_saved(), all.cost_spent()), (MicroUsd::from_micros(MOST), MicroUsd::from_micros(MOST)));
        all.fields_mut().into_iter().for_each(|field| *field = u64::MAX);
        assert_eq!((all.hits(), all.misses(), all.tokens_saved()), (u64::MAX, u64::MAX, u64::MAX));
        assert_eq!((all.hit_rate(), all.estimated_share()), (1.0, 1.0));
        assert_eq!((Counters::default().hit_rate(), Counters::default().estimated_share()), (0.0, 0.0));
    }
}
