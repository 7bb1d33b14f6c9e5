//! What counting costs: GET of a module that counts against GET of one that does not.
//!
//! `make bench-counting` builds both, or `cargo bench --no-default-features --features e2e --bench counting -- [options]`:
//!
//! ```text
//! --without PATH   the module built with --features uncounted (target/uncounted/release/libllmcache.so)
//! --rounds N       rounds of each, taken by turns (40)
//! --calls N        calls of a round (40,000)
//! --labels N       how many different models, scopes, types and tags the entries have (1)
//! ```
//!
//! One client asks two servers by turns for the same answers, one at a time and 16 in a pipeline, and compares what the
//! client sees with what the server says of its own work. A hit of an entry with a model, a scope, a type and two tags is
//! counted in nine places; with many labels, most of them are others each time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;

use common::args::Args;
use common::figures::median;
use harness::{args, cmd, encode, Client, Server};
use std::time::Instant;

const ENTRIES: usize = 1000;

fn main() {
    let mut without = "target/uncounted/release/libllmcache.so".to_owned();
    let (mut rounds, mut calls, mut labels) = (40, 40_000, 1);
    let mut args = Args::of("counting");
    while let Some(option) = args.option() {
        match option.as_str() {
            "--rounds" => rounds = args.count(),
            "--calls" => calls = args.count(),
            "--labels" => labels = args.count(),
            "--without" => without = args.word(),
            _ => args.unknown(),
        }
    }
    let servers = [Server::builder().module(&without).start(), Server::start()];
    let mut clients = servers.each_ref().map(Server::client);
    let gets: Vec<Vec<u8>> = (0..ENTRIES)
        .map(|n| {
            let (prompt, label) = (format!("What is the answer to question number {n}?"), n % labels);
            let identity =
                ["MODEL".to_owned(), format!("model-{label}"), "SCOPE".to_owned(), format!("tenant-{label}")];
            let answer = "An answer of some length. ".repeat(20);
            let (first, second) = (format!("a{label}"), format!("b{label}"));
            for c in &mut clients {
                let kind = format!("type-{label}");
                let stored = args!["LLMCACHE.SET", "faq", prompt, answer, "TYPE", kind, "TAGS", 2, first, second];
                let costs = args!["PERSIST", "TOKENS", 12, 130, "COST", "0.0021", "LATENCY", 900];
                let words: Vec<Vec<u8>> = stored.into_iter().chain(args_of(&identity)).chain(costs).collect();
                c.cmd(&words).ok();
            }
            let words: Vec<Vec<u8>> =
                args!["LLMCACHE.GET", "faq", prompt].into_iter().chain(args_of(&identity)).collect();
            encode(&words)
        })
        .collect();
    let stored: Vec<i64> = clients.iter_mut().map(|c| cmd!(c, "LLMCACHE.STATS", "faq").field("stores").int()).collect();
    assert_eq!(stored, [0, ENTRIES as i64], "the first module does not count, the second does");
    println!("GET of a hit, medians of {rounds} rounds of {calls} calls, {labels} labels of each kind");
    for pipeline in [1, 16] {
        let batches: Vec<Vec<u8>> = gets.chunks(pipeline).map(<[Vec<u8>]>::concat).collect();
        let mut times = [const { Vec::new() }; 2];
        for round in 0..rounds {
            for side in [round % 2, 1 - round % 2] {
                times[side].push(measure(&mut clients[side], &batches, pipeline, calls));
            }
        }
        let ratio = |of: fn(&(f64, f64)) -> f64| {
            let ratios = times[0].iter().zip(&times[1]).map(|(without, with)| of(with) / of(without));
            median(ratios)
        };
        let of = |side: usize, of: fn(&(f64, f64)) -> f64| median(times[side].iter().map(of));
        println!("  {pipeline:2} in a pipeline          without      with     ratio");
        for (what, figure) in [("µs a call", (|t| t.0) as fn(&(f64, f64)) -> f64), ("µs in the server", |t| t.1)] {
            println!("  {what:>20} {:>12.3} {:>9.3} {:>9.3}", of(0, figure), of(1, figure), ratio(figure));
        }
    }
}

fn args_of(words: &[String]) -> impl Iterator<Item = Vec<u8>> + '_ {
    words.iter().map(|word| word.clone().into_bytes())
}

/// Microseconds for a call, as the client sees it and as the server counts it.
fn measure(c: &mut Client, batches: &[Vec<u8>], pipeline: usize, calls: usize) -> (f64, f64) {
    c.words("CONFIG RESETSTAT").ok();
    let (started, mut done) = (Instant::now(), 0);
    for batch in batches.iter().cycle().take(calls.div_ceil(pipeline)) {
        c.send_raw(batch);
        let count = batch.windows(12).filter(|word| *word == b"LLMCACHE.GET").count();
        (0..count).for_each(|_| assert!(!c.read().is_null()));
        done += count;
    }
    let seen = started.elapsed().as_secs_f64() * 1e6 / done as f64;
    let told = c.info_field("commandstats", "cmdstat_LLMCACHE.GET").expect("the command was called");
    let micros = told.split(',').find_map(|part| part.strip_prefix("usec=")).and_then(|n| n.parse::<f64>().ok());
    (seen, micros.expect("usec is a number") / done as f64)
}
