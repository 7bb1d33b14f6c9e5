//! DEL, INVALIDATE and SCAN: which entries are meant, and that it is these and no others.

use crate::harness::{args, cmd, Client};
use crate::support::{both, get, id_of, meta, pass, prompts, scan, set, stat, state, store, Dice, NO_ID};
use std::collections::{BTreeMap, HashSet};

#[test]
fn del_deletes_by_id_and_counts() {
    both(|c| {
        let [a, b, _] = ["a", "b", "c"].map(|prompt| store(c, prompt, "r"));
        assert_eq!(cmd!(c, "LLMCACHE.DEL", "faq", NO_ID), 0);
        assert_eq!(cmd!(c, "LLMCACHE.DEL", "faq", a, NO_ID, b.to_ascii_uppercase(), a), 2);
        assert!(get(c, "a", "").is_null() && get(c, "b", "").is_null());
        assert_eq!(get(c, "c", ""), "r");
        assert_eq!(prompts(c, ""), ["c"]);
        let c_id = id_of(c, "c");
        assert_eq!(cmd!(c, "LLMCACHE.DEL", "faq", "xyz", c_id), 1);
        assert_eq!(c.words("TYPE faq"), "llm-cache", "an emptied cache keeps its key");
    });
}

/// A cache in which every selector means something.
fn fill(c: &mut Client) {
    cmd!(c, "DEL", "faq");
    for (prompt, options) in [
        ("red apple", "MODEL a SCOPE x TYPE howto TAGS 2 fruit red EX 100"),
        ("red rose", "MODEL a SCOPE y TYPE facts TAGS 2 flower red STRATEGY realtime"),
        ("blue rose", "MODEL b SCOPE x TYPE facts TAGS 2 flower blue STRATEGY aggressive"),
        ("plain", "EX 100"),
        ("plain", "SYSTEM s PARAMS {\"t\":1} EX 100"),
    ] {
        set(c, prompt, "r", options).ok();
    }
}

/// Selectors and how many entries of [`fill`] they mean.
const SELECTIONS: [(&str, i64); 28] = [
    ("ALL", 5),
    ("TAG 1 red", 2),
    ("TAG 1 Red", 0),
    ("TAG 2 fruit blue", 2),
    ("TAG 3 red red flower", 3),
    ("MODEL a", 2),
    ("MODEL c", 0),
    ("SCOPE x", 2),
    ("TYPE facts", 2),
    ("STRATEGY explicit", 3),
    ("STRATEGY realtime", 1),
    ("STRATEGY REALTIME", 1),
    ("PROMPT plain", 1),
    ("PROMPT plain SYSTEM s PARAMS {\"t\":1.0}", 1),
    ("PROMPT plain SYSTEM s", 0),
    ("PROMPT red*", 0),
    ("MATCH red*", 2),
    ("MATCH *rose", 2),
    ("MATCH ???????", 0),
    ("MATCH [bp]l*", 3),
    ("MATCH *", 5),
    ("OLDERTHAN 0", 5),
    ("OLDERTHAN 3600", 0),
    ("TAG 1 red SCOPE x", 1),
    ("MODEL a TYPE facts MATCH *rose TAG 1 flower STRATEGY realtime", 1),
    ("MODEL b TAG 1 red", 0),
    ("ALL MODEL a", 2),
    ("TAG 1 flower OLDERTHAN 0 MATCH b*", 1),
];

#[test]
fn invalidate_takes_what_meets_all_selectors_and_dryrun_only_counts() {
    both(|c| {
        for (selectors, count) in SELECTIONS {
            fill(c);
            pass(2);
            let before = state(c);
            let listed = scan(c, "").len();
            assert_eq!(c.words(&format!("LLMCACHE.INVALIDATE faq {selectors} DRYRUN")), count, "{selectors}");
            assert_eq!(c.words(&format!("LLMCACHE.INVALIDATE faq DRYRUN SOFT {selectors}")), count, "{selectors}");
            assert_eq!(state(c), before, "{selectors}");
            assert_eq!(c.words(&format!("LLMCACHE.INVALIDATE faq {selectors}")), count, "{selectors}");
            assert_eq!(scan(c, "").len(), listed - count as usize, "{selectors}");
            assert_eq!(c.words(&format!("LLMCACHE.INVALIDATE faq {selectors}")), 0, "{selectors}");
            assert_eq!(stat(c, "invalidations"), count, "{selectors}");
        }
        fill(c);
        c.words("LLMCACHE.INVALIDATE faq TAG 1 red SCOPE x");
        assert_eq!(prompts(c, ""), ["blue rose", "plain", "plain", "red rose"]);
    });
}

