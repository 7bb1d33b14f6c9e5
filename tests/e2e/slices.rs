//! Changes of very many entries: made in full, told to everyone, and nobody else waits for them.

use crate::harness::{args, cmd, until, Client, Pair, Server, PATIENCE};
use crate::pressure::{at_least_once, Pinger};
use crate::support::{digest, stat};
use std::time::{Duration, Instant};

/// Entries of two models, of tags and of neither: of each three one, from a number to another.
const FILL: &str = "for i = ARGV[1], ARGV[2] do \
    local o = {{'MODEL', 'a'}, {'TAGS', 1, 't'}, {'MODEL', 'b'}} \
    redis.call('LLMCACHE.SET', KEYS[1], 'prompt '..i, 'answer '..i, 'EX', 1000, 'STALE', 1000, unpack(o[i % 3 + 1])) end";

fn fill(c: &mut Client, key: &str, entries: usize) {
    for from in (0..entries).step_by(10_000) {
        cmd!(c, "EVAL", FILL, 1, key, from, entries.min(from + 10_000) - 1);
    }
}

/// Sends a command, and hands back a client that is to read its reply.
fn begin(server: &Server, line: &str) -> Client {
    let mut c = server.client();
    c.send(&line.split(' ').collect::<Vec<_>>());
    c
}

const MANY: usize = 30_000;

#[test]
fn what_is_meant_goes_and_nothing_else_wherever_it_is_kept() {
    let pair = Pair::with(|builder| builder.aof_everysec());
    let mut c = pair.primary.client();
    let third = MANY as i64 / 3;
    for (selector, what) in [("MODEL a", 0), ("TAG 1 t", 1), ("MATCH *", 2)] {
        c.words("DEL faq");
        fill(&mut c, "faq", MANY);
        let expected = if what == 2 { MANY as i64 } else { third };
        assert_eq!(c.words(&format!("LLMCACHE.INVALIDATE faq {selector} DRYRUN")), expected);
        assert_eq!(c.words(&format!("LLMCACHE.INVALIDATE faq SOFT {selector}")), expected);
        assert_eq!(stat(&mut c, "entries"), MANY as i64);
        assert_eq!(c.words(&format!("LLMCACHE.INVALIDATE faq {selector}")), expected, "stale ones can be seen");
        assert_eq!(stat(&mut c, "entries"), MANY as i64 - expected);
        assert_eq!(stat(&mut c, "invalidations"), 2 * expected);
        pair.wait_in_sync();
        assert_eq!(digest(&mut pair.replica.client(), "faq"), digest(&mut c, "faq"), "{selector}");
    }
    fill(&mut c, "faq", MANY);
    assert_eq!(c.words("LLMCACHE.INVALIDATE faq SOFT MODEL a"), third);
    c.words("LLMCACHE.ALTER faq MAXENTRIES 7000").ok();
    assert_eq!(stat(&mut c, "entries"), 7000, "the limit holds when the reply is there");
    pair.wait_in_sync();
    let before = digest(&mut c, "faq");
    assert_eq!(digest(&mut pair.replica.client(), "faq"), before);
    let mut primary = pair.primary;
    primary.crash_and_restart();
    assert_eq!(digest(&mut primary.client(), "faq"), before);
}

#[test]
fn in_a_transaction_all_of_it_is_done_at_once() {
    let server = Server::start();
    let mut c = server.client();
    fill(&mut c, "faq", MANY);
    c.words("MULTI").ok();
    c.words("LLMCACHE.INVALIDATE faq MODEL a");
    c.words("LLMCACHE.ALTER faq MAXENTRIES 6000");
    c.words("LLMCACHE.STATS faq");
    let told = c.words("EXEC");
    assert_eq!(*told.at(0), MANY as i64 / 3);
    told.at(1).ok();
    assert_eq!(told.at(2).field("entries").int(), 6000);
}

#[test]
fn others_carry_on_meanwhile() {
    let server = Server::start();
    let mut c = server.client();
    fill(&mut c, "faq", 100_000);
    // What is stored behind it is not meant by it, wherever it has come to.
    let mut waiting = begin(&server, "LLMCACHE.INVALIDATE faq MATCH *");
    until("it has begun", PATIENCE, || stat(&mut c, "entries") < 100_000);
    crate::support::pass(2);
    let new: Vec<_> = (0..50).map(|i| args!["LLMCACHE.SET", "faq", format!("new {i}"), "answer"]).collect();
    c.pipeline(&new).iter().for_each(|reply| reply.ok());
    // It finds the cache under another name as well.
    c.words("RENAME faq other").ok();
    assert_eq!(waiting.read(), 100_000);
    c.words("RENAME other faq").ok();
    assert_eq!(stat(&mut c, "entries"), 50);
    assert!(cmd!(c, "LLMCACHE.GET", "faq", "prompt 5").is_null());
    // A cache that is deleted meanwhile, and a client that does not wait.
    fill(&mut c, "faq", MANY);
    let mut waiting = begin(&server, "LLMCACHE.INVALIDATE faq MODEL a");
    c.words("DEL faq");
    assert!(waiting.read().int() <= MANY as i64 / 3);
    fill(&mut c, "faq", MANY);
    drop(begin(&server, "LLMCACHE.ALTER faq MAXENTRIES 100"));
    until("it is done without its client", PATIENCE, || stat(&mut c, "entries") == 100);
    // While a cache shrinks, stores into it do not wait for that.
    c.words("LLMCACHE.ALTER faq MAXENTRIES 0").ok();
    fill(&mut c, "faq", MANY);
    let mut waiting = begin(&server, "LLMCACHE.ALTER faq MAXENTRIES 100 EVICT lru");
    cmd!(c, "LLMCACHE.SET", "faq", "late", "answer").ok();
    waiting.read().ok();
    assert_eq!(stat(&mut c, "entries"), 100);
    assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", "late"), "answer", "it is the newest");
}

