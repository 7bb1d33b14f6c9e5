//! A defect anywhere in the module: the command answers an error, and server, cache and replicas are sound afterwards.
//!
//! These run a module that was built to panic on demand (`make build-panics`): a setting says after how many places. Each
//! command is run again and again, with the panic one place later each time, until it gets through.

use crate::harness::{args, cmd, until, Builder, Client, Pair, Reply, Server, PATIENCE};
use crate::support::{digest, pass, stat};
use std::path::PathBuf;

/// The module that can panic.
fn module() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let built = || target.join("panics/libllmcache.so");
    let path = std::env::var_os("LLMCACHE_PANICS_SO").map_or_else(built, PathBuf::from);
    assert!(path.exists(), "{} is not there: make build-panics", path.display());
    path
}

/// Commands that get far. `<id>` is that of an entry.
const COMMANDS: [&str; 34] = [
    "LLMCACHE.GET faq one",
    "LLMCACHE.GET faq one WITHMETA",
    "LLMCACHE.GET faq absent",
    "LLMCACHE.GET faq one! SIMILAR THRESHOLD 0.3 WITHMETA",
    "LLMCACHE.SET faq one again EX 100 TAGS 2 a new META {}",
    "LLMCACHE.SET faq brandnew answer SCOPE s MODEL m TYPE t TAGS 1 a STRATEGY realtime",
    "LLMCACHE.SET faq one answer NX",
    "LLMCACHE.SET newcache one answer",
    "LLMCACHE.FETCH faq absent LEASE 1000",
    "LLMCACHE.FETCH faq one LEASE 1000 WITHMETA",
    "LLMCACHE.DEL faq <id>",
    "LLMCACHE.INVALIDATE faq TAG 1 a",
    "LLMCACHE.INVALIDATE faq SOFT MATCH *o*",
    "LLMCACHE.INVALIDATE faq ALL",
    "LLMCACHE.INVALIDATE faq ALL DRYRUN",
    "LLMCACHE.SCAN faq 0 COUNT 100 TAG a",
    "LLMCACHE.ENTRY faq <id> WITHRESPONSE",
    "LLMCACHE.TTL faq <id>",
    "LLMCACHE.EXPIRE faq <id> 10",
    "LLMCACHE.CREATE other MODE similar",
    "LLMCACHE.ALTER faq MAXENTRIES 2",
    "LLMCACHE.ALTER faq EVICT lru COMPRESS zstd",
    "LLMCACHE.ALTER faq MODE similar SIMILARITY lexical",
    "LLMCACHE.INFO faq",
    "LLMCACHE.STRATEGY faq SET mine TTL 7",
    "LLMCACHE.RULE faq SET mine PROMPT o* STRATEGY realtime",
    "LLMCACHE.STATS faq",
    "LLMCACHE.STATS faq BY tag FORMAT json",
    "LLMCACHE.RESETSTATS faq",
    "LLMCACHE.EXPLAIN faq one",
    "LLMCACHE.FEEDBACK faq <id> bad FOR other",
    "LLMCACHE.ALERT faq SET low hit_rate BELOW 0.5",
    "LLMCACHE.WARM faq ITEMS 2 one first five fifth",
    "LLMCACHE.WARM faq DUE LEASE 1000",
];

/// What is there before each command.
const ANSWERS: [(&str, &str); 4] = [("one", "first"), ("two", "second"), ("three", "third"), ("four", "fourth")];

fn fill(c: &mut Client) {
    c.words("FLUSHALL").ok();
    c.words("LLMCACHE.CREATE faq MODE similar EVICT cost").ok();
    for (i, (prompt, response)) in ANSWERS.iter().enumerate() {
        let text = response.repeat(40);
        cmd!(c, "LLMCACHE.SET", "faq", prompt, text, "PERSIST", "TAGS", 2, ["a", "b"][i % 2], "all").ok();
    }
    c.words("LLMCACHE.WARM faq PLAN p EVERY 100 JSON [{\"prompt\":\"planned\"}]").ok();
    c.words("LLMCACHE.RULE faq SET r PROMPT x* STRATEGY realtime").ok();
}

