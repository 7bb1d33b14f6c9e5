//! How long the server works on a command: a histogram for each kind of it.

use crate::core::memory;
use hdrhistogram::Histogram;
use std::time::Duration;

/// What the server was working on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A lookup of the very same prompt.
    GetExact,
    /// A lookup that compared prompts.
    GetSimilar,
    /// A store.
    Set,
    /// A FETCH, without the time that it waited for others.
    Fetch,
}

/// How many kinds of work there are.
pub const KINDS: usize = 4;

/// Shorter times are told apart by so many nanoseconds, longer ones to within 7 %; longer than the last is the last.
const LOWEST: u64 = 64;
const HIGHEST: u64 = 100_000_000_000;

/// What most work takes, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)] // named as STATS names them
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
    /// How many times were measured.
    pub count: u64,
    /// Their sum, in microseconds.
    pub sum: f64,
}

/// The times of one kind of work.
#[derive(Clone, Debug)]
struct Times {
    histogram: Histogram<u64>,
    /// The exact ones that a histogram does not keep, in nanoseconds.
    longest: u64,
    sum: u64,
}

/// The times of all kinds of work.
#[derive(Clone, Debug, Default)]
pub struct Latencies([Option<Box<Times>>; KINDS]);

impl Latencies {
    /// Bytes that the times of one kind of work take.
    pub const OF_ONE: usize = Times::memory();

    /// Whether times of this kind of work were noted so far. The first one takes memory.
    pub fn knows(&self, work: Work) -> bool {
        self.0.get(work as usize).is_some_and(Option::is_some)
    }

    /// Notes how long something took.
    pub fn note(&mut self, work: Work, took: Duration) {
        let Some(place) = self.0.get_mut(work as usize) else { return };
        if place.is_none() {
            *place = Times::new().map(Box::new);
        }
        let Some(times) = place else { return };
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        times.histogram.saturating_record(nanos);
        times.longest = times.longest.max(nanos);
        times.sum = times.sum.saturating_add(nanos);
    }

    /// Adds another cache's times to these.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            let Some(theirs) = theirs else { continue };
            match mine {
                None => *mine = Some(theirs.clone()),
                Some(mine) => {
                    // Both have the same bounds, so everything fits.
                    let _ = mine.histogram.add(&theirs.histogram);
                    mine.longest = mine.longest.max(theirs.longest);
                    mine.sum = mine.sum.saturating_add(theirs.sum);
                }
            }
        }
    }

    /// What one kind of work takes; all 0 where there was none.
    pub fn percentiles(&self, work: Work) -> Percentiles {
        let Some(times) = self.0.get(work as usize).and_then(Option::as_ref) else { return Percentiles::default() };
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        // The end of a step of the histogram may lie above the longest time there was.
        let at = |q: f64| micros(times.histogram.value_at_quantile(q).min(times.longest));
        let (p50, p95, p99) = (at(0.5), at(0.95), at(0.99));
        Percentiles { p50, p95, p99, max: micros(times.longest), count: times.histogram.len(), sum: micros(times.sum) }
    }

    /// Bytes behind it.
    pub fn memory(&self) -> usize {
        self.0.iter().flatten().count() * Times::memory()
    }
}

impl Times {
    fn new() -> Option<Self> {
        let histogram = Histogram::new_with_bounds(LOWEST, HIGHEST, 1).ok()?;
        Some(Self { histogram, longest: 0, sum: 0 })
    }

    /// Bytes of one: every histogram is as large as the bounds make it.
    const fn memory() -> usize {
        const STEPS: usize = 32 / 2 * (2 + (HIGHEST / (LOWEST * 32)).ilog2() as usize + 1);
        memory::allocated(size_of::<Self>()) + memory::of_vec::<u64>(STEPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_times() {
        let mut latencies = Latencies::default();
        for micros in 1..=1000 {
            latencies.note(Work::Set, Duration::from_micros(micros));
        }
        let told = latencies.percentiles(Work::Set);
        for (found, wanted) in [(told.p50, 500.0), (told.p95, 950.0), (told.p99, 990.0)] {
            assert!((found / wanted - 1.0).abs() < 0.07, "{found} for {wanted}");
        }
        assert_eq!((told.max, told.count, told.sum), (1000.0, 1000, 500_500.0));
        assert_eq!(latencies.percentiles(Work::Fetch), Percentiles::default());
    }

    #[test]
    fn percentiles_stand_in_their_order_and_end_with_the_longest() {
        let mut latencies = Latencies::default();
        for nanos in [0, 1, 63, 1501, 1501, 10, u64::MAX] {
            latencies.note(Work::GetExact, Duration::from_nanos(nanos));
            let told = latencies.percentiles(Work::GetExact);
            assert!(told.p50 <= told.p95 && told.p95 <= told.p99 && told.p99 <= told.max, "{told:?}");
        }
    }

    #[test]
    fn times_are_counted_as_memory() {
        let mut latencies = Latencies::default();
        assert!(!latencies.knows(Work::Set) && latencies.memory() == 0);
        latencies.note(Work::Set, Duration::from_micros(1));
        assert!(latencies.knows(Work::Set) && !latencies.knows(Work::Fetch));
        assert_eq!((latencies.memory(), latencies.percentiles(Work::Set).count), (Latencies::OF_ONE, 1));
        let steps = Times::new().map(|times| times.histogram.distinct_values()).unwrap_or_default();
        assert_eq!(memory::of_vec::<u64>(steps) + memory::allocated(size_of::<Times>()), Latencies::OF_ONE, "{steps}");
    }

    #[test]
    fn times_of_several_caches_are_one() {
        let (mut one, mut other) = (Latencies::default(), Latencies::default());
        one.note(Work::Set, Duration::from_micros(10));
        other.note(Work::Set, Duration::from_micros(30));
        other.note(Work::Fetch, Duration::from_micros(5));
        one.merge(&other);
        let (set, fetch) = (one.percentiles(Work::Set), one.percentiles(Work::Fetch));
        assert_eq!((set.count, set.max, set.sum), (2, 30.0, 40.0));
        assert_eq!((fetch.count, fetch.max), (1, 5.0));
    }
}
