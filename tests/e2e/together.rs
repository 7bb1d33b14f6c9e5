//! Together: one miss, one call. Leases, those who wait for them, and what ends either.

use crate::harness::{args, cmd, until, Client, Pair, Reply, Server, PATIENCE};
use crate::support::{both, get, pass, set, stat, NO_ID};

use std::time::{Duration, Instant};

/// `LLMCACHE.FETCH faq prompt …` with the words of a line behind it.
#[track_caller]
fn fetch(c: &mut Client, prompt: &str, options: &str) -> Reply {
    c.cmd(&ask(prompt, options))
}

fn ask(prompt: &str, options: &str) -> Vec<Vec<u8>> {
    let mut words = args!["LLMCACHE.FETCH", "faq", prompt];
    words.extend(options.split_whitespace().map(|word| word.as_bytes().to_vec()));
    words
}

/// The token of a lease that is granted.
#[track_caller]
fn lease(c: &mut Client, prompt: &str, options: &str) -> String {
    let told = fetch(c, prompt, options);
    assert_eq!(state(&told), "lease", "{told:?}");
    token(&told)
}

#[track_caller]
fn state(told: &Reply) -> String {
    told.field("state").text()
}

#[track_caller]
fn token(told: &Reply) -> String {
    let token = told.field("token").text();
    assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    token
}

/// How many clients of the server wait.
#[track_caller]
fn waiting(c: &mut Client) -> u64 {
    c.info_field("clients", "blocked_clients").unwrap().parse().unwrap()
}

#[track_caller]
fn until_waiting(c: &mut Client, count: u64) {
    until(&format!("{count} clients wait"), PATIENCE, || waiting(c) == count);
}

/// A client that waits for an answer.
#[track_caller]
fn waiter(server: &Server, prompt: &str, options: &str) -> Client {
    let mut watcher = server.client();
    let before = waiting(&mut watcher);
    let mut client = server.client3();
    client.send(&ask(prompt, options));
    until_waiting(&mut watcher, before + 1);
    client
}

#[test]
fn one_caller_has_the_lease_and_the_others_its_answer() {
    let server = Server::start();
    let mut c = server.client3();
    c.words("LLMCACHE.CREATE faq").ok();
    let token = lease(&mut c, "q", "LEASE 60000");
    let mut others: Vec<Client> = (0..49).map(|_| waiter(&server, "q", "LEASE 60000 BLOCK 60000")).collect();
    let told = c.words("LLMCACHE.INFO faq");
    assert_eq!([told.field("leases").int(), told.field("waiting").int()], [1, 49]);
    cmd!(c, "LLMCACHE.SET", "faq", "q", "answer", "TOKEN", token, "COST", "0.5", "TOKENS", 3, 4, "EX", 100).ok();
    for other in &mut others {
        let told = other.read();
        assert_eq!([state(&told), told.field("response").text()], ["hit", "answer"], "{told:?}");
        assert_eq!([told.field("match").text(), told.field("cost_saved_usd").text()], ["exact", "24.500000"]);
        assert_eq!([told.field("hits").int(), told.field("ttl").int()], [49, 100]);
    }
    let names = ["lookups", "hits", "hits_exact", "misses", "miss_absent", "coalesced", "stores", "tokens_saved_in"];
    assert_eq!(names.map(|name| stat(&mut c, name)), [50, 49, 49, 1, 1, 49, 1, 147]);
    let told = fetch(&mut c, "q", "LEASE 1000");
    assert_eq!(state(&told), "hit");
    let shown: Vec<String> = get(&mut c, "q", "WITHMETA").names();
    assert_eq!(told.names()[1..], shown, "all that GET tells");
    assert_eq!(c.words("LLMCACHE.INFO faq").field("leases").int(), 0);
}

