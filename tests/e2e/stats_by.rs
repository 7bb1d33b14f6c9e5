//! STATS BY: the same figures by model, scope, strategy, type and tag.

use crate::harness::{cmd, Client, Reply, Server};
use crate::support::{at_one_moment, both, get, id_of, pass, set, shows, stats, store, whole, Past, SUMS};

const DIMENSIONS: [&str; 5] = ["model", "scope", "strategy", "type", "tag"];

/// Three answers and nine lookups, by two models and a third that has nothing.
fn fill(c: &mut Client) {
    set(c, "a", "aaa", "MODEL gpt SCOPE ann TYPE t TAGS 2 red blue PERSIST COST 0.5 TOKENS 1 2 LATENCY 10").ok();
    set(c, "b", "bb", "MODEL gpt SCOPE bob TAGS 1 red STRATEGY realtime COST 0.25 TOKENS 3 4").ok();
    set(c, "c", "c", "PERSIST COST 0.001 TOKENS 5 6").ok();
    assert!(set(c, "c", "new", "NX TYPE t TAGS 3 red red green STRATEGY standard").is_null());
    for (prompt, options, times) in [
        ("a", "MODEL gpt SCOPE ann", 3),
        ("b", "MODEL gpt SCOPE bob", 1),
        ("c", "", 2),
        ("none", "MODEL gpt SCOPE ann", 1),
        ("none", "", 1),
        ("none", "MODEL mini", 1),
    ] {
        (0..times).for_each(|_| drop(get(c, prompt, options)));
    }
}

/// What all groups together have of each figure that adds up.
fn sums(groups: &Reply) -> Vec<(&str, i64)> {
    let sum = |name| groups.pairs().into_iter().map(|(_, told)| whole(told, name)).sum();
    SUMS.split_whitespace().map(|name| (name, sum(name))).collect()
}

#[test]
fn each_name_has_all_figures_and_its_own() {
    both(|c| {
        fill(c);
        let fields = stats(c, "").names();
        for (dimension, expected) in [
            (
                "model",
                &[
                    (
                        "gpt",
                        "entries 2 lookups 5 hits_exact 4 miss_absent 1 stores 2 cost_saved_usd 1.750000 hit_rate 0.8",
                    ),
                    (
                        "",
                        "entries 1 lookups 3 hits 2 misses 1 stores 1 skips 1 cost_saved_usd 0.002000 tokens_saved 22",
                    ),
                    ("mini", "entries 0 lookups 1 hits 0 miss_absent 1 stores 0 memory_bytes 0 hit_rate 0"),
                ][..],
            ),
            (
                "scope",
                &[
                    ("ann", "entries 1 lookups 4 hits 3 misses 1 stores 1 latency_saved_ms 30 bytes_raw 3"),
                    ("bob", "entries 1 lookups 1 hits 1 misses 0 stores 1 latency_saved_ms 0 bytes_raw 2"),
                    ("", "entries 1 lookups 4 hits 2 misses 2 stores 1 skips 1 bytes_raw 1"),
                ],
            ),
            (
                // What found nothing has no strategy, nor has a lookup a type or tags.
                "strategy",
                &[
                    ("explicit", "entries 2 lookups 5 hits 5 misses 0 stores 2 cost_saved_usd 1.502000"),
                    ("realtime", "entries 1 lookups 1 hits 1 misses 0 stores 1 cost_spent_usd 0.250000"),
                    ("", "entries 0 lookups 3 hits 0 misses 3 stores 0 skips 0"),
                    ("standard", "entries 0 lookups 0 stores 0 skips 1"),
                ],
            ),
            (
                "type",
                &[
                    ("t", "entries 1 lookups 3 hits 3 misses 0 stores 1 skips 1 cost_saved_usd 1.500000"),
                    ("", "entries 2 lookups 6 hits 3 misses 3 stores 2 skips 0 cost_saved_usd 0.252000"),
                ],
            ),
            (
                "tag",
                &[
                    ("red", "entries 2 lookups 4 hits 4 misses 0 stores 2 skips 1 cost_saved_usd 1.750000 bytes_raw 5"),
                    ("blue", "entries 1 lookups 3 hits 3 misses 0 stores 1 skips 0 cost_saved_usd 1.500000"),
                    ("", "entries 1 lookups 5 hits 2 misses 3 stores 1 skips 0 cost_saved_usd 0.002000"),
                    ("green", "entries 0 lookups 0 stores 0 skips 1 bytes_raw 0 memory_bytes 0"),
                ],
            ),
        ] {
            let told = stats(c, &format!("BY {}", dimension.to_uppercase()));
            let mut names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
            let mut found = told.names();
            names.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, names, "{dimension}");
            for (name, figures) in expected {
                println!("{dimension} '{name}'");
                assert_eq!(told.field(name).names(), fields, "{dimension} '{name}'");
                shows(told.field(name), figures);
            }
        }
        // Who saves most comes first.
        assert_eq!(stats(c, "BY model").names(), ["gpt", "", "mini"]);
        assert_eq!(stats(c, "BY tag").names()[..3], ["red", "blue", ""]);
    });
}

