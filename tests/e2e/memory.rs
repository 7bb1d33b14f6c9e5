//! Memory: what a cache says it takes is what it takes, and what happens near the server's `maxmemory`.

use crate::harness::{args, cmd, until, Builder, Client, Pair, Reply, Server, PATIENCE};
use crate::support::{digest, pass, set, stat, store, Dice};
use std::time::{Duration, Instant};

#[test]
fn memory_bytes_is_what_the_server_really_spends() {
    let server = Server::start();
    let mut c = server.client();
    let used = |c: &mut Client| c.info_field("memory", "used_memory").unwrap().parse::<i64>().unwrap();
    let mut dice = Dice::new("memory");
    for (response, tags) in [(20, "TAGS 2 a b EX 1000"), (300, "PERSIST"), (2000, "EX 1000")] {
        c.words("LLMCACHE.CREATE faq").ok();
        let before = used(&mut c);
        for i in 0..5000 {
            let text = dice.text(response);
            set(&mut c, &format!("a prompt of an ordinary length, number {i}"), &text, tags).ok();
        }
        // What is being compressed lies twice for a moment.
        let (mut spent, mut told) = (0, 0);
        let agree = |spent: i64, told: i64| (told - spent).abs() * 10 <= spent;
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(3);
        while !agree(spent, told) && std::time::Instant::now() < deadline {
            (spent, told) = (used(&mut c) - before, c.words("LLMCACHE.INFO faq").field("memory_bytes").int());
        }
        assert!(agree(spent, told), "{told} bytes told, {spent} spent with responses of {response}");
        c.words("DEL faq");
    }
}

#[test]
fn an_eviction_policy_that_could_take_a_whole_cache_is_warned_of() {
    let server = Server::builder().config("maxmemory-policy allkeys-lru").start();
    let mut c = server.client();
    store(&mut c, "p", "r");
    let warnings = |c: &mut Client| c.words("LLMCACHE.INFO faq").field("warnings").texts().concat();
    assert!(warnings(&mut c).contains("maxmemory-policy"), "{}", warnings(&mut c));
    assert!(server.log().contains("maxmemory-policy"));
    c.words("CONFIG SET maxmemory-policy noeviction").ok();
    assert_eq!(warnings(&mut c), "");
    for policy in ["allkeys-lfu", "allkeys-random"] {
        c.words(&format!("CONFIG SET maxmemory-policy {policy}")).ok();
        assert!(!warnings(&mut c).is_empty(), "{policy}");
    }
    c.words("CONFIG SET maxmemory-policy volatile-lru").ok();
    assert_eq!(warnings(&mut c), "", "the key does not expire");
    assert_eq!(c.words("EXPIRE faq 1000"), 1);
    assert!(warnings(&mut c).contains("PERSIST"), "{}", warnings(&mut c));
    assert_eq!(c.words("PERSIST faq"), 1);
    assert_eq!(warnings(&mut c), "");
}

/// Stores more than the server has room for; every store must succeed, and the newest answers must be there.
fn overfill(policy: &str, count: usize) {
    let server = Server::builder().config("maxmemory 64mb").config(&format!("maxmemory-policy {policy}")).start();
    let mut c = server.client();
    let mut dice = Dice::new("overfill");
    let block = dice.bytes(64 << 10);
    // Windows into noise, so that nothing compresses and no two are equal.
    let response = |i: usize| {
        let at = i * 31 % (block.len() - 2048);
        let mut bytes = block[at..at + 2048].to_vec();
        bytes[..8].copy_from_slice(&(i as u64).to_le_bytes());
        bytes
    };
    c.words("LLMCACHE.CREATE faq MAXENTRIES 0").ok();
    for chunk in (0..count).collect::<Vec<_>>().chunks(200) {
        let commands: Vec<_> =
            chunk.iter().map(|i| args!["LLMCACHE.SET", "faq", i, response(*i), "EX", 1000]).collect();
        for reply in c.pipeline(&commands) {
            reply.ok();
        }
    }
    assert_eq!(c.words("EXISTS faq"), 1, "the cache is lost");
    for i in count - 1000..count {
        assert!(cmd!(c, "LLMCACHE.GET", "faq", i).bytes() == response(i), "answer {i} of {count} is not there");
    }
    let (entries, evicted) = (stat(&mut c, "entries"), stat(&mut c, "evictions"));
    assert!(
        entries > 10_000 && evicted > 0 && entries + evicted == count as i64,
        "{entries} entries, {evicted} evicted"
    );
    let used: u64 = c.info_field("memory", "used_memory").unwrap().parse().unwrap();
    assert!(used < 66 << 20, "{used} bytes used");
    cmd!(c, "SET", "another", "key").ok();
    // Still there when nobody writes any more.
    pass(300);
    assert!(stat(&mut c, "entries") > 10_000);
}

