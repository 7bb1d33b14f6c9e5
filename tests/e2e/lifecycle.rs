//! A cache as a key: what the server's own commands do with it, and how memory comes back.

use crate::harness::{args, cmd, until, Client, Server, PATIENCE};
use crate::support::{both, digest, get, id_of, kept, pass, prompts, set, stat, state, store};
use std::time::Duration;

/// Expired memory is to be back within a few seconds.
const SOON: Duration = Duration::from_secs(5);

fn entries(c: &mut Client, key: &str) -> i64 {
    cmd!(c, "LLMCACHE.STATS", key).field("entries").int()
}

#[track_caller]
fn used(c: &mut Client) -> i64 {
    c.info_field("memory", "used_memory").unwrap().parse().unwrap()
}

/// A policy, a rule and three entries of different kinds.
fn fill(c: &mut Client) {
    c.words("LLMCACHE.CREATE faq MAXENTRIES 100 STALE 60").ok();
    c.words("LLMCACHE.STRATEGY faq SET mine TTL 500").ok();
    c.words("LLMCACHE.RULE faq SET r TYPE t STRATEGY mine").ok();
    c.words("LLMCACHE.ALERT faq SET a roi ABOVE 5").ok();
    set(c, "a", "1", "PERSIST TAGS 2 x y META {}").ok();
    set(c, "b", "2", "EX 1000 MODEL m SCOPE s SYSTEM sys PARAMS {\"t\":1}").ok();
    set(c, "c", &"three ".repeat(100), "TYPE t COST 0.5").ok();
    get(c, "a", "");
}

#[test]
fn the_type_is_llm_cache() {
    both(|c| {
        fill(c);
        cmd!(c, "SET", "other", "x").ok();
        assert_eq!(c.raw(&["TYPE", "faq"]), b"+llm-cache\r\n");
        assert_eq!(c.words("SCAN 0 TYPE llm-cache").at(1).texts(), ["faq"]);
        assert_eq!(c.words("EXISTS faq"), 1);
        assert!(!c.words("OBJECT ENCODING faq").is_error());
        assert_eq!(c.words("OBJECT REFCOUNT faq"), 1);
        assert!(c.words("OBJECT IDLETIME faq").int() >= 0);
        let usage = c.words("MEMORY USAGE faq").int();
        cmd!(c, "LLMCACHE.SET", "faq", "big", crate::support::Dice::new("usage").text(10_000)).ok();
        assert!(c.words("MEMORY USAGE faq").int() > usage + 4000);
        for command in ["GET faq", "LPUSH faq x", "HSET faq a b", "APPEND faq x", "INCR faq"] {
            assert!(c.words(command).error().starts_with("WRONGTYPE "), "{command}");
        }
    });
}

#[test]
fn rename_and_move_take_the_whole_cache_along() {
    both(|c| {
        fill(c);
        let (before, digest_before) = (state(c), digest(c, "faq"));
        c.words("RENAME faq new").ok();
        assert_eq!(c.words("EXISTS faq"), 0);
        assert_eq!((c.words("DUMP new"), digest(c, "new")), (before.clone(), digest_before));
        assert_eq!(c.words("RENAMENX new faq"), 1);
        assert_eq!(c.words("MOVE faq 3"), 1);
        assert_eq!(c.words("EXISTS faq"), 0);
        assert!(get(c, "a", "").is_null());
        c.words("SELECT 3").ok();
        assert_eq!(state(c), before);
        assert_eq!(get(c, "a", ""), "1");
        // Over another cache: that one is gone.
        cmd!(c, "LLMCACHE.SET", "old", "p", "r").ok();
        c.words("RENAME faq old").ok();
        assert!(cmd!(c, "LLMCACHE.GET", "old", "p").is_null());
        assert_eq!(cmd!(c, "LLMCACHE.GET", "old", "a"), "1");
        c.words("SELECT 0").ok();
    });
}

