//! Long searches: whoever asks waits, everybody else is served, and whatever happens to the cache meanwhile does no harm.

use crate::harness::{args, cmd, until, Client, Reply, Server, PATIENCE};
use crate::support::{explain, fp32, get, id_of, stat, state, Dice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// How many entries make a search long, by letters.
const ENTRIES: usize = 6000;

/// A prompt of a number: each has its own words.
fn prompt(number: usize) -> String {
    const WORDS: [&str; 16] = [
        "garden", "river", "bridge", "stone", "copper", "window", "shadow", "meadow", "barrel", "ladder", "silver",
        "candle", "orchard", "pepper", "lantern", "saddle",
    ];
    // Spreads neighbours far apart; no two numbers meet.
    let mut spread = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let words: Vec<_> = (0..10)
        .map(|_| {
            let word = WORDS[(spread >> 60) as usize];
            spread = spread.rotate_left(4);
            word
        })
        .collect();
    words.join(" ")
}

/// The prompt of a number with a letter more, which is like no other one.
fn query(number: usize) -> String {
    prompt(number) + "s"
}

/// A cache in which a search takes long. The answer to each prompt is the prompt itself.
#[track_caller]
fn fill(c: &mut Client, key: &str) {
    c.words(&format!("LLMCACHE.CREATE {key} MODE similar SIMILARITY lexical METRIC levenshtein GUARDS off")).ok();
    let prompts: Vec<_> = (0..ENTRIES).map(prompt).collect();
    let commands: Vec<_> = prompts.iter().map(|prompt| args!["LLMCACHE.SET", key, prompt, prompt, "PERSIST"]).collect();
    c.pipeline(&commands).iter().for_each(Reply::ok);
    assert_eq!(cmd!(c, "LLMCACHE.STATS", key).field("entries").int(), ENTRIES as i64, "two prompts are the same");
}

/// Lets commands of several clients arrive while the server stands still. It then reads all of them in one go, in the
/// order in which they came: whatever search the first one starts, the others are done before its end is heard of.
#[track_caller]
fn at_once(server: &Server, first: &mut Client, send: impl FnOnce(&mut Client)) {
    // A client that was just served may still stand at the head of the queue.
    assert_eq!(first.words("PING"), "PONG");
    server.signal("STOP");
    until("the server stands still", PATIENCE, || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
        stat.rsplit(") ").next().unwrap().starts_with('T')
    });
    send(first);
    server.signal("CONT");
}

/// How many clients wait, as a reply of INFO tells it.
#[track_caller]
fn waiting(info: &Reply) -> u64 {
    let text = info.text();
    text.lines().find_map(|line| line.strip_prefix("blocked_clients:")).unwrap().trim().parse().unwrap()
}

#[track_caller]
fn nobody_waits(c: &mut Client) {
    until("nobody waits", PATIENCE, || c.info_field("clients", "blocked_clients").unwrap() == "0");
}

#[test]
fn others_are_served_while_a_search_runs() {
    let server = Server::start();
    let (mut c, mut other, mut third) = (server.client3(), server.client(), server.client());
    fill(&mut c, "faq");
    for (number, wanted) in [(5, query(5)), (ENTRIES - 1, query(ENTRIES - 1))] {
        at_once(&server, &mut c, |c| {
            c.send(&args!["LLMCACHE.GET", "faq", wanted, "WITHMETA"]);
            other.send(&["INFO", "clients"]);
            third.send(&args!["LLMCACHE.GET", "faq", prompt(77)]);
        });
        assert_eq!(waiting(&other.read()), 1);
        assert_eq!(third.read(), prompt(77).as_str());
        let told = c.read();
        assert_eq!([told.field("response").text(), told.field("match").text()], [prompt(number), "similar".into()]);
        nobody_waits(&mut other);
    }
    let told = ["lookups", "hits_similar", "hits_exact", "misses"].map(|name| stat(&mut c, name));
    assert_eq!(told, [4, 2, 2, 0], "each is counted once");
    let calls = other.info_field("commandstats", "cmdstat_LLMCACHE.GET").unwrap();
    assert!(calls.starts_with("calls=4,"), "{calls}");
    // A miss waits as well, and keeps its prompt out of the slow log.
    c.words("CONFIG SET slowlog-log-slower-than 0").ok();
    at_once(&server, &mut c, |c| {
        c.send(&args!["LLMCACHE.GET", "faq", query(ENTRIES + 1)]);
        other.send(&["INFO", "clients"]);
    });
    assert_eq!(waiting(&other.read()), 1);
    assert!(c.read().is_null());
    assert_eq!(stat(&mut c, "miss_threshold"), 1);
    let log = format!("{:?}", c.words("SLOWLOG GET 100"));
    assert!(log.contains("clients") && !log.contains("garden"), "{log}");
}