/// Whether the cache agrees with itself, holds nothing that nobody stored, and has lost so many answers at most.
fn is_sound(c: &mut Client, line: &str, most_lost: usize) {
    assert_eq!(c.words("PING"), "PONG", "after {line}");
    let mut lost = 0;
    for (prompt, response) in ANSWERS {
        let found = cmd!(c, "LLMCACHE.GET", "faq", prompt, "STALEOK", "NOTOUCH");
        let known = [response.repeat(40), "again".to_owned(), "answer".to_owned(), "first".to_owned()];
        assert!(
            found.is_null() || known.iter().any(|known| found == known.as_str()),
            "{prompt} after {line}: {found:?}"
        );
        lost += usize::from(found.is_null());
    }
    assert!(lost <= most_lost, "{lost} answers are gone after {line}");
    let info = c.words("LLMCACHE.INFO faq");
    let scan = c.words("LLMCACHE.SCAN faq 0 COUNT 1000");
    if !info.is_error() {
        assert_eq!(info.field("entries").int(), scan.at(1).items().len() as i64, "after {line}");
    }
    // It goes on as before.
    cmd!(c, "LLMCACHE.SET", "faq", "after", "all", "PERSIST").ok();
    assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", "after"), "all", "after {line}");
    assert_eq!(cmd!(c, "LLMCACHE.INVALIDATE", "faq", "PROMPT", "after").int(), 1, "after {line}");
}

/// From now on so many places are passed until one panics; 0 for never.
fn arm(c: &mut Client, places: u64) {
    cmd!(c, "CONFIG", "SET", "llmcache.panic-after", places).ok();
}

/// How many places are left to be passed.
fn left(c: &mut Client) -> u64 {
    cmd!(c, "CONFIG", "GET", "llmcache.panic-after").field("llmcache.panic-after").text().parse().unwrap()
}

fn times_mended(server: &Server) -> usize {
    server.log().matches("a cache was mended").count()
}

#[test]
fn a_panic_in_any_command_is_an_error_and_leaves_everything_sound() {
    let module = module();
    let pair = Pair::with(|builder: Builder| builder.module(&module));
    let mut c = pair.primary.client3();
    let mut panics = 0;
    for line in COMMANDS {
        let mut places = 1;
        loop {
            fill(&mut c);
            let id = cmd!(c, "LLMCACHE.SCAN", "faq", 0).at(1).at(0).at(0).text();
            arm(&mut c, places);
            let reply: Reply = c.words(&line.replace("<id>", &id));
            let left = left(&mut c);
            arm(&mut c, 0);
            if left > 0 {
                assert!(!reply.is_error(), "{line}: {reply:?}");
                break;
            }
            // Somebody else may have passed the place, such as the timer; a nested panic is an error inside a map or an array.
            let told = format!("{reply:?}").contains("internal error");
            if told {
                panics += 1;
                // What a command takes out, and what it had in hand.
                let takes = ["INVALIDATE", "MAXENTRIES"].iter().any(|word| line.contains(word));
                is_sound(&mut c, line, if takes { ANSWERS.len() } else { 1 });
                places += 1 + places / 8;
            }
        }
        // Replicas heard all that was left, and files hold it.
        fill(&mut c);
        arm(&mut c, 3);
        c.words(line);
        arm(&mut c, 0);
        let mut replica = pair.replica.client3();
        // All of it is told by the timer, and not twice within a minute: each time the cache is another one.
        until(&format!("the replica has all that is left after {line}"), PATIENCE, || {
            digest(&mut replica, "faq") == digest(&mut c, "faq")
        });
        let ours = digest(&mut c, "faq");
        cmd!(c, "DEBUG", "RELOAD").ok();
        assert_eq!(digest(&mut c, "faq"), ours, "{line}");
        println!("{line}: {places} places");
    }
    assert!(panics > 200, "{panics} panics");
    println!("{panics} panics");
    until("the server is there", PATIENCE, || c.words("PING") == "PONG");
}

