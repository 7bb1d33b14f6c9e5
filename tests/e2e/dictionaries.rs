//! COMPRESS dict: a dictionary comes by itself, and wherever a cache goes it is read as before.

use crate::harness::{args, cmd, until, Builder, Client, Pair, Reply, Server, PATIENCE};
use crate::support::{both, digest, get, Dice};

/// The answer to the prompt of this number: sentences that others have as well, in another order.
fn answer(i: usize) -> String {
    let mut dice = Dice::fixed(i as u64);
    let sentence = |n: u64| format!("{}, {}. ", Dice::fixed(1000 + n).text(70), n * 7919 % 1000);
    (0..3 + dice.below(4)).map(|_| sentence(dice.below(40))).collect()
}

#[track_caller]
fn fill(c: &mut Client, key: &str, range: std::ops::Range<usize>) {
    let commands: Vec<_> =
        range.map(|i| args!["LLMCACHE.SET", key, format!("prompt {i}"), answer(i), "PERSIST"]).collect();
    c.pipeline(&commands).into_iter().for_each(|reply| reply.ok());
}

fn info(c: &mut Client, key: &str) -> Reply {
    cmd!(c, "LLMCACHE.INFO", key)
}

/// Waits until all answers of a cache are compressed with its one dictionary; INFO then.
#[track_caller]
fn settled(c: &mut Client, key: &str) -> Reply {
    until("all answers are compressed with the newest dictionary", PATIENCE, || {
        let info = info(c, key);
        let list = info.field("dictionaries").items();
        list.len() == 1 && list[0].field("entries").int() == info.field("entries").int()
    });
    info(c, key)
}

#[track_caller]
fn reads_all(c: &mut Client, key: &str, range: std::ops::Range<usize>) {
    let commands: Vec<_> = range.clone().map(|i| args!["LLMCACHE.GET", key, format!("prompt {i}")]).collect();
    for (i, reply) in range.zip(c.pipeline(&commands)) {
        assert_eq!(reply, answer(i).as_str(), "prompt {i}");
    }
}

#[test]
fn a_dictionary_comes_by_itself_and_saves_more_than_zstd() {
    both(|c| {
        cmd!(c, "LLMCACHE.CREATE", "plain", "COMPRESS", "zstd").ok();
        fill(c, "plain", 0..300);
        fill(c, "faq", 0..300);
        let told = settled(c, "faq");
        let [dictionary] = told.field("dictionaries").items() else { panic!("one dictionary") };
        assert_eq!(*dictionary.field("state"), "current");
        assert_eq!([dictionary.field("version").int(), dictionary.field("entries").int()], [1, 300]);
        let (bytes, memory) = (dictionary.field("bytes").int(), dictionary.field("memory").int());
        assert!((8 << 10..=32 << 10).contains(&bytes) && memory > bytes && memory < 100_000, "{bytes} {memory}");
        assert!((100..=300).contains(&dictionary.field("samples").int()));
        assert!(dictionary.field("ratio").number() > 2.0);
        let parts = told.field("memory");
        assert!(parts.field("dictionaries").int() >= memory);
        let sum: i64 = parts.pairs().iter().map(|(_, bytes)| bytes.int()).sum();
        assert_eq!(sum, told.field("memory_bytes").int());
        until("the others are compressed as well", PATIENCE, || {
            info(c, "plain").field("compression_ratio").number() > 1.3
        });
        let plain = info(c, "plain");
        assert_eq!(plain.field("dictionaries").items().len(), 0);
        let ratio = |info: &Reply| info.field("compression_ratio").number();
        assert!(ratio(&told) > 1.5 * ratio(&plain), "{} and {}", ratio(&told), ratio(&plain));
        reads_all(c, "faq", 0..300);
        reads_all(c, "plain", 0..300);
        c.words("DEL faq plain");
    });
}

#[test]
fn a_cache_with_a_dictionary_restarts_in_every_way() {
    let recipes: [fn(Builder) -> Builder; 3] = [|b| b, |b| b.aof_always(), |b| b.aof_always().aof_of_commands()];
    for (i, recipe) in recipes.into_iter().enumerate() {
        let mut server = recipe(Server::builder()).start();
        let mut c = server.client();
        fill(&mut c, "faq", 0..250);
        let told = settled(&mut c, "faq");
        let before = digest(&mut c, "faq");
        if i == 0 {
            server.restart_from_rdb();
        } else {
            server.rewrite_aof();
            server.crash_and_restart();
        }
        let mut c = server.client();
        assert_eq!(digest(&mut c, "faq"), before, "recipe {i}");
        if i < 2 {
            assert_eq!(info(&mut c, "faq").field("dictionaries"), told.field("dictionaries"), "it is saved");
        }
        settled(&mut c, "faq");
        reads_all(&mut c, "faq", 0..250);
        fill(&mut c, "faq", 250..270);
        settled(&mut c, "faq");
        reads_all(&mut c, "faq", 0..270);
    }
}