#[test]
fn a_copy_is_equal_and_from_then_on_its_own() {
    both(|c| {
        fill(c);
        assert_eq!(c.words("COPY faq copy"), 1);
        assert_eq!(c.words("COPY faq copy"), 0);
        assert_eq!(c.words("COPY faq faq DB 1"), 1);
        assert_eq!(c.words("DUMP copy"), state(c));
        assert_eq!(digest(c, "copy"), digest(c, "faq"));
        let before = c.words("DUMP copy");
        set(c, "a", "changed", "").ok();
        c.words("LLMCACHE.ALTER faq MAXENTRIES 1").ok();
        c.words("LLMCACHE.RULE faq DEL r");
        c.words("LLMCACHE.INVALIDATE faq ALL");
        assert_eq!(c.words("DUMP copy"), before);
        c.words("DEL faq");
        assert_eq!(cmd!(c, "LLMCACHE.GET", "copy", "a"), "1");
        assert_eq!(c.words("COPY copy faq REPLACE"), 1);
        assert_eq!(get(c, "a", ""), "1");
        c.words("SELECT 1").ok();
        assert_eq!(c.words("DUMP faq"), before);
        c.words("SELECT 0").ok();
    });
}

#[test]
fn dump_and_restore_bring_back_everything() {
    both(|c| {
        fill(c);
        c.words("LLMCACHE.INVALIDATE faq MATCH b SOFT");
        let (payload, digest_before, info) = (state(c), digest(c, "faq"), kept(&c.words("LLMCACHE.INFO faq")));
        let stats = kept(&c.words("LLMCACHE.STATS faq"));
        cmd!(c, "RESTORE", "back", 0, payload.bytes()).ok();
        assert_eq!(c.words("DUMP back"), payload);
        assert_eq!(digest(c, "back"), digest_before);
        assert_eq!(kept(&c.words("LLMCACHE.INFO back")), info);
        assert_eq!(kept(&c.words("LLMCACHE.STATS back")), stats);
        assert!(cmd!(c, "RESTORE", "back", 0, payload.bytes()).error().starts_with("BUSYKEY"));
        cmd!(c, "RESTORE", "back", 100_000, payload.bytes(), "REPLACE").ok();
        assert!((99..=100).contains(&c.words("TTL back").int()));
    });
}

#[test]
fn migrate_takes_a_cache_to_another_server() {
    let (from, to) = (Server::start(), Server::start());
    let (mut c, mut there) = (from.client(), to.client());
    fill(&mut c);
    let (before, digest_before) = (state(&mut c), digest(&mut c, "faq"));
    c.words(&format!("MIGRATE 127.0.0.1 {} faq 0 20000", to.port())).ok();
    assert_eq!(c.words("EXISTS faq"), 0);
    assert_eq!((state(&mut there), digest(&mut there, "faq")), (before, digest_before));
    assert_eq!(get(&mut there, "a", ""), "1");
}

#[test]
fn a_digest_is_of_what_a_cache_holds() {
    both(|c| {
        fill(c);
        let before = digest(c, "faq");
        get(c, "a", "");
        assert_eq!(digest(c, "faq"), before, "reads do not count");
        c.words("DEBUG RELOAD").ok();
        assert_eq!(digest(c, "faq"), before);
        let id = id_of(c, "a");
        let mut seen = vec![before];
        for line in [
            format!("EXPIRE faq {id} 77"),
            "INVALIDATE faq MATCH a SOFT".into(),
            "SET faq a other".into(),
            "ALTER faq JITTER 3".into(),
            "STRATEGY faq SET x TTL 3".into(),
            format!("DEL faq {id}"),
        ] {
            assert!(!c.words(&format!("LLMCACHE.{line}")).is_error());
            let now = digest(c, "faq");
            assert!(!seen.contains(&now), "{line}");
            seen.push(now);
        }
    });
}

#[test]
fn a_key_that_expires_takes_its_cache_along() {
    both(|c| {
        fill(c);
        assert_eq!(c.words("PEXPIRE faq 20"), 1);
        assert_eq!(get(c, "a", ""), "1");
        pass(25);
        assert!(get(c, "a", "").is_null());
        assert_eq!(c.words("EXISTS faq"), 0);
        store(c, "p", "r");
        assert_eq!(c.words("TTL faq"), -1);
        c.words("EXPIRE faq 1000");
        store(c, "q", "r");
        assert!(c.words("TTL faq").int() > 990, "a store leaves the key's own TTL alone");
        c.words("PERSIST faq");
    });
}

