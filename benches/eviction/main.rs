//! Who should go? The policies of `EVICT` on traces, beside what nobody can beat who knows the future.
//!
//! `make bench-eviction`, or `cargo bench --no-default-features --bench eviction -- [options]`:
//!
//! ```text
//! --asks N    questions of a trace (200,000)
//! --seed N    of the dice that make the traces (1)
//! --quick     30,000 questions: a first look
//! ```
//!
//! No server: the cache itself is asked, and what it does not know is stored, as a client would. Each trace is played with
//! room for 1, 5 and 20 percent of all that is asked in it: once by `MAXMEMORY`, to see what is saved, and once by
//! `MAXENTRIES`, to see how many hits there are where all entries count alike. It prints Markdown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bounds;
mod trace;

use llmcache::core::cache::{Cache, Got, Terms};
use llmcache::core::codec::Codec;
use llmcache::core::eviction::Pressure;
use llmcache::core::identity::{Context, Identity, Shape};
use llmcache::core::money::MicroUsd;
use llmcache::core::policy::{Compress, Evict, Policy};
use llmcache::core::storing::{Answer, Condition, Lifetime};
use llmcache::core::time::UnixMs;
use std::time::Instant;
use trace::{Dice, Trace};

const START: u64 = 1_750_000_000_000;
const POLICIES: [Evict; 4] = [Evict::Lru, Evict::Ttl, Evict::Lfu, Evict::Cost];
const SIZES: [f64; 3] = [0.01, 0.05, 0.20];

fn main() {
    let (mut asks, mut seed) = (200_000, 1);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|number| number.parse().ok()).expect("a number behind the option");
        match word.as_str() {
            "--asks" => asks = number(),
            "--seed" => seed = number() as u64,
            "--quick" => asks = 30_000,
            "--bench" => {} // cargo's own
            _ => {
                eprintln!("unknown option '{word}'; the head of benches/eviction/main.rs lists them");
                std::process::exit(2);
            }
        }
    }
    let began = Instant::now();
    let (mut saved, mut hits, mut steps) = (Vec::new(), Vec::new(), 0);
    for trace in trace::all(asks, seed) {
        let stage = Stage::new(&trace);
        for size in SIZES {
            let (memory, entries) = (stage.part(size), (stage.different as f64 * size) as usize);
            let by_memory = POLICIES.map(|evict| stage.play(Policy { evict, max_memory: memory as u64, ..raw() }));
            let by_entries = POLICIES.map(|evict| stage.play(Policy { evict, max_entries: entries as u64, ..raw() }));
            steps += 8 * trace.asks.len();
            let bound = bounds::most_saved(&trace, &stage.bytes, memory);
            assert!(by_memory.iter().all(|played| played.saved <= bound), "a bound is one");
            saved.push(row(&trace, size, by_memory.map(|played| played.saved), bound));
            let bound = bounds::most_hits(&trace, entries);
            assert!(by_entries.iter().all(|played| played.hits <= bound), "a bound is one");
            hits.push(row(&trace, size, by_entries.map(|played| played.hits), bound));
        }
    }
    println!("{asks} questions each, --seed {seed}.\n");
    table(
        "What is saved of all costs, in percent, with room for a part of all bytes (`MAXMEMORY`)",
        "no cache can",
        &saved,
    );
    table("Hits, in percent, with room for a part of all entries (`MAXENTRIES`)", "MIN", &hits);
    let each = began.elapsed().as_nanos() / steps as u128;
    println!(
        "{steps} questions in {:.0} s, {each} ns each with all that is around them.",
        began.elapsed().as_secs_f64()
    );
}

type Row = (String, [f64; 5]);

fn row(trace: &Trace, size: f64, played: [f64; 4], bound: f64) -> Row {
    let [a, b, c, d] = played;
    (format!("{} | {:.0} %", trace.name, size * 100.0), [a, b, c, d, bound])
}

