//! The golden file of version 3: plans, and one more counter. See `tests/fixtures/README.md`.

use super::support::{entries, loaded, saved, Saved};
use llmcache::core::cache::Cache;
use llmcache::core::codec::Codec;
use llmcache::core::identity::{Digest, Shape};
use llmcache::core::persist::Sink;
use llmcache::core::wire::Writer;

const V3: &[u8] = include_bytes!("../fixtures/cache_v3.bin");

/// Writes the layouts of version 3 byte by byte, with none of the code that is to read them.
fn version_3() -> Vec<u8> {
    let mut sink = Saved::default();
    sink.number(3);

    let mut policy = Writer::record(b'P', 2);
    // mode exact, evict lru, compress none, level 3, jitter 0 %
    policy.u8(0).u8(0).u8(0).u8(3).u8(0);
    policy.u64(0).u64(0).u64(0).bytes(b"standard");
    policy.u32(0).u32(0).u32(0);
    // builtin, idf, guards on, no dimensions, the default threshold
    policy.u8(0).u8(0).u8(1).u32(0).u64(f64::NAN.to_bits());
    sink.record(&policy.finish());

    let mut counters = Writer::record(b'K', 3);
    counters.u64(1_740_000_000_000).u64(1).u64(2);
    (101..=120).for_each(|n| {
        counters.u64(n);
    });
    sink.record(&counters.finish());
    let mut feedback = Writer::record(b'F', 1);
    feedback.u32(0);
    sink.record(&feedback.finish());

    sink.number(2);
    let mut plan = Writer::record(b'W', 1);
    plan.bytes(b"a").u64(60_000).u32(7).u32(4).u32(2).bytes(b"EX").bytes(b"90");
    plan.u32(2).fixed(&[1; 32]).bytes(b"first").u32(0);
    plan.fixed(&[2; 32]).bytes(b"second").u32(1).bytes(b"PERSIST");
    sink.record(&plan.finish());
    let mut empty = Writer::record(b'W', 1);
    empty.bytes(b"b").u64(1000).u32(1).u32(0).u32(0).u32(0);
    sink.record(&empty.finish());

    sink.number(1);
    let mut context = Writer::record(b'C', 1);
    context.u8(Shape::Plain as u8).bytes(b"ann").bytes(b"").bytes(b"").bytes(b"");
    sink.record(&context.finish());
    sink.number(1);
    let mut w = Writer::record(b'E', 2);
    w.u32(0).u64(1_750_000_000_000).u64(u64::MAX).u64(u64::MAX).u64(0);
    w.u64(7).u64(8).u8(0).u64(9).u64(10).u64(11).u64(0x0123_4567_89ab_cdef);
    w.u8(0).u32(6).bytes(b"answer").bytes(b"p").bytes(b"explicit").option(None).option(None).u16(0).option(None);
    w.u8(1).u8(0);
    sink.record(&w.finish());
    sink.0
}

/// Makes the file anew, once, where there is none: `cargo test … --test core_cache -- --ignored write_version_3`.
#[test]
#[ignore = "writes tests/fixtures/cache_v3.bin, which never changes"]
fn write_version_3() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cache_v3.bin");
    let written = std::fs::read(path).unwrap_or_default();
    assert!(written.is_empty(), "a golden file is never written again");
    std::fs::write(path, version_3()).unwrap();
}

#[test]
fn version_3_is_the_layout_that_is_documented() {
    assert!(V3 == version_3());
}

#[test]
fn version_3_is_read_field_by_field() {
    let cache = loaded(V3).unwrap();
    cache.validate().unwrap();
    let counters = *cache.ledger().counters();
    assert_eq!((counters.feedback_bad, counters.coalesced), (119, 120));
    let plans: Vec<_> = cache.plans().list().collect();
    let [(a, first), (b, second)] = plans[..] else { panic!("two plans") };
    assert_eq!((a, b, first.every_ms(), first.limit(), first.hot()), (&b"a"[..], &b"b"[..], 60_000, 7, 4));
    assert_eq!(first.common().iter().map(|word| &**word).collect::<Vec<_>>(), [b"EX", b"90"]);
    let [one, two] = first.items() else { panic!("two items") };
    assert_eq!((one.digest, &*one.prompt, one.options.len()), (Digest::from_bytes([1; 32]), &b"first"[..], 0));
    assert_eq!(
        (two.digest, &*two.prompt, &*two.options[0]),
        (Digest::from_bytes([2; 32]), &b"second"[..], &b"PERSIST"[..])
    );
    assert_eq!((second.every_ms(), second.limit(), second.items().len()), (1000, 1, 0));
    assert_eq!(cache.store().len(), 1);
}

#[test]
fn what_was_read_of_version_3_is_written_in_the_version_of_today() {
    let (old, mut codec) = (loaded(V3).unwrap(), Codec::new());
    let new = loaded(&saved(&old)).unwrap();
    assert_eq!(entries(&new, &mut codec), entries(&old, &mut codec));
    assert_eq!((new.policy(), new.ledger().counters()), (old.policy(), old.ledger().counters()));
    let plans = |cache: &Cache| -> Vec<_> {
        cache.plans().list().map(|(name, _)| (name.to_vec(), cache.plan_record(name))).collect()
    };
    assert_eq!(plans(&new), plans(&old));
}
