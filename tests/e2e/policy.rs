//! CREATE, ALTER and INFO: every option, every wrong value, and limits that hold at every step.

use crate::harness::{cmd, until, Client, Reply, Server, PATIENCE};
use crate::support::{both, entry, get, meta, prompts, set, stat, state, store, Dice};

const DEFAULTS: [(&str, &str); 9] = [
    ("mode", "exact"),
    ("strategy", "standard"),
    ("stale", "0"),
    ("jitter", "0"),
    ("maxentries", "0"),
    ("maxmemory", "0"),
    ("evict", "cost"),
    ("compress", "dict"),
    ("level", "3"),
];

#[track_caller]
fn shows(info: &Reply, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        let found = match info.field(name) {
            Reply::Int(n) => n.to_string(),
            other => other.text(),
        };
        assert_eq!(found, *value, "{name}");
    }
}

#[test]
fn a_cache_has_the_defaults_however_it_was_made() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq").ok();
        let created = c.words("LLMCACHE.INFO faq");
        shows(&created, &DEFAULTS);
        for (name, count) in [("price", 0), ("strategies", 5), ("rules", 0), ("warnings", 0)] {
            let found = match created.field(name) {
                Reply::Map(pairs) => pairs.len(),
                other => other.items().len(),
            };
            assert_eq!(found, count, "{name}");
        }
        assert_eq!(*created.field("entries"), 0);
        assert_eq!(*created.field("contexts"), 0);
        assert!(created.field("memory_bytes").int() > 0);
        cmd!(c, "LLMCACHE.SET", "other", "p", "r").ok();
        shows(&c.words("LLMCACHE.INFO other"), &DEFAULTS);
        c.words("LLMCACHE.STRATEGY third SET s TTL 1").ok();
        shows(&c.words("LLMCACHE.INFO third"), &DEFAULTS);
    });
}

#[test]
fn create_and_alter_take_every_option_and_info_shows_it() {
    both(|c| {
        let all =
            "MODE exact STRATEGY realtime STALE 60 JITTER 10 MAXENTRIES 100 MAXMEMORY 1000000 EVICT ttl COMPRESS none \
                   LEVEL 19 PRICE gpt 2.5 10 CACHED 1.25 PRICE mini 0.15 0.6";
        let expected = [
            ("mode", "exact"),
            ("strategy", "realtime"),
            ("stale", "60"),
            ("jitter", "10"),
            ("maxentries", "100"),
            ("maxmemory", "1000000"),
            ("evict", "ttl"),
            ("compress", "none"),
            ("level", "19"),
        ];
        c.words(&format!("LLMCACHE.CREATE faq {all}")).ok();
        shows(&c.words("LLMCACHE.INFO faq"), &expected);
        let price = c.words("LLMCACHE.INFO faq").field("price").clone();
        assert_eq!(price.names(), ["gpt", "mini"]);
        assert_eq!(price.field("gpt").texts(), ["2.500000", "10.000000", "1.250000"]);
        assert_eq!(price.field("mini").texts(), ["0.150000", "0.600000"]);
        // One option changes one thing.
        for (option, name, value) in [
            ("STALE 0", "stale", "0"),
            ("JITTER 100", "jitter", "100"),
            ("MAXENTRIES 0", "maxentries", "0"),
            ("MAXMEMORY 0", "maxmemory", "0"),
            ("EVICT LRU", "evict", "lru"),
            ("EVICT LFU", "evict", "lfu"),
            ("EVICT Cost", "evict", "cost"),
            ("COMPRESS Zstd", "compress", "zstd"),
            ("COMPRESS DICT", "compress", "dict"),
            ("LEVEL 1", "level", "1"),
            ("STRATEGY standard", "strategy", "standard"),
            ("MODE EXACT", "mode", "exact"),
        ] {
            let before = c.words("LLMCACHE.INFO faq");
            c.words(&format!("LLMCACHE.ALTER faq {option}")).ok();
            let after = c.words("LLMCACHE.INFO faq");
            shows(&after, &[(name, value)]);
            for ((field, old), (_, new)) in before.pairs().into_iter().zip(after.pairs()) {
                let may_change = *field == name || field.text().starts_with("memory");
                assert!(may_change || old == new, "{option} has changed {field:?}");
            }
        }
        c.words("LLMCACHE.ALTER faq PRICE mini 1 2 PRICE new 3 4 CACHED 0 STALE 0").ok();
        let price = c.words("LLMCACHE.INFO faq").field("price").clone();
        assert_eq!(price.names(), ["gpt", "mini", "new"]);
        assert_eq!(price.field("mini").texts(), ["1.000000", "2.000000"]);
        assert_eq!(price.field("new").texts(), ["3.000000", "4.000000", "0.000000"]);
        assert_eq!(price.field("gpt").texts(), ["2.500000", "10.000000", "1.250000"]);
        c.words("LLMCACHE.ALTER faq PRICE mini 1 2 CACHED 0.5 PRICE gpt 5 6").ok();
        let price = c.words("LLMCACHE.INFO faq").field("price").clone();
        assert_eq!(price.field("mini").texts(), ["1.000000", "2.000000", "0.500000"]);
        assert_eq!(price.field("gpt").texts(), ["5.000000", "6.000000"], "a price is changed as a whole");
        c.words("LLMCACHE.ALTER faq").ok();
    });
}

