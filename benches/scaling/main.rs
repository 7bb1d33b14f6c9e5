//! How a cache does as it grows, beside as many plain strings in the same server.
//!
//! `make bench-scaling`, or `cargo bench --no-default-features --features e2e --bench scaling -- [options]`:
//!
//! ```text
//! --sizes A,B,…   entries (1000,10000,100000,1000000)
//! --similar N     similar lookups up to this size, 0 for none (100,000; indexing a million takes minutes)
//! --answer N      bytes of each answer, about (300)
//! --rounds N      rounds of GETs, each a plain and a cache half in alternating order; made even (10)
//! --calls N       GETs per half (40,000)
//! --lookups N     similar lookups (2,000)
//! --clients N     connections (8)
//! --data DIR      folder with distil/corpus.txt.gz (LLMCACHE_DATA, else ../shared/data); without it, sentences are made up
//! --server PATH   another server (LLMCACHE_REDIS_SERVER, else redis-server)
//! --quick         1,000 and 10,000 entries, 4 rounds of 10,000 GETs, 500 similar lookups: a look, no measurement
//! ```
//!
//! Prompts are real ones of some 50 bytes, where there are more entries than those two in one; answers are made of common
//! words by a seeded generator. Both sides are filled by turns, 2,000 entries at a time and 16 in a pipeline; what a store
//! takes is what these portions took, and the next one waits until the server is idle. *Bytes an entry* are `memory_bytes`
//! of the cache, and for plain strings what else `used_memory` has grown by.
//!
//! GETs are uniform over all entries: the larger the cache, the fewer of them find their entry in the processor's caches, on
//! both sides. A similar lookup is one client's, for a stored prompt with a word left out and one that was added; `PING`
//! tells what of it is the connection.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;

use common::answers::{key_of, sentences};
use common::args::Args;
use common::figures::{at_share, median, whole, Spread, Table};
use common::load::{Load, Trip};
use common::prompts::varied;
use common::random::Random;
use common::watch::{rest, settle, used_memory, Size};
use common::{data, prompts, setting};
use harness::{args, cmd, encode, Client};
use std::time::{Duration, Instant};

const CACHE: &str = "faq";
const TTL: &str = "86400";
const PORTION: usize = 2_000;

struct Options {
    sizes: Vec<usize>,
    similar: usize,
    answer: usize,
    rounds: usize,
    calls: usize,
    lookups: usize,
    clients: usize,
    data: Option<String>,
    server: Option<String>,
}

impl Options {
    fn read() -> Options {
        let mut options = Options {
            sizes: vec![1_000, 10_000, 100_000, 1_000_000],
            similar: 100_000,
            answer: 300,
            rounds: 10,
            calls: 40_000,
            lookups: 2_000,
            clients: 8,
            data: None,
            server: None,
        };
        let mut args = Args::of("scaling");
        while let Some(option) = args.option() {
            match option.as_str() {
                "--sizes" => options.sizes = args.counts(),
                "--similar" => options.similar = args.number(),
                "--answer" => options.answer = args.count(),
                "--rounds" => options.rounds = args.count(),
                "--calls" => options.calls = args.count(),
                "--lookups" => options.lookups = args.count(),
                "--clients" => options.clients = args.count(),
                "--data" => options.data = Some(args.word()),
                "--server" => options.server = Some(args.word()),
                "--quick" => {
                    options.sizes = vec![1_000, 10_000];
                    (options.rounds, options.calls, options.lookups) = (4, 10_000, 500);
                }
                _ => args.unknown(),
            }
        }
        options.rounds += options.rounds % 2;
        options
    }
}

struct Bench {
    options: Options,
    control: Client,
    load: Load,
    exact: Table,
    store: Table,
    similar: Table,
}

/// The two sides: plain strings and the cache.
const SIDES: [usize; 2] = [0, 1];

fn set(side: usize, prompt: &str, answer: &str) -> Vec<u8> {
    encode(&match side {
        0 => args!["SET", key_of(prompt.as_bytes()), answer, "EX", TTL],
        _ => args!["LLMCACHE.SET", CACHE, prompt, answer, "EX", TTL],
    })
}

fn get(side: usize, prompt: &str) -> Vec<u8> {
    encode(&match side {
        0 => args!["GET", key_of(prompt.as_bytes())],
        _ => args!["LLMCACHE.GET", CACHE, prompt],
    })
}

impl Bench {
    fn measure(&mut self, prompts: &[String]) {
        cmd!(self.control, "FLUSHALL", "SYNC").ok();
        settle(&mut self.control);
        let size = whole(prompts.len() as f64);
        self.fill(prompts, &size);
        for pipeline in [1, 16] {
            self.gets(prompts, &size, pipeline);
        }
        if prompts.len() <= self.options.similar {
            self.lookups(prompts, &size);
        }
        eprintln!("  {size} entries: done");
    }

