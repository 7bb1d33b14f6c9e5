//! EXPLAIN: what a GET would answer and why, and that asking leaves no trace.

use crate::harness::Client;
use crate::support::{both, get, pass, set, stat, state, store};

fn reason(c: &mut Client, prompt: &str, options: &str) -> String {
    let told = c.words(&format!("LLMCACHE.EXPLAIN faq {prompt} {options}"));
    format!("{} {}", told.field("verdict").text(), told.field("reason").text())
}

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
            assert_eq!(reason(c, prompt, options), expected, "{prompt} {options}");
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
