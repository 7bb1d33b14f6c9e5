//! Caches with something of everything, what damages their bytes, and everything that can be done to what is read of them.

use super::ops::{Bench, Dice, Op};
use super::support::{loaded, saved, store, Ask, Rng, START};
use llmcache::core::alerts::{Alert, Side};
use llmcache::core::cache::{Cache, Found, Miss, Terms};
use llmcache::core::codec::Codec;
use llmcache::core::entry::EntryView;
use llmcache::core::eviction::Pressure;
use llmcache::core::feedback::Opinion;
use llmcache::core::identity::Digest;
use llmcache::core::ledger::counters::Counters;
use llmcache::core::ledger::{Dimension, Labels};
use llmcache::core::money::MicroUsd;
use llmcache::core::plans::{Planned, Profile};
use llmcache::core::policy::PolicyChange;
use llmcache::core::report::{Asked, Figure, Figures};
use llmcache::core::stats::{Breakdown, TOLD};
use llmcache::core::storing::{Lifetime, Stored};
use llmcache::core::time::UnixMs;

pub const NOW: UnixMs = UnixMs(START);
pub const MAX: u64 = u64::MAX;

/// Does everything to a cache that came from anywhere. Its answers may be damaged; it may not.
pub fn exercise(mut cache: Cache, context: &str) {
    let mut codec = Codec::new();
    let validated = |cache: &Cache| cache.store().validate().unwrap_or_else(|why| panic!("{why}, {context}"));
    validated(&cache);
    let read = |view: &EntryView<'_>| {
        let _ = (view.ttl_seconds(NOW), view.age_seconds(NOW), view.cost_saved(), view.memory());
        (Ask::of(&view.context(), view.prompt()), view.id())
    };
    let (end, page) = cache.scan(0, MAX, NOW, |_| true);
    let all: Vec<_> = page.iter().map(read).collect();
    assert_eq!(end, 0, "{context}");

    // It can be saved, and then it is read as it is.
    let again = saved(&cache);
    let twin = loaded(&again).unwrap_or_else(|why| panic!("what was read can be written and read: {why}, {context}"));
    assert!(saved(&twin) == again, "{context}");
    let mut replica = Cache::default();
    replica.read_policy(&cache.policy_record()).unwrap();

    for (ask, id) in &all {
        assert_eq!(ask.id(), *id, "{context}");
        for stale_ok in [false, true] {
            // A damaged answer is an error here, and that is all.
            let _ = cache.get(&ask.identity(), &Terms { stale_ok, ..Terms::default() }, NOW, &mut codec).map(drop);
        }
        // A damaged policy may have limits, which moving an end enforces.
        let Some((context, entry)) = cache.entry_records(id, &mut Codec::new()) else { continue };
        replica.repeat_store(&context, &entry, None, NOW).unwrap();
        cache.expire_at(id, UnixMs(NOW.0 + 1), NOW);
    }
    validated(&replica);
    let mut sum = Counters::default();
    for _ in 0..3 {
        sum.merge(cache.ledger().counters());
    }
    let _ = (sum.hits(), sum.misses(), sum.hit_rate(), sum.tokens_saved(), sum.estimated_share());
    for window_s in [None, Some(7200)] {
        let scope = Asked { by: None, window_s }.scope(NOW, MicroUsd::MAX);
        for dimension in Dimension::ALL {
            let mut breakdown = Breakdown::new(dimension);
            // Two such caches, whose names are the same.
            (0..2).for_each(|_| breakdown.add(&cache, cache.memory() as u64, false, &scope));
            let told = Figures::of_names(breakdown, &scope);
            assert!(told.len() <= TOLD + 1, "{context}");
            told.iter().for_each(|(_, figures)| drop(figures.fields().map(|(_, value)| value).collect::<Vec<_>>()));
        }
    }
    cache.ledger().validate().unwrap_or_else(|why| panic!("{why}, {context}"));

    // What was loaded may have a limit that it cannot keep; then this is refused.
    let _ = cache.alter(&PolicyChange::default(), NOW);
    cache.validate().unwrap_or_else(|why| panic!("{why}, {context}"));
    for (ask, _) in all.iter().take(3) {
        for lifetime in [Lifetime::Keep, Lifetime::Auto, Lifetime::After(MAX), Lifetime::Never] {
            let mut answer = ask.answer(b"anew");
            answer.lifetime = lifetime;
            answer.stale_ms = (lifetime == Lifetime::Keep).then_some(5);
            let stored = cache.set(&answer, NOW, Pressure::Tight, &mut codec).unwrap();
            cache.validate().unwrap_or_else(|why| panic!("{why}, {context}"));
            if matches!(stored.0, Stored::Stored(_)) {
                assert!(matches!(cache.find(&ask.digest(), &Terms::default(), NOW), Found::Exact(..)), "{context}");
            }
        }
    }
    cache.turn_alerts(NOW, MicroUsd::ZERO);
    cache.validate().unwrap_or_else(|why| panic!("{why}, {context}"));
    cache.relieve(1000, 3, NOW);
    cache.expire(UnixMs(MAX), usize::MAX);
    let page = cache.scan(0, MAX, NOW, |_| true).1;
    let ids: Vec<_> = page.iter().map(EntryView::id).collect();
    cache.delete(&ids, UnixMs(0));
    validated(&cache);
    assert!(cache.store().is_empty(), "{context}");
    assert_eq!(cache.memory(), cache.policy_memory(), "nothing is left of it, {context}");
}