#[test]
fn an_empty_model_or_scope_selects_entries_without_one() {
    both(|c| {
        fill(c);
        assert_eq!(cmd!(c, "LLMCACHE.INVALIDATE", "faq", "MODEL", "", "DRYRUN"), 2);
        assert_eq!(cmd!(c, "LLMCACHE.INVALIDATE", "faq", "SCOPE", "", "MATCH", "*"), 2);
        assert_eq!(prompts(c, ""), ["blue rose", "red apple", "red rose"]);
    });
}

#[test]
fn soft_makes_stale_what_it_selects() {
    both(|c| {
        set(c, "p", "r", "EX 100 STALE 100 TAGS 1 t").ok();
        set(c, "q", "r", "EX 100 TAGS 1 u").ok();
        assert_eq!(c.words("LLMCACHE.INVALIDATE faq TAG 1 t SOFT"), 1);
        assert!(get(c, "p", "").is_null());
        assert_eq!(get(c, "p", "STALEOK"), "r");
        let told = meta(c, "p", "STALEOK");
        assert!(told.field("stale").truth());
        assert_eq!(*told.field("ttl"), 0);
        assert_eq!(get(c, "q", ""), "r");
        assert_eq!(c.words("LLMCACHE.INVALIDATE faq TAG 1 t SOFT"), 1, "what is stale already is still selected");
        assert_eq!(prompts(c, ""), ["p", "q"], "and is still listed");
        set(c, "p", "new", "NX").ok();
        assert_eq!(get(c, "p", ""), "new", "somebody has refreshed it");
        set(c, "short", "r", "PX 30").ok();
        assert_eq!(c.words("LLMCACHE.INVALIDATE faq MATCH short SOFT"), 1);
        pass(35);
        assert!(get(c, "short", "STALEOK").is_null(), "gone when it would have gone anyway");
    });
}

#[test]
fn olderthan_is_strict_about_age() {
    both(|c| {
        store(c, "old", "r");
        pass(1050);
        store(c, "new", "r");
        assert_eq!(c.words("LLMCACHE.INVALIDATE faq OLDERTHAN 2 DRYRUN"), 0);
        assert_eq!(c.words("LLMCACHE.INVALIDATE faq OLDERTHAN 1"), 1);
        assert_eq!(prompts(c, ""), ["new"]);
    });
}

#[test]
fn invalidate_needs_to_be_told_what() {
    both(|c| {
        fill(c);
        let before = state(c);
        let missing = "ERR INVALIDATE needs a selector: ALL, TAG, MODEL, SCOPE, TYPE, STRATEGY, PROMPT, MATCH or OLDERTHAN, as well";
        for (line, expected) in [
            ("SOFT", missing),
            ("DRYRUN SOFT", missing),
            ("SYSTEM s", "ERR SYSTEM needs PROMPT as well"),
            ("ALL PARAMS {}", "ERR PARAMS needs PROMPT as well"),
            ("ALL ALL", "ERR ALL may be given only once"),
            ("MODEL a MODEL b", "ERR MODEL may be given only once"),
            ("TAG 2 a", "ERR TAG needs 2 tags after their number, got 1"),
            (
                "OLDERTHAN -1",
                "ERR OLDERTHAN must be a whole number of seconds, 0 or more, and not beyond the year 9999, got '-1'",
            ),
        ] {
            assert_eq!(c.words(&format!("LLMCACHE.INVALIDATE faq {line}")).error(), expected);
        }
        assert_eq!(state(c), before);
    });
}

