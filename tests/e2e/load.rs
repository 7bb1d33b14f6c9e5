//! Many clients together: whatever happens to answers and to holders of leases, everybody gets an answer or a lease.
//!
//! `LLMCACHE_SEEDS=20` runs the first test under twenty seeds in place of two.

use crate::harness::{args, cmd, until, Client, Server, PATIENCE};
use crate::support::{pass, stat, Dice};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const CLIENTS: u64 = 200;
const PROMPTS: u64 = 50;
const FOR: Duration = Duration::from_millis(1500);

/// What all clients have seen together.
#[derive(Default)]
struct Seen {
    hits: AtomicU64,
    leases: AtomicU64,
    stored: AtomicU64,
    late: AtomicU64,
    crashed: AtomicU64,
    released: AtomicU64,
    failed: AtomicU64,
    /// Until when a prompt's lease lasts at least, and whose it is.
    held: Mutex<HashMap<String, (Instant, String)>>,
}

impl Seen {
    /// A lease that was asked for at `asked` and has just come.
    fn grant(&self, prompt: &str, token: &str, asked: Instant, ms: u64) {
        self.leases.fetch_add(1, Ordering::Relaxed);
        let (mut held, now) = (self.held.lock().unwrap(), Instant::now());
        // The server counts whole milliseconds, and may have been at the end of one.
        let until = asked + Duration::from_millis(ms - 1);
        if until <= now {
            return; // this thread may have slept until the lease was somebody else's
        }
        if let Some((other_until, other)) = held.get(prompt) {
            assert!(*other_until <= now, "{prompt} has two leases: {other} and {token}");
        }
        held.insert(prompt.to_owned(), (until, token.to_owned()));
    }

    /// The lease is about to be given back.
    fn end(&self, prompt: &str, token: &str) {
        let mut held = self.held.lock().unwrap();
        if held.get(prompt).is_some_and(|(_, other)| other == token) {
            held.remove(prompt);
        }
    }
}

fn one_client(server: &Server, seen: &Seen, dice: &mut Dice) {
    let mut c = server.client3();
    let end = Instant::now() + FOR;
    while Instant::now() < end {
        let prompt = format!("prompt {}", dice.below(PROMPTS));
        let ms = 60 + dice.below(100);
        let asked = Instant::now();
        let told = cmd!(c, "LLMCACHE.FETCH", "faq", prompt, "LEASE", ms, "BLOCK", 15_000);
        match told.field("state").text().as_str() {
            "hit" => {
                assert_eq!(told.field("response").text().split('|').next(), Some(prompt.as_str()));
                seen.hits.fetch_add(1, Ordering::Relaxed);
            }
            "lease" => {
                let token = told.field("token").text();
                seen.grant(&prompt, &token, asked, ms);
                compute(server, seen, dice, &mut c, &prompt, &token);
            }
            "failed" => {
                assert_eq!(*told.field("error"), "on purpose");
                seen.failed.fetch_add(1, Ordering::Relaxed);
            }
            other => panic!("nobody should hear of {other}: {told:?}"),
        }
    }
}