#[test]
fn caches_that_are_deleted_give_their_memory_back() {
    let server = Server::start();
    let mut c = server.client();
    // The compressor's own memory stays.
    set(&mut c, "p", &"x".repeat(500), "").ok();
    c.words("DEL faq");
    let before = used(&mut c);
    for gone in ["DEL faq", "UNLINK faq", "FLUSHDB", "FLUSHALL ASYNC", "FLUSHALL SYNC", "SET faq x", "RENAME other faq"]
    {
        for i in 0..20 {
            let commands: Vec<_> = (0..100)
                .map(|j| args!["LLMCACHE.SET", "faq", format!("{i} {j}"), "x".repeat(500), "TAGS", 1, j])
                .collect();
            assert!(c.pipeline(&commands).iter().all(|reply| reply.is_ok()));
        }
        assert!(used(&mut c) > before + 500_000);
        cmd!(c, "SET", "other", "x").ok();
        assert!(!c.words(gone).is_error(), "{gone}");
        until(&format!("memory is back after {gone}"), PATIENCE, || used(&mut c) < before + 200_000);
        let all = c.words("LLMCACHE.STATS");
        assert_eq!([all.field("entries").int(), all.field("stores").int()], [0, 0], "{gone}");
        c.words("FLUSHALL").ok();
    }
}

#[test]
fn stats_without_a_key_are_the_sum_over_all_caches() {
    both(|c| {
        for (db, key) in [(0, "one"), (0, "two"), (5, "three")] {
            cmd!(c, "SELECT", db).ok();
            cmd!(c, "LLMCACHE.SET", key, "p", "r", "COST", "0.5").ok();
            cmd!(c, "LLMCACHE.GET", key, "p");
            cmd!(c, "LLMCACHE.GET", key, "q");
        }
        let figures = |c: &mut Client| {
            let all = c.words("LLMCACHE.STATS");
            assert_eq!(all.names(), c.words("LLMCACHE.STATS none").names());
            (
                ["entries", "hits", "misses", "stores"].map(|name| all.field(name).int()),
                all.field("cost_saved_usd").text(),
            )
        };
        assert_eq!(figures(c), ([3, 3, 3, 3], "1.500000".into()));
        c.words("DEL three");
        assert_eq!(figures(c), ([2, 2, 2, 2], "1.000000".into()));
        c.words("SELECT 0").ok();
        c.words("COPY one copy");
        assert_eq!(figures(c).0[0], 3);
        c.words("RENAME copy one").ok();
        assert_eq!(figures(c).0[0], 2);
        c.words("FLUSHALL").ok();
        assert_eq!(figures(c), ([0, 0, 0, 0], "0.000000".into()));
    });
}

/// Puts a thousand entries that live shortly into `faq`.
fn fill_for_a_moment(c: &mut Client) {
    let commands: Vec<_> =
        (0..1000).map(|i| args!["LLMCACHE.SET", "faq", i, "y".repeat(2000), "PX", 30, "TAGS", 1, "t"]).collect();
    c.words("LLMCACHE.CREATE faq COMPRESS none").ok();
    assert!(c.pipeline(&commands).iter().all(|reply| reply.is_ok()));
}

