//! Near `maxmemory`, whatever its policy: no cache is taken by the server, no store fails while a cheap entry holds memory,
//! and other data gets room.

use crate::harness::{args, cmd, until, Client, Pair, Server, PATIENCE};
use crate::support::{digest, pass, Dice};
use std::thread;

/// How stores come.
#[derive(Clone, Copy)]
enum How {
    /// SET, so many in a pipeline.
    Pipeline(usize),
    /// SET, so many in a transaction.
    Multi(usize),
    /// WARM of so many items.
    Warm(usize),
}

/// Answers of one to two kilobytes: what no compressor gets smaller, and what one does.
struct Answers {
    noise: Vec<u8>,
    dice: Dice,
}

impl Answers {
    fn new(mut dice: Dice) -> Answers {
        let mut noise = dice.bytes(128 << 10);
        while noise.len() < 256 << 10 {
            let word = dice.text(7) + " ";
            noise.extend(word.as_bytes().repeat(3));
        }
        Answers { noise, dice }
    }

    fn next(&mut self) -> Vec<u8> {
        let length = 1000 + self.dice.below(1000) as usize;
        let from = self.dice.below((self.noise.len() - length) as u64) as usize;
        self.noise[from..][..length].to_vec()
    }
}

/// Stores so many answers into the caches `k0` … by turns; none may fail.
fn store(c: &mut Client, who: usize, count: usize, caches: usize, how: How) {
    let mut answers = Answers::new(Dice::new("room").skip(who as u64));
    let (How::Pipeline(at_once) | How::Multi(at_once) | How::Warm(at_once)) = how;
    let prompt = |i: usize| format!("question {i} of client {who}");
    for from in (0..count).step_by(at_once) {
        let to = count.min(from + at_once);
        let set = |i: usize, answer: Vec<u8>| args!["LLMCACHE.SET", format!("k{}", i % caches), prompt(i), answer];
        let commands: Vec<Vec<Vec<u8>>> = match how {
            How::Pipeline(_) => (from..to).map(|i| set(i, answers.next())).collect(),
            How::Multi(_) => {
                let sets = (from..to).map(|i| set(i, answers.next()));
                std::iter::once(args!["MULTI"]).chain(sets).chain([args!["EXEC"]]).collect()
            }
            How::Warm(_) => {
                let mut warm = args!["LLMCACHE.WARM", format!("k{}", from / at_once % caches), "ITEMS", to - from];
                (from..to).for_each(|i| warm.extend(args![prompt(i), answers.next()]));
                vec![warm]
            }
        };
        for reply in c.pipeline(&commands) {
            assert!(!reply.is_error(), "{reply:?}");
            match how {
                How::Pipeline(_) => reply.ok(),
                How::Multi(_) => assert!(reply == "OK" || reply == "QUEUED" || reply.items().len() == to - from),
                How::Warm(_) => assert_eq!(reply.field("stored").int(), (to - from) as i64, "{reply:?}"),
            }
        }
    }
}

/// Writes so many keys of five kilobytes in bursts, of which none may be refused.
fn write_others(c: &mut Client, count: usize) {
    const BURST: usize = 500;
    for from in (0..count).step_by(BURST) {
        let sets: Vec<_> =
            (from..count.min(from + BURST)).map(|i| args!["SET", format!("other {i}"), [0; 5000]]).collect();
        c.pipeline(&sets).iter().for_each(|reply| reply.ok());
    }
}

/// The number behind a name of INFO.
fn figure(c: &mut Client, section: &str, name: &str) -> u64 {
    c.info_field(section, name).unwrap().parse().unwrap()
}

fn entries(c: &mut Client, key: &str) -> i64 {
    cmd!(c, "LLMCACHE.STATS", key).field("entries").int()
}

/// A server with so many megabytes and caches `k0` ….
fn server(policy: &str, megabytes: usize, caches: usize) -> Server {
    let server = Server::builder();
    let server =
        server.config(&format!("maxmemory-policy {policy}")).config(&format!("maxmemory {megabytes}mb")).start();
    let mut c = server.client();
    (0..caches).for_each(|i| cmd!(c, "LLMCACHE.CREATE", format!("k{i}")).ok());
    server
}

