//! Random runs of a cache beside its naive twin: after each step both say the same, hold the same, and have done the
//! same to others.

use super::model::{same, Twin};
use super::ops::{apply, Dice, Op, Said};
use super::support::{loaded, saved, with_seeds, Rng, START};
use llmcache::core::cache::Cache;
use llmcache::core::codec::Codec;
use llmcache::core::time::UnixMs;
use std::collections::HashMap;

fn run(seed: u64, rng: Rng, asks: usize, steps: usize) -> HashMap<String, u64> {
    let mut dice = Dice::new(rng, asks);
    let mut codec = Codec::new();
    let mut cache = Cache::default();
    let mut twin = Twin::new(cache.policy().clone());
    let mut now = UnixMs(START);
    let mut happened = HashMap::new();
    for step in 0..steps {
        let op = dice.roll(cache.memory(), now.0);
        let (said, effects) = apply(&mut cache, &op, now, &mut codec);
        match op {
            Op::Clock(by) => now = UnixMs(now.0.saturating_add_signed(by)),
            Op::Reload => cache = loaded(&saved(&cache), now).unwrap(),
            _ => {}
        }
        let expected = twin.apply(&op, now, &cache);
        let place = || format!("LLMCACHE_SEED={seed}, step {step}, {op:?}");
        assert_eq!((&said, &effects), (&expected.0, &expected.1), "{}", place());
        if let Err(why) = same(&cache, &twin, &mut codec) {
            panic!("{why}\n{}", place());
        }
        let kind = match said {
            Said::Put(result) => format!("{result:?}"),
            Said::Hit { stale, .. } => format!("Hit stale={stale}"),
            said => format!("{said:?}").split('(').next().unwrap_or_default().to_owned(),
        };
        *happened.entry(kind).or_insert(0) += 1;
        for (what, n) in [("evicted", effects.evicted.len() as u64), ("expired", effects.expired)] {
            *happened.entry(what.to_owned()).or_insert(0) += n;
        }
    }
    happened
}

/// A run that never meets a hit, an eviction or a refusal says nothing, so these are counted as well.
#[test]
fn a_cache_is_its_naive_twin() {
    let mut happened: HashMap<String, u64> = HashMap::new();
    with_seeds(1..=10, |seed, rng| {
        for (kind, n) in run(seed, rng, 30, 2000) {
            *happened.entry(kind).or_insert(0) += n;
        }
    });
    println!("{happened:#?}");
    if std::env::var("LLMCACHE_SEED").is_ok() {
        return;
    }
    let kinds = [
        "Ok(Stored)", "Ok(ConditionFailed)", "Ok(NoCache)", "Ok(TooLarge)", "Ok(AlreadyOver)", "Err(UnknownStrategy)",
        "Err(OutOfMemory)", "Hit stale=false", "Hit stale=true", "Miss", "NotModified", "evicted", "expired",
    ];
    for kind in kinds {
        assert!(happened.get(kind).copied().unwrap_or(0) >= 20, "{kind} hardly ever happened: {happened:#?}");
    }
}

#[test]
fn a_larger_cache_is_its_naive_twin_too() {
    with_seeds(100..=101, |seed, rng| {
        run(seed, rng, 200, 1000);
    });
}
