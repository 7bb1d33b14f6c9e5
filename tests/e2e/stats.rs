//! STATS: figures that add up.

use crate::harness::{cmd, Reply, Server};
use crate::support::{at_one_moment, both, get, pass, set, shows, state, stats, store, whole, Past, SUMS};

/// The fields of the contract in its order.
const FIELDS: &str =
    "entries lookups hits hits_exact hits_similar hits_stale misses miss_absent miss_expired miss_threshold \
    miss_guard hit_rate coalesced stores skips evictions expirations invalidations feedback_good feedback_bad \
    tokens_saved_in tokens_saved_out tokens_saved cost_saved_usd cost_spent_usd estimated_share latency_saved_ms \
    saving_per_day_usd saving_per_month_usd saving_per_year_usd memory_cost_per_month_usd roi bytes_raw bytes_stored \
    compression_saved memory_bytes memory_per_1k_entries get_exact_us get_similar_us set_us fetch_us alerts";

#[test]
fn stats_has_the_fields_of_the_contract_in_their_order() {
    both(|c| {
        store(c, "p", "r");
        let told = stats(c, "").names();
        assert_eq!(told, FIELDS.split_whitespace().collect::<Vec<_>>());
        assert_eq!(c.words("LLMCACHE.STATS faq FORMAT MAP").names(), told);
        assert_eq!(c.words("LLMCACHE.STATS FORMAT map").names(), told);
        assert_eq!(c.words("LLMCACHE.STATS").names(), told);
        for line in ["LLMCACHE.STATS faq", "LLMCACHE.STATS faq FORMAT map", "LLMCACHE.STATS"] {
            let told = c.words(line);
            for name in ["miss_threshold", "miss_guard", "coalesced", "feedback_good", "feedback_bad"] {
                assert_eq!(*told.field(name), 0, "{line}: {name} has nothing to count yet");
            }
            assert_eq!(*told.field("alerts"), Reply::Array(Vec::new()), "{line}");
        }
    });
}

#[test]
fn the_figures_add_up() {
    both(|c| {
        set(c, "a", "r", "EX 100 TOKENS 10 20 COST 0.01 LATENCY 500").ok();
        set(c, "b", "r", "EX 100 TOKENS 1 2 COST 0.002 LATENCY 5 STALE 9").ok();
        set(c, "short", "r", "PX 5").ok();
        assert!(set(c, "a", "r", "NX").is_null());
        c.words("LLMCACHE.INVALIDATE faq MATCH b SOFT");
        pass(8);
        for (prompt, options) in
            [("a", ""), ("a", ""), ("b", ""), ("b", "STALEOK"), ("short", ""), ("none", ""), ("none", "")]
        {
            get(c, prompt, options);
        }
        let told = stats(c, "");
        for (name, number) in [
            ("lookups", 7),
            ("hits", 3),
            ("hits_exact", 2),
            ("hits_stale", 1),
            ("hits_similar", 0),
            ("misses", 4),
            ("miss_absent", 2),
            ("miss_expired", 2),
            ("stores", 3),
            ("skips", 1),
            ("invalidations", 1),
            ("evictions", 0),
            ("tokens_saved_in", 21),
            ("tokens_saved_out", 42),
            ("tokens_saved", 63),
            ("latency_saved_ms", 1005),
        ] {
            assert_eq!(*told.field(name), number, "{name}");
        }
        assert_eq!(*told.field("cost_saved_usd"), "0.022000");
        assert_eq!(*told.field("cost_spent_usd"), "0.012000");
        assert!((told.field("hit_rate").number() - 3.0 / 7.0).abs() < 1e-9);
        assert_eq!(told.field("estimated_share").number(), 0.0);
        assert_eq!(told.field("bytes_raw").int(), 3);
        let (memory, per_1k) = (told.field("memory_bytes").int(), told.field("memory_per_1k_entries").int());
        assert!((per_1k - memory * 1000 / told.field("entries").int()).abs() <= 1000, "{per_1k}");
    });
}