/// What a holder does with its lease.
fn compute(server: &Server, seen: &Seen, dice: &mut Dice, c: &mut Client, prompt: &str, token: &str) {
    match dice.below(20) {
        0 | 1 => {
            seen.crashed.fetch_add(1, Ordering::Relaxed);
            *c = server.client3();
        }
        kind @ 2..=3 => {
            seen.end(prompt, token);
            let mut words = args!["LLMCACHE.RELEASE", "faq", token];
            if kind == 3 {
                words.extend(args!["ERROR", "on purpose"]);
            }
            seen.released.fetch_add(1, Ordering::Relaxed);
            c.cmd(&words);
        }
        kind => {
            // Some take longer than their lease.
            pass(if kind == 4 { 170 } else { dice.below(20) });
            let answer = format!("{prompt}|{token}");
            seen.end(prompt, token);
            let told = cmd!(c, "LLMCACHE.SET", "faq", prompt, answer, "TOKEN", token, "PX", 5 + dice.below(60));
            let counter = if told.is_null() { &seen.late } else { &seen.stored };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn two_hundred_clients_and_fifty_prompts() {
    let seeds: u64 = std::env::var("LLMCACHE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2);
    let mut dice = Dice::new("load");
    for round in 0..seeds {
        let server = Server::start();
        let mut c = server.client3();
        c.words("LLMCACHE.CREATE faq").ok();
        let seen = Seen::default();
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                let (server, seen, mut dice) = (&server, &seen, dice.other());
                scope.spawn(move || one_client(server, seen, &mut dice));
            }
        });
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [hits, leases, stored, late, crashed, released, failed] =
            [&seen.hits, &seen.leases, &seen.stored, &seen.late, &seen.crashed, &seen.released, &seen.failed]
                .map(count);
        println!(
            "round {round}: {hits} hits, {leases} leases: {stored} stored, {late} too late, {crashed} crashed, \
             {released} given back, {failed} were told so"
        );
        assert_eq!(leases, stored + late + crashed + released, "each lease has one end");
        assert!(hits > 1000 && stored > 100 && crashed > 10 && late > 5 && failed > 5);
        let told = ["hits", "misses", "stores", "skips"].map(|name| stat(&mut c, name) as u64);
        assert_eq!(told, [hits, leases + failed, stored, late], "the server has seen the same");
        until("nobody waits", PATIENCE, || c.info_field("clients", "blocked_clients").unwrap() == "0");
        until("no lease is left", PATIENCE, || *c.words("LLMCACHE.INFO faq").field("leases") == 0);
        assert_eq!(*c.words("LLMCACHE.INFO faq").field("waiting"), 0);
    }
}

#[test]
fn sessions_that_ask_as_people_do_are_answered_from_the_cache() {
    const REQUESTS: usize = 12_000;
    let server = Server::start();
    let calls = AtomicU64::new(0);
    let mut dice = Dice::new("zipf");
    // The n-th prompt is asked for 1/n as often as the first.
    let weights: Vec<f64> = (1..=500).map(|n| 1.0 / f64::from(n)).collect();
    let total: f64 = weights.iter().sum();
    std::thread::scope(|scope| {
        for _ in 0..12 {
            let (server, calls, weights, mut dice) = (&server, &calls, &weights, dice.other());
            scope.spawn(move || {
                let mut c = server.client3();
                for _ in 0..REQUESTS / 12 {
                    let mut at = dice.below(1_000_000) as f64 / 1e6 * total;
                    let passed = |weight: &&f64| {
                        at -= **weight;
                        at > 0.0
                    };
                    let prompt = format!("prompt {}", weights.iter().take_while(passed).count());
                    let told = cmd!(c, "LLMCACHE.FETCH", "faq", prompt, "LEASE", 5000, "BLOCK", 15_000);
                    if told.names().contains(&"token".to_owned()) {
                        calls.fetch_add(1, Ordering::Relaxed);
                        pass(2);
                        let token = told.field("token").text();
                        cmd!(c, "LLMCACHE.SET", "faq", prompt, "answer", "TOKEN", token, "EX", 2, "STALE", 60).ok();
                    }
                }
            });
        }
    });
    let mut c = server.client3();
    let rate = c.words("LLMCACHE.STATS faq").field("hit_rate").number();
    let (calls, coalesced) = (calls.load(Ordering::Relaxed), stat(&mut c, "coalesced"));
    println!("hit rate {rate:.4} of {REQUESTS} lookups, {calls} calls, {coalesced} waited for another's answer");
    assert!(rate >= 0.95, "{rate}");
    assert_eq!(stat(&mut c, "stores") as u64, calls, "each call was one that somebody had to make");
}