#[test]
fn create_wants_nothing_there_and_alter_something() {
    both(|c| {
        assert!(c.words("LLMCACHE.ALTER faq STALE 1").error().starts_with("ERR "));
        assert_eq!(c.words("EXISTS faq"), 0);
        store(c, "p", "r");
        let before = state(c);
        assert!(c.words("LLMCACHE.CREATE faq STALE 1").error().starts_with("ERR "));
        assert_eq!(state(c), before);
        c.words("LLMCACHE.ALTER faq STALE 1").ok();
        assert_eq!(get(c, "p", ""), "r");
    });
}

#[test]
fn a_wrong_option_is_named_and_nothing_changes() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq").ok();
        let before = state(c);
        let seconds = "a whole number of seconds, 0 or more, and not beyond the year 9999";
        let cached = "ERR CACHED must stand directly behind a PRICE, and only once for each";
        for (line, expected) in [
            ("CACHED 1", cached.into()),
            ("PRICE gpt 1 2 STALE 5 CACHED 1", cached.into()),
            ("PRICE gpt 1 2 CACHED 1 CACHED 1", cached.into()),
            ("PRICE gpt 1 2 CACHED", "ERR CACHED needs a value".into()),
            (
                "PRICE gpt 1 2 CACHED x",
                "ERR CACHED must be an amount of US dollars such as 0.0125, 0 or more, got 'x'".into(),
            ),
            ("STALE -1", format!("ERR STALE must be {seconds}, got '-1'")),
            ("STALE 300000000000", format!("ERR STALE must be {seconds}, got '300000000000'")),
            ("JITTER 101", "ERR JITTER must be a whole number from 0 to 100, got '101'".into()),
            ("JITTER 5%", "ERR JITTER must be a whole number from 0 to 100, got '5%'".into()),
            ("MAXENTRIES -1", "ERR MAXENTRIES must be a whole number from 0 to 4294967295, got '-1'".into()),
            ("MAXMEMORY 1gb", "ERR MAXMEMORY must be a whole number, 0 or more, got '1gb'".into()),
            ("LEVEL 0", "ERR LEVEL must be a whole number from 1 to 19, got '0'".into()),
            ("LEVEL 20", "ERR LEVEL must be a whole number from 1 to 19, got '20'".into()),
            ("EVICT random", "ERR EVICT must be one of cost, lfu, lru, ttl, got 'random'".into()),
            ("COMPRESS gzip", "ERR COMPRESS must be one of none, zstd, dict, got 'gzip'".into()),
            ("MODE fuzzy", "ERR MODE must be one of exact, similar, got 'fuzzy'".into()),
            ("PRICE gpt 1", "ERR PRICE needs a value".into()),
            ("PRICE gpt 1 -2", "ERR PRICE must be an amount of US dollars such as 0.0125, 0 or more, got '-2'".into()),
            ("PRICE gpt 1 2 PRICE gpt 3 4", "ERR PRICE may be given only once for each model".into()),
            ("STALE 1 STALE 1", "ERR STALE may be given only once".into()),
            ("STALE 1 EVICTS lru", "ERR unknown option 'EVICTS' at argument 4, did you mean EVICT?".into()),
            ("STALE 1 STRATEGY", "ERR STRATEGY needs a value".into()),
        ] {
            assert_eq!(c.words(&format!("LLMCACHE.ALTER faq {line}")).error(), expected);
            assert_eq!(c.words(&format!("LLMCACHE.CREATE other {line}")).error(), expected);
        }
        let unknown = c.words("LLMCACHE.ALTER faq STALE 1 STRATEGY unknown").error().to_owned();
        assert!(unknown.starts_with("ERR STRATEGY must be ") && unknown.contains("'unknown'"), "{unknown}");
        assert!(c.words("LLMCACHE.CREATE other STRATEGY unknown").is_error());
        assert_eq!(state(c), before);
        assert_eq!(c.words("DBSIZE"), 1);
    });
}