/// Answers are told to others as they lay when they were stored, most of them uncompressed.
#[test]
fn what_fits_when_it_is_compressed_is_lost_by_no_restart_and_no_promotion() {
    let mut pair = Pair::with(Builder::aof_always);
    let (mut c, mut dice) = (pair.primary.client3(), Dice::new("fits"));
    c.words("LLMCACHE.CREATE faq MAXMEMORY 400000 COMPRESS zstd").ok();
    const WORDS: [&str; 8] = ["cache ", "answer ", "question ", "the ", "model ", "is ", "of ", "token "];
    let mut stores = Vec::new();
    for i in 0..300 {
        let response: String = (0..500).map(|_| WORDS[dice.below(8) as usize]).collect();
        stores.push(args!["LLMCACHE.SET", "faq", format!("question {i}"), response, "PERSIST"]);
    }
    assert!(c.pipeline(&stores).iter().all(Reply::is_ok));
    let held = |c: &mut Client| (c.words("LLMCACHE.INFO faq").field("entries").int(), stat(c, "evictions"));
    assert_eq!(held(&mut c), (300, 0), "all of them fit");
    pair.wait_in_sync();
    let before = digest(&mut c, "faq");
    pair.primary.kill9();
    pair.promote();
    pair.primary.start_again();
    for server in [&pair.primary, &pair.replica] {
        let mut c = server.client3();
        // The next store, and some ticks of the timer, find a cache within its limit.
        let used = |c: &mut Client| cmd!(c, "MEMORY", "USAGE", "faq", "SAMPLES", 0).int();
        until("the limit holds", PATIENCE, || used(&mut c) <= 400_000);
        let begun = Instant::now();
        until("some ticks are over", PATIENCE, || begun.elapsed() > Duration::from_millis(500));
        assert_eq!(held(&mut c), (300, 0));
        assert_eq!(digest(&mut c, "faq"), before);
        cmd!(c, "LLMCACHE.SET", "faq", "one more", "answer", "PERSIST").ok();
        assert_eq!(held(&mut c), (301, 0));
    }
}

#[test]
fn near_maxmemory_new_answers_displace_old_ones_and_never_fail() {
    overfill("noeviction", 40_000);
}

#[test]
fn a_cache_gives_way_before_the_server_evicts_it_as_a_whole() {
    overfill("allkeys-lru", 40_000);
}

#[test]
fn a_cache_gives_memory_back_when_other_data_needs_it() {
    let server = Server::builder().config("maxmemory 32mb").config("maxmemory-policy noeviction").start();
    let mut c = server.client();
    let mut dice = Dice::new("relief");
    for i in 0..11_000 {
        let response = dice.bytes(2048);
        cmd!(c, "LLMCACHE.SET", "faq", i, response).ok();
    }
    let entries = stat(&mut c, "entries");
    // 12 MB of other data come in slowly enough for the timer to make room.
    let mut refused = 0;
    for i in 0..120 {
        let value = vec![b'x'; 100_000];
        while cmd!(c, "SET", format!("key {i}"), value).is_error() {
            refused += 1;
            assert!(refused < 400, "the cache does not give way");
            pass(10);
        }
    }
    assert!(stat(&mut c, "entries") < entries);
    assert!(stat(&mut c, "entries") > 100, "{}", stat(&mut c, "entries"));
    assert!(c.words("EXISTS faq") == 1);
}
