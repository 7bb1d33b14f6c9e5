//! What becomes of statistics: RESETSTATS forgets them, each node has its own, and a restart keeps them.

use crate::harness::{cmd, until, Builder, Client, Pair, Reply, Server, PATIENCE};
use crate::support::{
    self, at_one_moment, both, digest, entry, get, kept, prompts, set, shows, stat, stats, store, Past,
};

const DIMENSIONS: [&str; 5] = ["model", "scope", "strategy", "type", "tag"];
const GAUGES: [&str; 3] = ["entries", "bytes_raw", "bytes_stored"];
const COUNTERS: &str = "lookups 0 hits 0 misses 0 hit_rate 0 stores 0 skips 0 evictions 0 expirations 0 \
    invalidations 0 feedback_good 0 feedback_bad 0 coalesced 0 tokens_saved 0 cost_saved_usd 0.000000 \
    cost_spent_usd 0.000000 estimated_share 0 latency_saved_ms 0 saving_per_day_usd 0.000000 roi 0";

/// A cache that has a past, and something of everything now.
fn fill(c: &mut Client) {
    c.words("LLMCACHE.CREATE faq").ok();
    Past::default().hit(7200, "MODEL old COST 3 TAGS 1 x").hit(600, "MODEL gpt COST 1 TAGS 2 x y TYPE t").give(c);
    use_it(c);
}

fn use_it(c: &mut Client) {
    set(c, "p", "r", "PERSIST MODEL gpt SCOPE ann TAGS 2 x y TYPE t COST 0.5 TOKENS 1 2 LATENCY 3").ok();
    set(c, "q", "rr", "STRATEGY standard MODEL mini").ok();
    assert!(set(c, "q", "rr", "NX MODEL mini").is_null());
    set(c, "plain", "rrr", "PERSIST").ok();
    for (prompt, options) in
        [("p", "MODEL gpt SCOPE ann"), ("p", "MODEL gpt SCOPE ann"), ("q", "MODEL mini"), ("x", "")]
    {
        get(c, prompt, options);
    }
    get(c, "plain", "");
    let id = get(c, "plain", "WITHMETA NOTOUCH").field("id").text();
    cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "good").ok();
    set(c, "gone", "r", "PERSIST TAGS 1 y").ok();
    c.words("LLMCACHE.INVALIDATE faq MATCH gone");
}

/// What a restart keeps of STATS: figures in all and by name, ever and of the last hours.
fn told(c: &mut Client) -> Vec<(String, Vec<(String, Reply)>)> {
    let mut all = Vec::new();
    for window in ["", "WINDOW 3600", "WINDOW 86400"] {
        all.push((window.to_owned(), kept(&stats(c, window))));
        for dimension in DIMENSIONS {
            for (name, figures) in stats(c, &format!("BY {dimension} {window}")).pairs() {
                all.push((format!("{window} {dimension} {}", name.text()), kept(figures)));
            }
        }
    }
    // What is projected goes on with the time.
    all.iter_mut().for_each(|(_, figures)| figures.retain(|(name, _)| !name.starts_with("saving_per_")));
    all
}

