//! Figures for people: sums over caches, in all or by name, in a window or ever, and what they come to in money.

use super::cache::Cache;
use super::census::Holding;
use super::ledger::counters::{share, Counters};
use super::ledger::latency::{Latencies, Percentiles, Work};
use super::ledger::{Dimension, Window, MOST_NAMES};
use super::money::MicroUsd;
use super::time::UnixMs;
use std::collections::HashMap;

/// What figures are about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scope {
    /// When they are asked for.
    pub now: UnixMs,
    /// Counted in this window only.
    pub window: Option<Window>,
    /// What a gigabyte of memory costs in a month.
    pub gb_month: MicroUsd,
}

/// The figures of one or more caches, or of a part of them.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// What they have done.
    pub counters: Counters,
    /// What they hold; the memory is all there is behind it.
    pub holding: Holding,
    /// When the first lookup came.
    pub first_lookup: Option<UnixMs>,
    /// How long their work takes. That is not known by name.
    pub latencies: Latencies,
}

/// What the savings come to if they go on like this.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Projection {
    /// Saved each day.
    pub per_day: MicroUsd,
    /// Saved in 30 days.
    pub per_month: MicroUsd,
    /// Saved in 365 days.
    pub per_year: MicroUsd,
    /// What the memory costs in a month.
    pub memory_per_month: MicroUsd,
    /// Saving for each dollar of memory; 0 where memory costs nothing.
    pub roi: f64,
    /// Whether there was time enough to say anything about a day.
    pub is_known: bool,
}

const DAY_MS: u64 = 86_400_000;
const GB: u64 = 1 << 30;

/// A shorter time than this says nothing about a day.
const SHORTEST_SPAN_MS: u64 = 60_000;

impl Stats {
    /// Adds a cache that takes so many bytes.
    pub fn add(&mut self, cache: &Cache, memory: u64, scope: &Scope) {
        let ledger = cache.ledger();
        self.counters.merge(&ledger.counted(scope.window.as_ref()));
        self.holding.add(&Holding { memory, ..*cache.store().census().all() });
        self.note_first(first_known(cache, scope));
        self.latencies.merge(ledger.latencies());
    }