#[test]
fn projections_wait_for_a_window_and_memory_has_its_price() {
    let server = Server::builder().module_args("memory-usd-per-gb-month 1000000").start();
    let mut c = server.client3();
    set(&mut c, "p", "r", "COST 5").ok();
    get(&mut c, "p", "");
    let told = stats(&mut c, "");
    for name in ["saving_per_day_usd", "saving_per_month_usd", "saving_per_year_usd"] {
        assert_eq!(*told.field(name), "0.000000", "{name} before a minute has gone by");
    }
    assert_eq!(told.field("roi").number(), 0.0);
    let expected = told.field("memory_bytes").int() as f64 * 1e6 / f64::from(1 << 30);
    let cost = told.field("memory_cost_per_month_usd").number();
    assert!((cost - expected).abs() < 0.000_002, "{cost}, not {expected}");
    c.words("CONFIG SET llmcache.memory-usd-per-gb-month 0").ok();
    assert_eq!(*stats(&mut c, "").field("memory_cost_per_month_usd"), "0.000000");
}

#[test]
fn a_key_may_be_called_like_an_option() {
    both(|c| {
        for key in ["by", "window", "format", "FORMAT"] {
            cmd!(c, "LLMCACHE.SET", key, "p", "r").ok();
            assert_eq!(*cmd!(c, "LLMCACHE.STATS", key).field("stores"), 1, "{key}");
            assert_eq!(*cmd!(c, "LLMCACHE.STATS", key, "FORMAT", "map").field("stores"), 1, "{key}");
            assert_eq!(cmd!(c, "LLMCACHE.STATS", key, "BY", "model").names(), [""], "{key}");
            assert_eq!(*cmd!(c, "LLMCACHE.STATS", key, "WINDOW", 60, "FORMAT", "map").field("stores"), 1, "{key}");
            assert_eq!(c.words(&format!("COMMAND GETKEYS LLMCACHE.STATS {key} BY model")).texts(), [key]);
        }
        assert_eq!(*c.words("LLMCACHE.STATS").field("stores"), 4);
        assert_eq!(*c.words("LLMCACHE.STATS format map").field("stores"), 4, "an option where there may be one");
        assert_eq!(*c.words("LLMCACHE.STATS window 60").field("stores"), 4);
        assert_eq!(*c.words("LLMCACHE.STATS by model").field("").field("stores"), 4);
        for options in ["by model", "WINDOW 60", "format map", "BY tag WINDOW 5 FORMAT json"] {
            let none = c.words(&format!("COMMAND GETKEYS LLMCACHE.STATS {options}"));
            assert!(none.is_error() || none.items().is_empty(), "{options}: {none:?}");
        }
    });
}

#[test]
fn a_window_counts_what_happened_in_it_and_shows_what_is_there() {
    both(|c| {
        set(c, "old", "r", "COST 1 TOKENS 1 2 LATENCY 3").ok();
        get(c, "old", "");
        get(c, "absent", "");
        let before = stats(c, "WINDOW 3600");
        shows(
            &before,
            "stores 1 lookups 2 hits 1 misses 1 hit_rate 0.5 cost_saved_usd 1.000000 cost_spent_usd 1.000000",
        );
        // What happened in a second is in a window of one until the second after the next.
        pass(2001);
        let lines = ["LLMCACHE.SET faq new r COST 5", "LLMCACHE.GET faq new", "LLMCACHE.STATS faq WINDOW 1"];
        let told = at_one_moment(c, &[&lines[..], &["LLMCACHE.STATS faq", "LLMCACHE.STATS faq WINDOW 60"]].concat());
        let [.., second, ever, minute] = &told[..] else { panic!("{told:?}") };
        shows(second, "stores 1 lookups 1 hits 1 misses 0 hit_rate 1 cost_saved_usd 5.000000 latency_saved_ms 0");
        shows(ever, "stores 2 lookups 3 hits 2 misses 1 cost_saved_usd 6.000000 latency_saved_ms 3");
        assert_eq!(minute, ever, "all of it happened in the last minute");
        for name in ["entries", "bytes_raw", "bytes_stored", "memory_bytes", "memory_per_1k_entries", "set_us"] {
            assert_eq!(second.field(name), ever.field(name), "{name} is as now");
        }
        shows(second, "entries 2");
        pass(2001);
        let told = stats(c, "WINDOW 1");
        shows(&told, "entries 2 stores 0 lookups 0 hits 0 hit_rate 0 cost_saved_usd 0.000000 estimated_share 0");
        // Without a key, too.
        shows(&c.words("LLMCACHE.STATS window 1"), "entries 2 stores 0 lookups 0");
        shows(&c.words("LLMCACHE.STATS WINDOW 2678400"), "entries 2 stores 2 lookups 3");
    });
}

