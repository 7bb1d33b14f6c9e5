//! Who goes: what each policy values, what it remembers, and what it costs.

use super::support::{entries, loaded, saved, store, with_seeds, Ask, Rng, START};
use llmcache::core::cache::{Cache, Got};
use llmcache::core::codec::Codec;
use llmcache::core::eviction::Pressure;
use llmcache::core::money::MicroUsd;
use llmcache::core::policy::{Compress, Evict, Policy, PolicyChange};
use llmcache::core::storing::Lifetime;
use llmcache::core::time::UnixMs;
use std::collections::HashSet;

const NOW: UnixMs = UnixMs(START);

fn cache(evict: Evict, max_entries: u64) -> Cache {
    Cache::with_policy(Policy { evict, max_entries, compress: Compress::None, ..Policy::default() })
}

fn ask(cache: &mut Cache, prompt: &str, times: usize) {
    for _ in 0..times {
        let _ = cache.get(&Ask::plain(prompt).identity(), &Default::default(), NOW, &mut Codec::new()).unwrap();
    }
}

fn put(cache: &mut Cache, prompt: &str, micros: u64, length: usize) {
    let (ask, response) = (Ask::plain(prompt), vec![7; length]);
    let mut answer = ask.answer(&response);
    answer.cost = Some(MicroUsd::from_micros(micros));
    store(cache, &answer, NOW);
}

fn prompts(cache: &Cache) -> Vec<String> {
    let all = entries(cache, &mut Codec::new());
    let mut prompts: Vec<_> = all.iter().map(|seen| String::from_utf8_lossy(&seen.ask.prompt).into_owned()).collect();
    prompts.sort();
    prompts
}

fn alter(cache: &mut Cache, change: PolicyChange) -> usize {
    let gone = cache.alter(&change, NOW).unwrap().evicted.len();
    cache.validate().unwrap();
    gone
}

#[test]
fn cost_keeps_what_saves_most_for_its_bytes() {
    let mut cache = cache(Evict::Cost, 3);
    put(&mut cache, "dear", 9000, 100);
    put(&mut cache, "dear but large", 9000, 50_000);
    put(&mut cache, "cheap", 500, 100);
    put(&mut cache, "a", 4000, 100);
    assert_eq!(prompts(&cache), ["a", "cheap", "dear"]);
    put(&mut cache, "b", 4000, 100);
    assert_eq!(prompts(&cache), ["a", "b", "dear"]);
    ask(&mut cache, "b", 9);
    put(&mut cache, "c", 5000, 100);
    assert_eq!(prompts(&cache), ["b", "c", "dear"], "what is asked saves each time");
}

/// Where nobody says what answers cost, tokens tell them apart, beside a price as beside none.
#[test]
fn without_prices_tokens_are_what_is_saved() {
    let mut cache = cache(Evict::Cost, 3);
    for (prompt, tokens) in [("long", (10, 9000)), ("short", (10, 20)), ("middle", (10, 400)), ("last", (0, 0))] {
        let ask = Ask::plain(prompt);
        let mut answer = ask.answer(b"of one length");
        answer.tokens = Some(tokens);
        store(&mut cache, &answer, NOW);
    }
    assert_eq!(prompts(&cache), ["last", "long", "middle"]);
}

#[test]
fn lfu_keeps_what_is_asked_and_lru_what_was_asked_last() {
    for (evict, left) in [(Evict::Lfu, ["d", "often", "twice"]), (Evict::Lru, ["d", "new", "twice"])] {
        let mut cache = cache(evict, 3);
        for (prompt, times) in [("often", 9), ("twice", 2), ("new", 0)] {
            put(&mut cache, prompt, 5, 9);
            ask(&mut cache, prompt, times);
        }
        if evict == Evict::Lru {
            ask(&mut cache, "twice", 1);
        }
        put(&mut cache, "d", 5, 9);
        assert_eq!(prompts(&cache), left, "{}", evict.name());
    }
}

/// The policy of a cache that is full of entries changes: their ranks are found out as they are needed.
#[test]
fn another_policy_holds_for_what_is_there() {
    let mut cache = cache(Evict::Lru, 0);
    for i in 0..100_u64 {
        put(&mut cache, &format!("{i:02}"), 1000 + (i * 37 % 100) * 10, 9);
    }
    ask(&mut cache, "05", 9);
    let change = |evict, max_entries| PolicyChange {
        evict: Some(evict),
        max_entries: Some(max_entries),
        ..PolicyChange::default()
    };
    alter(&mut cache, change(Evict::Cost, 90));
    let cheapest: HashSet<_> = (0..100).filter(|i| i * 37 % 100 < 10).map(|i| format!("{i:02}")).collect();
    assert!(prompts(&cache).iter().all(|prompt| !cheapest.contains(prompt)));
    alter(&mut cache, change(Evict::Lru, 1));
    assert_eq!(prompts(&cache), ["05"]);
}

