//! Replicas, transactions, scripts: everyone gets the same cache, told by effects.

use crate::harness::{args, cmd, until, Client, Message, Pair, Reply, Server, PATIENCE};
use crate::support::{
    digest, get, goes_between, id_of, now_ms, pass, prompts, set, stat, state, store, write_something, Dice, Link,
    COMMANDS,
};
use std::time::Duration;

#[test]
fn a_replica_holds_the_same_cache_after_any_writes() {
    let pair = Pair::start();
    let mut dice = Dice::new("replication");
    let (mut primary, mut replica) = (pair.primary.client3(), pair.replica.client3());
    primary.words("LLMCACHE.CREATE faq MAXENTRIES 60").ok();
    for round in 0..20 {
        for _ in 0..60 {
            write_something(&mut primary, &mut dice);
        }
        pair.wait_in_sync();
        assert_eq!(digest(&mut replica, "faq"), digest(&mut primary, "faq"), "round {round}");
        assert_eq!(prompts(&mut replica, ""), prompts(&mut primary, ""), "round {round}");
    }
    assert!(stat(&mut primary, "evictions") > 0);
    let (ours, theirs) = (primary.words("LLMCACHE.INFO faq"), replica.words("LLMCACHE.INFO faq"));
    for name in
        "mode strategy stale jitter maxentries maxmemory evict compress level price entries strategies rules alerts"
            .split(' ')
    {
        assert_eq!(theirs.field(name), ours.field(name), "{name}");
    }
    // A replica that comes later gets a snapshot, and holds the same.
    let late = Server::builder().replica_of(&pair.primary).start();
    let mut c = late.client3();
    until("the late replica is linked", PATIENCE, || {
        c.info_field("replication", "master_link_status").as_deref() == Some("up")
    });
    assert_eq!(digest(&mut c, "faq"), digest(&mut primary, "faq"));
}

#[test]
fn a_replica_answers_the_same_and_counts_by_itself() {
    let pair = Pair::start();
    let (mut primary, mut replica) = (pair.primary.client(), pair.replica.client3());
    let mut three = pair.primary.client3();
    set(&mut primary, "p", "r", "EX 1000 TYPE t TAGS 2 a b COST 0.5 TOKENS 1 2 LATENCY 3 META {}").ok();
    set(&mut primary, "soft", "r", "EX 1000").ok();
    primary.words("LLMCACHE.INVALIDATE faq MATCH soft SOFT");
    pair.wait_in_sync();
    assert_eq!(get(&mut replica, "p", ""), "r");
    assert!(get(&mut replica, "soft", "").is_null());
    assert_eq!(get(&mut replica, "soft", "STALEOK"), "r");
    get(&mut replica, "absent", "");
    assert_eq!(["hits", "misses", "lookups"].map(|name| stat(&mut replica, name)), [2, 2, 4]);
    assert_eq!(stat(&mut primary, "lookups"), 0, "recency and counters are each node's own");
    let id = id_of(&mut primary, "p");
    let (ours, theirs) = (cmd!(three, "LLMCACHE.ENTRY", "faq", id), cmd!(replica, "LLMCACHE.ENTRY", "faq", id));
    for (name, value) in ours.pairs() {
        let name = name.text();
        if !["hits", "age", "ttl", "cost_saved_usd", "latency_saved_ms"].contains(&name.as_str()) {
            assert_eq!(theirs.field(&name), value, "{name}");
        }
    }
    assert_eq!(*theirs.field("hits"), 1);
    assert_eq!(theirs.names(), ours.names());
}

