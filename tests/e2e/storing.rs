//! SET, TTL and EXPIRE: what is stored, for how long, at what cost, and when nothing is.

use crate::harness::{cmd, Client};
use crate::support::{both, entry, get, id_of, meta, now_ms, pass, set, stat, state, store};

fn ttl(c: &mut Client, prompt: &str) -> i64 {
    let id = id_of(c, prompt);
    cmd!(c, "LLMCACHE.TTL", "faq", id).int()
}

#[track_caller]
fn assert_ttl(c: &mut Client, prompt: &str, seconds: i64) {
    let left = ttl(c, prompt);
    assert!((seconds - 2..=seconds).contains(&left), "{left} s left instead of {seconds}");
}

#[test]
fn nx_stores_only_where_no_fresh_answer_is() {
    both(|c| {
        set(c, "p", "1", "NX").ok();
        assert!(set(c, "p", "2", "NX").is_null());
        assert_eq!(get(c, "p", ""), "1");
        set(c, "p", "2", "NX SCOPE other").ok();
        set(c, "s", "1", "PX 10 STALE 60").ok();
        pass(15);
        set(c, "s", "2", "NX").ok();
        assert_eq!(get(c, "s", ""), "2", "a stale answer counts as absent");
        assert_eq!([stat(c, "stores"), stat(c, "skips")], [4, 1]);
    });
}

#[test]
fn xx_stores_only_where_an_answer_is() {
    both(|c| {
        assert!(set(c, "p", "1", "XX").is_null());
        assert!(get(c, "p", "").is_null());
        set(c, "p", "1", "").ok();
        set(c, "p", "2", "XX").ok();
        assert_eq!(get(c, "p", ""), "2");
        set(c, "s", "1", "PX 10 STALE 60").ok();
        set(c, "gone", "1", "PX 10").ok();
        pass(15);
        set(c, "s", "2", "XX").ok();
        assert_eq!(get(c, "s", ""), "2", "a stale answer counts as present");
        assert!(set(c, "gone", "2", "XX").is_null());
        assert_eq!(stat(c, "skips"), 1, "the first one had no cache to be counted in");
    });
}

#[test]
fn every_way_to_say_when_an_answer_expires() {
    both(|c| {
        let in_100_s = now_ms() + 100_000;
        for option in ["EX 100", "PX 100000", &format!("EXAT {}", in_100_s / 1000), &format!("PXAT {in_100_s}")] {
            set(c, "p", "r", option).ok();
            assert_ttl(c, "p", 100);
            let told = meta(c, "p", "");
            assert_eq!(*told.field("strategy"), "explicit", "{option}");
            assert!((98..=100).contains(&told.field("ttl").int()), "{option}");
            assert!(entry(c, "p").field("rule").is_null(), "{option}");
        }
        set(c, "p", "r2", "KEEPTTL").ok();
        assert_ttl(c, "p", 100);
        assert_eq!(*meta(c, "p", "").field("strategy"), "explicit");
        assert_eq!(get(c, "p", ""), "r2");
        set(c, "p", "r", "PERSIST").ok();
        assert_eq!(ttl(c, "p"), -1);
        set(c, "p", "r", "KEEPTTL").ok();
        assert_eq!(ttl(c, "p"), -1);
        set(c, "fresh", "r", "KEEPTTL").ok();
        assert_eq!(ttl(c, "fresh"), -1, "there was no TTL to keep");
        assert_eq!(*meta(c, "fresh", "").field("strategy"), "explicit");
        set(c, "p", "r", "").ok();
        assert_ttl(c, "p", 21_600);
        assert_eq!(*meta(c, "p", "").field("strategy"), "standard");
        set(c, "p", "r", "STRATEGY realtime").ok();
        assert_ttl(c, "p", 900);
    });
}

#[test]
fn an_expiry_in_the_past_removes_what_is_there_and_answers_null() {
    both(|c| {
        for option in ["EXAT 1", "PXAT 1", &format!("EXAT {}", now_ms() / 1000 - 10), &format!("PXAT {}", now_ms() - 1)]
        {
            store(c, "p", "r");
            assert!(set(c, "p", "new", option).is_null(), "{option}");
            assert!(get(c, "p", "STALEOK").is_null(), "{option}");
            assert!(set(c, "nothing there", "r", option).is_null(), "{option}");
        }
        assert_eq!(*c.words("LLMCACHE.INFO faq").field("entries"), 0);
    });
}

