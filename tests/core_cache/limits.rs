//! Limits always hold, and who goes is who the policy says.

use super::support::{entries, etag, loaded, saved, store, with_seeds, Ask, Rng, START};
use llmcache::core::cache::Cache;
use llmcache::core::codec::Codec;
use llmcache::core::eviction::Pressure;
use llmcache::core::policy::{Compress, Evict, Policy, PolicyChange};
use llmcache::core::storing::{Lifetime, StoreError, Stored};
use llmcache::core::time::UnixMs;

const NOW: UnixMs = UnixMs(START);

fn cache(evict: Evict, max_entries: u64, max_memory: u64) -> Cache {
    Cache::with_policy(Policy { evict, max_entries, max_memory, compress: Compress::None, ..Policy::default() })
}

fn prompts(cache: &Cache) -> Vec<String> {
    let all = entries(cache, &mut Codec::new());
    all.iter().map(|seen| String::from_utf8_lossy(&seen.ask.prompt).into_owned()).collect()
}

/// Larger answers, more tags and more contexts than the twin's, and hot copies; the limit moves all the while.
#[test]
fn limits_hold_after_each_step() {
    with_seeds(600..=607, |seed, mut rng| {
        let evict = *rng.pick(&[Evict::Lru, Evict::Ttl, Evict::Lfu, Evict::Cost]);
        let compress = *rng.pick(&[Compress::None, Compress::Zstd]);
        let mut cache = Cache::with_policy(Policy { evict, compress, max_memory: 60_000, ..Policy::default() });
        let (mut codec, mut gone, mut full) = (Codec::new(), 0, 0);
        for step in 0..600 {
            let now = UnixMs(START + step * 100);
            let ask =
                Ask { scope: rng.text(rng.clone().below(300) as usize), ..Ask::plain(format!("q{}", rng.below(80))) };
            let response = rng.text(rng.clone().below(8000) as usize);
            let tags: Vec<_> = (0..rng.below(20)).map(|_| format!("tag {}", rng.below(60))).collect();
            let mut answer = ask.answer(&response);
            answer.tags = tags.iter().map(|tag| tag.as_bytes()).collect();
            answer.lifetime = *rng.pick(&[Lifetime::Never, Lifetime::After(1000), Lifetime::After(9000)]);
            let pressure = *rng.pick(&[Pressure::None, Pressure::None, Pressure::Tight, Pressure::Over]);
            let before = cache.memory();
            let effects = match cache.set(&answer, now, pressure, &mut codec) {
                Ok((_, effects)) => effects,
                Err(StoreError::OutOfMemory) => Default::default(),
                Err(other) => panic!("{other:?}"),
            };
            let place = || format!("LLMCACHE_SEED={seed}, step {step}, {before} bytes before");
            cache.validate().unwrap_or_else(|why| panic!("{why}, {}", place()));
            if pressure != Pressure::None && cache.store().len() > 1 {
                assert!(cache.memory() <= before, "a cache does not grow under pressure, {}", place());
            }
            let mut changed = 0;
            if step % 20 == 0 {
                let max_memory = Some(*rng.pick(&[5_000, 20_000, 60_000, 200_000]));
                let max_entries = Some(*rng.pick(&[0, 1, 7, 30]));
                let change = PolicyChange { max_memory, max_entries, ..PolicyChange::default() };
                changed = cache.alter(&change, now).unwrap().evicted.len();
                cache.validate().unwrap_or_else(|why| panic!("{why} after ALTER, {}", place()));
            }
            let pressed: Vec<_> = cache.take_pressings(10_000, None).iter().map(|one| one.press(&mut codec)).collect();
            for one in pressed {
                cache.bring_back(one);
                cache.validate().unwrap_or_else(|why| panic!("{why} after compression, {}", place()));
            }
            gone += effects.evicted.len() + changed;
            full = full.max(cache.store().len());
        }
        assert!(gone > 100 && full > 5, "{gone} evicted, {full} at most");
    });
}