#[test]
fn a_lease_is_told_in_both_protocols() {
    both(|c| {
        let told = fetch(c, "q", "LEASE 1000");
        assert_eq!(told.names(), ["state", "token"]);
        let wait = fetch(c, "q", "LEASE 1000");
        assert_eq!((wait.names(), state(&wait).as_str()), (vec!["state".to_owned()], "wait"), "BLOCK is 0");
        assert_eq!(state(&fetch(c, "q", "LEASE 1000 BLOCK 1")), "timeout");
        assert_eq!(state(&fetch(c, "Q", "LEASE 1000")), "lease", "another prompt");
        assert_eq!(state(&fetch(c, "q", "LEASE 1000 SCOPE ann")), "lease", "another context");
        assert!(c.words("TYPE faq") == "none", "a lease makes no cache");
        cmd!(c, "LLMCACHE.SET", "faq", "q", "r", "TOKEN", token(&told)).ok();
        assert_eq!(fetch(c, "q", "LEASE 1000").field("response").text(), "r");
        let etag = fetch(c, "q", "LEASE 1").field("etag").text();
        assert_eq!(fetch(c, "q", &format!("LEASE 1 IFNONEMATCH {etag}")), "NOTMODIFIED");
        assert_eq!(state(&fetch(c, "q", "LEASE 1000 MAXAGE 100")), "hit");
    });
}

#[test]
fn a_token_is_a_fence() {
    both(|c| {
        let first = lease(c, "q", "LEASE 20");
        assert!(cmd!(c, "LLMCACHE.SET", "faq", "other", "r", "TOKEN", first).is_null(), "the token of another prompt");
        pass(25);
        let second = lease(c, "q", "LEASE 60000");
        assert_ne!(first, second);
        for lost in [first.as_str(), NO_ID, "no token", ""] {
            assert!(cmd!(c, "LLMCACHE.SET", "faq", "q", "late", "TOKEN", lost).is_null(), "{lost}");
            assert_eq!(cmd!(c, "LLMCACHE.RENEW", "faq", lost, 1000), 0);
            assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", lost), 0);
        }
        assert!(get(c, "q", "").is_null());
        assert_eq!(cmd!(c, "LLMCACHE.RENEW", "other", second, 1000), 0, "the token of another cache");
        cmd!(c, "LLMCACHE.SET", "faq", "q", "in time", "TOKEN", second).ok();
        assert!(cmd!(c, "LLMCACHE.SET", "faq", "q", "twice", "TOKEN", second).is_null(), "it ended with the answer");
        assert_eq!(get(c, "q", ""), "in time");
        assert_eq!(stat(c, "skips"), 1, "once there is a cache to count it");
    });
}

#[test]
fn a_lease_runs_out_and_the_next_in_line_has_it() {
    let server = Server::start();
    let mut c = server.client3();
    lease(&mut c, "q", "LEASE 300");
    let mut first = waiter(&server, "q", "LEASE 400 BLOCK 60000");
    let mut second = waiter(&server, "q", "LEASE 60000 BLOCK 60000");
    let mut third = waiter(&server, "q", "LEASE 60000 BLOCK 60000");
    let told = first.read();
    assert_eq!(state(&told), "lease");
    let started = Instant::now();
    let second_told = second.read();
    assert_eq!(state(&second_told), "lease");
    assert!(started.elapsed() > Duration::from_millis(200), "it has the time it asked for");
    assert!(cmd!(c, "LLMCACHE.SET", "faq", "q", "late", "TOKEN", token(&told)).is_null());
    assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", token(&second_told)), 1);
    let third_told = third.read();
    assert_eq!(state(&third_told), "lease");
    assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", token(&third_told)), 1);
    assert_eq!(state(&fetch(&mut c, "q", "LEASE 1")), "lease", "nobody has it any more");
}

#[test]
fn a_lease_that_is_renewed_goes_on() {
    both(|c| {
        let token = lease(c, "q", "LEASE 600");
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(1000) {
            assert_eq!(cmd!(c, "LLMCACHE.RENEW", "faq", token, 600), 1);
            assert_eq!(state(&fetch(c, "q", "LEASE 1")), "wait");
        }
        assert_eq!(cmd!(c, "LLMCACHE.RENEW", "faq", token, 1), 1);
        pass(5);
        assert_eq!(cmd!(c, "LLMCACHE.RENEW", "faq", token, 1000), 0);
        assert_eq!(state(&fetch(c, "q", "LEASE 1000")), "lease");
    });
}