#[test]
fn an_expiry_that_cannot_be_is_an_error() {
    both(|c| {
        store(c, "p", "r");
        let before = state(c);
        let beyond = 253_402_300_800_i64;
        let seconds = "a whole number of seconds, 1 or more, and not beyond the year 9999";
        let ms = "a whole number of milliseconds, 1 or more, and not beyond the year 9999";
        let at = "a Unix time in seconds, 1 or more, and not beyond the year 9999";
        let at_ms = "a Unix time in milliseconds, 1 or more, and not beyond the year 9999";
        let stale = "a whole number of seconds, 0 or more, and not beyond the year 9999";
        let max = i64::MAX.to_string();
        let (beyond_s, beyond_ms) = (beyond.to_string(), (beyond * 1000).to_string());
        for (name, must, values) in [
            ("EX", seconds, vec!["0", "-1", "1.5", "x", "", "+5", &beyond_s, &max, "9223372036854775808"]),
            ("PX", ms, vec!["0", "-1", "1.5", &beyond_ms, &max]),
            ("EXAT", at, vec!["0", "-1", "1e3", &beyond_s, &max]),
            ("PXAT", at_ms, vec!["0", "-1", &beyond_ms, &max]),
            ("STALE", stale, vec!["-1", "x", &beyond_s, &max]),
        ] {
            for value in values {
                let reply = cmd!(c, "LLMCACHE.SET", "faq", "p", "new", name, value);
                assert_eq!(reply.error(), format!("ERR {name} must be {must}, got '{value}'"));
            }
        }
        assert_eq!(state(c), before);
        set(c, "p", "last second", &format!("EXAT {}", beyond - 1)).ok();
        assert!(ttl(c, "p") > 200_000_000_000);
    });
}

#[test]
fn stale_keeps_an_answer_that_long_beyond_its_time() {
    both(|c| {
        set(c, "p", "r", "PX 10 STALE 100").ok();
        set(c, "q", "r", "PX 10 STALE 0").ok();
        set(c, "kept", "r", "PX 10 STALE 100").ok();
        pass(15);
        assert_eq!(get(c, "p", "STALEOK"), "r");
        assert!(get(c, "q", "STALEOK").is_null());
        assert_eq!(ttl(c, "p"), 0);
        set(c, "kept", "r2", "KEEPTTL").ok();
        assert_eq!(ttl(c, "kept"), -1, "a stale entry has no time left to keep");
        cmd!(c, "LLMCACHE.ALTER", "faq", "STALE", 100).ok();
        set(c, "by the cache", "r", "PX 10").ok();
        pass(15);
        assert_eq!(get(c, "by the cache", "STALEOK"), "r");
    });
}

#[test]
fn an_overwritten_entry_keeps_its_id_and_starts_anew() {
    both(|c| {
        set(c, "p", "1", "TYPE a TAGS 1 x TOKENS 1 2 COST 1 LATENCY 5 META 1").ok();
        let id = id_of(c, "p");
        get(c, "p", "");
        set(c, "p", "22", "").ok();
        let told = entry(c, "p");
        assert_eq!(told.field("id").text(), id);
        assert_eq!(*told.field("response"), "22");
        assert_eq!(*told.field("hits"), 0);
        for name in ["type", "meta"] {
            assert!(told.field(name).is_null(), "{name}");
        }
        assert!(told.field("tags").items().is_empty());
        assert_eq!(*told.field("cost_usd"), "0.000000");
        assert_eq!(*c.words("LLMCACHE.INFO faq").field("entries"), 1);
    });
}

