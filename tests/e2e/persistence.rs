//! Restarts: through an RDB file, through an append-only file of either kind, and after `kill -9`.

use crate::harness::{cmd, until, Builder, Client, Server, PATIENCE};
use crate::support::{self, digest, entry, get, goes_between, id_of, meta, now_ms, pass, prompts, set, stat, store};
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

/// A cache with something of everything.
fn fill(c: &mut Client) {
    c.words(
        "LLMCACHE.CREATE faq MAXENTRIES 100 MAXMEMORY 9999999 STALE 60 JITTER 5 EVICT ttl LEVEL 5 PRICE gpt 1 2 \
         PRICE mini 3 4 CACHED 0.5",
    )
    .ok();
    c.words("LLMCACHE.STRATEGY faq SET mine TTL 500 STALE 5 JITTER 1").ok();
    c.words("LLMCACHE.STRATEGY faq SET realtime TTL 5").ok();
    c.words("LLMCACHE.RULE faq SET r TYPE t SCOPE * STRATEGY mine").ok();
    c.words("LLMCACHE.ALERT faq SET a roi ABOVE 5 WINDOW 60").ok();
    c.words("LLMCACHE.RULE faq SET s PROMPT xyz* STRATEGY for-ever").error();
    set(c, "for ever", "1", "PERSIST TAGS 2 x y META {\"a\":1} LATENCY 7").ok();
    set(c, "context", "2", "EX 1000 MODEL gpt SCOPE s SYSTEM sys PARAMS {\"t\":1} TOKENS 10 20").ok();
    set(c, "packed", &"three ".repeat(100), "TYPE t COST 0.5").ok();
    cmd!(c, "LLMCACHE.SET", "faq", b"\0\xff\r\n", b"\xfe\0", "EX", 50).ok();
    set(c, "soft", "5", "EX 1000").ok();
    set(c, "deleted", "6", "").ok();
    c.words("LLMCACHE.INVALIDATE faq MATCH soft SOFT");
    c.words("LLMCACHE.INVALIDATE faq MATCH deleted");
    let id = id_of(c, "for ever");
    cmd!(c, "LLMCACHE.EXPIRE", "faq", id, 777);
}

/// What a restart must keep: everything but the counters and the order of use.
fn kept(c: &mut Client) -> (String, Vec<String>) {
    let info = c.words("LLMCACHE.INFO faq");
    let policy =
        "mode strategy stale jitter maxentries maxmemory evict compress level price entries strategies rules alerts contexts";
    let policy = policy.split(' ').map(|name| format!("{name} {:?}", info.field(name))).collect();
    (digest(c, "faq"), policy)
}

fn restarts_keep_everything(recipe: impl Fn(Builder) -> Builder, restart: impl Fn(&mut Server)) {
    let mut server = recipe(Server::builder()).start();
    let mut c = server.client();
    fill(&mut c);
    let before = kept(&mut c);
    for _ in 0..2 {
        restart(&mut server);
        let mut c = server.client();
        assert_eq!(kept(&mut c), before);
        assert!(get(&mut c, "soft", "").is_null());
        assert_eq!(get(&mut c, "soft", "STALEOK"), "5", "soft stays soft");
        assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", b"\0\xff\r\n").bytes(), b"\xfe\0");
        assert_eq!(get(&mut c, "packed", ""), "three ".repeat(100).as_str());
        assert_eq!(get(&mut c, "context", "MODEL gpt SCOPE s SYSTEM sys PARAMS {\"t\":1}"), "2");
        assert!((770..=777).contains(&meta(&mut c, "for ever", "").field("ttl").int()));
        assert!(get(&mut c, "deleted", "STALEOK").is_null());
    }
}

#[test]
fn an_rdb_file_keeps_everything() {
    restarts_keep_everything(|b| b, Server::restart_from_rdb);
}

#[test]
fn an_append_only_file_keeps_everything() {
    restarts_keep_everything(Builder::aof_everysec, Server::restart);
}

#[test]
fn an_append_only_file_survives_kill_9() {
    restarts_keep_everything(Builder::aof_always, Server::crash_and_restart);
}

#[test]
fn a_rewritten_append_only_file_with_an_rdb_preamble_keeps_everything() {
    restarts_keep_everything(Builder::aof_always, |server| {
        server.rewrite_aof();
        server.crash_and_restart();
    });
}

#[test]
fn a_rewritten_append_only_file_of_commands_keeps_everything() {
    restarts_keep_everything(
        |b| b.aof_always().aof_of_commands(),
        |server| {
            server.rewrite_aof();
            server.crash_and_restart();
        },
    );
}

