//! EXPLAIN: what a GET would answer and why, and that asking leaves no trace.

use crate::harness::{cmd, Client, Reply};
use crate::support::{both, explain, get, pass, set, stat, state, store, verdict};
use llmcache::core::similarity::guards::Guard;

#[test]
fn explain_tells_what_get_would_do_and_changes_nothing() {
    both(|c| {
        set(c, "p", "r", "EX 100 MODEL m").ok();
        set(c, "old", "r", "PX 10 STALE 60").ok();
        set(c, "gone", "r", "PX 10").ok();
        let before = state(c);
        pass(15);
        for (prompt, options, expected) in [
            ("p", "MODEL m", "hit exact"),
            ("p", "", "miss absent"),
            ("p", "MODEL m EXACT WITHMETA NOTOUCH", "hit exact"),
            ("p", "MODEL m MAXAGE 0", "miss expired"),
            ("old", "", "miss expired"),
            ("old", "STALEOK", "hit stale"),
            ("old", "STALEOK MAXAGE 0", "miss expired"),
            ("gone", "STALEOK", "miss expired"),
        ] {
            assert_eq!(verdict(c, prompt, options), expected, "{prompt} {options}");
            assert_eq!(get(c, prompt, &format!("{options} NOTOUCH")).is_null(), expected.starts_with("miss"));
        }
        assert_eq!(state(c), before);
        assert_eq!(stat(c, "lookups"), 0);
    });
}

#[test]
fn explain_shows_every_field_of_the_contract() {
    both(|c| {
        c.words("LLMCACHE.RULE faq SET mine PROMPT hel* STRATEGY realtime").ok();
        let id = store(c, "hello", "r");
        let told = c.words("LLMCACHE.EXPLAIN faq hello");
        for name in [
            "verdict",
            "match",
            "reason",
            "digest",
            "context",
            "mode",
            "threshold",
            "strategy",
            "rule",
            "candidates",
            "steps",
        ] {
            assert!(told.get(name).is_some(), "no {name} in {:?}", told.names());
        }
        assert_eq!(told.names().len(), 11);
        assert_eq!(*told.field("match"), "exact");
        assert_eq!(*told.field("mode"), "exact");
        assert_eq!(*told.field("strategy"), "realtime");
        assert_eq!(*told.field("rule"), "mine");
        let digest = told.field("digest").text();
        assert_eq!((digest.len(), &digest[..32]), (64, id.as_str()));
        assert!(told.field("steps").pairs().iter().all(|(_, us)| us.number() >= 0.0));
        assert!(told.field("candidates").items().len() <= 5);
        let elsewhere = c.words("LLMCACHE.EXPLAIN faq hello SCOPE x");
        assert_ne!(elsewhere.field("context"), told.field("context"));
        assert_ne!(elsewhere.field("digest"), told.field("digest"));
    });
}

/// Five questions that are about the same, the best first, and what EXPLAIN must say of each.
fn crowd(c: &mut Client) {
    c.words("LLMCACHE.CREATE faq MODE similar SIMILARITY lexical METRIC levenshtein THRESHOLD 0.8").ok();
    for (prompt, options) in [
        ("How do I convert 51 pounds to kilograms", "EX 100"),
        ("How do I convert 5 pounds to kilogram", "EX 100"),
        ("How do I convert 5 pounds into kilograms", "PX 1 STALE 100"),
        ("How do I convert 5 pounds to some kilograms", "EX 100"),
        ("How do I convert 5 dollars to euros", "EX 100"),
        ("How do I bake bread", "EX 100"),
        ("Why is the sky blue", "EX 100"),
    ] {
        set(c, prompt, prompt, options).ok();
    }
    pass(3);
}

const ASKED: &str = "How do I convert 5 pounds to kilograms?";

