//! The fields of STATS: what each is called, what it means, and how it is computed.
//!
//! STATS, INFO, alerts, JSON and the exposition format of Prometheus all show this table.

pub mod json;
pub mod prometheus;

use super::cache::Cache;
use super::ledger::latency::{Percentiles, Work};
use super::ledger::{Dimension, Window};
use super::money::MicroUsd;
use super::stats::{Breakdown, Projection, Scope, Stats};
use super::time::UnixMs;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Count(u64),
    /// A number with a fraction.
    Real(f64),
    /// Dollars.
    Usd(MicroUsd),
    /// Times, in microseconds.
    Times(Percentiles),
}

/// How a field goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counted, in the window where there is one.
    Counter,
    /// As it is now, or computed.
    Gauge,
    /// A distribution.
    Summary,
}

/// A field of STATS.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it means, in a line.
    pub help: &'static str,
    /// How it goes on.
    pub kind: Kind,
    value: fn(&Figures) -> Value,
    /// Whether it has a value: a rate of nothing has none, and shows 0.
    is_known: fn(&Figures) -> bool,
}

/// Figures to be shown.
#[derive(Debug)]
pub struct Figures {
    stats: Stats,
    projection: Projection,
}

impl Figures {
    /// These figures.
    pub fn new(stats: Stats, scope: &Scope) -> Self {
        let projection = stats.projection(scope);
        Self { stats, projection }
    }

    /// The figures of a name, for each name.
    pub fn of_names(breakdown: Breakdown, scope: &Scope) -> Vec<(Box<[u8]>, Self)> {
        breakdown.finish().into_iter().map(|(name, stats)| (name, Self::new(stats, scope))).collect()
    }