#[test]
fn scan_filters_by_all_that_is_given() {
    both(|c| {
        fill(c);
        for (options, expected) in [
            ("", vec!["blue rose", "plain", "plain", "red apple", "red rose"]),
            ("MATCH *rose", vec!["blue rose", "red rose"]),
            ("TAG red", vec!["red apple", "red rose"]),
            ("MODEL b", vec!["blue rose"]),
            ("SCOPE x TAG red", vec!["red apple"]),
            ("MATCH nothing*", vec![]),
            ("COUNT 1", vec!["blue rose", "plain", "plain", "red apple", "red rose"]),
        ] {
            assert_eq!(prompts(c, options), expected, "{options}");
        }
        for (id, prompt) in scan(c, "") {
            assert_eq!(*cmd!(c, "LLMCACHE.ENTRY", "faq", id).field("prompt"), prompt.as_str());
        }
        set(c, "dead", "r", "PX 1").ok();
        pass(3);
        assert!(!prompts(c, "").contains(&"dead".to_owned()));
        for line in ["SCAN faq x", "SCAN faq -1", "SCAN faq 0 COUNT 0", "SCAN faq 0 COUNT 1000001"] {
            assert!(c.words(&format!("LLMCACHE.{line}")).is_error(), "{line}");
        }
        assert_eq!(
            c.words("LLMCACHE.SCAN faq 18446744073709551615").at(0).text(),
            "0",
            "a cursor from nowhere is an end"
        );
    });
}

#[test]
fn scan_returns_every_entry_that_is_there_throughout() {
    let mut dice = Dice::new("scan");
    both_with(&mut dice, |c, dice| {
        let add = |c: &mut Client, names: &[String]| {
            let commands: Vec<_> =
                names.iter().map(|name| args!["LLMCACHE.SET", "faq", name, "r", "PERSIST"]).collect();
            c.pipeline(&commands).iter().for_each(|reply| reply.ok());
        };
        let steady: Vec<String> = (0..4000).map(|i| format!("steady {i}")).collect();
        let mut moving: BTreeMap<u64, String> = BTreeMap::new();
        for chunk in steady.chunks(500) {
            add(c, chunk);
            let others: Vec<_> = (0..100).map(|_| format!("moving {}", dice.text(8))).collect();
            add(c, &others);
            moving.extend(others.into_iter().map(|name| (dice.below(u64::MAX >> 33), name)));
        }
        let (mut cursor, mut seen, mut pages) = ("0".to_owned(), HashSet::new(), 0);
        loop {
            let count = 1 + dice.below(100);
            let page = c.words(&format!("LLMCACHE.SCAN faq {cursor} COUNT {count}"));
            for pair in page.at(1).items() {
                seen.insert(pair.at(1).text());
            }
            assert!(page.at(1).items().len() as u64 <= count, "more than COUNT");
            cursor = page.at(0).text();
            pages += 1;
            if cursor == "0" {
                break;
            }
            for _ in 0..dice.below(6) {
                if let Some((_, name)) = moving.pop_first() {
                    let id = id_of(c, &name);
                    assert_eq!(cmd!(c, "LLMCACHE.DEL", "faq", id), 1);
                }
            }
            let fresh: Vec<_> = (0..dice.below(6)).map(|_| format!("fresh {}", dice.text(8))).collect();
            add(c, &fresh);
            moving.extend(fresh.into_iter().map(|name| (dice.below(u64::MAX >> 33), name)));
            assert!(pages < 100_000, "SCAN does not come to an end");
        }
        let missing: Vec<_> = steady.iter().filter(|name| !seen.contains(*name)).collect();
        assert!(missing.is_empty(), "{} missing, {:?} among them", missing.len(), missing[0]);
        assert!(pages > 40);
    });
}

fn both_with(dice: &mut Dice, test: impl Fn(&mut Client, &mut Dice)) {
    let server = crate::harness::Server::start();
    test(&mut server.client(), dice);
    test(&mut server.client3(), dice);
}