#[test]
fn resetstats_forgets_what_was_done_and_nothing_else() {
    both(|c| {
        fill(c);
        cmd!(c, "LLMCACHE.SET", "other", "p", "r").ok();
        cmd!(c, "LLMCACHE.GET", "other", "p");
        c.words("LLMCACHE.ALERT faq SET a roi ABOVE 5").ok();
        let before = stats(c, "");
        shows(&before, "lookups 7 hits 6 stores 4 skips 1 invalidations 1 feedback_good 1 entries 3");
        assert!(before.field("get_exact_us").field("max").number() > 0.0);
        let (digest_before, entries) = (digest(c, "faq"), prompts(c, ""));
        assert_eq!(c.raw(&["llmcache.resetstats", "faq"]), b"+OK\r\n");
        for window in ["", "WINDOW 1", "WINDOW 3600", "WINDOW 2678400"] {
            let told = stats(c, window);
            shows(&told, COUNTERS);
            for name in ["get_exact_us", "get_similar_us", "set_us", "fetch_us"] {
                assert!(told.field(name).pairs().iter().all(|(_, time)| time.number() == 0.0), "{name}");
            }
            GAUGES.iter().for_each(|name| assert_eq!(told.field(name), before.field(name), "{name}"));
            assert!(told.field("memory_bytes").int() < before.field("memory_bytes").int());
            for dimension in DIMENSIONS {
                for (name, told) in stats(c, &format!("BY {dimension} {window}")).pairs() {
                    println!("{dimension} {name:?} {window}");
                    shows(told, COUNTERS);
                }
            }
        }
        assert_eq!((digest(c, "faq"), prompts(c, "")), (digest_before, entries));
        let hits = get(c, "p", "MODEL gpt SCOPE ann WITHMETA NOTOUCH");
        assert_eq!([hits.field("hits").int(), entry(c, "plain").field("hits").int()], [2, 1], "hits of entries stay");
        assert_eq!(hits.field("cost_saved_usd").text(), "1.000000");
        shows(&c.words("LLMCACHE.STATS other"), "lookups 1 hits 1 stores 1");
        // It goes on from there.
        get(c, "plain", "");
        shows(&stats(c, ""), "lookups 1 hits 1 misses 0 entries 3");
        shows(stats(c, "BY model").field(""), "lookups 1 hits 1 entries 1");
        // Without a key, of all caches of all databases.
        c.words("SELECT 3").ok();
        assert!(c.words("LLMCACHE.RESETSTATS").is_ok());
        c.words("SELECT 0").ok();
        shows(&c.words("LLMCACHE.STATS"), &format!("{COUNTERS} entries 4"));
        shows(&c.words("LLMCACHE.STATS other"), COUNTERS);
        // Of a cache that is not there, there is nothing to forget, and none is made.
        c.words("LLMCACHE.RESETSTATS none").ok();
        assert_eq!(c.words("EXISTS none"), 0);
        c.words("FLUSHALL").ok();
        c.words("LLMCACHE.RESETSTATS").ok();
    });
}

#[test]
fn a_projection_begins_anew_with_the_first_lookup_after_a_reset() {
    let server = Server::start();
    let mut c = server.client3();
    c.words("LLMCACHE.CREATE faq").ok();
    Past::default().hit(7200, "COST 3").give(&mut c);
    assert!(stats(&mut c, "").field("saving_per_day_usd").number() > 35.0);
    c.words("LLMCACHE.RESETSTATS faq").ok();
    set(&mut c, "p", "r", "COST 5").ok();
    get(&mut c, "p", "");
    shows(&stats(&mut c, ""), "cost_saved_usd 5.000000 saving_per_day_usd 0.000000");
}

#[test]
fn resetstats_works_in_transactions_and_scripts_and_tells_its_key() {
    both(|c| {
        store(c, "p", "r");
        let told = at_one_moment(c, &["LLMCACHE.GET faq p", "LLMCACHE.RESETSTATS faq", "LLMCACHE.STATS faq"]);
        assert!(told[1].is_ok());
        shows(&told[2], "lookups 0 stores 0 entries 1");
        get(c, "p", "");
        let script = "return redis.call('LLMCACHE.RESETSTATS', KEYS[1])";
        assert!(cmd!(c, "EVAL", script, 1, "faq").is_ok());
        assert_eq!(stat(c, "lookups"), 0);
        get(c, "p", "");
        assert!(cmd!(c, "EVAL", "return redis.call('LLMCACHE.RESETSTATS')", 0).is_ok());
        assert_eq!(stat(c, "lookups"), 0);
        assert_eq!(c.words("COMMAND GETKEYS LLMCACHE.RESETSTATS faq").texts(), ["faq"]);
        assert_eq!(c.words("COMMAND GETKEYS LLMCACHE.RESETSTATS by").texts(), ["by"]);
        let none = c.words("COMMAND GETKEYS LLMCACHE.RESETSTATS");
        assert!(none.is_error() || none.items().is_empty(), "{none:?}");
        // Nobody else hears of it.
        c.words("WATCH faq").ok();
        c.words("LLMCACHE.RESETSTATS faq").ok();
        c.words("MULTI").ok();
        c.words("PING");
        assert!(!c.words("EXEC").is_null(), "it changes no key");
        // A key called like an option of STATS.
        for key in ["by", "window", "format"] {
            cmd!(c, "LLMCACHE.SET", key, "p", "r").ok();
            cmd!(c, "LLMCACHE.RESETSTATS", key).ok();
            assert_eq!(*cmd!(c, "LLMCACHE.STATS", key).field("stores"), 0, "{key}");
        }
    });
}