#[test]
fn counters_and_hits_survive_an_rdb_file_and_a_rewritten_append_only_file() {
    let recipes: [fn(Builder) -> Builder; 3] = [|b| b, |b| b.aof_always(), |b| b.aof_always().aof_of_commands()];
    for (i, recipe) in recipes.into_iter().enumerate() {
        let mut server = recipe(Server::builder()).start();
        let mut c = server.client();
        set(&mut c, "p", "r", "TOKENS 1 2 COST 0.5 LATENCY 3 STALE 9").ok();
        set(&mut c, "q", "r", "NX").ok();
        assert!(set(&mut c, "q", "r", "NX").is_null());
        for prompt in ["p", "p", "q", "absent"] {
            get(&mut c, prompt, "");
        }
        c.words("LLMCACHE.INVALIDATE faq MATCH q");
        let before = support::kept(&c.words("LLMCACHE.STATS faq"));
        if i == 0 {
            server.restart_from_rdb();
        } else {
            server.rewrite_aof();
            server.crash_and_restart();
        }
        let mut c = server.client();
        let after = c.words("LLMCACHE.STATS faq");
        assert_eq!(*after.field("hits"), 3);
        assert_eq!(support::kept(&after), before, "recipe {i}");
        assert_eq!(*entry(&mut c, "p").field("hits"), 2);
        assert_eq!(*entry(&mut c, "p").field("cost_saved_usd"), "1.000000");
    }
}

#[test]
fn the_order_of_use_survives_an_rdb_file_and_a_rewritten_append_only_file() {
    let recipes: [fn(Builder) -> Builder; 2] = [|b| b, |b| b.aof_always().aof_of_commands()];
    for (i, recipe) in recipes.into_iter().enumerate() {
        let mut server = recipe(Server::builder()).start();
        let mut c = server.client();
        c.words("LLMCACHE.CREATE faq MAXENTRIES 4 EVICT lru").ok();
        for prompt in ["a", "b", "c", "d"] {
            store(&mut c, prompt, "r");
        }
        get(&mut c, "a", "");
        get(&mut c, "c", "");
        if i == 0 {
            server.restart_from_rdb();
        } else {
            server.rewrite_aof();
            server.crash_and_restart();
        }
        let mut c = server.client();
        for (new, left) in [("e", "acde"), ("f", "acef"), ("g", "cefg")] {
            store(&mut c, new, "r");
            assert_eq!(prompts(&mut c, "").concat(), left);
        }
    }
}

#[test]
fn a_ttl_goes_on_while_the_server_is_down() {
    let recipes: [fn(Builder) -> Builder; 3] = [|b| b, |b| b.aof_always(), |b| b.aof_always().aof_of_commands()];
    let mut servers: Vec<_> = recipes.into_iter().map(|recipe| recipe(Server::builder()).start()).collect();
    let mut ends = Vec::new();
    for (i, server) in servers.iter_mut().enumerate() {
        let mut c = server.client();
        set(&mut c, "short", "r", "PX 400").ok();
        let before = now_ms();
        set(&mut c, "long", "r", "PX 2500").ok();
        ends.push((before + 2500, now_ms() + 2500));
        set(&mut c, "stale", "r", "PX 400 STALE 100").ok();
        match i {
            0 => cmd!(c, "SAVE").ok(),
            _ => server.rewrite_aof(),
        }
        server.kill9();
    }
    pass(450);
    for (server, (earliest, latest)) in servers.iter_mut().zip(ends) {
        server.start_again();
        let mut c = server.client();
        assert!(get(&mut c, "short", "STALEOK").is_null());
        assert!(get(&mut c, "stale", "").is_null());
        assert_eq!(get(&mut c, "stale", "STALEOK"), "r");
        goes_between(&mut c, "long", earliest, latest);
    }
}

#[test]
fn kill_9_with_an_append_only_file_loses_nothing_that_was_acknowledged() {
    for recipe in [|b: Builder| b.aof_always(), |b: Builder| b.aof_always().aof_of_commands()] {
        let mut server = recipe(Server::builder()).start();
        let addr = server.addr();
        let (acknowledged, news) = mpsc::channel();
        let writer = std::thread::spawn(move || {
            let mut c = Client::connect(addr).unwrap();
            for i in 0u64.. {
                let prompt = format!("prompt {}", i % 49);
                let written = match i % 10 {
                    9 => {
                        let reply = c.try_cmd(&["LLMCACHE.INVALIDATE", "faq", "PROMPT", &prompt]);
                        reply.map(|reply| assert!(reply.int() <= 1)).map(|()| None)
                    }
                    _ => {
                        let text = format!("{i} ").repeat(1 + i as usize % 200);
                        let reply = c.try_cmd(&["LLMCACHE.SET", "faq", &prompt, &text, "EX", "1000", "TAGS", "1", "t"]);
                        reply.map(|reply| reply.ok()).map(|()| Some(text))
                    }
                };
                let Ok(text) = written else { break };
                acknowledged.send((prompt, text)).unwrap();
            }
        });
        let mut written: Vec<_> =
            (0..400).map(|_| news.recv_timeout(PATIENCE).expect("the writer stands still")).collect();
        server.kill9();
        writer.join().unwrap();
        written.extend(news.try_iter());
        let held: BTreeMap<_, _> = written.iter().cloned().collect();
        assert_eq!(held.len(), 49);
        server.start_again();
        let mut c = server.client();
        // The write that was under way at the end may have happened or not: one prompt may differ.
        let mut different = Vec::new();
        for (prompt, text) in &held {
            let found = get(&mut c, prompt, "");
            let same = match text {
                Some(text) => found == text.as_str(),
                None => found.is_null(),
            };
            if !same {
                different.push(prompt);
            }
        }
        assert!(different.len() <= 1, "{different:?} of {} are not as they were acknowledged", written.len());
    }
}

