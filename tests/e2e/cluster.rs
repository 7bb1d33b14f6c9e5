//! A cluster: redirects, slots that move and primaries that die while clients ask, and one cache in many parts.

use crate::harness::{args, cmd, until, until_some, Client, Cluster, Reply, Router, PATIENCE};
use crate::support::{kept, whole, Dice, COMMANDS, NO_ID, SUMS};
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How soon somebody who waited must have heard of it when the cache has moved. It is looked four times in a second.
const SOON: Duration = Duration::from_secs(5);

fn digest(c: &mut Client, key: &str) -> String {
    c.words(&format!("DEBUG DIGEST-VALUE {key}")).at(0).text()
}

fn entries(c: &mut Client, key: &str) -> i64 {
    cmd!(c, "LLMCACHE.STATS", key).field("entries").int()
}

/// A command of [`COMMANDS`] about this key.
fn about(line: &str, key: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| if word == "KEY" { key } else { word }.as_bytes().to_vec()).collect()
}

#[test]
fn every_command_about_a_key_is_sent_to_the_node_that_has_it() {
    let cluster = Cluster::start().calm();
    let right = cluster.primary_of("{faq}a");
    let (wrong, replica) = ((right + 1) % 3, right + 3);
    let moved = format!("MOVED {} 127.0.0.1:{}", cluster.slot("{faq}a"), cluster.nodes[right].port());
    let [mut here, mut there] = [right, wrong].map(|node| cluster.nodes[node].client3());
    let mut copy = cluster.nodes[replica].client3();

    // What one tag holds together is on one node.
    assert_eq!(cluster.slot("{faq}a"), cluster.slot("{faq}b"));
    for key in ["{faq}a", "{faq}b"] {
        cmd!(here, "LLMCACHE.SET", key, "p", format!("of {key}"), "PERSIST").ok();
        assert_eq!(cmd!(here, "LLMCACHE.GET", key, "p"), format!("of {key}").as_str());
    }
    cmd!(here, "MULTI").ok();
    assert_eq!(cmd!(here, "LLMCACHE.GET", "{faq}a", "p"), "QUEUED");
    assert_eq!(cmd!(here, "LLMCACHE.GET", "{faq}b", "p"), "QUEUED");
    assert_eq!(cmd!(here, "EXEC").texts(), ["of {faq}a", "of {faq}b"]);
    assert_eq!(cmd!(here, "COPY", "{faq}a", "{faq}c"), 1);
    cmd!(here, "RENAME", "{faq}c", "{faq}d").ok();
    assert_eq!(cmd!(here, "LLMCACHE.GET", "{faq}d", "p"), "of {faq}a");
    assert_eq!(cmd!(here, "DEL", "{faq}d", "{faq}none"), 1);
    let elsewhere = (0..).map(|n| format!("other-{n}")).find(|key| cluster.primary_of(key) == wrong).unwrap();
    assert!(cmd!(here, "COPY", "{faq}a", elsewhere).error().starts_with("CROSSSLOT"));

    // On any other node every command answers the same, in scripts and transactions too.
    let internal =
        ["LLMCACHE.APPLY KEY CLEAR", "LLMCACHE.WARM KEY ITEMS 1 p r", "LLMCACHE.FETCH KEY p LEASE 9 BLOCK 9"];
    for line in COMMANDS.iter().chain(&internal) {
        let command = about(line, "{faq}a");
        assert_eq!(there.cmd(&command).error(), moved, "{line}");
        assert_eq!(copy.cmd(&command).error(), moved, "{line}, on the replica");
    }
    there.words("MULTI").ok();
    assert_eq!(there.words("LLMCACHE.GET {faq}a p").error(), moved);
    assert!(there.words("EXEC").error().starts_with("EXECABORT"));
    let script = "return redis.call('LLMCACHE.GET', KEYS[1], 'p')";
    assert_eq!(cmd!(there, "EVAL", script, 1, "{faq}a").error(), moved);
    assert_eq!(cmd!(here, "EVAL", script, 1, "{faq}a"), "of {faq}a");

    // Without a key, a node tells of itself and forgets for itself.
    cmd!(there, "LLMCACHE.SET", elsewhere, "p", "r", "PERSIST").ok();
    let figures = |c: &mut Client, name: &str| c.words("LLMCACHE.STATS").field(name).int();
    assert_eq!([figures(&mut here, "entries"), figures(&mut there, "entries")], [2, 1]);
    assert_eq!([figures(&mut here, "stores"), figures(&mut there, "stores")], [2, 1]);
    there.words("LLMCACHE.RESETSTATS").ok();
    assert_eq!([figures(&mut here, "stores"), figures(&mut there, "stores")], [2, 0]);

    // A replica serves readers who say that they know what it is, and sends writers on.
    until("the replica has both caches", PATIENCE, || entries_of_all(&mut copy) == 2);
    copy.words("READONLY").ok();
    assert_eq!(copy.words("LLMCACHE.GET {faq}a p"), "of {faq}a");
    for line in COMMANDS {
        let command = about(line, "{faq}a");
        let name = line.split(' ').next().unwrap();
        let reads = "GET SCAN ENTRY TTL INFO STATS RESETSTATS EXPLAIN";
        let reads = reads.split(' ').any(|read| name == format!("LLMCACHE.{read}"));
        let told = copy.cmd(&command);
        assert_eq!(told == Reply::Error(moved.clone()), !reads, "{line}: {told:?}");
    }
    assert_eq!(digest(&mut copy, "{faq}b"), digest(&mut here, "{faq}b"));
}

