//! Figures for people: sums over caches, and what they come to in money.

use super::cache::Cache;
use super::counters::{share, Counters};
use super::money::MicroUsd;
use super::time::UnixMs;

/// The figures of one or more caches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// What they have done.
    pub counters: Counters,
    /// Entries that they hold.
    pub entries: u64,
    /// Bytes of the answers as they came.
    pub bytes_raw: u64,
    /// Bytes of the answers as they are stored.
    pub bytes_stored: u64,
    /// Bytes behind it all.
    pub memory_bytes: u64,
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
}

const DAY_MS: u64 = 86_400_000;
const GB: u64 = 1 << 30;

/// A shorter time than this says nothing about a day.
const SHORTEST_SPAN_MS: u64 = 60_000;

impl Stats {
    /// Adds a cache that takes so many bytes.
    pub fn add(&mut self, cache: &Cache, memory_bytes: u64) {
        let (raw, stored) = cache.store().answer_bytes();
        self.counters.merge(cache.counters());
        self.entries += cache.store().len() as u64;
        self.bytes_raw += raw;
        self.bytes_stored += stored;
        self.memory_bytes += memory_bytes;
    }

    /// Which part of the answers' bytes compression saves.
    pub fn compression_saved(&self) -> f64 {
        share(self.bytes_raw.saturating_sub(self.bytes_stored), self.bytes_raw)
    }

    /// Bytes for a thousand entries.
    pub fn memory_per_1k_entries(&self) -> u64 {
        self.memory_bytes.saturating_mul(1000).checked_div(self.entries).unwrap_or(0)
    }

    /// Projects the savings since the first lookup, and compares them with memory at this price for a gigabyte's month.
    pub fn projection(&self, now: UnixMs, gb_month: MicroUsd) -> Projection {
        let memory_per_month = scaled(gb_month, self.memory_bytes, GB);
        let span = self.counters.first_lookup.map_or(0, |first| now.since(first));
        if span < SHORTEST_SPAN_MS {
            return Projection { memory_per_month, ..Projection::default() };
        }
        let saved = |days: u64| scaled(self.counters.cost_saved, days * DAY_MS, span);
        let per_month = saved(30);
        let roi = share(per_month.micros(), memory_per_month.micros());
        Projection { per_day: saved(1), per_month, per_year: saved(365), memory_per_month, roi }
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

    #[test]
    fn savings_are_projected_from_a_minute_on() {
        let mut stats = Stats { memory_bytes: GB / 2, ..Stats::default() };
        stats.counters.first_lookup = Some(UnixMs(1_000));
        stats.counters.cost_saved = MicroUsd::from_micros(1_000_000);
        let price = MicroUsd::from_micros(10_000_000);
        let early = stats.projection(UnixMs(60_999), price);
        assert_eq!((early.per_day.micros(), early.memory_per_month.micros()), (0, 5_000_000));
        let later = stats.projection(UnixMs(1_000 + DAY_MS / 2), price);
        assert_eq!(later.per_day.to_string(), "2.000000");
        assert_eq!(later.per_month.to_string(), "60.000000");
        assert_eq!(later.per_year.to_string(), "730.000000");
        assert!((later.roi - 12.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_divides_by_nothing() {
        let stats = Stats::default();
        assert_eq!((stats.compression_saved(), stats.memory_per_1k_entries()), (0.0, 0));
        assert_eq!(stats.projection(UnixMs(1 << 40), MicroUsd::ZERO).roi, 0.0);
    }
}
