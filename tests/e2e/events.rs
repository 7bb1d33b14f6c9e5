//! Keyspace events: what a cache tells who listens.

use crate::harness::{cmd, Client, Message, Server};
use crate::support::{get, id_of, pass, set, stat, state, store};
use std::time::Duration;

const QUIET: Duration = Duration::from_millis(60);

fn listening(resp3: bool) -> (Server, Client, Client) {
    let server = Server::builder().config("notify-keyspace-events KEA").start();
    let mut listener = if resp3 { server.client3() } else { server.client() };
    listener.subscribe(&["__keyevent@*__:llmcache.*"]);
    let c = server.client();
    (server, c, listener)
}

#[track_caller]
fn hears(listener: &mut Client, events: &[&str]) {
    for event in events {
        let told = listener.message();
        assert_eq!(told, Message { channel: format!("__keyevent@0__:llmcache.{event}"), payload: "faq".into() });
    }
}

#[track_caller]
fn hears_nothing(listener: &mut Client) {
    assert_eq!(listener.message_within(QUIET), None);
}

#[test]
fn stores_and_deletions_are_told_in_both_protocols() {
    for resp3 in [false, true] {
        let (_server, mut c, mut listener) = listening(resp3);
        store(&mut c, "p", "r");
        hears(&mut listener, &["set"]);
        set(&mut c, "p", "again", "EX 100").ok();
        hears(&mut listener, &["set"]);
        let id = id_of(&mut c, "p");
        assert_eq!(cmd!(c, "LLMCACHE.DEL", "faq", id), 1);
        hears(&mut listener, &["del"]);
        for line in ["INVALIDATE faq ALL", "INVALIDATE faq MATCH p", "SET faq p r PXAT 1"] {
            store(&mut c, "p", "r");
            hears(&mut listener, &["set"]);
            c.words(&format!("LLMCACHE.{line}"));
            hears(&mut listener, &["del"]);
        }
        store(&mut c, "p", "r");
        hears(&mut listener, &["set"]);
        assert_eq!(cmd!(c, "LLMCACHE.EXPIRE", "faq", id, -1), 1);
        hears(&mut listener, &["del"]);
        hears_nothing(&mut listener);
    }
}

#[test]
fn what_changes_nothing_is_not_told() {
    let (_server, mut c, mut listener) = listening(false);
    store(&mut c, "p", "r");
    hears(&mut listener, &["set"]);
    let before = state(&mut c);
    for line in [
        "GET faq p NOTOUCH",
        "GET faq absent NOTOUCH",
        "EXPLAIN faq p",
        "SCAN faq 0",
        "STATS faq",
        "INFO faq",
        "SET faq p r EX 0",
        "INVALIDATE faq ALL DRYRUN",
        "INVALIDATE faq MATCH absent",
        "DEL faq 00112233445566778899aabbccddeeff",
        "RULE faq LIST",
        "ALERT faq LIST",
        "CREATE faq",
    ] {
        c.words(&format!("LLMCACHE.{line}"));
    }
    assert_eq!(state(&mut c), before);
    assert!(set(&mut c, "p", "r", "NX").is_null());
    assert!(set(&mut c, "q", "r", "STRATEGY nocache").is_null());
    hears_nothing(&mut listener);
}

#[test]
fn an_eviction_is_told() {
    let (_server, mut c, mut listener) = listening(true);
    c.words("LLMCACHE.CREATE faq MAXENTRIES 1").ok();
    hears_nothing(&mut listener);
    store(&mut c, "a", "r");
    hears(&mut listener, &["set"]);
    store(&mut c, "b", "r");
    let mut told = [listener.message().channel, listener.message().channel];
    told.sort();
    assert_eq!(told, ["__keyevent@0__:llmcache.evicted", "__keyevent@0__:llmcache.set"]);
    store(&mut c, "c", "r");
    listener.message();
    listener.message();
    c.words("LLMCACHE.CREATE other").ok();
    hears_nothing(&mut listener);
}

#[test]
fn an_expiry_is_told_without_anyone_looking_also_after_a_rename_or_a_swap() {
    let (_server, mut c, mut listener) = listening(false);
    for (lines, channel, key) in [
        (vec![], "__keyevent@0__:llmcache.expired", "faq"),
        (vec!["RENAME faq renamed"], "__keyevent@0__:llmcache.expired", "renamed"),
        (vec!["MOVE faq 2"], "__keyevent@2__:llmcache.expired", "faq"),
        (vec!["SWAPDB 0 3"], "__keyevent@3__:llmcache.expired", "faq"),
    ] {
        set(&mut c, "p", "r", "PX 10").ok();
        assert_eq!(listener.message().channel, "__keyevent@0__:llmcache.set");
        for line in lines {
            assert!(!c.words(line).is_error(), "{line}");
        }
        assert_eq!(listener.message(), Message { channel: channel.into(), payload: key.into() });
        c.words("FLUSHALL").ok();
    }
    hears_nothing(&mut listener);
}

#[test]
fn an_entry_that_is_refreshed_in_time_does_not_expire() {
    let (_server, mut c, mut listener) = listening(false);
    set(&mut c, "p", "r", "PX 20").ok();
    store(&mut c, "p", "r");
    hears(&mut listener, &["set", "set"]);
    pass(1300);
    assert_eq!(get(&mut c, "p", ""), "r");
    hears_nothing(&mut listener);
    assert_eq!(stat(&mut c, "expirations"), 0);
}

#[test]
fn the_servers_own_events_of_a_cache_are_as_for_any_key() {
    let server = Server::builder().config("notify-keyspace-events KEA").start();
    let (mut c, mut listener) = (server.client(), server.client());
    listener.subscribe(&["__keyspace@0__:faq"]);
    store(&mut c, "p", "r");
    assert_eq!(listener.message().payload, "llmcache.set");
    c.words("EXPIRE faq 100");
    assert_eq!(listener.message().payload, "expire");
    c.words("DEL faq");
    assert_eq!(listener.message().payload, "del");
}