#[test]
fn who_gives_up_says_so_to_all() {
    let server = Server::start();
    let mut c = server.client3();
    let token = lease(&mut c, "q", "LEASE 60000");
    let mut others: Vec<_> = (0..3).map(|_| waiter(&server, "q", "LEASE 60000 BLOCK 60000")).collect();
    assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", token, "ERROR", "the model is down\r\n"), 1);
    for other in &mut others {
        let told = other.read();
        assert_eq!([state(&told), told.field("error").text()], ["failed", "the model is down\r\n"]);
    }
    assert_eq!(state(&fetch(&mut c, "q", "LEASE 1")), "lease");
}

#[test]
fn a_wait_ends_in_time() {
    let server = Server::start();
    let mut c = server.client3();
    lease(&mut c, "q", "LEASE 60000");
    let mut late: Vec<f64> = (0..15)
        .map(|round| {
            let started = Instant::now();
            assert_eq!(state(&fetch(&mut c, "q", &format!("LEASE 1 BLOCK {}", 30 + round))), "timeout");
            started.elapsed().as_secs_f64() * 1000.0 - f64::from(30 + round)
        })
        .collect();
    late.sort_by(f64::total_cmp);
    assert!(late[0] >= 0.0 && late[7] < 15.0, "milliseconds late: {late:?}");
    assert_eq!(waiting(&mut c), 0);
}

#[test]
fn any_store_of_the_answer_tells_those_who_wait() {
    let server = Server::start();
    let mut c = server.client3();
    for options in ["", "STRATEGY nocache", "EX 10", "PXAT 1", "NX"] {
        let held = lease(&mut c, "q", "LEASE 60000");
        let mut other = waiter(&server, "q", "LEASE 60000 BLOCK 60000");
        set(&mut c, "other", "r", "");
        let told = set(&mut c, "q", "answer", options);
        assert_eq!(told.is_null(), options.contains("nocache") || options.contains("PXAT"), "{options}: {told:?}");
        let told = other.read();
        assert_eq!([state(&told), told.field("response").text()], ["hit", "answer"], "{options}");
        let shown = get(&mut c, "other", "WITHMETA").names();
        assert_eq!(told.names()[1..], shown, "{options}");
        assert_eq!(cmd!(c, "LLMCACHE.RENEW", "faq", held, 1000), 0, "{options}: the lease has ended");
        c.words("DEL faq");
    }
    // What stores nothing because of its condition, or fails, leaves the lease with its holder.
    set(&mut c, "q", "old", "PX 1 STALE 100").ok();
    pass(3);
    let held = token(&fetch(&mut c, "q", "LEASE 60000 STALEOK"));
    assert!(set(&mut c, "q", "new", "STRATEGY none-such").is_error());
    assert!(set(&mut c, "q", "new", &format!("TOKEN {NO_ID}")).is_null());
    assert_eq!(cmd!(c, "LLMCACHE.RENEW", "faq", held, 60000), 1);
    let too_large = "x".repeat(20_000);
    c.words("LLMCACHE.ALTER faq COMPRESS none MAXMEMORY 16384").ok();
    assert!(cmd!(c, "LLMCACHE.SET", "faq", "q", too_large, "TOKEN", held).is_null());
    assert_eq!(cmd!(c, "LLMCACHE.RENEW", "faq", held, 60000), 0, "the answer is there, though it is not kept");
}

#[test]
fn a_stale_answer_bridges_the_refresh() {
    let server = Server::start();
    let mut c = server.client3();
    set(&mut c, "q", "old", "PX 20 STALE 100").ok();
    pass(25);
    assert!(get(&mut c, "q", "").is_null());
    let first = fetch(&mut c, "q", "LEASE 60000 BLOCK 60000");
    assert_eq!([state(&first), first.field("response").text()], ["stale", "old"]);
    let held = token(&first);
    for _ in 0..3 {
        let told = fetch(&mut c, "q", "LEASE 60000 BLOCK 60000");
        assert_eq!([state(&told), told.field("response").text()], ["stale", "old"], "nobody waits where there is one");
        assert!(!told.names().contains(&"token".to_owned()), "{told:?}");
    }
    cmd!(c, "LLMCACHE.SET", "faq", "q", "new", "TOKEN", held, "EX", 100).ok();
    let told = fetch(&mut c, "q", "LEASE 1");
    assert_eq!([state(&told), told.field("response").text()], ["hit", "new"]);
    // What is invalidated softly is served only while somebody refreshes it.
    cmd!(c, "LLMCACHE.ALTER", "faq", "STALE", 100).ok();
    set(&mut c, "soft", "old", "EX 100").ok();
    assert_eq!(cmd!(c, "LLMCACHE.INVALIDATE", "faq", "MATCH", "soft", "SOFT"), 1);
    assert!(get(&mut c, "soft", "").is_null());
    let told = fetch(&mut c, "soft", "LEASE 60000");
    assert_eq!(state(&told), "stale");
    assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", token(&told)), 1);
    token(&fetch(&mut c, "soft", "LEASE 1"));
    assert_eq!(stat(&mut c, "hits_stale"), 6);
}

