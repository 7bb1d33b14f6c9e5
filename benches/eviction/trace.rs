//! What is asked in which order: traces made by dice, the same for the same seed.

/// Dice that fall the same way for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

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

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn chance(&mut self, part: f64) -> bool {
        self.unit() < part
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }
}

/// Ranks from 0 on, the first the likeliest: the probability falls with a power of the rank.
pub struct Zipf(Vec<f64>);

impl Zipf {
    pub fn new(n: usize, s: f64) -> Self {
        let mut sum = 0.0;
        Self((1..=n).map(|rank| (sum += (rank as f64).powf(-s), sum).1).collect())
    }

    pub fn draw(&self, dice: &mut Dice) -> usize {
        let at = dice.unit() * self.0[self.0.len() - 1];
        self.0.partition_point(|sum| *sum < at).min(self.0.len() - 1)
    }
}

/// A question, and what it takes to answer it.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    pub bytes: usize,
    pub micros: u64,
}

pub struct Trace {
    pub name: String,
    pub objects: Vec<Object>,
    pub asks: Vec<u32>,
}

/// Dollars per million tokens in and out of the models that are asked, and how often each is: a small, a middle and a large one.
const MODELS: [(f64, f64, f64); 3] = [(0.55, 0.15, 0.6), (0.35, 2.5, 10.0), (0.10, 15.0, 75.0)];

impl Trace {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), objects: Vec::new(), asks: Vec::new() }
    }

    /// A new question. Lengths of answers and prompts are log-normal, and a price goes with the model.
    fn object(&mut self, dice: &mut Dice) -> usize {
        let bytes = dice.log_normal(1500.0, 0.9).clamp(40.0, 40_000.0);
        let tokens_in = dice.log_normal(300.0, 1.0).clamp(10.0, 20_000.0);
        let mut at = dice.unit();
        let model = MODELS.iter().find(|(part, ..)| (at -= part, at < 0.0).1).unwrap_or(&MODELS[0]);
        let micros = tokens_in * model.1 + bytes / 4.0 * model.2;
        self.objects.push(Object { bytes: bytes as usize, micros: micros as u64 + 1 });
        self.objects.len() - 1
    }

    fn objects(&mut self, n: usize, dice: &mut Dice) -> Vec<usize> {
        (0..n).map(|_| self.object(dice)).collect()
    }

    fn ask(&mut self, object: usize) {
        self.asks.push(object as u32);
    }
}

/// Independent draws.
fn zipf(s: f64, n: usize, seed: u64) -> Trace {
    let (mut dice, mut trace) = (Dice::new(seed), Trace::new(&format!("Zipf {s}")));
    let all = trace.objects(n / 5, &mut dice);
    let zipf = Zipf::new(all.len(), s);
    (0..n).for_each(|_| trace.ask(all[zipf.draw(&mut dice)]));
    trace
}

/// Between the draws, now and then, thousands of questions that nobody asks again.
fn scans(n: usize, seed: u64) -> Trace {
    let (mut dice, mut trace) = (Dice::new(seed), Trace::new("Zipf 1 and scans"));
    let all = trace.objects(n / 10, &mut dice);
    let zipf = Zipf::new(all.len(), 1.0);
    while trace.asks.len() < n {
        (0..n / 20).for_each(|_| trace.ask(all[zipf.draw(&mut dice)]));
        for _ in 0..n / 30 {
            let once = trace.object(&mut dice);
            trace.ask(once);
        }
    }
    trace.asks.truncate(n);
    trace
}

/// What is popular changes: every so often a third of the ranks goes to other questions.
fn shifting(n: usize, seed: u64) -> Trace {
    let (mut dice, mut trace) = (Dice::new(seed), Trace::new("shifting"));
    let mut all = trace.objects(n / 20, &mut dice);
    let zipf = Zipf::new(all.len(), 1.0);
    for i in 0..n {
        if i.is_multiple_of(n / 15) {
            for place in &mut all {
                if dice.chance(0.33) {
                    *place = trace.object(&mut dice);
                }
            }
        }
        trace.ask(all[zipf.draw(&mut dice)]);
    }
    trace
}

/// The same questions in the same order, again and again: what no order of use can keep.
fn loops(n: usize, seed: u64) -> Trace {
    let (mut dice, mut trace) = (Dice::new(seed), Trace::new("loops"));
    let circle = trace.objects(n / 15, &mut dice);
    let others = trace.objects(n / 15, &mut dice);
    let zipf = Zipf::new(others.len(), 0.9);
    let mut at = 0;
    for _ in 0..n {
        if dice.chance(0.7) {
            trace.ask(circle[at % circle.len()]);
            at += 1;
        } else {
            trace.ask(others[zipf.draw(&mut dice)]);
        }
    }
    trace
}

/// Ten days of people: few at night and many at noon. A third of what they ask is asked once in all. The rest are common
/// questions, of which some come up every day and are forgotten again; follow-ups, which a session repeats soon; and bursts, when
/// everyone asks the same for a while.
fn people(n: usize, seed: u64) -> Trace {
    let (mut dice, mut trace) = (Dice::new(seed), Trace::new("people"));
    let mut common = trace.objects(n / 12, &mut dice);
    let zipf = Zipf::new(common.len(), 0.95);
    let (mut sessions, mut burst) = (vec![0; 40], 0);
    let mut minute = 0_usize;
    while trace.asks.len() < n {
        minute += 1;
        if minute.is_multiple_of(24 * 60) {
            for place in &mut common {
                if dice.chance(0.08) {
                    *place = trace.object(&mut dice);
                }
            }
        }
        let hour = (minute / 60 % 24) as f64;
        let busy = 1.0 + 0.85 * ((hour - 14.0) / 24.0 * std::f64::consts::TAU).cos();
        if dice.chance(0.004) {
            burst = trace.object(&mut dice);
        }
        let bursting = minute % 400 < 30;
        for _ in 0..(busy * n as f64 / (10.0 * 24.0 * 60.0)).round() as usize {
            let session = dice.below(sessions.len());
            let object = match dice.unit() {
                part if part < 0.36 => trace.object(&mut dice),
                part if part < 0.46 => sessions[session],
                part if part < 0.56 && bursting => burst,
                _ => common[zipf.draw(&mut dice)],
            };
            sessions[session] = object;
            trace.ask(object);
        }
    }
    trace.asks.truncate(n);
    trace
}

/// All traces of about so many questions.
pub fn all(n: usize, seed: u64) -> Vec<Trace> {
    vec![
        zipf(0.8, n, seed),
        zipf(1.0, n, seed + 1),
        zipf(1.2, n, seed + 2),
        scans(n, seed + 3),
        shifting(n, seed + 4),
        loops(n, seed + 5),
        people(n, seed + 6),
    ]
}
