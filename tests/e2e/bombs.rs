//! What somebody may send who wants the server to stand still or to run out of memory: small things that expand, JSON that is
//! made to hurt, names that collide, patterns that make a simple matcher go back for ever, and very many tags.
//!
//! Bounds are generous, since a busy machine is no bug; what they are to catch takes a thousand times as long, or as much.

use crate::harness::{args, cmd, Client, Reply, Server};
use crate::payloads::{sealed, FOOTER, HEAD};
use crate::support::{get, set, store, Dice};
use llmcache::core::cache::Cache;
use llmcache::core::persist::FORMAT;
use llmcache::core::wire::Writer;
use std::time::{Duration, Instant};

/// How long one command may take on a machine that has other things to do; what is not linear takes minutes.
const LONG: Duration = Duration::from_secs(6);

const MIB: i64 = 1 << 20;

fn used(c: &mut Client) -> i64 {
    c.info_field("memory", "used_memory").unwrap().parse().unwrap()
}

/// The most memory that the process has ever had; none where the system does not tell.
fn most_ever(server: &Server) -> Option<i64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<i64>().ok()? << 10)
}

/// Does something and answers it with how long it took.
fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let done = run();
    (done, started.elapsed())
}

/// One command, which may not take long.
#[track_caller]
fn quickly(c: &mut Client, words: &[Vec<u8>], what: &str) -> Reply {
    let (reply, took) = timed(|| c.cmd(words));
    assert!(took < LONG, "{what} took {took:?}");
    reply
}

/// Memory comes back in the background.
#[track_caller]
fn comes_back(c: &mut Client, before: i64, within: i64) {
    crate::harness::until("memory comes back", crate::harness::PATIENCE, || used(c) < before + within);
}

/// A payload as RESTORE takes it, with entries of one context.
struct Payload(Vec<u8>);

impl Payload {
    fn length(&mut self, length: u64) {
        self.0.push(0x81);
        self.0.extend(length.to_be_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.push(2);
        self.length(number);
    }

    fn record(&mut self, record: &[u8]) {
        self.0.push(5);
        self.length(record.len() as u64);
        self.0.extend(record);
    }

    fn of(like: &[u8], entries: &[Vec<u8>]) -> Vec<u8> {
        let (mut payload, cache) = (Payload(like[..HEAD].to_vec()), Cache::default());
        payload.number(FORMAT);
        payload.record(&cache.policy_record());
        payload.record(&cache.counters_record());
        payload.record(&cache.feedback_record());
        payload.number(0);
        payload.record(&cache.alerts_record());
        payload.number(0);
        payload.number(1);
        let mut context = Writer::record(b'C', 1);
        context.u8(0).bytes(b"").bytes(b"").bytes(b"").bytes(b"");
        payload.record(&context.finish());
        payload.number(entries.len() as u64);
        entries.iter().for_each(|entry| payload.record(entry));
        payload.0.push(0);
        sealed(&payload.0, &like[like.len() - FOOTER..][..2])
    }
}

/// An entry whose answer is this zstd frame, which is said to be so long.
fn entry(prompt: &str, frame: &[u8], raw_len: u32) -> Vec<u8> {
    let mut w = Writer::record(b'E', 1);
    w.u32(0).u64(1).u64(u64::MAX).u64(u64::MAX).u64(0).u64(1).u64(1).u8(0).u64(1).u64(1).u64(0).u64(1);
    w.u8(1).u32(raw_len).bytes(frame).bytes(prompt.as_bytes()).bytes(b"explicit").option(None).option(None);
    w.u16(0).option(None);
    w.finish()
}

/// What a RESTORE of little can do: a hundred answers of a few KB that are really 64 MiB each, and some that only say so.
#[test]
fn a_small_payload_that_expands_is_expanded_by_who_asks_for_it() {
    let server = Server::start();
    let mut c = server.client();
    store(&mut c, "p", "r");
    let like = cmd!(c, "DUMP", "faq").bytes().to_vec();
    let long = 64 << 20;
    let frame = zstd::bulk::compress(&vec![b'a'; long], 19).unwrap();
    assert!(frame.len() < 64 << 10, "{}", frame.len());
    let entries: Vec<_> = (0..100).map(|n| entry(&format!("bomb {n}"), &frame, long as u32)).collect();
    let payload = Payload::of(&like, &entries);
    let (before, most_before) = (used(&mut c), most_ever(&server));
    // The frame of half a GiB in 50 bytes, one that says less than it holds, and one that says more.
    let mut lying = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x20];
    lying.extend([0x55; 41]);
    let liars = [entry("q", &lying, 512 << 20), entry("less", &frame, 100), entry("more", &frame, 512 << 20)];