/// One entry with everything in it, beside a policy with everything in it.
pub fn small() -> Vec<u8> {
    let mut cache = Cache::default();
    let ask = Ask { scope: b"s".into(), model: b"m".into(), system: b"y".into(), ..Ask::plain("q") };
    let answer = b"again and again and ".repeat(7);
    let mut answer = ask.answer(&answer);
    answer.typ = Some(b"t");
    answer.tags = vec![b"u", b"v"];
    answer.meta = Some(b"{}");
    answer.stale_ms = Some(9);
    answer.lifetime = Lifetime::After(9_001_000);
    let slot = store(&mut cache, &answer, UnixMs(NOW.0 - 9_000_000));
    let id = cache.store().view(slot).unwrap().id();
    // Stretches of hours, minutes and seconds, and a second that is not over.
    for before in [9000, 1000, 2, 0] {
        cache.missed(
            Miss::Absent,
            &Labels::of(&ask.identity().context),
            &Terms::default(),
            UnixMs(NOW.0 - before * 1000),
        );
    }
    cache.note(&id, Opinion::Bad, Some(&Ask::plain("other").digest()), NOW);
    let alert = Alert::new("a".into(), Figure::named(b"stores").unwrap(), Side::Above, 0.5, Some(9));
    cache.set_alert(alert, NOW, MicroUsd::ZERO).unwrap();
    cache.turn_alerts(NOW, MicroUsd::ZERO);
    saved(&cache)
}

/// A cache after a random run.
pub fn large(rng: &Rng) -> Vec<u8> {
    let mut dice = Dice::new(rng.clone(), 60);
    dice.limits = false;
    let mut bench = Bench::new(Cache::default());
    for _ in 0..250 {
        let op = dice.roll(bench.cache.memory(), NOW.0);
        if !matches!(op, Op::Clock(_) | Op::Invalidate(_)) {
            bench.apply(&op);
        }
    }
    assert!(bench.cache.store().len() > 10);
    let item = |n: u8| {
        let words: Box<[Box<[u8]>]> = [Box::from(*b"EX"), Box::from([b'1', n])].into();
        Planned { digest: Digest::from_bytes([n; 32]), prompt: [n; 9].into(), options: words }
    };
    let profile = Profile::new(60_000, 3, Box::new([]), (b'0'..=b'9').map(item).collect());
    bench.cache.plan(b"plan", profile, NOW).unwrap();
    for (name, side) in [("first", Side::Below), ("second", Side::Above)] {
        let alert = Alert::new(name.into(), Figure::named(b"memory_bytes").unwrap(), side, 1e6, Some(60));
        bench.cache.set_alert(alert, NOW, MicroUsd::ZERO).unwrap();
    }
    bench.cache.turn_alerts(NOW, MicroUsd::ZERO);
    saved(&bench.cache)
}

/// A number that programs trip over.
fn odd_number(rng: &mut Rng) -> u64 {
    let last = UnixMs::LATEST.0;
    let odd = [0, 1, 255, 256, 65_535, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63, last, last + 1, MAX - 1, MAX];
    *rng.pick(&odd)
}

pub fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.below(bytes.len() as u64) as usize;
        match rng.below(6) {
            0 => bytes[at] = rng.next() as u8,
            1 => bytes[at] ^= 1 << rng.below(8),
            2 => {
                let width = *rng.pick(&[2, 4, 8]);
                let odd = odd_number(rng).to_le_bytes();
                let end = (at + width).min(bytes.len());
                bytes[at..end].copy_from_slice(&odd[..end - at]);
            }
            3 => drop(bytes.drain(at..(at + 1 + rng.below(9) as usize).min(bytes.len()))),
            4 => {
                let copied = bytes[at..(at + 1 + rng.below(40) as usize).min(bytes.len())].to_vec();
                let to = rng.below(bytes.len() as u64) as usize;
                bytes.splice(to..to, copied);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
}
