//! GET and EXPLAIN: what a hit and a miss are on the wire, what every option does, and what a look leaves behind.

use crate::harness::{cmd, Reply, Server};
use crate::support::{
    both, entry, get, goes_between, id_of, meta, now_ms, pass, set, stat, state, store, Dice, COMMANDS, NO_ID,
};

const META: [&str; 18] = [
    "response",
    "id",
    "etag",
    "match",
    "similarity",
    "prompt",
    "model",
    "strategy",
    "type",
    "tags",
    "age",
    "ttl",
    "stale",
    "hits",
    "tokens_in",
    "tokens_out",
    "cost_saved_usd",
    "latency_saved_ms",
];

#[test]
fn a_hit_is_a_bulk_string_and_a_miss_is_null() {
    let server = Server::start();
    let (mut two, mut three) = (server.client(), server.client3());
    store(&mut two, "capital of France", "Paris");
    assert_eq!(two.raw(&["LLMCACHE.GET", "faq", "capital of France"]), b"$5\r\nParis\r\n");
    assert_eq!(three.raw(&["LLMCACHE.GET", "faq", "capital of France"]), b"$5\r\nParis\r\n");
    for (c, null) in [(&mut two, &b"$-1\r\n"[..]), (&mut three, b"_\r\n")] {
        assert_eq!(c.raw(&["LLMCACHE.GET", "faq", "capital of france"]), null, "prompts match by their bytes");
        assert_eq!(c.raw(&["LLMCACHE.GET", "faq", "capital of France "]), null);
        assert_eq!(c.raw(&["LLMCACHE.GET", "none", "capital of France"]), null);
        assert_eq!(c.raw(&["LLMCACHE.GET", "faq", "x", "WITHMETA"]), null);
    }
}

#[test]
fn every_byte_comes_back_as_it_went_in() {
    both(|c| {
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [&all[..], b"\0", b"\xff\xfe", b"a\r\n$5\r\nb", b"-ERR", b"+OK\r\n", "späť 🤝".as_bytes()] {
            let answer: Vec<u8> = bytes.iter().rev().copied().collect();
            cmd!(c, "LLMCACHE.SET", "faq", bytes, answer, "META", "{}").ok();
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", bytes).bytes(), answer);
            let told = cmd!(c, "LLMCACHE.GET", "faq", bytes, "WITHMETA");
            assert_eq!(told.field("prompt").bytes(), bytes);
            assert_eq!(told.field("response").bytes(), answer);
            let id = told.field("id").text();
            assert_eq!(cmd!(c, "LLMCACHE.ENTRY", "faq", id, "WITHRESPONSE").field("response").bytes(), answer);
        }
        // Context and labels are bytes as well.
        let odd = b"\xff\0\r\n";
        cmd!(
            c,
            "LLMCACHE.SET",
            "faq",
            "p",
            "r",
            "MODEL",
            odd,
            "SYSTEM",
            odd,
            "SCOPE",
            odd,
            "TYPE",
            odd,
            "TAGS",
            1,
            odd
        )
        .ok();
        let told = cmd!(c, "LLMCACHE.GET", "faq", "p", "MODEL", odd, "SYSTEM", odd, "SCOPE", odd, "WITHMETA");
        assert_eq!(told.field("model").bytes(), odd);
        assert_eq!(told.field("type").bytes(), odd);
        assert_eq!(told.field("tags").at(0).bytes(), odd);
    });
}

#[test]
fn an_empty_response_is_an_answer_and_no_miss() {
    both(|c| {
        store(c, "p", "");
        assert_eq!(c.raw(&["LLMCACHE.GET", "faq", "p"]), b"$0\r\n\r\n");
        assert_eq!(stat(c, "hits"), 1);
        assert_eq!(meta(c, "p", "").field("response").bytes(), b"");
    });
}