    quickly(&mut c, &args!["RESTORE", "bombs", 0, payload], "RESTORE of bombs").ok();
    // Taken or refused, and an error then, or nothing.
    quickly(&mut c, &args!["RESTORE", "liars", 0, Payload::of(&like, &liars)], "RESTORE of liars");
    for prompt in ["q", "less", "more"] {
        for line in [format!("LLMCACHE.GET liars {prompt}"), format!("LLMCACHE.EXPLAIN liars {prompt}")] {
            let reply = quickly(&mut c, &line.split(' ').map(|word| word.into()).collect::<Vec<_>>(), &line);
            assert!(!matches!(reply, Reply::Bulk(_)), "{line}: an answer");
        }
    }
    for line in [
        "LLMCACHE.INFO bombs",
        "LLMCACHE.STATS bombs",
        "LLMCACHE.STATS",
        "LLMCACHE.SCAN bombs 0 COUNT 1000",
        "LLMCACHE.INVALIDATE bombs MATCH b* DRYRUN",
        "DUMP bombs",
        "COPY bombs others",
        "MEMORY USAGE bombs",
    ] {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.into()).collect();
        assert!(!quickly(&mut c, &words, line).is_error(), "{line}");
    }
    assert!(used(&mut c) < before + 16 * MIB, "{} bytes more", used(&mut c) - before);
    if let (Some(before), Some(now)) = (most_before, most_ever(&server)) {
        assert!(now < before + 40 * MIB, "{} bytes more at some time", now - before);
    }

    // Who asks has what was stored, and the memory of one of them is taken for it, not of all.
    for n in 0..8 {
        let (reply, took) = timed(|| cmd!(c, "LLMCACHE.GET", "bombs", format!("bomb {n}")));
        assert_eq!(reply.bytes().len(), long);
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    assert_eq!(cmd!(c, "DEL", "bombs", "others"), 2);
    cmd!(c, "DEL", "liars");
    drop(c);
    let mut c = server.client();
    comes_back(&mut c, before, 80 * MIB);
    assert_eq!(get(&mut c, "p", ""), "r");
}

/// The memory that is set aside for hot copies of what expands is the cache's own, and within its limit.
#[test]
fn a_limit_holds_for_what_expands_too() {
    let server = Server::start();
    let mut c = server.client();
    c.words("LLMCACHE.CREATE faq MAXMEMORY 8388608").ok();
    let answer = "a".repeat(1 << 20);
    for n in 0..200 {
        set(&mut c, &format!("bomb {n}"), &answer, "PERSIST");
        for _ in 0..3 {
            get(&mut c, &format!("bomb {n}"), "");
        }
        let told = c.words("LLMCACHE.INFO faq").field("memory_bytes").int();
        assert!(told <= 8 * MIB, "{told}");
    }
}

