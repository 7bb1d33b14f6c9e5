//! A short day of a cache, of which every figure is known; and how long the server worked on it.

use crate::harness::{args, cmd, until, Client, Server, PATIENCE};
use crate::support::{at_one_moment, get, id_of, pass, set, shows, stat, stats, whole};
use std::time::Duration;

const ASKED: &str = "How do I reset my password?";
const REQUEST: &str = r#"{"model":"gpt","messages":[{"role":"user","content":"What is Redis?"}]}"#;
/// 106 bytes.
const RESPONSE: &str =
    r#"{"choices":[{"finish_reason":"stop","message":{}}],"usage":{"prompt_tokens":2000,"completion_tokens":300}}"#;

/// `LLMCACHE.FETCH faq prompt …` with the words of a line behind it.
fn fetch(prompt: &str, options: &str) -> Vec<Vec<u8>> {
    let mut words = args!["LLMCACHE.FETCH", "faq", prompt];
    words.extend(options.split_whitespace().map(|word| word.as_bytes().to_vec()));
    words
}

fn blocked(c: &mut Client) -> String {
    c.info_field("clients", "blocked_clients").unwrap()
}

/// One who has the lease, three who wait for it, and what comes of it.
fn together(server: &Server, c: &mut Client) {
    let lease = c.cmd(&fetch("together", "SCOPE bob LEASE 60000"));
    let mut others: Vec<Client> = (0..3).map(|_| server.client()).collect();
    others.iter_mut().for_each(|other| other.send(&fetch("together", "SCOPE bob LEASE 60000 BLOCK 60000")));
    until("three clients wait", PATIENCE, || blocked(c) == "3");
    let token = lease.field("token").text();
    let options =
        format!("SCOPE bob STRATEGY realtime TYPE faq TAGS 1 account COST 1 TOKENS 5 6 LATENCY 1000 TOKEN {token}");
    set(c, "together", "answer", &options).ok();
    others.iter_mut().for_each(|other| assert_eq!(*other.read().field("response"), "answer"));
}

fn live_a_day(server: &Server, c: &mut Client) {
    c.words("LLMCACHE.CREATE faq STALE 100 PRICE gpt 2 10").ok();
    // By the price: 1000 × 2 and 100 × 10 millionths.
    let of_ann = "MODEL gpt SCOPE ann";
    set(c, ASKED, "Click on it.", &format!("{of_ann} TYPE faq TAGS 2 account web TOKENS 1000 100 LATENCY 800 PERSIST"))
        .ok();
    let data = "MODEL mini SCOPE ann TYPE data TAGS 1 web COST 0.25 TOKENS 10 20 LATENCY 400 STRATEGY conservative";
    set(c, "price", "42", data).ok();
    // Estimated: 11 bytes are three tokens, and so are nine.
    set(c, "plain words", "an answer", "STRATEGY aggressive").ok();
    set(c, REQUEST, RESPONSE, "REQUEST").ok();
    set(c, "soft", "old", "EX 500 MODEL gpt COST 0.01 TOKENS 1 1 LATENCY 50 TAGS 1 web").ok();
    set(c, "short", "r", "PX 20 STALE 0 COST 0.02 TOKENS 7 7").ok();
    set(c, "gone", "r", "PERSIST MODEL mini COST 0.001 TOKENS 1 1").ok();
    set(c, "bad", "r", "PERSIST COST 0.002 TOKENS 1 1").ok();
    assert!(set(c, ASKED, "Click.", &format!("{of_ann} PERSIST NX")).is_null());
    assert!(set(c, "once", "r", "MODEL mini STRATEGY nocache").is_null());

    get(c, "plain words", "");
    (0..3).for_each(|_| drop(get(c, ASKED, of_ann)));
    (0..2).for_each(|_| drop(get(c, "price", "MODEL mini SCOPE ann")));
    (0..2).for_each(|_| drop(get(c, REQUEST, "REQUEST")));
    assert_eq!(c.words("LLMCACHE.INVALIDATE faq MATCH soft SOFT"), 1);
    assert!(get(c, "soft", "MODEL gpt").is_null());
    assert_eq!(get(c, "soft", "MODEL gpt STALEOK"), "old");
    together(server, c);
    assert_eq!(get(c, "how do i reset  my PASSWORD", &format!("{of_ann} SIMILAR")), "Click on it.");
    assert!(get(c, "Why is the sky blue?", &format!("{of_ann} SIMILAR")).is_null());
    let id = get(c, ASKED, &format!("{of_ann} WITHMETA NOTOUCH")).field("id").text();
    let loud = "HOW DO I RESET MY PASSWORD!";
    cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "bad", "FOR", loud, "MODEL", "gpt", "SCOPE", "ann").ok();
    assert!(get(c, loud, &format!("{of_ann} SIMILAR")).is_null());
    cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "good").ok();
    let id = id_of(c, "bad");
    cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "bad").ok();
    assert_eq!(c.words("LLMCACHE.INVALIDATE faq MATCH gone"), 1);
    get(c, "none", "MODEL mini");
    get(c, "none", "");
    // A dearer answer in place of another.
    set(c, "price", "43", data).ok();
    until("the short one has given its memory back", PATIENCE, || stat(c, "expirations") == 1);
    get(c, "short", "");
    // Who was asked for the longest time ago makes room.
    c.words("LLMCACHE.ALTER faq MAXENTRIES 5").ok();
    // What counts nothing.
    get(c, "price", "MODEL mini SCOPE ann NOTOUCH");
    get(c, "none", "NOTOUCH");
    c.words("LLMCACHE.EXPLAIN faq price MODEL mini SCOPE ann");
    c.cmd(&fetch("none", "LEASE 1 NOTOUCH"));
    assert!(set(c, "p", "r", "EX 0").is_error());
}