#[test]
fn a_response_of_20_megabytes_comes_back() {
    let server = Server::start();
    let mut c = server.client3();
    let mut dice = Dice::new("20 MB");
    let block = dice.bytes(1 << 20);
    let random: Vec<u8> = (0..20).flat_map(|i: u8| block.iter().map(move |b| b ^ i)).collect();
    let text = b"All work and no play makes Jack a dull boy.\r\n".repeat(450_000);
    for big in [random, text] {
        cmd!(c, "LLMCACHE.SET", "faq", "big", big).ok();
        assert!(cmd!(c, "LLMCACHE.GET", "faq", "big").bytes() == big, "not the bytes that went in");
        assert_eq!(entry(&mut c, "big").field("size").int(), big.len() as i64);
    }
}

#[test]
fn withmeta_tells_the_fields_of_the_contract_with_their_types() {
    both(|c| {
        let options = "MODEL gpt EX 100 STALE 50 TYPE howto TAGS 2 b a TOKENS 10 20 COST 0.5 LATENCY 1500";
        set(c, "p", "r", options).ok();
        get(c, "p", "MODEL gpt");
        let told = get(c, "p", "MODEL gpt WITHMETA");
        assert_eq!(told.names(), META);
        for (name, text) in
            [("response", "r"), ("match", "exact"), ("prompt", "p"), ("model", "gpt"), ("type", "howto")]
        {
            assert_eq!(*told.field(name), text, "{name}");
        }
        let id = told.field("id").text();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        let etag = told.field("etag").text();
        assert!(etag.len() == 16 && etag.bytes().all(|b| b.is_ascii_hexdigit()), "{etag}");
        assert_eq!(*told.field("strategy"), "explicit");
        assert_eq!(told.field("tags").texts(), ["b", "a"], "in the order they were given");
        assert_eq!(told.field("similarity").number(), 1.0);
        assert!(!told.field("stale").truth());
        assert_eq!(*told.field("age"), 0);
        assert!((99..=100).contains(&told.field("ttl").int()), "{told:?}");
        for (name, number) in [("hits", 2), ("tokens_in", 10), ("tokens_out", 20), ("latency_saved_ms", 3000)] {
            assert_eq!(*told.field(name), number, "{name}");
        }
        assert_eq!(*told.field("cost_saved_usd"), "1.000000");
    });
}

#[test]
fn maps_doubles_and_booleans_are_flat_in_resp2_and_real_in_resp3() {
    let server = Server::start();
    let (mut two, mut three) = (server.client(), server.client3());
    store(&mut two, "p", "r");
    let flat = meta(&mut two, "p", "");
    assert!(matches!(&flat, Reply::Array(items) if items.len() == 2 * META.len()), "{flat:?}");
    assert_eq!(*flat.field("stale"), 0);
    assert!(matches!(flat.field("similarity"), Reply::Bulk(_)), "{flat:?}");
    assert!(flat.field("type").is_null());
    let map = meta(&mut three, "p", "");
    assert!(matches!(&map, Reply::Map(pairs) if pairs.len() == META.len()), "{map:?}");
    assert_eq!(*map.field("stale"), Reply::Bool(false));
    assert_eq!(*map.field("similarity"), Reply::Double(1.0));
    assert!(map.field("type").is_null());
    for command in ["ENTRY faq ID", "INFO faq", "STATS faq", "STATS", "EXPLAIN faq p"] {
        let line = format!("LLMCACHE.{}", command.replace("ID", &id_of(&mut two, "p")));
        assert!(matches!(two.words(&line), Reply::Array(_)), "{line}");
        assert!(matches!(three.words(&line), Reply::Map(_)), "{line}");
        assert_eq!(two.words(&line).names(), three.words(&line).names(), "{line}");
    }
    assert!(matches!(three.words("LLMCACHE.STATS faq").field("hit_rate"), Reply::Double(_)));
}

#[test]
fn hits_counts_this_one_and_cost_saved_is_hits_times_cost() {
    both(|c| {
        set(c, "p", "r", "COST 0.25").ok();
        assert_eq!(*meta(c, "p", "").field("hits"), 0, "NOTOUCH is not counted");
        for hits in 1..=3 {
            let told = get(c, "p", "WITHMETA");
            assert_eq!(*told.field("hits"), hits);
            assert_eq!(told.field("cost_saved_usd").number(), 0.25 * hits as f64);
        }
        assert_eq!(*entry(c, "p").field("hits"), 3);
        assert_eq!(stat(c, "hits_exact"), 3);
        assert_eq!(*cmd!(c, "LLMCACHE.STATS", "faq").field("cost_saved_usd"), "0.750000");
    });
}

