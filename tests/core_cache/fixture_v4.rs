//! The golden file of version 4: prices of cached tokens, statistics over time and by name, alerts. See
//! `tests/fixtures/README.md`.

use super::support::{entries, loaded, saved, Saved};
use llmcache::core::codec::Codec;
use llmcache::core::identity::Shape;
use llmcache::core::ledger::counters::Counters;
use llmcache::core::ledger::{Dimension, Window};
use llmcache::core::persist::Sink;
use llmcache::core::time::UnixMs;
use llmcache::core::wire::Writer;

const V4: &[u8] = include_bytes!("../fixtures/cache_v4.bin");

/// When the statistics of the file were last counted, in seconds: 21 seconds past a full minute.
const SECOND: u64 = 1_750_000_041;

/// Counters, the first of them so large and each of the others by one larger.
fn counters(first: u64) -> Counters {
    let mut counters = Counters::default();
    (first..).zip(counters.fields_mut()).for_each(|(n, field)| *field = n);
    counters
}

/// An account: the sums, the second that is not over, and strips of seconds, minutes and hours.
fn account(w: &mut Writer, first: u64, unfinished: &[u8], strips: [&[u8]; 3]) {
    (first..first + 22).for_each(|n| {
        w.u64(n);
    });
    w.u64(SECOND).bytes(unfinished);
    strips.into_iter().for_each(|strip| {
        w.bytes(strip);
    });
}

/// One stretch of a strip: its number, the length of what follows, which counters it has, and these.
fn stretch(number: u64, payload: &[u8]) -> Vec<u8> {
    [&(number as u32).to_le_bytes()[..], &[payload.len() as u8], payload].concat()
}

/// Writes the layouts of version 4 byte by byte, with none of the code that is to read them.
fn version_4() -> Vec<u8> {
    let mut sink = Saved::default();
    sink.number(4);

    let mut policy = Writer::record(b'P', 3);
    // mode exact, evict lru, compress none, level 3, jitter 0 %
    policy.u8(0).u8(0).u8(0).u8(3).u8(0);
    policy.u64(0).u64(0).u64(0).bytes(b"standard");
    policy.u32(2).bytes(b"a").u64(11).u64(12).u8(1).u64(13).bytes(b"b").u64(14).u64(15).u8(0);
    policy.u32(0).u32(0);
    // builtin, idf, guards on, no dimensions, the default threshold
    policy.u8(0).u8(0).u8(1).u32(0).u64(f64::NAN.to_bits());
    sink.record(&policy.finish());

    let mut ledger = Writer::record(b'K', 4);
    ledger.u64(1_740_000_000_000).u64(1_749_000_000);
    // Lookups and exact hits in seconds; the 22nd counter, which has the 22nd bit, in a minute; 300 saved micro-dollars,
    // the 7th counter, in an hour.
    let seconds = [stretch(SECOND - 2, &[0b11, 5, 4]), stretch(SECOND - 1, &[0b1, 3])].concat();
    let minutes = stretch(SECOND / 60 - 5, &[0x80, 0x80, 0x80, 0b1, 2]);
    let hours = stretch(SECOND / 3600 - 7, &[0b100_0000, 0xac, 0x02]);
    account(&mut ledger, 101, &[0b1, 7], [&seconds, &minutes, &hours]);
    account(&mut ledger, 201, &[0], [&[], &[], &[]]);
    ledger.u16(2).bytes(b"gpt");
    account(&mut ledger, 1, &[0b1, 1], [&seconds, &[], &[]]);
    ledger.bytes(b"");
    account(&mut ledger, 31, &[0], [&[], &minutes, &hours]);
    for names in [&[&b"ann"[..]][..], &[], &[b"\xff\n"], &[b"x", b"y"]] {
        ledger.u16(names.len() as u16);
        for (first, name) in (61..).zip(names) {
            account(ledger.bytes(name), first, &[0], [&[], &[], &[]]);
        }
    }
    sink.record(&ledger.finish());

    let mut feedback = Writer::record(b'F', 1);
    feedback.u32(0);
    sink.record(&feedback.finish());
    sink.number(0);
    let mut alerts = Writer::record(b'A', 1);
    alerts.u32(2).bytes(b"low").bytes(b"hit_rate").u8(1).u64(0.5_f64.to_bits()).u64(60).u8(1).u64(1_745_000_000_000);
    alerts.bytes(b"slow").bytes(b"set_us.p99").u8(0).u64(250.0_f64.to_bits()).u64(0).u8(0).u64(u64::MAX);
    sink.record(&alerts.finish());

    sink.number(1);
    let mut context = Writer::record(b'C', 1);
    context.u8(Shape::Plain as u8).bytes(b"ann").bytes(b"gpt").bytes(b"").bytes(b"");
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

/// Makes the file anew, once, where there is none: `cargo test … --test core_cache -- --ignored write_version_4`.
#[test]
#[ignore = "writes tests/fixtures/cache_v4.bin, which never changes"]
fn write_version_4() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cache_v4.bin");
    let written = std::fs::read(path).unwrap_or_default();
    assert!(written.is_empty(), "a golden file is never written again");
    std::fs::write(path, version_4()).unwrap();
}

