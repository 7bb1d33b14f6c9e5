//! A store is told in full as soon as anybody listens, and nobody misses what was stored before.
//!
//! Answers here live as long as `auto` says, from the moment on at which they came: a command repeated by another node, a
//! few milliseconds later, would give them another life, and the digests would differ.

use crate::harness::{cmd, until, Client, Pair, Server, PATIENCE};
use crate::support::{digest, Dice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// So long after the last listener has left nobody tells anything any more.
const DEAF: Duration = Duration::from_millis(1500);

/// Stores answers until told to stop.
struct Writer<'a> {
    stop: &'a AtomicBool,
    stored: &'a AtomicU64,
}

impl Writer<'_> {
    fn write(&self, mut c: Client, seed: &'static str) {
        let mut dice = Dice::new(seed);
        while !self.stop.load(Ordering::Relaxed) {
            let text = dice.text(200);
            cmd!(c, "LLMCACHE.SET", "faq", format!("question {}", dice.below(500)), text).ok();
            self.stored.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Does something while answers are stored, without a pause from before it to behind it.
fn while_storing(server: &Server, seed: &'static str, act: impl FnOnce(&dyn Fn())) {
    let (stop, stored) = (AtomicBool::new(false), AtomicU64::new(0));
    let writer = Writer { stop: &stop, stored: &stored };
    thread::scope(|scope| {
        let client = server.client();
        let writing = scope.spawn(|| writer.write(client, seed));
        let more = || {
            let before = stored.load(Ordering::Relaxed);
            until("some more answers are stored", PATIENCE, || stored.load(Ordering::Relaxed) > before + 200);
        };
        more();
        act(&more);
        more();
        stop.store(true, Ordering::Relaxed);
        writing.join().unwrap();
    });
}

/// Stores answers for long enough that nobody listens any more.
fn until_nobody_listens(server: &Server) {
    let begun = Instant::now();
    while_storing(server, "before", |more| {
        while begun.elapsed() < DEAF {
            more();
        }
    });
}

#[test]
fn a_replica_that_comes_while_answers_are_stored_has_them_all() {
    for sync in ["yes", "no"] {
        println!("repl-diskless-sync {sync}");
        let recipe = || {
            let builder = Server::builder().config(&format!("repl-diskless-sync {sync}"));
            builder.config("repl-diskless-sync-delay 0").config("repl-backlog-ttl 1").start()
        };
        let mut pair = Pair { primary: recipe(), replica: recipe() };
        for round in 0..2 {
            until_nobody_listens(&pair.primary);
            let port = pair.primary.port();
            while_storing(&pair.primary, "while it syncs", |more| {
                cmd!(pair.replica.client(), "REPLICAOF", "127.0.0.1", port).ok();
                pair.wait_for_link();
                more();
                // A link that breaks is taken up where it was.
                let mut c = pair.primary.client();
                assert!(cmd!(c, "CLIENT", "KILL", "TYPE", "replica").int() > 0);
            });
            pair.wait_in_sync();
            let (mut primary, mut replica) = (pair.primary.client(), pair.replica.client());
            assert_eq!(digest(&mut replica, "faq"), digest(&mut primary, "faq"), "round {round}");
            // The other way round, once nobody is left.
            cmd!(replica, "REPLICAOF", "NO", "ONE").ok();
            until("the backlog is given up", PATIENCE, || {
                let mut field = |name| primary.info_field("replication", name);
                field("connected_slaves").as_deref() == Some("0")
                    && field("repl_backlog_active").as_deref() == Some("0")
            });
            std::mem::swap(&mut pair.primary, &mut pair.replica);
        }
    }
}

#[test]
fn an_append_only_file_that_is_switched_on_has_all_that_is_stored() {
    let mut server = Server::builder().aof_always().start();
    let mut c = server.client();
    cmd!(c, "CONFIG", "SET", "appendonly", "no").ok();
    until_nobody_listens(&server);
    while_storing(&server, "while the file is made", |more| {
        cmd!(c, "CONFIG", "SET", "appendonly", "yes").ok();
        until("the file is there", PATIENCE, || {
            let mut is = |name, value| c.info_field("persistence", name).as_deref() == Some(value);
            is("aof_rewrite_in_progress", "0") && is("aof_rewrite_scheduled", "0") && is("aof_enabled", "1")
        });
        more();
    });
    let before = digest(&mut c, "faq");
    server.kill9();
    server.start_again();
    assert_eq!(digest(&mut server.client(), "faq"), before);
}

#[test]
fn what_nobody_is_told_still_counts_as_a_change() {
    let server = Server::start();
    until_nobody_listens(&server);
    let mut c = server.client();
    let changes = |c: &mut Client| c.info_field("persistence", "rdb_changes_since_last_save").unwrap();
    let before: u64 = changes(&mut c).parse().unwrap();
    for i in 0..10 {
        cmd!(c, "LLMCACHE.SET", "faq", format!("another {i}"), "answer").ok();
    }
    // One that is not stored is none.
    assert!(cmd!(c, "LLMCACHE.SET", "faq", "another 1", "answer", "NX").is_null());
    assert_eq!(changes(&mut c).parse::<u64>().unwrap(), before + 10);
}
