//! Long searches: whoever asks waits, everybody else is served, and whatever happens to the cache meanwhile does no harm.

use crate::harness::{args, cmd, until, Client, Reply, Server, PATIENCE};
use crate::support::{fp32, id_of, stat, Dice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// So many vectors of so many numbers make a search long.
const ENTRIES: usize = 22_000;
const DIM: usize = 512;

/// Noise, into which the vector of each entry is a window: each is near itself and far from all others.
struct Noise(Vec<f32>);

impl Noise {
    fn new() -> Noise {
        let mut dice = Dice::new("noise");
        Noise((0..ENTRIES + DIM).map(|_| dice.below(2001) as f32 / 1000.0 - 0.9995).collect())
    }

    /// The vector of an entry.
    fn own(&self, number: usize) -> Vec<u8> {
        fp32(&self.0[number..number + DIM])
    }

    /// A vector that is near that of an entry.
    fn near(&self, number: usize) -> Vec<u8> {
        let mut vector = self.0[number..number + DIM].to_vec();
        vector[..DIM / 20].fill(0.01);
        fp32(&vector)
    }

    /// A lookup that finds an entry, by a prompt of its own.
    fn get(&self, number: usize) -> Vec<Vec<u8>> {
        args!["LLMCACHE.GET", "faq", query(number), "FP32", self.near(number)]
    }

    /// The same with a map as its answer.
    fn get_meta(&self, number: usize) -> Vec<Vec<u8>> {
        [self.get(number), args!["WITHMETA"]].concat()
    }

    /// Fills a cache. The answer to each prompt is the prompt itself.
    #[track_caller]
    fn fill(&self, c: &mut Client, key: &str) {
        let script = "for i = 0, ARGV[2] - 1 do \
                        local vector = string.sub(ARGV[1], 4 * i + 1, 4 * (i + ARGV[3])) \
                        redis.call('LLMCACHE.SET', KEYS[1], 'prompt ' .. i, 'prompt ' .. i, 'FP32', vector, 'PERSIST') \
                      end";
        let policy = "MODE similar SIMILARITY vector GUARDS off COMPRESS none THRESHOLD 0.5";
        c.words(&format!("LLMCACHE.CREATE {key} {policy}")).ok();
        let told = cmd!(c, "EVAL", script, 1, key, fp32(&self.0), ENTRIES, DIM);
        assert!(told.is_null(), "{told:?}");
        assert_eq!(cmd!(c, "LLMCACHE.STATS", key).field("entries").int(), ENTRIES as i64);
    }
}

fn prompt(number: usize) -> String {
    format!("prompt {number}")
}

fn query(number: usize) -> String {
    format!("what is like {number}?")
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
    let noise = Noise::new();
    noise.fill(&mut c, "faq");
    c.words("CONFIG RESETSTAT").ok();
    for number in [0, 12_345, ENTRIES - 1] {
        at_once(&server, &mut c, |c| {
            c.send(&noise.get_meta(number));
            other.send(&["INFO", "clients"]);
            third.send(&args!["LLMCACHE.GET", "faq", prompt(77)]);
        });
        assert_eq!(waiting(&other.read()), 1);
        assert_eq!(third.read(), prompt(77).as_str());
        let told = c.read();
        assert_eq!([told.field("response").text(), told.field("match").text()], [prompt(number), "similar".into()]);
        assert!((0.9..1.0).contains(&told.field("similarity").number()), "{told:?}");
        nobody_waits(&mut other);
    }
    let told = ["lookups", "hits_similar", "hits_exact", "misses"].map(|name| stat(&mut c, name));
    assert_eq!(told, [6, 3, 3, 0], "each is counted once");
    let told = c.words("LLMCACHE.STATS faq FORMAT prometheus").text();
    for (name, count) in [("get_similar_us", 3), ("get_exact_us", 3), ("fetch_us", 0)] {
        let line = format!("\nllmcache_{name}_count{{cache=\"faq\"}} {count}\n");
        assert!(told.contains(&line), "{line} is not in {told}");
    }
    // One leaves that takes longer than this.
    let searched = cmd!(c, "LLMCACHE.STATS", "faq").field("get_similar_us").field("p50").number();
    assert!(searched > 100.0, "{searched} µs");
    let calls = other.info_field("commandstats", "cmdstat_LLMCACHE.GET").unwrap();
    assert!(calls.starts_with("calls=6,"), "{calls}");
    // A miss waits as well, and keeps its prompt out of the slow log.
    c.words("CONFIG SET slowlog-log-slower-than 0").ok();
    at_once(&server, &mut c, |c| {
        c.send(&[noise.get(5), args!["THRESHOLD", 1]].concat());
        other.send(&["INFO", "clients"]);
    });
    assert_eq!(waiting(&other.read()), 1);
    assert!(c.read().is_null());
    assert_eq!(stat(&mut c, "miss_threshold"), 1);
    let log = format!("{:?}", c.words("SLOWLOG GET 100"));
    assert!(log.contains("clients") && !log.contains("what is like"), "{log}");
}

#[test]
fn whatever_happens_to_a_cache_meanwhile_does_no_harm() {
    let server = Server::start();
    let (mut c, mut other) = (server.client(), server.client());
    let noise = Noise::new();
    noise.fill(&mut other, "heavy");
    // One of the oldest, which is the first to go.
    let (right, asks) = (prompt(5), noise.get(5));
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
        // In slices: who asks meanwhile may still be served.
        ("LLMCACHE.INVALIDATE faq ALL SOFT", &["found", "gone"]),
        (&format!("LLMCACHE.DEL faq {id}"), gone),
        (&format!("LLMCACHE.FEEDBACK faq {id} bad"), gone),
        ("LLMCACHE.ALTER faq MODE exact", either),
        ("LLMCACHE.ALTER faq THRESHOLD 1", either),
        ("LLMCACHE.ALTER faq SIMILARITY builtin", &["found", "gone", "ERR"]),
        ("LLMCACHE.ALTER faq MAXENTRIES 1", gone),
        ("LLMCACHE.ALTER faq MAXENTRIES 21990", gone),
        // Another cache, in which it is searched again.
        ("COPY heavy faq REPLACE", found),
        ("RENAME spare faq", found),
        ("DEBUG RELOAD", found),
        ("FLUSHDB ASYNC", gone),
        ("FLUSHALL SYNC", gone),
    ] {
        for key in ["faq", "spare"].into_iter().filter(|key| line.contains(key) || *key == "faq") {
            cmd!(other, "COPY", "heavy", key, "REPLACE");
        }
        at_once(&server, &mut c, |c| {
            c.send(&asks);
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
        if line == "FLUSHDB ASYNC" {
            noise.fill(&mut other, "heavy");
        }
        assert_eq!(c.words("PING"), "PONG", "{line}");
    }
}

#[test]
fn what_is_stored_meanwhile_is_seen_for_what_it_is() {
    let server = Server::start();
    let (mut c, mut other) = (server.client(), server.client());
    let noise = Noise::new();
    noise.fill(&mut other, "faq");
    // An answer of its own is the better one.
    at_once(&server, &mut c, |c| {
        c.send(&noise.get_meta(1));
        other.send(&args!["LLMCACHE.SET", "faq", query(1), "its own", "PERSIST"]);
    });
    other.read().ok();
    let told = c.read();
    assert_eq!([told.field("response").text(), told.field("match").text()], ["its own", "exact"]);
    // Another entry in the place of the one that was found is not that one.
    let id = id_of(&mut other, &prompt(2));
    at_once(&server, &mut c, |c| {
        c.send(&noise.get(2));
        other.send(&args!["LLMCACHE.DEL", "faq", id]);
        other.send(&args!["LLMCACHE.SET", "faq", "Why is the sky blue?", "r", "FP32", noise.own(3)]);
    });
    assert_eq!(other.read(), 1);
    other.read().ok();
    assert!(c.read().is_null());
    // Another cache in the place of the one that was searched has its entries elsewhere.
    other.words("LLMCACHE.CREATE spare MODE similar SIMILARITY vector GUARDS off").ok();
    for number in (3..100).rev() {
        cmd!(other, "LLMCACHE.SET", "spare", prompt(number), "the spare one's", "FP32", noise.own(number)).ok();
    }
    at_once(&server, &mut c, |c| {
        c.send(&noise.get_meta(4));
        other.send(&["RENAME", "spare", "faq"]);
    });
    other.read().ok();
    let told = c.read();
    assert_eq!([told.field("response").text(), told.field("prompt").text()], ["the spare one's", &prompt(4)]);
}

#[test]
fn clients_may_go_away_and_a_server_may_end_while_clients_wait() {
    let mut server = Server::start();
    let (mut c, mut other) = (server.client(), server.client());
    let noise = Noise::new();
    noise.fill(&mut other, "faq");
    let mut killed = server.client();
    let id = killed.id().to_string();
    at_once(&server, &mut killed, |killed| {
        killed.send(&noise.get(1));
        other.send(&["CLIENT", "KILL", "ID", &id]);
    });
    assert_eq!(other.read(), 1);
    assert!(killed.is_closed_by_server());
    nobody_waits(&mut other);
    let mut gone = server.client();
    at_once(&server, &mut gone, |gone| {
        gone.send(&noise.get(1));
        gone.hang_up();
    });
    nobody_waits(&mut other);
    // There is nothing to be unblocked by hand.
    let id = c.id().to_string();
    at_once(&server, &mut c, |c| {
        c.send(&noise.get(2));
        other.send(&["CLIENT", "UNBLOCK", &id]);
    });
    assert_eq!(other.read(), 0);
    assert_eq!(c.read(), prompt(2).as_str());
    nobody_waits(&mut other);
    let mut clients: Vec<_> = (0..5).map(|_| server.client()).collect();
    at_once(&server, &mut c, |c| {
        c.send(&noise.get(1));
        clients.iter_mut().for_each(|client| client.send(&noise.get(1)));
        other.send(&["SHUTDOWN", "NOSAVE"]);
    });
    assert!(server.wait_for_exit().success(), "{}", server.log());
}

#[test]
fn replies_keep_their_order_and_transactions_search_in_place() {
    let server = Server::start();
    let (mut c, mut other) = (server.client(), server.client());
    let noise = Noise::new();
    noise.fill(&mut other, "faq");
    let commands: Vec<_> = (0..60)
        .map(|number| match number % 3 {
            0 => noise.get(number),
            1 => args!["ECHO", number],
            _ => args!["LLMCACHE.GET", "faq", prompt(number)],
        })
        .collect();
    for (number, reply) in c.pipeline(&commands).into_iter().enumerate() {
        let wanted = if number % 3 == 1 { number.to_string() } else { prompt(number) };
        assert_eq!(reply, wanted.as_str(), "{number}");
    }
    // Nobody can wait in the middle of a transaction or of a script.
    let script = "return redis.call('LLMCACHE.GET', KEYS[1], unpack(ARGV))";
    let asked = &noise.get(9)[2..];
    for (commands, replies) in [
        (vec![args!["MULTI"], noise.get(9), args!["EXEC"]], 3),
        (vec![[&args!["EVAL", script, 1, "faq"], asked].concat()], 1),
        (vec![[&args!["EVAL_RO", script, 1, "faq"], asked].concat()], 1),
    ] {
        at_once(&server, &mut c, |c| {
            commands.iter().for_each(|words| c.send(words));
            other.send(&["INFO", "clients"]);
        });
        assert_eq!(waiting(&other.read()), 0);
        let last = (0..replies).map(|_| c.read()).last().unwrap();
        let found = if replies == 1 { &last } else { last.at(0) };
        assert_eq!(*found, prompt(9).as_str());
    }
}

#[test]
fn explain_waits_like_get_and_neither_leaves_a_trace() {
    let server = Server::start();
    let (mut c, mut other) = (server.client3(), server.client());
    let noise = Noise::new();
    noise.fill(&mut c, "faq");
    let explain = args!["LLMCACHE.EXPLAIN", "faq", query(3), "FP32", noise.near(3)];
    at_once(&server, &mut c, |c| {
        c.send(&explain);
        other.send(&["INFO", "clients"]);
    });
    assert_eq!(waiting(&other.read()), 1);
    let told = c.read();
    assert_eq!([told.field("verdict").text(), told.field("reason").text()], ["hit", "similar"]);
    let candidates = told.field("candidates").items();
    assert_eq!((candidates.len(), candidates[0].field("prompt").text()), (5, prompt(3)));
    assert!(told.field("steps").field("search").number() > 0.0);
    assert_eq!(c.cmd(&[noise.get(3), args!["NOTOUCH"]].concat()), prompt(3).as_str());
    assert_eq!(["lookups", "hits"].map(|name| stat(&mut c, name)), [0, 0]);
    // It says the same in place.
    c.words("MULTI").ok();
    c.cmd(&explain);
    let inline = c.words("EXEC");
    assert_eq!(inline.at(0).field("candidates"), told.field("candidates"));
}

#[test]
fn many_search_while_others_write() {
    let server = Server::start();
    let mut c = server.client();
    let noise = Noise::new();
    noise.fill(&mut c, "faq");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (noise, stop) = (&noise, &stop);
        let searchers: Vec<_> = (0..6)
            .map(|at| {
                let mut c = server.client();
                scope.spawn(move || {
                    for number in (at * 30..at * 30 + 30).map(|i| i * 167 % ENTRIES) {
                        assert_eq!(c.cmd(&noise.get(number)), prompt(number).as_str());
                    }
                })
            })
            .collect();
        let mut writer = server.client();
        scope.spawn(move || {
            // Entries that come and go, and whatever else changes an index, but not what is asked for.
            for round in 0..ENTRIES {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let prompt = format!("of no interest {}", round % 40);
                match round % 5 {
                    0 => drop(cmd!(writer, "LLMCACHE.INVALIDATE", "faq", "PROMPT", prompt)),
                    1 => writer.words(&format!("CONFIG SET llmcache.threads {}", 1 + round % 4)).ok(),
                    _ => {
                        let vector: Vec<_> = noise.0[round..round + DIM].iter().rev().copied().collect();
                        cmd!(writer, "LLMCACHE.SET", "faq", prompt, "r", "FP32", fp32(&vector), "PERSIST").ok();
                    }
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

/// A FETCH by a vector, of a prompt of its own.
fn fetch(prompt: &str, vector: Vec<u8>, options: &str) -> Vec<Vec<u8>> {
    let mut words = args!["LLMCACHE.FETCH", "faq", prompt, "FP32", vector, "LEASE", 60_000];
    words.extend(options.split_whitespace().map(|word| word.as_bytes().to_vec()));
    words
}

#[test]
fn of_those_who_fetch_at_once_one_searches() {
    let server = Server::start();
    let (mut c, mut first) = (server.client3(), server.client3());
    let mut others: Vec<Client> = (0..3).map(|_| server.client3()).collect();
    let noise = Noise::new();
    noise.fill(&mut c, "faq");
    let state = |told: &Reply| told.field("state").text();
    let leases = |c: &mut Client| c.words("LLMCACHE.INFO faq").field("leases").int();
    // What is similar is found by the first and told to those who wait on the same terms.
    at_once(&server, &mut first, |first| {
        first.send(&fetch("similar", noise.near(7), "BLOCK 60000"));
        others[0].send(&fetch("similar", noise.near(7), "BLOCK 60000"));
        others[1].send(&fetch("similar", noise.near(7), "BLOCK 60000 THRESHOLD 1"));
        others[2].send(&fetch("similar", noise.near(7), "BLOCK 0"));
    });
    assert_eq!(state(&others[2].read()), "wait", "it did not want to");
    for told in [first.read(), others[0].read()] {
        assert_eq!([state(&told), told.field("response").text()], ["hit".to_owned(), prompt(7)], "{told:?}");
        assert_eq!(*told.field("match"), "similar");
    }
    let told = others[1].read();
    assert_eq!(state(&told), "lease", "what is similar is no answer to the third: {told:?}");
    assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", told.field("token").text()), 1);
    assert_eq!(leases(&mut c), 0);
    let told = ["lookups", "hits_similar", "coalesced", "misses"].map(|name| stat(&mut c, name));
    assert_eq!(told, [4, 2, 1, 2]);
    // Where nothing is, the first one has the lease when the search is over.
    let far: Vec<f32> = noise.0.iter().take(DIM).enumerate().map(|(at, x)| if at % 2 == 0 { -x } else { *x }).collect();
    at_once(&server, &mut first, |first| {
        for client in std::iter::once(first).chain(&mut others) {
            client.send(&fetch("far", fp32(&far), "BLOCK 60000"));
        }
    });
    let told = first.read();
    assert_eq!(state(&told), "lease");
    let token = told.field("token").text();
    cmd!(c, "LLMCACHE.SET", "faq", "far", "found", "FP32", fp32(&far), "TOKEN", token).ok();
    others.iter_mut().for_each(|other| assert_eq!(*other.read().field("response"), "found"));
    // Who goes while the search is on its way gives the lease back.
    let id = first.words("CLIENT ID").int();
    at_once(&server, &mut first, |first| {
        first.send(&fetch("killed", noise.near(9), "THRESHOLD 1"));
        c.send(&args!["CLIENT", "KILL", "ID", id]);
    });
    assert_eq!(c.read(), 1);
    until("the lease is given back", PATIENCE, || leases(&mut c) == 0);
    // Whoever waits behind it has its turn.
    let mut first = server.client3();
    let id = first.words("CLIENT ID").int();
    at_once(&server, &mut first, |first| {
        first.send(&fetch("killed", noise.near(9), "THRESHOLD 1"));
        others[0].send(&fetch("killed", noise.near(9), "THRESHOLD 1 BLOCK 60000"));
        c.send(&args!["CLIENT", "KILL", "ID", id]);
    });
    assert_eq!(c.read(), 1);
    let told = others[0].read();
    assert_eq!(state(&told), "lease");
    assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", told.field("token").text()), 1);
    // Databases may change places meanwhile.
    let mut first = server.client3();
    at_once(&server, &mut first, |first| {
        first.send(&fetch("swapped", noise.near(9), "THRESHOLD 1"));
        c.send(&args!["SWAPDB", 0, 1]);
        c.send(&args!["SWAPDB", 0, 1]);
    });
    c.read().ok();
    c.read().ok();
    let told = first.read();
    assert_eq!(state(&told), "lease");
    assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", told.field("token").text()), 1);
    at_once(&server, &mut first, |first| {
        first.send(&fetch("swapped", noise.near(9), "THRESHOLD 1"));
        c.send(&args!["SWAPDB", 0, 1]);
    });
    c.read().ok();
    let told = first.read();
    assert_eq!(state(&told), "lease", "where there is no cache any more");
    assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", told.field("token").text()), 1);
    c.words("SWAPDB 0 1").ok();
    until("no lease is left behind", PATIENCE, || leases(&mut c) == 0);
    // A cache that goes while the search is on its way leaves a lease for the next one.
    let mut first = server.client3();
    at_once(&server, &mut first, |first| {
        first.send(&fetch("gone", noise.near(9), "BLOCK 60000 THRESHOLD 1"));
        others[0].send(&fetch("gone", noise.near(9), "BLOCK 60000 THRESHOLD 1"));
        c.send(&args!["DEL", "faq"]);
    });
    assert_eq!(c.read(), 1);
    let told = [first.read(), others[0].read()].map(|told| state(&told));
    assert_eq!(told, ["lease", "failed"]);
    nobody_waits(&mut c);
}
