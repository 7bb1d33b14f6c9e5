//! Bytes that nobody meant to write: cut short, changed at random, or made to hurt. Reading them is Ok or Err, never a
//! panic, and what was read is a cache like any other. How much memory it takes is in `tests/core_memory.rs`.

use super::ops::{Bench, Dice, Op};
use super::support::{loaded, messages, records, saved, store, with_seeds, Ask, Rng, Saved, START};
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
use llmcache::core::persist::Sink;
use llmcache::core::persist::FORMAT;
use llmcache::core::plans::{Planned, Profile};
use llmcache::core::policy::PolicyChange;
use llmcache::core::report::{Asked, Figure, Figures};
use llmcache::core::stats::{Breakdown, TOLD};
use llmcache::core::storing::{Lifetime, Stored};
use llmcache::core::time::UnixMs;
use llmcache::core::wire::{WireError, Writer};

const NOW: UnixMs = UnixMs(START);
const MAX: u64 = u64::MAX;

/// Does everything to a cache that came from anywhere. Its answers may be damaged; it may not.
fn exercise(mut cache: Cache, context: &str) {
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
        replica.repeat_store(&context, &entry, NOW).unwrap();
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

/// Loads bytes that may say anything; whether they were taken.
fn try_all(bytes: &[u8], context: &str) -> bool {
    match loaded(bytes) {
        Ok(cache) => {
            exercise(cache, context);
            true
        }
        Err(_) => false,
    }
}

/// One entry with everything in it, beside a policy with everything in it.
fn small() -> Vec<u8> {
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
fn large(rng: &Rng) -> Vec<u8> {
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

#[test]
fn a_cache_cut_short_is_refused() {
    for whole in [small(), large(&Rng::new(1))] {
        assert!(try_all(&whole, "whole"));
        for end in 0..whole.len() {
            assert!(!try_all(&whole[..end], "cut"), "cut at {end}");
        }
    }
}

/// Also where the cut leaves the frame of the record whole.
#[test]
fn a_record_cut_short_or_too_long_is_refused() {
    let mut cache = Cache::default();
    let mut answers = 0;
    let whole = small();
    let (lives, effects) = {
        let ask = Ask::plain("lives");
        store(&mut cache, &ask.answer(b"a"), NOW);
        cache.expire_at(&ask.id(), UnixMs(NOW.0 + 5), NOW)
    };
    assert!(lives);
    let [super::support::Message::Lives(lives)] = &messages(&effects, &cache)[..] else { panic!("one record") };
    let [policy, counters, feedback, alerts, context, entry] = &records(&whole)[..] else { panic!("six records") };
    let mut read = |kind: usize, record: &[u8]| match kind {
        0 => cache.read_policy(record),
        1 => cache.read_counters(record),
        2 => cache.repeat_store(record, entry, NOW).map(drop),
        3 => cache.repeat_store(context, record, NOW).map(drop),
        4 => cache.repeat_feedback(record).map(drop),
        5 => cache.read_alerts(record).map(drop),
        _ => cache.repeat_lives(record).map(drop),
    };
    for (kind, record) in [policy, counters, context, entry, feedback, alerts, lives].into_iter().enumerate() {
        assert_eq!(read(kind, record), Ok(()), "{kind}");
        for end in 0..record.len() {
            assert_eq!(read(kind, &record[..end]), Err(WireError::Short), "{kind} cut at {end}");
            answers += 1;
        }
        let longer = [&**record, b"\0"].concat();
        assert_eq!(read(kind, &longer), Err(WireError::Long), "{kind}");
    }
    assert!(answers > 500);
}

/// Every byte of a small cache, set to many other values.
#[test]
fn a_single_wrong_byte_does_no_harm() {
    let whole = small();
    let (mut taken, mut refused) = (0, 0);
    for at in 0..whole.len() {
        // All values, but in turns: each byte takes every eightieth, and every fourth of the single bits.
        let bit = |flip: u8| flip.is_power_of_two() && (at + flip.ilog2() as usize).is_multiple_of(4);
        for flip in (1..=255u8).filter(|flip| usize::from(*flip) % 80 == at % 80 || bit(*flip)) {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            match try_all(&bytes, &format!("byte {at} is {:#x}", bytes[at])) {
                true => taken += 1,
                false => refused += 1,
            }
        }
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > 1000 && refused > 1000);
}

/// A number that programs trip over.
fn odd_number(rng: &mut Rng) -> u64 {
    let last = UnixMs::LATEST.0;
    let odd = [0, 1, 255, 256, 65_535, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63, last, last + 1, MAX - 1, MAX];
    *rng.pick(&odd)
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
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

/// Mutates records inside their frames, so that most of what is read is read to the end.
#[test]
fn random_damage_does_no_harm() {
    with_seeds(400..=402, |seed, mut rng| {
        let whole = large(&rng);
        let parts = records(&whole);
        let count = |kind: u8| parts.iter().filter(|record| record[0] == kind).count();
        let (plans, dictionaries, contexts) = (count(b'W'), count(b'Z'), count(b'C'));
        let mut taken = 0;
        for round in 0..120 {
            let mut parts = parts.clone();
            for _ in 0..=rng.below(2) {
                let at = rng.below(parts.len() as u64) as usize;
                match rng.below(12) {
                    0 => {
                        let other = rng.below(parts.len() as u64) as usize;
                        parts.swap(at, other);
                    }
                    1 => drop(parts.remove(at)),
                    2 => parts.insert(at, parts[at].clone()),
                    _ => mutate(&mut parts[at], &mut rng),
                }
            }
            let mut sink = Saved::default();
            sink.number(FORMAT);
            let n = parts.len();
            for (i, record) in parts.iter().enumerate() {
                if i == 3 {
                    sink.number(plans as u64);
                }
                if i == 4 + plans {
                    sink.number(dictionaries as u64);
                }
                if i == 4 + plans + dictionaries {
                    sink.number(contexts as u64);
                }
                if i == 4 + plans + dictionaries + contexts {
                    sink.number((n - 4 - plans - dictionaries - contexts) as u64);
                }
                sink.record(record);
            }
            taken += u64::from(try_all(&sink.0, &format!("LLMCACHE_SEED={seed}, round {round}")));
            let mut bytes = whole.clone();
            mutate(&mut bytes, &mut rng);
            try_all(&bytes, &format!("LLMCACHE_SEED={seed}, round {round}, the frames too"));
        }
        println!("{taken} of 120 taken");
        assert!((3..110).contains(&taken), "{taken}");
    });
}

/// What replication and the append-only file bring is no better.
#[test]
fn damaged_effects_do_no_harm() {
    with_seeds(500..=502, |seed, mut rng| {
        let whole = large(&rng);
        let parts = records(&whole);
        let mut cache = loaded(&whole).unwrap();
        let ids: Vec<_> = cache.scan(0, MAX, NOW, |_| true).1.iter().map(|view| (view.id(), view.life())).collect();
        let lives = llmcache::core::persist::lives_record(&ids);
        let (mut ok, mut failed) = (0, 0);
        for round in 0..800 {
            let context = format!("LLMCACHE_SEED={seed}, round {round}");
            let mut pick = |kind: u8| {
                let all: Vec<_> = parts.iter().filter(|record| record[0] == kind).collect();
                let mut record = (*rng.pick(&all)).clone();
                if rng.chance(80) {
                    mutate(&mut record, &mut rng);
                }
                record
            };
            let result = match round % 5 {
                4 => cache.read_alerts(&pick(b'A')).map(drop),
                0 => cache.read_policy(&pick(b'P')),
                1 => cache.read_counters(&pick(b'K')),
                2 => {
                    let context = pick(b'C');
                    cache.repeat_store(&context, &pick(b'E'), NOW).map(drop)
                }
                _ => {
                    let mut lives = lives.clone();
                    mutate(&mut lives, &mut rng);
                    cache.repeat_lives(&lives).map(drop)
                }
            };
            match result {
                Ok(()) => ok += 1,
                Err(_) => failed += 1,
            }
            cache.store().validate().unwrap_or_else(|why| panic!("{why}, {context}"));
            if round % 100 == 0 {
                exercise(cache.clone(), &context);
            }
        }
        println!("{ok} taken, {failed} refused");
        assert!(ok > 50 && failed > 50);
    });
}

/// Numbers at their ends: nothing that is counted, timed or measured may go over.
#[test]
fn the_largest_numbers_do_no_harm() {
    let mut sink = Saved::default();
    sink.number(1);
    let mut policy = Writer::record(b'P', 1);
    policy.u8(0).u8(1).u8(0).u8(19).u8(100).u64(MAX).u64(MAX).u64(MAX).bytes(b"standard");
    policy.u32(1).bytes(b"m").u64(MAX).u64(MAX).u32(0).u32(0);
    sink.record(&policy.finish());
    let mut counters = Writer::record(b'K', 1);
    (0..18).for_each(|_| {
        counters.u64(MAX);
    });
    sink.record(&counters.finish());
    sink.number(1);
    let mut context = Writer::record(b'C', 1);
    context.u8(0).bytes(b"").bytes(b"m").bytes(b"").bytes(b"");
    sink.record(&context.finish());
    let last = UnixMs::LATEST.0;
    let lives = [[MAX, MAX, MAX], [last, last, MAX], [0, last, 0], [last, MAX, 1], [0, 0, 0], [0, MAX, MAX]];
    sink.number(lives.len() as u64);
    for (i, life) in lives.into_iter().enumerate() {
        let mut w = Writer::record(b'E', 1);
        w.u32(0).u64(MAX).u64(life[0]).u64(life[1]).u64(life[2]);
        w.u64(MAX).u64(MAX).u8(1).u64(MAX).u64(MAX).u64(MAX).u64(MAX);
        w.u8(0).u32(1).bytes(b"a").bytes(&[i as u8]).bytes(b"").option(Some(b"")).option(Some(b""));
        w.u16(2).bytes(b"").bytes(b"b").option(Some(b""));
        sink.record(&w.finish());
    }
    assert!(try_all(&sink.0, "the largest numbers"));
    let cache = loaded(&sink.0).unwrap();
    assert_eq!(cache.store().len(), lives.len());
    assert_eq!(cache.ledger().first_lookup(), None);
    assert!(cache.ledger().counters().hits() < MAX / 2);
}

/// Times beyond the end of the calendar are nobody's, so they are refused.
#[test]
fn lives_beyond_the_year_9999_are_refused() {
    let mut cache = Cache::default();
    let ask = Ask::plain("q");
    store(&mut cache, &ask.answer(b"a"), NOW);
    let last = UnixMs::LATEST.0;
    let mut lives = |fresh_until: u64, dead_at: u64| {
        let mut w = Writer::record(b'L', 1);
        w.u32(1).fixed(ask.id().as_bytes()).u64(fresh_until).u64(dead_at).u64(0);
        cache.repeat_lives(&w.finish()).map(drop)
    };
    for (fresh_until, dead_at) in
        [(last + 1, last + 1), (0, last + 1), (MAX - 1, MAX), (2, 1), (MAX, last), (MAX - 1, MAX - 1)]
    {
        assert_eq!(lives(fresh_until, dead_at), Err(WireError::Value), "{fresh_until} {dead_at}");
    }
    for (fresh_until, dead_at) in [(0, 0), (last, last), (last, MAX), (MAX, MAX)] {
        assert_eq!(lives(fresh_until, dead_at), Ok(()), "{fresh_until} {dead_at}");
    }
}