fn entries_of_all(c: &mut Client) -> i64 {
    c.words("LLMCACHE.STATS").field("entries").int()
}

/// What clients have done, for comparison with what the cache has counted.
#[derive(Default)]
struct Tally {
    lookups: AtomicU64,
    stores: AtomicU64,
    skips: AtomicU64,
    asked: AtomicU64,
}

/// One client of many: it asks and stores, and is told what it stored and nothing else. Its own prompts nobody else stores.
fn converse(who: usize, mut router: Router, mut dice: Dice, tally: &Tally, over: &AtomicBool) {
    let mut stored: HashMap<u64, String> = HashMap::new();
    let add = |to: &AtomicU64| {
        to.fetch_add(1, Ordering::Relaxed);
    };
    while !over.load(Ordering::Relaxed) {
        let number = dice.below(60);
        let prompt = format!("prompt {number} of {who}");
        match dice.below(10) {
            0..=2 => {
                let response = format!("{prompt}: {}", dice.text(200));
                router.cmd("{faq}a", &args!["LLMCACHE.SET", "{faq}a", prompt, response, "PERSIST"]).ok();
                add(&tally.stores);
                stored.insert(number, response);
            }
            3..=7 => {
                let told = router.cmd("{faq}a", &args!["LLMCACHE.GET", "{faq}a", prompt]);
                add(&tally.lookups);
                match stored.get(&number) {
                    Some(response) => assert_eq!(told, response.as_str(), "{prompt}"),
                    None => assert!(told.is_null(), "{prompt}: {told:?}"),
                }
            }
            _ => {
                let prompt = format!("shared {}", dice.below(100_000));
                let response = format!("the answer to {prompt}");
                let fetch = args!["LLMCACHE.FETCH", "{faq}a", prompt, "LEASE", 5000, "BLOCK", 5000];
                let told = router.cmd("{faq}a", &fetch);
                add(&tally.lookups);
                match told.field("state").text().as_str() {
                    "hit" => assert_eq!(told.field("response").text(), response),
                    "lease" => {
                        let set =
                            args!["LLMCACHE.SET", "{faq}a", prompt, response, "TOKEN", told.field("token").text()];
                        let told = router.cmd("{faq}a", &[set, args!["PERSIST"]].concat());
                        // The lease has ended where the cache has moved meanwhile.
                        add(if told.is_null() { &tally.skips } else { &tally.stores });
                    }
                    state => panic!("{prompt}: {state}"),
                }
            }
        }
        tally.asked.fetch_max(router.asked, Ordering::Relaxed);
    }
    for (number, response) in stored {
        let prompt = format!("prompt {number} of {who}");
        assert_eq!(router.cmd("{faq}a", &args!["LLMCACHE.GET", "{faq}a", prompt, "NOTOUCH"]), response.as_str());
    }
    assert_eq!(router.broken, 0);
}