#[test]
fn a_replica_refuses_writes() {
    let pair = Pair::start();
    let (mut primary, mut replica) = (pair.primary.client(), pair.replica.client());
    store(&mut primary, "p", "r");
    pair.wait_in_sync();
    let before = digest(&mut replica, "faq");
    let reads = "GET SCAN ENTRY TTL INFO STATS RESETSTATS EXPLAIN";
    let reads: Vec<_> = reads.split(' ').map(|name| format!("LLMCACHE.{name}")).collect();
    for line in COMMANDS {
        let reply = replica.words(&line.replace("KEY", "faq"));
        let name = line.split(' ').next().unwrap().to_owned();
        if reads.contains(&name) {
            assert!(!reply.is_error(), "{line}: {reply:?}");
        } else {
            assert!(reply.error().starts_with("READONLY "), "{line}");
        }
    }
    assert_eq!(digest(&mut replica, "faq"), before);
    pair.promote();
    store(&mut replica, "q", "r");
    assert_eq!(prompts(&mut replica, ""), ["p", "q"]);
    assert_eq!(get(&mut replica, "p", ""), "r");
}

#[test]
fn an_answer_expires_on_a_replica_whose_primary_is_silent() {
    let pair = Pair::start();
    let (mut primary, mut replica) = (pair.primary.client(), pair.replica.client());
    // A primary takes up to a second to trust a new replica.
    store(&mut primary, "warm", "r");
    pair.wait_in_sync();
    set(&mut primary, "p", "r", "PX 800").ok();
    pair.wait_in_sync();
    assert_eq!(get(&mut replica, "p", ""), "r");
    pair.primary.signal("STOP");
    pass(800);
    assert!(get(&mut replica, "p", "").is_null());
    until("the replica frees it by itself", Duration::from_secs(5), || stat(&mut replica, "entries") == 1);
    pair.primary.signal("CONT");
    assert!(get(&mut primary, "p", "").is_null());
}

#[test]
fn a_replica_that_hears_late_of_a_prolonged_answer_has_it_again() {
    let primary = Server::start();
    let link = Link::to(primary.addr());
    let upstream = format!("replicaof 127.0.0.1 {}", link.port());
    let replica = Server::builder().aof_always().config(&upstream).start();
    let pair = Pair { replica, primary };
    pair.wait_for_link();
    let (mut primary, mut replica) = (pair.primary.client3(), pair.replica.client3());
    // A primary takes up to a second to trust a new replica.
    set(&mut primary, "lasting", "r", "EX 500").ok();
    pair.wait_in_sync();
    let labels = "TYPE t TAGS 2 a b COST 0.5 TOKENS 1 2 LATENCY 3 META {}";
    set(&mut primary, "short", "answer", &format!("PX 1500 {labels}")).ok();
    set(&mut primary, "deleted", "answer", "PX 1500").ok();
    pair.wait_in_sync();
    assert_eq!(get(&mut replica, "lasting", ""), "r");
    assert_eq!(get(&mut replica, "lasting", ""), "r");
    let (short, lasting) = (id_of(&mut primary, "short"), id_of(&mut primary, "lasting"));

    link.hold(true);
    for id in [&short, &lasting] {
        assert_eq!(cmd!(primary, "LLMCACHE.EXPIRE", "faq", id, 1000), 1);
    }
    let deleted = id_of(&mut primary, "deleted");
    assert_eq!(cmd!(primary, "LLMCACHE.DEL", "faq", &deleted), 1);
    until("the replica has freed what it thinks is dead", PATIENCE, || stat(&mut replica, "entries") == 1);
    assert!(get(&mut replica, "short", "").is_null());
    assert_eq!(get(&mut primary, "short", ""), "answer");
    link.hold(false);

    pair.wait_in_sync();
    assert_eq!(get(&mut replica, "short", ""), "answer");
    assert_eq!(digest(&mut replica, "faq"), digest(&mut primary, "faq"));
    let passed_on = written(&pair.replica).iter().any(|words| *words == ["LLMCACHE.DEL", "faq", &deleted]);
    assert!(passed_on, "what the replica had freed already is deleted in its file as well");
    for id in [&short, &lasting] {
        let ttl = |c: &mut Client| cmd!(c, "LLMCACHE.TTL", "faq", id).int();
        let (ours, theirs) = (ttl(&mut primary), ttl(&mut replica));
        assert!((900..=1000).contains(&ours) && (ours - 5..=ours).contains(&theirs), "{ours} and {theirs} seconds");
    }
    let (ours, theirs) = (cmd!(primary, "LLMCACHE.ENTRY", "faq", short), cmd!(replica, "LLMCACHE.ENTRY", "faq", short));
    assert_eq!(theirs.names(), ours.names());
    for (name, value) in ours.pairs() {
        let name = name.text();
        if !["hits", "age", "ttl", "cost_saved_usd", "latency_saved_ms"].contains(&name.as_str()) {
            assert_eq!(theirs.field(&name), value, "{name}");
        }
    }
    let hits = |c: &mut Client| cmd!(c, "LLMCACHE.ENTRY", "faq", lasting).field("hits").int();
    assert_eq!([hits(&mut primary), hits(&mut replica)], [0, 2], "hits are each node's own");
    assert_eq!([stat(&mut primary, "hits"), stat(&mut replica, "hits")], [1, 3]);
}