#[test]
fn resetstats_is_for_administrators() {
    let server = Server::start();
    let mut admin = server.client();
    store(&mut admin, "p", "r");
    cmd!(admin, "LLMCACHE.SET", "secret", "p", "r").ok();
    let flags = admin.words("COMMAND INFO LLMCACHE.RESETSTATS").at(0).at(2).texts();
    assert!(flags.contains(&"admin".into()) && !flags.contains(&"write".into()), "{flags:?}");
    let version = server.version();
    let has_categories = version.is_redis(7, 2) || version.is_valkey(7, 2);
    let rule = if has_categories { "+@all -@admin" } else { "+@all -llmcache.resetstats" };
    let mut as_user = |rules: &str| {
        admin.words("ACL DELUSER alice");
        admin.words(&format!("ACL SETUSER alice on >pw {rules}")).ok();
        let mut c = server.client();
        c.words("AUTH alice pw").ok();
        c
    };
    let mut user = as_user(&format!("{rule} ~*"));
    for line in ["LLMCACHE.RESETSTATS", "LLMCACHE.RESETSTATS faq"] {
        assert!(user.words(line).error().starts_with("NOPERM"), "{line}");
    }
    assert_eq!(stat(&mut user, "stores"), 1, "STATS is for everybody");
    let mut user = as_user("+@all ~faq");
    assert!(user.words("LLMCACHE.RESETSTATS secret").error().starts_with("NOPERM"));
    user.words("LLMCACHE.RESETSTATS faq").ok();
    let mut user = as_user("+@all %W~faq");
    assert!(user.words("LLMCACHE.RESETSTATS faq").error().starts_with("NOPERM"), "who may not read it");
    let mut admin = server.client();
    assert_eq!(stat(&mut admin, "stores"), 0);
    assert_eq!(*admin.words("LLMCACHE.STATS secret").field("stores"), 1);
}

#[test]
fn resetstats_is_each_nodes_own() {
    let pair = Pair::with(|b| b.aof_always());
    let (mut primary, mut replica) = (pair.primary.client3(), pair.replica.client3());
    store(&mut primary, "p", "r");
    pair.wait_in_sync();
    for c in [&mut primary, &mut replica] {
        get(c, "p", "");
        get(c, "absent", "");
    }
    let offset = |c: &mut Client| c.info_field("replication", "master_repl_offset").unwrap().parse::<u64>().unwrap();
    let (before, dirty) = (offset(&mut primary), primary.info_field("persistence", "rdb_changes_since_last_save"));
    primary.words("LLMCACHE.RESETSTATS faq").ok();
    primary.words("LLMCACHE.RESETSTATS").ok();
    // Nothing was told but pings.
    assert!(offset(&mut primary) < before + 40);
    assert_eq!(primary.info_field("persistence", "rdb_changes_since_last_save"), dirty);
    shows(&stats(&mut primary, ""), "lookups 0 stores 0");
    pair.wait_in_sync();
    shows(&stats(&mut replica, ""), "lookups 2 hits 1 misses 1");
    get(&mut primary, "p", "");
    replica.words("LLMCACHE.RESETSTATS faq").ok();
    shows(&stats(&mut replica, ""), "lookups 0 hits 0");
    shows(&stats(&mut primary, ""), "lookups 1 hits 1");
}