#[test]
fn every_figure_of_a_day_is_right() {
    for resp3 in [false, true] {
        let server = Server::start();
        let mut c = if resp3 { server.client3() } else { server.client() };
        live_a_day(&server, &mut c);
        let day = "lookups 20 hits 13 hits_exact 11 hits_similar 1 hits_stale 1 misses 7 miss_absent 4 miss_expired 1 \
            miss_threshold 1 miss_guard 1 hit_rate 0.65 coalesced 3 stores 10 skips 2 evictions 1 expirations 1 \
            invalidations 2 feedback_good 1 feedback_bad 2 tokens_saved_in 8039 tokens_saved_out 1062 tokens_saved 9101 \
            cost_saved_usd 3.536000 cost_spent_usd 1.543000 latency_saved_ms 7050 entries 5 bytes_raw 129 \
            saving_per_day_usd 0.000000 saving_per_month_usd 0.000000 saving_per_year_usd 0.000000 roi 0 \
            memory_cost_per_month_usd 0.000000";
        for line in [
            "LLMCACHE.STATS faq",
            "LLMCACHE.STATS faq WINDOW 60 FORMAT map",
            "LLMCACHE.STATS",
            "LLMCACHE.STATS WINDOW 3600",
        ] {
            println!("{line}");
            let told = c.words(line);
            shows(&told, day);
            assert!((told.field("estimated_share").number() - 6.0 / 9101.0).abs() < 1e-9);
        }
        let names: [(&str, &[(&str, &str)]); 5] = [
            (
                "model",
                &[
                    (
                        "gpt",
                        "entries 3 lookups 10 hits_exact 5 hits_similar 1 hits_stale 1 miss_absent 0 miss_expired 1 \
                         miss_threshold 1 miss_guard 1 stores 3 skips 1 invalidations 1 feedback_good 1 feedback_bad 1 \
                         tokens_saved_in 8001 tokens_saved_out 1001 estimated_share 0 cost_saved_usd 0.036000 \
                         cost_spent_usd 0.020000 latency_saved_ms 3250 bytes_raw 121",
                    ),
                    (
                        "mini",
                        "entries 1 lookups 3 hits_exact 2 miss_absent 1 misses 1 stores 3 skips 1 invalidations 1 \
                         evictions 0 tokens_saved 60 cost_saved_usd 0.500000 cost_spent_usd 0.501000 latency_saved_ms 800",
                    ),
                    (
                        "",
                        "entries 1 lookups 7 hits_exact 4 hits 4 miss_absent 3 misses 3 coalesced 3 stores 4 skips 0 \
                         evictions 1 expirations 1 invalidations 0 feedback_bad 1 tokens_saved_in 18 tokens_saved_out 21 \
                         cost_saved_usd 3.000000 cost_spent_usd 1.022000 latency_saved_ms 3000 bytes_raw 6",
                    ),
                ],
            ),
            (
                "scope",
                &[
                    (
                        "ann",
                        "entries 2 lookups 8 hits_exact 5 hits_similar 1 miss_threshold 1 miss_guard 1 misses 2 stores 3 \
                         skips 1 feedback_good 1 feedback_bad 1 cost_saved_usd 0.512000 latency_saved_ms 4000",
                    ),
                    ("bob", "entries 1 lookups 4 hits 3 miss_absent 1 coalesced 3 stores 1 cost_saved_usd 3.000000"),
                    (
                        "",
                        "entries 2 lookups 8 hits_exact 3 hits_stale 1 miss_absent 3 miss_expired 1 stores 6 skips 1 \
                         evictions 1 expirations 1 invalidations 2 feedback_bad 1 cost_saved_usd 0.024000",
                    ),
                ],
            ),
            (
                "strategy",
                &[
                    (
                        "explicit",
                        "entries 2 lookups 5 hits_exact 3 hits_similar 1 hits_stale 1 misses 0 stores 5 skips 1 \
                         expirations 1 invalidations 2 feedback_good 1 feedback_bad 2 cost_saved_usd 0.022000",
                    ),
                    ("conservative", "entries 1 lookups 2 hits 2 stores 2 cost_saved_usd 0.500000 cost_spent_usd 0.500000"),
                    ("aggressive", "entries 1 lookups 3 hits 3 stores 2 evictions 1 cost_saved_usd 0.014000"),
                    ("realtime", "entries 1 lookups 3 hits 3 coalesced 3 stores 1 cost_saved_usd 3.000000"),
                    ("nocache", "entries 0 lookups 0 stores 0 skips 1"),
                    ("", "entries 0 lookups 7 hits 0 misses 7 miss_absent 4 miss_expired 1 stores 0 skips 0"),
                ],
            ),
            (
                "type",
                &[
                    ("faq", "entries 2 lookups 7 hits 7 hits_similar 1 coalesced 3 stores 2 cost_saved_usd 3.012000"),
                    ("data", "entries 1 lookups 2 hits 2 stores 2 cost_saved_usd 0.500000"),
                    ("", "entries 2 lookups 11 hits 4 misses 7 stores 6 skips 2 evictions 1 cost_saved_usd 0.024000"),
                ],
            ),
            (
                "tag",
                &[
                    ("account", "entries 2 lookups 7 hits 7 stores 2 coalesced 3 cost_saved_usd 3.012000 feedback_good 1"),
                    ("web", "entries 3 lookups 7 hits 7 hits_stale 1 stores 4 invalidations 1 cost_saved_usd 0.522000"),
                    ("", "entries 1 lookups 10 hits 3 misses 7 stores 5 skips 2 evictions 1 expirations 1 invalidations 1"),
                ],
            ),
        ];
        for (dimension, expected) in names {
            for window in ["", "WINDOW 60"] {
                let told = stats(&mut c, &format!("BY {dimension} {window}"));
                let mut found = told.names();
                let mut wanted: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
                found.sort_unstable();
                wanted.sort_unstable();
                assert_eq!(found, wanted);
                for (name, figures) in expected {
                    println!("{dimension} '{name}' {window}");
                    shows(told.field(name), figures);
                }
            }
        }
    }
}