/// The commands in a server's append-only files, which are those that its replicas get.
fn written(server: &Server) -> Vec<Vec<String>> {
    let mut bytes = Vec::new();
    for file in std::fs::read_dir(server.dir().join("appendonlydir")).unwrap().map(|file| file.unwrap().path()) {
        if file.to_string_lossy().ends_with(".incr.aof") {
            bytes.extend(std::fs::read(file).unwrap());
        }
    }
    let mut rest = &bytes[..];
    let mut commands = Vec::new();
    while !rest.is_empty() {
        let command = Reply::read(&mut rest).expect("commands in the append-only file");
        commands.push(command.items().iter().map(|word| String::from_utf8_lossy(word.bytes()).into_owned()).collect());
    }
    commands
}

#[test]
fn only_effects_go_to_replicas_and_to_the_append_only_file() {
    let server = Server::builder().aof_always().start();
    let mut c = server.client();
    let mut seen = 0;
    let mut effects = |lines: &[&str]| {
        for line in lines {
            c.words(line);
        }
        let all = written(&server);
        let new: Vec<_> = all[seen..].iter().filter(|command| command[0] != "SELECT").cloned().collect();
        seen = all.len();
        // The name, and for APPLY what is applied; the key is in between.
        new.into_iter()
            .map(|command| match command[0].as_str() {
                "LLMCACHE.APPLY" => format!("{} {}", command[0], command[2]),
                name => name.to_owned(),
            })
            .filter(|name| name != "MULTI" && name != "EXEC")
            .collect::<Vec<_>>()
    };
    let (stored, policy, lives) = ("LLMCACHE.APPLY STORE", "LLMCACHE.APPLY POLICY", "LLMCACHE.APPLY LIVES");
    let none: [&str; 0] = [];
    assert_eq!(effects(&["LLMCACHE.CREATE faq MAXENTRIES 2"]), [policy]);
    // What changes nothing is no effect.
    assert_eq!(
        effects(&[
            "LLMCACHE.GET faq p",
            "LLMCACHE.EXPLAIN faq p",
            "LLMCACHE.STATS faq",
            "LLMCACHE.INFO faq",
            "LLMCACHE.RULE faq LIST",
            "LLMCACHE.ALERT faq LIST",
            "LLMCACHE.ALERT faq DEL x",
            "LLMCACHE.SET faq p r XX",
            "LLMCACHE.SET faq p r STRATEGY nocache",
            "LLMCACHE.SET faq p r EXAT 1",
            "LLMCACHE.SET faq p r EX 0",
            "LLMCACHE.INVALIDATE faq ALL",
            "LLMCACHE.INVALIDATE faq ALL DRYRUN",
            "LLMCACHE.DEL faq 00112233445566778899aabbccddeeff",
            "LLMCACHE.EXPIRE faq 00112233445566778899aabbccddeeff 5",
            "LLMCACHE.RULE faq DEL x",
            "LLMCACHE.CREATE faq",
            "LLMCACHE.SET new p r XX",
            "LLMCACHE.STRATEGY faq DEL x",
        ]),
        none
    );
    let two = ["LLMCACHE.SET faq a r EX 100", "LLMCACHE.SET faq b r STRATEGY realtime"];
    assert_eq!(effects(&two), [stored, stored]);
    assert_eq!(effects(&["LLMCACHE.GET faq a", "LLMCACHE.GET faq zzz", "LLMCACHE.SET faq a r NX"]), none);
    // An eviction is a deletion beside the store.
    let mut evicting = effects(&["LLMCACHE.SET faq c r"]);
    evicting.sort();
    assert_eq!(evicting, [stored, "LLMCACHE.DEL"]);
    let all: Vec<_> = written(&server).into_iter().map(|command| command[0].clone()).collect();
    assert_eq!([&all[all.len() - 4], &all[all.len() - 1]], ["MULTI", "EXEC"], "both or none");
    for (line, expected) in [
        ("INVALIDATE faq MATCH c SOFT", lives),
        ("INVALIDATE faq MATCH a", "LLMCACHE.DEL"),
        ("ALTER faq STALE 5", policy),
        ("STRATEGY faq SET s TTL 5", policy),
        ("RULE faq SET r STRATEGY s", policy),
        ("ALERT faq SET a roi ABOVE 5", "LLMCACHE.APPLY ALERTS"),
        ("ALERT faq DEL a", "LLMCACHE.APPLY ALERTS"),
        ("ALTER faq MAXENTRIES 9", policy),
        ("SET faq c r PXAT 1", "LLMCACHE.DEL"),
    ] {
        assert_eq!(effects(&[&format!("LLMCACHE.{line}")]), [expected], "{line}");
    }
    // A cache that a store makes.
    assert_eq!(effects(&["LLMCACHE.SET another p r"]).last().map(String::as_str), Some(stored));
    effects(&["LLMCACHE.SET faq short r PX 10"]);
    pass(1300);
    assert_eq!(effects(&["PING"]), none, "each node expires by itself");
}

