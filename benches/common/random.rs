//! Numbers that are the same in every run.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// From 0 to 1, without 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normally distributed around 0 (Box-Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    pub fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

/// What is asked: all equally often, or the one of rank r as often as r to the power of −s says.
pub enum Traffic {
    Uniform(usize),
    Zipf { by_rank: Vec<usize>, up_to: Vec<f64> },
}

impl Traffic {
    /// Ranks are given in a random order, so that they have nothing to do with the order of storing.
    pub fn zipf(count: usize, s: f64, seed: u64) -> Traffic {
        let mut sum = 0.0;
        let weights = (1..=count).map(|rank| (rank as f64).powf(-s));
        let up_to = weights.map(|weight| {
            sum += weight;
            sum
        });
        Traffic::Zipf { up_to: up_to.collect(), by_rank: Random::new(seed).shuffled(count) }
    }

    pub fn draw(&self, random: &mut Random) -> usize {
        match self {
            Traffic::Uniform(count) => random.below(*count),
            Traffic::Zipf { by_rank, up_to } => {
                let at = random.share() * up_to.last().expect("something to ask for");
                by_rank[up_to.partition_point(|sum| *sum <= at).min(by_rank.len() - 1)]
            }
        }
    }

    pub fn draws(&self, random: &mut Random, count: usize) -> Vec<usize> {
        (0..count).map(|_| self.draw(random)).collect()
    }
}