#[test]
fn a_slot_moves_while_clients_ask_and_store() {
    let cluster = Cluster::start().calm();
    let mut dice = Dice::new("slot migration");
    let slot = cluster.slot("{faq}a");
    let from = cluster.primary_of("{faq}a");
    let to = (from + 1) % 3;
    let mut source = cluster.nodes[from].client3();
    // One that nobody asks has something of everything.
    source.words("LLMCACHE.CREATE {faq}b MODE similar MAXENTRIES 900 EVICT cost JITTER 5 PRICE m 1 2").ok();
    source.words("LLMCACHE.STRATEGY {faq}b SET mine TTL 9999 STALE 99").ok();
    source.words("LLMCACHE.RULE {faq}b SET ours PROMPT a* STRATEGY mine").ok();
    source.words("LLMCACHE.ALERT {faq}b SET low hit_rate BELOW 0.1").ok();
    source.words("LLMCACHE.WARM {faq}b PLAN daily EVERY 3600 JSON [{\"prompt\":\"p\"}]").ok();
    for n in 0..300 {
        let response = format!("{{\"number\":{n},\"text\":\"{}\"}}", dice.text(300));
        let options = args!["TAGS", 2, "a", n % 7, "COST", "0.01", "SCOPE", n % 3, "EX", 5000];
        source
            .cmd(&[args!["LLMCACHE.SET", "{faq}b", format!("a question about thing {n}"), response], options].concat())
            .ok();
        cmd!(source, "LLMCACHE.GET", "{faq}b", format!("a question about thing {n}"), "SCOPE", (n % 2));
        cmd!(source, "LLMCACHE.SET", "{faq}a", format!("old {n}"), dice.text(200), "PERSIST").ok();
    }
    source.words(&format!("LLMCACHE.FEEDBACK {{faq}}b {NO_ID} bad"));
    let before = [digest(&mut source, "{faq}b"), format!("{:?}", kept(&source.words("LLMCACHE.STATS {faq}b")))];
    let told = source.words("LLMCACHE.INFO {faq}b");

    // One that is too long for the other node stays.
    let mut target = cluster.nodes[to].client3();
    target.words("CONFIG SET proto-max-bulk-len 1mb").ok();
    cmd!(source, "LLMCACHE.SET", "{faq}big", "p", dice.bytes(2 << 20), "PERSIST").ok();
    assert!(cluster.move_keys(from, to, &["{faq}big"]).is_error());
    assert_eq!(entries(&mut source, "{faq}big"), 1);
    assert_eq!(cmd!(source, "DEL", "{faq}big"), 1);
    target.words("CONFIG SET proto-max-bulk-len 512mb").ok();

    let (tally, over) = (Tally { stores: AtomicU64::new(300), ..Tally::default() }, AtomicBool::new(false));
    thread::scope(|scope| {
        for who in 0..4 {
            let (router, dice, tally, over) = (cluster.router(), dice.other(), &tally, &over);
            // A client that fails ends the others too.
            scope.spawn(move || {
                let end = EndsAll(over);
                converse(who, router, dice, tally, over);
                std::mem::forget(end);
            });
        }
        let _end = EndsAll(&over);
        let lookups = |more: u64| {
            let wanted = tally.lookups.load(Ordering::Relaxed) + more;
            until("clients go on", PATIENCE, || {
                tally.lookups.load(Ordering::Relaxed) >= wanted || over.load(Ordering::Relaxed)
            });
        };
        lookups(200);
        cluster.begin_move(slot, from, to);
        lookups(50);
        cluster.move_keys(from, to, &["{faq}b"]).ok();
        lookups(50);
        cluster.move_keys(from, to, &["{faq}a"]).ok();
        until("clients are told to ask at the other node", PATIENCE, || {
            tally.asked.load(Ordering::Relaxed) >= 20 || over.load(Ordering::Relaxed)
        });
        lookups(50);
        cluster.end_move(slot, from, to);
        lookups(200);
    });

    let mut target = cluster.nodes[to].client3();
    assert_eq!([digest(&mut target, "{faq}b"), format!("{:?}", kept(&target.words("LLMCACHE.STATS {faq}b")))], before);
    let now = target.words("LLMCACHE.INFO {faq}b");
    for name in "mode strategy stale jitter maxentries evict price entries strategies rules alerts".split(' ') {
        assert_eq!(now.field(name), told.field(name), "{name}");
    }
    // What was counted has moved along, and nothing was counted twice or by a node that sent its client on.
    let counted = target.words("LLMCACHE.STATS {faq}a");
    for (name, value) in [("lookups", &tally.lookups), ("stores", &tally.stores), ("skips", &tally.skips)] {
        assert_eq!(counted.field(name).int(), value.load(Ordering::Relaxed) as i64, "{name}");
    }
    println!("{} lookups, {} stores", counted.field("lookups").int(), counted.field("stores").int());
    let moved = format!("MOVED {slot} 127.0.0.1:{}", cluster.nodes[to].port());
    assert_eq!(source.words("LLMCACHE.GET {faq}a p").error(), moved);
    assert_eq!(source.words("DBSIZE"), 0, "nothing is left behind");
    let mut replica = cluster.nodes[to + 3].client3();
    until("the replica of the new primary holds the same", PATIENCE, || {
        ["{faq}a", "{faq}b"].iter().all(|key| digest(&mut replica, key) == digest(&mut target, key))
    });
    let mut old = cluster.nodes[from + 3].client3();
    until("that of the old one holds nothing", PATIENCE, || old.words("DBSIZE") == 0);
}