    /// All fields with their values, in the order of the table.
    pub fn fields(&self) -> impl Iterator<Item = (&'static Field, Value)> + '_ {
        FIELDS.iter().map(|field| (field, (field.value)(self)))
    }
}

const fn field(name: &'static str, kind: Kind, help: &'static str, value: fn(&Figures) -> Value) -> Field {
    Field { name, help, kind, value, is_known: |_| true }
}

impl Field {
    const fn known_if(self, is_known: fn(&Figures) -> bool) -> Self {
        Self { is_known, ..self }
    }
}

use Kind::{Counter, Gauge, Summary};
use Value::{Count, Real, Times, Usd};

/// All fields in the order in which STATS shows them.
pub const FIELDS: &[Field] = &[
    field("entries", Gauge, "Entries, those that have just expired among them", |f| Count(f.stats.holding.entries)),
    field("lookups", Counter, "Lookups", |f| Count(f.stats.counters.lookups)),
    field("hits", Counter, "Lookups that were answered", |f| Count(f.stats.counters.hits())),
    field("hits_exact", Counter, "Hits by the very same question", |f| Count(f.stats.counters.hits_exact)),
    field("hits_similar", Counter, "Hits by a similar question", |f| Count(f.stats.counters.hits_similar)),
    field("hits_stale", Counter, "Hits by an answer whose time was up", |f| Count(f.stats.counters.hits_stale)),
    field("misses", Counter, "Lookups that were not answered", |f| Count(f.stats.counters.misses())),
    field("miss_absent", Counter, "Misses because there was no answer", |f| Count(f.stats.counters.miss_absent)),
    field("miss_expired", Counter, "Misses because the answer had expired or was too old", |f| {
        Count(f.stats.counters.miss_expired)
    }),
    field("miss_threshold", Counter, "Misses because no question was similar enough", |f| {
        Count(f.stats.counters.miss_threshold)
    }),
    field("miss_guard", Counter, "Misses because a guard or feedback stopped a similar question", |f| {
        Count(f.stats.counters.miss_guard)
    }),
    field("hit_rate", Gauge, "Hits for each lookup, from 0 to 1", |f| Real(f.stats.counters.hit_rate()))
        .known_if(|f| f.stats.counters.lookups > 0),
    field("coalesced", Counter, "Hits that waited for somebody else's answer", |f| Count(f.stats.counters.coalesced)),
    field("stores", Counter, "Answers stored", |f| Count(f.stats.counters.stores)),
    field("skips", Counter, "Stores not made: nocache, or a condition that failed", |f| Count(f.stats.counters.skips)),
    field("evictions", Counter, "Entries that made room for others", |f| Count(f.stats.counters.evictions)),
    field("expirations", Counter, "Entries that expired and gave their memory back", |f| {
        Count(f.stats.counters.expirations)
    }),
    field("invalidations", Counter, "Entries that were invalidated", |f| Count(f.stats.counters.invalidations)),
    field("feedback_good", Counter, "Answers that were called good", |f| Count(f.stats.counters.feedback_good)),
    field("feedback_bad", Counter, "Answers that were called bad", |f| Count(f.stats.counters.feedback_bad)),
    field("tokens_saved_in", Counter, "Input tokens that hits saved", |f| Count(f.stats.counters.tokens_saved_in)),
    field("tokens_saved_out", Counter, "Output tokens that hits saved", |f| Count(f.stats.counters.tokens_saved_out)),
    field("tokens_saved", Counter, "Tokens that hits saved", |f| Count(f.stats.counters.tokens_saved())),
    field("cost_saved_usd", Counter, "US dollars that hits saved", |f| Usd(f.stats.counters.cost_saved())),
    field("cost_spent_usd", Counter, "US dollars that the stored answers have cost", |f| {
        Usd(f.stats.counters.cost_spent())
    }),
    field("estimated_share", Gauge, "Which part of the tokens saved was estimated, from 0 to 1", |f| {
        Real(f.stats.counters.estimated_share())
    })
    .known_if(|f| f.stats.counters.tokens_saved() > 0),
    field("latency_saved_ms", Counter, "Milliseconds of waiting for a model that hits saved", |f| {
        Count(f.stats.counters.latency_saved_ms)
    }),
    field("saving_per_day_usd", Gauge, "US dollars saved each day at this rate", |f| Usd(f.projection.per_day))
        .known_if(|f| f.projection.is_known),
    field("saving_per_month_usd", Gauge, "US dollars saved in 30 days at this rate", |f| Usd(f.projection.per_month))
        .known_if(|f| f.projection.is_known),
    field("saving_per_year_usd", Gauge, "US dollars saved in 365 days at this rate", |f| Usd(f.projection.per_year))
        .known_if(|f| f.projection.is_known),
    field("memory_cost_per_month_usd", Gauge, "US dollars that the memory costs in a month", |f| {
        Usd(f.projection.memory_per_month)
    }),
    field("roi", Gauge, "Saving per month for each dollar that the memory costs", |f| Real(f.projection.roi))
        .known_if(|f| f.projection.is_known && f.projection.memory_per_month > MicroUsd::ZERO),
    field("bytes_raw", Gauge, "Bytes of the answers as they came", |f| Count(f.stats.holding.bytes_raw)),
    field("bytes_stored", Gauge, "Bytes of the answers as they are stored", |f| Count(f.stats.holding.bytes_stored)),
    field("compression_saved", Gauge, "Which part of the answers' bytes compression saves, from 0 to 1", |f| {
        Real(f.stats.compression_saved())
    })
    .known_if(|f| f.stats.holding.bytes_raw > 0),
    field("memory_bytes", Gauge, "Bytes of memory behind it all", |f| Count(f.stats.holding.memory)),
    field("memory_per_1k_entries", Gauge, "Bytes of memory for a thousand entries", |f| {
        Count(f.stats.memory_per_1k_entries())
    })
    .known_if(|f| f.stats.holding.entries > 0),
    field("get_exact_us", Summary, "Microseconds of the server for a lookup by the very same question", |f| {
        Times(f.stats.percentiles(Work::GetExact))
    })
    .known_if(|f| f.stats.percentiles(Work::GetExact).count > 0),
    field("get_similar_us", Summary, "Microseconds of the server for a lookup among similar questions", |f| {
        Times(f.stats.percentiles(Work::GetSimilar))
    })
    .known_if(|f| f.stats.percentiles(Work::GetSimilar).count > 0),
    field("set_us", Summary, "Microseconds of the server for a store", |f| Times(f.stats.percentiles(Work::Set)))
        .known_if(|f| f.stats.percentiles(Work::Set).count > 0),
    field("fetch_us", Summary, "Microseconds of the server for a FETCH, without waiting for others", |f| {
        Times(f.stats.percentiles(Work::Fetch))
    })
    .known_if(|f| f.stats.percentiles(Work::Fetch).count > 0),
];

/// What a distribution is told by.
const PERCENTILES: [&str; 4] = ["p50", "p95", "p99", "max"];

/// One number of STATS: a field, or one of the numbers of a field that has several, as `set_us.p99`.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    field: &'static Field,
    part: Option<&'static str>,
}

impl Figure {
    /// All that there are.
    pub fn all() -> impl Iterator<Item = Self> {
        FIELDS.iter().flat_map(|field| {
            let parts = if field.kind == Summary { &PERCENTILES[..] } else { &[] };
            let whole = parts.is_empty().then_some(Self { field, part: None });
            whole.into_iter().chain(parts.iter().map(move |part| Self { field, part: Some(part) }))
        })
    }

