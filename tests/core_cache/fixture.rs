//! Golden files: what each version has written, read by the code of today. See `tests/fixtures/README.md`.

use super::support::{entries, loaded, saved, Ask, Saved};
use llmcache::core::cache::{Cache, Got, Terms};
use llmcache::core::codec::{Codec, Encoding};
use llmcache::core::entry::Effort;
use llmcache::core::identity::Shape;
use llmcache::core::money::{MicroUsd, Price};
use llmcache::core::persist::Sink;
use llmcache::core::policy::{Compress, Evict, Mode};
use llmcache::core::strategy::{Origin, Ttl};
use llmcache::core::time::UnixMs;
use llmcache::core::wire::Writer;

const V1: &[u8] = include_bytes!("../fixtures/cache_v1.bin");

/// A day on which some of its entries are fresh, one is stale and one is dead.
const NOW: UnixMs = UnixMs(1_750_000_000_000);

/// `long_answer` as zstd 1.5 wrote it; a later one may write it in another way, and must read this.
const FRAME: &[u8] = b"(\xb5/\xfd`\x98\x00]\x01\x00$\x02Redis is an in-memory data store. \x01\x00\x9a+\xaaz\x02";

fn long_answer() -> Vec<u8> {
    b"Redis is an in-memory data store. ".repeat(12)
}

/// Writes the layouts of version 1 byte by byte, with none of the code that is to read them.
fn version_1() -> Vec<u8> {
    let mut sink = Saved::default();
    sink.number(1);

    let mut policy = Writer::record(b'P', 1);
    // mode exact, evict ttl, compress zstd, level 7, jitter 15 %
    policy.u8(0).u8(1).u8(1).u8(7).u8(15);
    policy.u64(45_000).u64(1_000).u64(50_000_000).bytes(b"mine");
    policy.u32(2);
    policy.bytes(b"claude").u64(3_000_000).u64(15_000_000);
    policy.bytes(b"gpt").u64(150_000).u64(600_000);
    policy.u32(3);
    policy.bytes(b"standard").u8(1).u64(7_200_000).u64(1_000).u8(20);
    policy.bytes(b"mine").u8(1).u64(600_000).u64(u64::MAX).u8(u8::MAX);
    policy.bytes(b"forever").u8(2).u64(0).u64(0).u8(0);
    policy.u32(2);
    policy.bytes(b"legal").bytes(b"forever").option(Some(b"legal*")).option(None).option(None).option(None);
    policy.bytes(b"all").bytes(b"mine").option(None).option(Some(b"g*")).option(Some(b"ann")).option(Some(b"*?*"));
    sink.record(&policy.finish());

    let mut counters = Writer::record(b'K', 1);
    counters.u64(1_740_000_000_000).u64(1_234_567).u64(7_654_321);
    (101..=115).for_each(|n| {
        counters.u64(n);
    });
    sink.record(&counters.finish());

    sink.number(4);
    let contexts: [(Shape, [&[u8]; 4]); 4] = [
        (Shape::Plain, [b"", b"", b"", b""]),
        (Shape::OpenAiChat, [b"ann", b"gpt", b"Be brief.", br#"{"temperature":0}"#]),
        (Shape::OpenAiResponses, [b"", b"gpt", b"", b""]),
        (Shape::Anthropic, [b"bob\0", b"claude", b"", b"\xff"]),
    ];
    for (shape, fields) in contexts {
        let mut context = Writer::record(b'C', 1);
        context.u8(shape as u8);
        fields.into_iter().for_each(|field| {
            context.bytes(field);
        });
        sink.record(&context.finish());
    }

    sink.number(5);
    let never = u64::MAX;
    let mut entry =
        |context: u32, times: [u64; 4], encoding: u8, answer: (u32, &[u8]), prompt: &[u8], rest: Rest<'_>| {
            let mut w = Writer::record(b'E', 1);
            w.u32(context);
            times.into_iter().for_each(|time| {
                w.u64(time);
            });
            w.u64(rest.tokens.0).u64(rest.tokens.1).u8(rest.estimated.into());
            w.u64(rest.cost).u64(rest.latency).u64(rest.hits).u64(rest.etag);
            w.u8(encoding).u32(answer.0).bytes(answer.1);
            w.bytes(prompt).bytes(rest.strategy).option(rest.rule).option(rest.typ);
            w.u16(rest.tags.len() as u16);
            rest.tags.iter().for_each(|tag| {
                w.bytes(tag);
            });
            w.option(rest.meta);
            sink.record(&w.finish());
        };
    let plain = Rest { strategy: b"explicit", ..Rest::default() };
    entry(0, [1_749_999_000_000, never, never, 5], 0, (6, b"Paris."), b"Capital of France?", plain.clone());
    let stale = Rest { strategy: b"mine", rule: Some(b"default"), estimated: true, tokens: (3, 4), ..Rest::default() };
    entry(
        2,
        [1_749_999_000_000, 1_749_999_999_000, 1_750_000_050_000, 51_000],
        0,
        (4, b"\x00\xff\r\n"),
        b"Stale?",
        stale,
    );
    let full = Rest {
        strategy: b"forever",
        rule: Some(b"legal"),
        typ: Some(b"legal-advice"),
        tags: &[b"\x00", b"blue", b"red"],
        meta: Some(br#"{"ticket":7}"#),
        tokens: (120, 480),
        estimated: false,
        cost: 306,
        latency: 2_345,
        hits: 9,
        etag: 0x0102_0304_0506_0708,
    };
    entry(1, [1_749_000_000_000, 1_750_003_600_000, 1_750_003_600_000, 0], 1, (408, FRAME), b"What is Redis?", full);
    let last = 253_402_300_799_999;
    entry(3, [1_749_999_999_999, last, last, 0], 0, (0, b""), b"Empty?", plain.clone());
    entry(0, [1_740_000_000_000, 1_740_000_001_000, 1_740_000_001_000, 0], 0, (4, b"dead"), b"Dead?", plain);
    sink.0
}

#[derive(Clone, Default)]
struct Rest<'a> {
    strategy: &'a [u8],
    rule: Option<&'a [u8]>,
    typ: Option<&'a [u8]>,
    tags: &'a [&'a [u8]],
    meta: Option<&'a [u8]>,
    tokens: (u64, u64),
    estimated: bool,
    cost: u64,
    latency: u64,
    hits: u64,
    etag: u64,
}