/// More questions than there is room for, each asked again and again: who goes leaves something behind, so that some of them
/// stay. By the order of use alone, none is there when it is asked again.
#[test]
fn what_had_to_go_is_remembered() {
    let hits = [Evict::Lru, Evict::Lfu].map(|evict| {
        let (mut cache, mut hits) = (cache(evict, 50), 0);
        for i in 0..2000 {
            let prompt = format!("{}", i % 60);
            let ask = Ask::plain(&prompt);
            match cache.get(&ask.identity(), &Default::default(), NOW, &mut Codec::new()).unwrap() {
                Got::Hit { .. } => hits += 1,
                _ => put(&mut cache, &prompt, 5, 9),
            }
        }
        hits
    });
    assert_eq!(hits[0], 0);
    assert!(hits[1] > 1000, "{hits:?}");
}

#[test]
fn questions_asked_once_do_not_push_out_what_is_proven() {
    for evict in [Evict::Lfu, Evict::Cost] {
        let mut cache = cache(evict, 50);
        for i in 0..40 {
            put(&mut cache, &format!("proven {i}"), 5, 9);
            ask(&mut cache, &format!("proven {i}"), 3);
        }
        for i in 0..400 {
            ask(&mut cache, &format!("once {i}"), 1);
            put(&mut cache, &format!("once {i}"), 5, 9);
        }
        let left = prompts(&cache).iter().filter(|prompt| prompt.starts_with("proven")).count();
        assert_eq!(left, 40, "{}", evict.name());
        // But what nobody asks any more goes in the end.
        for i in 0..4000 {
            ask(&mut cache, &format!("once {i}"), 1);
            put(&mut cache, &format!("once {i}"), 5, 9);
        }
        let left = prompts(&cache).iter().filter(|prompt| prompt.starts_with("proven")).count();
        assert_eq!(left, 0, "{}", evict.name());
    }
}

#[test]
fn a_new_answer_to_what_is_asked_often_is_proven_too() {
    let mut cache = cache(Evict::Lfu, 2);
    put(&mut cache, "often", 5, 9);
    ask(&mut cache, "often", 20);
    put(&mut cache, "often", 5, 10);
    put(&mut cache, "b", 5, 9);
    ask(&mut cache, "b", 2);
    put(&mut cache, "c", 5, 9);
    assert_eq!(prompts(&cache), ["c", "often"]);
}

/// Hits are in the file, and the order of use is that of the entries in it.
#[test]
fn a_cache_that_was_read_again_knows_who_was_asked() {
    let mut cache = cache(Evict::Lfu, 3);
    for (prompt, times) in [("often", 9), ("never", 0), ("twice", 2)] {
        put(&mut cache, prompt, 5, 9);
        ask(&mut cache, prompt, times);
    }
    let mut again = loaded(&saved(&cache)).unwrap();
    put(&mut again, "d", 5, 9);
    assert_eq!(prompts(&again), ["d", "often", "twice"]);
}

/// All entries were asked since the last eviction, so all bounds are out of date, and no victim looks at them all: the limit
/// holds, and those that go are among those that have not been asked for long.
#[test]
fn a_victim_is_found_soon_also_among_many_that_were_asked() {
    const MANY: usize = 5000;
    let mut cache = cache(Evict::Lru, MANY as u64);
    (0..MANY).for_each(|i| put(&mut cache, &format!("{i}"), 5, 9));
    let (mut order, mut rng): (Vec<_>, _) = ((0..MANY).map(|i| format!("{i}")).collect(), Rng::new(9));
    (1..MANY).for_each(|i| order.swap(i, rng.below(i as u64 + 1) as usize));
    order.iter().for_each(|prompt| ask(&mut cache, prompt, 1));
    let mut gone = HashSet::new();
    for i in 0..4 {
        let new = Ask::plain(format!("new {i}"));
        let (_, effects) = cache.set(&new.answer(b"r"), NOW, Pressure::None, &mut Codec::new()).unwrap();
        gone.extend(effects.evicted);
    }
    cache.validate().unwrap();
    assert_eq!((gone.len(), cache.store().len()), (4, MANY));
    let rank = |id| order.iter().position(|prompt| Ask::plain(prompt).id() == id).unwrap();
    let ranks: Vec<_> = gone.into_iter().map(rank).collect();
    assert!(ranks.iter().all(|rank| *rank < MANY / 20), "{ranks:?}");
}

