//! How fast similar hits are, and what others notice of them.
//!
//! `make bench-similar`, or `cargo bench --no-default-features --features e2e --bench similar -- [options]`:
//!
//! ```text
//! --sizes A,B,…   entries in the one context that is searched (1000,10000,100000)
//! --calls N       lookups of each sort (2,000)
//! --policy P      options of LLMCACHE.CREATE beside MODE similar, such as 'SIMILARITY lexical'
//! --data DIR      folder with distil/corpus.txt.gz (LLMCACHE_DATA, else ../shared/data); without it, sentences are made up
//! ```
//!
//! Latencies are round trips of one client that asks one question at a time: PING tells what of that is the connection. A
//! *hit* asks for a stored prompt with a word left out and one that was added, a *miss* for a prompt that nothing is
//! similar to. At the end another client asks for what is stored, exactly, alone and while three clients send a stream of
//! similar lookups.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;

use common::args::Args;
use common::figures::at_share;
use common::prompts::varied;
use common::random::Random;
use common::{data, prompts};
use harness::{cmd, until, Client, Server};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

struct Options {
    sizes: Vec<usize>,
    calls: usize,
    policy: String,
    data: Option<String>,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { sizes: vec![1000, 10_000, 100_000], calls: 2000, policy: String::new(), data: None };
        let mut args = Args::of("similar");
        while let Some(option) = args.option() {
            match option.as_str() {
                "--sizes" => options.sizes = args.counts(),
                "--calls" => options.calls = args.count(),
                "--policy" => options.policy = args.word(),
                "--data" => options.data = Some(args.word()),
                _ => args.unknown(),
            }
        }
        options
    }
}

/// Microseconds of each call, sorted.
fn timed(calls: impl Iterator<Item = Vec<Vec<u8>>>, client: &mut Client, mut seen: impl FnMut(bool)) -> Vec<f64> {
    let mut took: Vec<f64> = calls
        .map(|call| {
            let started = Instant::now();
            let reply = client.cmd(&call);
            let took = started.elapsed();
            seen(!reply.is_null());
            took.as_nanos() as f64 / 1000.0
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took
}

fn shown(took: &[f64]) -> String {
    let at = |share| at_share(took, share);
    format!("p50 {:7.0} µs   p99 {:7.0} µs   max {:7.0} µs", at(0.5), at(0.99), at(1.0))
}

fn main() {
    let options = Options::read();
    let largest = options.sizes.iter().copied().max().unwrap_or(0);
    let all = prompts::load(&data::folder(options.data.as_deref()), largest + options.calls);
    for &size in &options.sizes {
        measure(&options, &all[..size], &all[all.len() - options.calls..]);
    }
}

fn measure(options: &Options, stored: &[String], others: &[String]) {
    let server = Server::start();
    let mut c = server.client();
    c.words(format!("LLMCACHE.CREATE faq MODE similar COMPRESS none {}", options.policy).trim_end()).ok();
    let started = Instant::now();
    for chunk in stored.chunks(500) {
        let sets = chunk.iter().map(|prompt| harness::args!["LLMCACHE.SET", "faq", prompt, "an answer", "PERSIST"]);
        c.pipeline(&sets.collect::<Vec<_>>()).iter().for_each(|reply| reply.ok());
    }
    let filled = started.elapsed();
    let info = cmd!(c, "LLMCACHE.INFO", "faq");
    let bytes = |part: &str| info.field("memory").field(part).int() as f64 / stored.len() as f64;
    println!(
        "\n{} entries: {:.1} µs for each SET in a pipeline, {:.0} bytes of index for each",
        stored.len(),
        filled.as_micros() as f64 / stored.len() as f64,
        bytes("index")
    );
    let mut random = Random::new(3);
    let get = |prompt: &str, how: &str| harness::args!["LLMCACHE.GET", "faq", prompt, how, "NOTOUCH"];
    let n = options.calls;
    let pings = timed((0..n).map(|_| harness::args!["PING"]), &mut c, |_| {});
    println!("  PING             {}", shown(&pings));
    let picks: Vec<&String> = (0..n).map(|_| &stored[random.below(stored.len())]).collect();
    let exact = timed(picks.iter().map(|prompt| get(prompt, "EXACT")), &mut c, |hit| assert!(hit));
    println!("  exact hit        {}", shown(&exact));
    let mut hits = 0;
    let queries: Vec<String> = picks.iter().map(|prompt| varied(prompt, &mut random)).collect();
    let similar = timed(queries.iter().map(|prompt| get(prompt, "SIMILAR")), &mut c, |hit| hits += usize::from(hit));
    println!("  similar          {}   {:.0} % hits", shown(&similar), 100.0 * hits as f64 / n as f64);
    let mut hits = 0;
    let misses = timed(others.iter().map(|prompt| get(prompt, "SIMILAR")), &mut c, |hit| hits += usize::from(hit));
    println!("  similar, others  {}   {:.0} % hits", shown(&misses), 100.0 * hits as f64 / n as f64);
    crowd(&server, &mut c, &picks, &queries);
}

/// What a client notices that asks exactly while others ask for what is similar.
fn crowd(server: &Server, c: &mut Client, picks: &[&String], queries: &[String]) {
    let get = |prompt: &str, how: &str| harness::args!["LLMCACHE.GET", "faq", prompt, how, "NOTOUCH"];
    let stop = AtomicBool::new(false);
    let alone = timed(picks.iter().map(|prompt| get(prompt, "EXACT")), c, |_| {});
    std::thread::scope(|scope| {
        for part in 0..3 {
            let (stop, mut client) = (&stop, server.client());
            scope.spawn(move || {
                for query in queries.iter().cycle().skip(part * 100) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    client.cmd(&get(query, "SIMILAR"));
                }
            });
        }
        let lookups = |c: &mut Client| cmd!(c, "INFO", "commandstats").text();
        let before = lookups(c);
        until("the stream flows", Duration::from_secs(10), || lookups(c) != before);
        let beside = timed(picks.iter().map(|prompt| get(prompt, "EXACT")), c, |_| {});
        stop.store(true, Ordering::Relaxed);
        println!("  exact, alone     {}", shown(&alone));
        println!("  exact, beside 3  {}", shown(&beside));
    });
}