/// Two clients store, and when the server is full, another one writes keys.
fn fill(server: &Server, count: usize, caches: usize, how: [How; 2], others: usize) {
    for (round, others) in [0, others].into_iter().enumerate() {
        thread::scope(|scope| {
            for (who, how) in how.into_iter().enumerate() {
                let mut c = server.client();
                scope.spawn(move || store(&mut c, 2 * round + who, count / 4, caches, how));
            }
            let mut c = server.client();
            scope.spawn(move || write_others(&mut c, others));
        });
    }
    let mut c = server.client();
    let there = c.words("DBSIZE").int();
    assert_eq!(there, (caches + others) as i64, "keys are lost");
    assert_eq!(figure(&mut c, "stats", "evicted_keys"), 0);
    for cache in 0..caches {
        let (left, fair) = (entries(&mut c, &format!("k{cache}")), count / caches / 20);
        assert!(left > fair as i64, "{left} entries left in cache {cache}");
    }
}

#[test]
fn sixty_thousand_stores_into_64_mb_lose_no_cache_and_none_fails() {
    for policy in ["noeviction", "allkeys-lru"] {
        let server = server(policy, 64, 3);
        fill(&server, 60_000, 3, [How::Pipeline(50), How::Pipeline(16)], 8000);
    }
}

#[test]
fn so_it_is_with_transactions_and_warm() {
    for policy in ["noeviction", "allkeys-lru"] {
        let server = server(policy, 24, 2);
        fill(&server, 24_000, 2, [How::Multi(30), How::Warm(100)], 1200);
    }
}

#[test]
fn so_it_is_with_every_policy() {
    for policy in ["allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl"] {
        let server = server(policy, 24, 1);
        // Under volatile-* a key with an expiry may be evicted as well.
        cmd!(server.client(), "EXPIRE", "k0", 10_000);
        fill(&server, 20_000, 1, [How::Pipeline(50), How::Pipeline(16)], 1500);
    }
}

/// Fills one cache up to the reserve.
fn full_of_one(policy: &str) -> Server {
    let server = server(policy, 16, 1);
    store(&mut server.client(), 7, 16_000, 1, How::Pipeline(50));
    assert!(entries(&mut server.client(), "k0") < 16_000, "it is full");
    server
}

#[test]
fn an_empty_cache_gets_its_room_from_others() {
    let server = full_of_one("noeviction");
    let mut c = server.client();
    let before = entries(&mut c, "k0");
    // What is above the line is given back by and by; who stores meanwhile is not the one to suffer.
    let limit = figure(&mut c, "memory", "used_memory") * 9 / 10;
    let new = |i: usize| args!["LLMCACHE.SET", format!("new {i}"), "prompt", "answer".repeat(300)];
    let mut commands = vec![args!["CONFIG", "SET", "maxmemory", limit]];
    commands.extend((0..20).map(new));
    c.pipeline(&commands).iter().for_each(|reply| reply.ok());
    (0..20).for_each(|i| assert_eq!(entries(&mut c, &format!("new {i}")), 1));
    assert!(entries(&mut c, "k0") < before);
}

#[test]
fn a_small_cache_displaces_what_a_large_one_has() {
    let server = full_of_one("noeviction");
    let mut c = server.client();
    let before = entries(&mut c, "k0");
    for i in 0..200 {
        // What it has cost more than what the large one has.
        cmd!(c, "LLMCACHE.SET", "small", i, Dice::new("small").skip(i).bytes(1500), "COST", "0.01").ok();
        assert_eq!(entries(&mut c, "small"), i as i64 + 1, "it keeps what it has");
    }
    let left = entries(&mut c, "k0");
    assert!((before / 2..before - 100).contains(&left), "{left} of {before} are left");
    // Also in another database, which the client does not have to choose for it.
    c.words("SELECT 3").ok();
    cmd!(c, "LLMCACHE.SET", "small", "prompt", "a".repeat(100_000), "PERSIST").ok();
    assert_eq!(c.words("DBSIZE"), 1, "the client is where it was");
    assert_eq!(entries(&mut c, "small"), 1);
}

