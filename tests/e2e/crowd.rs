//! Many clients at once, keys that come and go, snapshots in between: no answer is ever somebody else's.

use crate::harness::{cmd, Client, Server};
use crate::support::Dice;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An answer that can be told to belong to this prompt: long enough to be compressed behind the reply.
fn answer(prompt: &str, dice: &mut Dice) -> String {
    format!("{prompt}|").repeat(1 + dice.below(400) as usize)
}

#[track_caller]
fn belongs(prompt: &str, response: &[u8]) {
    let unit = format!("{prompt}|");
    let whole = response.len().is_multiple_of(unit.len()) && !response.is_empty();
    assert!(whole && response.chunks(unit.len()).all(|chunk| chunk == unit.as_bytes()), "{prompt} got another answer");
}

/// What one client does until the time is up.
fn play(c: &mut Client, mut dice: Dice, over: &AtomicBool, hits: &AtomicU64) {
    while !over.load(Ordering::Relaxed) {
        let key = format!("cache {}", dice.below(4));
        let prompt = format!("{key} prompt {}", dice.below(60));
        // Keys swap names, so the prompt carries what is needed to know its answer.
        match dice.below(40) {
            0 => drop(cmd!(c, "RENAME", key, format!("cache {}", dice.below(4)))),
            1 => drop(cmd!(c, "COPY", key, format!("cache {}", dice.below(4)), "REPLACE")),
            2 => drop(cmd!(c, "UNLINK", key)),
            3 => drop(cmd!(c, "LLMCACHE.ALTER", key, "COMPRESS", ["none", "zstd"][dice.below(2) as usize])),
            4 => drop(cmd!(c, "LLMCACHE.ALTER", key, "MAXMEMORY", [0, 30_000, 200_000][dice.below(3) as usize])),
            5 => drop(cmd!(c, "LLMCACHE.INVALIDATE", key, "MATCH", "*1")),
            6 => drop(cmd!(c, "MOVE", key, 1)),
            7 if dice.below(20) == 0 => drop(cmd!(c, "FLUSHALL", "ASYNC")),
            8 if dice.below(20) == 0 => drop(cmd!(c, "BGSAVE")),
            9 if dice.below(40) == 0 => cmd!(c, "DEBUG", "RELOAD").ok(),
            10 => drop(cmd!(c, "SWAPDB", 0, 1)),
            11..=22 => {
                let response = answer(&prompt, &mut dice);
                let lives = [5, 100, 100_000][dice.below(3) as usize];
                let reply = cmd!(c, "LLMCACHE.SET", key, prompt, response, "PX", lives, "TAGS", 1, "t");
                assert!(reply.is_ok() || reply.is_null(), "{reply:?}");
            }
            _ => {
                let reply = cmd!(c, "LLMCACHE.GET", key, prompt);
                if !reply.is_null() {
                    belongs(&prompt, reply.bytes());
                    hits.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// The end of the game, however it comes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_answer_is_ever_somebody_elses() {
    let server = Server::builder().module_args("threads 3").start();
    let (over, hits) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // Also when this thread fails: the others would play on for ever.
        let _over = Over(&over);
        for i in 0..6 {
            let dice = Dice::new(&format!("client {i}")).skip(i);
            let (mut c, over, hits) = (server.client(), &over, &hits);
            scope.spawn(move || play(&mut c, dice, over, hits));
        }
        let end = Instant::now() + Duration::from_millis(2000);
        let mut c = server.client();
        while Instant::now() < end {
            // What an administrator looks at meanwhile.
            for line in ["LLMCACHE.STATS", "INFO everything", "DBSIZE"] {
                assert!(!c.words(line).is_error(), "{line}");
            }
        }
    });
    assert!(hits.load(Ordering::Relaxed) > 100, "{hits:?} hits");
    let mut c = server.client();
    c.words("FLUSHALL").ok();
    let all = c.words("LLMCACHE.STATS");
    assert_eq!([all.field("entries").int(), all.field("memory_bytes").int()], [0, 0]);
    assert!(!server.log().contains("internal error"), "a panic was caught; see {}", server.dir().display());
}
