//! Replication and persistence while things break: links that are cut, full and partial synchronisations, kill -9 at any
//! moment. What was promised is there afterwards, and nothing that nobody stored.

use crate::harness::{args, cmd, until, Builder, Client, Pair, Reply, Server, PATIENCE};
use crate::support::{digest, pass, scan, stat, write_something, Dice, Link};
use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// What each node counts for itself, or stores in its own way.
const OWN: [&str; 6] = ["hits", "age", "ttl", "cost_saved_usd", "latency_saved_ms", "stored"];

/// What `write_something` does, and what takes more than one command or many answers.
fn write_anything(c: &mut Client, dice: &mut Dice) {
    let prompt = format!("prompt {}", dice.below(300));
    let tag = dice.below(8);
    match dice.below(20) {
        0 => {
            let id = cmd!(c, "LLMCACHE.GET", "faq", &prompt, "WITHMETA", "STALEOK", "NOTOUCH");
            if !id.is_null() {
                let id = id.field("id").text();
                let words: &[&str] = match tag {
                    0 => &["bad"],
                    1..=3 => &["good"],
                    _ => &["bad", "FOR", "another prompt"],
                };
                let words: Vec<&str> = ["LLMCACHE.FEEDBACK", "faq", &id].iter().chain(words).copied().collect();
                c.cmd(&words).ok();
            }
        }
        1 => {
            let items: Vec<_> = (0..20).map(|_| format!(r#"{{"prompt":"prompt {}"}}"#, dice.below(300))).collect();
            let (name, items) = (format!("plan{}", tag % 3), format!("[{}]", items.join(",")));
            cmd!(c, "LLMCACHE.WARM", "faq", "PLAN", name, "EVERY", 60 + tag, "EX", 1000, "JSON", items).ok();
        }
        2 if tag < 4 => drop(c.words(&format!("LLMCACHE.WARM faq UNPLAN plan{}", tag % 3))),
        2 => {
            for due in c.words("LLMCACHE.WARM faq DUE COUNT 3 LEASE 5000").items().to_vec() {
                let (prompt, token, text) = (due.field("prompt").text(), due.field("token").text(), dice.prose(5));
                let told = cmd!(c, "LLMCACHE.SET", "faq", prompt, text, "TOKEN", token, "EX", 1000);
                assert!(!told.is_error(), "{told:?}");
            }
        }
        3 | 4 => {
            let told = cmd!(c, "LLMCACHE.FETCH", "faq", &prompt, "LEASE", 5000);
            let token = told.get("token").map(Reply::text);
            if let Some(token) = token {
                match tag {
                    0 => drop(cmd!(c, "LLMCACHE.RELEASE", "faq", token)),
                    _ => cmd!(c, "LLMCACHE.SET", "faq", &prompt, dice.prose(4), "TOKEN", token, "TAGS", 1, tag).ok(),
                }
            }
        }
        5 | 6 => {
            let mut words = args!["LLMCACHE.WARM", "faq", "TAGS", 1, tag, "EX", 500 + tag, "ITEMS", 8];
            for _ in 0..8 {
                words.extend(args![format!("prompt {}", dice.below(300)), dice.prose(5)]);
            }
            assert!(!c.cmd(&words).is_error());
        }
        7 => {
            let items: Vec<_> = (0..5)
                .map(|_| format!(r#"{{"prompt":"j {}","response":"{}"}}"#, dice.below(50), dice.prose(3)))
                .collect();
            let told = cmd!(c, "LLMCACHE.WARM", "faq", "NX", "JSON", format!("[{}]", items.join(",")));
            assert!(!told.is_error(), "{told:?}");
        }
        8 => {
            let how = ["dict", "zstd", "none"][(dice.below(6) / 2) as usize];
            c.words(&format!("LLMCACHE.ALTER faq COMPRESS {how} MAXENTRIES {}", 260 + 10 * tag)).ok();
        }
        9 => {
            let lives = 1 + dice.below(300);
            drop(cmd!(c, "LLMCACHE.SET", "faq", format!("short {tag}"), "answer", "PX", lives));
        }
        10 => drop(cmd!(c, "LLMCACHE.SET", "other", &prompt, dice.prose(3), "SCOPE", tag, "MODEL", "m")),
        11 if tag == 0 => drop(c.words("RENAME other another")),
        12 => drop(cmd!(c, "LLMCACHE.SET", "prose", &prompt, dice.prose(6), "EX", 900 + tag)),
        13 | 14 => write_something(c, dice),
        _ => {
            let text = dice.prose(3 + tag);
            cmd!(c, "LLMCACHE.SET", "faq", &prompt, text, "EX", 2000, "TAGS", 1, tag, "COST", "0.01").ok();
        }
    }
}

/// Every entry of a cache, by its id, without what is each node's own.
fn entries(c: &mut Client, key: &str) -> HashMap<String, Vec<(String, Reply)>> {
    let (mut cursor, mut all) = ("0".to_owned(), HashMap::new());
    loop {
        let page = cmd!(c, "LLMCACHE.SCAN", key, &cursor, "COUNT", 500);
        for pair in page.at(1).items() {
            let id = pair.at(0).text();
            let told = cmd!(c, "LLMCACHE.ENTRY", key, &id, "WITHRESPONSE");
            // One that expired since.
            if !told.is_null() {
                let fields = told.pairs().into_iter().map(|(name, value)| (name.text(), value.clone()));
                all.insert(id, fields.filter(|(name, _)| !OWN.contains(&name.as_str())).collect());
            }
        }
        cursor = page.at(0).text();
        if cursor == "0" {
            return all;
        }
    }
}

/// Compares two nodes. Answers with short lives may end between two looks, so there is more than one.
#[track_caller]
fn hold_the_same(one: &mut Client, two: &mut Client, what: &str) {
    for key in ["faq", "prose", "other", "another", "copy"] {
        until(&format!("{what}: both hold the same {key}"), Duration::from_secs(3), || {
            digest(one, key) == digest(two, key)
        });
        until(&format!("{what}: all entries of {key} are the same"), Duration::from_secs(3), || {
            entries(one, key) == entries(two, key)
        });
    }
}

/// Writes without a pause while a replica is cut off in all ways, and compares at the end of each round.
fn a_replica_that_is_cut_off(sync: &str, load: &str) {
    let mut dice = Dice::new(&format!("diskless sync {sync}, load {load}"));
    let recipe = |builder: Builder| {
        builder
            .config(&format!("repl-diskless-sync {sync}"))
            .config(&format!("repl-diskless-load {load}"))
            .config("repl-timeout 10")
    };
    let primary = recipe(Server::builder()).start();
    let link = Link::to(primary.addr());
    let replica = recipe(Server::builder()).config(&format!("replicaof 127.0.0.1 {}", link.port())).start();
    let pair = Pair { primary, replica };
    pair.wait_for_link();
    let (mut primary, mut replica) = (pair.primary.client3(), pair.replica.client3());
    primary.words("LLMCACHE.CREATE faq MAXENTRIES 300").ok();
    // One that has a dictionary from the start.
    for i in 0..260 {
        cmd!(primary, "LLMCACHE.SET", "prose", format!("prompt {i}"), dice.prose(6), "EX", 1000).ok();
    }
    for c in [&mut primary, &mut replica] {
        until("there is a dictionary", PATIENCE, || {
            let told = cmd!(c, "LLMCACHE.INFO", "prose");
            // The replica may not have heard of it yet.
            !told.is_null() && told.get("dictionaries").is_some_and(|list| !list.items().is_empty())
        });
    }
    let written = Cell::new(0);
    let write = |c: &mut Client, dice: &mut Dice, count: u64| {
        (0..count).for_each(|_| write_anything(c, dice));
        written.set(written.get() + count);
    };
    let syncs = |c: &mut Client, name| c.info_field("stats", name).unwrap().parse::<u64>().unwrap();
    for backlog in ["16kb", "32mb"] {
        cmd!(primary, "CONFIG", "SET", "repl-backlog-size", backlog).ok();
        let before = ["sync_full", "sync_partial_ok"].map(|name| syncs(&mut primary, name));
        // Each of them once, in any order. What is cut off has missed more than a small backlog holds.
        let mut faults = [0, 1, 2, 3, 4, 5];
        (1..faults.len()).rev().for_each(|i| faults.swap(i, dice.below(i as u64 + 1) as usize));
        for (round, fault) in faults.into_iter().enumerate() {
            write(&mut primary, &mut dice, 60);
            match fault {
                0 => link.cut(),
                1 => link.break_after(dice.below(20_000) as usize),
                // In the middle of a snapshot: the new connection breaks as well.
                2 => {
                    link.cut();
                    write(&mut primary, &mut dice, 150);
                    link.break_after(2000 + dice.below(60_000) as usize);
                    link.open();
                }
                3 => drop(cmd!(primary, "CLIENT", "KILL", "TYPE", "replica")),
                4 => drop(cmd!(replica, "CLIENT", "KILL", "TYPE", "master")),
                _ => link.hold(true),
            }
            write(&mut primary, &mut dice, 200);
            // More than a small backlog holds, also where the server keeps some more of it.
            for _ in 0..if backlog == "16kb" { 64 } else { 0 } {
                cmd!(primary, "SET", "filler", dice.text(4000)).ok();
            }
            link.open();
            link.hold(false);
            write(&mut primary, &mut dice, 40);
            pair.wait_in_sync();
            hold_the_same(&mut primary, &mut replica, &format!("backlog {backlog}, round {round}, fault {fault}"));
        }
        let after = ["sync_full", "sync_partial_ok"].map(|name| syncs(&mut primary, name));
        let [full, partial] = [after[0] - before[0], after[1] - before[1]];
        println!("backlog {backlog}: {full} full and {partial} partial synchronisations");
        assert!(if backlog == "16kb" { full > 0 } else { partial > 0 });
    }
    println!("{} steps written", written.get());
    // Through one more full synchronisation, whatever the backlog.
    cmd!(replica, "REPLICAOF", "NO", "ONE").ok();
    write(&mut replica, &mut dice, 50);
    cmd!(replica, "REPLICAOF", "127.0.0.1", link.port()).ok();
    write(&mut primary, &mut dice, 50);
    pair.wait_in_sync();
    hold_the_same(&mut primary, &mut replica, "after being a primary");
    for server in [&pair.primary, &pair.replica] {
        assert!(!server.log().contains("internal error"), "a panic was caught; see {}", server.dir().display());
    }
}

#[test]
fn a_replica_that_is_cut_off_catches_up_by_disk_from_disk() {
    a_replica_that_is_cut_off("no", "disabled");
}

#[test]
fn a_replica_that_is_cut_off_catches_up_by_disk_into_a_second_database() {
    a_replica_that_is_cut_off("no", "swapdb");
}

#[test]
fn a_replica_that_is_cut_off_catches_up_without_disk_from_disk() {
    a_replica_that_is_cut_off("yes", "disabled");
}

#[test]
fn a_replica_that_is_cut_off_catches_up_without_disk_into_a_second_database() {
    a_replica_that_is_cut_off("yes", "swapdb");
}

/// What was under a prompt after one command of its only writer.
struct Step {
    prompt: String,
    /// None where it was taken away.
    text: Option<String>,
    acknowledged: Option<Instant>,
    /// Whether more was waited for than the reply: a replica, or the disk.
    is_waited_for: bool,
}

/// How a writer makes sure of what it has written.
#[derive(Clone, Copy)]
enum Wait {
    Nothing,
    Replica,
    /// `WAITAOF`, where the server has it.
    Disk,
}

/// A client that writes under prompts of its own until the server is gone.
struct Writer {
    c: Client,
    name: u64,
    dice: Dice,
    wait: Wait,
    count: u64,
    steps: Vec<Step>,
    news: Sender<()>,
}

impl Writer {
    const PROMPTS: u64 = 70;

    fn run(mut self) -> Vec<Step> {
        while self.write().is_ok() {
            let _ = self.news.send(());
        }
        self.steps
    }

    fn prompt(&mut self) -> String {
        format!("writer {} prompt {}", self.name, self.dice.below(Self::PROMPTS))
    }

    /// An answer that nobody else stores anywhere.
    fn text(&mut self) -> String {
        self.count += 1;
        let sentences = self.dice.below(8);
        format!("{} of {}: {}", self.count, self.name, self.dice.prose(sentences))
    }

    /// Sends a command that leaves these texts behind.
    fn step(&mut self, words: Vec<Vec<u8>>, after: Vec<(String, Option<String>)>) -> io::Result<Reply> {
        let from = self.steps.len();
        self.steps.extend(after.into_iter().map(|(prompt, text)| Step {
            prompt,
            text,
            acknowledged: None,
            is_waited_for: false,
        }));
        let reply = self.c.try_cmd(&words)?;
        assert!(!reply.is_error(), "{reply:?}");
        self.steps[from..].iter_mut().for_each(|step| step.acknowledged = Some(Instant::now()));
        Ok(reply)
    }

    fn write(&mut self) -> io::Result<()> {
        let (prompt, text) = (self.prompt(), self.text());
        let set = args!["LLMCACHE.SET", "faq", &prompt, &text, "PERSIST", "TAGS", 1, self.dice.below(4)];
        match self.dice.below(12) {
            0 => {
                let words = args!["LLMCACHE.INVALIDATE", "faq", "PROMPT", &prompt];
                self.step(words, vec![(prompt, None)])?;
            }
            1 => {
                let told = self.c.try_cmd(&args!["LLMCACHE.GET", "faq", &prompt, "WITHMETA"])?;
                if !told.is_null() {
                    let id = told.field("id").text();
                    let words = match self.dice.below(3) {
                        0 => args!["LLMCACHE.DEL", "faq", id],
                        1 => args!["LLMCACHE.FEEDBACK", "faq", id, "bad"],
                        _ => args!["LLMCACHE.EXPIRE", "faq", id, 0],
                    };
                    self.step(words, vec![(prompt, None)])?;
                }
            }
            2 => {
                let mut words = args!["LLMCACHE.WARM", "faq", "PERSIST", "ITEMS", 5];
                let mut after = Vec::new();
                for i in 0..5 {
                    // Each prompt once in a command: they are stored in some order.
                    let (prompt, text) = (format!("writer {} warm {i}", self.name), self.text());
                    words.extend(args![&prompt, &text]);
                    after.push((prompt, Some(text)));
                }
                self.step(words, after)?;
            }
            3 => {
                let told = self.c.try_cmd(&args!["LLMCACHE.FETCH", "faq", &prompt, "LEASE", 5000])?;
                if *told.field("state") == "lease" {
                    let mut words = set;
                    words.extend(args!["TOKEN", told.field("token").text()]);
                    self.step(words, vec![(prompt, Some(text))])?;
                }
            }
            4 => {
                // Both or none, and nothing in between.
                let words = args![
                    "EVAL",
                    "redis.call('LLMCACHE.INVALIDATE', KEYS[1], 'PROMPT', ARGV[1]) \
                     return redis.call('LLMCACHE.SET', KEYS[1], ARGV[1], ARGV[2], 'PERSIST')",
                    1,
                    "faq",
                    &prompt,
                    &text
                ];
                self.step(words, vec![(prompt, Some(text))])?;
            }
            _ => {
                self.step(set, vec![(prompt, Some(text))])?;
            }
        }
        let waited = match self.wait {
            Wait::Nothing => false,
            Wait::Replica => self.dice.below(3) == 0 && self.c.try_cmd(&args!["WAIT", 1, 2000])?.int() >= 1,
            Wait::Disk => self.dice.below(40) == 0 && self.c.try_cmd(&args!["WAITAOF", 1, 0, 5000])?.at(0).int() >= 1,
        };
        if waited {
            self.steps
                .iter_mut()
                .rev()
                .take_while(|step| !step.is_waited_for)
                .for_each(|step| step.is_waited_for = true);
        }
        Ok(())
    }
}

/// Has four clients write until the server ends, which `end` brings about; answers all they did, in its order for each prompt.
fn written_until(addr: SocketAddr, dice: &mut Dice, names: u64, wait: Wait, end: impl FnOnce(&mut Dice)) -> Vec<Step> {
    let (news, told) = mpsc::channel();
    let writers: Vec<_> = (0..4)
        .map(|i| {
            let (c, dice, news) = (Client::connect(addr).unwrap(), dice.other(), news.clone());
            let writer = Writer { c, name: names + i, dice, wait, count: 0, steps: Vec::new(), news };
            thread::spawn(move || writer.run())
        })
        .collect();
    (0..300).for_each(|_| told.recv_timeout(PATIENCE).expect("the writers stand still"));
    end(dice);
    writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
}

/// Looks whether what is there is what was written: of each prompt something that it had at the last sure step or later.
/// Answers how many steps were sure, and how many prompts have something later than that; what was found is what is sure of
/// now on.
#[track_caller]
fn is_as_written(c: &mut Client, steps: &mut Vec<Step>, is_sure: impl Fn(&Step) -> bool) -> (usize, usize) {
    let mut of_prompt: HashMap<&str, Vec<&Step>> = HashMap::new();
    steps.iter().for_each(|step| of_prompt.entry(&step.prompt).or_default().push(step));
    let (mut sure, mut later, mut settled) = (0, 0, Vec::new());
    for (prompt, steps) in &of_prompt {
        let found = cmd!(c, "LLMCACHE.GET", "faq", prompt);
        let found = (!found.is_null()).then(|| found.text());
        let last = steps.iter().rposition(|step| is_sure(step));
        sure += steps.iter().filter(|step| is_sure(step)).count();
        let was = last.and_then(|last| steps[last].text.clone());
        let mut may = vec![was.clone()];
        may.extend(steps[last.map_or(0, |last| last + 1)..].iter().map(|step| step.text.clone()));
        assert!(may.contains(&found), "{prompt} has {found:?}, and should have one of {may:?}");
        later += usize::from(found != was);
        let (prompt, acknowledged) = (prompt.to_string(), Some(Instant::now()));
        settled.push(Step { prompt, text: found, acknowledged, is_waited_for: true });
    }
    // Nobody else is there.
    let there = scan(c, "COUNT 1000");
    let unknown: Vec<_> = there.iter().filter(|(_, prompt)| !of_prompt.contains_key(prompt.as_str())).collect();
    assert!(unknown.is_empty(), "nobody stored {unknown:?}");
    adds_up(c);
    *steps = settled;
    (sure, later)
}

/// What the cache tells of itself agrees with what is in it.
#[track_caller]
fn adds_up(c: &mut Client) {
    let there = scan(c, "COUNT 1000").len() as i64;
    let info = cmd!(c, "LLMCACHE.INFO", "faq");
    assert_eq!([info.field("entries").int(), stat(c, "entries")], [there, there]);
    let parts: i64 = info.field("memory").pairs().iter().map(|(_, bytes)| bytes.int()).sum();
    assert_eq!(parts, info.field("memory_bytes").int());
    let tagged: usize = (0..4).map(|tag| scan(c, &format!("COUNT 1000 TAG {tag}")).len()).sum();
    let by_tag = cmd!(c, "LLMCACHE.STATS", "faq", "BY", "tag");
    let counted: i64 =
        (0..4).filter_map(|tag| by_tag.get(&tag.to_string())).map(|one| one.field("entries").int()).sum();
    assert_eq!(counted, tagged as i64, "entries by tag");
}

/// A reload changes nothing, whatever it reads.
#[track_caller]
fn reloads_as_it_is(server: &mut Server) {
    let before = digest(&mut server.client(), "faq");
    cmd!(server.client(), "DEBUG", "RELOAD").ok();
    assert_eq!(digest(&mut server.client(), "faq"), before, "through an RDB file");
    if server.client().info_field("persistence", "aof_enabled").as_deref() == Some("1") {
        server.crash_and_restart();
        assert_eq!(digest(&mut server.client(), "faq"), before, "through the append-only file");
        server.rewrite_aof();
        server.crash_and_restart();
        assert_eq!(digest(&mut server.client(), "faq"), before, "through a rewritten append-only file");
    }
}

/// How a server is killed again and again while it writes an append-only file, sometimes in the middle of a rewrite.
struct Killing {
    what: &'static str,
    recipe: fn(Builder) -> Builder,
    wait: Wait,
    rounds: u64,
    /// For so many milliseconds it is written to at least.
    for_ms: u64,
    is_sure: fn(&Step, Instant) -> bool,
}

impl Killing {
    fn run(&self) {
        let mut dice = Dice::new(self.what);
        let mut server = (self.recipe)(Server::builder()).start();
        let mut all: Vec<Step> = Vec::new();
        let (mut writes, mut sum, mut rewriting) = (0, [0; 2], 0);
        for round in 0..self.rounds {
            let mut killed = Instant::now();
            let addr = server.addr();
            let steps = written_until(addr, &mut dice, 4 * round, self.wait, |dice| {
                pass(self.for_ms + dice.below(400));
                if dice.below(2) == 0 {
                    let mut c = server.client();
                    c.words("BGREWRITEAOF");
                    pass(dice.below(20));
                    let busy = c.info_field("persistence", "aof_rewrite_in_progress");
                    rewriting += u32::from(busy.as_deref() == Some("1"));
                }
                killed = Instant::now();
                server.kill9();
            });
            writes += steps.len();
            let held = all.len();
            all.extend(steps);
            server.start_again();
            let (sure, later) = is_as_written(&mut server.client3(), &mut all, |step| (self.is_sure)(step, killed));
            sum = [sum[0] + sure - held, sum[1] + later];
        }
        let [sure, later] = sum;
        println!("{}: {writes} writes, {sure} of them sure, killed {rewriting} times in a rewrite", self.what);
        println!("{later} prompts were further than what was sure");
        assert!(sure > 500, "{sure}");
        reloads_as_it_is(&mut server);
        assert!(!server.log().contains("internal error"));
    }
}

#[test]
fn kill_9_under_appendfsync_always_loses_nothing_that_was_acknowledged() {
    let acknowledged = |step: &Step, _: Instant| step.acknowledged.is_some();
    let recipe = Builder::aof_always;
    Killing { what: "always", recipe, wait: Wait::Nothing, rounds: 6, for_ms: 50, is_sure: acknowledged }.run();
}

#[test]
fn kill_9_under_appendfsync_always_loses_nothing_from_a_file_of_commands() {
    let acknowledged = |step: &Step, _: Instant| step.acknowledged.is_some();
    let recipe = |builder: Builder| builder.aof_always().aof_of_commands();
    Killing { what: "always, commands", recipe, wait: Wait::Nothing, rounds: 6, for_ms: 50, is_sure: acknowledged }
        .run();
}

#[test]
fn kill_9_under_appendfsync_everysec_loses_the_last_seconds_at_most() {
    let server = Server::start();
    let has_waitaof = server.version().is_redis(7, 2) || server.version().is_valkey(8, 0);
    let wait = if has_waitaof { Wait::Disk } else { Wait::Nothing };
    drop(server);
    let old = |step: &Step, killed: Instant| {
        let is_old = |acknowledged| killed.duration_since(acknowledged) > Duration::from_secs(2);
        step.is_waited_for || step.acknowledged.is_some_and(is_old)
    };
    Killing { what: "everysec", recipe: Builder::aof_everysec, wait, rounds: 2, for_ms: 2300, is_sure: old }.run();
}

#[test]
fn kill_9_with_snapshots_leaves_exactly_the_last_one() {
    let mut dice = Dice::new("snapshots");
    // A snapshot takes long enough for a kill to come in the middle of it.
    let mut server = Server::builder().config("rdb-key-save-delay 15000").start();
    let mut saves = 0;
    for round in 0..4 {
        let addr = server.addr();
        let (mut finished, mut under_way) = (None, None);
        let mut cut_short = 0;
        let mut all = written_until(addr, &mut dice, 4 * round, Wait::Nothing, |dice| {
            let mut c = server.client();
            for save in 0..=1 + dice.below(2) {
                // Of one connection nothing comes between two commands that have come together.
                let told = c.pipeline(&[args!["DEBUG", "DIGEST-VALUE", "faq"], args!["BGSAVE"]]);
                assert!(!told[1].is_error(), "{:?}", told[1]);
                under_way = Some(told[0].at(0).text());
                let is_done =
                    |c: &mut Client| c.info_field("persistence", "rdb_bgsave_in_progress").as_deref() == Some("0");
                if save > 0 && dice.below(2) == 0 {
                    pass(dice.below(20));
                    cut_short += u32::from(!is_done(&mut c));
                    break;
                }
                until("the snapshot is written", PATIENCE, || is_done(&mut c));
                saves += 1;
                finished = under_way.take();
                pass(dice.below(100));
            }
            server.kill9();
        });
        server.start_again();
        let mut c = server.client3();
        let found = digest(&mut c, "faq");
        let may = [&finished, &under_way];
        assert!(may.contains(&&Some(found.clone())), "{found} is none of {may:?}");
        println!("round {round}: {cut_short} cut short");
        // Of no write it is known whether it came before the snapshot, and all that is there was written.
        is_as_written(&mut c, &mut all, |_| false);
        // From here on this is where it starts.
        cmd!(c, "FLUSHALL").ok();
        cmd!(c, "SAVE").ok();
    }
    println!("{saves} snapshots");
    reloads_as_it_is(&mut server);
}

#[test]
fn kill_9_of_a_primary_leaves_its_replica_with_every_store_that_was_waited_for() {
    let mut dice = Dice::new("promotion");
    for round in 0..3 {
        let mut pair = Pair::start();
        let addr = pair.primary.addr();
        let mut steps = written_until(addr, &mut dice, 0, Wait::Replica, |dice| {
            pass(200 + dice.below(500));
            pair.primary.kill9();
        });
        let writes = steps.len();
        pair.promote();
        let mut c = pair.replica.client3();
        let (sure, later) = is_as_written(&mut c, &mut steps, |step| step.is_waited_for);
        println!("round {round}: {writes} writes, {sure} waited for; {later} prompts were further than that");
        assert!(sure > 100);
        cmd!(c, "LLMCACHE.SET", "faq", "a new one", "answer", "PERSIST").ok();
        reloads_as_it_is(&mut pair.replica);
    }
}
