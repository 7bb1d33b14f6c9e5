//! A thousand clients, very long pipelines, clients that do not read what they asked for, and clients that vanish in the
//! middle: nothing grows without bound, nobody is forgotten, and nobody else waits.

use crate::harness::{args, cmd, until, until_some, Client, Reply, Server, PATIENCE};
use crate::pressure::{at_least_once, settled, used};
use crate::support::{pass, stat, Dice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// What the server's own buffers and tables may differ by.
const SLACK: u64 = 2 << 20;

/// How long another client's PING takes meanwhile, again and again.
struct Watch {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    thread: thread::JoinHandle<Vec<Duration>>,
}

impl Watch {
    fn start(server: &Server) -> Watch {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (mut c, enough, count) = (server.client(), stop.clone(), asked.clone());
        let thread = thread::spawn(move || {
            let mut took = Vec::new();
            while !enough.load(Ordering::Relaxed) {
                let asked = Instant::now();
                c.words("PING");
                took.push(asked.elapsed());
                count.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
            took
        });
        Watch { stop, asked, thread }
    }

    /// What was measured, and whether it is within what a machine that others use as well can keep.
    fn end(self, what: &str) -> Result<(), String> {
        // What vanished clients have begun goes on for a while, and of a few there is no hundredth.
        until("there are enough to tell", PATIENCE, || self.asked.load(Ordering::Relaxed) >= 250);
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.thread.join().unwrap();
        took.sort();
        let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
        let told = format!("{what}: PING p50 {:?}, p99 {:?}, max {:?} of {}", at(0.5), at(0.99), at(1.0), took.len());
        println!("{told}");
        let is_quick = at(0.99) < Duration::from_millis(50) && at(1.0) < Duration::from_millis(250);
        is_quick.then_some(()).ok_or(told)
    }
}

/// How many clients this process may have open: a thousand, where the limit on open files allows it or can be raised.
fn most_clients() -> usize {
    let soft = || -> usize {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default().to_owned();
        line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(256)
    };
    if soft() < 2500 {
        let own = std::process::id().to_string();
        let _ = std::process::Command::new("prlimit").args(["--pid", &own, "--nofile=4096"]).status();
    }
    // Other tests have files open as well.
    let most = soft().saturating_sub(400).clamp(50, 1000);
    println!("{most} clients");
    most
}

fn entries(c: &mut Client) -> i64 {
    stat(c, "entries")
}

#[track_caller]
fn nobody_waits(c: &mut Client) {
    until("nobody is blocked", PATIENCE, || c.info_field("clients", "blocked_clients").as_deref() == Some("0"));
    until("nobody waits for an answer", PATIENCE, || {
        let told = c.words("LLMCACHE.INFO faq");
        told.is_null() || *told.field("waiting") == 0
    });
}

/// Large answers, which clients ask for and do not read.
#[test]
fn slow_readers_cost_what_the_server_lets_them_and_no_more() {
    const ANSWER: u64 = 1 << 20;
    const LIMIT: u64 = 16 << 20;
    const READERS: u64 = 12;
    // What lies in the sockets is not the server's.
    let server = Server::builder().config("client-output-buffer-limit normal 16mb 0 0").start();
    let mut c = server.client();
    let answer = Dice::new("slow readers").bytes(ANSWER as usize);
    cmd!(c, "LLMCACHE.SET", "faq", "large", &answer, "PERSIST").ok();
    let own = |c: &mut Client| stat(c, "memory_bytes") as u64;
    let (before, holds) = (settled(&mut c), own(&mut c));
    let peak = |c: &mut Client| c.info_field("memory", "used_memory_peak").unwrap().parse::<u64>().unwrap();
    let watch = Watch::start(&server);
    let mut readers: Vec<_> = (0..READERS).map(|_| server.client3()).collect();
    let asks = |readers: &mut [Client], times: usize| {
        for (i, reader) in readers.iter_mut().enumerate() {
            let command = match i % 3 {
                0 => args!["LLMCACHE.GET", "faq", "large"],
                1 => args!["LLMCACHE.GET", "faq", "large", "WITHMETA"],
                _ => args!["LLMCACHE.FETCH", "faq", "large", "LEASE", 1000],
            };
            reader.send_raw(&crate::harness::encode(&command).repeat(times));
        }
    };
    // At first all of them stay within the limit, together; then they go beyond it.
    asks(&mut readers, 12);
    until("their replies pile up", PATIENCE, || used(&mut c) > before + READERS * 2 * ANSWER);
    asks(&mut readers, 100);
    until("the server has let go of those who do not read", PATIENCE, || {
        c.info_field("clients", "connected_clients").as_deref() == Some("2")
    });
    let _ = watch.end("slow readers");
    let most = before + READERS * (LIMIT + 2 * ANSWER) + SLACK;
    let (peak, holds_now) = (peak(&mut c), own(&mut c));
    println!("{before} bytes used before, {peak} at most, {most} allowed; the cache {holds} and {holds_now}");
    assert!(peak < most);
    assert!(holds_now <= holds + 2 * ANSWER, "an answer lies twice at most");
    drop(readers);
    let after = settled(&mut c);
    assert!(after < before + ANSWER + SLACK, "{after} bytes used, {before} before");
    // All who wait for one answer are told the same bytes, each in a buffer of its own, and no more than that.
    let mut holder = server.client3();
    cmd!(holder, "CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0").ok();
    let token = cmd!(holder, "LLMCACHE.FETCH", "faq", "late", "LEASE", 60_000).field("token").text();
    let mut waiting: Vec<_> = (0..READERS).map(|_| server.client3()).collect();
    for client in &mut waiting {
        client.send(&args!["LLMCACHE.FETCH", "faq", "late", "LEASE", 60_000, "BLOCK", 60_000]);
    }
    until("all wait", PATIENCE, || c.info_field("clients", "blocked_clients") == Some(READERS.to_string()));
    let before = settled(&mut c);
    cmd!(holder, "LLMCACHE.SET", "faq", "late", &answer, "TOKEN", token, "PERSIST").ok();
    nobody_waits(&mut c);
    let with = used(&mut c);
    println!("{before} bytes used before {READERS} who wait are told, {with} when they are");
    assert!(with < before + (READERS + 3) * (ANSWER + (64 << 10)) + SLACK);
    waiting.iter_mut().for_each(|client| assert!(*client.read().field("response").bytes() == answer));
    drop(waiting);
    cmd!(c, "DEL", "faq");
    drop((holder, c));
    let after = settled(&mut server.client());
    println!("{after} bytes used when all is gone");
    assert!(after < before - ANSWER + SLACK, "{after}");
}

/// A server for clients that vanish, with something to wait for.
fn full_server() -> Server {
    let server = Server::builder().module_args("threads 2").start();
    let mut c = server.client();
    c.words("LLMCACHE.CREATE long MODE similar SIMILARITY lexical METRIC levenshtein").ok();
    let mut dice = Dice::new("vanishing");
    let noise = dice.text(1 << 16);
    for chunk in 0..9 {
        let commands: Vec<_> = (chunk * 1000..chunk * 1000 + 1000)
            .map(|i| args!["LLMCACHE.SET", "long", format!("prompt {}", &noise[i * 7..i * 7 + 120]), i, "PERSIST"])
            .collect();
        c.pipeline(&commands).iter().for_each(|reply| reply.ok());
    }
    c.words("LLMCACHE.CREATE faq").ok();
    server
}

/// Has some clients begin something and vanish: at once, in the middle of their command, or once they wait.
fn vanish(server: &Server, dice: &mut Dice, count: u64, command: impl Fn(u64) -> Vec<Vec<u8>>) {
    for i in 0..count {
        let mut client = server.client();
        let wire = crate::harness::encode(&command(i));
        match dice.below(4) {
            0 => client.send_raw(&wire[..dice.below(wire.len() as u64) as usize]),
            1 => {
                client.send_raw(&wire);
                pass(dice.below(4));
            }
            2 => {
                client.send_raw(&wire);
                client.hang_up();
            }
            _ => client.send_raw(&wire),
        }
    }
}

#[test]
fn clients_that_vanish_leave_nothing_behind_and_nobody_waiting() {
    let server = full_server();
    let mut dice = Dice::new("who vanishes");
    let mut c = server.client3();
    let items: Vec<_> =
        (0..4000).map(|i| format!(r#"{{"prompt":"warm {i}","response":"an answer {i}","persist":true}}"#)).collect();
    let items = format!("[{}]", items.join(","));
    let mut seen = Vec::new();
    for round in 0..3 {
        at_least_once(|| {
            let watch = Watch::start(&server);
            // FETCH with BLOCK. Among those who vanish are some who stay: they have the lease when it runs out.
            let holder = server.client3().cmd(&args!["LLMCACHE.FETCH", "faq", "held", "LEASE", 300, "BLOCK", 0]);
            let mut stays = Vec::new();
            for part in 0..3 {
                vanish(&server, &mut dice, 60, |i| {
                    args!["LLMCACHE.FETCH", "faq", ["held", "other"][i as usize % 2], "LEASE", 300, "BLOCK", 30_000]
                });
                let mut client = server.client3();
                client.send(&args!["LLMCACHE.FETCH", "faq", "held", "LEASE", 200 + part, "BLOCK", 30_000]);
                stays.push(client);
            }
            assert_eq!(*holder.field("state"), "lease");
            let tokens: Vec<_> = stays
                .iter_mut()
                .map(|client| {
                    let told = client.read();
                    assert_eq!(*told.field("state"), "lease", "{told:?}");
                    told.field("token").text()
                })
                .collect();
            assert_eq!(tokens.len(), 3);
            drop(stays);
            nobody_waits(&mut c);
            let fetched = watch.end("FETCH with BLOCK");

            let watch = Watch::start(&server);
            for part in 0..3 {
                vanish(&server, &mut dice, 4, |_| args!["LLMCACHE.WARM", "faq", "JSON", &items]);
                vanish(&server, &mut dice, 4, |i| {
                    let mut words = args!["LLMCACHE.WARM", "faq", "EX", 1000, "ITEMS", 3000];
                    (0..3000).for_each(|n| words.extend(args![format!("item {part} {i} {n}"), "answer"]));
                    words
                });
                nobody_waits(&mut c);
            }
            let warmed = watch.end("WARM");

            let watch = Watch::start(&server);
            vanish(&server, &mut dice, 20, |i| {
                args![
                    "LLMCACHE.GET",
                    "long",
                    format!("prompt {}", "0123456789abcdef".repeat(9 + i as usize % 3)),
                    "SIMILAR"
                ]
            });
            nobody_waits(&mut c);
            let searched = watch.end("long searches");

            // Each of these is a stall of its own, of the server's making.
            for (key, part) in (0..8).map(|part| (["big 1", "big 2"][part % 2], part / 2)) {
                let fill =
                    "for i = 1, 6000 do redis.call('LLMCACHE.SET', KEYS[1], ARGV[1]..i, i, 'EX', 1000, 'TAGS', 1, 't') end";
                cmd!(c, "EVAL", fill, 1, key, part);
            }
            let watch = Watch::start(&server);
            vanish(&server, &mut dice, 8, |i| {
                let key = format!("big {}", 1 + i % 2);
                match i % 4 {
                    0 => args!["LLMCACHE.INVALIDATE", key, "TAG", 1, "t", "SOFT"],
                    1 => args!["LLMCACHE.ALTER", key, "MAXENTRIES", 300],
                    _ => args!["LLMCACHE.INVALIDATE", key, "MATCH", "*1*"],
                }
            });
            nobody_waits(&mut c);
            let invalidated = watch.end("INVALIDATE and ALTER in slices");
            for key in ["big 1", "big 2"] {
                let told = cmd!(c, "LLMCACHE.INFO", key);
                let limit = told.field("maxentries").int();
                until("what was begun is done", PATIENCE, || {
                    limit == 0 || cmd!(c, "LLMCACHE.INFO", key).field("entries").int() <= limit
                });
            }
            fetched.and(warmed).and(searched).and(invalidated)
        });
        until("only this client is left", PATIENCE, || {
            c.info_field("clients", "connected_clients").as_deref() == Some("1")
        });
        c.words("LLMCACHE.CREATE faq");
        until("all leases have run out", PATIENCE, || *c.words("LLMCACHE.INFO faq").field("leases") == 0);
        // What was begun is finished without its client, so it is deleted when nothing moves any more.
        settled(&mut c);
        cmd!(c, "UNLINK", "faq", "big 1", "big 2");
        let left = settled(&mut c);
        println!("round {round}: {left} bytes used");
        seen.push(left);
    }
    assert!(seen.iter().all(|used| *used < seen[0] + SLACK), "{seen:?}");
    // The server still does all of it.
    assert_eq!(cmd!(c, "LLMCACHE.FETCH", "faq", "held", "LEASE", 100).field("state").text(), "lease");
    assert!(!cmd!(c, "LLMCACHE.GET", "long", "prompt that is nowhere", "SIMILAR").is_error());
    assert!(!server.log().contains("internal error"), "a panic was caught; see {}", server.dir().display());
}

#[test]
fn a_holder_that_vanishes_delays_others_by_its_lease_and_no_longer() {
    let server = Server::start();
    let mut c = server.client3();
    c.words("LLMCACHE.CREATE faq").ok();
    let lease = 400;
    for round in 0..3 {
        let prompt = format!("prompt {round}");
        let begun = Instant::now();
        let told = cmd!(server.client3(), "LLMCACHE.FETCH", "faq", &prompt, "LEASE", lease);
        assert_eq!(*told.field("state"), "lease");
        // Its connection is gone here. Behind it come one who stays, and one who goes while it waits.
        let mut goes = server.client3();
        goes.send(&args!["LLMCACHE.FETCH", "faq", &prompt, "LEASE", lease, "BLOCK", 20_000]);
        until("it waits", PATIENCE, || *c.words("LLMCACHE.INFO faq").field("waiting") == 1);
        let mut stays = server.client3();
        stays.send(&args!["LLMCACHE.FETCH", "faq", &prompt, "LEASE", 60_000, "BLOCK", 20_000]);
        until("both wait", PATIENCE, || *c.words("LLMCACHE.INFO faq").field("waiting") == 2);
        drop(goes);
        let told: Reply =
            until_some("the one who stays is told", PATIENCE, || stays.read_within(Duration::from_millis(50)));
        let took = begun.elapsed();
        assert_eq!(*told.field("state"), "lease");
        println!("the next one had a lease of {lease} ms after {took:?}");
        assert!(took >= Duration::from_millis(lease - 1) && took < Duration::from_millis(lease) + PATIENCE / 4);
        let token = told.field("token").text();
        cmd!(stays, "LLMCACHE.SET", "faq", &prompt, "answer", "TOKEN", token, "PERSIST").ok();
        nobody_waits(&mut c);
    }
}

/// What is held to so short a time that no other test may run beside it.
mod alone {
    use super::*;

    #[test]
    fn a_thousand_clients_at_once() {
        let most = most_clients();
        let server = Server::builder().config("maxclients 2000").start();
        let mut c = server.client();
        c.words("LLMCACHE.CREATE faq").ok();
        at_least_once(|| {
            let watch = Watch::start(&server);
            let mut clients: Vec<_> = (0..most).map(|_| server.client3()).collect();
            for round in 0..5 {
                // All of them ask before one reads.
                for (i, client) in clients.iter_mut().enumerate() {
                    let prompt = format!("prompt {}", i % 300);
                    match (round + i) % 3 {
                        0 => client.send(&args![
                            "LLMCACHE.SET",
                            "faq",
                            &prompt,
                            format!("answer to {prompt}"),
                            "EX",
                            100
                        ]),
                        1 => client.send(&args!["LLMCACHE.GET", "faq", &prompt]),
                        _ => client.send(&args!["LLMCACHE.FETCH", "faq", &prompt, "LEASE", 5000, "BLOCK", 5000]),
                    }
                }
                for (i, client) in clients.iter_mut().enumerate() {
                    let answer = format!("answer to prompt {}", i % 300);
                    let reply = client.read();
                    match (round + i) % 3 {
                        0 => reply.ok(),
                        1 => assert!(reply.is_null() || reply == answer.as_str(), "{reply:?}"),
                        _ if *reply.field("state") == "hit" => assert_eq!(*reply.field("response"), answer.as_str()),
                        _ => {
                            let token = reply.field("token").text();
                            let prompt = format!("prompt {}", i % 300);
                            cmd!(client, "LLMCACHE.SET", "faq", prompt, answer, "TOKEN", token);
                        }
                    }
                }
            }
            assert_eq!(entries(&mut c), 300);
            // All wait for one answer, and all have it at once.
            for client in &mut clients {
                client.send(&args!["LLMCACHE.FETCH", "faq", format!("one {most}"), "LEASE", 60_000, "BLOCK", 60_000]);
            }
            until("all but one wait", PATIENCE, || {
                c.info_field("clients", "blocked_clients") == Some((most - 1).to_string())
            });
            cmd!(c, "LLMCACHE.SET", "faq", format!("one {most}"), "the answer", "PERSIST").ok();
            let hits =
                clients.iter_mut().filter_map(|client| (*client.read().field("state") == "hit").then_some(())).count();
            assert_eq!(hits, most - 1);
            nobody_waits(&mut c);
            c.words("LLMCACHE.INVALIDATE faq ALL");
            watch.end("a thousand clients")
        });
    }

    #[test]
    fn pipelines_of_ten_thousand_commands() {
        const LONG: usize = 10_000;
        let server = Server::start();
        let mut c = server.client();
        let round = |c: &mut Client| {
            let prompt = |i: usize| format!("prompt {}", i % 5000);
            let answer = |i: usize| format!("{} is answered at some length: {}", prompt(i), "text ".repeat(i % 40));
            let sets: Vec<_> =
                (0..LONG).map(|i| args!["LLMCACHE.SET", "faq", prompt(i), answer(i % 5000), "EX", 100]).collect();
            c.pipeline(&sets).iter().for_each(|reply| reply.ok());
            let mixed: Vec<_> = (0..LONG)
                .map(|i| match i % 10 {
                    0 => args!["LLMCACHE.FETCH", "faq", prompt(i), "LEASE", 100],
                    1 => args!["LLMCACHE.EXPLAIN", "faq", prompt(i)],
                    2 => args!["LLMCACHE.INVALIDATE", "faq", "PROMPT", format!("x{i}")],
                    _ => args!["LLMCACHE.GET", "faq", prompt(i)],
                })
                .collect();
            for (i, reply) in c.pipeline(&mixed).iter().enumerate() {
                match i % 10 {
                    0 => assert_eq!(*reply.field("state"), "hit"),
                    1 => assert_eq!(*reply.field("verdict"), "hit"),
                    2 => assert_eq!(*reply, 0),
                    _ => assert_eq!(*reply, answer(i % 5000).as_str(), "of another prompt"),
                }
            }
        };
        at_least_once(|| {
            let watch = Watch::start(&server);
            // Replies are read while the next commands are written: a client that does not would wait for itself.
            let mut clients: Vec<_> = (0..3).map(|_| server.client3()).collect();
            thread::scope(|scope| clients.iter_mut().for_each(|c| drop(scope.spawn(|| round(c)))));
            watch.end("pipelines of 10,000")
        });
        cmd!(c, "DEL", "faq");
        drop(c);
        let first = settled(&mut server.client());
        for _ in 0..2 {
            let mut c = server.client3();
            round(&mut c);
            cmd!(c, "DEL", "faq");
        }
        let after = settled(&mut server.client());
        println!("{first} bytes used after the first pipelines, {after} after the last");
        assert!(after < first + SLACK);
    }

    #[test]
    fn a_hundred_warms_that_come_together_are_not_done_together() {
        const CALLS: usize = 100;
        const ITEMS: usize = 600;
        let server = Server::start();
        let mut clients: Vec<_> = (0..CALLS).map(|_| server.client3()).collect();
        let (mut c, mut other) = (server.client(), server.client());
        at_least_once(|| {
            // While the server sleeps, all of them come, and a PING behind them.
            c.send(&args!["DEBUG", "SLEEP", 0.3]);
            pass(50);
            for (i, client) in clients.iter_mut().enumerate() {
                let mut words = args!["LLMCACHE.WARM", "faq", "EX", 1000, "ITEMS", ITEMS];
                (0..ITEMS).for_each(|n| words.extend(args![format!("{i} {n}"), "answer"]));
                client.send(&words);
            }
            other.send(&args!["PING"]);
            c.read().ok();
            let awake = Instant::now();
            assert_eq!(other.read(), "PONG");
            let waited = awake.elapsed();
            for client in &mut clients {
                assert_eq!(*client.read().field("stored"), ITEMS as i64);
            }
            let all = awake.elapsed();
            println!("a PING behind {CALLS} WARMs of {ITEMS} answers took {waited:?}; all were stored after {all:?}");
            assert_eq!(entries(&mut c), (CALLS * ITEMS) as i64);
            let is_quick = waited < Duration::from_millis(250);
            is_quick.then_some(()).ok_or(format!("a PING took {waited:?}"))
        });
    }
}
