//! Dice, and vectors of all kinds.

/// Dice that fall the same way for the same seed (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// From -1 to 1.
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// A vector of one of many kinds: even, decaying, with few dimensions, with one that outdoes all others, or of ones.
    pub fn vector(&mut self, dim: usize) -> Vec<f32> {
        let kind = self.below(6);
        let size = 10f32.powi(self.below(9) as i32 - 4);
        let mut vector: Vec<f32> = (0..dim)
            .map(|at| {
                size * match kind {
                    0 | 1 => self.float(),
                    2 => self.float() / ((at + 3) as f32).powf(0.6),
                    3 if self.chance(90) => 0.0,
                    4 => self.float() * 0.01,
                    5 => [-1.0, 1.0][self.below(2)],
                    _ => self.float(),
                }
            })
            .collect();
        let outstanding = self.below(dim);
        if kind == 4 || vector.iter().all(|&value| value == 0.0) {
            vector[outstanding] = size;
        }
        vector
    }
}

/// Runs a test with many seeds, or with the one that is asked for.
pub fn with_seeds(seeds: std::ops::Range<u64>, mut run: impl FnMut(&mut Rng)) {
    let asked = std::env::var("LLMCACHE_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in asked.map_or(seeds, |seed| seed..seed + 1) {
        println!("LLMCACHE_SEED={seed}");
        run(&mut Rng(seed));
    }
}