#[test]
fn a_slot_moves_in_one_piece_where_the_server_can() {
    let cluster = Cluster::start();
    if !cluster.nodes[0].version().is_valkey(9, 0) {
        println!("this server moves slots key by key only");
        return;
    }
    let from = cluster.primary_of("{faq}a");
    let (to, slot) = ((from + 1) % 3, cluster.slot("{faq}a"));
    let [mut source, mut target] = [from, to].map(|node| cluster.nodes[node].client3());
    let mut dice = Dice::new("in one piece");
    source.words("LLMCACHE.CREATE {faq}a MODE similar EVICT lfu PRICE m 1 2").ok();
    for i in 0..1000 {
        let (prompt, text) = (format!("prompt {i}"), dice.prose(4));
        cmd!(source, "LLMCACHE.SET", "{faq}a", prompt, text, "EX", 5000 + i, "TAGS", 1, i % 7, "SCOPE", i % 3).ok();
    }
    source.words("LLMCACHE.ALERT {faq}a SET low hit_rate BELOW 0.1").ok();
    source.words("LLMCACHE.WARM {faq}a PLAN p EVERY 100 JSON [{\"prompt\":\"planned\"}]").ok();
    lease(&mut source, "{faq}a");
    let mut waiting = waiter(&cluster, from, "{faq}a", false);
    let stored = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (mut router, stored, over) = (cluster.router(), &stored, &over);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let i = stored.load(Ordering::Relaxed);
                let set =
                    args!["LLMCACHE.SET", "{faq}a", format!("while it moves {i}"), format!("answer {i}"), "EX", 900];
                router.cmd("{faq}a", &set).ok();
                stored.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _end = EndsAll(over);
        let id = cluster.id(to);
        cmd!(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", id).ok();
        until("the slot has moved", PATIENCE, || cmd!(source, "EXISTS", "{faq}a").is_error());
        let enough = stored.load(Ordering::Relaxed) + 100;
        until("clients go on", PATIENCE, || stored.load(Ordering::Relaxed) >= enough);
    });
    assert!(soon(&mut waiting).error().starts_with(&format!("MOVED {slot} ")));
    for i in 0..stored.load(Ordering::Relaxed) {
        let found = cmd!(target, "LLMCACHE.GET", "{faq}a", format!("while it moves {i}"));
        assert_eq!(found, format!("answer {i}").as_str());
    }
    let info = target.words("LLMCACHE.INFO {faq}a");
    assert_eq!(info.field("entries").int(), 1000 + stored.load(Ordering::Relaxed) as i64);
    assert_eq!([info.field("mode").text(), info.field("evict").text()], ["similar", "lfu"]);
    assert_eq!(target.words("LLMCACHE.WARM {faq}a STATUS").items().len(), 1);
    assert_eq!(source.words("DBSIZE"), 0, "nothing is left behind");
    let mut replica = cluster.nodes[to + 3].client3();
    until("the replica holds the same", PATIENCE, || digest(&mut replica, "{faq}a") == digest(&mut target, "{faq}a"));
    println!("{} stored while it moved", stored.load(Ordering::Relaxed));
}

/// Ends what others do, when it goes.
struct EndsAll<'a>(&'a AtomicBool);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client of a node that waits for an answer to `q`.
#[track_caller]
fn waiter(cluster: &Cluster, node: usize, key: &str, asking: bool) -> Client {
    let mut watcher = cluster.nodes[node].client();
    let mut waiting = || watcher.info_field("clients", "blocked_clients").unwrap().parse::<u64>().unwrap();
    let before = waiting();
    let mut client = cluster.nodes[node].client3();
    if asking {
        client.words("ASKING").ok();
    }
    client.send(&args!["LLMCACHE.FETCH", key, "q", "LEASE", 60000, "BLOCK", 600_000]);
    until("a client waits", PATIENCE, || waiting() == before + 1);
    client
}

#[track_caller]
fn lease(c: &mut Client, key: &str) -> String {
    let told = cmd!(c, "LLMCACHE.FETCH", key, "q", "LEASE", 60000);
    assert_eq!(told.field("state").text(), "lease", "{told:?}");
    told.field("token").text()
}