#[test]
fn nothing_that_happens_to_the_cache_leaves_anybody_waiting() {
    let server = Server::start();
    let mut c = server.client3();
    let ends: [(&str, &[&str]); 10] = [
        ("DEL", &["DEL faq"]),
        ("UNLINK", &["UNLINK faq"]),
        ("FLUSHALL", &["FLUSHALL"]),
        ("FLUSHALL ASYNC", &["FLUSHALL ASYNC"]),
        ("FLUSHDB", &["FLUSHDB"]),
        ("RENAME", &["RENAME faq other"]),
        ("overwritten", &["SET faq text"]),
        ("expired", &["PEXPIRE faq 1", "GET faq"]),
        ("RESTORE", &["COPY faq copy", "COPY copy faq REPLACE"]),
        ("MOVE", &["MOVE faq 1"]),
    ];
    for (what, lines) in ends {
        c.words("LLMCACHE.CREATE faq").ok();
        let held = lease(&mut c, "q", "LEASE 60000");
        let mut others: Vec<_> = (0..2).map(|_| waiter(&server, "q", "LEASE 60000 BLOCK 60000")).collect();
        for line in lines {
            c.words(line);
            pass(3);
        }
        for other in &mut others {
            let told = other.read();
            assert_eq!([state(&told), told.field("error").text()], ["failed", "the cache is gone"], "{what}");
        }
        c.words("FLUSHALL").ok();
        assert_eq!(cmd!(c, "LLMCACHE.RENEW", "faq", held, 1000), 0, "{what}");
        assert!(cmd!(c, "LLMCACHE.SET", "faq", "q", "late", "TOKEN", held).is_null(), "{what}");
    }
    // A prompt whose cache was never there is flushed as well.
    for line in ["FLUSHALL", "FLUSHDB"] {
        lease(&mut c, "q", "LEASE 60000");
        let mut other = waiter(&server, "q", "LEASE 1 BLOCK 60000");
        c.words(line).ok();
        assert_eq!(state(&other.read()), "failed");
    }
    // When databases change places, another cache comes to where is waited.
    let held = lease(&mut c, "q", "LEASE 60000");
    let mut other = waiter(&server, "q", "LEASE 1 BLOCK 60000");
    c.words("SWAPDB 0 1").ok();
    assert_eq!(state(&other.read()), "failed");
    for db in [0, 1] {
        cmd!(c, "SELECT", db).ok();
        assert_eq!(cmd!(c, "LLMCACHE.RENEW", "faq", held, 60000), 0);
        assert!(cmd!(c, "LLMCACHE.SET", "faq", "q", "r", "TOKEN", held).is_null());
    }
}

