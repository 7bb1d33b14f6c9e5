//! STRATEGY and RULE: how long an answer lives by name, by rule and by content, and who is told of it.

use crate::harness::{cmd, Client, Reply};
use crate::support::{both, entry, get, meta, pass, set, state};

/// The strategy and the rule that EXPLAIN shows.
fn choice(c: &mut Client, prompt: &str, options: &str) -> (String, String) {
    let mut words = vec!["LLMCACHE.EXPLAIN", "faq", prompt];
    words.extend(options.split_whitespace());
    let told = c.cmd(&words);
    (told.field("strategy").text(), told.field("rule").text())
}

fn ttl(c: &mut Client, prompt: &str, options: &str) -> i64 {
    meta(c, prompt, options).field("ttl").int()
}

fn listed(c: &mut Client, what: &str) -> Vec<Reply> {
    let list = c.words(&format!("LLMCACHE.{what} faq LIST"));
    let lists = if what == "RULE" { "rules" } else { "strategies" };
    if c.words("EXISTS faq") == 1 {
        assert_eq!(*c.words("LLMCACHE.INFO faq").field(lists), list, "INFO shows the same");
    }
    list.items().to_vec()
}

#[test]
fn the_built_in_strategies_have_the_ttls_of_the_contract() {
    both(|c| {
        let ttls = [("aggressive", 86_400), ("standard", 21_600), ("conservative", 5_400), ("realtime", 900)];
        for (name, seconds) in ttls {
            for name in [name.to_owned(), name.to_ascii_uppercase()] {
                set(c, "p", "r", &format!("STRATEGY {name}")).ok();
                assert!((seconds - 1..=seconds).contains(&ttl(c, "p", "")), "{name}");
                assert_eq!(*entry(c, "p").field("strategy"), name.to_ascii_lowercase().as_str());
                assert!(entry(c, "p").field("rule").is_null(), "nobody but the writer chose");
            }
        }
        assert!(set(c, "p", "r", "STRATEGY nocache").is_null());
        let list = listed(c, "STRATEGY");
        let names: Vec<_> = list.iter().map(|strategy| strategy.field("name").text()).collect();
        assert_eq!(names, ["aggressive", "standard", "conservative", "realtime", "nocache"]);
        for (strategy, (_, seconds)) in list.iter().zip(ttls) {
            assert_eq!(*strategy.field("ttl"), seconds);
            assert_eq!(*strategy.field("origin"), "builtin");
        }
        assert!(list[4].field("ttl").is_null());
    });
}

#[test]
fn content_decides_the_fixed_points_of_the_contract() {
    both(|c| {
        for (prompt, strategy) in [
            ("Explain how photosynthesis works", "aggressive"),
            ("What is a REST API?", "aggressive"),
            ("How do I reset my password?", "aggressive"),
            ("Analyze this listing and recommend a price strategy", "standard"),
            ("What are current mortgage rates?", "conservative"),
            ("AAPL stock price today", "conservative"),
            ("What is the weather right now?", "realtime"),
            ("What should I say next to this caller?", "realtime"),
            ("Generate a random password", "nocache"),
            ("Give me a new UUID", "nocache"),
        ] {
            let (chosen, rule) = choice(c, prompt, "");
            assert_eq!(chosen, strategy, "{prompt}");
            assert!(rule.starts_with("builtin:"), "{prompt}: {rule}");
            let stored = cmd!(c, "LLMCACHE.SET", "faq", prompt, "r");
            if strategy == "nocache" {
                assert!(stored.is_null() && get(c, prompt, "").is_null(), "{prompt}");
            } else {
                stored.ok();
                let told = entry(c, prompt);
                assert_eq!((told.field("strategy").text(), told.field("rule").text()), (chosen, rule), "{prompt}");
            }
        }
        for strategy in ["standard", "realtime"] {
            cmd!(c, "LLMCACHE.ALTER", "faq", "STRATEGY", strategy).ok();
            assert_eq!(choice(c, "ACME-7 blue large", ""), (strategy.into(), "default".into()), "none of these");
            set(c, "ACME-7 blue large", "r", "STRATEGY auto").ok();
            assert_eq!(*entry(c, "ACME-7 blue large").field("strategy"), strategy);
            assert_eq!(*entry(c, "ACME-7 blue large").field("rule"), "default");
        }
    });
}