    /// The figure of this name, whatever the case of its letters.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::all().find(|figure| name.eq_ignore_ascii_case(figure.name().as_bytes()))
    }

    /// Its name.
    pub fn name(self) -> String {
        self.part.map_or_else(|| self.field.name.to_owned(), |part| format!("{}.{part}", self.field.name))
    }

    /// Whether it is a time, which is known since the beginning alone.
    pub fn is_time(self) -> bool {
        self.part.is_some()
    }

    /// Whether it is a part of a whole, from 0 to 1.
    pub fn is_share(self) -> bool {
        ["hit_rate", "estimated_share", "compression_saved"].contains(&self.field.name)
    }
}

impl PartialEq for Figure {
    fn eq(&self, other: &Self) -> bool {
        (self.field.name, self.part) == (other.field.name, other.part)
    }
}

impl Figures {
    /// A figure as a number, where it has one.
    pub fn number(&self, figure: Figure) -> Option<f64> {
        let Figure { field, part } = figure;
        if !(field.is_known)(self) {
            return None;
        }
        Some(match ((field.value)(self), part) {
            (Count(count), _) => count as f64,
            (Real(real), _) => real,
            (Usd(usd), _) => usd.micros() as f64 / 1e6,
            (Times(times), Some("p50")) => times.p50,
            (Times(times), Some("p95")) => times.p95,
            (Times(times), Some("p99")) => times.p99,
            (Times(times), _) => times.max,
        })
    }
}

/// What was asked of STATS, beside whose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asked {
    /// Figures by name.
    pub by: Option<Dimension>,
    /// In the last so many seconds.
    pub window_s: Option<u64>,
}

impl Asked {
    /// When and at which price.
    pub fn scope(&self, now: UnixMs, gb_month: MicroUsd) -> Scope {
        Scope { now, window: self.window_s.map(|seconds| Window::last(seconds, now)), gb_month }
    }
}

/// The figures of one cache at one time, for those who ask for one after the other.
#[derive(Debug)]
pub struct Reading<'a> {
    cache: &'a Cache,
    now: UnixMs,
    gb_month: MicroUsd,
    read: Vec<(Option<u64>, Figures)>,
}

impl<'a> Reading<'a> {
    /// Those of this cache now, with memory at this price.
    pub fn new(cache: &'a Cache, now: UnixMs, gb_month: MicroUsd) -> Self {
        Self { cache, now, gb_month, read: Vec::new() }
    }

    /// A figure, in the last so many seconds where it counts what happens. None where it has no value at present: a share
    /// of nothing, a projection from less than a minute.
    pub fn figure(&mut self, figure: Figure, window_s: Option<u64>) -> Option<f64> {
        if !self.read.iter().any(|(window, _)| *window == window_s) {
            let scope = Asked { by: None, window_s }.scope(self.now, self.gb_month);
            let mut stats = Stats::default();
            stats.add(self.cache, self.cache.memory() as u64, &scope);
            self.read.push((window_s, Figures::new(stats, &scope)));
        }
        self.read.iter().find(|(window, _)| *window == window_s).and_then(|(_, figures)| figures.number(figure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_by_its_name() {
        let names: Vec<_> = Figure::all().map(Figure::name).collect();
        assert_eq!(names.len(), 37 + 4 * 4);
        for name in &names {
            let found = Figure::named(name.to_ascii_uppercase().as_bytes());
            assert_eq!(found.map(Figure::name).as_ref(), Some(name));
        }
        for name in
            ["", "hit", "alerts", "get_exact_us", "get_exact_us.p90", "hit_rate ", "lookups.p50", ".p50", "réussi"]
        {
            assert!(Figure::named(name.as_bytes()).is_none(), "{name}");
        }
        assert_eq!(Figure::all().filter(|figure| figure.is_share()).count(), 3);
    }

    #[test]
    fn a_rate_of_nothing_has_no_value_and_shows_zero() {
        let scope = Asked { by: None, window_s: None }.scope(UnixMs(0), MicroUsd::from_micros(1));
        let figures = Figures::new(Stats::default(), &scope);
        let without: Vec<_> =
            Figure::all().filter(|figure| figures.number(*figure).is_none()).map(Figure::name).collect();
        let (times, others): (Vec<_>, Vec<_>) = without.into_iter().partition(|name| name.contains("_us."));
        assert_eq!(times.len(), 16);
        let projected = ["saving_per_day_usd", "saving_per_month_usd", "saving_per_year_usd", "roi"];
        let of_entries = ["compression_saved", "memory_per_1k_entries"];
        assert_eq!(others, [&["hit_rate", "estimated_share"][..], &projected, &of_entries].concat());
        assert_eq!(Figure::named(b"lookups").and_then(|figure| figures.number(figure)), Some(0.0));
        for (field, value) in figures.fields() {
            let zero = match value {
                Count(n) => n == 0,
                Real(r) => r == 0.0,
                Usd(usd) => usd == MicroUsd::ZERO,
                Times(times) => times == Percentiles::default(),
            };
            assert!(zero, "{}", field.name);
        }
    }
}