#[test]
fn candidates_are_the_most_similar_five_with_what_is_in_their_way() {
    both(|c| {
        crowd(c);
        let best = explain(c, ASKED, "").field("candidates").at(1).clone();
        assert_eq!(*best.field("verdict"), "similar");
        cmd!(c, "LLMCACHE.FEEDBACK", "faq", best.field("id").text(), "bad", "FOR", ASKED).ok();
        let told = explain(c, ASKED, "");
        assert_eq!(told.field("threshold").number(), 0.8);
        let candidates = told.field("candidates").items();
        let shown: Vec<_> =
            candidates.iter().map(|one| [one.field("prompt").text(), one.field("verdict").text()]).collect();
        assert_eq!(
            shown,
            [
                ["How do I convert 51 pounds to kilograms", "guard:numbers"],
                ["How do I convert 5 pounds to kilogram", "feedback"],
                ["How do I convert 5 pounds into kilograms", "expired"],
                ["How do I convert 5 pounds to some kilograms", "similar"],
                ["How do I convert 5 dollars to euros", "below_threshold"],
            ]
        );
        let similarities: Vec<_> = candidates.iter().map(|one| one.field("similarity").number()).collect();
        assert!(similarities.windows(2).all(|pair| pair[0] >= pair[1]), "{similarities:?}");
        for candidate in candidates {
            assert_eq!(candidate.names(), ["id", "prompt", "similarity", "verdict", "guards"]);
            let entry = cmd!(c, "LLMCACHE.ENTRY", "faq", candidate.field("id").text());
            assert_eq!(entry.field("prompt"), candidate.field("prompt"));
            let guards = candidate.field("guards");
            assert_eq!(guards.names(), Guard::ALL.map(Guard::name), "every guard is asked, whatever the others say");
            let strikes = candidate.field("prompt").text().contains("51");
            assert_eq!(*guards.field("numbers") != "pass", strikes, "{candidate:?}");
            assert!(guards.field("numbers").text().contains("51") == strikes, "a reason says what it goes by");
        }
        // The reason is that of the most similar one, if none is served.
        assert_eq!([told.field("verdict").text(), told.field("reason").text()], ["hit", "similar"]);
        assert_eq!(get(c, ASKED, ""), "How do I convert 5 pounds to some kilograms");
        assert_eq!(verdict(c, ASKED, "THRESHOLD 0.99"), "miss below_threshold");
        assert_eq!(verdict(c, ASKED, "STALEOK"), "hit stale");
        assert_eq!(verdict(c, ASKED, "THRESHOLD 0.97"), "miss guard:numbers");
        assert_eq!(verdict(c, ASKED, "MAXAGE 0"), "miss expired");
        let stale = explain(c, ASKED, "STALEOK").field("candidates").at(2).clone();
        assert_eq!(*stale.field("verdict"), "stale");
        // What has an answer of its own needs none of them.
        store(c, ASKED, "own");
        let told = explain(c, ASKED, "");
        assert_eq!([told.field("match").text(), told.field("reason").text()], ["exact", "exact"]);
        assert!(told.field("candidates").items().is_empty());
        assert!(explain(c, ASKED, "SCOPE elsewhere").field("candidates").items().is_empty());
        assert!(explain(c, "Other", "EXACT").field("candidates").items().is_empty());
    });
}

#[test]
fn the_first_candidate_is_what_a_get_serves() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MODE similar").ok();
        store(c, "How do I turn off notifications?", "off");
        for (query, options) in [
            ("How do I turn off notificatiosn?", "THRESHOLD 0.95"),
            ("how do I turn off NOTIFICATIONS", "THRESHOLD 1"),
            ("How do I turn off notificatiosn?", ""),
        ] {
            let served = get(c, query, &format!("{options} WITHMETA"));
            assert_eq!(*served.field("response"), "off", "{query}");
            let best = explain(c, query, options).field("candidates").at(0).clone();
            assert_eq!(best.field("similarity").number(), served.field("similarity").number(), "{query}");
            assert_eq!(
                [best.field("verdict").text(), best.field("id").text()],
                ["similar".into(), served.field("id").text()]
            );
        }
    });
}

#[test]
fn explain_of_a_similar_lookup_changes_nothing_and_times_every_step() {
    both(|c| {
        crowd(c);
        let before = state(c);
        for (query, options) in
            [(ASKED, ""), (ASKED, "STALEOK"), ("Other", ""), ("how do i BAKE bread", ""), (ASKED, "EXACT")]
        {
            let told = explain(c, query, options);
            let steps = told.field("steps");
            let mut wanted = vec!["parse", "identity", "open", "lookup", "strategy"];
            if options != "EXACT" {
                wanted.extend(["read", "search", "judge"]);
            }
            for step in wanted {
                assert!(steps.field(step).number() >= 0.0, "{step}: {steps:?}");
            }
            assert!(steps.pairs().iter().all(|(_, us)| us.number() >= 0.0), "{steps:?}");
        }
        assert_eq!(state(c), before);
        assert_eq!(["lookups", "hits", "misses"].map(|name| stat(c, name)), [0, 0, 0]);
        let told = explain(c, "how do i BAKE bread", "");
        assert_eq!([told.field("match").text(), told.field("verdict").text()], ["similar", "hit"]);
        assert_eq!(told.field("candidates").at(0).field("similarity").number(), 1.0);
    });
}

#[test]
fn candidates_are_maps_in_resp3_and_pairs_in_resp2() {
    let server = crate::harness::Server::start();
    let (mut two, mut three) = (server.client(), server.client3());
    crowd(&mut two);
    let (flat, maps) = (explain(&mut two, ASKED, ""), explain(&mut three, ASKED, ""));
    let (flat, maps) = (flat.field("candidates").at(0), maps.field("candidates").at(0));
    assert!(matches!(flat, Reply::Array(_)) && matches!(maps, Reply::Map(_)));
    assert!(matches!(flat.field("similarity"), Reply::Bulk(_)) && matches!(maps.field("similarity"), Reply::Double(_)));
    assert!(matches!(flat.field("guards"), Reply::Array(_)) && matches!(maps.field("guards"), Reply::Map(_)));
    assert_eq!(flat.field("similarity").number(), maps.field("similarity").number());
}