#[test]
fn a_cache_that_was_only_looked_at_is_left_alone() {
    let server = Server::builder().module(module()).start();
    let mut c = server.client3();
    fill(&mut c);
    let before = digest(&mut c, "faq");
    let id = c.words("LLMCACHE.SCAN faq 0").at(1).at(0).at(0).text();
    let mut panics = 0;
    for line in
        ["GET faq one WITHMETA", &format!("ENTRY faq {id}"), "SCAN faq 0", "INFO faq", "STATS", "EXPLAIN faq one"]
    {
        for places in 1.. {
            arm(&mut c, places);
            let reply = c.words(&format!("LLMCACHE.{line}"));
            let left = left(&mut c);
            arm(&mut c, 0);
            if left > 0 {
                break;
            }
            panics += usize::from(format!("{reply:?}").contains("internal error"));
            assert_eq!(digest(&mut c, "faq"), before, "{line}, {places}");
        }
    }
    assert!(panics > 100, "{panics} panics");
    assert_eq!(times_mended(&server), 0, "{panics} panics");
}

#[test]
fn what_panics_before_it_has_a_cache_in_hand_costs_none() {
    let pair = Pair::with(|builder: Builder| builder.module(module()));
    let mut c = pair.primary.client3();
    fill(&mut c);
    pair.wait_in_sync();
    let offset = |c: &mut Client| c.info_field("replication", "master_repl_offset").unwrap().parse::<u64>().unwrap();
    let before = offset(&mut c);
    for _ in 0..50 {
        // In the table of leases; there is no such cache.
        let replies = c.pipeline(&[
            args!["CONFIG", "SET", "llmcache.panic-after", 1],
            args!["LLMCACHE.FETCH", "absent", "one", "LEASE", 1000],
        ]);
        assert!(replies[1].error().contains("internal error"), "{replies:?}");
    }
    assert_eq!(times_mended(&pair.primary), 0);
    assert!(offset(&mut c) - before < 200, "nothing is told but that the server is there");
}

#[test]
fn what_panics_again_and_again_has_all_told_once() {
    let pair = Pair::with(|builder: Builder| builder.module(module()));
    let mut c = pair.primary.client3();
    fill(&mut c);
    let stores = |c: &mut Client| stat(c, "stores");
    let told = || pair.replica.client().info_field("commandstats", "cmdstat_LLMCACHE.APPLY").is_some();
    let mut panics = 0;
    for _ in 0..300 {
        let replies = c.pipeline(&[
            args!["CONFIG", "SET", "llmcache.panic-after", 3],
            args!["LLMCACHE.SET", "faq", "always", "panics"],
        ]);
        panics += usize::from(replies[1].is_error());
    }
    arm(&mut c, 0);
    assert!(panics > 250, "{panics} panics");
    until("the replica heard", PATIENCE, told);
    until("the replica has the same", PATIENCE, || digest(&mut pair.replica.client3(), "faq") == digest(&mut c, "faq"));
    let anew = c.words("INFO commandstats").text();
    println!("{panics} panics; {}", anew.lines().filter(|line| line.contains("APPLY")).collect::<String>());
    // Each of the four answers was told by its own command and once more.
    let told = pair.replica.client().words("INFO commandstats").text();
    let calls = told.lines().find_map(|line| line.strip_prefix("cmdstat_LLMCACHE.APPLY:calls=")).unwrap();
    let calls: usize = calls.split(',').next().unwrap().parse().unwrap();
    assert!(calls < 60, "{calls} records for {panics} panics");
    // What is told again is not stored again.
    assert_eq!(stores(&mut pair.replica.client3()), stores(&mut c));
}