#[test]
fn a_promoted_replica_goes_on_with_absolute_times() {
    let mut pair = Pair::start();
    let mut primary = pair.primary.client();
    store(&mut primary, "warm", "r");
    pair.wait_in_sync();
    let before = now_ms();
    set(&mut primary, "p", "r", "PX 900").ok();
    let stored = now_ms();
    pair.wait_in_sync();
    pair.primary.kill9();
    pair.promote();
    let mut c = pair.replica.client();
    goes_between(&mut c, "p", before + 900, stored + 900);
}

#[test]
fn keys_travel_to_replicas_by_every_road() {
    let pair = Pair::start();
    let (mut primary, mut replica) = (pair.primary.client(), pair.replica.client());
    for line in
        ["RENAME faq new", "COPY faq new", "MOVE faq 1", "SWAPDB 0 1", "UNLINK faq", "FLUSHALL", "PEXPIRE faq 1"]
    {
        primary.words("LLMCACHE.CREATE faq MAXENTRIES 5").ok();
        store(&mut primary, "p", "r");
        primary.words(line);
        store(&mut primary, "q", "r");
        pair.wait_in_sync();
        for db in [0, 1] {
            for key in ["faq", "new"] {
                for c in [&mut primary, &mut replica] {
                    cmd!(c, "SELECT", db).ok();
                }
                assert_eq!(
                    replica.words(&format!("DEBUG DIGEST-VALUE {key}")),
                    primary.words(&format!("DEBUG DIGEST-VALUE {key}")),
                    "{line}"
                );
            }
        }
        for c in [&mut primary, &mut replica] {
            c.words("SELECT 0").ok();
        }
        primary.words("FLUSHALL").ok();
    }
}