#[test]
fn a_new_answer_rests_while_others_come_but_not_for_long() {
    let mut cache = Cache::with_policy(Policy { compress: Compress::Zstd, ..Policy::default() });
    let mut codec = Codec::new();
    let response = b"the same words again and again ".repeat(20);
    let at = |ms| UnixMs(START + ms);
    let mut due = |cache: &mut Cache, ms| {
        let taken = cache.take_pressings(usize::MAX, Some(at(ms)));
        let count = taken.len();
        taken.iter().for_each(|one| cache.bring_back(one.press(&mut codec)));
        count
    };
    // One every 100 ms, each question twice; each tick looks.
    let mut taken = Vec::new();
    for step in 0..40 {
        store(&mut cache, &Ask::plain(format!("question {}", step / 2)).answer(&response), at(step * 100));
        taken.push(due(&mut cache, step * 100 + 50));
    }
    assert_eq!(taken[..18].iter().sum::<usize>(), 0, "they rest: {taken:?}");
    // What was overwritten within two seconds was never compressed.
    let rested = taken.iter().sum::<usize>();
    assert!((5..=11).contains(&rested), "those that have rested are taken while others come: {taken:?}");
    assert_eq!(due(&mut cache, 3900 + 100), 0, "another may come at once");
    assert_eq!(due(&mut cache, 3900 + 260) + rested, 20, "nobody comes: all that is left");
    // A clock that is set back makes nobody wait.
    store(&mut cache, &Ask::plain("one more").answer(&response), at(10_000));
    assert_eq!(due(&mut cache, 9_000), 1);
}

#[test]
fn the_least_recently_used_goes_first() {
    let mut cache = cache(Evict::Lru, 3, 0);
    let asks = ["a", "b", "c", "d", "e"].map(Ask::plain);
    for ask in &asks[..3] {
        store(&mut cache, &ask.answer(b"r"), NOW);
    }
    cache.get(&asks[0].identity(), &Default::default(), NOW, &mut Codec::new()).unwrap();
    store(&mut cache, &asks[3].answer(b"r"), NOW);
    assert_eq!(prompts(&cache), ["c", "a", "d"]);
    store(&mut cache, &asks[2].answer(b"again"), NOW);
    store(&mut cache, &asks[4].answer(b"r"), NOW);
    assert_eq!(prompts(&cache), ["d", "c", "e"]);
    let change = PolicyChange { max_entries: Some(1), ..PolicyChange::default() };
    let effects = cache.alter(&change, NOW).unwrap();
    assert_eq!(effects.evicted, [asks[3].id(), asks[2].id()], "in this order");
    assert_eq!(prompts(&cache), ["e"]);
    assert_eq!(cache.ledger().counters().evictions, 4);
}

#[test]
fn the_soonest_to_die_goes_first_but_never_what_was_just_stored() {
    let mut cache = cache(Evict::Ttl, 3, 0);
    let mut put = |prompt: &str, lifetime: Lifetime<'_>, now: u64| {
        let ask = Ask::plain(prompt);
        let mut answer = ask.answer(b"r");
        answer.lifetime = lifetime;
        store(&mut cache, &answer, UnixMs(now));
        prompts(&cache).join(" ")
    };
    put("for ever", Lifetime::Never, START);
    put("late", Lifetime::After(9000), START);
    put("soon", Lifetime::After(5000), START);
    assert_eq!(put("at once", Lifetime::After(10), START), "for ever late at once");
    assert_eq!(put("x", Lifetime::After(20_000), START + 50), "for ever late x", "the dead go before everyone");
    assert_eq!(put("y", Lifetime::Never, START + 60), "for ever x y");
    assert_eq!(put("z", Lifetime::Never, START + 70), "for ever y z");
    assert_eq!(put("w", Lifetime::Never, START + 80), "y z w", "with no end in sight, the least recently used");
}

#[test]
fn what_is_too_large_leaves_everything_as_it_was() {
    let mut cache = cache(Evict::Lru, 0, 7000);
    let mut codec = Codec::new();
    let asks = ["a", "b"].map(Ask::plain);
    for ask in &asks {
        store(&mut cache, &ask.answer(b"small"), NOW);
    }
    let (before, memory) = (entries(&cache, &mut codec), cache.memory());
    let huge = Rng::new(1).text(6000);
    for compress in [Compress::None, Compress::Zstd] {
        cache.alter(&PolicyChange { compress: Some(compress), ..PolicyChange::default() }, NOW).unwrap();
        let skips = cache.ledger().counters().skips;
        for pressure in [Pressure::None, Pressure::Tight, Pressure::Over] {
            let huge = if compress == Compress::None { huge.clone() } else { Rng::new(2).text(40_000) };
            let (stored, effects) = cache.set(&asks[0].answer(&huge), NOW, pressure, &mut codec).unwrap();
            assert_eq!((stored, effects), (Stored::TooLarge, Default::default()));
            assert!(entries(&cache, &mut codec) == before);
            assert_eq!(cache.memory(), memory);
            cache.validate().unwrap();
        }
        assert_eq!(cache.ledger().counters().skips, skips + 3);
    }
    assert_eq!(etag(&before[0].response), before[0].etag);
}