#[test]
fn windows_reach_back_over_minutes_hours_and_days() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq").ok();
        const DAY: u64 = 86_400;
        let past = Past::default()
            .hit(35 * DAY, "COST 1")
            .hit(30 * DAY, "COST 2")
            .hit(10 * DAY, "COST 4")
            .hit(36_000, "COST 8")
            .hit(5400, "COST 16")
            .hit(600, "COST 32")
            .hit(20, "COST 64");
        past.give(c);
        for (window, saved, lookups) in [
            ("WINDOW 1", 0, 0),
            ("WINDOW 10", 0, 0),
            ("WINDOW 120", 64, 1),
            ("WINDOW 1800", 96, 2),
            ("WINDOW 7200", 112, 3),
            ("WINDOW 86400", 120, 4),
            ("WINDOW 1000000", 124, 5),
            ("WINDOW 2678400", 126, 6),
            ("", 127, 7),
        ] {
            let told = stats(c, window);
            shows(&told, &format!("cost_saved_usd {saved}.000000 lookups {lookups} hits_exact {lookups} entries 0"));
        }
        // What is counted now comes on top.
        get(c, "absent", "");
        shows(&stats(c, "WINDOW 7200"), "lookups 4 hits 3 misses 1");
        shows(&stats(c, ""), "lookups 8");
    });
}

#[test]
fn projections_come_from_the_window_and_need_a_minute() {
    let server = Server::builder().module_args("memory-usd-per-gb-month 1000").start();
    let mut c = server.client3();
    c.words("LLMCACHE.CREATE faq").ok();
    let projected = ["saving_per_day_usd", "saving_per_month_usd", "saving_per_year_usd"];
    // A dollar in the last half hour, and three before.
    Past::default().hit(7200, "COST 3").hit(30, "COST 1").give(&mut c);
    let mut days_of = |options: &str, saved: f64, span: f64| {
        let told = stats(&mut c, options);
        for (name, days) in projected.into_iter().zip([1.0, 30.0, 365.0]) {
            let (found, wanted) = (told.field(name).number(), saved * days * 86_400.0 / span);
            assert!((found / wanted - 1.0).abs() < 0.05, "{options} {name}: {found}, not {wanted}");
        }
        let cost = told.field("memory_cost_per_month_usd").number();
        let roi = told.field("saving_per_month_usd").number() / cost;
        assert!((told.field("roi").number() / roi - 1.0).abs() < 0.001 && cost > 0.0, "{told:?}");
    };
    days_of("", 4.0, 7200.0);
    days_of("WINDOW 3600", 1.0, 3600.0);
    days_of("WINDOW 1200", 1.0, 1200.0);
    // What is older than all lookups is no time to project from.
    days_of("WINDOW 86400", 4.0, 7200.0);
    for window in ["WINDOW 59", "WINDOW 31", "WINDOW 1"] {
        let told = stats(&mut c, window);
        projected.iter().for_each(|name| assert_eq!(*told.field(name), "0.000000", "{window} {name}"));
        assert_eq!(told.field("roi").number(), 0.0, "{window}");
        assert!(told.field("memory_cost_per_month_usd").number() > 0.0, "memory costs what it costs");
    }
    shows(&stats(&mut c, "WINDOW 59"), "cost_saved_usd 1.000000");
}

