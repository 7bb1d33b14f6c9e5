//! The golden file of version 5: a dictionary, and an entry that is compressed with it. See `tests/fixtures/README.md`.

use super::support::{entries, loaded, saved, Saved};
use llmcache::core::codec::{Codec, Encoding};
use llmcache::core::identity::Shape;
use llmcache::core::persist::Sink;
use llmcache::core::policy::Compress;
use llmcache::core::wire::Writer;

const V5: &[u8] = include_bytes!("../fixtures/cache_v5.bin");

/// A dictionary of 400 bytes as zstd 1.5.7 trained it, its id zeroed, and compressed as a frame.
const DICTIONARY: &[u8] =
    b"(\xb5/\xfd`\x90\x00-\x08\x00\x04\r7\xa40\xec\x00\x00\x00\x00-\x10\xa8\xdc\xe803\x13N\xc2\xc6\x90\x00\
    ~-\x80_\x0bD\xa4LIJ)\x15\x00~\xad1e\xa4\x8c\x1b)\xe3\xc6\x92\x03\x01\x00\x00`\x000\xa9\r\x00\x00\x00\x04\xa0\
    \xc1\x82\x81\x13-\x16\r\x08\t\x15\x00J\x0b\x02\x80\x05AR\x07\x00\x00$\x08\x80\x1b\x10\x06r9\x004\xb4\x03]\r\
    \x05\x00\x01\x00\x00\x00\x08\x00\x00\x00ut Paris is quite short:number 43. Yourson 722 about an atomnuestion \
    18Red kettleer 5523the moonnum9 poe\x14\x00FC\x10O\x0eh\x9d<\x0cnP\xad\xc0\x93\x03M\xa7}A\x00\x04\xc8)\x00\
    \x8d\xd3\xc0*\xfb\x8e\x11\x18\xe0\xf9\xce\x01\x170{q\xccWF\x05\x17\xacY\x80:";

/// An answer and the block that zstd 1.5.7 made of it with that dictionary: a frame without its first nine bytes.
const ANSWER: &[u8] = b"Dear reader, the answer to question 42 about a kettle is quite short: a kettle is number 5. \
    Yours sincerely, the cache.";
const BLOCK: &[u8] =
    b"\x94\x02Dear reader,answer to q42 sincerelycache.\t\xfc\xa3\x98cs\x162}\x19dpO&=\x84P\xfa\x99p\xfe\
    \xfc\x01";

/// Writes the layouts of version 5 byte by byte, with none of the code that is to read them.
fn version_5() -> Vec<u8> {
    let mut sink = Saved::default();
    sink.number(5);

    let mut policy = Writer::record(b'P', 3);
    // mode exact, evict lru, compress dict, level 3, jitter 0 %
    policy.u8(0).u8(0).u8(2).u8(3).u8(0);
    policy.u64(0).u64(0).u64(0).bytes(b"standard");
    policy.u32(0).u32(0).u32(0);
    // builtin, idf, guards on, no dimensions, the default threshold
    policy.u8(0).u8(0).u8(1).u32(0).u64(f64::NAN.to_bits());
    sink.record(&policy.finish());

    let mut ledger = Writer::record(b'K', 4);
    ledger.u64(u64::MAX).u64(0);
    for _ in 0..2 {
        (0..22).for_each(|_| {
            ledger.u64(0);
        });
        ledger.u64(0).bytes(&[0]).bytes(b"").bytes(b"").bytes(b"");
    }
    (0..5).for_each(|_| {
        ledger.u16(0);
    });
    sink.record(&ledger.finish());

    let mut feedback = Writer::record(b'F', 1);
    feedback.u32(0);
    sink.record(&feedback.finish());
    sink.number(0);
    let mut alerts = Writer::record(b'A', 1);
    alerts.u32(0);
    sink.record(&alerts.finish());

    sink.number(2);
    for (is_current, first) in [(0, 11), (1, 21)] {
        let mut dictionary = Writer::record(b'Z', 1);
        dictionary.u8(is_current);
        // The version, samples, entries, and bytes tried, as they came and as they are stored.
        (first..first + 5).for_each(|n| {
            dictionary.u32(n);
        });
        dictionary.u32(400).bytes(DICTIONARY);
        sink.record(&dictionary.finish());
    }

    sink.number(1);
    let mut context = Writer::record(b'C', 1);
    context.u8(Shape::Plain as u8).bytes(b"ann").bytes(b"gpt").bytes(b"").bytes(b"");
    sink.record(&context.finish());
    // Compressed with the second dictionary, and the first; one raw.
    sink.number(3);
    for (prompt, etag, encoding, answer, dictionary) in
        [(b"p", 1, 2, BLOCK, 1), (b"q", 2, 2, BLOCK, 0), (b"r", 3, 0, ANSWER, 0)]
    {
        let mut w = Writer::record(b'E', 3);
        w.u32(0).u64(1_750_000_000_000).u64(u64::MAX).u64(u64::MAX).u64(0);
        w.u64(7).u64(8).u8(0).u64(9).u64(10).u64(11).u64(etag);
        w.u8(encoding).u32(ANSWER.len() as u32).bytes(answer);
        w.bytes(prompt).bytes(b"explicit").option(None).option(None).u16(0).option(None);
        w.u8(1).u8(0);
        w.u8(dictionary);
        sink.record(&w.finish());
    }
    sink.0
}

/// Makes the file anew, once, where there is none: `cargo test … --test core_cache -- --ignored write_version_5`.
#[test]
#[ignore = "writes tests/fixtures/cache_v5.bin, which never changes"]
fn write_version_5() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cache_v5.bin");
    let written = std::fs::read(path).unwrap_or_default();
    assert!(written.is_empty(), "a golden file is never written again");
    std::fs::write(path, version_5()).unwrap();
}

#[test]
fn version_5_is_the_layout_that_is_documented() {
    assert!(V5 == version_5());
}

#[test]
fn version_5_is_read_field_by_field() {
    let cache = loaded(V5).unwrap();
    cache.validate().unwrap();
    assert_eq!(cache.policy().compress, Compress::Dict);
    let list = cache.store().dictionaries().list();
    let told: Vec<_> = list
        .iter()
        .map(|shown| {
            let facts = shown.dictionary.facts();
            let made = [facts.version, facts.samples, facts.entries, facts.tried_raw, facts.tried_stored];
            (made, shown.dictionary.content_len(), shown.users, shown.is_current)
        })
        .collect();
    assert_eq!(told, [([11, 12, 13, 14, 15], 400, 1, false), ([21, 22, 23, 24, 25], 400, 1, true)]);
    let mut codec = Codec::new();
    let views: Vec<_> = cache.store().from_slot(0).map(|(_, view)| view).collect();
    let stored: Vec<_> = views.iter().map(|view| (view.packed().encoding, view.packed().bytes)).collect();
    assert_eq!(stored, [(Encoding::Dict, BLOCK), (Encoding::Dict, BLOCK), (Encoding::Raw, ANSWER)]);
    let read: Vec<_> = views.iter().map(|view| view.dictionary().map(|one| one.facts().version)).collect();
    assert_eq!(read, [Some(21), Some(11), None]);
    for seen in entries(&cache, &mut codec) {
        assert_eq!(seen.response, ANSWER);
    }
}

#[test]
fn version_5_is_written_as_it_was_read() {
    assert!(saved(&loaded(V5).unwrap()) == V5);
}
