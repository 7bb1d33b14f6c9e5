//! The golden file of version 2: what similar lookups added. See `tests/fixtures/README.md`.

use super::support::{entries, loaded, saved, Ask, Saved};
use llmcache::core::cache::{Cache, Found, Terms};
use llmcache::core::codec::Codec;
use llmcache::core::identity::{EntryId, Shape};
use llmcache::core::matching::{Look, Wanted, ASKED_FOR};
use llmcache::core::persist::Sink;
use llmcache::core::policy::Mode;
use llmcache::core::similarity::lexical::Metric;
use llmcache::core::similarity::Kind;
use llmcache::core::time::UnixMs;
use llmcache::core::wire::Writer;

const V2: &[u8] = include_bytes!("../fixtures/cache_v2.bin");

const NOW: UnixMs = UnixMs(1_750_000_000_000);

/// A client's vector of (1, 0, -0.5): upper bytes, then lower ones; the largest value is 63 × 512.
const CODES: [u8; 6] = [126, 0, 193, 0, 0, 0];

/// Writes the layouts of version 2 byte by byte, with none of the code that is to read them.
fn version_2() -> Vec<u8> {
    let mut sink = Saved::default();
    sink.number(2);

    let mut policy = Writer::record(b'P', 2);
    // mode similar, evict lru, compress none, level 3, jitter 0 %
    policy.u8(1).u8(0).u8(0).u8(3).u8(0);
    policy.u64(0).u64(0).u64(0).bytes(b"standard");
    policy.u32(0).u32(0).u32(0);
    // vector, jaro_winkler, guards off, three dimensions, threshold 0.75
    policy.u8(2).u8(3).u8(0).u32(3).u64(0x3fe8_0000_0000_0000);
    sink.record(&policy.finish());

    let mut counters = Writer::record(b'K', 2);
    counters.u64(1_740_000_000_000).u64(1).u64(2);
    (101..=119).for_each(|n| {
        counters.u64(n);
    });
    sink.record(&counters.finish());

    let mut feedback = Writer::record(b'F', 1);
    feedback.u32(1).u8(0).fixed(&[1; 16]).fixed(&[2; 16]);
    sink.record(&feedback.finish());

    sink.number(1);
    let mut context = Writer::record(b'C', 1);
    context.u8(Shape::Plain as u8).bytes(b"ann").bytes(b"").bytes(b"").bytes(b"");
    sink.record(&context.finish());

    sink.number(3);
    let mut entry = |prompt: &[u8], comparable: u8, vector: &dyn Fn(&mut Writer)| {
        let mut w = Writer::record(b'E', 2);
        w.u32(0).u64(NOW.0 - 5000).u64(u64::MAX).u64(u64::MAX).u64(0);
        w.u64(7).u64(8).u8(0).u64(9).u64(10).u64(11).u64(0x0123_4567_89ab_cdef);
        w.u8(0).u32(6).bytes(b"answer").bytes(prompt).bytes(b"explicit").option(None).option(None).u16(0).option(None);
        w.u8(comparable);
        vector(&mut w);
        sink.record(&w.finish());
    };
    entry(b"with a vector", 1, &|w| _ = w.u8(2).bytes(&CODES));
    entry(b"without one", 1, &|w| _ = w.u8(0));
    // Not the vector of this kind of cache, nor of this model: it is read over.
    entry(b"of the built-in model", 0, &|w| _ = w.u8(1).u32(1).bytes(&[1; 256]));
    sink.0
}

/// Makes the file anew, once, where there is none: `cargo test … --test core_cache -- --ignored write_version_2`.
#[test]
#[ignore = "writes tests/fixtures/cache_v2.bin, which never changes"]
fn write_version_2() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cache_v2.bin");
    let written = std::fs::read(path).unwrap_or_default();
    assert!(written.is_empty(), "a golden file is never written again");
    std::fs::write(path, version_2()).unwrap();
}

#[test]
fn version_2_is_the_layout_that_is_documented() {
    assert!(V2 == version_2());
}

fn load() -> Cache {
    let cache = loaded(V2).unwrap();
    cache.validate().unwrap();
    cache
}

#[test]
fn version_2_is_read_field_by_field() {
    let mut cache = load();
    let policy = cache.policy();
    assert_eq!((policy.mode, policy.similarity, policy.metric), (Mode::Similar, Kind::Vector, Metric::JaroWinkler));
    assert_eq!((policy.guards, policy.dim, policy.threshold), (false, Some(3), Some(0.75)));
    let counters = *cache.ledger().counters();
    let added = [counters.miss_threshold, counters.miss_guard, counters.feedback_good, counters.feedback_bad];
    assert_eq!(added, [116, 117, 118, 119]);
    let pair = cache.feedback().pairs().next().copied().unwrap();
    assert_eq!((pair.prompt, pair.entry), (EntryId::from_bytes([1; 16]), EntryId::from_bytes([2; 16])));
    assert_eq!(cache.store().likeness().map(|index| index.len()), Some(1), "one has a vector of this cache");

    let ask = Ask { scope: b"ann".to_vec(), ..Ask::plain("asked") };
    let identity = ask.identity();
    let (vector, terms) = ([2.0, 0.0, -1.0], Terms::default());
    let mut wanted = Wanted::exactly(identity, &terms, NOW);
    (wanted.vector, wanted.comparable) = (Some(&vector[..]), true);
    let Ok(Look::Search(asking)) = cache.look(&wanted) else { panic!("there is something to search in") };
    let hits = asking.run(asking.floor(), ASKED_FOR);
    let Found::Similar { slot, similarity, .. } = cache.settle(&asking, &hits, &wanted) else { panic!("{hits:?}") };
    assert_eq!(similarity, 1.0);
    assert_eq!(cache.store().view(slot).unwrap().prompt(), b"with a vector");
}

#[test]
fn what_was_read_of_version_2_is_written_in_the_version_of_today() {
    let mut codec = Codec::new();
    let again = saved(&load());
    assert_eq!(entries(&loaded(&again).unwrap(), &mut codec), entries(&load(), &mut codec));
}