#[test]
fn a_search_among_many_vectors_finds_the_best_and_blocks_nobody_else() {
    const VECTORS: usize = 24_000;
    const DIM: usize = 512;
    let server = Server::start();
    let (mut c, mut other) = (server.client3(), server.client());
    c.words("LLMCACHE.CREATE faq MODE similar SIMILARITY vector GUARDS off COMPRESS none THRESHOLD 0.5").ok();
    // Each vector is a window into noise, and like none of the others.
    let mut dice = Dice::new("vectors");
    let noise: Vec<_> = (0..VECTORS + DIM).map(|_| dice.below(2001) as f32 / 1000.0 - 0.9995).collect();
    let bytes = fp32(&noise);
    let blob = |number: usize| &bytes[4 * number..4 * (number + DIM)];
    for chunk in (0..VECTORS).collect::<Vec<_>>().chunks(2000) {
        let commands: Vec<_> =
            chunk.iter().map(|i| args!["LLMCACHE.SET", "faq", i, i, "FP32", *blob(*i), "PERSIST"]).collect();
        c.pipeline(&commands).iter().for_each(Reply::ok);
    }
    for number in [0, 12_345, VECTORS - 1] {
        let near: Vec<_> =
            noise[number..number + DIM].iter().map(|value| value + (dice.below(9) as f32 - 4.0) / 20.0).collect();
        at_once(&server, &mut c, |c| {
            c.send(&args!["LLMCACHE.GET", "faq", "q", "FP32", fp32(&near), "WITHMETA"]);
            other.send(&["INFO", "clients"]);
        });
        assert_eq!(waiting(&other.read()), 1);
        let told = c.read();
        assert_eq!(told.field("response").text(), number.to_string());
        assert!((0.9..1.0).contains(&told.field("similarity").number()), "{told:?}");
    }
    // The same in place.
    let inline = cmd!(c, "EVAL", "return redis.call('LLMCACHE.GET', 'faq', 'q', 'FP32', ARGV[1])", 0, *blob(777));
    assert_eq!(inline, "777");
}

#[test]
fn whatever_happens_to_a_cache_meanwhile_does_no_harm() {
    let server = Server::start();
    let (mut c, mut other) = (server.client(), server.client());
    fill(&mut other, "heavy");
    // One of the oldest, which is the first to go.
    let (right, asked) = (prompt(5), query(5));
    cmd!(other, "COPY", "heavy", "faq");
    let id = id_of(&mut other, &right);
    let (found, gone) = (&["found"][..], &["gone"][..]);
    let either = &["found", "gone"][..];
    for (line, outcomes) in [
        ("PING", found),
        ("DEL faq", gone),
        ("UNLINK faq", gone),
        ("RENAME faq elsewhere", gone),
        ("SWAPDB 0 1", gone),
        ("MOVE faq 1", gone),
        ("PEXPIRE faq 0", gone),
        ("SET faq text", &["WRONGTYPE"]),
        ("LLMCACHE.INVALIDATE faq ALL", gone),
        ("LLMCACHE.INVALIDATE faq ALL SOFT", gone),
        (&format!("LLMCACHE.DEL faq {id}"), gone),
        (&format!("LLMCACHE.FEEDBACK faq {id} bad"), gone),
        ("LLMCACHE.ALTER faq MODE exact", either),
        ("LLMCACHE.ALTER faq THRESHOLD 1", either),
        ("LLMCACHE.ALTER faq METRIC dice", either),
        ("LLMCACHE.ALTER faq SIMILARITY builtin", either),
        ("LLMCACHE.ALTER faq MAXENTRIES 1", gone),
        ("LLMCACHE.ALTER faq MAXENTRIES 5990", gone),
        // Another cache, in which it is searched again.
        ("COPY heavy faq REPLACE", found),
        ("RENAME spare faq", found),
        ("DEBUG RELOAD", found),
        ("FLUSHDB ASYNC", gone),
        ("FLUSHALL SYNC", gone),
    ] {
        for key in ["faq", "spare"] {
            cmd!(other, "COPY", "heavy", key, "REPLACE");
        }
        at_once(&server, &mut c, |c| {
            c.send(&args!["LLMCACHE.GET", "faq", asked]);
            other.send(&line.split(' ').collect::<Vec<_>>());
        });
        assert!(!other.read().is_error(), "{line}");
        let reply = c.try_read().unwrap_or_else(|e| panic!("{line}: {e}"));
        let outcome = match &reply {
            Reply::Null => "gone",
            Reply::Error(error) => error.split(' ').next().unwrap(),
            reply if *reply == right.as_str() => "found",
            other => panic!("{line}: {other:?}"),
        };
        assert!(outcomes.contains(&outcome), "{line}: {reply:?}");
        nobody_waits(&mut other);
        if line == "SWAPDB 0 1" {
            other.words(line).ok();
        }
        if line.starts_with("FLUSH") {
            fill(&mut other, "heavy");
        }
        assert_eq!(c.words("PING"), "PONG", "{line}");
    }
}