#[track_caller]
fn soon(c: &mut Client) -> Reply {
    c.read_within(SOON).unwrap_or_else(|| panic!("still waiting after {SOON:?}"))
}

#[test]
fn whoever_waits_is_sent_on_when_the_cache_moves() {
    let cluster = Cluster::of_primaries().calm();
    let from = cluster.primary_of("{faq}a");
    let (to, slot) = ((from + 1) % 3, cluster.slot("{faq}a"));
    let [mut source, mut target] = [from, to].map(|node| cluster.nodes[node].client3());
    let moved = |node: usize| format!("MOVED {slot} 127.0.0.1:{}", cluster.nodes[node].port());
    // {faq}a is there; {faq}none is not, so nothing of it will move, and only leases tell of it.
    cmd!(source, "LLMCACHE.SET", "{faq}a", "p", "r", "PERSIST").ok();
    let tokens = ["{faq}a", "{faq}none"].map(|key| lease(&mut source, key));
    let mut waiters = ["{faq}a", "{faq}a", "{faq}none"].map(|key| waiter(&cluster, from, key, false));

    // From here on an answer for {faq}none is stored there.
    cluster.begin_move(slot, from, to);
    assert_eq!(soon(&mut waiters[2]).error(), moved(from), "whoever asks here again is told where");
    let ask = cmd!(source, "LLMCACHE.FETCH", "{faq}none", "q", "LEASE", 9);
    assert!(ask.error().starts_with("ASK "), "{ask:?}");
    assert!(waiters[0].read_within(Duration::from_millis(600)).is_none(), "that of {{faq}}a is still to come here");

    cluster.move_keys(from, to, &["{faq}a"]).ok();
    for waiter in &mut waiters[..2] {
        assert_eq!(soon(waiter).error(), moved(from));
    }
    // At the new node whoever is sent there ahead of the slot may have the lease, and wait, as long as it takes.
    target.words("ASKING").ok();
    let token = lease(&mut target, "{faq}a");
    let mut early = waiter(&cluster, to, "{faq}a", true);
    assert!(early.read_within(Duration::from_millis(600)).is_none(), "a client that asked ahead waits");
    target.words("ASKING").ok();
    let told = cmd!(target, "LLMCACHE.SET", "{faq}a", "q", "late", "TOKEN", tokens[0]);
    assert!(told.is_null(), "the old lease has ended: {told:?}");
    cluster.end_move(slot, from, to);
    assert!(early.read_within(Duration::from_millis(600)).is_none(), "and goes on waiting when the slot has come");
    cmd!(target, "LLMCACHE.SET", "{faq}a", "q", "new", "TOKEN", token).ok();
    let told = soon(&mut early);
    assert_eq!([told.field("state").text(), told.field("response").text()], ["hit", "new"]);

    // A slot that is given away all at once, as by a failover that this node has not taken part in.
    lease(&mut target, "{faq}none");
    let mut last = waiter(&cluster, to, "{faq}none", false);
    cmd!(target, "DEL", "{faq}a");
    cluster.end_move(slot, to, from);
    assert_eq!(soon(&mut last).error(), moved(to));

    // A cache that is deleted has gone nowhere.
    cmd!(source, "LLMCACHE.SET", "{faq}a", "p", "r", "PERSIST").ok();
    lease(&mut source, "{faq}a");
    let mut waiting = waiter(&cluster, from, "{faq}a", false);
    cmd!(source, "DEL", "{faq}a");
    let told = soon(&mut waiting);
    assert_eq!([told.field("state").text(), told.field("error").text()], ["failed", "the cache is gone"]);
    cmd!(source, "LLMCACHE.SET", "{faq}a", "p", "r", "PERSIST").ok();
    lease(&mut source, "{faq}a");
    let mut waiting = waiter(&cluster, from, "{faq}a", false);
    source.words("FLUSHALL").ok();
    assert_eq!(soon(&mut waiting).field("state").text(), "failed");
}