#[test]
fn a_full_sync_leaves_a_replica_with_counters_of_its_own() {
    for (sync, load) in [("no", "disabled"), ("yes", "disabled"), ("yes", "on-empty-db"), ("yes", "swapdb")] {
        println!("repl-diskless-sync {sync}, repl-diskless-load {load}");
        let recipe =
            |b: Builder| b.config(&format!("repl-diskless-sync {sync}")).config(&format!("repl-diskless-load {load}"));
        let primary = recipe(Server::builder()).start();
        let mut c = primary.client3();
        fill(&mut c);
        let before = told(&mut c);
        let replica = recipe(Server::builder()).start();
        let pair = Pair { replica, primary };
        let mut replica = pair.replica.client3();
        // It has a cache with counters before, which goes.
        set(&mut replica, "own", "r", "PERSIST").ok();
        get(&mut replica, "own", "");
        for round in 0..2 {
            cmd!(replica, "REPLICAOF", "127.0.0.1", pair.primary.port()).ok();
            pair.wait_in_sync();
            assert_eq!(prompts(&mut replica, ""), ["p", "plain", "q"]);
            let own = stats(&mut replica, "");
            shows(&own, &format!("{COUNTERS} entries 3"));
            assert!(stats(&mut replica, "WINDOW 86400").field("lookups") == own.field("lookups"));
            for dimension in DIMENSIONS {
                for (_, figures) in stats(&mut replica, &format!("BY {dimension}")).pairs() {
                    shows(figures, COUNTERS);
                }
            }
            get(&mut replica, "p", "MODEL gpt SCOPE ann");
            get(&mut replica, "absent", "MODEL gpt");
            shows(&stats(&mut replica, ""), "lookups 2 hits 1 misses 1 cost_saved_usd 0.500000");
            shows(stats(&mut replica, "BY model").field("gpt"), "lookups 2 hits 1 misses 1");
            assert_eq!(told(&mut c), before, "the primary's are its own");
            // What it has counted goes with the next full sync.
            if round == 0 {
                pair.promote();
                store(&mut replica, "away", "r");
            }
        }
        // What it stores for its primary, it counts.
        set(&mut c, "p", "new", "PERSIST MODEL gpt SCOPE ann").ok();
        pair.wait_in_sync();
        shows(&stats(&mut replica, ""), "lookups 2 hits 1 entries 3");
    }
}

#[test]
fn what_is_loaded_beside_the_old_data_comes_without_counters() {
    let pair = Pair::with(|b| b.config("repl-diskless-sync yes").config("repl-diskless-load swapdb"));
    let (mut primary, mut replica) = (pair.primary.client3(), pair.replica.client3());
    use_it(&mut primary);
    pair.wait_in_sync();
    get(&mut replica, "plain", "");
    shows(&stats(&mut replica, ""), "lookups 1 hits 1 entries 3");
    // A replica that has the same history and is too far behind serves while it loads.
    primary.words("CONFIG SET repl-backlog-size 16384").ok();
    let filler = format!("SET filler {}", "x".repeat(4_000_000));
    at_one_moment(&mut primary, &["CLIENT KILL TYPE replica", &filler]);
    until("another full sync", PATIENCE, || primary.info_field("stats", "sync_full").as_deref() == Some("2"));
    pair.wait_in_sync();
    shows(&stats(&mut replica, ""), &format!("{COUNTERS} entries 3"));
    get(&mut replica, "plain", "");
    shows(&stats(&mut replica, ""), "lookups 1 hits 1 entries 3");
    shows(&stats(&mut primary, ""), "lookups 5 hits 4");
}

