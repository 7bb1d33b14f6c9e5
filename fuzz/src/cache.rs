//! Steps of a cache beside its naive twin: a byte of settings, then what the dice of the generator of steps show. Behind
//! each step both say the same and hold the same, and the cache is valid.

use super::model::{same, Twin};
use super::ops::{Bench, Dice};
use super::support::Rng;
use super::Target;
use llmcache::core::cache::Cache;
use llmcache::core::policy::{Compress, Evict, Policy};

pub const TARGET: Target = Target { name: "cache", run, corpus, words: &[] };

/// More make a run slow and find no more.
const MOST_STEPS: usize = 500;

/// Whether a step was made.
pub fn run(data: &[u8]) -> bool {
    let Some((settings, chosen)) = data.split_first() else { return false };
    // The questions and answers are always the same few.
    let mut dice = Dice::new(Rng::new(u64::from(settings >> 4)), 12);
    dice.rng = Rng::of_bytes(chosen);
    dice.limits = settings & 1 == 0;
    dice.compression = settings & 2 == 0;
    dice.clock_goes_back = settings & 4 == 0;
    let mut policy = Policy::default();
    if dice.compression {
        policy.evict = Evict::Lfu;
    } else {
        policy.compress = Compress::None;
    }
    let mut bench = Bench::new(Cache::with_policy(policy.clone()));
    let mut twin = Twin::new(policy, !dice.compression);
    let mut steps = 0;
    while !dice.rng.is_over() && steps < MOST_STEPS {
        let op = dice.roll(bench.cache.memory(), bench.now.0);
        let (said, effects) = bench.apply(&op);
        let expected = twin.apply(&op, bench.now, &bench.cache, &said, &effects);
        assert_eq!((said, effects), expected, "step {steps}, {op:?}");
        same(&bench.cache, &twin, &mut bench.codec).unwrap_or_else(|why| panic!("{why}\nstep {steps}, {op:?}"));
        steps += 1;
    }
    steps > 0
}

fn corpus(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut input = |settings: u8| {
        let chosen = (0..600).map(|_| rng.next() as u8);
        [settings].into_iter().chain(chosen).collect()
    };
    (0..8).map(|settings| input(settings << 5 | settings)).collect()
}