#[test]
fn clients_that_go_are_forgotten() {
    let server = Server::start();
    let mut c = server.client3();
    let held = lease(&mut c, "q", "LEASE 60000");
    let gone = waiter(&server, "q", "LEASE 60000 BLOCK 60000");
    let mut killed = waiter(&server, "q", "LEASE 60000 BLOCK 60000");
    let mut freed = waiter(&server, "q", "LEASE 60000 BLOCK 60000");
    let mut refused = waiter(&server, "q", "LEASE 60000 BLOCK 60000");
    let mut last = waiter(&server, "q", "LEASE 60000 BLOCK 60000");
    drop(gone);
    until_waiting(&mut c, 4);
    let ids: Vec<i64> = {
        let list = c.words("CLIENT LIST").text().to_lowercase();
        let waits = list.lines().filter(|line| line.contains("cmd=llmcache.fetch") && line.contains("flags=b"));
        waits.map(|line| line.split(' ').next().unwrap().trim_start_matches("id=").parse().unwrap()).collect()
    };
    assert_eq!(ids.len(), 4, "in the order in which they came");
    assert_eq!(cmd!(c, "CLIENT", "KILL", "ID", ids[0]), 1);
    assert!(killed.try_read().is_err());
    assert_eq!(cmd!(c, "CLIENT", "UNBLOCK", ids[1]), 1);
    assert_eq!(state(&freed.read()), "timeout");
    assert_eq!(cmd!(c, "CLIENT", "UNBLOCK", ids[2], "ERROR"), 1);
    assert!(refused.read().error().starts_with("UNBLOCKED"));
    until_waiting(&mut c, 1);
    assert_eq!(freed.words("PING"), "PONG");
    assert_eq!(refused.words("PING"), "PONG");
    assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", held), 1);
    assert_eq!(state(&last.read()), "lease", "those who have gone are not in line");
    // A holder that disconnects keeps its lease.
    let mut holder = server.client3();
    let held = lease(&mut holder, "p", "LEASE 60000");
    drop(holder);
    assert_eq!(state(&fetch(&mut c, "p", "LEASE 1")), "wait");
    cmd!(c, "LLMCACHE.SET", "faq", "p", "r", "TOKEN", held).ok();
}

#[test]
fn nobody_waits_in_transactions_and_scripts_and_a_replica_sends_to_its_primary() {
    let pair = Pair::start();
    let (mut c, mut replica) = (pair.primary.client3(), pair.replica.client3());
    c.words("MULTI").ok();
    fetch(&mut c, "q", "LEASE 60000 BLOCK 60000");
    fetch(&mut c, "q", "LEASE 60000 BLOCK 60000");
    let told = c.words("EXEC");
    assert_eq!(told.items().iter().map(state).collect::<Vec<_>>(), ["lease", "wait"]);
    let script = "return redis.call('LLMCACHE.FETCH', KEYS[1], 'q', 'LEASE', '60000', 'BLOCK', '60000')";
    let told = cmd!(c, "EVAL", script, 1, "faq");
    assert_eq!(told.items().iter().map(Reply::text).collect::<Vec<_>>(), ["state", "wait"]);
    let refused = |told: &Reply| assert!(told.error().starts_with("READONLY "), "{told:?}");
    for options in ["LEASE 60000 BLOCK 60000", "LEASE 1"] {
        refused(&fetch(&mut replica, "q", options));
    }
    // One that may be written to has answers, and no leases: nothing of it would last.
    replica.words("CONFIG SET replica-read-only no").ok();
    assert_eq!(state(&fetch(&mut replica, "q", "LEASE 1 BLOCK 60000")), "wait");
    set(&mut c, "q", "r", "EX 100 STALE 100").ok();
    pair.wait_in_sync();
    assert_eq!(state(&fetch(&mut replica, "q", "LEASE 1")), "hit");
    c.words("LLMCACHE.INVALIDATE faq MATCH q SOFT");
    pair.wait_in_sync();
    assert_eq!(state(&fetch(&mut replica, "q", "LEASE 1")), "stale");
    assert!(!fetch(&mut replica, "q", "LEASE 1").names().contains(&"token".to_owned()));
    token(&fetch(&mut c, "q", "LEASE 1"));
}

#[test]
fn leases_end_with_a_failover_and_clients_recover() {
    let pair = Pair::start();
    let (mut c, mut replica) = (pair.primary.client3(), pair.replica.client3());
    set(&mut c, "there", "r", "EX 1000").ok();
    let held = lease(&mut c, "q", "LEASE 60000");
    let mut other = waiter(&pair.primary, "q", "LEASE 60000 BLOCK 60000");
    pair.wait_in_sync();
    // The replica takes over, and the primary follows it.
    replica.words("REPLICAOF NO ONE").ok();
    let port = pair.replica.addr().port();
    cmd!(c, "REPLICAOF", "127.0.0.1", port).ok();
    let told = other.read();
    assert!(told.is_error() && told.error().starts_with("UNBLOCKED"), "{told:?}");
    // Who waited asks the new primary, and gets the lease there; the old token is worth nothing.
    let token = lease(&mut replica, "q", "LEASE 60000");
    assert!(cmd!(replica, "LLMCACHE.SET", "faq", "q", "late", "TOKEN", held).is_null());
    cmd!(replica, "LLMCACHE.SET", "faq", "q", "answer", "TOKEN", token).ok();
    assert_eq!(fetch(&mut replica, "q", "LEASE 1").field("response").text(), "answer");
    assert_eq!(waiting(&mut c), 0);
}