/// Makes the file anew, once, where there is none: `cargo test … --test core_cache -- --ignored write_version_1`.
#[test]
#[ignore = "writes tests/fixtures/cache_v1.bin, which never changes"]
fn write_version_1() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cache_v1.bin");
    let written = std::fs::read(path).unwrap_or_default();
    assert!(written.is_empty(), "a golden file is never written again");
    std::fs::write(path, version_1()).unwrap();
}

#[test]
fn version_1_is_the_layout_that_is_documented() {
    assert!(V1 == version_1());
}

fn load() -> Cache {
    let cache = loaded(V1).unwrap();
    cache.validate().unwrap();
    cache
}

#[test]
fn the_policy_of_version_1_is_read() {
    let cache = load();
    let policy = cache.policy();
    assert_eq!(
        (policy.mode, policy.evict, policy.compress, policy.level),
        (Mode::Exact, Evict::Ttl, Compress::Zstd, 7)
    );
    assert_eq!((policy.jitter_percent, policy.stale_ms, &*policy.strategy), (15, 45_000, "mine"));
    assert_eq!((policy.max_entries, policy.max_memory), (1_000, 50_000_000));
    let usd = MicroUsd::from_micros;
    let price = |a, b| Price { input_per_mtok: usd(a), cached_per_mtok: None, output_per_mtok: usd(b) };
    let prices: Vec<_> = policy.prices.iter().map(|(model, price)| (&**model, *price)).collect();
    assert_eq!(prices, [(&b"claude"[..], price(3_000_000, 15_000_000)), (&b"gpt"[..], price(150_000, 600_000))]);
    let changed: Vec<_> = cache
        .strategies()
        .list()
        .filter(|(_, origin)| *origin != Origin::Builtin)
        .map(|(s, origin)| (&*s.name, s.ttl, s.stale_ms, s.jitter_percent, origin))
        .collect();
    let expected = [
        ("standard", Ttl::Millis(7_200_000), Some(1_000), Some(20), Origin::Redefined),
        ("mine", Ttl::Millis(600_000), None, None, Origin::Custom),
        ("forever", Ttl::Never, Some(0), Some(0), Origin::Custom),
    ];
    assert_eq!(changed, expected);
    let [legal, all] = cache.strategies().rules() else { panic!("two rules") };
    assert_eq!((&*legal.name, &*legal.strategy, legal.typ.as_deref()), ("legal", "forever", Some(&b"legal*"[..])));
    assert_eq!((&legal.model, &legal.scope, &legal.prompt), (&None, &None, &None));
    assert_eq!((&*all.name, &*all.strategy, &all.typ), ("all", "mine", &None));
    let patterns = [&all.model, &all.scope, &all.prompt].map(|pattern| pattern.as_deref().unwrap());
    assert_eq!(patterns, [&b"g*"[..], b"ann", b"*?*"]);
}

