//! STATS: figures that add up.

use crate::harness::{cmd, Client, Reply, Server};
use crate::support::{both, get, pass, set, store};

/// The fields of the contract in its order.
const FIELDS: &str =
    "entries lookups hits hits_exact hits_similar hits_stale misses miss_absent miss_expired miss_threshold \
    miss_guard hit_rate coalesced stores skips evictions expirations invalidations feedback_good feedback_bad \
    tokens_saved_in tokens_saved_out tokens_saved cost_saved_usd cost_spent_usd estimated_share latency_saved_ms \
    saving_per_day_usd saving_per_month_usd saving_per_year_usd memory_cost_per_month_usd roi bytes_raw bytes_stored \
    compression_saved memory_bytes memory_per_1k_entries get_exact_us get_similar_us set_us fetch_us alerts";

fn stats(c: &mut Client) -> Reply {
    c.words("LLMCACHE.STATS faq")
}

#[test]
fn stats_has_the_fields_of_the_contract_in_their_order() {
    both(|c| {
        store(c, "p", "r");
        let told = stats(c).names();
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
        let told = stats(c);
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
    let told = stats(&mut c);
    for name in ["saving_per_day_usd", "saving_per_month_usd", "saving_per_year_usd"] {
        assert_eq!(*told.field(name), "0.000000", "{name} before a minute has gone by");
    }
    assert_eq!(told.field("roi").number(), 0.0);
    let expected = told.field("memory_bytes").int() as f64 * 1e6 / f64::from(1 << 30);
    let cost = told.field("memory_cost_per_month_usd").number();
    assert!((cost - expected).abs() < 0.000_002, "{cost}, not {expected}");
    c.words("CONFIG SET llmcache.memory-usd-per-gb-month 0").ok();
    assert_eq!(*stats(&mut c).field("memory_cost_per_month_usd"), "0.000000");
}

#[test]
fn a_key_may_be_called_like_an_option() {
    both(|c| {
        for key in ["by", "window", "format", "FORMAT"] {
            cmd!(c, "LLMCACHE.SET", key, "p", "r").ok();
            assert_eq!(*cmd!(c, "LLMCACHE.STATS", key).field("stores"), 1, "{key}");
            assert_eq!(*cmd!(c, "LLMCACHE.STATS", key, "FORMAT", "map").field("stores"), 1, "{key}");
        }
        assert_eq!(*c.words("LLMCACHE.STATS").field("stores"), 4);
        assert_eq!(*c.words("LLMCACHE.STATS format map").field("stores"), 4, "an option where there may be one");
    });
}