#[test]
fn a_similar_answer_is_a_hit_and_two_prompts_never_share_a_lease() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MODE similar").ok();
        let first = lease(c, "How do I reset my password?", "LEASE 60000");
        let second = lease(c, "how can i reset my password", "LEASE 60000");
        assert_ne!(first, second);
        cmd!(c, "LLMCACHE.SET", "faq", "How do I reset my password?", "r", "TOKEN", first).ok();
        let told = fetch(c, "how do I reset my passwrod?", "LEASE 60000");
        assert_eq!([state(&told), told.field("match").text()], ["hit", "similar"]);
        assert_eq!(c.words("LLMCACHE.INFO faq").field("leases").int(), 1, "a hit leaves no lease");
        assert_eq!(cmd!(c, "LLMCACHE.RENEW", "faq", second, 1), 1);
    });
}

#[test]
fn wrong_arguments_change_nothing() {
    both(|c| {
        for (line, why) in [
            ("LLMCACHE.FETCH faq q", "ERR wrong number of arguments"),
            ("LLMCACHE.FETCH faq q EXACT NOTOUCH", "ERR FETCH needs LEASE as well"),
            ("LLMCACHE.FETCH faq q LEASE 0", "ERR LEASE must be a whole number from 1 to 86400000, got '0'"),
            ("LLMCACHE.FETCH faq q LEASE 1 BLOCK x", "ERR BLOCK must be a whole number from 0 to 86400000, got 'x'"),
            ("LLMCACHE.FETCH faq q LEASE 1 TOKEN 1", "ERR unknown option 'TOKEN' at argument 5"),
            ("LLMCACHE.RENEW faq 00 0", "ERR milliseconds must be a whole number from 1 to 86400000, got '0'"),
            ("LLMCACHE.RELEASE faq 00 WHY x", "ERR unknown option 'WHY' at argument 3"),
            ("LLMCACHE.SET faq q r TOKEN", "ERR TOKEN needs a value"),
            ("LLMCACHE.SET faq q r TOKEN x NX", "ERR TOKEN and NX exclude each other, give one of them"),
        ] {
            let told = c.words(line);
            assert!(told.error().starts_with(why), "{line}: {told:?}");
        }
        c.words("SET text t").ok();
        for line in ["FETCH text q LEASE 1", "RENEW text 00 1", "RELEASE text 00"] {
            assert!(c.words(&format!("LLMCACHE.{line}")).error().starts_with("WRONGTYPE"), "{line}");
        }
        assert_eq!(state(&fetch(c, "q", "LEASE 1")), "lease");
    });
}

