//! How long a big cache keeps others waiting: loading, saving, expiry, flushing, copying, deleting, invalidating.
//!
//! `make bench-big`, or `cargo bench --no-default-features --features e2e --bench big -- [options]`:
//!
//! ```text
//! --entries N    entries of the cache (1,000,000, with about 0.6 GB)
//! --quick        100,000 entries
//! ```
//!
//! While each step runs, another client asks for nothing but a plain key, one GET after the other. *Longest gap* is the longest
//! that it waited, *took* how long the reply to the step itself did. A gap of a millisecond or two is the machine's own: the
//! first line, in which the server does nothing else, tells how long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;

use harness::{args, cmd, until, Client, Server};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A cache of a million entries loads in less, also on a machine that is busy.
const LONG: Duration = Duration::from_secs(120);

/// How many words of one WARM are answers.
const ITEMS: usize = 500;

fn main() {
    let mut entries = 1_000_000;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => entries = 100_000,
            "--entries" => {
                entries = words.next().and_then(|number| number.parse().ok()).expect("a number behind --entries");
            }
            "--bench" => {} // cargo's own
            _ => {
                eprintln!("unknown option '{word}'; the head of benches/big/main.rs lists them");
                std::process::exit(2);
            }
        }
    }
    let big = Big { server: Server::builder().config("maxmemory-policy noeviction").start(), entries };
    println!("\n{entries} entries\n");
    println!("| step | took | longest gap | |");
    println!("|---|---|---|---|");
    big.all();
}

/// A server with a big cache.
struct Big {
    server: Server,
    entries: usize,
}

/// Somebody who asks for a plain key all the time, and how long each wait was at worst.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Duration>,
}