#[test]
fn a_partial_sync_and_a_failover_change_no_counter() {
    let pair = Pair::start();
    let (mut primary, mut replica) = (pair.primary.client3(), pair.replica.client3());
    use_it(&mut primary);
    pair.wait_in_sync();
    get(&mut replica, "plain", "");
    get(&mut replica, "absent", "");
    let full = |c: &mut Client| c.info_field("stats", "sync_full").unwrap();
    let syncs = full(&mut primary);
    let (ours, theirs) = (told(&mut primary), told(&mut replica));
    // The link breaks, and the replica catches up.
    primary.words("CLIENT KILL TYPE replica");
    store(&mut primary, "meanwhile", "r");
    pair.wait_in_sync();
    assert_eq!(full(&mut primary), syncs, "a partial sync");
    assert!(prompts(&mut replica, "").contains(&"meanwhile".to_owned()));
    let name_of = |all: &[(String, Vec<(String, Reply)>)], name: &str| -> Reply {
        all[0].1.iter().find(|(found, _)| found == name).unwrap().1.clone()
    };
    for name in ["lookups", "hits", "misses", "cost_saved_usd", "feedback_good"] {
        assert_eq!(*stats(&mut replica, "").field(name), name_of(&theirs, name), "{name}");
        assert_eq!(*stats(&mut primary, "").field(name), name_of(&ours, name), "{name}");
    }
    shows(&stats(&mut replica, ""), "lookups 2 hits 1 misses 1");
    // It takes over, and goes on counting.
    pair.promote();
    get(&mut replica, "plain", "");
    shows(&stats(&mut replica, ""), "lookups 3 hits 2 misses 1");
    let stores = stat(&mut replica, "stores");
    store(&mut replica, "of its own", "r");
    shows(&stats(&mut replica, ""), &format!("stores {} lookups 3", stores + 1));
    // What it loads from now on, it takes as it is.
    Past::default().hit(7200, "COST 3").give(&mut primary);
    let payload = cmd!(primary, "DUMP", "faq");
    cmd!(replica, "RESTORE", "copy", 0, payload.bytes()).ok();
    let (copy, theirs) = (replica.words("LLMCACHE.STATS copy"), stats(&mut primary, ""));
    let pick =
        |told: &Reply| kept(told).into_iter().filter(|(name, _)| !name.starts_with("saving")).collect::<Vec<_>>();
    assert_eq!(pick(&copy), pick(&theirs));
}

#[test]
fn a_replica_that_restarts_keeps_what_it_has_counted() {
    let mut pair = Pair::with(|b| b.config("repl-diskless-sync yes").config("repl-diskless-load on-empty-db"));
    let (mut primary, mut replica) = (pair.primary.client3(), pair.replica.client3());
    use_it(&mut primary);
    pair.wait_in_sync();
    for prompt in ["plain", "plain", "absent"] {
        get(&mut replica, prompt, "");
    }
    let before = told(&mut replica);
    shows(&stats(&mut replica, ""), "lookups 3 hits 2 misses 1");
    let syncs = primary.info_field("stats", "sync_full");
    pair.replica.restart_from_rdb();
    pair.wait_in_sync();
    assert_eq!(primary.info_field("stats", "sync_full"), syncs, "a partial sync");
    let mut replica = pair.replica.client3();
    assert_eq!(told(&mut replica), before);
    get(&mut replica, "plain", "");
    shows(&stats(&mut replica, ""), "lookups 4 hits 3 misses 1");
    assert_eq!(*entry(&mut replica, "plain").field("hits"), 3);
}

#[test]
fn totals_windows_and_names_survive_an_rdb_file_and_a_rewritten_append_only_file() {
    let recipes: [fn(Builder) -> Builder; 3] = [|b| b, |b| b.aof_always(), |b| b.aof_always().aof_of_commands()];
    for (i, recipe) in recipes.into_iter().enumerate() {
        let mut server = recipe(Server::builder()).start();
        let mut c = server.client3();
        fill(&mut c);
        let before = told(&mut c);
        assert!(before.len() > 40 && before.iter().any(|(what, _)| what == " model old"), "{before:?}");
        for _ in 0..2 {
            if i == 0 {
                server.restart_from_rdb();
            } else {
                server.rewrite_aof();
                server.crash_and_restart();
            }
            c = server.client3();
            for (was, is) in before.iter().zip(told(&mut c)) {
                assert_eq!(is, *was, "recipe {i}");
            }
            assert_eq!(told(&mut c).len(), before.len());
        }
        // Times begin anew.
        assert_eq!(stats(&mut c, "").field("set_us").field("max").number(), 0.0);
        get(&mut c, "plain", "");
        shows(&stats(&mut c, ""), "lookups 8 hits 7");
        shows(&stats(&mut c, "WINDOW 3600"), "lookups 7 hits 6");
    }
}