#[test]
fn the_counters_of_version_1_are_read() {
    let cache = load();
    let counters = *cache.ledger().counters();
    assert_eq!(cache.ledger().first_lookup(), Some(UnixMs(1_740_000_000_000)));
    assert_eq!((counters.micros_saved, counters.micros_spent), (1_234_567, 7_654_321));
    assert_eq!(
        (counters.lookups, counters.hits_exact, counters.hits_similar, counters.hits_stale),
        (101, 102, 103, 104)
    );
    assert_eq!((counters.miss_absent, counters.miss_expired, counters.stores, counters.skips), (105, 106, 107, 108));
    assert_eq!((counters.evictions, counters.expirations, counters.invalidations), (109, 110, 111));
    assert_eq!((counters.tokens_saved_in, counters.tokens_saved_out), (112, 113));
    assert_eq!((counters.tokens_saved_estimated, counters.latency_saved_ms), (114, 115));
}

#[test]
fn the_entries_of_version_1_are_read() {
    let mut cache = load();
    let mut codec = Codec::new();
    let all = entries(&cache, &mut codec);
    let order: Vec<_> = all.iter().map(|seen| &*seen.ask.prompt).collect();
    let expected: [&[u8]; 5] = [b"Capital of France?", b"Stale?", b"What is Redis?", b"Empty?", b"Dead?"];
    assert_eq!(order, expected, "in their order of use");

    let full = &all[2];
    let ask = Ask {
        shape: Shape::OpenAiChat,
        scope: b"ann".into(),
        model: b"gpt".into(),
        system: b"Be brief.".into(),
        params: br#"{"temperature":0}"#.into(),
        prompt: b"What is Redis?".into(),
    };
    assert_eq!(full.ask, ask);
    assert_eq!(full.digest.id().to_string(), FULL_ID);
    assert_eq!(full.response, long_answer());
    assert_eq!((full.etag, full.hits), (0x0102_0304_0506_0708, 9));
    assert_eq!((&*full.strategy, full.rule.as_deref()), ("forever", Some("legal")));
    assert_eq!(full.typ.as_deref(), Some(&b"legal-advice"[..]));
    assert_eq!(full.tags, [&b"\x00"[..], b"blue", b"red"]);
    assert_eq!(full.meta.as_deref(), Some(&br#"{"ticket":7}"#[..]));
    assert_eq!(full.created, UnixMs(1_749_000_000_000));
    let times = |seen: &super::support::Seen| (seen.life.fresh_until.0, seen.life.dead_at.0, seen.life.stale_ms);
    assert_eq!(times(full), (1_750_003_600_000, 1_750_003_600_000, 0));
    let cost = MicroUsd::from_micros(306);
    let effort = Effort { tokens_in: 120, tokens_out: 480, estimated: false, cost, latency_ms: 2_345 };
    assert_eq!(full.effort, effort);
    let view = cache.store().view(cache.visible(&full.digest.id(), NOW).unwrap()).unwrap();
    assert_eq!((view.packed().encoding, view.packed().raw_len), (Encoding::Zstd, 408));

    assert_eq!(times(&all[0]), (u64::MAX, u64::MAX, 5));
    assert_eq!((&*all[0].response, &*all[0].strategy, &all[0].rule), (&b"Paris."[..], "explicit", &None));
    assert_eq!((&all[0].typ, &all[0].meta, all[0].tags.len()), (&None, &None, 0));
    assert_eq!((times(&all[1]), all[1].effort.estimated), ((1_749_999_999_000, 1_750_000_050_000, 51_000), true));
    assert_eq!((&*all[1].response, all[1].ask.shape), (&b"\x00\xff\r\n"[..], Shape::OpenAiResponses));
    assert_eq!((times(&all[3]).1, &*all[3].response), (253_402_300_799_999, &b""[..]));
    assert_eq!(
        (all[3].ask.shape, &*all[3].ask.scope, &*all[3].ask.params),
        (Shape::Anthropic, &b"bob\0"[..], &b"\xff"[..])
    );

    let strict = Terms { no_touch: true, ..Terms::default() };
    let lenient = Terms { stale_ok: true, ..strict };
    for (prompt, terms, answers) in [(2, strict, true), (1, strict, false), (1, lenient, true), (4, lenient, false)] {
        let got = cache.get(&all[prompt].ask.identity(), &terms, NOW, &mut codec).unwrap();
        assert_eq!(matches!(got, Got::Hit { .. }), answers, "{:?}", all[prompt].ask);
    }
}

/// The digest as Python's hashlib tells it.
const FULL_ID: &str = "7a41b21e59717c5bf81b26b15ad41704";

#[test]
fn what_was_read_of_version_1_is_written_in_the_version_of_today() {
    let (old, mut codec) = (load(), Codec::new());
    let new = loaded(&saved(&old)).unwrap();
    assert_eq!(entries(&new, &mut codec), entries(&old, &mut codec));
    assert_eq!((new.policy(), new.ledger().counters()), (old.policy(), old.ledger().counters()));
}
