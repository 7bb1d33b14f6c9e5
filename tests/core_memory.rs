//! What a cache says it takes against what an allocator that counts has given it, and what hostile bytes can make it ask
//! for. A binary of its own, because of the allocator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests fail by panicking

mod counting;

use counting::{class, held, most};
use llmcache::core::cache::{Cache, Got, Terms};
use llmcache::core::codec::{Codec, Encoding, Packed};
use llmcache::core::eviction::Pressure;
use llmcache::core::identity::{Context, Identity, Shape};
use llmcache::core::persist::{self, Sink, Source};
use llmcache::core::policy::{Compress, Policy};
use llmcache::core::storing::{Answer, Condition, Lifetime, Stored};
use llmcache::core::time::UnixMs;
use llmcache::core::wire::{WireError, Writer};

const NOW: UnixMs = UnixMs(1_750_000_000_000);

#[test]
fn the_classes_are_those_of_jemalloc() {
    for (asked, given) in
        [(1, 8), (8, 8), (9, 16), (100, 112), (128, 128), (129, 160), (600, 640), (1025, 1280), (20_000, 20_480)]
    {
        assert_eq!(class(asked), given, "{asked}");
    }
    let before = held();
    let bytes = std::hint::black_box(vec![1u8; 100]);
    assert_eq!(held() - before, 112);
    drop(bytes);
    assert_eq!(held(), before);
}

/// Content for a cache: what the i-th entry is like.
#[derive(Clone)]
struct Shaped {
    prompt: usize,
    response: usize,
    meta: usize,
    tags: usize,
    /// How many different tags there are.
    of_tags: usize,
    /// How many different contexts there are, and how long each is.
    contexts: (usize, usize),
    mortal: bool,
    compress: bool,
}

const PLAIN: Shaped =
    Shaped { prompt: 40, response: 60, meta: 0, tags: 0, of_tags: 1, contexts: (1, 20), mortal: true, compress: false };

/// Text that compresses by about a half.
fn text(seed: usize, len: usize) -> Vec<u8> {
    let mut x = seed as u64 + 1;
    let byte = |x: &mut u64| {
        *x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b"etaoinshr dlu. "[(*x >> 33) as usize % 15]
    };
    (0..len).map(|_| byte(&mut x)).collect()
}

impl Shaped {
    fn put(&self, cache: &mut Cache, i: usize, codec: &mut Codec) {
        let prompt = format!("{i:0width$}", width = self.prompt);
        let scope = format!("{:0width$}", i % self.contexts.0, width = self.contexts.1);
        let (response, meta) = (text(i, self.response), vec![b' '; self.meta]);
        let tags: Vec<_> = (0..self.tags).map(|t| format!("tag {}", (i * self.tags + t) % self.of_tags)).collect();
        let context =
            Context { shape: Shape::Plain, scope: scope.as_bytes(), model: b"model", system: b"", params: b"" };
        let identity = Identity { context, prompt: prompt.as_bytes() };
        let answer = Answer {
            identity,
            digest: identity.digest(),
            response: &response,
            condition: Condition::Always,
            lifetime: if self.mortal { Lifetime::After(1 + (i as u64 * 7919) % 90_000) } else { Lifetime::Never },
            stale_ms: None,
            typ: None,
            tags: tags.iter().map(|tag| tag.as_bytes()).collect(),
            tokens: None,
            usage: None,
            cost: None,
            latency_ms: 0,
            meta: (self.meta > 0).then_some(&*meta),
            temperature_above_one: false,
            comparable: true,
            vector: None,
        };
        let stored = cache.set(&answer, NOW, Pressure::None, codec).unwrap().0;
        assert!(matches!(stored, Stored::Stored(_)), "{stored:?}");
    }

    fn cache(&self) -> Cache {
        let compress = if self.compress { Compress::Zstd } else { Compress::None };
        Cache::with_policy(Policy { compress, ..Policy::default() })
    }
}