#[test]
fn wrong_arguments_are_named_and_change_nothing() {
    both(|c| {
        store(c, "p", "r");
        get(c, "p", "");
        c.words("SET text t").ok();
        let before = state(c);
        let by = "BY must be one of model, scope, strategy, type, tag, got";
        let window = "WINDOW must be a whole number from 1 to 2678400, got";
        let format = "FORMAT must be one of map, json, prometheus, got";
        for (line, expected) in [
            ("STATS faq BY foo", format!("{by} 'foo'")),
            ("STATS BY foo", format!("{by} 'foo'")),
            ("STATS faq BY models", format!("{by} 'models'")),
            ("STATS faq BY MODEL BY scope", "BY may be given only once".into()),
            ("STATS BY model BY model", "BY may be given only once".into()),
            ("STATS faq WINDOW 60 WINDOW 60", "WINDOW may be given only once".into()),
            ("STATS faq FORMAT map FORMAT json", "FORMAT may be given only once".into()),
            ("STATS faq BY", "BY needs a value".into()),
            ("STATS faq WINDOW 60 FORMAT", "FORMAT needs a value".into()),
            ("STATS faq WINDOW", "WINDOW needs a value".into()),
            ("STATS faq WINDOW 0", format!("{window} '0'")),
            ("STATS WINDOW -1", format!("{window} '-1'")),
            ("STATS faq WINDOW x", format!("{window} 'x'")),
            ("STATS faq WINDOW 1.5", format!("{window} '1.5'")),
            ("STATS faq WINDOW 2678401", format!("{window} '2678401'")),
            ("STATS WINDOW 99999999999999999999", format!("{window} '99999999999999999999'")),
            ("STATS faq FORMAT xml", format!("{format} 'xml'")),
            ("STATS FORMAT prom", format!("{format} 'prom'")),
            ("STATS faq BYE model", "unknown option 'BYE' at argument 2, did you mean BY?".into()),
            ("STATS faq WINDOWS 60", "unknown option 'WINDOWS' at argument 2, did you mean WINDOW?".into()),
            ("STATS faq BY model hello", "unknown option 'hello' at argument 4".into()),
            ("STATS faq faq", "unknown option 'faq' at argument 2".into()),
            ("STATS BY model WINDOW", "unknown option 'model' at argument 2".into()),
            ("RESETSTATS faq faq", "unknown option 'faq' at argument 2".into()),
            ("RESETSTATS a b c", "unknown option 'b' at argument 2".into()),
            ("RESETSTATS BY model", "unknown option 'model' at argument 2".into()),
        ] {
            assert_eq!(c.words(&format!("LLMCACHE.{line}")).error(), format!("ERR {expected}"), "{line}");
        }
        let wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value";
        for line in ["STATS text", "STATS text BY model", "STATS text WINDOW 5 FORMAT json", "RESETSTATS text"] {
            assert_eq!(c.words(&format!("LLMCACHE.{line}")).error(), wrong_type, "{line}");
        }
        assert_eq!(state(c), before);
        assert_eq!((c.words("GET text"), c.words("DBSIZE")), (Reply::Bulk(b"t".to_vec()), Reply::Int(2)));
    });
}

#[test]
fn figures_of_all_caches_are_the_sums_of_each() {
    both(|c| {
        for (db, key) in [(0, "faq"), (0, "other"), (7, "faq")] {
            cmd!(c, "SELECT", db).ok();
            cmd!(c, "LLMCACHE.SET", key, "p", "r", "COST", 0.5, "MODEL", key, "PERSIST").ok();
            cmd!(c, "LLMCACHE.GET", key, "p", "MODEL", key);
            cmd!(c, "LLMCACHE.GET", key, "q");
        }
        c.words("SELECT 0").ok();
        let lines = ["LLMCACHE.STATS faq", "LLMCACHE.STATS other", "SELECT 7", "LLMCACHE.STATS faq", "LLMCACHE.STATS"];
        let told = at_one_moment(c, &lines);
        for name in SUMS.split_whitespace() {
            let sum: i64 = [0, 1, 3].map(|i| whole(&told[i], name)).iter().sum();
            assert_eq!(whole(&told[4], name), sum, "{name}");
        }
        shows(&told[4], "entries 3 lookups 6 hits 3 misses 3 hit_rate 0.5 cost_saved_usd 1.500000");
        // And of a name that several have.
        let names = c.words("LLMCACHE.STATS BY model");
        shows(names.field("faq"), "entries 2 lookups 2 hits 2 cost_saved_usd 1.000000");
        shows(names.field(""), "entries 0 lookups 3 misses 3");
        c.words("SELECT 0").ok();
    });
}