/// A file that was never rewritten tells what was stored and removed, and not what was asked: so a cache knows of its
/// stores, its deletions are not told apart, and of what it saved it knows nothing.
#[test]
fn an_append_only_file_that_was_not_rewritten_knows_of_stores() {
    let mut server = Server::builder().aof_always().start();
    let mut c = server.client3();
    set(&mut c, "p", "r", "PERSIST MODEL gpt COST 0.5").ok();
    set(&mut c, "q", "r", "PERSIST").ok();
    assert!(set(&mut c, "q", "r", "NX").is_null());
    set(&mut c, "gone", "r", "PERSIST").ok();
    c.words("LLMCACHE.INVALIDATE faq MATCH gone");
    for prompt in ["q", "q", "absent"] {
        get(&mut c, prompt, "");
    }
    shows(&stats(&mut c, ""), "stores 3 skips 1 invalidations 1 lookups 3 hits 2 cost_spent_usd 0.500000");
    server.crash_and_restart();
    let mut c = server.client3();
    println!("{:?}", stats(&mut c, ""));
    shows(&stats(&mut c, ""), "entries 2 stores 3 skips 0 lookups 0 hits 0 misses 0 cost_spent_usd 0.500000");
    shows(stats(&mut c, "BY model").field("gpt"), "entries 1 stores 1 cost_spent_usd 0.500000");
    shows(&stats(&mut c, "WINDOW 60"), "stores 3");
    assert_eq!(*support::entry(&mut c, "q").field("hits"), 0);
}

#[test]
fn copies_and_moved_caches_take_their_counters_along() {
    both(|c| {
        fill(c);
        let before = told(c);
        for lines in [&["RENAME faq x", "RENAME x faq"][..], &["COPY faq x", "DEL faq", "RENAME x faq"]] {
            lines.iter().for_each(|line| assert!(!c.words(line).is_error(), "{line}"));
            assert_eq!(told(c), before, "{lines:?}");
        }
        c.words("DEBUG RELOAD").ok();
        assert_eq!(told(c), before);
        until("figures stay", PATIENCE, || stat(c, "lookups") == 7);
    });
}

/// Answers that are said to have cost everything there is, under several names, are saved and loaded all the same.
#[test]
fn no_figure_keeps_a_cache_from_being_loaded() {
    let mut server = Server::start();
    let mut c = server.client();
    let usage = r#"{"choices":[{"finish_reason":"stop","message":{"content":"r"}}],"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":1}}"#;
    for model in ["a", "b", "c"] {
        for (prompt, options) in [("p", "COST 18446744073709.551615"), ("q", "TOKENS 9223372036854775807 1")] {
            c.words(&format!("LLMCACHE.SET faq {prompt} r MODEL {model} TAGS 2 x y {options}")).ok();
            get(&mut c, prompt, &format!("MODEL {model}"));
        }
        let request = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"p"}}]}}"#);
        cmd!(c, "LLMCACHE.SET", "faq", &request, usage, "REQUEST").ok();
        cmd!(c, "LLMCACHE.GET", "faq", &request, "REQUEST");
    }
    let payload = c.words("DUMP faq");
    cmd!(c, "RESTORE", "back", 0, payload.bytes()).ok();
    server.restart_from_rdb();
    let mut c = server.client();
    for key in ["faq", "back"] {
        assert_eq!(*cmd!(c, "LLMCACHE.STATS", key).field("entries"), 9, "{key}");
        assert_eq!(*cmd!(c, "LLMCACHE.STATS", key).field("lookups"), 9, "{key}");
    }
}