#[test]
fn version_4_is_the_layout_that_is_documented() {
    assert!(V4 == version_4());
}

#[test]
fn version_4_is_read_field_by_field() {
    let cache = loaded(V4).unwrap();
    cache.validate().unwrap();
    let price = |model: &[u8]| {
        let price = cache.policy().prices[model];
        let cached = price.cached_per_mtok.map(|usd| usd.micros());
        (price.input_per_mtok.micros(), price.output_per_mtok.micros(), cached)
    };
    assert_eq!((price(b"a"), price(b"b")), ((11, 12, Some(13)), (14, 15, None)));

    let ledger = cache.ledger();
    assert_eq!((ledger.first_lookup(), *ledger.counters()), (Some(UnixMs(1_740_000_000_000)), counters(101)));
    let names = |dimension| ledger.counted_by(dimension, None).0.map(|(name, sum)| (name.to_vec(), sum)).collect();
    let by: [Vec<_>; 5] = Dimension::ALL.map(names);
    let expected = [
        vec![(b"gpt".to_vec(), counters(1)), (Vec::new(), counters(31))],
        vec![(b"ann".to_vec(), counters(61))],
        Vec::new(),
        vec![(b"\xff\n".to_vec(), counters(61))],
        vec![(b"x".to_vec(), counters(61)), (b"y".to_vec(), counters(62))],
    ];
    assert_eq!(by, expected);
    let mut tagged = counters(101);
    tagged.merge(&counters(201));
    assert_eq!(ledger.counted_by(Dimension::Tag, None).1, tagged);
    assert_eq!(ledger.complete_from(), UnixMs(1_749_000_000_000));

    let within = |seconds| ledger.counted(Some(&Window::last(seconds, UnixMs(SECOND * 1000 + 999))));
    assert_eq!(within(1), Counters { lookups: 7 + 3, ..Counters::default() });
    assert_eq!(within(2), Counters { lookups: 7 + 3 + 5, hits_exact: 4, ..Counters::default() });
    assert_eq!(within(600), Counters { coalesced: 2, ..within(2) });
    assert_eq!(within(8 * 3600), Counters { micros_saved: 300, ..within(600) });

    let alerts = cache.alerts().list();
    let told = |i: usize| (&*alerts[i].name, alerts[i].figure.name(), alerts[i].side.name(), alerts[i].bound);
    assert_eq!(told(0), ("low", "hit_rate".to_owned(), "below", 0.5));
    assert_eq!(told(1), ("slow", "set_us.p99".to_owned(), "above", 250.0));
    let stands = |i: usize| (alerts[i].window_s, alerts[i].is_firing(), alerts[i].since());
    assert_eq!(stands(0), (Some(60), true, Some(UnixMs(1_745_000_000_000))));
    assert_eq!(stands(1), (None, false, None));
    assert_eq!(cache.store().len(), 1);
}

#[test]
fn what_was_read_of_version_4_is_written_in_the_version_of_today() {
    let (old, mut codec) = (loaded(V4).unwrap(), Codec::new());
    let new = loaded(&saved(&old)).unwrap();
    assert_eq!(entries(&new, &mut codec), entries(&old, &mut codec));
    assert_eq!((new.policy(), new.alerts()), (old.policy(), old.alerts()));
    assert_eq!(new.counters_record(), old.counters_record());
}
