//! What is left of a cache in which something broke.
//!
//! A command that panics may leave tables that do not agree with each other. Entries are the truth; everything else can be
//! made of them, as when a file is read. So a broken cache is written and read again, in memory, each part and each entry by
//! itself: one that cannot be written is left out.

use super::cache::Cache;
use super::identity::Identity;
use super::persist::{self, Source};
use super::wire::WireError;
use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// What would be a file.
#[derive(Default)]
struct Records {
    numbers: VecDeque<u64>,
    records: VecDeque<Vec<u8>>,
}

impl Source for Records {
    fn number(&mut self) -> Result<u64, WireError> {
        self.numbers.pop_front().ok_or(WireError::Source)
    }

    fn record(&mut self) -> Result<impl AsRef<[u8]>, WireError> {
        self.records.pop_front().ok_or(WireError::Source)
    }
}

impl Records {
    fn list(&mut self, records: Vec<Vec<u8>>) {
        self.numbers.push_back(records.len() as u64);
        self.records.extend(records);
    }
}

fn attempt<T>(work: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok().flatten()
}

/// Whether a cache agrees with itself. Its limits are not looked at: a replica keeps none.
pub fn is_whole(cache: &Cache) -> bool {
    attempt(|| cache.agrees().ok()).is_some()
}

/// Makes a cache whole again.
pub fn mend(broken: &Cache) -> Cache {
    let read = |mut records: Records| attempt(|| persist::load(&mut records).ok()).filter(is_whole);
    let whole = read(salvage(broken, true)).or_else(|| read(salvage(broken, false)));
    // What a thread still brings back belongs to answers of before, and no number may come again.
    Cache { versions: broken.versions, ..whole.unwrap_or_default() }
}

type Write = fn(&Cache) -> Vec<u8>;
type Read = fn(&mut Cache, &[u8]) -> Result<(), WireError>;

/// Writes what can be written of a cache, with its entries or without. What cannot be is as in a new one.
fn salvage(broken: &Cache, entries: bool) -> Records {
    let (mut records, mut scratch) = (Records::default(), Cache::default());
    records.numbers.push_back(persist::FORMAT);
    let parts: [(Write, Read); 3] = [
        (Cache::policy_record, Cache::read_policy),
        (Cache::counters_record, Cache::read_counters),
        (Cache::feedback_record, Cache::read_feedback),
    ];
    for (write, read) in parts {
        let made = attempt(|| Some(write(broken))).filter(|made| attempt(|| read(&mut scratch, made).ok()).is_some());
        records.records.push_back(made.unwrap_or_else(|| write(&Cache::default())));
    }
    let names = attempt(|| Some(broken.plans().list().map(|(name, _)| name.to_vec()).collect::<Vec<_>>()));
    let plan = |name: Vec<u8>| attempt(|| broken.plan_record(&name));
    let plans = names.unwrap_or_default().into_iter().filter_map(plan);
    records.list(plans.filter(|plan| attempt(|| scratch.read_plan(plan).ok()).is_some()).collect());
    let alerts = attempt(|| Some(broken.alerts_record()));
    let alerts = alerts.filter(|alerts| attempt(|| scratch.read_alerts(alerts).ok()).is_some());
    records.records.push_back(alerts.unwrap_or_else(|| Cache::default().alerts_record()));
    let (dictionaries, places) = attempt(|| Some(persist::dictionaries(broken))).unwrap_or_default();
    records.list(dictionaries);
    let (mut contexts, mut known, mut seen) = (Vec::new(), HashMap::new(), HashSet::new());
    let mut kept = Vec::new();
    let slots = attempt(|| Some(broken.store.by_recency().collect::<Vec<_>>())).filter(|_| entries);
    for slot in slots.unwrap_or_default() {
        let entry = attempt(|| {
            let view = broken.store.view(slot)?;
            // It must never come under another context than the one it was stored for.
            let identity = Identity { context: view.context(), prompt: view.prompt() };
            if identity.digest().id() != view.id() {
                return None;
            }
            let symbol = view.entry.context;
            let context = *known.entry(symbol).or_insert_with(|| {
                contexts.push(persist::context_record(&view.context()));
                contexts.len() as u32 - 1
            });
            let place = view.packed().dictionary();
            let named = place.and_then(|place| places.get(usize::from(place)).copied().flatten());
            if place.is_some() != named.is_some() || !seen.insert(view.id()) {
                return None;
            }
            Some(persist::entry_record(&view, context, view.packed(), named))
        });
        kept.extend(entry);
    }
    records.list(contexts);
    records.list(kept);
    records
}