#[test]
fn what_is_stored_meanwhile_is_seen_for_what_it_is() {
    let server = Server::start();
    let (mut c, mut other) = (server.client(), server.client());
    fill(&mut other, "faq");
    // An answer of its own is the better one.
    at_once(&server, &mut c, |c| {
        c.send(&args!["LLMCACHE.GET", "faq", query(1), "WITHMETA"]);
        other.send(&args!["LLMCACHE.SET", "faq", query(1), "its own", "PERSIST"]);
    });
    other.read().ok();
    let told = c.read();
    assert_eq!([told.field("response").text(), told.field("match").text()], ["its own", "exact"]);
    // Another entry in the place of the one that was found is not that one.
    let id = id_of(&mut other, &prompt(2));
    at_once(&server, &mut c, |c| {
        c.send(&args!["LLMCACHE.GET", "faq", query(2)]);
        other.send(&args!["LLMCACHE.DEL", "faq", id]);
        other.send(&["LLMCACHE.SET", "faq", "Why is the sky blue?", "r"]);
    });
    assert_eq!(other.read(), 1);
    other.read().ok();
    assert!(c.read().is_null());
    // Another cache in the place of the one that was searched has its entries elsewhere.
    other.words("LLMCACHE.CREATE spare MODE similar SIMILARITY lexical METRIC levenshtein GUARDS off").ok();
    for number in (3..100).rev() {
        cmd!(other, "LLMCACHE.SET", "spare", prompt(number), "from the spare one", "PERSIST").ok();
    }
    at_once(&server, &mut c, |c| {
        c.send(&args!["LLMCACHE.GET", "faq", query(3), "WITHMETA"]);
        other.send(&["RENAME", "spare", "faq"]);
    });
    other.read().ok();
    let told = c.read();
    assert_eq!([told.field("response").text(), told.field("prompt").text()], ["from the spare one", &prompt(3)]);
}

#[test]
fn clients_may_go_away_while_they_wait() {
    let server = Server::start();
    let (mut c, mut other) = (server.client(), server.client());
    fill(&mut other, "faq");
    let mut killed = server.client();
    let id = killed.id().to_string();
    at_once(&server, &mut killed, |killed| {
        killed.send(&args!["LLMCACHE.GET", "faq", query(1)]);
        other.send(&["CLIENT", "KILL", "ID", &id]);
    });
    assert_eq!(other.read(), 1);
    assert!(killed.is_closed_by_server());
    nobody_waits(&mut other);
    let mut gone = server.client();
    at_once(&server, &mut gone, |gone| {
        gone.send(&args!["LLMCACHE.GET", "faq", query(1)]);
        gone.hang_up();
    });
    nobody_waits(&mut other);
    // There is nothing to be unblocked by hand.
    let id = c.id().to_string();
    at_once(&server, &mut c, |c| {
        c.send(&args!["LLMCACHE.GET", "faq", query(2)]);
        other.send(&["CLIENT", "UNBLOCK", &id]);
    });
    assert_eq!(other.read(), 0);
    assert_eq!(c.read(), prompt(2).as_str());
    nobody_waits(&mut other);
}

#[test]
fn replies_keep_their_order() {
    let server = Server::start();
    let mut c = server.client();
    fill(&mut c, "faq");
    let commands: Vec<_> = (0..60)
        .map(|number| match number % 3 {
            0 => args!["LLMCACHE.GET", "faq", query(number)],
            1 => args!["ECHO", number],
            _ => args!["LLMCACHE.GET", "faq", prompt(number)],
        })
        .collect();
    for (number, reply) in c.pipeline(&commands).into_iter().enumerate() {
        let wanted = if number % 3 == 1 { number.to_string() } else { prompt(number) };
        assert_eq!(reply, wanted.as_str(), "{number}");
    }
}