#[test]
fn entry_shows_all_there_is_to_know() {
    both(|c| {
        let before = now_ms();
        let options =
            "MODEL m SYSTEM s SCOPE t PARAMS {\"b\":1,\"a\":2} EX 100 TYPE howto TAGS 3 x y x TOKENS 10 20 COST 0.5 \
                       LATENCY 7 META {\"k\":[1]}";
        set(c, "p", "some response", options).ok();
        let id = get(c, "p", "MODEL m SYSTEM s SCOPE t PARAMS {\"a\":2,\"b\":1} WITHMETA").field("id").text();
        let told = cmd!(c, "LLMCACHE.ENTRY", "faq", id);
        let mut names = told.names();
        names.sort();
        let mut expected: Vec<_> = "id etag prompt model strategy type tags age ttl stale hits tokens_in tokens_out \
            cost_saved_usd latency_saved_ms system params scope rule meta created cost_usd estimated size stored"
            .split_whitespace()
            .collect();
        expected.sort_unstable();
        assert_eq!(names, expected, "no response unless it is asked for");
        for (name, text) in [
            ("model", "m"),
            ("system", "s"),
            ("scope", "t"),
            ("params", r#"{"a":2,"b":1}"#),
            ("prompt", "p"),
            ("type", "howto"),
            ("meta", r#"{"k":[1]}"#),
            ("cost_usd", "0.500000"),
            ("cost_saved_usd", "0.500000"),
            ("strategy", "explicit"),
        ] {
            assert_eq!(*told.field(name), text, "{name}");
        }
        assert_eq!(told.field("tags").texts(), ["x", "y"]);
        for (name, number) in
            [("tokens_in", 10), ("tokens_out", 20), ("latency_saved_ms", 7), ("size", 13), ("hits", 1)]
        {
            assert_eq!(*told.field(name), number, "{name}");
        }
        assert!(told.field("stored").int() > 0);
        assert!(!told.field("estimated").truth());
        let created = told.field("created").int() as u64;
        let now = now_ms();
        assert!((before / 1000..=now / 1000).contains(&created) || (before..=now).contains(&created), "{created}");
        let with = cmd!(c, "LLMCACHE.ENTRY", "faq", id, "withresponse");
        assert_eq!(*with.field("response"), "some response");
        assert_eq!(cmd!(c, "LLMCACHE.ENTRY", "faq", id.to_ascii_uppercase()), told);
    });
}

#[test]
fn a_cost_is_kept_in_whole_micro_dollars_with_halves_up() {
    both(|c| {
        for (cost, kept) in [
            ("0", "0.000000"),
            ("1", "1.000000"),
            ("0.0000005", "0.000001"),
            ("0.00000049", "0.000000"),
            ("1e-05", "0.000010"),
            (".5", "0.500000"),
            ("12.3456785", "12.345679"),
            ("18446744073709.551615", "18446744073709.551615"),
        ] {
            set(c, "p", "r", &format!("COST {cost}")).ok();
            assert_eq!(*entry(c, "p").field("cost_usd"), kept, "{cost}");
        }
        for cost in ["-1", "+1", "1,5", "$1", "nan", "inf", "", "1e", "18446744073709.551616"] {
            let expected = format!("ERR COST must be an amount of US dollars such as 0.0125, 0 or more, got '{cost}'");
            assert_eq!(cmd!(c, "LLMCACHE.SET", "faq", "p", "r", "COST", cost).error(), expected);
        }
    });
}

#[test]
fn without_a_cost_tokens_times_the_price_of_the_model_count() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq PRICE gpt 2.5 10 PRICE mini 0.15 0.6").ok();
        for (model, options, cost) in [
            ("gpt", "TOKENS 1000 200", "0.004500"),
            ("mini", "TOKENS 1 1", "0.000001"),
            ("mini", "TOKENS 1 0", "0.000000"),
            ("gpt", "TOKENS 1000 200 COST 7", "7.000000"),
            ("unknown", "TOKENS 1000 200", "0.000000"),
            ("", "TOKENS 1000 200", "0.000000"),
        ] {
            let context = if model.is_empty() { String::new() } else { format!("MODEL {model}") };
            set(c, "p", "r", &format!("{context} {options}")).ok();
            let id = meta(c, "p", &context).field("id").text();
            let told = cmd!(c, "LLMCACHE.ENTRY", "faq", id);
            assert_eq!(*told.field("cost_usd"), cost, "{context} {options}");
            assert!(!told.field("estimated").truth(), "{context} {options}");
        }
        c.words("LLMCACHE.ALTER faq PRICE gpt 1 1").ok();
        set(c, "q", "r", "MODEL gpt TOKENS 1000000 1000000").ok();
        let id = meta(c, "q", "MODEL gpt").field("id").text();
        assert_eq!(*cmd!(c, "LLMCACHE.ENTRY", "faq", id).field("cost_usd"), "2.000000");
    });
}

#[test]
fn without_tokens_an_estimate_counts_and_says_so() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq PRICE gpt 1000000 1000000").ok();
        set(c, "a prompt of some length", &"words ".repeat(100), "MODEL gpt").ok();
        let told = get(c, "a prompt of some length", "MODEL gpt WITHMETA");
        let entry = cmd!(c, "LLMCACHE.ENTRY", "faq", told.field("id").text());
        assert!(entry.field("estimated").truth());
        let (tokens_in, tokens_out) = (told.field("tokens_in").int(), told.field("tokens_out").int());
        assert!((4..=12).contains(&tokens_in) && (100..=200).contains(&tokens_out), "{told:?}");
        assert_eq!(told.field("cost_saved_usd").number(), (tokens_in + tokens_out) as f64);
        let stats = c.words("LLMCACHE.STATS faq");
        assert_eq!(stats.field("estimated_share").number(), 1.0);
        assert_eq!(stats.field("tokens_saved").int(), tokens_in + tokens_out);
        set(c, "told", "r", &format!("TOKENS {tokens_in} {tokens_out}")).ok();
        get(c, "told", "");
        assert_eq!(c.words("LLMCACHE.STATS faq").field("estimated_share").number(), 0.5);
    });
}