#[test]
fn a_temperature_above_one_is_not_worth_keeping() {
    both(|c| {
        for (params, chosen) in [
            (r#"{"temperature":1.1}"#, "nocache"),
            (r#"{"temperature":2}"#, "nocache"),
            (r#"{"temperature":1}"#, "aggressive"),
            (r#"{"temperature":1.0}"#, "aggressive"),
            (r#"{"x":{"temperature":2}}"#, "aggressive"),
        ] {
            assert_eq!(choice(c, "What is a REST API?", &format!("PARAMS {params}")).0, chosen, "{params}");
            let stored = cmd!(c, "LLMCACHE.SET", "faq", "What is a REST API?", "r", "PARAMS", params);
            assert_eq!(stored.is_null(), chosen == "nocache", "{params}");
        }
        let body = r#"{"model":"m","temperature":1.5,"messages":[{"role":"user","content":"What is a REST API?"}]}"#;
        assert!(cmd!(c, "LLMCACHE.SET", "faq", body, "r", "REQUEST").is_null());
        cmd!(c, "LLMCACHE.SET", "faq", body, "r", "REQUEST", "EX", 10).ok();
    });
}

#[test]
fn the_first_rule_that_fits_wins_before_content_and_cache() {
    both(|c| {
        for rule in [
            "vip SCOPE vip-* STRATEGY realtime",
            "code TYPE code MODEL gpt* STRATEGY conservative",
            "what PROMPT What?is* STRATEGY standard",
            "What2 PROMPT What* STRATEGY realtime",
        ] {
            c.words(&format!("LLMCACHE.RULE faq SET {rule}")).ok();
        }
        let prompt = "What is a REST API?";
        for (options, strategy, rule) in [
            ("", "standard", Some("what")),
            ("SCOPE vip-1", "realtime", Some("vip")),
            ("SCOPE vip", "standard", Some("what")),
            ("TYPE code MODEL gpt-4", "conservative", Some("code")),
            ("TYPE code", "standard", Some("what")),
            ("TYPE codes MODEL gpt-4", "standard", Some("what")),
            ("STRATEGY aggressive", "aggressive", None),
            ("EX 10", "explicit", None),
        ] {
            let mut words = vec!["LLMCACHE.SET", "faq", prompt, "r"];
            words.extend(options.split_whitespace());
            c.cmd(&words).ok();
            let context: Vec<_> = options.split_whitespace().collect();
            let context: Vec<_> = context.chunks(2).filter(|pair| ["SCOPE", "MODEL"].contains(&pair[0])).collect();
            let context = context.concat().join(" ");
            let id = meta(c, prompt, &context).field("id").text();
            let told = cmd!(c, "LLMCACHE.ENTRY", "faq", id);
            assert_eq!(*told.field("strategy"), strategy, "{options}");
            assert_eq!(told.field("rule").is_null(), rule.is_none(), "{options}");
            if let Some(rule) = rule {
                assert_eq!(*told.field("rule"), rule, "{options}");
            }
        }
        assert_eq!(choice(c, prompt, "SCOPE vip-2"), ("realtime".into(), "vip".into()));
        // A rule changed keeps its place and its spelling; one deleted lets the next one speak.
        c.words("LLMCACHE.RULE faq SET WHAT PROMPT What?is* STRATEGY AGGRESSIVE").ok();
        assert_eq!(choice(c, prompt, ""), ("aggressive".into(), "what".into()));
        let names: Vec<_> = listed(c, "RULE").iter().map(|rule| rule.field("name").text()).collect();
        assert_eq!(names, ["vip", "code", "what", "What2"]);
        assert_eq!(c.words("LLMCACHE.RULE faq DEL What"), 1);
        assert_eq!(choice(c, prompt, ""), ("realtime".into(), "What2".into()));
        assert_eq!(c.words("LLMCACHE.RULE faq DEL What"), 0);
        c.words("LLMCACHE.RULE faq DEL what2");
        assert_eq!(choice(c, prompt, "").0, "aggressive", "the content again");
        let code = listed(c, "RULE")[1].clone();
        for (field, value) in [("name", "code"), ("type", "code"), ("model", "gpt*"), ("strategy", "conservative")] {
            assert_eq!(*code.field(field), value);
        }
        assert!(code.field("scope").is_null() && code.field("prompt").is_null());
    });
}

#[test]
fn strategies_can_be_redefined_and_added() {
    both(|c| {
        c.words("LLMCACHE.STRATEGY faq SET realtime TTL 60 STALE 30 JITTER 5").ok();
        c.words("LLMCACHE.STRATEGY faq SET Weekly TTL 604800").ok();
        c.words("LLMCACHE.STRATEGY faq SET for-ever PERSIST STALE 0").ok();
        c.words("LLMCACHE.STRATEGY faq SET nocache TTL 5").ok();
        set(c, "w", "r", "STRATEGY weekly").ok();
        assert!((604_799..=604_800).contains(&ttl(c, "w", "")));
        assert_eq!(*entry(c, "w").field("strategy"), "Weekly");
        set(c, "f", "r", "STRATEGY for-ever").ok();
        assert_eq!(ttl(c, "f", ""), -1);
        set(c, "n", "r", "STRATEGY nocache").ok();
        assert!((4..=5).contains(&ttl(c, "n", "")));
        let told = |c: &mut Client| -> Vec<_> {
            let number = |reply: &Reply| if reply.is_null() { -9 } else { reply.int() };
            let row = |s: &Reply| {
                (
                    s.field("name").text(),
                    number(s.field("ttl")),
                    number(s.field("stale")),
                    number(s.field("jitter")),
                    s.field("origin").text(),
                )
            };
            listed(c, "STRATEGY").iter().skip(3).map(row).collect()
        };
        let row =
            |name: &str, ttl, stale, jitter, origin: &str| (name.to_owned(), ttl, stale, jitter, origin.to_owned());
        assert_eq!(
            told(c),
            [
                row("realtime", 60, 30, 5, "redefined"),
                row("nocache", 5, -9, -9, "redefined"),
                row("Weekly", 604_800, -9, -9, "custom"),
                row("for-ever", -1, 0, -9, "custom"),
            ]
        );
        assert_eq!(c.words("LLMCACHE.STRATEGY faq DEL realtime"), 1, "back to what it came with");
        assert_eq!(c.words("LLMCACHE.STRATEGY faq DEL realtime"), 0);
        assert_eq!(c.words("LLMCACHE.STRATEGY faq DEL WEEKLY"), 1);
        assert_eq!(told(c)[0], row("realtime", 900, -9, -9, "builtin"));
        assert!(set(c, "w", "r", "STRATEGY weekly").is_error());
        assert_eq!(get(c, "w", ""), "r", "what was stored stays");
    });
}

#[test]
fn a_stale_time_comes_from_the_call_the_strategy_or_the_cache_in_this_order() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq STALE 60").ok();
        c.words("LLMCACHE.STRATEGY faq SET none TTL 1 STALE 0").ok();
        c.words("LLMCACHE.STRATEGY faq SET cache TTL 1").ok();
        set(c, "none", "r", "STRATEGY none").ok();
        set(c, "cache", "r", "STRATEGY cache").ok();
        set(c, "call", "r", "STRATEGY none STALE 60").ok();
        pass(1010);
        assert!(get(c, "none", "STALEOK").is_null());
        assert_eq!(get(c, "cache", "STALEOK"), "r");
        assert_eq!(get(c, "call", "STALEOK"), "r");
    });
}

#[test]
fn jitter_spreads_a_ttl_within_its_bounds_and_the_same_way_each_time() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq JITTER 10 STRATEGY standard").ok();
        c.words("LLMCACHE.STRATEGY faq SET wide TTL 100000 JITTER 50").ok();
        c.words("LLMCACHE.STRATEGY faq SET exact TTL 100000 JITTER 0").ok();
        for (option, seconds, percent) in [
            ("", 21_600, 10),
            ("STRATEGY wide", 100_000, 50),
            ("STRATEGY exact", 100_000, 0),
            ("EX 100000", 100_000, 0),
        ] {
            let spread = seconds * percent / 100;
            let mut ttls: Vec<_> = (0..200)
                .map(|i| {
                    let prompt = format!("xyzzy {i}");
                    set(c, &prompt, "r", option).ok();
                    let first = ttl(c, &prompt, "");
                    set(c, &prompt, "another", option).ok();
                    assert!((ttl(c, &prompt, "") - first).abs() <= 1, "{option}: not fixed per entry");
                    first
                })
                .collect();
            ttls.sort_unstable();
            let (least, most) = (ttls[0], ttls[199]);
            assert!(least >= seconds - spread - 2 && most <= seconds + spread, "{option}: {least} to {most}");
            assert!(most - least >= spread * 3 / 2, "{option}: {least} to {most} is hardly a spread");
        }
    });
}