/// Plays with a cache by chance, and looks at its limits after every step.
fn play(c: &mut Client, dice: &mut Dice, policy: &str, check: impl Fn(&mut Client)) {
    c.words(&format!("LLMCACHE.CREATE faq {policy}")).ok();
    for _ in 0..400 {
        let prompt = format!("prompt {}", dice.below(300));
        let options = ["PERSIST", "EX 1000", "PX 5", "PX 1 STALE 5", ""][dice.below(5) as usize];
        let labels =
            ["", "TAGS 2 a b", "TYPE t MODEL m META {\"a\":1}", "SCOPE s SYSTEM some-system"][dice.below(4) as usize];
        match dice.below(10) {
            0 => {
                let ids: Vec<_> = c.words(&format!("LLMCACHE.SCAN faq {}", dice.below(100))).at(1).items().to_vec();
                if let Some(pair) = ids.first() {
                    let command = ["LLMCACHE.DEL", "LLMCACHE.ENTRY", "LLMCACHE.TTL"][dice.below(3) as usize];
                    cmd!(c, command, "faq", pair.at(0).text());
                }
            }
            1 => {
                get(c, &prompt, "");
            }
            _ => {
                let length = 1 << dice.below(12);
                let response = if dice.below(2) == 0 { dice.text(length) } else { "word ".repeat(length / 4) };
                assert!(!set(c, &prompt, &response, &format!("{options} {labels}")).is_error());
            }
        }
        check(c);
    }
    assert!(stat(c, "evictions") > 0, "the limit was never met");
}

#[test]
fn maxentries_holds_at_every_step() {
    let server = Server::start();
    let mut dice = Dice::new("maxentries");
    for evict in ["cost", "lfu", "lru", "ttl"] {
        let mut c = server.client3();
        play(&mut c, &mut dice, &format!("MAXENTRIES 37 EVICT {evict}"), |c| {
            let entries = c.words("LLMCACHE.INFO faq").field("entries").int();
            assert!(entries <= 37, "{entries} entries");
        });
        for limit in [20, 1] {
            c.words(&format!("LLMCACHE.ALTER faq MAXENTRIES {limit}")).ok();
            let entries = c.words("LLMCACHE.INFO faq").field("entries").int();
            assert!(entries <= limit && entries > 0, "{entries} entries, {limit} allowed");
        }
        c.words("FLUSHALL").ok();
    }
}

#[test]
fn maxmemory_holds_at_every_step_and_memory_usage_agrees() {
    let server = Server::start();
    let mut dice = Dice::new("maxmemory");
    for evict in ["cost", "lfu", "lru", "ttl"] {
        let mut c = server.client3();
        play(&mut c, &mut dice, &format!("MAXMEMORY 60000 EVICT {evict}"), |c| {
            // At once, since answers are compressed meanwhile.
            c.words("MULTI").ok();
            for line in ["LLMCACHE.INFO faq", "LLMCACHE.STATS faq", "MEMORY USAGE faq"] {
                c.words(line);
            }
            let told = c.words("EXEC");
            let (bytes, usage) = (told.at(0).field("memory_bytes").int(), told.at(2).int());
            assert!(bytes <= 60_000, "{bytes} bytes");
            assert!((usage - bytes).abs() * 20 <= bytes.max(4000), "MEMORY USAGE {usage}, memory_bytes {bytes}");
            assert_eq!(*told.at(1).field("memory_bytes"), bytes);
        });
        c.words("LLMCACHE.ALTER faq MAXMEMORY 20000").ok();
        assert!(c.words("LLMCACHE.INFO faq").field("memory_bytes").int() <= 20_000);
        c.words("FLUSHALL").ok();
    }
}

#[test]
fn evict_lru_takes_what_was_not_asked_for_the_longest_time() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MAXENTRIES 3 EVICT lru").ok();
        for prompt in ["a", "b", "c"] {
            store(c, prompt, "r");
        }
        get(c, "a", "");
        store(c, "d", "r");
        assert_eq!(prompts(c, ""), ["a", "c", "d"]);
        store(c, "c", "again");
        store(c, "e", "r");
        assert_eq!(prompts(c, ""), ["c", "d", "e"], "a store is a use as well");
        assert_eq!([stat(c, "evictions"), stat(c, "expirations")], [2, 0]);
    });
}

