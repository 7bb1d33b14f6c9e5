//! The figures of STATS by their names, for whoever asks for a single one.

use super::cache::Cache;
use super::money::MicroUsd;
use super::stats::Stats;
use super::time::UnixMs;

/// Every figure that is a number: the fields of STATS, and those of its maps behind a dot.
pub const NAMES: [&str; 53] = [
    "entries",
    "lookups",
    "hits",
    "hits_exact",
    "hits_similar",
    "hits_stale",
    "misses",
    "miss_absent",
    "miss_expired",
    "miss_threshold",
    "miss_guard",
    "hit_rate",
    "coalesced",
    "stores",
    "skips",
    "evictions",
    "expirations",
    "invalidations",
    "feedback_good",
    "feedback_bad",
    "tokens_saved_in",
    "tokens_saved_out",
    "tokens_saved",
    "cost_saved_usd",
    "cost_spent_usd",
    "estimated_share",
    "latency_saved_ms",
    "saving_per_day_usd",
    "saving_per_month_usd",
    "saving_per_year_usd",
    "memory_cost_per_month_usd",
    "roi",
    "bytes_raw",
    "bytes_stored",
    "compression_saved",
    "memory_bytes",
    "memory_per_1k_entries",
    "get_exact_us.p50",
    "get_exact_us.p95",
    "get_exact_us.p99",
    "get_exact_us.max",
    "get_similar_us.p50",
    "get_similar_us.p95",
    "get_similar_us.p99",
    "get_similar_us.max",
    "set_us.p50",
    "set_us.p95",
    "set_us.p99",
    "set_us.max",
    "fetch_us.p50",
    "fetch_us.p95",
    "fetch_us.p99",
    "fetch_us.max",
];

/// Those that are a part of a whole.
const SHARES: [&str; 3] = ["hit_rate", "estimated_share", "compression_saved"];

/// A figure that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure(&'static str);

impl Figure {
    /// The figure of this name, whatever the case of its letters.
    pub fn named(name: &[u8]) -> Option<Self> {
        NAMES.into_iter().find(|figure| name.eq_ignore_ascii_case(figure.as_bytes())).map(Self)
    }

    /// As STATS calls it.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Whether it goes from 0 to 1 and no further.
    pub fn is_share(self) -> bool {
        SHARES.contains(&self.0)
    }
}

/// A shorter time than this says nothing about a day.
const SHORTEST_SPAN_MS: u64 = 60_000;

impl Cache {
    /// A figure of this cache, over the last so many seconds where it counts what happens. None where it has no value at
    /// present: a share of nothing, a projection from less than a minute. `memory_price` is that of a gigabyte's month.
    pub fn figure(&self, name: &str, _window_s: Option<u64>, now: UnixMs, memory_price: MicroUsd) -> Option<f64> {
        let counters = &self.counters;
        let mut stats = Stats::default();
        stats.add(self, if name.contains("mem") || name == "roi" { self.memory() as u64 } else { 0 });
        let usd = |amount: MicroUsd| Some(amount.micros() as f64 / 1e6);
        let projection = || {
            let span = counters.first_lookup.map_or(0, |first| now.since(first));
            (span >= SHORTEST_SPAN_MS).then(|| stats.projection(now, memory_price))
        };
        let count = match name {
            "entries" => stats.entries,
            "lookups" => counters.lookups,
            "hits" => counters.hits(),
            "hits_exact" => counters.hits_exact,
            "hits_similar" => counters.hits_similar,
            "hits_stale" => counters.hits_stale,
            "misses" => counters.misses(),
            "miss_absent" => counters.miss_absent,
            "miss_expired" => counters.miss_expired,
            "miss_threshold" => counters.miss_threshold,
            "miss_guard" => counters.miss_guard,
            "hit_rate" => return (counters.lookups > 0).then(|| counters.hit_rate()),
            "coalesced" => counters.coalesced,
            "stores" => counters.stores,
            "skips" => counters.skips,
            "evictions" => counters.evictions,
            "expirations" => counters.expirations,
            "invalidations" => counters.invalidations,
            "feedback_good" => counters.feedback_good,
            "feedback_bad" => counters.feedback_bad,
            "tokens_saved_in" => counters.tokens_saved_in,
            "tokens_saved_out" => counters.tokens_saved_out,
            "tokens_saved" => counters.tokens_saved(),
            "cost_saved_usd" => return usd(counters.cost_saved),
            "cost_spent_usd" => return usd(counters.cost_spent),
            "estimated_share" => return (counters.tokens_saved() > 0).then(|| counters.estimated_share()),
            "latency_saved_ms" => counters.latency_saved_ms,
            "saving_per_day_usd" => return usd(projection()?.per_day),
            "saving_per_month_usd" => return usd(projection()?.per_month),
            "saving_per_year_usd" => return usd(projection()?.per_year),
            "memory_cost_per_month_usd" => return usd(stats.projection(now, memory_price).memory_per_month),
            "roi" => return projection().filter(|told| told.memory_per_month > MicroUsd::ZERO).map(|told| told.roi),
            "bytes_raw" => stats.bytes_raw,
            "bytes_stored" => stats.bytes_stored,
            "compression_saved" => return (stats.bytes_raw > 0).then(|| stats.compression_saved()),
            "memory_bytes" => stats.memory_bytes,
            "memory_per_1k_entries" => return (stats.entries > 0).then(|| stats.memory_per_1k_entries() as f64),
            _ => return None,
        };
        Some(count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_by_its_name() {
        for name in NAMES {
            assert_eq!(Figure::named(name.to_ascii_uppercase().as_bytes()).map(Figure::name), Some(name));
        }
        for name in ["", "hit", "alerts", "get_exact_us", "get_exact_us.p90", "hit_rate ", "réussi"] {
            assert_eq!(Figure::named(name.as_bytes()), None, "{name}");
        }
        assert!(SHARES.iter().all(|share| NAMES.contains(share)));
    }

    #[test]
    fn a_share_of_nothing_is_no_value() {
        let (cache, now) = (Cache::default(), UnixMs(1_750_000_000_000));
        let value = |name| cache.figure(name, None, now, MicroUsd::from_micros(1_000_000));
        let without: Vec<_> = NAMES.into_iter().filter(|name| value(name).is_none()).collect();
        let (latencies, others): (Vec<_>, Vec<_>) = without.into_iter().partition(|name| name.contains("_us."));
        assert_eq!(latencies.len(), 16);
        let shares = ["hit_rate", "estimated_share"];
        let projected = ["saving_per_day_usd", "saving_per_month_usd", "saving_per_year_usd", "roi"];
        let of_entries = ["compression_saved", "memory_per_1k_entries"];
        assert_eq!(others, [&shares[..], &projected, &of_entries].concat());
        assert_eq!(value("lookups"), Some(0.0));
        assert!(value("memory_bytes") > Some(500.0) && value("memory_cost_per_month_usd") > Some(0.0));
    }
}