/// How many times of each kind of work were noted: exact, similar, store, FETCH.
#[track_caller]
fn samples(c: &mut Client) -> [u64; 4] {
    let told = at_one_moment(c, &["LLMCACHE.STATS faq", "LLMCACHE.STATS faq FORMAT prometheus"]);
    let text = told[1].text();
    ["get_exact_us", "get_similar_us", "set_us", "fetch_us"].map(|name| {
        let line = format!("llmcache_{name}_count{{cache=\"faq\"}} ");
        let count = text.lines().find_map(|found| found.strip_prefix(&line)).unwrap().parse().unwrap();
        let times = told[0].field(name);
        assert_eq!(times.names(), ["p50", "p95", "p99", "max"]);
        let values: Vec<f64> = times.pairs().iter().map(|(_, value)| value.number()).collect();
        assert!(values.is_sorted(), "{name}: {values:?}");
        assert!((values[0] > 0.0) == (count > 0) && (values[3] > 0.0) == (count > 0), "{name}: {values:?} of {count}");
        count
    })
}

#[test]
fn times_are_noted_of_the_work_that_they_are_called_after() {
    for resp3 in [false, true] {
        let server = Server::start();
        let mut c = if resp3 { server.client3() } else { server.client() };
        assert!(get(&mut c, "p", "").is_null());
        assert_eq!(samples(&mut c), [0; 4], "of a cache that is not there, nothing is known");
        let mut expected = [0; 4];
        let steps: [(&str, &[&str], [u64; 4]); 22] = [
            ("a store", &["SET faq p r PERSIST"], [0, 0, 1, 0]),
            ("one that is not made", &["SET faq p r NX", "SET faq x r STRATEGY nocache"], [0, 0, 2, 0]),
            ("an exact hit", &["GET faq p", "GET faq p WITHMETA"], [2, 0, 0, 0]),
            ("an exact miss", &["GET faq none"], [1, 0, 0, 0]),
            ("an exact hit, though similar ones would do", &["GET faq p SIMILAR"], [1, 0, 0, 0]),
            ("a miss among none that could be similar", &["GET faq none MODEL m EXACT"], [1, 0, 0, 0]),
            ("a similar hit", &["GET faq P! SIMILAR"], [0, 1, 0, 0]),
            ("a similar miss", &["GET faq elephant SIMILAR"], [0, 1, 0, 0]),
            ("a FETCH that finds", &["FETCH faq p LEASE 1000"], [0, 0, 0, 1]),
            ("a FETCH that finds what is similar", &["FETCH faq P? SIMILAR LEASE 1000"], [0, 0, 0, 1]),
            (
                "a FETCH that gets the lease, and one that does not",
                &["FETCH faq q LEASE 60000", "FETCH faq q LEASE 1"],
                [0, 0, 0, 2],
            ),
            ("NOTOUCH", &["GET faq p NOTOUCH", "GET faq none NOTOUCH", "GET faq P! SIMILAR NOTOUCH"], [0; 4]),
            ("FETCH NOTOUCH", &["FETCH faq p LEASE 5 NOTOUCH", "FETCH faq y LEASE 5 NOTOUCH"], [0; 4]),
            ("EXPLAIN", &["EXPLAIN faq p", "EXPLAIN faq P! SIMILAR"], [0; 4]),
            ("looks", &["SCAN faq 0", "INFO faq", "STATS faq", "STATS", "ALERT faq LIST"], [0; 4]),
            ("changes", &["INVALIDATE faq MATCH none", "ALTER faq STALE 1", "STRATEGY faq SET s TTL 5"], [0; 4]),
            ("errors", &["SET faq p r EX 0", "GET faq p MAXAGE x", "FETCH faq p", "SET faq p r FP32 x"], [0; 4]),
            ("a lost lease", &["SET faq p r TOKEN 00112233445566778899aabbccddeeff"], [0; 4]),
            ("many at once", &["WARM faq PERSIST ITEMS 2 a r b r"], [0; 4]),
            ("NOTMODIFIED", &["GET faq p IFNONEMATCH 0123456789abcdef"], [1, 0, 0, 0]),
            ("what goes", &["FEEDBACK faq 00112233445566778899aabbccddeeff good"], [0; 4]),
            ("a reset", &["RESETSTATS faq"], [0; 4]),
        ];
        for (what, lines, more) in steps {
            lines.iter().for_each(|line| drop(c.words(&format!("LLMCACHE.{line}"))));
            if what == "a reset" {
                expected = [0; 4];
            }
            expected.iter_mut().zip(more).for_each(|(all, more)| *all += more);
            assert_eq!(samples(&mut c), expected, "{what}");
        }
        // In transactions and scripts as everywhere.
        at_one_moment(&mut c, &["LLMCACHE.GET faq p", "LLMCACHE.SET faq p r"]);
        cmd!(c, "EVAL", "redis.call('LLMCACHE.GET', KEYS[1], 'p') return 1", 1, "faq");
        assert_eq!(samples(&mut c), [2, 0, 1, 0]);
        // Times are of all of it, whatever the window, and not told by name.
        let told = at_one_moment(&mut c, &["LLMCACHE.STATS faq", "LLMCACHE.STATS faq WINDOW 1", "LLMCACHE.STATS"]);
        for name in ["get_exact_us", "get_similar_us", "set_us", "fetch_us"] {
            assert_eq!(told[0].field(name), told[1].field(name));
            assert_eq!(told[0].field(name), told[2].field(name));
        }
        let by = stats(&mut c, "BY model");
        assert!(by.pairs().iter().all(|(_, told)| told.field("get_exact_us").field("max").number() == 0.0));
    }
}