/// JSON of some MB: nesting is bounded, all else is read in a time that grows as it does.
#[test]
fn json_that_is_made_to_hurt_takes_no_longer_than_other_json() {
    let server = Server::start();
    let mut c = server.client();
    store(&mut c, "p", "r");
    c.words("CONFIG SET llmcache.max-prompt-bytes 50mb").ok();
    let before = used(&mut c);
    let repeated = |piece: &str, n: usize| vec![piece; n].join(",");
    let keys: Vec<_> = (0..100_000).rev().map(|n| format!("\"key {n}\":{n}")).collect();
    let nested = |n: usize| format!("{}1{}", "{\"a\":[".repeat(n), "]}".repeat(n));
    let bombs = [
        ("a number of a million digits", format!("{{\"seed\":{}}}", "7".repeat(1_000_000)), true),
        ("a million digits behind the point", format!("{{\"seed\":0.{}1}}", "0".repeat(1_000_000)), true),
        ("many large exponents", format!("{{\"a\":[{}]}}", repeated("1e999999999", 50_000)), true),
        ("very many keys, backwards", format!("{{{}}}", keys.join(",")), true),
        ("one key, very often", format!("{{{}}}", repeated("\"a\":[1]", 200_000)), true),
        ("very many escapes", format!("{{\"a\":\"{}\"}}", "\\u00e9\\n".repeat(200_000)), true),
        ("very many small objects", format!("{{\"a\":[{}]}}", repeated("{\"b\":{}}", 200_000)), true),
        ("as deep as may be, often", format!("{{\"a\":[{}]}}", repeated(&nested(50), 2000)), true),
        ("an exponent of a million digits", format!("{{\"a\":1e{}}}", "9".repeat(1_000_000)), false),
        ("too deep", nested(200_000), false),
        ("never ended", "{\"a\":[".repeat(500_000), false),
        ("a million commas", format!("{{\"a\":[{}]}}", ",".repeat(1_000_000)), false),
    ];
    for (what, json, good) in &bombs {
        let fields = json.strip_prefix('{').unwrap();
        let request = format!(r#"{{"messages":[{{"role":"user","content":"q"}}],{fields}"#);
        let items = format!(r#"[{{"prompt":"q","response":"r","params":{json},"meta":{json},"persist":true}}]"#);
        for words in [
            args!["LLMCACHE.GET", "faq", "q", "PARAMS", json],
            args!["LLMCACHE.SET", "faq", "q", "r", "PARAMS", json],
            args!["LLMCACHE.SET", "faq", "q", "r", "META", json],
            args!["LLMCACHE.GET", "faq", request, "REQUEST"],
            args!["LLMCACHE.SET", "faq", request, "r", "REQUEST", "EX", 100],
            args!["LLMCACHE.SET", "faq", request, json, "REQUEST"],
            args!["LLMCACHE.WARM", "faq", "JSON", items],
            args!["LLMCACHE.WARM", "faq", "JSON", format!("[{json}]")],
            args!["LLMCACHE.WARM", "faq", "PLAN", "plan", "EVERY", 60, "JSON", format!("[{json}]")],
        ] {
            let reply = quickly(&mut c, &words, what);
            let warms = words[0] == b"LLMCACHE.WARM";
            let of_one = warms && words.len() == 4 && words[3] == items.as_bytes();
            if *good && !warms {
                assert!(!reply.is_error() || words[3] == json.as_bytes(), "{what}: {reply:?}");
            } else if *good && of_one {
                assert_eq!(reply.field("stored"), &1, "{what}");
            } else if !warms && words[3] != json.as_bytes() {
                assert!(reply.is_error(), "{what}: {reply:?}");
            }
            if let Reply::Error(error) = reply {
                assert!(error.len() < 300, "{what}: {} bytes of error", error.len());
            }
        }
    }
    assert_eq!(get(&mut c, "p", ""), "r");
    c.words("DEL faq");
    drop(c);
    let mut c = server.client();
    comes_back(&mut c, before, 16 * MIB);
}

/// So many names that are one to hashes without a seed: of `h * 31 + byte`, of `h * 33 + byte` (and `h * 33 ^ byte` has the
/// like), and of words that are rotated, added and multiplied (FxHash).
fn colliding(kind: usize, count: usize) -> Vec<Vec<u8>> {
    let of_pairs = |pair: [&[u8]; 2], n: usize| (0..16).flat_map(|bit| pair[n >> bit & 1].to_vec()).collect();
    let fx = |n: usize| {
        const K: u64 = 0x517c_c1b7_2722_0a95;
        let first = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let second = first.wrapping_mul(K).rotate_left(5) ^ 0x6172_6261_6461_6b61;
        [first.to_le_bytes(), second.to_le_bytes()].concat()
    };
    (0..count)
        .map(|n| match kind {
            0 => of_pairs([b"Aa", b"BB"], n),
            1 => of_pairs([b"Ez", b"FY"], n),
            2 => fx(n),
            // Alike at both ends, and of one length.
            _ => format!("{}{n:08}{}", "x".repeat(120), "y".repeat(120)).into_bytes(),
        })
        .collect()
}

/// Stores an answer for each name, which is its prompt, model, scope and tag, and asks for all; how long it took.
fn flood(c: &mut Client, names: &[Vec<u8>]) -> Duration {
    let set = |name: &Vec<u8>| {
        args![
            "LLMCACHE.SET",
            "flood",
            name,
            "r",
            "PERSIST",
            "MODEL",
            name,
            "SCOPE",
            name,
            "TYPE",
            name,
            "TAGS",
            1,
            name
        ]
    };
    let get = |name: &Vec<u8>| args!["LLMCACHE.GET", "flood", name, "MODEL", name, "SCOPE", name];
    let (_, took) = timed(|| {
        for names in names.chunks(1000) {
            c.pipeline(&names.iter().map(set).collect::<Vec<_>>()).iter().for_each(Reply::ok);
            let replies = c.pipeline(&names.iter().map(get).collect::<Vec<_>>());
            assert!(replies.iter().all(|reply| *reply == "r"), "{replies:?}");
        }
        for name in names.iter().step_by(names.len() / 50) {
            assert_eq!(cmd!(c, "LLMCACHE.INVALIDATE", "flood", "TAG", 1, name), 1);
        }
    });
    quickly(c, &args!["LLMCACHE.STATS", "flood", "BY", "tag"], "STATS BY tag");
    assert_eq!(cmd!(c, "DEL", "flood"), 1);
    took
}

/// Or the next test would say nothing.
#[test]
fn the_names_do_collide() {
    let times = |factor: u32| {
        move |name: &Vec<u8>| name.iter().fold(0u32, |h, b| h.wrapping_mul(factor).wrapping_add((*b).into()))
    };
    let fx = |name: &Vec<u8>| {
        let words = name.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
        words.fold(0u64, |h, word| (h.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95))
    };
    let hashes = |kind: usize| -> std::collections::HashSet<u64> {
        let names = colliding(kind, 10_000);
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), 10_000);
        match kind {
            0 => names.iter().map(times(31)).map(u64::from).collect(),
            1 => names.iter().map(times(33)).map(u64::from).collect(),
            _ => names.iter().map(fx).collect(),
        }
    };
    (0..3).for_each(|kind| assert_eq!(hashes(kind).len(), 1, "kind {kind}"));
}