#[test]
fn a_panic_in_the_timer_leaves_everything_sound() {
    let pair = Pair::with(|builder: Builder| builder.module(module()));
    let mut c = pair.primary.client3();
    let given_up = || pair.primary.log().matches("the timer was given up").count();
    for places in 1..12 {
        fill(&mut c);
        // Nothing is left to be compressed, and what is kept has no end, so the timer has these to free.
        c.words("LLMCACHE.ALTER faq COMPRESS none").ok();
        for i in 0..20 {
            cmd!(c, "LLMCACHE.SET", "faq", format!("short {i}"), "answer", "PX", 1, "TAGS", 1, "all").ok();
        }
        let before = given_up();
        pass(900);
        arm(&mut c, places);
        until("the timer panics", PATIENCE, || given_up() > before);
        until("what is dead goes", PATIENCE, || stat(&mut c, "entries") == ANSWERS.len() as i64);
        is_sound(&mut c, "the timer", 0);
        let mut replica = pair.replica.client3();
        until("the replica has the same", PATIENCE, || digest(&mut replica, "faq") == digest(&mut c, "faq"));
    }
    assert!(times_mended(&pair.primary) > 0, "some of them left tables that did not agree");
}

/// Entries stand in other places then, and what was begun goes by places.
#[test]
fn who_changes_many_entries_of_a_cache_that_is_mended_meanwhile_is_told_so() {
    let server = Server::builder().module(module()).start();
    let mut c = server.client();
    const FILL: &str =
        "for i = ARGV[1], ARGV[2] do redis.call('LLMCACHE.SET', KEYS[1], 'prompt '..i, 'answer '..i) end";
    for from in (0..40_000).step_by(10_000) {
        cmd!(c, "EVAL", FILL, 1, "faq", from, from + 9_999);
    }
    let mut waiting = server.client();
    waiting.send(&["LLMCACHE.INVALIDATE", "faq", "MATCH", "*"]);
    until("it has begun", PATIENCE, || stat(&mut c, "entries") < 40_000);
    // One of them leaves it broken. They come all at once.
    let panics: Vec<_> = (1..20)
        .flat_map(|places| {
            let set = args!["LLMCACHE.SET", "faq", format!("new {places}"), "answer"];
            [args!["CONFIG", "SET", "llmcache.panic-after", places], set]
        })
        .collect();
    assert!(c.pipeline(&panics).iter().any(Reply::is_error));
    arm(&mut c, 0);
    assert!(times_mended(&server) > 0);
    assert!(waiting.read().error().contains("internal error"));
    let left = stat(&mut c, "entries");
    assert!(left > 0, "it was in the middle of it");
    assert_eq!(c.words("LLMCACHE.INVALIDATE faq MATCH *"), left);
    assert_eq!(stat(&mut c, "entries"), 0);
}

#[test]
fn a_panic_in_the_reply_to_a_client_that_waited_is_an_error() {
    let server = Server::builder().module(module()).start();
    let mut c = server.client();
    let mut panics = 0;
    for places in 1..60 {
        c.words("FLUSHALL").ok();
        c.words("LLMCACHE.CREATE faq COMPRESS none").ok();
        let token = c.words("LLMCACHE.FETCH faq one LEASE 10000").at(3).text();
        let mut waiting = server.client();
        waiting.send(&["LLMCACHE.FETCH", "faq", "one", "LEASE", "10000", "BLOCK", "10000"]);
        // The cache is not there yet, so nothing tells of those who wait for it.
        until("it waits", PATIENCE, || {
            server.client().info_field("clients", "blocked_clients").as_deref() == Some("1")
        });
        let replies = c.pipeline(&[
            args!["CONFIG", "SET", "llmcache.panic-after", places],
            args!["LLMCACHE.SET", "faq", "one", "answer", "TOKEN", token],
        ]);
        if replies[1].is_error() {
            // Nobody has answered; the lease is still to end.
            continue;
        }
        let told = waiting.read();
        let has_panicked = left(&mut c) == 0;
        arm(&mut c, 0);
        assert_eq!(format!("{told:?}").contains("internal error"), has_panicked, "{told:?}");
        // Nothing is left of it on the line.
        waiting.send(&["PING"]);
        assert_eq!(waiting.read(), "PONG", "after {told:?}");
        panics += usize::from(has_panicked);
    }
    assert!(panics > 10, "{panics} panics");
}