/// Builds a cache and compares; a cache is boxed in the server.
fn compare(what: &str, build: impl FnOnce(&mut Codec) -> Cache) {
    let mut codec = Codec::new();
    // The codec's buffers are nobody's in particular.
    let packed = codec.pack(&text(1, 30_000), Some(3));
    codec.unpack(&packed, None).unwrap();
    let before = held();
    let cache = Box::new(build(&mut codec));
    let real = held() - before;
    let said = cache.memory() as isize;
    let off = (said - real) as f64 / real as f64 * 100.0;
    println!("{what:45} {:8} entries, {real:10} held, {said:10} said, {off:+.1} %", cache.store().len());
    assert!(off.abs() <= 5.0, "{what}: {real} held, {said} said, {off:+.1} %");
}

fn filled(shape: &Shaped, n: usize, codec: &mut Codec) -> Cache {
    let mut cache = shape.cache();
    (0..n).for_each(|i| shape.put(&mut cache, i, codec));
    cache
}

#[test]
fn memory_is_what_the_allocator_gave() {
    let shapes = [
        ("100 bytes", PLAIN),
        ("100 bytes, for ever", Shaped { mortal: false, ..PLAIN }),
        ("1.5 KB", Shaped { prompt: 300, response: 1200, ..PLAIN }),
        ("20 KB", Shaped { prompt: 2000, response: 18_000, ..PLAIN }),
        ("meta", Shaped { meta: 333, ..PLAIN }),
        ("one tag of 3", Shaped { tags: 1, of_tags: 3, ..PLAIN }),
        ("8 tags of 20", Shaped { tags: 8, of_tags: 20, ..PLAIN }),
        ("32 tags of 1000", Shaped { tags: 32, of_tags: 1000, ..PLAIN }),
        ("a tag of its own each", Shaped { tags: 1, of_tags: 1_000_000, ..PLAIN }),
        ("a context each", Shaped { contexts: (1_000_000, 200), ..PLAIN }),
        ("a context for ten", Shaped { contexts: (1000, 2000), ..PLAIN }),
    ];
    for (what, shape) in shapes {
        compare(what, |codec| filled(&shape, 10_000, codec));
    }
    // The tables have just not doubled, and just have.
    for n in [14_000, 15_000, 16_400] {
        compare(&format!("100 bytes, {n}"), |codec| filled(&PLAIN, n, codec));
    }
}

#[test]
fn memory_is_right_while_answers_are_compressed() {
    let shape = Shaped { prompt: 100, response: 2000, compress: true, ..PLAIN };
    compare("waiting", |codec| filled(&shape, 10_000, codec));
    compare("compressed, with hot copies", |codec| {
        let mut cache = filled(&shape, 10_000, codec);
        cache.press_some(usize::MAX, codec);
        assert!(cache.store().hot().entries > 100, "what was just stored");
        // What is asked for a second time is kept.
        for i in (0..4000).chain(0..4000) {
            let (prompt, scope) = (format!("{i:0width$}", width = shape.prompt), [b'0'; 20]);
            let context = Context { shape: Shape::Plain, scope: &scope, model: b"model", system: b"", params: b"" };
            let identity = Identity { context, prompt: prompt.as_bytes() };
            let got = cache.get(&identity, &Terms::default(), NOW, codec).unwrap();
            assert!(matches!(got, Got::Hit { .. }));
        }
        assert!(cache.store().hot().entries > 1000);
        cache
    });
    compare("compressed elsewhere, in part", |codec| {
        let mut cache = filled(&shape, 10_000, codec);
        let pressings = cache.take_pressings(8_000_000, None);
        pressings.iter().map(|pressing| pressing.press(codec)).for_each(|pressed| cache.bring_back(pressed));
        cache
    });
    let huge = Shaped { response: 20_000, ..shape };
    compare("compressed, hot copies at their limit", |codec| {
        let mut cache = filled(&huge, 3_000, codec);
        cache.press_some(usize::MAX, codec);
        cache
    });
}