#[test]
fn memory_of_expired_entries_comes_back_in_a_cache_that_nobody_touches() {
    let server = Server::start();
    let mut c = server.client();
    let before = used(&mut c);
    for (what, key, db, lines) in [
        ("untouched", "faq", 0, vec![]),
        ("renamed", "renamed", 0, vec!["RENAME faq renamed"]),
        ("moved", "faq", 2, vec!["MOVE faq 2"]),
        ("swapped", "faq", 1, vec!["SWAPDB 0 1"]),
        ("copied", "copy", 0, vec!["COPY faq copy", "DEL faq"]),
        ("reloaded", "faq", 0, vec!["DEBUG RELOAD"]),
    ] {
        fill_for_a_moment(&mut c);
        assert!(used(&mut c) > before + 2_000_000);
        for line in lines {
            assert!(!c.words(line).is_error(), "{line}");
        }
        cmd!(c, "SELECT", db).ok();
        until(&format!("a cache that was {what} is empty"), SOON, || entries(&mut c, key) == 0);
        until(&format!("memory is back from a cache that was {what}"), SOON, || used(&mut c) < before + 500_000);
        let stats = cmd!(c, "LLMCACHE.STATS", key);
        assert_eq!(*stats.field("expirations"), 1000, "{what}");
        let statistics = cmd!(c, "LLMCACHE.INFO", key).field("memory").field("statistics").int();
        assert!(stats.field("memory_bytes").int() - statistics < 10_000, "{what}");
        assert!(statistics < 10_000, "{what}: {statistics}");
        assert_eq!(c.words(&format!("EXISTS {key}")), 1, "the key itself stays");
        c.words("SELECT 0").ok();
        c.words("FLUSHALL").ok();
    }
}

#[test]
fn an_expired_entry_is_invisible_everywhere_at_once() {
    both(|c| {
        set(c, "p", "r", "EX 100 TAGS 1 t").ok();
        let id = id_of(c, "p");
        set(c, "p", "r", "PX 10 TAGS 1 t").ok();
        pass(12);
        assert!(get(c, "p", "STALEOK").is_null());
        assert_eq!(stat(c, "miss_expired"), 1);
        assert!(prompts(c, "").is_empty());
        assert!(cmd!(c, "LLMCACHE.ENTRY", "faq", id).is_null());
        assert_eq!(cmd!(c, "LLMCACHE.TTL", "faq", id), -2);
        assert_eq!(cmd!(c, "LLMCACHE.EXPIRE", "faq", id, 100), 0);
        assert_eq!(c.words("LLMCACHE.INVALIDATE faq TAG 1 t DRYRUN"), 0);
        assert_eq!(c.words("LLMCACHE.INVALIDATE faq PROMPT p"), 0);
        assert_eq!(cmd!(c, "LLMCACHE.DEL", "faq", id), 0);
    });
}

#[test]
fn a_miss_is_expired_until_its_memory_is_given_back() {
    let server = Server::start();
    let mut c = server.client();
    set(&mut c, "p", "r", "PX 10").ok();
    pass(12);
    get(&mut c, "p", "");
    assert_eq!([stat(&mut c, "miss_expired"), stat(&mut c, "miss_absent")], [1, 0]);
    until("the entry is freed", SOON, || entries(&mut c, "faq") == 0);
    get(&mut c, "p", "");
    assert_eq!([stat(&mut c, "miss_expired"), stat(&mut c, "miss_absent"), stat(&mut c, "expirations")], [1, 1, 1]);
}

#[test]
fn active_defragmentation_leaves_every_answer_as_it_was() {
    let server = Server::start();
    let mut c = server.client();
    // Only servers with their own jemalloc can.
    if c.words("CONFIG SET activedefrag yes").is_error() {
        return;
    }
    c.words("CONFIG SET active-defrag-ignore-bytes 1 active-defrag-threshold-lower 0 active-defrag-cycle-min 75").ok();
    let answer = |i: usize| format!("{i} ").repeat(50 + i % 300);
    for i in 0..6000 {
        set(&mut c, &format!("prompt {i}"), &answer(i), &format!("TAGS 1 {}", i % 7)).ok();
    }
    // Holes: two of three entries go.
    assert_eq!(c.words("LLMCACHE.INVALIDATE faq TAG 4 1 2 3 5").int() / 100, 34);
    until("something has been moved", PATIENCE, || {
        c.info_field("stats", "active_defrag_hits").unwrap().parse::<u64>().unwrap() > 0
    });
    for i in (0..6000).filter(|i| [0, 4, 6].contains(&(i % 7))) {
        assert_eq!(get(&mut c, &format!("prompt {i}"), ""), answer(i).as_str());
    }
    c.words("DEBUG RELOAD").ok();
    assert_eq!(get(&mut c, "prompt 0", ""), answer(0).as_str());
}