#[test]
fn a_second_replica_hears_what_the_first_one_heard() {
    let pair = Pair::start();
    let chained = Server::builder().replica_of(&pair.replica).start();
    let (mut primary, mut c) = (pair.primary.client(), chained.client());
    until("the chain is linked", PATIENCE, || {
        c.info_field("replication", "master_link_status").as_deref() == Some("up")
    });
    primary.words("LLMCACHE.CREATE faq MAXENTRIES 3").ok();
    for i in 0..10 {
        set(&mut primary, &format!("p{i}"), "r", "EX 1000").ok();
    }
    pair.wait_in_sync();
    until("the last one holds the same", PATIENCE, || digest(&mut c, "faq") == digest(&mut primary, "faq"));
    assert_eq!(prompts(&mut c, ""), ["p7", "p8", "p9"]);
}

#[test]
fn a_replica_tells_its_listeners_of_what_it_repeats() {
    let pair = Pair::with(|b| b.config("notify-keyspace-events KEA"));
    let (mut primary, mut listener) = (pair.primary.client(), pair.replica.client());
    listener.subscribe(&["__keyevent@0__:llmcache.*"]);
    store(&mut primary, "p", "r");
    assert_eq!(listener.message(), Message { channel: "__keyevent@0__:llmcache.set".into(), payload: "faq".into() });
    let before = state(&mut primary);
    assert!(!before.is_null());
    primary.words("LLMCACHE.INVALIDATE faq ALL");
    assert_eq!(listener.message().channel, "__keyevent@0__:llmcache.del");
}

#[test]
fn thousands_of_deletions_reach_a_replica() {
    let pair = Pair::start();
    let (mut primary, mut replica) = (pair.primary.client(), pair.replica.client());
    let commands: Vec<_> =
        (0..5000).map(|i| args!["LLMCACHE.SET", "faq", i, "r", "EX", 1000, "TAGS", 1, i % 2]).collect();
    assert!(primary.pipeline(&commands).iter().all(Reply::is_ok));
    for (line, left) in [
        ("INVALIDATE faq TAG 1 0 SOFT", 5000),
        ("INVALIDATE faq TAG 1 0", 2500),
        ("ALTER faq MAXENTRIES 10", 10),
        ("INVALIDATE faq ALL", 0),
    ] {
        assert!(!primary.words(&format!("LLMCACHE.{line}")).is_error());
        pair.wait_in_sync();
        assert_eq!(digest(&mut replica, "faq"), digest(&mut primary, "faq"), "{line}");
        assert_eq!(stat(&mut replica, "entries"), left, "{line}");
    }
}

#[test]
fn a_full_resync_replaces_what_was_there_however_it_is_loaded() {
    for load in ["disabled", "on-empty-db", "swapdb"] {
        let pair = Pair::with(|b| b.config(&format!("repl-diskless-load {load}")));
        let (mut primary, mut replica) = (pair.primary.client(), pair.replica.client());
        for i in 0..200 {
            set(&mut primary, &format!("p{i}"), "r", "EX 1000").ok();
        }
        pair.wait_in_sync();
        pair.promote();
        store(&mut replica, "only here", "r");
        cmd!(replica, "LLMCACHE.SET", "only here", "p", "r").ok();
        store(&mut primary, "only there", "r");
        cmd!(replica, "REPLICAOF", "127.0.0.1", pair.primary.port()).ok();
        pair.wait_in_sync();
        assert_eq!(digest(&mut replica, "faq"), digest(&mut primary, "faq"), "{load}");
        assert_eq!(cmd!(replica, "DBSIZE"), 1, "{load}");
        until("what was there before is freed", PATIENCE, || *replica.words("LLMCACHE.STATS").field("entries") == 201);
        set(&mut primary, "short", "r", "PX 20").ok();
        pair.wait_in_sync();
        until("expired entries are still freed", PATIENCE, || stat(&mut replica, "expirations") > 0);
    }
}