#[test]
fn what_is_in_use_is_not_deleted_and_what_is_wrong_is_named() {
    both(|c| {
        c.words("LLMCACHE.STRATEGY faq SET mine TTL 10").ok();
        c.words("LLMCACHE.RULE faq SET r STRATEGY mine").ok();
        c.words("LLMCACHE.STRATEGY faq SET own TTL 10").ok();
        c.words("LLMCACHE.ALTER faq STRATEGY own").ok();
        let before = state(c);
        let (long, many) = ("x".repeat(65), "x".repeat(257));
        let name = |what| format!("ERR {what} name must be 1 to 64 bytes of printable UTF-8 without spaces, got ");
        for (line, expected) in [
            ("STRATEGY DEL mine".to_owned(), "ERR strategy 'mine' is chosen by rule 'r': change or delete that rule first".into()),
            (
                "STRATEGY DEL own".into(),
                "ERR strategy 'own' is the cache's own: choose another with LLMCACHE.ALTER key STRATEGY name first".into(),
            ),
            (
                "RULE SET x STRATEGY unknown".into(),
                "ERR STRATEGY must be the name of a strategy of this cache (LLMCACHE.STRATEGY key LIST shows them), got 'unknown'"
                    .to_owned(),
            ),
            ("STRATEGY SET auto TTL 1".into(), "ERR strategy name must not be 'auto', which is reserved: choose another name".into()),
            ("STRATEGY SET Explicit TTL 1".into(), "ERR strategy name must not be 'explicit', which is reserved: choose another name".into()),
            ("RULE SET default STRATEGY mine".into(), "ERR rule name must not be 'default', which is reserved: choose another name".into()),
            (
                "RULE SET builtin:x STRATEGY mine".into(),
                "ERR rule name must not be 'builtin:…', which is reserved: choose another name".into(),
            ),
            (format!("STRATEGY SET {long} TTL 1"), format!("{}'{}'", name("strategy"), &long[..32])),
            ("STRATEGY SET x".into(), "ERR STRATEGY SET needs TTL seconds or PERSIST as well".into()),
            ("STRATEGY SET x TTL 0".into(), "ERR TTL must be a whole number of seconds, 1 or more, and not beyond the year 9999, got '0'".into()),
            ("STRATEGY SET x TTL 1 PERSIST".into(), "ERR TTL and PERSIST exclude each other, give one of them".into()),
            ("STRATEGY SET x TTL 1 TTL 2".into(), "ERR TTL may be given only once".into()),
            ("STRATEGY SET x TTL 1 JITTER 101".into(), "ERR JITTER must be a whole number from 0 to 100, got '101'".into()),
            ("RULE SET x TYPE t".into(), "ERR RULE SET needs STRATEGY name as well".into()),
            (format!("RULE SET x PROMPT {many} STRATEGY mine"), "ERR PROMPT has 257 bytes, 256 are allowed".into()),
            ("STRATEGY DROP x".into(), "ERR action must be SET, DEL or LIST, got 'DROP'".into()),
            ("STRATEGY LIST all".into(), "ERR unknown option 'all' at argument 3".into()),
            ("RULE DEL a b".into(), "ERR unknown option 'b' at argument 4".into()),
        ] {
            let (command, rest) = line.split_once(' ').unwrap();
            assert_eq!(c.words(&format!("LLMCACHE.{command} faq {rest}")).error(), expected, "{line}");
        }
        for bad in [&b""[..], b"two words", b"\xff", b"line\n", "zero\u{200b}width".as_bytes()] {
            assert!(cmd!(c, "LLMCACHE.STRATEGY", "faq", "SET", bad, "TTL", 1).error().starts_with(&name("strategy")));
            assert!(cmd!(c, "LLMCACHE.RULE", "faq", "SET", bad, "STRATEGY", "mine").error().starts_with(&name("rule")));
        }
        assert_eq!(state(c), before);
        cmd!(c, "LLMCACHE.STRATEGY", "faq", "SET", "größe-🤝", "TTL", 1).ok();
        assert_eq!(cmd!(c, "LLMCACHE.STRATEGY", "faq", "DEL", "größe-🤝"), 1);
        assert_eq!(c.words("LLMCACHE.STRATEGY none DEL x"), 0);
        assert_eq!(c.words("LLMCACHE.STRATEGY none LIST").items().len(), 5);
        assert_eq!(c.words("EXISTS none"), 0);
    });
}

#[test]
fn there_is_an_end_to_strategies_and_rules() {
    both(|c| {
        for (what, rest) in [("STRATEGY", "TTL 1"), ("RULE", "PROMPT x STRATEGY standard")] {
            for i in 0..256 {
                c.words(&format!("LLMCACHE.{what} faq SET n{i} {rest}")).ok();
            }
            let full = c.words(&format!("LLMCACHE.{what} faq SET onemore {rest}")).error().to_owned();
            assert!(full.contains("at most 256"), "{full}");
            c.words(&format!("LLMCACHE.{what} faq SET n7 {rest}")).ok();
            assert_eq!(listed(c, what).len(), if what == "RULE" { 256 } else { 261 });
        }
    });
}
