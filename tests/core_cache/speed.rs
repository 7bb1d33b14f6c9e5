//! What must not grow with the size of a cache. The figures for people:
//! `cargo test --release --no-default-features --test core_cache -- --ignored --nocapture figures`.

use super::support::{store, Ask, Rng, START};
use llmcache::core::cache::{Cache, Terms};
use llmcache::core::codec::Codec;
use llmcache::core::eviction::Pressure;
use llmcache::core::invalidation::Selection;
use llmcache::core::policy::{Compress, Evict, Policy, PolicyChange};
use llmcache::core::storing::Lifetime;
use llmcache::core::time::UnixMs;
use std::time::{Duration, Instant};

const NOW: UnixMs = UnixMs(START);

fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn scan_all(cache: &Cache) -> usize {
    let (mut cursor, mut seen) = (0, 0);
    loop {
        let (next, page) = cache.scan(cursor, 10, NOW, |_| true);
        seen += page.len();
        cursor = next;
        if cursor == 0 {
            return seen;
        }
    }
}

/// A page looks at its own slots only, also where almost all of them are empty.
#[test]
fn a_scan_of_an_almost_empty_cache_is_no_slower_than_of_a_full_one() {
    let mut cache = Cache::default();
    let asks: Vec<_> = (0..30_000).map(|i| Ask::plain(format!("{i}"))).collect();
    for ask in &asks {
        store(&mut cache, &ask.answer(b"r"), NOW);
    }
    let full = timed(|| assert_eq!(scan_all(&cache), 30_000));
    let ids: Vec<_> = asks[..29_999].iter().map(Ask::id).collect();
    cache.delete(&ids, NOW);
    let sparse = timed(|| assert_eq!(scan_all(&cache), 1));
    assert!(sparse < full * 2, "{sparse:?} for one entry, {full:?} for 30,000");
}

#[test]
#[ignore = "figures, meaningful in release"]
fn figures() {
    for n in [10_000_u32, 100_000, 400_000] {
        println!("{n} entries, ns each:");
        let line =
            |what: &str, count: u32, took: Duration| println!("  {what:28} {:7}", took.as_nanos() / u128::from(count));
        let response = Rng::new(1).text(1500);
        let tags: Vec<_> = (0..10).map(|i| format!("tag {i}")).collect();
        let asks: Vec<_> = (0..n).map(|i| Ask::plain(format!("{i:0300}"))).collect();
        let mut codec = Codec::new();
        let fill = |cache: &mut Cache, codec: &mut Codec, tagged: bool| {
            for (i, ask) in asks.iter().enumerate() {
                let mut answer = ask.answer(&response);
                if tagged {
                    answer.tags = vec![tags[i % 10].as_bytes(), b"all"];
                }
                answer.lifetime = Lifetime::After(1000 + (i as u64 * 7919) % 1_000_000);
                cache.set(&answer, NOW, Pressure::None, codec).unwrap();
            }
        };
        let raw = Policy { compress: Compress::None, ..Policy::default() };
        let mut cache = Cache::with_policy(raw.clone());
        line(
            "digest",
            n,
            timed(|| {
                asks.iter().for_each(|ask| {
                    std::hint::black_box(ask.digest());
                })
            }),
        );
        line("digest + set", n, timed(|| fill(&mut cache, &mut codec, false)));
        let get = |cache: &mut Cache, codec: &mut Codec| {
            for i in 0..n as usize {
                let ask = &asks[i * 7919 % n as usize];
                let _ = std::hint::black_box(cache.get(&ask.identity(), &Terms::default(), NOW, codec).unwrap());
            }
        };
        line("get", n, timed(|| get(&mut cache, &mut codec)));
        line("expire", n, timed(|| assert_eq!(cache.expire(UnixMs(u64::MAX - 1), usize::MAX), u64::from(n))));
        let mut cache = Cache::with_policy(raw.clone());
        line("digest + set, tagged", n, timed(|| fill(&mut cache, &mut codec, true)));
        let tag = Selection { tags: vec![b"tag 3"], ..Selection::default() };
        line("invalidate a tag of 10 %", n / 10, timed(|| drop(cache.invalidate(&tag, NOW))));
        let glob = Selection { glob: Some(b"*no such*"), ..Selection::default() };
        line("a glob over all", n / 10 * 9, timed(|| assert_eq!(cache.count_selected(&glob, NOW), 0)));
        let all = Selection { tags: vec![b"all"], ..Selection::default() };
        line("invalidate a tag of all", n / 10 * 9, timed(|| drop(cache.invalidate(&all, NOW))));
        for evict in [Evict::Lru, Evict::Ttl, Evict::Lfu, Evict::Cost] {
            let policy = Policy { evict, max_entries: u64::from(n / 10), ..raw.clone() };
            let mut cache = Cache::with_policy(policy);
            let name = format!("digest + set + evict {}", evict.name());
            line(&name, n, timed(|| fill(&mut cache, &mut codec, true)));
        }
        let policy = Policy { max_memory: u64::from(n) * 220, ..Policy::default() };
        let mut cache = Cache::with_policy(policy);
        line("the same by memory, zstd", n, timed(|| fill(&mut cache, &mut codec, true)));
        line("get there", n, timed(|| get(&mut cache, &mut codec)));
        let mut cache = Cache::default();
        fill(&mut cache, &mut codec, false);
        line("press", n, timed(|| cache.press_some(usize::MAX, &mut codec)));
        line("get, pressed", n, timed(|| get(&mut cache, &mut codec)));
    }
}

/// What a cache of a million entries may do at once: the longest of each kind.
#[test]
#[ignore = "figures, meaningful in release"]
fn a_million() {
    const N: usize = 1_000_000;
    let mut codec = Codec::new();
    let mut cache = Cache::with_policy(Policy { compress: Compress::None, ..Policy::default() });
    let mut longest = Duration::ZERO;
    let asks = (0..N).map(|i| Ask::plain(format!("{i}")));
    for ask in asks.clone() {
        let answer = ask.answer(b"r");
        longest = longest.max(timed(|| drop(cache.set(&answer, NOW, Pressure::None, &mut codec).unwrap())));
    }
    println!("the longest SET while it grows {longest:?}");
    for ask in asks {
        let _ = cache.get(&ask.identity(), &Terms::default(), NOW, &mut codec).unwrap();
    }
    println!("the first victim, when all were asked {:?}", timed(|| drop(cache.relieve(1, 1, NOW))));
    println!("64 more {:?}", timed(|| drop(cache.relieve(usize::MAX, 64, NOW))));
    for evict in [Evict::Lru, Evict::Lfu, Evict::Cost] {
        let change = PolicyChange { evict: Some(evict), ..PolicyChange::default() };
        println!("ALTER EVICT {} {:?}", evict.name(), timed(|| drop(cache.alter(&change, NOW).unwrap())));
        println!("64 victims {:?}", timed(|| drop(cache.relieve(usize::MAX, 64, NOW))));
    }
    println!("in the order of use {:?}", timed(|| assert_eq!(cache.store().by_recency().count(), cache.store().len())));
}
