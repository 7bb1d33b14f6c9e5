#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Dice that fall the same way for the same seed (splitmix64).
pub struct Rng(u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// Runs a test with each seed, or with the one that `LLMCACHE_SEED` names.
pub fn with_seeds(seeds: impl IntoIterator<Item = u64>, mut run: impl FnMut(u64, Rng)) {
    let seeds = match std::env::var("LLMCACHE_SEED") {
        Ok(seed) => vec![seed.parse().expect("LLMCACHE_SEED is a number")],
        Err(_) => seeds.into_iter().collect(),
    };
    for seed in seeds {
        println!("LLMCACHE_SEED={seed}");
        run(seed, Rng(seed));
    }
}
