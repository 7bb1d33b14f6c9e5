//! A server under strain: at its line of memory, paused, with a great deal to free or to compress. Caches give way gently,
//! and nobody waits for it.

use crate::harness::{args, cmd, until, until_some, Client, Server, PATIENCE};
use crate::support::{pass, stat, Dice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The part of `maxmemory` above which caches give memory back, with the reserve as it is unless told.
const LINE: f64 = 0.975;

/// The server's memory in bytes.
#[track_caller]
pub fn used(c: &mut Client) -> u64 {
    c.info_field("memory", "used_memory").unwrap().parse().unwrap()
}

/// The server's memory once it no longer changes by itself: buffers are freed, answers compressed.
#[track_caller]
pub fn settled(c: &mut Client) -> u64 {
    let (mut before, mut since) = (0, Instant::now());
    until_some("the memory no longer changes", PATIENCE, || {
        let now = used(c);
        if now.abs_diff(before) > 4096 {
            (before, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(300)).then_some(now)
    })
}

/// Sets `maxmemory` so that the used memory is such a part of it.
#[track_caller]
fn fill_to(c: &mut Client, used: u64, part: f64) -> u64 {
    let limit = (used as f64 / part) as u64;
    cmd!(c, "CONFIG", "SET", "maxmemory", limit).ok();
    limit
}

/// Waits until caches no longer have to give memory back, and looks again some ticks later.
#[track_caller]
fn relieved(c: &mut Client, limit: u64) {
    // What the question itself takes is above the line: caches stop at it exactly, between two questions.
    const QUESTION: u64 = 64 << 10;
    let line = (limit as f64 * LINE) as u64 + QUESTION;
    until("the server is below its line", PATIENCE, || used(c) <= line);
    pass(350);
    until("the server stays below its line", PATIENCE, || used(c) <= line);
}

/// The entries of all caches.
#[track_caller]
fn entries(c: &mut Client) -> i64 {
    c.words("LLMCACHE.STATS").field("entries").int()
}

/// Makes so many caches `k0` … with so many answers of a kilobyte that no compressor gets smaller.
#[track_caller]
fn many_caches(server: &Server, caches: usize, each: usize) {
    let mut c = server.client();
    let noise = Dice::new("pressure").bytes(64 << 10);
    for cache in 0..caches {
        c.words(&format!("LLMCACHE.CREATE k{cache} COMPRESS none")).ok();
        let answer = |i: usize| &noise[(cache * each + i) * 31 % (noise.len() - 1000)..][..1000];
        let commands: Vec<_> =
            (0..each).map(|i| args!["LLMCACHE.SET", format!("k{cache}"), i, answer(i), "PERSIST"]).collect();
        c.pipeline(&commands).iter().for_each(|reply| reply.ok());
    }
}

/// Lines of words by chance, which a compressor gets to a half or less.
fn prose(dice: &mut Dice, length: usize) -> String {
    let words: Vec<_> = (0..2000).map(|_| dice.text(9) + " ").collect();
    let mut text = String::with_capacity(length + 10);
    while text.len() < length {
        text.push_str(&words[dice.below(2000) as usize]);
    }
    text
}

#[test]
fn caches_wait_with_giving_way_while_clients_are_paused() {
    let mut server = Server::builder().aof_everysec().config("maxmemory-policy noeviction").start();
    many_caches(&server, 2, 4000);
    let mut c = server.client();
    let (full, before) = (settled(&mut c), entries(&mut c));
    assert_eq!(before, 8000);
    // Nothing may be written to replicas and to the append-only file in a pause; the server ends itself if it is.
    c.words("CLIENT PAUSE 60000 WRITE").ok();
    let limit = fill_to(&mut c, full, 1.3);
    pass(600);
    assert!(server.is_running(), "the server has died in a pause");
    assert_eq!(c.words("PING"), "PONG");
    assert_eq!(entries(&mut c), before, "replicas would not hear of what is evicted now");
    c.words("CLIENT UNPAUSE").ok();
    relieved(&mut c, limit);
    let left = entries(&mut c);
    assert!(0 < left && left < before, "{left} entries");
    // The same in a pause of everybody.
    let limit = (used(&mut c) as f64 / 1.3) as u64;
    let replies = c.pipeline(&[args!["CONFIG", "SET", "maxmemory", limit], args!["CLIENT", "PAUSE", 600, "ALL"]]);
    replies.iter().for_each(|reply| reply.ok());
    assert_eq!(c.words("PING"), "PONG");
    assert!(server.is_running(), "the server has died in a pause");
    relieved(&mut c, limit);
    assert!((1..left).contains(&entries(&mut c)), "{} entries", entries(&mut c));
}

#[test]
fn caches_give_back_what_is_needed_and_little_more() {
    let server = Server::start();
    many_caches(&server, 40, 500);
    let mut c = server.client();
    let full = settled(&mut c);
    assert_eq!(entries(&mut c), 20_000);
    let limit = fill_to(&mut c, full, LINE + 0.005);
    relieved(&mut c, limit);
    let left = entries(&mut c);
    assert!((16_000..20_000).contains(&left), "{left} of 20000 entries left for half a percent of memory");
}

#[test]
fn hot_copies_go_before_entries() {
    let server = Server::start();
    let mut c = server.client();
    let mut dice = Dice::new("hot");
    let text = prose(&mut dice, 200_000);
    let commands: Vec<_> =
        (0..1800).map(|i| args!["LLMCACHE.SET", "faq", i, &text[i * 50..i * 50 + 1200], "PERSIST"]).collect();
    server.client().pipeline(&commands).iter().for_each(|reply| reply.ok());
    let hot = |c: &mut Client| c.words("LLMCACHE.INFO faq").field("memory").field("hot").int();
    let stored = |c: &mut Client| c.words("LLMCACHE.INFO faq").field("bytes_stored").int();
    until("the answers are compressed", PATIENCE, || stored(&mut c) < 1800 * 900);
    // What is asked for a second time has a hot copy.
    let asks: Vec<_> = (0..1800).chain(0..1800).map(|i| args!["LLMCACHE.GET", "faq", i]).collect();
    assert!(c.pipeline(&asks).iter().all(|reply| !reply.is_null()));
    assert!(hot(&mut c) > 600_000);
    let (full, before) = (settled(&mut c), hot(&mut c));
    let limit = fill_to(&mut c, full, 1.0);
    relieved(&mut c, limit);
    assert_eq!(stat(&mut c, "entries"), 1800, "there was enough to give without them");
    let left = hot(&mut c);
    assert!(left < before, "{left} of {before} bytes hot");
}

#[test]
fn a_large_value_that_comes_and_goes_does_not_cost_the_caches_all_they_have() {
    let server = Server::start();
    many_caches(&server, 60, 300);
    let mut c = server.client();
    // A string of 20 MB at once; a SET would have the server hold a buffer of that size as well, for a while.
    let large = |c: &mut Client| assert_eq!(cmd!(c, "SETRANGE", "other", (20 << 20) - 1, "x"), 20 << 20);
    large(&mut c);
    let full = settled(&mut c);
    c.words("DEL other");
    let limit = fill_to(&mut c, full, LINE + 0.01);
    assert_eq!(entries(&mut c), 18_000);
    large(&mut c);
    relieved(&mut c, limit);
    c.words("DEL other");
    let left = entries(&mut c);
    assert!((14_400..18_000).contains(&left), "{left} of 18000 entries left for a percent of memory");
}

/// A client that asks for nothing but a PING, and how long it waits for it at worst.
pub struct Pinger {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Duration>,
}

impl Pinger {
    pub fn start(server: &Server) -> Pinger {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut c, enough) = (server.client(), stop.clone());
        let thread = thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !enough.load(Ordering::Relaxed) {
                let asked = Instant::now();
                c.words("PING");
                worst = worst.max(asked.elapsed());
                thread::sleep(Duration::from_millis(1));
            }
            worst
        });
        Pinger { stop, thread }
    }

    pub fn worst(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Tries up to three times: a machine that is busy elsewhere may be slow once, a slow server is slow each time.
#[track_caller]
pub fn at_least_once(mut quick: impl FnMut() -> Result<(), String>) {
    let told: Vec<_> = (0..3).map_while(|_| quick().err()).collect();
    assert!(told.len() < 3, "{told:?}");
}

/// Who may only read must not fill the server by being counted.
#[test]
fn what_is_counted_for_lookups_gives_way_as_well() {
    const CACHES: usize = 2000;
    let server = Server::builder().config("maxmemory-policy noeviction").start();
    let mut c = server.client();
    c.pipeline(&(0..CACHES).map(|i| args!["LLMCACHE.CREATE", format!("k{i}")]).collect::<Vec<_>>());
    let limit = settled(&mut c) + (8 << 20);
    cmd!(c, "CONFIG", "SET", "maxmemory", limit).ok();
    for round in 0..10 {
        let get = |i: usize| {
            let (key, scope) = (format!("k{i}"), format!("scope {round}"));
            args!["LLMCACHE.GET", key, "nobody knows", "MODEL", scope, "SCOPE", scope]
        };
        c.pipeline(&(0..CACHES).map(get).collect::<Vec<_>>());
    }
    relieved(&mut c, limit);
    cmd!(c, "SET", "x", "y").ok();
    assert_eq!(c.words("LLMCACHE.STATS").field("lookups").int(), 10 * CACHES as i64, "sums are never given up");
}

/// What is held to so short a time that no other test may run beside it.
mod alone {
    use super::*;

    #[test]
    fn a_large_cache_is_emptied_in_no_time() {
        const FILL: &str =
            "for i = ARGV[1], ARGV[2] do redis.call('LLMCACHE.SET', KEYS[1], 'prompt '..i, 'answer '..i) end";
        let server = Server::start();
        let mut c = server.client();
        at_least_once(|| {
            let empty = settled(&mut c);
            for from in (0..300_000).step_by(20_000) {
                cmd!(c, "EVAL", FILL, 1, "faq", from, from + 19_999);
            }
            assert_eq!(stat(&mut c, "entries"), 300_000);
            let full = used(&mut c);
            assert!(full - empty > 20_000_000, "{empty} bytes, then {full}");
            let pinger = Pinger::start(&server);
            let asked = Instant::now();
            assert_eq!(c.words("LLMCACHE.INVALIDATE faq ALL"), 300_000);
            let took = asked.elapsed();
            assert_eq!(stat(&mut c, "entries"), 0);
            until("the memory comes back", PATIENCE, || used(&mut c) < empty + (full - empty) / 10);
            let waited = pinger.worst();
            let quick = took < Duration::from_millis(30) && waited < Duration::from_millis(100);
            quick.then_some(()).ok_or(format!("{took:?}, others waited {waited:?}"))
        });
    }

    #[test]
    fn nobody_waits_for_large_answers_to_be_compressed() {
        let server = Server::builder().module_args("threads 1").start();
        let mut c = server.client();
        let text = prose(&mut Dice::new("large"), 8 << 20);
        at_least_once(|| {
            c.words("DEL faq");
            let mut id = String::new();
            for i in 0..40 {
                cmd!(c, "LLMCACHE.SET", "faq", i, text, "PERSIST").ok();
                if i == 20 {
                    id = c.words("LLMCACHE.SCAN faq 0").at(1).at(0).at(0).text();
                }
            }
            let mut slow = Vec::new();
            for line in ["LLMCACHE.STATS faq", "LLMCACHE.INFO faq", &format!("LLMCACHE.ENTRY faq {id}")] {
                let asked = Instant::now();
                let reply = c.words(line);
                let took = asked.elapsed();
                assert!(reply.items().len() > 4 && !reply.is_error(), "{reply:?}");
                if took >= Duration::from_millis(150) {
                    slow.push(format!("{line} took {took:?}"));
                }
            }
            until("the answers are compressed", PATIENCE, || {
                c.words("LLMCACHE.STATS faq").field("compression_saved").number() > 0.5
            });
            slow.is_empty().then_some(()).ok_or(slow.join(", "))
        });
    }
}