    fn note_first(&mut self, first: Option<UnixMs>) {
        self.first_lookup = match (self.first_lookup, first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// Which part of the answers' bytes compression saves.
    pub fn compression_saved(&self) -> f64 {
        share(self.holding.bytes_raw.saturating_sub(self.holding.bytes_stored), self.holding.bytes_raw)
    }

    /// Bytes for a thousand entries.
    pub fn memory_per_1k_entries(&self) -> u64 {
        self.holding.memory.saturating_mul(1000).checked_div(self.holding.entries).unwrap_or(0)
    }

    /// What one kind of work takes.
    pub fn percentiles(&self, work: Work) -> Percentiles {
        self.latencies.percentiles(work)
    }

    /// Projects the savings of the window, or of the time since the first lookup, and compares them with the memory.
    pub fn projection(&self, scope: &Scope) -> Projection {
        let memory_per_month = scaled(scope.gb_month, self.holding.memory, GB);
        let begin = scope.window.map_or(UnixMs(0), |window| window.begin());
        let span = self.first_lookup.map_or(0, |first| scope.now.since(first.max(begin)));
        if span < SHORTEST_SPAN_MS {
            return Projection { memory_per_month, ..Projection::default() };
        }
        let saved = |days: u64| scaled(self.counters.cost_saved(), days * DAY_MS, span);
        let per_month = saved(30);
        let roi = share(per_month.micros(), memory_per_month.micros());
        Projection { per_day: saved(1), per_month, per_year: saved(365), memory_per_month, roi, is_known: true }
    }
}

/// The first lookup that the figures are about: in a window, none that is forgotten.
fn first_known(cache: &Cache, scope: &Scope) -> Option<UnixMs> {
    let ledger = cache.ledger();
    let from = scope.window.map_or(UnixMs(0), |_| ledger.complete_from());
    ledger.first_lookup().map(|first| first.max(from))
}

/// How many names are told at most; what is known of the others is told as the rest.
pub const TOLD: usize = 64;

/// How many names of several caches are kept on the way.
const KEPT: usize = 8192;

/// Who saves more is told first.
fn worth(counters: &Counters) -> [u64; 3] {
    [counters.micros_saved, counters.tokens_saved(), counters.lookups]
}

/// What the rest is called. A name that is really called so is part of it.
pub const OTHER: &[u8] = b"other";

/// Figures by name.
#[derive(Debug)]
pub struct Breakdown {
    dimension: Dimension,
    sum: Stats,
    /// Bytes of entries without what they share, as names hold them.
    memory_of_entries: u64,
    names: HashMap<Box<[u8]>, (Counters, Holding)>,
}

impl Breakdown {
    /// Nothing so far.
    pub fn new(dimension: Dimension) -> Self {
        Self { dimension, sum: Stats::default(), memory_of_entries: 0, names: HashMap::new() }
    }

    /// Adds a cache that takes so many bytes; where its names are secret, to the rest.
    pub fn add(&mut self, cache: &Cache, memory: u64, names_are_secret: bool, scope: &Scope) {
        let (ledger, census) = (cache.ledger(), cache.store().census());
        let (names, sum) = ledger.counted_by(self.dimension, scope.window.as_ref());
        let held = *census.sum(self.dimension);
        self.sum.counters.merge(&sum);
        self.sum.note_first(first_known(cache, scope));
        self.sum.holding.add(&Holding { memory, ..held });
        self.memory_of_entries += held.memory;
        if names_are_secret {
            return;
        }
        let mut names: HashMap<&[u8], Counters> = names.collect();
        // Names of which nothing was counted yet, as after a restart without counters.
        for name in census.few(self.dimension, MOST_NAMES) {
            names.entry(name).or_default();
        }
        for (name, counters) in names {
            let (counted, holding) = self.names.entry(name.into()).or_default();
            counted.merge(&counters);
            holding.add(&census.holding(self.dimension, name));
        }
        if self.names.len() > KEPT {
            self.keep_best(KEPT / 2);
        }
    }

    /// Lets all names but those that save most become part of the rest.
    fn keep_best(&mut self, count: usize) {
        let mut names: Vec<_> = self.names.drain().collect();
        if count < names.len() {
            names.select_nth_unstable_by(count, |(a, (x, _)), (b, (y, _))| {
                worth(y).cmp(&worth(x)).then_with(|| a.cmp(b))
            });
            names.truncate(count);
        }
        self.names.extend(names);
    }

    /// The names that save most, each with its figures, and last the rest, if there is any. Memory that entries share is
    /// divided among them as their own is.
    pub fn finish(self) -> Vec<(Box<[u8]>, Stats)> {
        let (mut rest, mut rest_holding) = (self.sum.counters, self.sum.holding);
        rest_holding.memory = self.memory_of_entries;
        // Names that only have been, long ago, say nothing.
        let says = |(counters, holding): &(_, Holding)| *counters != Counters::default() || holding.entries > 0;
        let names = self.names.into_iter().filter(|(name, figures)| **name != *OTHER && says(figures));
        let mut names: Vec<_> = names.collect();
        names.sort_by(|(a, (x, _)), (b, (y, _))| worth(y).cmp(&worth(x)).then_with(|| a.cmp(b)));
        names.truncate(TOLD);
        for (_, (counters, holding)) in &names {
            rest = rest.since(counters);
            rest_holding.take(holding);
        }
        if rest != Counters::default() || rest_holding.entries > 0 {
            names.push((OTHER.into(), (rest, rest_holding)));
        }
        let (memory, of_entries) = (self.sum.holding.memory, self.memory_of_entries);
        let (mut own, mut told) = (0, 0);
        let first_lookup = self.sum.first_lookup;
        let share = |(name, (counters, holding)): (Box<[u8]>, (Counters, Holding))| {
            own += u128::from(holding.memory);
            // What is told so far is always the same part of the whole, so the last one makes it whole.
            let until = (own * u128::from(memory)).checked_div(u128::from(of_entries)).unwrap_or(0) as u64;
            let holding = Holding { memory: until - told, ..holding };
            told = until;
            (name, Stats { counters, holding, first_lookup, latencies: Latencies::default() })
        };
        names.into_iter().map(share).collect()
    }
}

/// `amount` × `times` ÷ `by`, halves up.
fn scaled(amount: MicroUsd, times: u64, by: u64) -> MicroUsd {
    let by = u128::from(by.max(1));
    let product = u128::from(amount.micros()) * u128::from(times);
    MicroUsd::from_micros(u64::try_from((product + by / 2) / by).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ledger::Labels;

    fn scope(now: u64) -> Scope {
        Scope { now: UnixMs(now), window: None, gb_month: MicroUsd::from_micros(10_000_000) }
    }

    #[test]
    fn savings_are_projected_from_a_minute_on() {
        let mut stats = Stats { first_lookup: Some(UnixMs(1_000)), ..Stats::default() };
        stats.holding.memory = GB / 2;
        stats.counters.micros_saved = 1_000_000;
        let early = stats.projection(&scope(60_999));
        assert_eq!((early.per_day.micros(), early.memory_per_month.micros(), early.is_known), (0, 5_000_000, false));
        let later = stats.projection(&scope(1_000 + DAY_MS / 2));
        assert_eq!(later.per_day.to_string(), "2.000000");
        assert_eq!(later.per_month.to_string(), "60.000000");
        assert_eq!(later.per_year.to_string(), "730.000000");
        assert!((later.roi - 12.0).abs() < 1e-9);
    }

    #[test]
    fn a_window_is_projected_from_its_begin_or_from_the_first_lookup_in_it() {
        let mut stats = Stats { first_lookup: Some(UnixMs(1_000)), ..Stats::default() };
        stats.counters.micros_saved = 1_000_000;
        let now = UnixMs(DAY_MS);
        let window = |seconds| Scope { window: Some(Window::last(seconds, now)), ..scope(now.0) };
        assert_eq!(stats.projection(&window(3600)).per_day.to_string(), "24.000000");
        assert!(!stats.projection(&window(59)).is_known);
        stats.first_lookup = Some(UnixMs(now.0 - 1_800_000));
        assert_eq!(stats.projection(&window(3600)).per_day.to_string(), "48.000000");
    }

    #[test]
    fn nothing_divides_by_nothing() {
        let stats = Stats::default();
        assert_eq!((stats.compression_saved(), stats.memory_per_1k_entries()), (0.0, 0));
        assert_eq!(stats.projection(&Scope { gb_month: MicroUsd::ZERO, ..scope(1 << 40) }).roi, 0.0);
    }

    /// The names of many caches do not all fit, and add up all the same.
    #[test]
    fn names_of_many_caches_are_kept_in_part_and_add_up() {
        let (mut breakdown, mut whole) = (Breakdown::new(Dimension::Scope), Counters::default());
        for cache_number in 0..60_u64 {
            let mut cache = Cache::default();
            for name in 0..MOST_NAMES as u64 {
                let scope = format!("{cache_number}/{name}");
                let labels = Labels { scope: scope.as_bytes(), ..Labels::default() };
                // Nearly all have saved the same, and three have saved more.
                let micros_saved = if name == 7 && cache_number % 20 == 3 { 1000 + cache_number } else { 5 };
                cache.ledger.count(UnixMs(1_750_000_000_000), &labels, std::iter::empty(), |counters| {
                    counters.lookups += 1;
                    counters.hits_exact += 1;
                    counters.micros_saved += micros_saved;
                });
            }
            whole.merge(cache.ledger().counters());
            breakdown.add(&cache, 0, false, &scope(1_750_000_000_000));
            assert!(breakdown.names.len() <= KEPT);
        }
        let told = breakdown.finish();
        let mut sum = Counters::default();
        told.iter().for_each(|(_, stats)| sum.merge(&stats.counters));
        assert_eq!((sum, told.len()), (whole, TOLD + 1));
        let first: Vec<_> = told.iter().take(3).map(|(name, _)| &**name).collect();
        assert_eq!(first, [&b"43/7"[..], b"23/7", b"3/7"]);
        assert_eq!(&*told[TOLD].0, OTHER);
    }
}