#[test]
fn a_replica_has_dictionaries_of_its_own_and_the_same_answers() {
    let pair = Pair::start();
    let (mut primary, mut replica) = (pair.primary.client(), pair.replica.client());
    fill(&mut primary, "faq", 0..220);
    settled(&mut primary, "faq");
    // What is prolonged travels whole, though it is stored with a dictionary here.
    let id = cmd!(primary, "LLMCACHE.GET", "faq", "prompt 3", "WITHMETA").field("id").text();
    cmd!(primary, "LLMCACHE.EXPIRE", "faq", &id, 50);
    cmd!(primary, "LLMCACHE.EXPIRE", "faq", &id, 5000);
    pair.wait_in_sync();
    settled(&mut replica, "faq");
    assert_eq!(digest(&mut replica, "faq"), digest(&mut primary, "faq"));
    reads_all(&mut replica, "faq", 0..220);
    // A full synchronisation carries them along.
    cmd!(replica, "REPLICAOF", "NO", "ONE").ok();
    cmd!(replica, "FLUSHALL").ok();
    let address = pair.primary.addr();
    cmd!(replica, "REPLICAOF", address.ip().to_string(), address.port()).ok();
    pair.wait_in_sync();
    assert_eq!(info(&mut replica, "faq").field("dictionaries").items().len(), 1);
    assert_eq!(digest(&mut replica, "faq"), digest(&mut primary, "faq"));
    reads_all(&mut replica, "faq", 0..220);
}

#[test]
fn copies_dumps_and_transactions_keep_what_a_dictionary_made() {
    both(|c| {
        fill(c, "faq", 0..250);
        let told = settled(c, "faq");
        assert_eq!(c.words("COPY faq copy"), 1);
        let payload = cmd!(c, "DUMP", "faq").bytes().to_vec();
        cmd!(c, "RESTORE", "restored", 0, &payload).ok();
        c.words("DEL faq");
        for key in ["copy", "restored"] {
            assert_eq!(info(c, key).field("dictionaries"), told.field("dictionaries"), "{key}");
            reads_all(c, key, 0..250);
        }
        c.words("RENAME copy faq").ok();
        c.words("MULTI").ok();
        for i in [1, 200] {
            cmd!(c, "LLMCACHE.GET", "faq", format!("prompt {i}"));
        }
        cmd!(c, "LLMCACHE.SET", "faq", "prompt 1", answer(2));
        cmd!(c, "LLMCACHE.GET", "faq", "prompt 1");
        let replies = c.words("EXEC").items().to_vec();
        assert_eq!([0, 1, 3].map(|i: usize| replies[i].text()), [answer(1), answer(200), answer(2)]);
        // Damage is an error or another cache, and the server goes on.
        let mut dice = Dice::new("damaged dictionaries");
        for _ in 0..150 {
            let damaged = crate::payloads::damaged(&payload, &mut dice);
            if !cmd!(c, "RESTORE", "k", 0, damaged, "REPLACE").is_error() {
                for i in 0..20 {
                    cmd!(c, "LLMCACHE.GET", "k", format!("prompt {i}"));
                }
                cmd!(c, "LLMCACHE.SET", "k", "new", answer(7));
                assert_eq!(cmd!(c, "LLMCACHE.GET", "k", "new"), answer(7).as_str());
            }
        }
        c.words("DEL faq restored k");
    });
}

#[test]
fn alter_applies_to_new_answers_and_lets_dictionaries_go() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq COMPRESS none").ok();
        fill(c, "faq", 0..250);
        assert_eq!(info(c, "faq").field("compression_ratio").number(), 1.0);
        c.words("LLMCACHE.ALTER faq COMPRESS dict").ok();
        settled(c, "faq");
        c.words("LLMCACHE.ALTER faq COMPRESS zstd").ok();
        let told = info(c, "faq");
        let [dictionary] = told.field("dictionaries").items() else { panic!("one dictionary") };
        assert_eq!(*dictionary.field("state"), "older");
        assert_eq!(*dictionary.field("entries"), 250);
        reads_all(c, "faq", 0..250);
        fill(c, "faq", 0..250);
        assert_eq!(info(c, "faq").field("dictionaries").items().len(), 0);
        assert_eq!(*info(c, "faq").field("memory").field("dictionaries"), 0);
        assert_eq!(get(c, "prompt 9", ""), answer(9).as_str());
        c.words("DEL faq");
    });
}

/// A cache at its limit makes room for what saves more than it takes.
#[test]
fn a_full_cache_gets_its_dictionary_within_its_limit() {
    let server = Server::start();
    let mut c = server.client3();
    c.words("LLMCACHE.CREATE faq MAXMEMORY 1300000").ok();
    for i in 0..40 {
        fill(&mut c, "faq", i * 60..i * 60 + 60);
        crate::support::pass(30);
        let told = info(&mut c, "faq");
        assert!(told.field("memory_bytes").int() <= 1_300_000);
    }
    until("there is a dictionary", PATIENCE, || !info(&mut c, "faq").field("dictionaries").items().is_empty());
    assert!(info(&mut c, "faq").field("memory_bytes").int() <= 1_300_000);
    reads_all(&mut c, "faq", 2390..2400);
}