#[test]
fn names_that_collide_elsewhere_take_no_longer_than_others() {
    let server = Server::start();
    let mut c = server.client();
    let count = 10_000;
    let mut dice = Dice::fixed(7);
    let plain: Vec<_> = (0..count).map(|n| format!("{}{n}", dice.text(24)).into_bytes()).collect();
    let usual = flood(&mut c, &plain);
    for kind in 0..4 {
        let names = colliding(kind, count);
        let took = flood(&mut c, &names);
        println!("kind {kind}: {took:?}, usually {usual:?}");
        // 50 million comparisons of names are a second or more, for each of five tables.
        assert!(took < usual * 4 + Duration::from_secs(1), "kind {kind}: {took:?}, usually {usual:?}");
    }
}

/// Patterns on which a matcher that goes back at each star takes as many steps as the prompt is long, to the power of stars.
#[test]
fn patterns_of_many_stars_take_no_longer_than_others() {
    let server = Server::start();
    let mut c = server.client();
    let prompts = 16;
    for n in 0..prompts {
        let prompt = format!("{}{n}", "a".repeat(1_000_000));
        cmd!(c, "LLMCACHE.SET", "faq", prompt, "r", "PERSIST").ok();
    }
    let patterns = [
        format!("{}b", "a*".repeat(127)),
        format!("{}b", "*a".repeat(127)),
        format!("{}b", "*?".repeat(127)),
        format!("{}b", "*[a-z]".repeat(42)),
        format!("*{}b*", "a".repeat(250)),
        format!("*{}b*", "?".repeat(250)),
        format!("*{}b*", "[^b]".repeat(60)),
        format!("{}c", "*a?a[ab]a".repeat(28)),
        "*".repeat(256),
    ];
    for (n, pattern) in patterns.iter().enumerate() {
        assert!(pattern.len() <= 256);
        let all = i64::from(pattern.bytes().all(|byte| byte == b'*')) * prompts;
        let counted = quickly(&mut c, &args!["LLMCACHE.INVALIDATE", "faq", "MATCH", pattern, "DRYRUN"], pattern);
        assert_eq!(counted, all, "{pattern}");
        let page = quickly(&mut c, &args!["LLMCACHE.SCAN", "faq", 0, "COUNT", 1000, "MATCH", pattern], pattern);
        assert_eq!(page.at(1).items().len() as i64, all, "{pattern}");
        let name = format!("r{n}");
        let rule = args!["LLMCACHE.RULE", "faq", "SET", name, "PROMPT", pattern, "STRATEGY", "standard"];
        quickly(&mut c, &rule, pattern).ok();
        // With all rules so far.
        let prompt = format!("{}{n}", "a".repeat(900_000));
        quickly(&mut c, &args!["LLMCACHE.SET", "rules", "p", "r"], pattern).ok();
        quickly(&mut c, &args!["LLMCACHE.SET", "faq", prompt, "r"], pattern);
        quickly(&mut c, &args!["LLMCACHE.INVALIDATE", "faq", "PROMPT", prompt], pattern);
    }
    let longer = "a*".repeat(129);
    assert!(cmd!(c, "LLMCACHE.SCAN", "faq", 0, "MATCH", longer).is_error());
}

