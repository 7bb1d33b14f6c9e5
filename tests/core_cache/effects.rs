//! Effects are enough: who repeats only them holds the same answers, on a replica at once and from a file much later.

use super::ops::{Bench, Dice};
use super::support::{loaded, messages, saved, store, visible_by_id, with_seeds, Ask, Message, Seen, START};
use llmcache::core::cache::{Cache, Terms};
use llmcache::core::codec::Codec;
use llmcache::core::time::UnixMs;

/// What a reader sees, but for the hits, which each node counts by itself.
fn seen(cache: &Cache, now: UnixMs, codec: &mut Codec) -> Vec<Seen> {
    let mut seen = visible_by_id(cache, now, codec);
    seen.iter_mut().for_each(|entry| entry.hits = 0);
    seen
}

#[test]
fn effects_are_enough() {
    with_seeds(200..=207, |seed, rng| {
        let mut dice = Dice::new(rng, 30);
        // What one node has freed is gone there, so no clock may go back between nodes.
        dice.clock_goes_back = false;
        let mut codec = Codec::new();
        let (mut bench, mut replica) = (Bench::new(Cache::default()), Cache::default());
        let (mut base, mut file) = (saved(&bench.cache), Vec::<Message>::new());
        for step in 0..1500 {
            let op = dice.roll(bench.cache.memory(), bench.now.0);
            let (_, effects) = bench.apply(&op);
            let (primary, now) = (&bench.cache, bench.now);
            let sent = messages(&effects, primary);
            sent.iter().for_each(|message| message.repeat(&mut replica, now));
            file.extend(sent);
            // A replica has readers and a clock of its own, and is copied and loaded at other times.
            match dice.rng.below(20) {
                0 => assert!(replica.expire(now, 3) <= 3),
                1 => replica = loaded(&saved(&replica)).unwrap(),
                2..=5 => {
                    let ask = dice.rng.pick(&dice.asks).clone();
                    drop(replica.get(&ask.identity(), &Terms::default(), now, &mut codec));
                }
                6 if dice.rng.chance(5) => (base, file) = (saved(primary), Vec::new()),
                _ => {}
            }
            let place = || format!("LLMCACHE_SEED={seed}, step {step}, {op:?}");
            replica.store().validate().unwrap_or_else(|why| panic!("{why}\n{}", place()));
            assert!(seen(primary, now, &mut codec) == seen(&replica, now, &mut codec), "{}", place());
            assert_eq!(primary.policy(), replica.policy(), "{}", place());
            assert_eq!(primary.strategies(), replica.strategies(), "{}", place());
        }
        let (primary, now) = (&bench.cache, bench.now);
        // A server that starts again reads the last snapshot and what came after it, all at a later time.
        let mut again = loaded(&base).unwrap();
        file.iter().for_each(|message| message.repeat(&mut again, now));
        again.store().validate().unwrap();
        assert!(seen(primary, now, &mut codec) == seen(&again, now, &mut codec), "LLMCACHE_SEED={seed}, from the file");
    });
}

/// An entry whose first life is over by the time a file is read has a second one further on in the file.
#[test]
fn a_life_prolonged_in_the_file_is_not_lost() {
    let (start, end) = (UnixMs(START), UnixMs(START + 5_000));
    let (ask, mut cache) = (Ask::plain("q"), Cache::default());
    let mut answer = ask.answer(b"a");
    answer.lifetime = llmcache::core::storing::Lifetime::After(1000);
    store(&mut cache, &answer, start);
    let (snapshot, (context, entry)) = (saved(&cache), cache.entry_records(&ask.id(), &mut Codec::new()).unwrap());
    let (_, effects) = cache.expire_at(&ask.id(), UnixMs(START + 60_000), start);
    let prolonged = messages(&effects, &cache);

    let mut from_snapshot = loaded(&snapshot).unwrap();
    let mut from_records = Cache::default();
    from_records.repeat_store(&context, &entry, None, end).unwrap();
    for mut again in [from_snapshot.clone(), from_records.clone()] {
        assert_eq!(again.visible(&ask.id(), end), None, "its first life is over");
        prolonged.iter().for_each(|message| message.repeat(&mut again, end));
        assert!(again.visible(&ask.id(), end).is_some());
    }
    for again in [&mut from_snapshot, &mut from_records] {
        assert_eq!(again.expire(end, 10), 1, "without a second life its memory is given back");
        assert!(again.store().is_empty());
    }
}