#[test]
fn an_etag_that_still_holds_answers_notmodified() {
    both(|c| {
        store(c, "p", "r");
        store(c, "same", "r");
        store(c, "other", "R");
        let etag = meta(c, "p", "").field("etag").text();
        assert_eq!(meta(c, "same", "").field("etag").text(), etag, "equal bytes have equal etags");
        let other = meta(c, "other", "").field("etag").text();
        assert_ne!(other, etag);
        let upper = etag.to_ascii_uppercase();
        for (etag, more) in [(&etag, None), (&etag, Some("WITHMETA")), (&upper, None)] {
            let mut words = vec!["LLMCACHE.GET", "faq", "p", "IFNONEMATCH", etag.as_str()];
            words.extend(more);
            assert_eq!(c.raw(&words), b"+NOTMODIFIED\r\n", "{words:?}");
        }
        assert_eq!(stat(c, "hits"), 3, "it is a hit");
        assert_eq!(*meta(c, "p", "").field("hits"), 3);
        assert_eq!(get(c, "p", &format!("IFNONEMATCH {other}")), "r");
        assert_eq!(*get(c, "p", &format!("IFNONEMATCH {other} WITHMETA")).field("response"), "r");
        store(c, "p", "new");
        assert_eq!(get(c, "p", &format!("IFNONEMATCH {etag}")), "new");
        assert!(get(c, "absent", &format!("IFNONEMATCH {etag}")).is_null());
        store(c, "p", "NOTMODIFIED");
        assert_eq!(c.raw(&["LLMCACHE.GET", "faq", "p"]), b"$11\r\nNOTMODIFIED\r\n");
    });
}

#[test]
fn maxage_serves_nothing_older() {
    both(|c| {
        store(c, "p", "r");
        pass(5);
        assert!(get(c, "p", "MAXAGE 0").is_null());
        assert_eq!(get(c, "p", "MAXAGE 60"), "r");
        assert_eq!(get(c, "p", ""), "r", "the entry is still there");
        let told = ["hits", "misses", "lookups"].map(|name| stat(c, name));
        assert_eq!(told, [2, 1, 3]);
    });
}

#[test]
fn a_stale_answer_serves_only_who_asks_for_it() {
    both(|c| {
        set(c, "p", "r", "EX 100 STALE 60").ok();
        assert_eq!(get(c, "p", "STALEOK"), "r", "fresh");
        assert!(!meta(c, "p", "STALEOK").field("stale").truth());
        set(c, "p", "r", "PX 20 STALE 60").ok();
        pass(25);
        assert!(get(c, "p", "").is_null());
        assert_eq!(get(c, "p", "STALEOK"), "r");
        let told = get(c, "p", "STALEOK WITHMETA");
        assert!(told.field("stale").truth());
        assert_eq!(*told.field("ttl"), 0);
        let told = ["hits_exact", "hits_stale", "hits", "miss_expired"].map(|name| stat(c, name));
        assert_eq!(told, [1, 2, 3, 1]);
        set(c, "q", "r", "PX 20").ok();
        pass(25);
        assert!(get(c, "q", "STALEOK").is_null(), "an answer without a stale time is gone");
    });
}

#[test]
fn an_answer_expires_on_the_millisecond() {
    both(|c| {
        for _ in 0..5 {
            let before = now_ms();
            set(c, "p", "r", "PX 50").ok();
            let stored = now_ms();
            goes_between(c, "p", before + 50, stored + 50);
        }
    });
}