#[test]
fn waiting_for_others_is_no_work() {
    let server = Server::start();
    let (mut c, mut other) = (server.client3(), server.client3());
    c.words("LLMCACHE.CREATE faq").ok();
    let lease = c.cmd(&fetch("q", "LEASE 60000"));
    let started = std::time::Instant::now();
    other.send(&fetch("q", "LEASE 60000 BLOCK 60000"));
    until("it waits", PATIENCE, || blocked(&mut c) == "1");
    pass(300);
    set(&mut c, "q", "r", &format!("TOKEN {}", lease.field("token").text())).ok();
    assert_eq!(*other.read().field("state"), "hit");
    assert!(started.elapsed() >= Duration::from_millis(300));
    // And one that waits in vain.
    c.cmd(&fetch("p", "LEASE 60000"));
    assert_eq!(*other.cmd(&fetch("p", "LEASE 60000 BLOCK 300")).field("state"), "timeout");
    let told = stats(&mut c, "");
    assert!(whole(&told, "coalesced") == 1 && samples(&mut c)[3] >= 2);
    let longest = told.field("fetch_us").field("max").number();
    assert!(longest > 0.0 && longest < 250_000.0, "{longest}");
    // INFO shows the same.
    let info = c.info("llmcache_stats");
    let shown = |part: &str| -> f64 {
        let name = format!("llmcache_fetch_us_{part}");
        info.iter().find(|(found, _)| *found == name).unwrap().1.parse().unwrap()
    };
    assert_eq!(shown("max"), longest);
    assert!(shown("p50") <= shown("p95") && shown("p95") <= shown("p99") && shown("p99") <= longest);
}
