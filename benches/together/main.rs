//! What FETCH costs beside GET, and how soon those who wait have their answer.
//!
//! `make bench-together`, or `cargo bench --no-default-features --features e2e --bench together -- [options]`:
//!
//! ```text
//! --rounds N     rounds of each, taken by turns (16)
//! --calls N      calls of a round (10,000)
//! --waiters N    clients that wait for one answer (100)
//! ```
//!
//! Hits are asked for 16 in a pipeline by one client, so that it is the server that takes the time; GET answers WITHMETA, as
//! FETCH always does. *Answered* is from sending SET until the last of those who wait has read its answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;

use common::args::Args;
use common::figures::median;
use harness::{args, cmd, encode, until, Client, Server, PATIENCE};
use std::time::Instant;

const ENTRIES: usize = 1000;
const PIPELINE: usize = 16;

fn main() {
    let (mut rounds, mut calls, mut waiters) = (16, 10_000, 100);
    let mut args = Args::of("together");
    while let Some(option) = args.option() {
        match option.as_str() {
            "--rounds" => rounds = args.count(),
            "--calls" => calls = args.count(),
            "--waiters" => waiters = args.count(),
            _ => args.unknown(),
        }
    }
    let server = Server::start();
    hits(&server, rounds, calls);
    answered(&server, rounds, waiters);
}

fn hits(server: &Server, rounds: usize, calls: usize) {
    let mut c = server.client3();
    let prompts: Vec<String> = (0..ENTRIES).map(|n| format!("What is the answer to question number {n}?")).collect();
    for prompt in &prompts {
        cmd!(c, "LLMCACHE.SET", "faq", prompt, "An answer of some length. ".repeat(20), "PERSIST").ok();
    }
    let batches = |of: &dyn Fn(&str) -> Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        let all: Vec<_> = prompts.iter().map(|prompt| encode(&of(prompt))).collect();
        all.chunks(PIPELINE).map(<[Vec<u8>]>::concat).collect()
    };
    let sides = [
        ("GET … WITHMETA", batches(&|prompt| args!["LLMCACHE.GET", "faq", prompt, "WITHMETA"])),
        ("FETCH … LEASE 1000", batches(&|prompt| args!["LLMCACHE.FETCH", "faq", prompt, "LEASE", 1000])),
    ];
    let mut micros = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for side in [round % 2, 1 - round % 2] {
            let started = Instant::now();
            let mut done = 0;
            for batch in sides[side].1.iter().cycle().take(calls.div_ceil(PIPELINE)) {
                c.send_raw(batch);
                let count = batch.windows(10).filter(|word| *word == b"LLMCACHE.G" || *word == b"LLMCACHE.F").count();
                (0..count).for_each(|_| assert!(!c.read().is_null()));
                done += count;
            }
            micros[side].push(started.elapsed().as_secs_f64() * 1e6 / done as f64);
        }
    }
    let [get, fetch] = micros.clone().map(median);
    let ratio = median(micros[0].iter().zip(&micros[1]).map(|(get, fetch)| fetch / get));
    println!("\na hit, {PIPELINE} in a pipeline, medians of {rounds} rounds");
    println!("  {:20} {get:6.2} µs a call", sides[0].0);
    println!("  {:20} {fetch:6.2} µs a call, {ratio:.2} of it", sides[1].0);
}

fn answered(server: &Server, rounds: usize, waiters: usize) {
    let mut c = server.client3();
    let mut others: Vec<Client> = (0..waiters).map(|_| server.client3()).collect();
    let mut took = Vec::new();
    for round in 0..rounds {
        let prompt = format!("waited for {round}");
        let fetch = |block: u32| args!["LLMCACHE.FETCH", "faq", prompt, "LEASE", 60_000, "BLOCK", block];
        let token = c.cmd(&fetch(0)).field("token").text();
        others.iter_mut().for_each(|other| other.send(&fetch(60_000)));
        let waiting = |c: &mut Client| c.info_field("clients", "blocked_clients").unwrap();
        until("all wait", PATIENCE, || waiting(&mut c) == waiters.to_string());
        let started = Instant::now();
        cmd!(c, "LLMCACHE.SET", "faq", prompt, "The answer.", "TOKEN", token).ok();
        for other in &mut others {
            assert_eq!(other.read().field("state").text(), "hit");
        }
        took.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    let most = took.iter().copied().fold(0.0, f64::max);
    println!("\n{waiters} clients wait for one answer, {rounds} rounds");
    println!("  from SET to the last of them {:.2} ms (median), {most:.2} ms (longest)", median(took));
}