#[test]
fn a_look_with_notouch_leaves_no_trace() {
    both(|c| {
        cmd!(c, "LLMCACHE.CREATE", "faq", "MAXENTRIES", 2).ok();
        for touch in [false, true] {
            store(c, "a", "1");
            store(c, "b", "2");
            let before = state(c);
            for options in ["NOTOUCH", "NOTOUCH WITHMETA", "NOTOUCH STALEOK EXACT"] {
                assert!(!get(c, "a", options).is_null());
            }
            assert!(get(c, "absent", "NOTOUCH").is_null());
            assert_eq!(state(c), before);
            if touch {
                get(c, "a", "");
                assert_ne!(state(c), before, "a look without it does leave one");
            }
            store(c, "c", "3");
            let (stays, goes) = if touch { ("a", "b") } else { ("b", "a") };
            assert!(!get(c, stays, "").is_null() && get(c, goes, "").is_null(), "touch: {touch}");
            c.words("LLMCACHE.INVALIDATE faq ALL");
        }
    });
}

#[test]
fn options_come_in_any_order_and_case() {
    both(|c| {
        let set = "MoDeL m sYsTeM s sCoPe t PaRaMs {} eX 100 tYpE x TaGs 1 y nX cOsT 1 ToKeNs 1 2 LaTeNcY 3 mEtA 4";
        let mut words = vec!["llmcache.set", "faq", "p", "r"];
        words.extend(set.split_whitespace());
        c.cmd(&words).ok();
        assert_eq!(get(c, "p", "scope t exact notouch system s staleok maxage 9 params {} model m"), "r");
        assert_eq!(*get(c, "p", "withmeta MODEL m SYSTEM s SCOPE t").field("response"), "r");
        // A token is a value where a value is due.
        cmd!(c, "LLMCACHE.SET", "faq", "EXACT", "NX", "MODEL", "MODEL", "SCOPE", "WITHMETA").ok();
        assert_eq!(get(c, "EXACT", "SCOPE WITHMETA MODEL MODEL"), "NX");
    });
}

#[test]
fn a_cache_that_is_not_there_answers_as_an_empty_one() {
    both(|c| {
        for line in ["GET faq p", "GET faq p WITHMETA", "GET faq p IFNONEMATCH 0123456789abcdef", "INFO faq"] {
            assert!(c.words(&format!("LLMCACHE.{line}")).is_null(), "{line}");
        }
        assert!(cmd!(c, "LLMCACHE.ENTRY", "faq", NO_ID).is_null());
        assert_eq!(cmd!(c, "LLMCACHE.TTL", "faq", NO_ID), -2);
        assert_eq!(cmd!(c, "LLMCACHE.DEL", "faq", NO_ID), 0);
        assert_eq!(cmd!(c, "LLMCACHE.EXPIRE", "faq", NO_ID, 10), 0);
        assert_eq!(c.words("LLMCACHE.INVALIDATE faq ALL"), 0);
        let page = c.words("LLMCACHE.SCAN faq 0");
        assert_eq!(page.at(0).text(), "0");
        assert!(page.at(1).items().is_empty());
        let explained = c.words("LLMCACHE.EXPLAIN faq p");
        assert_eq!(*explained.field("verdict"), "miss");
        assert_eq!(*explained.field("reason"), "absent");
        let stats = c.words("LLMCACHE.STATS faq");
        for (name, value) in
            stats.pairs().into_iter().filter(|(_, value)| !matches!(value, Reply::Array(_) | Reply::Map(_)))
        {
            assert_eq!(value.number(), 0.0, "{name:?}");
        }
        assert!(stats.names().len() > 30, "{:?}", stats.names());
        assert_eq!(c.words("DBSIZE"), 0, "and none has been made");
    });
}

#[test]
fn a_key_of_another_type_is_refused_by_every_command() {
    both(|c| {
        cmd!(c, "RPUSH", "list", "x");
        for line in COMMANDS {
            let reply = c.words(&line.replace("KEY", "list"));
            assert_eq!(reply.error(), "WRONGTYPE Operation against a key holding the wrong kind of value", "{line}");
        }
        assert_eq!(c.words("LRANGE list 0 -1").texts(), ["x"]);
        store(c, "p", "r");
        assert!(cmd!(c, "GET", "faq").error().starts_with("WRONGTYPE "));
    });
}