#[test]
fn evict_ttl_takes_what_would_go_soonest() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MAXENTRIES 3 EVICT ttl").ok();
        for (prompt, option) in [("never", "PERSIST"), ("late", "EX 1000"), ("soon", "EX 10")] {
            set(c, prompt, "r", option).ok();
        }
        get(c, "soon", "");
        set(c, "d", "r", "EX 500").ok();
        assert_eq!(prompts(c, ""), ["d", "late", "never"]);
        set(c, "e", "r", "EX 5").ok();
        assert_eq!(prompts(c, ""), ["e", "late", "never"], "what was just stored stays");
        set(c, "f", "r", "PERSIST").ok();
        set(c, "g", "r", "PERSIST").ok();
        assert_eq!(prompts(c, ""), ["f", "g", "never"]);
        set(c, "h", "r", "PERSIST").ok();
        assert_eq!(prompts(c, ""), ["f", "g", "h"], "without any TTL the least used goes");
    });
}

#[test]
fn evict_lfu_takes_what_is_asked_least() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MAXENTRIES 3 EVICT lfu").ok();
        for (prompt, times) in [("often", 6), ("twice", 2), ("never", 0)] {
            store(c, prompt, "r");
            (0..times).for_each(|_| drop(get(c, prompt, "")));
        }
        store(c, "d", "r");
        assert_eq!(prompts(c, ""), ["d", "often", "twice"]);
        store(c, "e", "r");
        assert_eq!(
            prompts(c, ""),
            ["e", "often", "twice"],
            "one question after the other does not push out what is asked"
        );
        c.words("LLMCACHE.ALTER faq EVICT lru").ok();
        get(c, "twice", "");
        store(c, "f", "r");
        assert_eq!(prompts(c, ""), ["e", "f", "twice"], "the policy holds for what is there already");
    });
}

#[test]
fn evict_cost_takes_what_saves_least_for_its_bytes() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MAXENTRIES 3").ok();
        let long = "long ".repeat(2000);
        for (prompt, response, cost) in
            [("dear", "r", "0.5"), ("cheap", "r", "0.0001"), ("dear but large", &*long, "0.01")]
        {
            set(c, prompt, response, &format!("PERSIST COST {cost}")).ok();
        }
        set(c, "d", "r", "PERSIST COST 0.9").ok();
        assert_eq!(prompts(c, ""), ["d", "dear", "dear but large"]);
        set(c, "e", "r", "PERSIST COST 0.9").ok();
        assert_eq!(prompts(c, ""), ["d", "dear", "e"]);
        for _ in 0..20 {
            get(c, "dear", "");
        }
        set(c, "f", "r", "PERSIST COST 0.9").ok();
        assert_eq!(prompts(c, ""), ["dear", "e", "f"], "what saves again and again is worth more");
    });
}

#[test]
fn what_is_dead_goes_before_what_is_alive() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MAXENTRIES 2").ok();
        store(c, "a", "r");
        set(c, "dead", "r", "PX 1").ok();
        crate::support::pass(3);
        store(c, "b", "r");
        assert_eq!(prompts(c, ""), ["a", "b"]);
        assert_eq!([stat(c, "evictions"), stat(c, "expirations")], [0, 1]);
    });
}

#[test]
fn compress_says_how_answers_are_kept() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq COMPRESS none").ok();
        let text = "It was the best of times, it was the worst of times. ".repeat(40);
        store(c, "raw", &text);
        assert_eq!(entry(c, "raw").field("stored").int(), text.len() as i64);
        c.words("LLMCACHE.ALTER faq COMPRESS zstd LEVEL 19").ok();
        store(c, "packed", &text);
        store(c, "tiny", "yes");
        until("the answer is compressed", PATIENCE, || {
            entry(c, "packed").field("stored").int() < text.len() as i64 / 4
        });
        assert!(entry(c, "tiny").field("stored").int() <= 3, "what does not get smaller stays as it is");
        for prompt in ["raw", "packed"] {
            assert_eq!(*entry(c, prompt).field("size"), text.len() as i64);
            assert_eq!(get(c, prompt, ""), text.as_str());
            assert_eq!(*meta(c, prompt, "").field("response"), text.as_str());
        }
        let stats = c.words("LLMCACHE.STATS faq");
        let (raw, stored) = (stats.field("bytes_raw").int(), stats.field("bytes_stored").int());
        assert_eq!(raw, 2 * text.len() as i64 + 3);
        let saved = stats.field("compression_saved").number();
        assert!((saved - (1.0 - stored as f64 / raw as f64)).abs() < 0.001 && saved > 0.3, "{saved}");
    });
}