#[test]
fn what_goes_on_behind_its_command_follows_a_cache_that_moves() {
    let cluster = Cluster::of_primaries().calm();
    let from = cluster.primary_of("{faq}a");
    let (to, slot) = ((from + 1) % 3, cluster.slot("{faq}a"));
    let mut source = cluster.nodes[from].client3();
    let moved = format!("MOVED {slot} 127.0.0.1:{}", cluster.nodes[from].port());
    let mut warm = args!["LLMCACHE.WARM", "{faq}a", "PERSIST", "TAGS", 1, "t", "ITEMS", 40_000];
    warm.extend((0..40_000).flat_map(|n| args![format!("prompt {n}"), format!("response {n}")]));
    cmd!(source, "LLMCACHE.SET", "{faq}a", "p", "r", "PERSIST").ok();
    cluster.begin_move(slot, from, to);

    // WARM is in the middle of it when the cache goes.
    let mut warming = cluster.nodes[from].client3();
    warming.send(&warm);
    until("some answers are stored", PATIENCE, || entries(&mut source, "{faq}a") > 100);
    cluster.move_keys(from, to, &["{faq}a"]).ok();
    assert_eq!(warming.read().error(), moved);
    assert_eq!(source.words("DBSIZE"), 0, "nothing more was stored here");
    // As a client does that is sent on.
    let mut router = cluster.router();
    let told = router.cmd("{faq}a", &warm);
    assert_eq!(told.field("stored").int(), 40_000, "{told:?}");
    assert!(router.asked > 0);
    cluster.end_move(slot, from, to);
    assert_eq!(entries(&mut cluster.nodes[to].client3(), "{faq}a"), 40_001);

    // INVALIDATE as well.
    cluster.begin_move(slot, to, from);
    let mut target = cluster.nodes[to].client3();
    let mut invalidating = cluster.nodes[to].client3();
    // In one write, so that the move comes while the first slices are done.
    let port = cluster.nodes[from].port();
    let invalidate = args!["LLMCACHE.INVALIDATE", "{faq}a", "MATCH", "prompt*"];
    let migrate = args!["MIGRATE", "127.0.0.1", port, "{faq}a", 0, 20_000];
    invalidating.send(&invalidate);
    target.cmd(&migrate).ok();
    let told = invalidating.read();
    let at_once = !told.is_error();
    if at_once {
        println!("INVALIDATE was done before the cache moved");
    } else {
        assert_eq!(told.error(), format!("MOVED {slot} 127.0.0.1:{}", cluster.nodes[to].port()));
    }
    let left = router.cmd("{faq}a", &invalidate).int();
    assert_eq!(left > 0, !at_once);
    cluster.end_move(slot, to, from);
    assert_eq!(entries(&mut cluster.client_of("{faq}a"), "{faq}a"), 1);
    assert_eq!(target.words("DBSIZE"), 0);
}

/// What a writer knows of a prompt: the last version that a replica had as well, and the last that was tried.
#[derive(Clone, Copy, Default)]
struct Written {
    safe: u64,
    tried: u64,
}

fn version(number: u64, prompt: &str) -> String {
    format!("version {number} of {prompt} {}", "x".repeat(100))
}

/// Reads what became of a prompt: nothing older than what is safe, nothing that was never written.
#[track_caller]
fn check(told: &Reply, prompt: &str, written: Written) {
    if written.safe == 0 && told.is_null() {
        return;
    }
    let text = told.text();
    let number: u64 = text.split(' ').nth(1).and_then(|number| number.parse().ok()).expect("a version");
    assert_eq!(text, version(number, prompt));
    assert!((written.safe..=written.tried).contains(&number), "{prompt}: {number}, not {}", written.safe);
}