    fn fill(&mut self, prompts: &[String], size: &str) {
        let mut random = Random::new(31);
        let (mut rates, mut took) = ([Vec::new(), Vec::new()], [0.0; 2]);
        let before = used_memory(&mut self.control);
        for (turn, portion) in prompts.chunks(PORTION).enumerate() {
            let answers: Vec<String> = portion.iter().map(|_| sentences(&mut random, self.options.answer)).collect();
            for side in if turn % 2 == 0 { [0, 1] } else { [1, 0] } {
                let sets: Vec<_> = portion.iter().zip(&answers).map(|(p, a)| set(side, p, a)).collect();
                let seconds = self.load.drive(&sets, 16).as_secs_f64();
                rates[side].push(portion.len() as f64 / seconds);
                took[side] += seconds;
                // What the cache compresses behind its replies must not slow the other side down.
                settle(&mut self.control);
            }
        }
        let deadline = Duration::from_secs(120);
        if !rest(&mut self.control, CACHE, Duration::from_secs(1), deadline) {
            println!("(the cache of {size} entries had not settled after {deadline:?})\n");
        }
        let n = prompts.len() as f64;
        let cache = Size::of(&mut self.control, CACHE);
        let used = used_memory(&mut self.control) - before;
        let last = |side: usize| median(rates[side][rates[side].len() / 2..].iter().copied());
        self.store.row([
            size.to_owned(),
            whole(n / took[0]),
            whole(n / took[1]),
            Spread::of_ratios(&rates[1], &rates[0]).shown(),
            format!("{} / {}", whole(last(0)), whole(last(1))),
            whole((used - cache.bytes) / n),
            whole(cache.bytes / n),
            whole((cache.bytes - cache.hot) / n),
        ]);
    }

    fn gets(&mut self, prompts: &[String], size: &str, pipeline: usize) {
        let mut random = Random::new(pipeline as u64);
        let mut rates = SIDES.map(|_| Vec::new());
        // One round more, first and forgotten, in which everything gets warm.
        for round in 0..=self.options.rounds {
            let order: Vec<usize> = (0..self.options.calls).map(|_| random.below(prompts.len())).collect();
            for side in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let gets: Vec<_> = order.iter().map(|&i| get(side, &prompts[i])).collect();
                let rate = gets.len() as f64 / self.load.drive(&gets, pipeline).as_secs_f64();
                if round > 0 {
                    rates[side].push(rate);
                }
            }
        }
        let [plain, cache] = &rates;
        let how = if pipeline == 1 { "one at a time".into() } else { format!("{pipeline} in a pipeline") };
        self.exact.row([
            format!("{size}, {how}"),
            whole(median(plain.iter().copied())),
            whole(median(cache.iter().copied())),
            Spread::of_ratios(cache, plain).shown(),
        ]);
    }

    fn lookups(&mut self, prompts: &[String], size: &str) {
        let started = Instant::now();
        // The index is built behind the reply.
        cmd!(self.control, "LLMCACHE.ALTER", CACHE, "MODE", "similar").ok();
        let is_ready = rest(&mut self.control, CACHE, Duration::from_millis(500), Duration::from_secs(400));
        assert!(is_ready, "{size} entries are indexed in time");
        let seconds = started.elapsed().as_secs_f64() - 0.5;
        let mut random = Random::new(32);
        let mut hits = 0.0;
        let lookup =
            |_| args!["LLMCACHE.GET", CACHE, varied(&prompts[random.below(prompts.len())], &mut random), "SIMILAR"];
        let lookups: Vec<_> = (0..self.options.lookups).map(lookup).collect();
        // One that misses answers null, which the load generator takes for a failure.
        let asked = lookups.into_iter().filter(|lookup| {
            let is_hit = !self.control.cmd(lookup).is_null();
            hits += f64::from(is_hit);
            is_hit
        });
        let calls: Vec<_> = asked.map(|lookup| vec![Trip::of(&[encode(&lookup)])]).collect();
        let pings: Vec<_> = (0..self.options.lookups).map(|_| vec![Trip::of(&[encode(&["PING"])])]).collect();
        let mut timed = |calls: &[Vec<Trip>]| {
            let mut took = self.load.time_trips(calls);
            took.sort_by(f64::total_cmp);
            (whole(at_share(&took, 0.5)), whole(at_share(&took, 0.99)))
        };
        let (ping, similar) = (timed(&pings), timed(&calls));
        let index = Size::of(&mut self.control, CACHE).index;
        self.similar.row([
            size.to_owned(),
            ping.0,
            similar.0,
            similar.1,
            format!("{:.0} %", 100.0 * hits / self.options.lookups as f64),
            whole(index / prompts.len() as f64),
            format!("{seconds:.1}"),
        ]);
    }
}

fn main() {
    let options = Options::read();
    let mut server = setting::builder(options.server.as_deref()).start();
    let mut control = server.client();
    // A million entries are freed before the reply of FLUSHALL.
    control.set_patience(Duration::from_secs(120));
    let (rounds, clients, answer) = (options.rounds, options.clients, options.answer);
    let load = format!("{rounds} alternating rounds of {} GETs; {clients} connections, one thread", options.calls);
    let further = [
        ("answers", format!("about {answer} bytes of common words (seed 31), EX {TTL} on both sides")),
        ("load", format!("{load}; similar lookups over 1 connection")),
    ];
    setting::print("scaling", &mut control, &further);
    let exact = ["exact GET", "plain, calls/s", "LLMCACHE, calls/s", "ratio of a round, median (range)"];
    let store = [
        "SET, 16 in a pipeline",
        "plain, calls/s",
        "LLMCACHE, calls/s",
        "ratio of a portion, median (range)",
        "both in the second half, calls/s",
        "plain, bytes an entry",
        "LLMCACHE, bytes an entry",
        "without hot copies",
    ];
    let similar =
        ["similar hit", "PING p50, µs", "p50, µs", "p99, µs", "hits", "index, bytes an entry", "indexed in, s"];
    let largest = options.sizes.iter().copied().max().unwrap_or(0);
    let prompts = prompts::load(&data::folder(options.data.as_deref()), largest);
    let load = Load::connect(server.addr(), clients);
    let [exact, store, similar] = [Table::new(&exact), Table::new(&store), Table::new(&similar)];
    let mut bench = Bench { options, control, load, exact, store, similar };
    for size in bench.options.sizes.clone() {
        bench.measure(&prompts[..size]);
    }
    for table in [&bench.exact, &bench.store, &bench.similar] {
        table.print();
        println!();
    }
    server.stop();
}