#[test]
fn entries_that_expired_while_the_server_was_down_are_gone() {
    let mut server = Server::start();
    let mut c = server.client();
    store(&mut c, "stays", "r");
    for i in 0..100 {
        set(&mut c, &format!("short {i}"), "r", "PX 150").ok();
    }
    cmd!(c, "SAVE").ok();
    server.kill9();
    pass(150);
    server.start_again();
    let mut c = server.client();
    assert_eq!(prompts(&mut c, "COUNT 1000"), ["stays"]);
    until("their memory is given back", Duration::from_secs(5), || stat(&mut c, "entries") == 1);
    assert_eq!(stat(&mut c, "expirations"), 100);
    assert_eq!(get(&mut c, "stays", ""), "r");
}

#[test]
fn a_broken_rdb_file_is_refused_and_not_half_loaded() {
    let mut server = Server::start();
    let mut c = server.client();
    for i in 0..50 {
        store(&mut c, &format!("prompt {i}"), "some response");
    }
    cmd!(c, "SAVE").ok();
    server.kill9();
    let path = server.dir().join("dump.rdb");
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(9).position(|window| window == b"prompt 25").expect("the prompt lies in the file as it is");
    let mut broken = bytes.clone();
    // The type byte of a record far before it: no entry can be read any more.
    broken.truncate(at);
    std::fs::write(&path, &broken).unwrap();
    let log = server.fails_to_start_again();
    assert!(log.to_lowercase().contains("rdb") || log.contains("short read"), "{log}");
    std::fs::write(&path, &bytes).unwrap();
    server.start_again();
    assert_eq!(stat(&mut server.client(), "entries"), 50);
}

#[test]
fn a_cache_is_saved_while_it_is_written_to() {
    let mut server = Server::builder().aof_everysec().start();
    let mut c = server.client();
    for i in 0..3000 {
        set(&mut c, &format!("prompt {i}"), &"text ".repeat(200), "EX 1000").ok();
    }
    assert!(!c.words("BGREWRITEAOF").is_error());
    for i in 0..1000 {
        set(&mut c, &format!("prompt {i}"), "changed", "").ok();
        set(&mut c, &format!("new {i}"), "new", "").ok();
    }
    until("the rewrite ends", PATIENCE, || {
        c.info_field("persistence", "aof_rewrite_in_progress").as_deref() == Some("0")
            && c.info_field("persistence", "aof_rewrite_scheduled").as_deref() == Some("0")
    });
    let before = digest(&mut c, "faq");
    server.restart();
    let mut c = server.client();
    assert_eq!(stat(&mut c, "entries"), 4000);
    assert_eq!(digest(&mut c, "faq"), before);
    assert_eq!(get(&mut c, "prompt 5", ""), "changed");
}

/// A record is of the entry that it says, or it is left out.
#[test]
fn a_flipped_bit_in_an_append_only_file_takes_no_answer_across_a_border() {
    let mut server = Server::builder().aof_always().start();
    let mut c = server.client();
    for (prompt, scope) in [("question", "tenant-1"), ("other", "tenant-2")] {
        cmd!(c, "LLMCACHE.SET", "faq", prompt, format!("secret of {scope}"), "SCOPE", scope, "PERSIST").ok();
    }
    drop(c);
    server.kill9();
    let folder = server.dir().join("appendonlydir");
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let file = files.into_iter().find(|path| path.to_string_lossy().ends_with(".incr.aof")).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let records: Vec<_> = bytes.windows(8).enumerate().filter(|(_, at)| *at == b"tenant-1").map(|(at, _)| at).collect();
    // In the record, and not in the answer behind it.
    bytes[records[0] + 7] = b'3';
    std::fs::write(&file, bytes).unwrap();
    server.start_again();
    let mut c = server.client();
    for scope in ["tenant-1", "tenant-3"] {
        assert!(cmd!(c, "LLMCACHE.GET", "faq", "question", "SCOPE", scope).is_null(), "{scope}");
    }
    assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", "other", "SCOPE", "tenant-2"), "secret of tenant-2");
    server.wait_for_log("is left out");
}