#[test]
fn names_add_up_to_all_to_the_byte() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq STALE 100").ok();
        fill(c);
        set(c, "soft", &"text ".repeat(500), "MODEL m SCOPE s TYPE u EX 100").ok();
        set(c, "gone", "r", "MODEL m TAGS 1 red").ok();
        let id = id_of(c, "c");
        cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "good").ok();
        c.words("LLMCACHE.INVALIDATE faq MATCH soft SOFT");
        get(c, "soft", "MODEL m SCOPE s");
        get(c, "soft", "MODEL m SCOPE s STALEOK");
        c.words("LLMCACHE.INVALIDATE faq MATCH gone");
        for window in ["", "WINDOW 3600", "WINDOW 60"] {
            let lines: Vec<String> = std::iter::once(format!("LLMCACHE.STATS faq {window}"))
                .chain(DIMENSIONS.map(|dimension| format!("LLMCACHE.STATS faq BY {dimension} {window}")))
                .collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let told = at_one_moment(c, &lines);
            let all: Vec<_> = SUMS.split_whitespace().map(|name| (name, whole(&told[0], name))).collect();
            assert!(all.iter().filter(|(_, value)| *value > 0).count() > 18, "{all:?}");
            for (dimension, groups) in DIMENSIONS[..4].iter().zip(&told[1..]) {
                assert_eq!(sums(groups), all, "{dimension} {window}");
            }
            // By tag, an entry of two tags counts twice, and memory is divided all the same.
            let by_tag = sums(&told[5]);
            let of = |sums: &[(&str, i64)], name| sums.iter().find(|(found, _)| *found == name).map(|(_, sum)| *sum);
            assert_eq!(of(&by_tag, "memory_bytes"), of(&all, "memory_bytes"), "{window}");
            assert_eq!(of(&by_tag, "entries").unwrap() - of(&all, "entries").unwrap(), 1, "{window}");
            assert_eq!(of(&by_tag, "misses"), of(&all, "misses"), "{window}");
            assert_eq!(of(&by_tag, "hits").unwrap() - of(&all, "hits").unwrap(), 3, "{window}");
        }
    });
}

#[test]
fn a_cache_that_is_not_there_has_no_names() {
    let server = Server::start();
    let (mut c, mut three) = (server.client(), server.client3());
    for dimension in DIMENSIONS {
        for rest in ["", "WINDOW 60 "] {
            let line = format!("LLMCACHE.STATS none BY {dimension} {rest}");
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(c.raw(&words), b"*0\r\n", "{line}");
            assert_eq!(three.raw(&words), b"%0\r\n", "{line}");
            assert_eq!(c.words(&format!("{line} FORMAT json")), "{}");
        }
        assert_eq!(three.words(&format!("LLMCACHE.STATS BY {dimension}")), Reply::Map(vec![]));
    }
    // Nor has one that is empty and was never asked.
    c.words("LLMCACHE.CREATE none").ok();
    assert_eq!(three.words("LLMCACHE.STATS none BY tag"), Reply::Map(vec![]));
    assert_eq!(c.words("DBSIZE"), 1);
}

#[test]
fn what_is_really_called_other_is_part_of_the_rest() {
    both(|c| {
        set(c, "p", "r", "MODEL other COST 2").ok();
        set(c, "p", "r", "MODEL gpt COST 1").ok();
        get(c, "p", "MODEL other");
        get(c, "p", "MODEL gpt");
        let told = stats(c, "BY model");
        assert_eq!(told.names(), ["gpt", "other"], "the rest comes last, however much it saves");
        shows(told.field("other"), "entries 1 lookups 1 hits 1 stores 1 cost_saved_usd 2.000000");
        shows(told.field("gpt"), "entries 1 lookups 1 hits 1 stores 1 cost_saved_usd 1.000000");
    });
}

#[test]
fn of_many_names_those_that_save_most_are_told_and_the_rest_is_one() {
    both(|c| {
        let ask = |c: &mut Client| {
            let told = at_one_moment(c, &["LLMCACHE.STATS faq", "LLMCACHE.STATS faq BY model"]);
            let all: Vec<_> = SUMS.split_whitespace().map(|name| (name, whole(&told[0], name))).collect();
            assert_eq!(sums(&told[1]), all);
            told[1].clone()
        };
        let fill = |c: &mut Client, numbers: std::ops::Range<usize>| {
            for i in numbers {
                let model = format!("MODEL m{i}");
                set(c, "p", "r", &format!("{model} PERSIST COST 0.{:03}", i + 1)).ok();
                get(c, "p", &model);
            }
        };
        fill(c, 0..200);
        let told = ask(c);
        let mut expected: Vec<_> = (136..200).rev().map(|i| format!("m{i}")).collect();
        expected.push("other".into());
        assert_eq!(told.names(), expected);
        shows(told.field("m199"), "entries 1 lookups 1 hits 1 stores 1 cost_saved_usd 0.200000");
        shows(told.field("other"), "entries 136 lookups 136 hits 136 stores 136 cost_saved_usd 9.316000");
        // Of more names than have an account, those that save least lose theirs, about: what they did is the rest's.
        fill(c, 200..400);
        let told = ask(c);
        assert_eq!((told.names().len(), &*told.names()[0]), (65, "m399"));
        assert_eq!(told.names()[64], "other");
        shows(told.field("m399"), "entries 1 lookups 1 hits 1 cost_saved_usd 0.400000");
        shows(told.field("other"), "entries 336");
    });
}

