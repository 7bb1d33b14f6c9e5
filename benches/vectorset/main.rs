//! Similar hits and stores against what one builds by hand: a vector set beside strings, on one server of Redis 8.
//!
//! `make bench-vectorset`, or `cargo bench --no-default-features --features e2e --bench vectorset -- [options]`:
//!
//! ```text
//! --sizes A,B,…   entries (10000,100000)
//! --dims A,B,…    dimensions of the vectors (384,256)
//! --rounds N      rounds, in each of which every side has its turn; made even (10)
//! --calls N       similar hits of a round and a side (1,000)
//! --stores N      stores of a round and a side (200)
//! --clients N     connections for throughput (8)
//! --data DIR      folder with distil/corpus.txt.gz (LLMCACHE_DATA, else ../shared/data); without it, sentences are made up
//! --server PATH   a Redis 8 (LLMCACHE_REDIS_SERVER, else redis-server)
//! --quick         2,000 entries, vectors of 256, 2 rounds of 300 hits and 50 stores: a look, no measurement
//! ```
//!
//! **Sides.** *builtin* sends a prompt; the module reads its meaning in the server, and that is part of the figure. *vector*
//! sends the client's vector. *by hand* sends the same vector to `VSIM … COUNT 1 WITHSCORES` and then asks for the string
//! whose key came back: in two round trips, the same with `NOTHREAD` (the search in the main thread, as it saves a thread for
//! each call), and both commands in a script, in one round trip. A store by hand is `VADD` and `SET … EX` in one pipeline.
//!
//! **Fairness.** No embedding is made on any side but *builtin*: by hand it would come on top. By hand nothing compares a
//! score with a threshold, has guards or counts, and no client reads the score. Its vector set has its defaults: quantization
//! Q8, M 16, and the search's own EF. A query by hand gives an approximate answer; how often it is the right one is told. All
//! answers are the same 300 bytes, in strings and in caches without compression, so that it is the search that is compared.
//!
//! **Vectors** are stand-ins for those of an embedding model: clusters of sixteen unit vectors around a random direction
//! (cosine 0.7 to it), a query with a cosine of 0.97 to its entry. **Prompts** are real ones; a query is a prompt with a word
//! left out and one added. Only queries that hit on their side are timed, since a miss answers less.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;
mod sides;

use common::args::Args;
use common::figures::{at_share, median, whole, Spread, Table};
use common::load::{Load, Trip};
use common::random::Random;
use common::watch::{settle, used_memory};
use common::{data, prompts, setting};
use harness::{cmd, Client};
use sides::{Entries, Side, SIDES, STRINGS, VECTORS};
use std::time::Duration;

struct Options {
    sizes: Vec<usize>,
    dims: Vec<usize>,
    rounds: usize,
    calls: usize,
    stores: usize,
    clients: usize,
    data: Option<String>,
    server: Option<String>,
}

impl Options {
    fn read() -> Options {
        let mut options = Options {
            sizes: vec![10_000, 100_000],
            dims: vec![384, 256],
            rounds: 10,
            calls: 1_000,
            stores: 200,
            clients: 8,
            data: None,
            server: None,
        };
        let mut args = Args::of("vectorset");
        while let Some(option) = args.option() {
            match option.as_str() {
                "--sizes" => options.sizes = args.counts(),
                "--dims" => options.dims = args.counts(),
                "--rounds" => options.rounds = args.count(),
                "--calls" => options.calls = args.count(),
                "--stores" => options.stores = args.count(),
                "--clients" => options.clients = args.count(),
                "--data" => options.data = Some(args.word()),
                "--server" => options.server = Some(args.word()),
                "--quick" => {
                    (options.sizes, options.dims) = (vec![2_000], vec![256]);
                    (options.rounds, options.calls, options.stores) = (2, 300, 50);
                }
                _ => args.unknown(),
            }
        }
        options.rounds += options.rounds % 2;
        options
    }
}

/// Figures of one side, one of each round.
#[derive(Default)]
struct Rounds {
    /// Microseconds of every call, over all rounds.
    latencies: Vec<f64>,
    p50: Vec<f64>,
    per_second: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, load: &mut Load, calls: &[Vec<Trip>]) {
        let (alone, together) = calls.split_at(calls.len() / 2);
        let latencies = load.time_trips(alone);
        self.p50.push(median(latencies.iter().copied()));
        self.latencies.extend(latencies);
        self.per_second.push(together.len() as f64 / load.drive_trips(together).as_secs_f64());
    }

    fn row(&self, name: String, builtin: &Rounds, vector: &Rounds, right: Option<f64>) -> Vec<String> {
        let mut sorted = self.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        let times = |over: &[f64], under: &[f64]| Spread::of_ratios(over, under).shown();
        vec![
            name,
            whole(at_share(&sorted, 0.5)),
            whole(at_share(&sorted, 0.99)),
            times(&self.p50, &builtin.p50),
            times(&self.p50, &vector.p50),
            whole(median(self.per_second.iter().copied())),
            times(&builtin.per_second, &self.per_second),
            times(&vector.per_second, &self.per_second),
            right.map_or(String::new(), |share| format!("{:.1} %", share * 100.0)),
        ]
    }
}

