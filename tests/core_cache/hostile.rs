//! Bytes that nobody meant to write: cut short, changed at random, or made to hurt. Reading them is Ok or Err, never a
//! panic, and what was read is a cache like any other. How much memory it takes is in `tests/core_memory.rs`.

use super::exercise::{exercise, large, mutate, small, MAX, NOW};
use super::support::{loaded, messages, records, saved, store, with_seeds, Ask, Rng, Saved};
use llmcache::core::cache::{Cache, Terms};
use llmcache::core::codec::Codec;
use llmcache::core::money::MicroUsd;
use llmcache::core::persist::{Sink, FORMAT};
use llmcache::core::time::UnixMs;
use llmcache::core::wire::{WireError, Writer};

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
        2 => cache.repeat_store(record, entry, None, NOW).map(drop),
        3 => cache.repeat_store(context, record, None, NOW).map(drop),
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
                    cache.repeat_store(&context, &pick(b'E'), None, NOW).map(drop)
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

/// Found by fuzzing: what was spent on a few answers of trillions of dollars was counted further than it is read again.
#[test]
fn counters_stop_where_they_are_read() {
    let mut cache = Cache::default();
    for n in 0..9 {
        let ask = Ask::plain(format!("q{n}"));
        let mut answer = ask.answer(b"a");
        answer.tokens = Some((MAX, MAX));
        answer.cost = Some(MicroUsd::MAX);
        answer.latency_ms = MAX;
        store(&mut cache, &answer, NOW);
        cache.get(&ask.identity(), &Terms::default(), NOW, &mut Codec::new()).unwrap();
    }
    let whole = saved(&cache);
    assert!(saved(&loaded(&whole).unwrap()) == whole);
    cache.ledger().validate().unwrap();
}