#[test]
fn labels_are_checked() {
    both(|c| {
        let long = "x".repeat(257);
        let (fits, name) = ("y".repeat(256), "z".repeat(1024));
        cmd!(c, "LLMCACHE.SET", "faq", "p", "r", "TYPE", fits, "TAGS", 2, fits, "t", "MODEL", name, "SCOPE", name).ok();
        let before = state(c);
        for (args, expected) in [
            (vec!["TYPE", &long], "ERR TYPE has 257 bytes, 256 are allowed"),
            (vec!["TYPE", ""], "ERR TYPE may not be empty"),
            (vec!["TAGS", "1", &long], "ERR TAGS has 257 bytes, 256 are allowed"),
            (vec!["TAGS", "1", ""], "ERR TAGS may not be empty"),
            (vec!["TAGS", "0"], "ERR TAGS must be a whole number from 1 to 64, got '0'"),
            (vec!["TAGS", "65"], "ERR TAGS must be a whole number from 1 to 64, got '65'"),
            (vec!["TAGS", "3", "a", "b"], "ERR TAGS needs 3 tags after their number, got 2"),
            (vec!["META", "{"], "ERR META must be JSON: EOF while parsing an object at line 1 column 1"),
            (vec!["LATENCY", "-1"], "ERR LATENCY must be a whole number from 0 to 4294967295, got '-1'"),
            (vec!["TOKENS", "1", "x"], "ERR TOKENS must be a whole number, 0 or more, got 'x'"),
        ] {
            let mut words = vec!["LLMCACHE.SET", "faq", "p", "new"];
            words.extend(&args);
            assert_eq!(c.cmd(&words).error(), expected);
        }
        assert_eq!(state(c), before);
    });
}

#[test]
fn nocache_and_an_answer_larger_than_the_cache_store_nothing() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MAXMEMORY 20000").ok();
        store(c, "p", "r");
        assert!(set(c, "p", "new", "STRATEGY nocache").is_null());
        assert_eq!(get(c, "p", ""), "r");
        set(c, "q", "r", "STRATEGY NoCache EX 1").error();
        let big: String = crate::support::Dice::new("too large").text(100_000);
        assert!(set(c, "p", &big, "").is_null());
        assert_eq!(get(c, "p", ""), "r", "nothing had to go for it");
        assert_eq!([stat(c, "skips"), stat(c, "evictions"), stat(c, "stores")], [2, 0, 1]);
        // An explicit expiry goes before a rule that says nocache.
        c.words("LLMCACHE.RULE faq SET never STRATEGY nocache").ok();
        assert!(set(c, "x", "r", "").is_null());
        set(c, "x", "r", "EX 100").ok();
        assert_eq!(get(c, "x", ""), "r");
    });
}

#[test]
fn a_store_that_does_not_happen_makes_no_cache() {
    both(|c| {
        assert!(set(c, "p", "r", "XX").is_null());
        assert!(set(c, "p", "r", "EXAT 1").is_null());
        assert!(set(c, "p", "r", "STRATEGY nocache").is_null());
        set(c, "p", "r", "STRATEGY unknown").error();
        set(c, "p", "r", "EX 0").error();
        assert_eq!(c.words("EXISTS faq"), 0);
    });
}

#[test]
fn ttl_and_expire_mean_what_they_mean_for_keys() {
    both(|c| {
        let id = store(c, "p", "r");
        let of = |c: &mut Client| cmd!(c, "LLMCACHE.TTL", "faq", id).int();
        assert_eq!(of(c), -1);
        assert_eq!(cmd!(c, "LLMCACHE.EXPIRE", "faq", id, 100), 1);
        assert_ttl(c, "p", 100);
        assert_eq!(get(c, "p", ""), "r");
        for gone in [0, -1, -5_000_000] {
            store(c, "p", "r");
            assert_eq!(cmd!(c, "LLMCACHE.EXPIRE", "faq", id, gone), 1, "{gone}");
            assert_eq!(of(c), -2);
            assert!(get(c, "p", "STALEOK").is_null());
            assert_eq!(cmd!(c, "LLMCACHE.EXPIRE", "faq", id, 100), 0);
        }
        set(c, "p", "r", "PX 10 STALE 100").ok();
        pass(15);
        assert_eq!(of(c), 0, "stale");
        assert_eq!(cmd!(c, "LLMCACHE.EXPIRE", "faq", id, 100), 1);
        assert_eq!(get(c, "p", ""), "r", "and fresh again");
        store(c, "p", "r");
        for (word, expected) in [
            ("253402300800", "'253402300800'"),
            ("9223372036854775807", "'9223372036854775807'"),
            ("x", "'x'"),
            ("1.5", "'1.5'"),
        ] {
            let expected = format!(
                "ERR seconds must be a whole number of seconds that does not end beyond the year 9999, got {expected}"
            );
            assert_eq!(cmd!(c, "LLMCACHE.EXPIRE", "faq", id, word).error(), expected);
        }
        assert_eq!(of(c), -1);
    });
}