#[test]
fn the_answer_reaches_the_last_of_fifty_at_once() {
    let server = Server::start();
    let mut c = server.client3();
    let mut last: Vec<f64> = (0..5)
        .map(|round| {
            let prompt = format!("q {round}");
            let token = lease(&mut c, &prompt, "LEASE 60000");
            let mut others: Vec<_> = (0..49).map(|_| server.client3()).collect();
            others.iter_mut().for_each(|other| other.send(&ask(&prompt, "LEASE 60000 BLOCK 60000")));
            until_waiting(&mut c, 49);
            let started = Instant::now();
            cmd!(c, "LLMCACHE.SET", "faq", prompt, "answer", "TOKEN", token).ok();
            others.iter_mut().for_each(|other| assert_eq!(state(&other.read()), "hit"));
            started.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    last.sort_by(f64::total_cmp);
    println!("milliseconds from SET to the last of 49: {last:?}");
    assert!(last[2] < 100.0, "milliseconds: {last:?}");
}

/// Bytes that the server has in use.
#[track_caller]
fn used(c: &mut Client) -> i64 {
    c.info_field("memory", "used_memory").unwrap().parse().unwrap()
}

#[test]
fn nothing_is_left_of_clients_that_went() {
    let server = Server::start();
    let mut c = server.client3();
    lease(&mut c, "q", "LEASE 60000");
    let mut before = 0;
    for round in 0..6 {
        let mut others: Vec<Client> = (0..100).map(|_| server.client3()).collect();
        let ids: Vec<i64> = others.iter_mut().map(|other| other.words("CLIENT ID").int()).collect();
        others.iter_mut().for_each(|other| other.send(&ask("q", "LEASE 1 BLOCK 60000")));
        until_waiting(&mut c, 100);
        for id in &ids {
            match round % 3 {
                0 => assert_eq!(cmd!(c, "CLIENT", "KILL", "ID", id), 1),
                1 => assert_eq!(cmd!(c, "CLIENT", "UNBLOCK", id), 1),
                _ => {}
            }
        }
        drop(others);
        until_waiting(&mut c, 0);
        until("the clients are gone", PATIENCE, || c.info_field("clients", "connected_clients").unwrap() == "1");
        if round == 2 {
            before = used(&mut c);
        }
    }
    // Each of the 300 that came since would leave 34 KB.
    until("their memory is given back", PATIENCE, || used(&mut c) < before + 1_000_000);
}

#[test]
fn many_are_answered_by_portions() {
    let server = Server::start();
    let mut c = server.client3();
    let held = lease(&mut c, "q", "LEASE 60000");
    let mut others: Vec<Client> = (0..40).map(|_| server.client3()).collect();
    others.iter_mut().for_each(|other| other.send(&ask("q", "LEASE 60000 BLOCK 60000")));
    until_waiting(&mut c, 40);
    let answer = "x".repeat(2_000_000);
    cmd!(c, "LLMCACHE.SET", "faq", "q", answer, "TOKEN", held).ok();
    for other in &mut others {
        assert_eq!(other.read().field("response").text().len(), answer.len());
    }
    assert_eq!(waiting(&mut c), 0);
}

#[test]
fn a_lease_that_nobody_heard_of_goes_on_to_the_next() {
    let server = Server::start();
    let mut c = server.client3();
    let held = lease(&mut c, "q", "LEASE 60000");
    let mut first = server.client3();
    let id = first.words("CLIENT ID").int();
    first.send(&ask("q", "LEASE 60000 BLOCK 60000"));
    until_waiting(&mut c, 1);
    let mut second = waiter(&server, "q", "LEASE 60000 BLOCK 60000");
    let both = [args!["LLMCACHE.RELEASE", "faq", held], args!["CLIENT", "KILL", "ID", id]];
    let told = c.pipeline(&both);
    assert_eq!(told, [Reply::Int(1), Reply::Int(1)]);
    assert_eq!(state(&second.read()), "lease");
}

#[test]
fn another_cache_that_comes_in_its_place_answers_nobody() {
    let server = Server::start();
    let mut c = server.client3();
    for lines in [&["RENAME other faq"][..], &["COPY other faq"], &["SELECT 1", "MOVE faq 0", "SELECT 0"]] {
        cmd!(c, "LLMCACHE.SET", "other", "q", "r").ok();
        if lines.len() > 1 {
            c.words("COPY other faq DB 1");
        }
        lease(&mut c, "q", "LEASE 60000");
        let mut other = waiter(&server, "q", "LEASE 1 BLOCK 60000");
        lines.iter().for_each(|line| drop(c.words(line)));
        assert_eq!(state(&other.read()), "failed", "{lines:?}");
        assert_eq!(state(&fetch(&mut c, "q", "LEASE 1")), "hit");
        c.words("FLUSHALL").ok();
    }
    // Where something else has come, the holder can still give the lease back.
    let held = lease(&mut c, "q", "LEASE 60000");
    c.words("SET faq text").ok();
    assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", held), 1);
}

#[test]
fn the_module_stays_while_clients_wait() {
    let server = Server::start();
    let mut c = server.client3();
    let held = lease(&mut c, "q", "LEASE 60000");
    let mut other = waiter(&server, "q", "LEASE 60000 BLOCK 60000");
    assert!(c.words("MODULE UNLOAD llmcache").is_error(), "it has a data type");
    cmd!(c, "LLMCACHE.SET", "faq", "q", "r", "TOKEN", held).ok();
    assert_eq!(state(&other.read()), "hit");
}