#[test]
fn memory_is_right_after_a_life() {
    for (what, shape) in [
        ("100 bytes", PLAIN),
        ("tags", Shaped { tags: 4, of_tags: 100, ..PLAIN }),
        ("a tag of its own each", Shaped { tags: 1, of_tags: 1_000_000, ..PLAIN }),
        ("a context each", Shaped { contexts: (1_000_000, 200), ..PLAIN }),
    ] {
        compare(&format!("{what}, overwritten"), |codec| {
            let mut cache = filled(&shape, 10_000, codec);
            (0..5_000).for_each(|i| shape.put(&mut cache, i * 7919 % 10_000, codec));
            cache
        });
        compare(&format!("{what}, loaded"), |codec| {
            let cache = filled(&shape, 10_000, codec);
            let mut sink = Pile(Vec::new(), 0);
            persist::save(&cache, &mut sink);
            persist::load(&mut sink).unwrap()
        });
        compare(&format!("{what}, copied"), |codec| filled(&shape, 10_000, codec).clone());
        compare(&format!("{what}, evicting"), |codec| {
            let mut cache = Cache::with_policy(Policy { max_entries: 10_000, ..shape.cache().policy().clone() });
            (0..15_000).for_each(|i| shape.put(&mut cache, i, codec));
            cache
        });
    }
}

fn thinned(shape: &Shaped, keep: usize, codec: &mut Codec) -> Cache {
    let mut cache = filled(shape, 20_000, codec);
    let store = cache.store();
    let ids: Vec<_> = store.by_recency().filter_map(|slot| store.view(slot)).map(|view| view.id()).collect();
    let gone: Vec<_> = ids.iter().enumerate().filter(|(i, _)| i % keep > 0).map(|(_, id)| *id).collect();
    cache.delete(&gone, NOW);
    cache
}

/// Statistics are most of a small cache that is much asked.
#[test]
fn memory_is_right_with_statistics_of_many_names_and_days() {
    for (what, names) in [("one scope", 1), ("30 scopes", 30), ("130 scopes", 130), ("300 scopes", 300)] {
        let shape = Shaped { tags: 2, of_tags: names, contexts: (names, 30), mortal: false, ..PLAIN };
        let asked = |codec: &mut Codec| {
            let mut cache = filled(&shape, 300, codec);
            for step in 0..20_000_u64 {
                let i = (step * 7919 % 300) as usize;
                let (prompt, scope) = (format!("{i:040}"), format!("{:030}", i % names));
                let context =
                    Context { shape: Shape::Plain, scope: scope.as_bytes(), model: b"model", system: b"", params: b"" };
                let identity = Identity { context, prompt: prompt.as_bytes() };
                cache.get(&identity, &Terms::default(), UnixMs(NOW.0 + step * 5000), codec).unwrap();
            }
            assert_eq!(cache.ledger().counters().hits(), 20_000);
            cache
        };
        compare(&format!("{what}, asked for a day"), asked);
        compare(&format!("{what}, asked for a day, copied"), |codec| asked(codec).clone());
        compare(&format!("{what}, asked for a day, loaded"), |codec| {
            let mut sink = Pile(Vec::new(), 0);
            persist::save(&asked(codec), &mut sink);
            persist::load(&mut sink).unwrap()
        });
    }
}

/// Known, and bounded: slots never move, so that cursors stay true, and those that were once in use stay until the cache
/// is empty. `memory` does not count them.
#[test]
fn what_a_cache_keeps_of_its_better_days_is_bounded() {
    for keep in [2, 20, 20_000] {
        let mut codec = Codec::new();
        let before = held();
        let cache = Box::new(thinned(&PLAIN, keep, &mut codec));
        let (real, said) = (held() - before, cache.memory() as isize);
        // 8 bytes for the slot, 4 for its number in the list of free ones and 4 for its place in the order of eviction, with
        // the slack of all three.
        let tables = (20_000_usize.next_power_of_two() * 16) as isize;
        println!("one of {keep} left: {real} held, {said} said");
        assert!(real - said < tables + said / 20 + 4096, "one of {keep} left: {real} held, {said} said");
        drop(cache);
    }
    let mut codec = Codec::new();
    let mut cache = thinned(&PLAIN, 5, &mut codec);
    let before = held();
    let left: Vec<_> = cache.scan(0, u64::MAX, NOW, |_| true).1.iter().map(|view| view.id()).collect();
    cache.delete(&left, NOW);
    let given = before - held();
    assert!(given > 12 * 20_000, "an empty cache keeps nothing: {given}");
}

/// A saved cache as a pile of numbers and records.
struct Pile(Vec<Result<u64, Vec<u8>>>, usize);

impl Sink for Pile {
    fn number(&mut self, number: u64) {
        self.0.push(Ok(number));
    }
    fn record(&mut self, record: &[u8]) {
        self.0.push(Err(record.to_vec()));
    }
}