fn table(what: &str) -> Table {
    Table::new(&[
        what,
        "p50, µs",
        "p99, µs",
        "p50, times builtin's",
        "p50, times vector's",
        "a second, all connections",
        "builtin's, times this",
        "vector's, times this",
        "right",
    ])
}

fn main() {
    let options = Options::read();
    if !setting::is_there(options.server.as_deref()) {
        println!(
            "There is no such server here: nothing is measured. Name a Redis 8 with --server or LLMCACHE_REDIS_SERVER."
        );
        return;
    }
    let mut server = setting::builder(options.server.as_deref()).start();
    let mut c = server.client();
    if !setting::has_command(&mut c, "VSIM") {
        println!("This server has no vector set: nothing is measured. Redis 8 has: name one with --server.");
        return;
    }
    c.set_patience(Duration::from_secs(300));
    let (rounds, clients) = (options.rounds, options.clients);
    let further = [
        (
            "load",
            format!(
                "{rounds} alternating rounds; latencies over 1 connection, the other half of the calls over {clients}"
            ),
        ),
        ("vectors", "seeded clusters of 16 (seed 21); queries with a cosine of 0.97 to their entry (seed 22)".into()),
    ];
    setting::print("vectorset", &mut c, &further);
    let mut load = Load::connect(server.addr(), clients);
    let largest = options.sizes.iter().copied().max().unwrap_or(0);
    let prompts = prompts::load(&data::folder(options.data.as_deref()), largest + stored_later(&options));
    for &size in &options.sizes {
        for &dims in &options.dims {
            measure(&options, &mut c, &mut load, Entries::new(&prompts, size, dims));
        }
    }
    server.stop();
}

/// How many more entries the rounds store.
fn stored_later(options: &Options) -> usize {
    (options.rounds + 1) * options.stores
}

fn measure(options: &Options, c: &mut Client, load: &mut Load, entries: Entries) {
    let (size, dims) = (entries.size, entries.dims);
    println!("**{} entries, vectors of {dims}**\n", whole(size as f64));
    cmd!(c, "FLUSHALL", "SYNC").ok();
    settle(c);
    let mut memory = Table::new(&["", "used_memory, bytes an entry", "of it index or vectors, MEMORY USAGE or INFO"]);
    for way in Side::STORES {
        let before = used_memory(c);
        way.create(c);
        let started = std::time::Instant::now();
        for from in (0..size).step_by(2_000) {
            load.drive_trips(&(from..size.min(from + 2_000)).map(|i| way.store(&entries, i)).collect::<Vec<_>>());
        }
        eprintln!("  {}: filled in {:.1} s", way.store_name(), started.elapsed().as_secs_f64());
        settle(c);
        let used = (used_memory(c) - before) / size as f64;
        memory.row([way.store_name().to_owned(), whole(used), whole(way.index_bytes(c) / size as f64)]);
    }
    let script = cmd!(c, "SCRIPT", "LOAD", sides::SCRIPT).text();
    let mut random = Random::new(22);
    let picks: Vec<usize> = (0..options.calls).map(|_| random.below(size)).collect();
    let mut right = Vec::new();
    let hits = SIDES.map(|side| {
        let (calls, share) = side.hits(c, &entries, &picks, &script);
        right.push(share);
        calls
    });
    let mut figures: [Rounds; SIDES.len()] = Default::default();
    // One round more, first and forgotten, in which everything gets warm.
    for round in 0..=options.rounds {
        for turn in 0..SIDES.len() {
            let side = if round % 2 == 0 { turn } else { SIDES.len() - 1 - turn };
            figures[side].add(load, &hits[side]);
        }
        if round == 0 {
            figures = Default::default();
        }
    }
    let mut similar = table("a similar hit");
    for ((side, rounds), right) in SIDES.iter().zip(&figures).zip(right) {
        similar.row(rounds.row(side.name().into(), &figures[0], &figures[1], Some(right)));
    }
    similar.print();
    println!();
    stores(options, load, &entries);
    memory.print();
    println!();
    assert_eq!(cmd!(c, "VCARD", VECTORS).int() as usize, size + stored_later(options));
    assert_eq!(cmd!(c, "EXISTS", format!("{STRINGS}{}", size)).int(), 1, "strings were stored");
}

/// Stores of what is new, by turns.
fn stores(options: &Options, load: &mut Load, entries: &Entries) {
    let ways = Side::STORES;
    let mut figures: [Rounds; 3] = Default::default();
    for round in 0..=options.rounds {
        let from = entries.size + round * options.stores;
        for turn in 0..ways.len() {
            let way = if round % 2 == 0 { turn } else { ways.len() - 1 - turn };
            let calls: Vec<_> = (from..from + options.stores).map(|i| ways[way].store(entries, i)).collect();
            figures[way].add(load, &calls);
        }
        if round == 0 {
            figures = Default::default();
        }
    }
    let mut table = table("a store");
    for (way, rounds) in ways.iter().zip(&figures) {
        table.row(rounds.row(way.store_name().into(), &figures[0], &figures[1], None));
    }
    table.print();
    println!();
}