#[test]
fn names_are_bytes_and_a_window_has_its_own() {
    both(|c| {
        let odd = [&b"a\xffb"[..], b"\0", "größe".as_bytes(), b"\"\\\n", b"a b"];
        for name in odd {
            cmd!(c, "LLMCACHE.SET", "faq", "p", "r", "MODEL", name, "SCOPE", name, "TYPE", name, "TAGS", 1, name).ok();
            cmd!(c, "LLMCACHE.GET", "faq", "p", "MODEL", name, "SCOPE", name);
        }
        for dimension in ["model", "scope", "type", "tag"] {
            let told = stats(c, &format!("BY {dimension}"));
            let found: Vec<_> = told.pairs().into_iter().map(|(name, _)| name.bytes().to_vec()).collect();
            assert_eq!(found.len(), odd.len(), "{dimension}: {found:?}");
            assert!(odd.iter().all(|name| found.contains(&name.to_vec())), "{dimension}: {found:?}");
        }
        c.words("FLUSHALL").ok();
        c.words("LLMCACHE.CREATE faq").ok();
        let past = Past::default()
            .hit(100_000, "MODEL old COST 8 TAGS 1 x")
            .hit(7000, "MODEL both COST 4 TAGS 2 x y")
            .hit(600, "MODEL both COST 2")
            .hit(500, "MODEL new COST 1 TAGS 1 y");
        past.give(c);
        let saved = |c: &mut Client, options: &str| -> Vec<(String, i64)> {
            let told = stats(c, options);
            told.pairs()
                .into_iter()
                .map(|(name, told)| (name.text(), whole(told, "cost_saved_usd") / 1_000_000))
                .collect()
        };
        let pairs = |pairs: &[(&str, i64)]| -> Vec<(String, i64)> {
            pairs.iter().map(|(name, saved)| ((*name).to_owned(), *saved)).collect()
        };
        assert_eq!(saved(c, "BY model"), pairs(&[("old", 8), ("both", 6), ("new", 1)]));
        assert_eq!(
            saved(c, "WINDOW 20000 BY model"),
            pairs(&[("both", 6), ("new", 1)]),
            "who is not in it, is not told"
        );
        assert_eq!(saved(c, "BY model WINDOW 3600"), pairs(&[("both", 2), ("new", 1)]));
        assert_eq!(saved(c, "BY tag WINDOW 3600"), pairs(&[("", 2), ("y", 1)]));
        assert_eq!(saved(c, "BY tag"), pairs(&[("x", 12), ("y", 5), ("", 2)]));
        assert_eq!(saved(c, "BY model WINDOW 60"), pairs(&[]));
    });
}

#[test]
fn what_goes_is_counted_under_its_names() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MAXENTRIES 2").ok();
        set(c, "evicted", "r", "PERSIST MODEL a SCOPE s TYPE t TAGS 1 x").ok();
        set(c, "stays", "r", "PERSIST MODEL a").ok();
        set(c, "deleted", "r", "PERSIST MODEL b TAGS 2 x y").ok();
        let id = get(c, "deleted", "MODEL b WITHMETA").field("id").text();
        assert_eq!(cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "bad"), Reply::Simple("OK".into()));
        set(c, "short", "r", "PX 1 MODEL c TYPE u").ok();
        pass(3);
        set(c, "soft", "r", "PERSIST MODEL d SCOPE s").ok();
        c.words("LLMCACHE.INVALIDATE faq MODEL d");
        let told = stats(c, "BY model");
        shows(told.field("a"), "entries 1 stores 2 evictions 1 expirations 0 invalidations 0");
        shows(told.field("b"), "entries 0 stores 1 hits 1 feedback_bad 1 evictions 0");
        shows(told.field("c"), "entries 0 stores 1 expirations 1");
        shows(told.field("d"), "entries 0 stores 1 invalidations 1");
        let told = stats(c, "BY tag");
        shows(told.field("x"), "entries 0 stores 2 evictions 1 feedback_bad 1");
        shows(told.field("y"), "entries 0 stores 1 evictions 0 feedback_bad 1");
        shows(stats(c, "BY type").field("t"), "entries 0 stores 1 evictions 1");
        shows(stats(c, "BY type").field("u"), "entries 0 stores 1 expirations 1");
        shows(stats(c, "BY scope").field("s"), "entries 0 stores 2 evictions 1 invalidations 1");
        store(c, "last", "r");
    });
}