#[test]
fn replicas_and_the_file_are_told_what_other_caches_gave() {
    let pair = Pair::with(|builder| builder.aof_everysec().config("maxmemory 16mb").config("repl-backlog-size 1mb"));
    let mut c = pair.primary.client();
    store(&mut c, 1, 14_000, 1, How::Pipeline(50));
    let full = entries(&mut c, "k0");
    for db in [0, 3] {
        cmd!(c, "SELECT", db).ok();
        for i in 0..100 {
            cmd!(c, "LLMCACHE.SET", "small", i, Dice::new("told").skip(i).bytes(1500), "COST", "0.01").ok();
        }
    }
    c.words("SELECT 0").ok();
    assert!(entries(&mut c, "k0") < full - 100, "another cache gave");
    // From here on none has to give any more, so that what is compared stays as it is.
    c.words("CONFIG SET maxmemory 64mb").ok();
    pair.wait_in_sync();
    let mut replica = pair.replica.client();
    let before = ["k0", "small"].map(|key| digest(&mut c, key));
    assert_eq!(["k0", "small"].map(|key| digest(&mut replica, key)), before);
    let mut primary = pair.primary;
    // What was just read takes more than what was there, since nothing of it is compressed yet.
    primary.reconfigure(|builder| builder.config("maxmemory 64mb"));
    primary.crash_and_restart();
    assert_eq!(["k0", "small"].map(|key| digest(&mut primary.client(), key)), before);
}

#[test]
fn a_lower_maxmemory_costs_entries_and_no_cache() {
    for policy in ["allkeys-lru", "allkeys-random"] {
        let server = server(policy, 64, 4);
        let mut c = server.client();
        store(&mut c, 2, 24_000, 4, How::Pipeline(50));
        let limit = figure(&mut c, "memory", "used_memory") * 6 / 10;
        cmd!(c, "CONFIG", "SET", "maxmemory", limit).ok();
        c.words("PING");
        let left: Vec<_> = (0..4).map(|i| entries(&mut c, &format!("k{i}"))).collect();
        assert!(left.iter().all(|left| *left > 1000), "{left:?} entries left under {policy}");
        assert_eq!(figure(&mut c, "stats", "evicted_keys"), 0);
    }
}

#[test]
fn a_server_that_starts_above_its_maxmemory_keeps_its_caches() {
    let mut server = server("allkeys-lru", 64, 3);
    let mut c = server.client();
    store(&mut c, 3, 12_000, 3, How::Pipeline(50));
    let used = figure(&mut c, "memory", "used_memory");
    server.reconfigure(|builder| builder.config(&format!("maxmemory {}", used * 6 / 10)));
    server.restart_from_rdb();
    let mut c = server.client();
    let left: Vec<_> = (0..3).map(|i| entries(&mut c, &format!("k{i}"))).collect();
    assert!(left.iter().all(|left| *left > 100), "{left:?} entries left");
    assert_eq!(figure(&mut c, "stats", "evicted_keys"), 0);
}

#[test]
fn the_server_takes_a_cache_for_one_that_is_in_use_where_it_may_evict_it() {
    let server = server("allkeys-lru", 24, 1);
    let mut c = server.client();
    cmd!(c, "LLMCACHE.SET", "k0", "prompt", "answer").ok();
    write_others(&mut c, 2000);
    pass(2500);
    assert!(c.words("OBJECT IDLETIME k0").int() <= 1, "nobody has asked for it, and it must stay");
    assert!(cmd!(c, "OBJECT", "IDLETIME", "other 1").int() >= 2);
    c.words("CONFIG SET maxmemory-policy allkeys-lfu").ok();
    until("it is the most used", PATIENCE, || c.words("OBJECT FREQ k0").int() > 250);
}