fn table(title: &str, bound: &str, rows: &[Row]) {
    let names = POLICIES.map(Evict::name).join(" | ");
    println!("{title}:\n\n| trace | room | {names} | {bound} |\n|---|---|---|---|---|---|---|");
    let line = |name: &str, figures: [f64; 5]| {
        let best = figures[..4].iter().copied().fold(0.0, f64::max);
        let told = figures.map(|figure| match format!("{:.1}", figure * 100.0) {
            text if figure == best => format!("**{text}**"),
            text => text,
        });
        println!("| {name} | {} |", told.join(" | "));
    };
    rows.iter().for_each(|(name, figures)| line(name, *figures));
    let mean = [0, 1, 2, 3, 4].map(|at| rows.iter().map(|(_, figures)| figures[at]).sum::<f64>() / rows.len() as f64);
    line("mean | ", mean);
    println!();
}

fn raw() -> Policy {
    Policy { compress: Compress::None, ..Policy::default() }
}

/// A trace with all that is needed to play it.
struct Stage<'a> {
    trace: &'a Trace,
    prompts: Vec<String>,
    noise: Vec<u8>,
    /// What each entry takes.
    bytes: Vec<usize>,
    /// How many different questions are asked.
    different: usize,
    all: usize,
}

struct Played {
    hits: f64,
    saved: f64,
}

impl<'a> Stage<'a> {
    fn new(trace: &'a Trace) -> Self {
        let mut dice = Dice::new(7);
        let noise = (0..40_000).map(|_| dice.next() as u8).collect();
        let prompts = (0..trace.objects.len()).map(|i| format!("What is the answer to question {i:08}?")).collect();
        let mut stage = Self { trace, prompts, noise, bytes: Vec::new(), different: 0, all: 0 };
        let mut one = Cache::with_policy(Policy { max_entries: 1, ..raw() });
        let mut codec = Codec::new();
        for object in 0..trace.objects.len() {
            stage.set(&mut one, object, UnixMs(START), &mut codec);
            stage.bytes.push(one.store().entries_memory());
        }
        let mut asked = vec![false; trace.objects.len()];
        trace.asks.iter().for_each(|object| asked[*object as usize] = true);
        stage.different = asked.iter().filter(|asked| **asked).count();
        stage.all = stage.bytes.iter().zip(asked).filter(|(_, asked)| *asked).map(|(bytes, _)| bytes).sum();
        stage
    }

    fn part(&self, size: f64) -> usize {
        (self.all as f64 * size) as usize
    }

    fn identity(&self, object: usize) -> Identity<'_> {
        let context = Context { shape: Shape::Plain, scope: b"", model: b"m", system: b"", params: b"" };
        Identity { context, prompt: self.prompts[object].as_bytes() }
    }

    fn set(&self, cache: &mut Cache, object: usize, now: UnixMs, codec: &mut Codec) {
        const DAY_MS: u64 = 86_400_000;
        let identity = self.identity(object);
        let answer = Answer {
            digest: identity.digest(),
            identity,
            response: &self.noise[..self.trace.objects[object].bytes],
            condition: Condition::Always,
            // All live longer than the trace lasts, and some longer than others.
            lifetime: Lifetime::After((object as u64 * 7919 % 29 + 1) * DAY_MS),
            stale_ms: None,
            typ: None,
            tags: Vec::new(),
            tokens: None,
            usage: None,
            cost: Some(MicroUsd::from_micros(self.trace.objects[object].micros)),
            latency_ms: 0,
            meta: None,
            temperature_above_one: false,
            comparable: true,
            vector: None,
        };
        cache.set(&answer, now, Pressure::None, codec).unwrap();
    }

    /// Asks a cache all of it.
    fn play(&self, policy: Policy) -> Played {
        let (mut cache, mut codec, terms) = (Cache::with_policy(policy), Codec::new(), Terms::default());
        let (mut hits, mut saved, mut all) = (0, 0, 0);
        for (at, object) in (0..).zip(self.trace.asks.iter().map(|object| *object as usize)) {
            let (now, micros) = (UnixMs(START + at * 50), self.trace.objects[object].micros);
            all += micros;
            match cache.get(&self.identity(object), &terms, now, &mut codec).unwrap() {
                Got::Hit { .. } => (hits, saved) = (hits + 1, saved + micros),
                _ => self.set(&mut cache, object, now, &mut codec),
            }
        }
        assert_eq!(cache.ledger().counters().hits_exact, hits);
        cache.validate().unwrap();
        Played { hits: hits as f64 / self.trace.asks.len() as f64, saved: saved as f64 / all as f64 }
    }
}