#[test]
fn a_primary_dies_under_load_and_what_its_replica_had_is_there() {
    let mut cluster = Cluster::start();
    let mut dice = Dice::new("failover");
    let key_at = |node: usize| (0..).map(|n| format!("cache-{n}")).find(|key| cluster.primary_of(key) == node).unwrap();
    let keys = [key_at(0), key_at(1), key_at(2)];
    let (writes, over) = (AtomicU64::new(0), AtomicBool::new(false));
    // It has no replica then that could be waited for.
    let promoted = AtomicBool::new(false);
    let routers: Vec<Router> = (0..3).map(|_| cluster.router()).collect();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..)
            .zip(routers)
            .map(|(who, router): (usize, Router)| {
                let (mut dice, keys, writes, over) = (dice.other(), &keys, &writes, &over);
                let promoted = &promoted;
                scope.spawn(move || {
                    let end = EndsAll(over);
                    let mut router = router;
                    let mut written: HashMap<(usize, String), Written> = HashMap::new();
                    while !over.load(Ordering::Relaxed) {
                        let which = if dice.below(3) == 0 { dice.below(3) as usize } else { 1 };
                        let (key, prompt) = (&keys[which], format!("prompt {} of {who}", dice.below(100)));
                        let known = written.entry((which, prompt.clone())).or_default();
                        if dice.below(4) == 0 {
                            let told = router.cmd(key, &args!["LLMCACHE.GET", key, prompt]);
                            check(&told, &prompt, *known);
                            continue;
                        }
                        known.tried += 1;
                        let response = version(known.tried, &prompt);
                        router.cmd(key, &args!["LLMCACHE.SET", key, prompt, response, "PERSIST"]).ok();
                        if !promoted.load(Ordering::Relaxed) && router.is_on_a_replica(key) {
                            known.safe = known.tried;
                        }
                        writes.fetch_add(1, Ordering::Relaxed);
                    }
                    std::mem::forget(end);
                    (router, written)
                })
            })
            .collect();
        let _end = EndsAll(&over);
        let go_on = |count: u64| {
            let wanted = writes.load(Ordering::Relaxed) + count;
            until("writers go on", PATIENCE, || {
                writes.load(Ordering::Relaxed) >= wanted || over.load(Ordering::Relaxed)
            });
        };
        go_on(600);
        cluster.nodes[1].kill9();
        until("the replica is promoted", PATIENCE, || cluster.primary_of(&keys[1]) == 4);
        promoted.store(true, Ordering::Relaxed);
        go_on(300);
        cluster.nodes[1].start_again();
        cluster.wait_for_link(1);
        go_on(100);
        over.store(true, Ordering::Relaxed);
        let mut safe = 0;
        for writer in writers {
            let (mut router, written) = writer.join().expect("a writer that saw nothing wrong");
            assert!(router.broken > 0, "it was cut off from the one that died");
            for ((which, prompt), known) in written {
                let told = router.cmd(&keys[which], &args!["LLMCACHE.GET", keys[which], prompt]);
                check(&told, &prompt, known);
                safe += u64::from(known.safe > 0);
            }
        }
        assert!(safe > 100, "{safe} prompts");
        println!("{safe} prompts, {} writes", writes.load(Ordering::Relaxed));
    });
    // The old one is a replica now, and holds the same.
    let (mut promoted, mut back) = (cluster.nodes[4].client3(), cluster.nodes[1].client3());
    assert_eq!(*back.words("ROLE").at(0), "slave");
    until("the old primary holds what the new one does", PATIENCE, || {
        digest(&mut back, &keys[1]) == digest(&mut promoted, &keys[1])
    });
    assert_eq!(promoted.words("DBSIZE"), 1);
    assert!(entries(&mut promoted, &keys[1]) > 100);

    // One that hands over in good order sends those on who wait.
    lease(&mut promoted, &keys[1]);
    let mut waiting = waiter(&cluster, 4, &keys[1], false);
    let id = cluster.id(4);
    until("the primary knows its replica", PATIENCE, || {
        promoted.words(&format!("CLUSTER REPLICAS {id}")).items().len() == 1
    });
    back.words("CLUSTER FAILOVER").ok();
    let told = waiting.read();
    assert!(told.error().starts_with("UNBLOCKED") || told.error().starts_with("MOVED"), "{told:?}");
    let found = until_some("the new primary gives the lease", PATIENCE, || {
        let told = cmd!(back, "LLMCACHE.FETCH", keys[1], "q", "LEASE", 60000);
        (!told.is_error()).then(|| told.field("state").text())
    });
    assert_eq!(found, "lease");
}

/// Prompts that are asked in more than one way.
fn wording(dice: &mut Dice) -> (String, String) {
    let thing = ["password", "username", "email", "phone", "address"][dice.below(5) as usize];
    let verb = ["reset", "change", "delete"][dice.below(3) as usize];
    let asked = [
        "how do i {} my {}",
        "How do I {} my {}?",
        "hi, how can I {} my {} please",
        "Could you tell me how to {} my {}?",
    ];
    let way = |dice: &mut Dice| {
        let words = asked[dice.below(4) as usize];
        words.replacen("{}", verb, 1).replacen("{}", thing, 1)
    };
    (way(dice), format!("{verb} {thing}"))
}

/// The part of a context. Any function of all that a lookup filters by does, as long as everybody uses the same.
fn part_of(context: &[Vec<u8>], parts: u64) -> String {
    let sum = context
        .concat()
        .iter()
        .fold(14_695_981_039_346_656_037u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211));
    format!("split:{{{}}}", (sum >> 32) % parts)
}