/// A million tags, 32 for each entry: their memory is counted, and comes back by either way out.
#[test]
fn a_million_tags_are_counted_and_come_back() {
    let server = Server::start();
    let mut c = server.client();
    store(&mut c, "p", "r");
    for way in ["LLMCACHE.INVALIDATE tags ALL", "DEL tags", "LLMCACHE.INVALIDATE tags MODEL m"] {
        c.words("LLMCACHE.CREATE tags").ok();
        // What statistics of many names take stays with the cache, so the first round is measured from a cache without.
        let before = used(&mut c);
        let entries = if way.starts_with("DEL") { 31_250 } else { 8_000 };
        for chunk in (0..entries).collect::<Vec<_>>().chunks(1000) {
            let set = |n: &usize| {
                let mut words =
                    args!["LLMCACHE.SET", "tags", format!("question {n}"), "r", "PERSIST", "MODEL", "m", "TAGS", 32];
                words.extend((0..32).map(|t| format!("tag {n} {t}").into_bytes()));
                words
            };
            let commands: Vec<_> = chunk.iter().map(set).collect();
            let (replies, took) = timed(|| c.pipeline(&commands));
            replies.iter().for_each(Reply::ok);
            assert!(took < Duration::from_secs(10), "a thousand stores took {took:?}");
        }
        let spent = used(&mut c) - before;
        let told = c.words("LLMCACHE.INFO tags").field("memory_bytes").int();
        println!("{entries} entries: {spent} bytes, {told} told");
        assert!(spent > 32 * 40 * entries as i64, "{spent} bytes are too few for so many tags");
        assert!((told - spent).abs() * 5 < spent, "{told} bytes told, {spent} spent");
        assert_eq!(quickly(&mut c, &args!["LLMCACHE.INVALIDATE", "tags", "TAG", 1, "tag 77 5"], "INVALIDATE TAG"), 1);
        quickly(&mut c, &args!["LLMCACHE.STATS", "tags", "BY", "tag"], "STATS BY tag");
        let (gone, took) = timed(|| c.words(way));
        assert!(gone.int() >= 1, "{gone:?}");
        assert!(took < Duration::from_secs(10), "{way} took {took:?}");
        drop(c);
        c = server.client();
        // The names of what is counted stay, 256 of them.
        comes_back(&mut c, before, spent / 20 + 2 * MIB);
        c.words("DEL tags");
        assert_eq!(get(&mut c, "p", ""), "r");
    }
}
