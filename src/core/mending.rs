//! What is left of a cache in which something broke.
//!
//! A command that panics may leave tables that do not agree with each other. Entries are the truth; everything else can be
//! made of them, as when a file is read. So a broken cache is written and read again, in memory. If that breaks as well, the
//! entries are given up, and if need be the policy.

use super::cache::Cache;
use super::persist::{self, Sink, Source};
use super::wire::WireError;
use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// What would be a file.
#[derive(Default)]
struct Records {
    numbers: VecDeque<u64>,
    records: VecDeque<Vec<u8>>,
}

impl Sink for Records {
    fn number(&mut self, number: u64) {
        self.numbers.push_back(number);
    }

    fn record(&mut self, record: &[u8]) {
        self.records.push_back(record.to_vec());
    }
}

impl Source for Records {
    fn number(&mut self) -> Result<u64, WireError> {
        self.numbers.pop_front().ok_or(WireError::Source)
    }

    fn record(&mut self) -> Result<impl AsRef<[u8]>, WireError> {
        self.records.pop_front().ok_or(WireError::Source)
    }
}

/// Whether a cache agrees with itself.
pub fn is_whole(cache: &Cache) -> bool {
    catch_unwind(AssertUnwindSafe(|| cache.validate().is_ok())).unwrap_or(false)
}

/// Makes a cache whole again.
pub fn mend(broken: &Cache) -> Cache {
    let copy = || {
        let mut records = Records::default();
        persist::save(broken, &mut records);
        persist::load(&mut records).ok()
    };
    let empty = || {
        let policed = Cache::with_policy(broken.policy().clone());
        Some(Cache { strategies: broken.strategies().clone(), ..policed })
    };
    let attempt = |make: &dyn Fn() -> Option<Cache>| {
        let made = catch_unwind(AssertUnwindSafe(make)).ok().flatten();
        made.filter(|cache| catch_unwind(AssertUnwindSafe(|| cache.store().validate().is_ok())).unwrap_or(false))
    };
    let whole = attempt(&copy).or_else(|| attempt(&empty)).unwrap_or_default();
    // What a thread still brings back belongs to answers of before, and no number may come again.
    Cache { versions: broken.versions, ..whole }
}