/// Whoever takes over a cache in the middle of a change to a lower limit has nobody who goes on with it but the timer.
#[test]
fn a_cache_that_is_taken_over_while_it_shrinks_goes_on() {
    let pair = Pair::with(|builder| builder);
    let mut c = pair.primary.client();
    fill(&mut c, "faq", 3 * MANY);
    pair.wait_in_sync();
    let mut waiting = begin(&pair.primary, "LLMCACHE.ALTER faq MAXENTRIES 10");
    until("it has begun", PATIENCE, || stat(&mut c, "entries") < 3 * MANY as i64);
    c.words("COPY faq copied");
    let payload = cmd!(c, "DUMP", "faq").bytes().to_vec();
    cmd!(c, "RESTORE", "restored", 0, payload).ok();
    let entries = |c: &mut Client, key: &str| cmd!(c, "LLMCACHE.INFO", key).field("entries").int();
    assert!(entries(&mut c, "copied") > 10, "in the middle of it");
    for key in ["copied", "restored"] {
        until("the limit holds", PATIENCE, || entries(&mut c, key) <= 10);
    }
    waiting.read().ok();
    pair.wait_in_sync();
    for key in ["faq", "copied", "restored"] {
        assert_eq!(digest(&mut pair.replica.client(), key), digest(&mut c, key), "{key}");
    }
}

/// What has come in its place is another cache, of which nothing was changed.
#[test]
fn a_cache_that_is_replaced_meanwhile_is_no_success() {
    let server = Server::start();
    let mut c = server.client();
    type Replace = fn(&mut Client, &[u8]);
    let lines: [Replace; 3] = [
        |c, payload| cmd!(c, "RESTORE", "faq", 0, payload, "REPLACE").ok(),
        |c, _| c.words("RENAME copy faq").ok(),
        |c, _| c.words("DEBUG RELOAD").ok(),
    ];
    for replace in lines {
        c.words("FLUSHALL").ok();
        fill(&mut c, "faq", 60_000);
        c.words("COPY faq copy");
        let payload = cmd!(c, "DUMP", "faq").bytes().to_vec();
        let mut waiting = begin(&server, "LLMCACHE.INVALIDATE faq MATCH *");
        until("it has begun", PATIENCE, || stat(&mut c, "entries") < 60_000);
        replace(&mut c, &payload);
        let told = waiting.read();
        assert!(told.error().starts_with("ERR another cache"), "{told:?}");
        let left = stat(&mut c, "entries");
        assert_eq!(c.words("LLMCACHE.INVALIDATE faq MATCH *"), left);
        assert_eq!(stat(&mut c, "entries"), 0);
    }
}

/// What is held to so short a time that no other test may run beside it.
mod alone {
    use super::*;

    #[test]
    fn nobody_waits_for_a_change_of_very_many_entries() {
        let server = Server::start();
        let mut c = server.client();
        for line in [
            "LLMCACHE.INVALIDATE faq TAG 1 t",
            "LLMCACHE.INVALIDATE faq SOFT MODEL a",
            "LLMCACHE.ALTER faq MAXENTRIES 10",
        ] {
            at_least_once(|| {
                c.words("DEL faq");
                fill(&mut c, "faq", 150_000);
                let pinger = Pinger::start(&server);
                let asked = Instant::now();
                assert!(!c.words(line).is_error());
                let (took, waited) = (asked.elapsed(), pinger.worst());
                let gentle = waited < took / 3 || waited < Duration::from_millis(8);
                gentle.then_some(()).ok_or(format!("{line} took {took:?}, others waited {waited:?}"))
            });
        }
    }

    #[test]
    fn nobody_waits_for_a_deleted_cache_to_be_freed() {
        let server = Server::start();
        let mut c = server.client();
        at_least_once(|| {
            fill(&mut c, "faq", 200_000);
            let asked = Instant::now();
            assert_eq!(c.words("DEL faq"), 1);
            let took = asked.elapsed();
            let quick = took < Duration::from_millis(15);
            quick.then_some(()).ok_or(format!("DEL took {took:?}"))
        });
    }
}
