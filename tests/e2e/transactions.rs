//! MULTI, WATCH, scripts and tracking clients: a cache changes in one piece, and who watches is told.

use crate::harness::{cmd, Client, Pair, Reply, Server};
use crate::support::{both, digest, get, id_of, set, store, NO_ID};
use std::time::Duration;

#[test]
fn transactions_take_every_command() {
    both(|c| {
        c.words("MULTI").ok();
        for line in [
            "SET faq a 1",
            "GET faq a",
            "SET faq a 2 NX",
            "INVALIDATE faq ALL",
            "GET faq a",
            "SET faq b 3 EX 100",
            "GET faq b",
        ] {
            assert_eq!(c.words(&format!("LLMCACHE.{line}")), "QUEUED");
        }
        let replies = c.words("EXEC");
        assert!(replies.at(0).is_ok() && replies.at(5).is_ok());
        assert!(replies.at(2).is_null() && replies.at(4).is_null());
        assert_eq!([replies.at(1), replies.at(6)].map(Reply::text), ["1", "3"]);
        assert_eq!(*replies.at(3), 1);
        // An error in the middle stops nothing, as ever.
        c.words("MULTI").ok();
        c.words("LLMCACHE.SET faq p r EX 0");
        c.words("LLMCACHE.SET faq p r");
        let replies = c.words("EXEC");
        assert!(replies.at(0).is_error() && replies.at(1).is_ok());
    });
}

#[test]
fn watch_sees_every_change_and_no_look() {
    let server = Server::start();
    let (mut c, mut other) = (server.client(), server.client());
    let prepare = |c: &mut Client| {
        set(c, "p", "r", "EX 100 TAGS 1 t").ok();
        set(c, "q", "r", "EX 100").ok();
        id_of(c, "p")
    };
    let id = prepare(&mut other);
    for (line, changes) in [
        ("GET faq p", false),
        ("EXPLAIN faq p", false),
        ("STATS faq", false),
        ("SCAN faq 0", false),
        ("SET faq p r NX", false),
        ("INVALIDATE faq ALL DRYRUN", false),
        (&format!("DEL faq {NO_ID}"), false),
        ("SET faq p r EX 0", false),
        ("SET faq p new", true),
        ("SET faq other r", true),
        (&format!("DEL faq {id}"), true),
        ("INVALIDATE faq TAG 1 t", true),
        ("INVALIDATE faq TAG 1 t SOFT", true),
        (&format!("EXPIRE faq {id} 50"), true),
        ("ALTER faq STALE 1", true),
        ("RULE faq SET r STRATEGY standard", true),
        ("STRATEGY faq SET s TTL 1", true),
        ("ALERT faq SET a roi ABOVE 5", true),
        ("ALERT faq LIST", false),
        ("SET faq p r PXAT 1", true),
    ] {
        prepare(&mut other);
        c.words("WATCH faq").ok();
        other.words(&format!("LLMCACHE.{line}"));
        c.words("MULTI").ok();
        c.words("PING");
        let given_up = c.words("EXEC").is_null();
        assert_eq!(given_up, changes, "{line}");
    }
}

#[test]
fn scripts_may_do_what_clients_do() {
    let pair = Pair::start();
    let mut c = pair.primary.client();
    let script = "redis.call('LLMCACHE.SET', KEYS[1], 'a', ARGV[1], 'EX', 1000) \
                  redis.call('LLMCACHE.SET', KEYS[1], 'b', ARGV[1]) \
                  local n = redis.call('LLMCACHE.INVALIDATE', KEYS[1], 'PROMPT', 'b') \
                  local miss = redis.call('LLMCACHE.GET', KEYS[1], 'b') \
                  return {redis.call('LLMCACHE.GET', KEYS[1], 'a'), n, tostring(miss), #redis.call('LLMCACHE.GET', KEYS[1], 'a', 'WITHMETA')}";
    let told = cmd!(c, "EVAL", script, 1, "faq", b"bytes\0\xff");
    assert_eq!(told.at(0).bytes(), b"bytes\0\xff");
    assert_eq!(*told.at(1), 1);
    assert_eq!(told.at(2).text(), "false");
    assert_eq!(*told.at(3), 36);
    let error = cmd!(c, "EVAL", "return redis.pcall('LLMCACHE.SET', KEYS[1], 'p', 'r', 'EX', '0')", 1, "faq");
    assert!(error.error().starts_with("ERR EX must be "), "{error:?}");
    let read_only = cmd!(c, "EVAL_RO", "return redis.call('LLMCACHE.GET', KEYS[1], 'a')", 1, "faq");
    assert_eq!(read_only.bytes(), b"bytes\0\xff");
    assert!(cmd!(c, "EVAL_RO", "return redis.call('LLMCACHE.SET', KEYS[1], 'a', 'x')", 1, "faq").is_error());
    pair.wait_in_sync();
    let mut replica = pair.replica.client();
    assert_eq!(digest(&mut replica, "faq"), digest(&mut c, "faq"));
    assert_eq!(get(&mut replica, "a", "").bytes(), b"bytes\0\xff");
}

#[test]
fn a_client_that_tracks_is_told_of_changes() {
    let server = Server::start();
    let (mut tracker, mut other) = (server.client3(), server.client());
    store(&mut other, "p", "r");
    tracker.words("CLIENT TRACKING ON").ok();
    assert_eq!(get(&mut tracker, "p", ""), "r");
    get(&mut other, "p", "");
    assert_eq!(tracker.push_within(Duration::from_millis(50)), None, "a look is no change");
    store(&mut other, "q", "r");
    let push = tracker.push();
    assert_eq!(push.at(0).text(), "invalidate");
    assert_eq!(push.at(1).texts(), ["faq"]);
}

#[test]
fn whoever_watches_or_tracks_a_cache_hears_that_an_answer_has_ended() {
    let server = Server::start();
    let (mut c, mut tracker) = (server.client3(), server.client3());
    tracker.words("CLIENT TRACKING ON").ok();
    cmd!(c, "LLMCACHE.SET", "faq", "p", "r", "PX", 300).ok();
    cmd!(c, "LLMCACHE.SET", "faq", "q", "r", "PERSIST").ok();
    assert_eq!(get(&mut tracker, "p", ""), "r");
    c.words("WATCH faq").ok();
    let told = tracker.push();
    assert!(format!("{told:?}").contains("invalidate"), "{told:?}");
    assert!(get(&mut tracker, "p", "").is_null());
    c.words("MULTI").ok();
    c.words("PING");
    assert!(c.words("EXEC").is_null(), "it has changed");
}
