//! Random runs of a cache beside its naive twin: after each step both say the same, hold the same, and have done the
//! same to others.

use super::model::{same, Twin};
use super::ops::{Bench, Dice, Said};
use super::support::{with_seeds, Rng};
use llmcache::core::cache::Cache;
use llmcache::core::policy::{Compress, Evict, Policy};
use std::collections::HashMap;

fn run(seed: u64, rng: Rng, asks: usize, steps: usize) -> HashMap<String, u64> {
    play(seed, Dice::new(rng, asks), steps)
}

fn play(seed: u64, mut dice: Dice, steps: usize) -> HashMap<String, u64> {
    // Without limits there is more to find; without compression the twin knows the size of everything beforehand.
    dice.limits = !seed.is_multiple_of(3);
    dice.compression = !seed.is_multiple_of(2);
    let mut policy = Policy::default();
    if dice.compression {
        policy.evict = Evict::Lfu;
    } else {
        policy.compress = Compress::None;
    }
    let mut bench = Bench::new(Cache::with_policy(policy.clone()));
    let mut twin = Twin::new(policy, !dice.compression);
    let mut happened = HashMap::new();
    for step in 0..steps {
        let op = dice.roll(bench.cache.memory(), bench.now.0);
        let (said, effects) = bench.apply(&op);
        let expected = twin.apply(&op, bench.now, &bench.cache, &said, &effects);
        let place = || format!("LLMCACHE_SEED={seed}, step {step}, {op:?}");
        assert_eq!((&said, &effects), (&expected.0, &expected.1), "{}", place());
        if let Err(why) = same(&bench.cache, &twin, &mut bench.codec) {
            panic!("{why}\n{}", place());
        }
        let kind = match said {
            Said::Put(result) => format!("{result:?}"),
            Said::Hit { stale, .. } => format!("Hit stale={stale}"),
            said => format!("{said:?}").split('(').next().unwrap_or_default().to_owned(),
        };
        let dictionaries = bench.cache.store().dictionaries().len() as u64;
        *happened.entry("dictionaries".to_owned()).or_insert(0) += dictionaries;
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
        "Ok(Stored)",
        "Ok(ConditionFailed)",
        "Ok(NoCache)",
        "Ok(TooLarge)",
        "Ok(AlreadyOver)",
        "Err(UnknownStrategy)",
        "Err(OutOfMemory)",
        "Hit stale=false",
        "Hit stale=true",
        "Miss",
        "NotModified",
        "evicted",
        "expired",
    ];
    for kind in kinds {
        assert!(happened.get(kind).copied().unwrap_or(0) >= 5, "{kind} hardly ever happened: {happened:#?}");
    }
}

/// Large enough for dictionaries, of answers that are alike but not the same.
#[test]
fn a_cache_with_dictionaries_is_its_naive_twin_too() {
    let mut happened = 0;
    with_seeds([1000, 1001], |seed, rng| {
        let mut dice = Dice::new(rng, 700);
        dice.make_responses_alike(900);
        happened += play(if seed == 1000 { 3001 } else { 3003 }, dice, 1600)["dictionaries"];
    });
    println!("{happened} dictionaries met");
    assert!(happened > 200 || std::env::var("LLMCACHE_SEED").is_ok(), "{happened}");
}

#[test]
fn a_larger_cache_is_its_naive_twin_too() {
    with_seeds(100..=101, |seed, rng| {
        run(seed, rng, 200, 1000);
    });
}