/// What goes first can be compared between caches: by what it saves in an hour, for its bytes.
#[test]
fn the_least_worth_is_that_of_the_next_victim() {
    let hour = UnixMs(START + 3_600_000);
    let mut cache = cache(Evict::Cost, 0);
    assert_eq!(cache.least_worth(NOW), None);
    put(&mut cache, "a", 1_000_000, 100);
    let bytes = cache.store().entries_memory() as f64;
    let worth = cache.least_worth(hour).unwrap();
    assert!((worth * bytes - 0.5).abs() < 1e-6, "half a dollar, as one that was never asked: {worth}");
    assert!(cache.least_worth(UnixMs(START + 7_200_000)).unwrap() < worth, "it falls where nobody asks");
    ask(&mut cache, "a", 4);
    assert!((cache.least_worth(hour).unwrap() / worth - 9.0).abs() < 1e-6);
    put(&mut cache, "cheap", 1000, 100);
    assert!(cache.least_worth(hour).unwrap() < worth / 100.0, "the next victim is another");
    let dying = Ask::plain("dying");
    let mut answer = dying.answer(b"r");
    answer.lifetime = Lifetime::After(10);
    store(&mut cache, &answer, NOW);
    assert_eq!(cache.least_worth(hour), Some(0.0), "what is dead is worth nothing");
}

/// Each policy in turn, with questions that come back, other sizes, other limits and other policies: the parts agree after
/// each step, and the limits hold.
#[test]
fn limits_hold_whoever_goes() {
    const ALL: [Evict; 4] = [Evict::Lru, Evict::Ttl, Evict::Lfu, Evict::Cost];
    with_seeds(700..=707, |seed, mut rng| {
        let mut cache = cache(ALL[seed as usize % 4], 0);
        let (mut codec, mut gone, mut hits) = (Codec::new(), 0, 0);
        for step in 0..1500 {
            let now = UnixMs(START + step * 100);
            let ask = Ask::plain(format!("q{}", rng.below(12) * rng.below(12)));
            match rng.below(20) {
                0 => gone += cache.relieve(rng.below(3000) as usize, 5, now).evicted.len(),
                1 if step % 4 == 0 => {
                    let change = PolicyChange {
                        evict: rng.maybe(50, |rng| *rng.pick(&ALL)),
                        max_entries: Some(*rng.pick(&[0, 3, 30])),
                        max_memory: Some(*rng.pick(&[0, 9000, 30_000])),
                        ..PolicyChange::default()
                    };
                    gone += cache.alter(&change, now).unwrap().evicted.len();
                }
                2 => drop(cache.expire_at(&ask.id(), UnixMs(now.0 + rng.below(9000)), now)),
                3 => drop(cache.delete(&[ask.id()], now)),
                4..=12 => {
                    let got = cache.get(&ask.identity(), &Default::default(), now, &mut codec).unwrap();
                    hits += u32::from(matches!(got, Got::Hit { .. }));
                }
                _ => {
                    let response = rng.text(rng.clone().below(2000) as usize);
                    let mut answer = ask.answer(&response);
                    answer.cost = rng.maybe(70, |rng| MicroUsd::from_micros(1 << rng.below(20)));
                    answer.lifetime = *rng.pick(&[Lifetime::Never, Lifetime::After(5000), Lifetime::After(50_000)]);
                    gone += cache.set(&answer, now, Pressure::None, &mut codec).unwrap().1.evicted.len();
                }
            }
            cache.validate().unwrap_or_else(|why| panic!("{why}, LLMCACHE_SEED={seed}, step {step}"));
        }
        assert!(gone > 50 && hits > 50, "{gone} evicted, {hits} hits");
    });
}

/// The same calls have the same victims.
#[test]
fn what_goes_is_no_matter_of_chance() {
    let run = || {
        let (mut cache, mut rng, mut gone) = (cache(Evict::Cost, 40), Rng::new(5), Vec::new());
        for _ in 0..1000 {
            let prompt = format!("{}", rng.below(200));
            ask(&mut cache, &prompt, 1);
            let ask = Ask::plain(&prompt);
            gone.extend(cache.set(&ask.answer(b"r"), NOW, Pressure::None, &mut Codec::new()).unwrap().1.evicted);
        }
        gone
    };
    assert_eq!(run(), run());
}