#[test]
fn transactions_and_scripts_search_in_place() {
    let server = Server::start();
    let (mut c, mut other) = (server.client(), server.client());
    fill(&mut other, "faq");
    let script = "return redis.call('LLMCACHE.GET', KEYS[1], ARGV[1])";
    for (commands, depth) in [
        (vec![args!["MULTI"], args!["LLMCACHE.GET", "faq", query(9)], args!["EXEC"]], 2),
        (vec![args!["EVAL", script, 1, "faq", query(9)]], 0),
        (vec![args!["EVAL_RO", script, 1, "faq", query(9)]], 0),
    ] {
        at_once(&server, &mut c, |c| {
            commands.iter().for_each(|words| c.send(words));
            other.send(&["INFO", "clients"]);
        });
        assert_eq!(waiting(&other.read()), 0);
        (0..depth).for_each(|_| drop(c.read()));
        let reply = c.read();
        let found = if depth == 0 { &reply } else { reply.at(0) };
        assert_eq!(*found, prompt(9).as_str());
    }
}

#[test]
fn explain_waits_like_get_and_neither_leaves_a_trace() {
    let server = Server::start();
    let (mut c, mut other) = (server.client3(), server.client());
    fill(&mut c, "faq");
    let before = state(&mut c);
    at_once(&server, &mut c, |c| {
        c.send(&args!["LLMCACHE.EXPLAIN", "faq", query(3)]);
        other.send(&["INFO", "clients"]);
    });
    assert_eq!(waiting(&other.read()), 1);
    let told = c.read();
    assert_eq!([told.field("verdict").text(), told.field("reason").text()], ["hit", "similar"]);
    let candidates = told.field("candidates").items();
    assert_eq!((candidates.len(), candidates[0].field("prompt").text()), (5, prompt(3)));
    assert!(told.field("steps").field("search").number() > 0.0);
    assert_eq!(get(&mut c, &query(3), "NOTOUCH"), prompt(3).as_str());
    assert_eq!(state(&mut c), before);
    // It says the same in place.
    c.words("MULTI").ok();
    explain(&mut c, &query(3), "");
    let inline = c.words("EXEC");
    assert_eq!(inline.at(0).field("candidates"), told.field("candidates"));
}

#[test]
fn many_search_while_others_write() {
    let server = Server::start();
    let mut c = server.client();
    fill(&mut c, "faq");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let searchers: Vec<_> = (0..6)
            .map(|at| {
                let mut c = server.client();
                scope.spawn(move || {
                    for number in (at * 30..at * 30 + 30).map(|i| i * 33 % ENTRIES) {
                        assert_eq!(get(&mut c, &query(number), ""), prompt(number).as_str());
                    }
                })
            })
            .collect();
        let (mut writer, stop) = (server.client(), &stop);
        scope.spawn(move || {
            // Entries that come and go, and whatever else changes an index, but not what is asked for.
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let prompt = format!("a prompt of no interest {}", round % 40);
                match round % 5 {
                    0 => drop(cmd!(writer, "LLMCACHE.INVALIDATE", "faq", "PROMPT", prompt)),
                    1 => writer.words(&format!("CONFIG SET llmcache.threads {}", 1 + round % 4)).ok(),
                    _ => cmd!(writer, "LLMCACHE.SET", "faq", prompt, "r", "PERSIST").ok(),
                }
            }
        });
        let failed = searchers.into_iter().filter_map(|searcher| searcher.join().err()).next();
        stop.store(true, Ordering::Relaxed);
        if let Some(why) = failed {
            std::panic::resume_unwind(why);
        }
    });
    assert_eq!(stat(&mut c, "hits_similar"), 180);
    nobody_waits(&mut c);
}

#[test]
fn a_server_may_end_while_clients_wait() {
    let mut server = Server::start();
    let (mut c, mut other) = (server.client(), server.client());
    fill(&mut other, "faq");
    let mut clients: Vec<_> = (0..5).map(|_| server.client()).collect();
    at_once(&server, &mut c, |c| {
        c.send(&args!["LLMCACHE.GET", "faq", query(1)]);
        for client in &mut clients {
            client.send(&args!["LLMCACHE.GET", "faq", query(1)]);
        }
        other.send(&["SHUTDOWN", "NOSAVE"]);
    });
    assert!(server.wait_for_exit().success(), "{}", server.log());
}