/// The largest answer that fits alone is stored, and the next is not: the bound is the cache's own memory.
#[test]
fn what_just_fits_is_stored_in_place_of_all_others() {
    let ask = Ask::plain("large");
    let mut last = 0;
    for length in (1000..5000).step_by(8) {
        let mut cache = cache(Evict::Lru, 0, 7000);
        for ask in &["a", "b", "c"].map(Ask::plain) {
            store(&mut cache, &ask.answer(b"small"), NOW);
        }
        let response = vec![7; length];
        let (stored, _) = cache.set(&ask.answer(&response), NOW, Pressure::None, &mut Codec::new()).unwrap();
        cache.validate().unwrap();
        match stored {
            Stored::Stored(_) => last = cache.memory(),
            Stored::TooLarge => {
                assert!(last > 7000 - 300, "{last}");
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("all of them fitted");
}

#[test]
fn a_server_without_memory_refuses_only_an_empty_cache() {
    let mut cache = Cache::default();
    let ask = Ask::plain("a");
    let before = saved(&cache);
    let refused = cache.set(&ask.answer(b"r"), NOW, Pressure::Over, &mut Codec::new());
    assert_eq!(refused.unwrap_err(), StoreError::OutOfMemory);
    assert!(saved(&cache) == before, "nothing has changed");
    store(&mut cache, &ask.answer(b"r"), NOW);
    let other = Ask::plain("b");
    let (stored, effects) = cache.set(&other.answer(b"r"), NOW, Pressure::Over, &mut Codec::new()).unwrap();
    assert!(matches!(stored, Stored::Stored(_)));
    assert_eq!(effects.evicted, [ask.id()]);
}

#[test]
fn relief_gives_back_what_was_asked_within_its_budget() {
    let mut cache = Cache::default();
    for i in 0..100 {
        let ask = Ask::plain(format!("{i}"));
        store(&mut cache, &ask.answer(&[7; 100]), NOW);
    }
    // The first to go takes memory for what is remembered of it.
    assert_eq!(cache.relieve(usize::MAX, 1, NOW).evicted.len(), 1);
    let before = cache.memory();
    assert_eq!(cache.relieve(usize::MAX, 5, NOW).evicted.len(), 5);
    let given = before - cache.memory();
    assert_eq!(cache.relieve(given, 100, NOW).evicted.len(), 5, "no more than was asked");
    assert_eq!(cache.relieve(0, 100, NOW).evicted.len(), 0);
    assert_eq!(cache.relieve(usize::MAX, 1000, NOW).evicted.len(), 89);
    assert_eq!(cache.memory(), cache.policy_memory());
}

/// A hot copy is made by a lookup, which must not take the cache over its limit.
#[test]
fn a_lookup_keeps_the_limit_too() {
    let (mut cache, mut codec) = (Cache::default(), Codec::new());
    let asks: Vec<_> = (0..100).map(|i| Ask::plain(format!("{i}"))).collect();
    for (i, ask) in asks.iter().enumerate() {
        store(&mut cache, &ask.answer(&Rng::new(i as u64).text(900)), NOW);
    }
    cache.press_some(usize::MAX, &mut codec);
    // Room for a few hot copies, and hardly any for one more.
    let cold = loaded(&saved(&cache)).unwrap();
    let own = cold.memory() - cold.statistics_memory() + 4500;
    // A part of 16 is set aside for statistics.
    let max_memory = Some(own as u64 * 16 / 15);
    let effects = cache.alter(&PolicyChange { max_memory, ..PolicyChange::default() }, NOW).unwrap();
    assert!(effects.evicted.is_empty(), "hot copies go before entries");
    let mut warmed = 0;
    // The second lookup makes a copy.
    for ask in (0..5).flat_map(|_| &asks) {
        let before = cache.store().hot();
        cache.get(&ask.identity(), &Default::default(), NOW, &mut codec).unwrap();
        warmed += u32::from(cache.store().hot() != before);
        cache.validate().unwrap_or_else(|why| panic!("{why}"));
    }
    assert!(warmed > 0, "there were hot copies to make: {warmed}");
    assert_eq!(cache.store().len(), 100, "and no entry had to go for them");
}

#[test]
fn an_entry_that_dies_this_very_millisecond_has_expired_and_is_not_evicted() {
    let mut cache = cache(Evict::Lru, 2, 0);
    let asks = ["old", "dies", "new"].map(Ask::plain);
    store(&mut cache, &asks[0].answer(b"r"), NOW);
    let mut dies = asks[1].answer(b"r");
    dies.lifetime = Lifetime::After(1000);
    store(&mut cache, &dies, NOW);
    let (_, effects) =
        cache.set(&asks[2].answer(b"r"), UnixMs(START + 1000), Pressure::None, &mut Codec::new()).unwrap();
    assert_eq!((effects.expired, effects.evicted.len()), (1, 0));
    assert_eq!(prompts(&cache), ["old", "new"]);
}