#[test]
fn a_cache_that_is_split_by_context_loses_no_hit() {
    const PARTS: u64 = 16;
    let cluster = Cluster::of_primaries().calm();
    let mut dice = Dice::new("a split cache");
    let mut router = cluster.router();
    let parts: Vec<String> = (0..PARTS).map(|part| format!("split:{{{part}}}")).collect();
    for key in parts.iter().map(String::as_str).chain(["whole"]) {
        router.words(&format!("LLMCACHE.CREATE {key} MODE similar")).ok();
    }
    let contexts: Vec<Vec<Vec<u8>>> = (0..40)
        .map(|n| {
            let params = format!("{{\"temperature\":{}}}", n % 3);
            args![
                "SCOPE",
                format!("tenant {}", n / 2),
                "MODEL",
                ["m", "n"][n % 2],
                "SYSTEM",
                "Be brief.",
                "PARAMS",
                params
            ]
        })
        .collect();
    for step in 0..3000 {
        let context = &contexts[dice.below(40) as usize];
        let (prompt, answer) = wording(&mut dice);
        let words = match dice.below(10) {
            0..=1 => vec![args!["LLMCACHE.SET", "", prompt, answer], context.clone(), args!["COST", "0.5", "PERSIST"]],
            2..=4 => vec![args!["LLMCACHE.GET", "", prompt, "EXACT"], context.clone(), args!["WITHMETA"]],
            5 => vec![args!["LLMCACHE.FETCH", "", prompt, "LEASE", 1], context.clone()],
            _ => vec![args!["LLMCACHE.GET", "", prompt, "SIMILAR"], context.clone(), args!["WITHMETA"]],
        };
        let words = words.concat();
        let mut told = ["whole".to_owned(), part_of(context, PARTS)].map(|key| {
            let mut words = words.clone();
            words[1] = key.clone().into_bytes();
            shown(&router.cmd(&key, &words))
        });
        // A lease of a millisecond may be over for the one and not yet for the other.
        told.iter_mut().for_each(|told| *told = told.replace("wait", "lease"));
        assert_eq!(told[0], told[1], "step {step}: {prompt} {context:?}");
    }
    let figures = |router: &mut Router, key: &str| router.words(&format!("LLMCACHE.STATS {key}"));
    let all = figures(&mut router, "whole");
    let told: Vec<Reply> = parts.iter().map(|key| figures(&mut router, key)).collect();
    for name in SUMS.split_whitespace().filter(|name| !name.starts_with("memory") && *name != "bytes_stored") {
        let sum: i64 = told.iter().map(|part| whole(part, name)).sum();
        assert_eq!(sum, whole(&all, name), "{name}");
    }
    println!("{:?}", ["lookups", "hits_exact", "hits_similar"].map(|name| all.field(name).int()));
    assert!(all.field("hits_exact").int() > 100 && all.field("hits_similar").int() > 100);
    assert!(all.field("misses").int() > 100);
    let nodes: Vec<usize> = parts.iter().map(|key| cluster.primary_of(key)).collect();
    assert!((0..3).all(|node| nodes.contains(&node)), "{nodes:?}");
    the_example_with_python_splits(&cluster);
}

/// What a reply says of an answer, without its age.
fn shown(told: &Reply) -> String {
    match told {
        Reply::Map(_) => {
            let names = "state response id etag match similarity prompt model hits cost_saved_usd".split(' ');
            names.filter_map(|name| told.get(name)).map(|value| format!("{value:?} ")).collect()
        }
        told => format!("{told:?}"),
    }
}

/// `examples/split_cache.py`, where there is a Python with redis-py.
fn the_example_with_python_splits(cluster: &Cluster) {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), std::path::PathBuf::from);
    let own = std::env::var_os("LLMCACHE_PYTHON").map(std::path::PathBuf::from);
    let candidates = own.into_iter().chain([target.join("redis-py/bin/python"), "python3".into()]);
    let has_redis = |python: &std::path::PathBuf| {
        Command::new(python).args(["-c", "import redis.cluster"]).output().is_ok_and(|output| output.status.success())
    };
    let Some(python) = candidates.into_iter().find(has_redis) else {
        println!("NOT CHECKED: there is no python3 with redis here (pip install redis)");
        return;
    };
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/split_cache.py");
    let url = format!("redis://127.0.0.1:{}", cluster.nodes[0].port());
    let output = Command::new(python).arg(example).arg(url).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = printed.lines().collect();
    let [held, counted, invalidated] = lines[..] else { panic!("{printed}") };
    assert!(held.starts_with("40 answers in ") && held.ends_with(" of 16 parts"), "{held}");
    assert_eq!(counted, "40 hits, 40 misses, 0.080000 dollars saved");
    assert_eq!(invalidated, "40 answers invalidated");
    println!("{held}");
}