impl Watcher {
    fn start(server: &Server) -> Watcher {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut c, enough) = (server.client(), stop.clone());
        c.set_patience(LONG);
        let thread = thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !enough.load(Ordering::Relaxed) {
                let asked = Instant::now();
                c.words("GET plain");
                worst = worst.max(asked.elapsed());
                thread::sleep(Duration::from_micros(200));
            }
            worst
        });
        Watcher { stop, thread }
    }

    fn worst(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

impl Big {
    fn client(&self) -> Client {
        let mut c = self.server.client();
        c.set_patience(LONG);
        c
    }

    /// Runs a step while somebody watches, and goes on watching until what it left behind is done.
    fn step(&self, what: &str, work: impl FnOnce(&mut Client) -> String) {
        let mut c = self.client();
        let watcher = Watcher::start(&self.server);
        thread::sleep(Duration::from_millis(20));
        let started = Instant::now();
        let note = work(&mut c);
        let took = started.elapsed();
        self.settle(&mut c);
        println!("| {what} | {} | {} | {note} |", millis(took), millis(watcher.worst()));
    }

    /// Waits until memory no longer changes: threads are done with freeing and compressing.
    fn settle(&self, c: &mut Client) {
        let (mut before, mut since) = (0, Instant::now());
        until("the memory no longer changes", LONG, || {
            let now = memory(c);
            if now.abs_diff(before) > 256 << 10 {
                (before, since) = (now, Instant::now());
            }
            since.elapsed() > Duration::from_millis(400)
        });
    }

    fn load(&self, c: &mut Client, key: &str, range: std::ops::Range<usize>, options: &str) {
        let options: Vec<Vec<u8>> = options.split_whitespace().map(|word| word.as_bytes().to_vec()).collect();
        for from in range.clone().step_by(ITEMS) {
            let to = range.end.min(from + ITEMS);
            let mut words = args!["LLMCACHE.WARM", key];
            words.extend(options.iter().cloned());
            words.extend(args!["ITEMS", to - from]);
            for i in from..to {
                let prompt = format!("What is the answer to question number {i}, please?");
                let answer = format!("The answer to question {i} is {}. ", i * 7919 % 1_000_003).repeat(6);
                words.extend(args![prompt, answer]);
            }
            let told = c.cmd(&words);
            assert_eq!(told.field("stored").int(), (to - from) as i64, "{told:?}");
        }
    }

    /// Fills `faq` again where a step has emptied it.
    fn refill(&self, options: &str) {
        let mut c = self.client();
        c.words("DEL faq");
        self.settle(&mut c);
        self.load(&mut c, "faq", 0..self.entries, options);
        self.settle(&mut c);
    }

    fn line(&self, line: &str) {
        self.step(&format!("`{line}`"), |c| {
            let reply = c.words(line);
            assert!(!reply.is_error(), "{line}: {reply:?}");
            String::new()
        });
    }

    fn all(&self) {
        let half = self.entries / 2;
        let mut c = self.client();
        c.words("SET plain value").ok();
        self.step("nothing", |_| {
            thread::sleep(Duration::from_secs(1));
            String::new()
        });
        self.step("load by `WARM`, 500 items each", |c| {
            let started = Instant::now();
            self.load(c, "faq", 0..self.entries, "MODEL a TAGS 1 t");
            format!("{:.0} entries a second", self.entries as f64 / started.elapsed().as_secs_f64())
        });
        println!("| | | | {} MB |", memory(&mut c) >> 20);
        self.step("10,000 `SET`, 50 in a pipeline", |c| {
            for from in (0..10_000).step_by(50) {
                let set = |i: usize| args!["LLMCACHE.SET", "faq", format!("one more {i}"), "an answer", "PERSIST"];
                c.pipeline(&(from..from + 50).map(set).collect::<Vec<_>>());
            }
            String::new()
        });
        for line in ["MEMORY USAGE faq", "LLMCACHE.STATS faq", "LLMCACHE.STATS faq BY model", "LLMCACHE.INFO faq"] {
            self.line(line);
        }
        self.line("LLMCACHE.SCAN faq 0 COUNT 1000");
        self.line("LLMCACHE.SCAN faq 0 COUNT 1000000");
        for line in ["RENAME faq other", "RENAME other faq", "SWAPDB 0 1", "SWAPDB 1 0"] {
            self.line(line);
        }
        self.step("`BGSAVE`", |c| {
            self.server.bgsave();
            format!("the fork alone {} µs", c.info_field("stats", "latest_fork_usec").unwrap())
        });
        self.line("COPY faq copy");
        self.line("DEL copy");
        self.line("LLMCACHE.INVALIDATE faq TAG 1 t DRYRUN");
        self.line("LLMCACHE.INVALIDATE faq SOFT TAG 1 t");
        self.line("LLMCACHE.INVALIDATE faq TAG 1 t");
        self.refill("MODEL a TAGS 1 t");
        self.line("LLMCACHE.INVALIDATE faq MODEL a");
        self.refill("MODEL a");
        self.line("LLMCACHE.INVALIDATE faq ALL");
        self.refill("MODEL a");
        self.line("LLMCACHE.ALTER faq EVICT ttl");
        self.line("LLMCACHE.ALTER faq EVICT lru");
        self.step(&format!("`LLMCACHE.ALTER faq MAXENTRIES {half}`"), |c| {
            cmd!(c, "LLMCACHE.ALTER", "faq", "MAXENTRIES", half).ok();
            let left = |c: &mut Client| c.words("LLMCACHE.STATS faq").field("entries").int();
            until("the limit holds", LONG, || left(c) <= half as i64);
            "until the limit holds".to_owned()
        });
        self.step("`LLMCACHE.ALTER faq MODE similar`", |c| {
            c.words("LLMCACHE.ALTER faq MODE similar").ok();
            let state = |c: &mut Client| c.words("LLMCACHE.INFO faq").field("index").field("state").text();
            until("the index is ready", LONG, || state(c) == "ready");
            "until the index is ready".to_owned()
        });
        self.line("LLMCACHE.ALTER faq MODE exact");
        let started = Instant::now();
        self.refill("");
        // As long as it took without an expiry, and half of that again.
        let at = now_ms() + started.elapsed().as_millis() * 3 / 2 + 1000;
        self.refill(&format!("PXAT {at}"));
        self.step("all entries expire at once", |c| {
            let left = |c: &mut Client| c.words("LLMCACHE.STATS faq").field("entries").int();
            until("nothing is left", LONG, || left(c) == 0);
            format!("{} ms until all are freed", now_ms().saturating_sub(at))
        });
        self.refill("");
        self.line("DEBUG RELOAD");
        for line in ["DEL faq", "UNLINK faq", "FLUSHDB", "FLUSHALL ASYNC"] {
            self.line(line);
            if line != "FLUSHALL ASYNC" {
                self.refill("");
            }
        }
    }
}

fn memory(c: &mut Client) -> u64 {
    c.info_field("memory", "used_memory").unwrap().parse().unwrap()
}

fn now_ms() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()
}