impl Source for Pile {
    fn number(&mut self) -> Result<u64, WireError> {
        self.1 += 1;
        match self.0.get(self.1 - 1) {
            Some(Ok(number)) => Ok(*number),
            _ => Err(WireError::Source),
        }
    }
    fn record(&mut self) -> Result<impl AsRef<[u8]>, WireError> {
        self.1 += 1;
        match self.0.get(self.1 - 1) {
            Some(Err(record)) => Ok(record.clone()),
            _ => Err(WireError::Source),
        }
    }
}

/// A length in a record may say anything; what is set aside for it is bounded by what is there.
#[test]
fn a_lying_length_sets_nothing_aside() {
    let shape = Shaped { tags: 3, of_tags: 9, meta: 50, ..PLAIN };
    let mut codec = Codec::new();
    let cache = filled(&shape, 3, &mut codec);
    let mut pile = Pile(Vec::new(), 0);
    persist::save(&cache, &mut pile);
    let size: usize = pile.0.iter().map(|part| part.as_ref().map_or_else(Vec::len, |_| 8)).sum();
    let whole = most(|| drop(persist::load(&mut Pile(pile.0.clone(), 0)).unwrap()));
    let mut worst = 0;
    for part in 0..pile.0.len() {
        let length = pile.0[part].as_ref().map_or_else(Vec::len, |_| 1);
        for at in 0..length {
            let mut parts = pile.0.clone();
            match &mut parts[part] {
                Ok(number) => *number = u64::MAX,
                Err(record) => record.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
            }
            let mut parts = Pile(parts, 0);
            worst = worst.max(most(|| drop(persist::load(&mut parts))));
        }
    }
    println!("{size} bytes, {whole} to load them, {worst} at worst when they lie");
    assert!(worst < whole + 4 * size as isize);
}

/// A frame that says it is half a gigabyte long, and is fifty bytes.
#[test]
fn a_lying_frame_sets_nothing_aside() {
    let raw_len: u32 = 512 << 20;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend(raw_len.to_le_bytes());
    frame.extend([0x55; 41]);
    let packed = Packed { encoding: Encoding::Zstd, dictionary: 0, raw_len, bytes: frame.clone().into() };
    let mut codec = Codec::new();
    let taken = most(|| assert!(codec.unpack(&packed, None).is_err()));
    assert!(taken < 1 << 20, "{taken} bytes for {} bytes", frame.len());

    // The same by way of a cache: the error is told, and nothing is counted.
    let mut context = Writer::record(b'C', 1);
    context.u8(0).bytes(b"").bytes(b"").bytes(b"").bytes(b"");
    let mut entry = Writer::record(b'E', 1);
    entry.u32(0).u64(NOW.0).u64(u64::MAX).u64(u64::MAX).u64(0).u64(1).u64(1).u8(0).u64(1).u64(1).u64(0).u64(1);
    entry.u8(1).u32(raw_len).bytes(&frame).bytes(b"q").bytes(b"explicit").option(None).option(None).u16(0).option(None);
    let mut cache = Cache::default();
    // Refused on the way in, or an error on the way out.
    let _ = cache.repeat_store(&context.finish(), &entry.finish(), None, NOW);
    let context = Context { shape: Shape::Plain, scope: b"", model: b"", system: b"", params: b"" };
    let identity = Identity { context, prompt: b"q" };
    if cache.store().find(&identity.digest()).is_some() {
        let taken = most(|| assert!(cache.get(&identity, &Terms::default(), NOW, &mut codec).is_err()));
        assert!(taken < 1 << 20, "{taken}");
    }
    assert_eq!((cache.ledger().counters().lookups, cache.ledger().counters().hits()), (0, 0));
}

/// What really is that small is still read.
#[test]
fn answers_that_compress_to_almost_nothing_are_read() {
    let mut codec = Codec::new();
    for length in [200, 128 << 10, (128 << 10) + 1, 1 << 20, 64 << 20] {
        let answer = vec![b'a'; length];
        let packed = codec.pack(&answer, Some(19));
        assert_eq!(packed.encoding, Encoding::Zstd);
        assert!(codec.unpack(&packed, None) == Ok(&answer[..]), "{length}: {} bytes", packed.bytes.len());
    }
}
