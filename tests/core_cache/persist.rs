//! A cache that was saved and loaded is the same cache.

use super::ops::{Bench, Dice, Op};
use super::support::{entries, loaded, messages, records, saved, store, with_seeds, Ask, START};
use llmcache::core::alerts::{Alert, Side};
use llmcache::core::cache::{Cache, Terms};
use llmcache::core::codec::Codec;
use llmcache::core::ledger::counters::Counters;
use llmcache::core::ledger::{Dimension, Window, MOST_MEMORY};
use llmcache::core::money::{MicroUsd, Price};
use llmcache::core::policy::{Policy, PolicyChange};
use llmcache::core::report::Figure;
use llmcache::core::stats::{Breakdown, Scope, OTHER};
use llmcache::core::strategy::{Rule, Strategy, Ttl, MAX_CUSTOM, MAX_RULES};
use llmcache::core::time::UnixMs;
use llmcache::core::wire::{WireError, Writer};
use std::collections::BTreeMap;

const NOW: UnixMs = UnixMs(START);

/// All that is counted: since the beginning and in windows that end now and then, in all and by name.
fn figures(cache: &Cache) -> Vec<(Counters, BTreeMap<Vec<u8>, Counters>)> {
    let ledger = &*cache.ledger();
    let ends =
        [0, 1, 100, 10_000].map(|s| UnixMs(START + s * 1000)).into_iter().chain([ledger.first_lookup().unwrap_or(NOW)]);
    let windows = ends.flat_map(|end| [60, 600, 7200, 86_400].map(|seconds| Some(Window::last(seconds, end))));
    let windows: Vec<_> = windows.chain([None]).collect();
    let by = |dimension| {
        windows.iter().map(move |window| {
            let (names, sum) = ledger.counted_by(dimension, window.as_ref());
            (sum, names.map(|(name, counters)| (name.to_vec(), counters)).collect())
        })
    };
    assert_eq!(ledger.counted(None), *ledger.counters());
    Dimension::ALL.into_iter().flat_map(by).collect()
}

fn assert_same(a: &Cache, b: &Cache, place: &str) {
    let mut codec = Codec::new();
    assert!(entries(a, &mut codec) == entries(b, &mut codec), "entries and their order of use, {place}");
    assert_eq!(figures(a), figures(b), "{place}");
    assert_eq!((a.policy(), a.strategies()), (b.policy(), b.strategies()), "{place}");
    assert_eq!(a.store().shared_memory(), b.store().shared_memory(), "{place}");
    if a.store().hot() == b.store().hot() {
        // Hot copies are a node's own.
        assert_eq!(a.store().entries_memory(), b.store().entries_memory(), "{place}");
    }
    assert_eq!(a.store().answer_bytes(), b.store().answer_bytes(), "{place}");
    let dictionaries = |cache: &Cache| format!("{:?}", cache.store().dictionaries().list());
    assert_eq!(dictionaries(a), dictionaries(b), "{place}");
    assert_eq!(a.store().dictionaries().memory(), b.store().dictionaries().memory(), "{place}");
    // What statistics take depends on how they came to be.
    let policy_memory = |cache: &Cache| cache.policy_memory() - cache.statistics_memory();
    assert_eq!((a.alerts(), policy_memory(a)), (b.alerts(), policy_memory(b)), "{place}");
    b.store().validate().unwrap_or_else(|why| panic!("{why}, {place}"));
}

#[test]
fn a_cache_comes_back_as_it_was_saved_at_any_moment() {
    with_seeds(300..=304, |seed, rng| {
        let mut dice = Dice::new(rng, 40);
        let mut bench = Bench::new(Cache::default());
        for step in 0..1500 {
            let op = dice.roll(bench.cache.memory(), bench.now.0);
            if matches!(op, Op::Reload) {
                let cache = &bench.cache;
                let place = format!("LLMCACHE_SEED={seed}, step {step}");
                let bytes = saved(cache);
                let again = loaded(&bytes).unwrap();
                assert_same(cache, &again, &place);
                assert_same(cache, &cache.clone(), &place);
                assert!(saved(&again) == bytes, "the same cache is saved as the same bytes, {place}");
            }
            bench.apply(&op);
        }
    });
}

#[test]
fn an_empty_cache_comes_back() {
    let cache = Cache::default();
    assert_same(&cache, &loaded(&saved(&cache)).unwrap(), "empty");
    assert_eq!(records(&saved(&cache)).len(), 4, "policy, counters, feedback and alerts");
}

/// What a cache can hold can be read again: prices may come with many commands.
#[test]
fn many_prices_strategies_and_rules_come_back() {
    let mut cache = Cache::default();
    for batch in 0..3u32 {
        let price = |i: u32| Price {
            input_per_mtok: MicroUsd::from_micros(i.into()),
            cached_per_mtok: i.is_multiple_of(2).then(|| MicroUsd::from_micros(u64::from(i / 2))),
            output_per_mtok: MicroUsd::from_micros(u64::MAX - u64::from(i)),
        };
        let prices = (0..700).map(|i| (format!("model {batch} {i}").into_bytes().into(), price(i))).collect();
        cache.alter(&PolicyChange { prices, ..PolicyChange::default() }, NOW).unwrap();
    }
    let fill = |all: &mut llmcache::core::strategy::Strategies| {
        for i in 0..MAX_CUSTOM {
            let name = format!("strategy{i}").into();
            all.set_strategy(Strategy { name, ttl: Ttl::Never, stale_ms: Some(i as u64), jitter_percent: Some(100) })?;
        }
        for (name, _) in llmcache::core::strategy::BUILTIN_STRATEGIES {
            let ttl = Ttl::Millis(1234);
            all.set_strategy(Strategy { name: name.into(), ttl, stale_ms: None, jitter_percent: None })?;
        }
        for i in (0..MAX_RULES).rev() {
            let name = format!("rule{i}").into();
            let prompt = Some(b"*".repeat(256).into());
            let strategy = format!("STRATEGY{i}").into();
            all.set_rule(Rule { name, typ: None, model: None, scope: None, prompt, strategy })?;
        }
        Ok(())
    };
    cache.alter_strategies(NOW, |all, _| fill(all)).unwrap();
    assert_eq!(cache.policy().prices.len(), 2100);
    let again = loaded(&saved(&cache)).unwrap();
    assert_same(&cache, &again, "full");
    assert_eq!(again.strategies().rules()[0].name, format!("rule{}", MAX_RULES - 1).into(), "in their order");
    let mut replica = Cache::default();
    replica.read_policy(&cache.policy_record()).unwrap();
    assert_eq!((cache.policy(), cache.strategies()), (replica.policy(), replica.strategies()));
}

/// A policy record of one price, as each version of it was written: the third says whether cached tokens have one too.
#[test]
fn a_cached_price_is_read_from_the_version_that_has_one() {
    let record = |version: u8, cached: &[u8]| {
        let mut w = Writer::record(b'P', version);
        w.u8(0).u8(0).u8(0).u8(3).u8(0).u64(0).u64(0).u64(0).bytes(b"standard");
        w.u32(1).bytes(b"gpt").u64(2_500_000).u64(10_000_000).fixed(cached);
        w.u32(0).u32(0).u8(0).u8(0).u8(1).u32(0).u64(f64::NAN.to_bits());
        w.finish()
    };
    let read = |record: &[u8]| {
        let mut cache = Cache::default();
        cache.read_policy(record).map(|()| cache.policy().prices[&b"gpt"[..]])
    };
    let usd = MicroUsd::from_micros;
    let price = |cached_per_mtok| {
        Ok(Price { input_per_mtok: usd(2_500_000), cached_per_mtok, output_per_mtok: usd(10_000_000) })
    };
    assert_eq!(read(&record(2, &[])), price(None));
    assert_eq!(read(&record(3, &[0])), price(None));
    for cached in [0, 1_250_000, u64::MAX] {
        let record = record(3, &[&[1][..], &cached.to_le_bytes()].concat());
        assert_eq!(read(&record), price(Some(usd(cached))));
        let mut cache = Cache::default();
        cache.read_policy(&record).unwrap();
        assert_eq!(cache.policy_record(), record, "it is written as it was read");
    }
    assert_eq!(read(&record(3, &[2])), Err(WireError::Value));
    assert_eq!(read(&record(3, &[1])), Err(WireError::Value), "the numbers behind it are read as others");
    assert!(read(&record(3, &[])).is_err());
    assert!(read(&record(2, &[0])).is_err());
    let whole = record(3, &[&[1][..], &7_u64.to_le_bytes()].concat());
    for end in 2..whole.len() {
        assert_eq!(read(&whole[..end]), Err(WireError::Short), "{end} bytes of {}", whole.len());
    }
}

/// Whether an alert fires is not forgotten, so that nobody is told of it twice.
#[test]
fn alerts_come_back_as_they_stood() {
    let mut cache = Cache::default();
    let figure = |name: &str| Figure::named(name.as_bytes()).unwrap();
    for alert in [
        Alert::new("empty".into(), figure("entries"), Side::Below, 1.0, None),
        Alert::new("slow".into(), figure("set_us.p99"), Side::Above, -2.5, Some(60)),
    ] {
        cache.set_alert(alert, NOW, MicroUsd::ZERO).unwrap();
    }
    let effects = cache.turn_alerts(NOW, MicroUsd::ZERO);
    assert_eq!(effects.turned.len(), 1);
    let again = loaded(&saved(&cache)).unwrap();
    assert_same(&cache, &again, "with alerts");
    let mut replica = Cache::default();
    messages(&effects, &cache).iter().for_each(|message| message.repeat(&mut replica, NOW));
    for mut other in [again, replica] {
        assert_eq!(other.alerts(), cache.alerts());
        assert!(other.turn_alerts(UnixMs(NOW.0 + 1), MicroUsd::ZERO).is_silent());
        store(&mut other, &Ask::plain("q").answer(b"a"), NOW);
        store(&mut other, &Ask::plain("r").answer(b"a"), NOW);
        let turned = other.turn_alerts(UnixMs(NOW.0 + 2), MicroUsd::ZERO).turned;
        assert_eq!(turned.iter().map(|turn| (&*turn.name, turn.firing)).collect::<Vec<_>>(), [("empty", false)]);
    }
}

#[test]
fn a_newer_format_is_refused() {
    let mut cache = Cache::default();
    store(&mut cache, &Ask::plain("q").answer(b"a"), NOW);
    let bytes = saved(&cache);
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        loaded(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 6), WireError::Version, "the format");
    assert_eq!(with(0, 0), WireError::Value);
    assert_eq!(bytes[16..18], *b"P\x03");
    assert_eq!(with(17, 4), WireError::Version, "the layout of a record");
    assert_eq!(with(17, 0), WireError::Value);
    assert_eq!(with(16, b'E'), WireError::Kind);
}

/// A cache of a hundred scopes that was asked for an hour, the later scopes more often.
fn asked() -> (Cache, UnixMs) {
    let (mut cache, mut codec) = (Cache::default(), Codec::new());
    let asks: Vec<_> = (0..100).map(|i| Ask { scope: format!("{i:02}").into(), ..Ask::plain("q") }).collect();
    for ask in &asks {
        let mut answer = ask.answer(b"a");
        (answer.cost, answer.tags) = (Some(MicroUsd::from_micros(100)), vec![&b"x"[..], b"y"]);
        store(&mut cache, &answer, NOW);
    }
    let mut now = NOW;
    for round in 0..100 {
        for ask in &asks[round..] {
            now = UnixMs(now.0 + 700);
            cache.get(&ask.identity(), &Terms::default(), now, &mut codec).unwrap();
        }
    }
    (cache, now)
}

/// Windows go on after a restart as if there had been none.
#[test]
fn statistics_go_on_where_they_stopped() {
    let (mut cache, now) = asked();
    let mut again = loaded(&saved(&cache)).unwrap();
    let mut codec = Codec::new();
    for (i, ms) in [0, 1, 999, 60_000, 3_600_000, 86_400_000].into_iter().enumerate() {
        let now = UnixMs(now.0 + ms);
        for cache in [&mut cache, &mut again] {
            let ask = Ask { scope: format!("{i:02}").into(), ..Ask::plain("q") };
            cache.get(&ask.identity(), &Terms::default(), now, &mut codec).unwrap();
        }
        assert_eq!(figures(&cache), figures(&again), "{ms} ms later");
        assert_eq!(cache.counters_record(), again.counters_record(), "{ms} ms later");
        for seconds in [1, 60, 600, 7200, 86_400, 31 * 86_400] {
            let window = Window::last(seconds, now);
            assert_eq!(cache.ledger().counted(Some(&window)), again.ledger().counted(Some(&window)));
        }
    }
}

/// Statistics of a cache without a limit come to one that has less room for them.
#[test]
fn statistics_that_are_too_large_are_cut_to_the_limit_they_come_to() {
    let (cache, now) = asked();
    let record = cache.counters_record();
    let scopes = |cache: &Cache| -> Vec<_> {
        let ledger = cache.ledger();
        let names = ledger.counted_by(Dimension::Scope, None).0;
        let mut names: Vec<_> = names.map(|(name, counters)| (name.to_vec(), counters)).collect();
        names.sort_by(|(a, _), (b, _)| a.cmp(b));
        names
    };
    let all = scopes(&cache);
    assert_eq!(all.len(), 100);
    let mut left = Vec::new();
    for limit in [0, 1 << 30, 4 << 20, 1 << 20, 500_000, 100_000, 10_000] {
        let mut other = Cache::with_policy(Policy { max_memory: limit, ..Policy::default() });
        other.read_counters(&record).unwrap();
        let budget = if limit == 0 { MOST_MEMORY } else { MOST_MEMORY.min(limit as usize / 16) };
        assert!(other.ledger().memory() <= budget, "{} of {budget}", other.ledger().memory());
        other.ledger().validate().unwrap();
        assert_eq!(
            (other.ledger().counters(), other.ledger().first_lookup()),
            (cache.ledger().counters(), Some(UnixMs(NOW.0 + 700)))
        );
        // The later ones saved more.
        let kept = scopes(&other);
        assert_eq!(kept, all[100 - kept.len()..], "{limit}");
        left.push(kept.len());
        if budget > 100_000 {
            let window = Window::last(3600, now);
            assert_eq!(other.ledger().counted(Some(&window)), cache.ledger().counted(Some(&window)));
        }
    }
    assert!(left.is_sorted_by(|a, b| a >= b) && left[..2] == [100, 100] && left.ends_with(&[0, 0]), "{left:?}");
    assert!(left.iter().any(|left| (1..100).contains(left)), "{left:?}");
}

/// What was counted before there were names is of nobody in particular.
#[test]
fn older_versions_have_sums_alone() {
    let files: [&[u8]; 3] = [
        include_bytes!("../fixtures/cache_v1.bin"),
        include_bytes!("../fixtures/cache_v2.bin"),
        include_bytes!("../fixtures/cache_v3.bin"),
    ];
    for ((file, version), money) in files.into_iter().zip(1..).zip([(1_234_567, 7_654_321), (1, 2), (1, 2)]) {
        let mut cache = loaded(file).unwrap();
        let (sums, scope) = (*cache.ledger().counters(), Scope { now: NOW, window: None, gb_month: MicroUsd::ZERO });
        assert_eq!((sums.lookups, (sums.micros_saved, sums.micros_spent)), (101, money), "version {version}");
        let told = |cache: &Cache, dimension| {
            let mut breakdown = Breakdown::new(dimension);
            breakdown.add(cache, 0, false, &scope);
            breakdown.finish()
        };
        for dimension in Dimension::ALL {
            for window in [60, 7200, 31 * 86_400].map(|seconds| Window::last(seconds, NOW)) {
                assert_eq!(cache.ledger().counted_by(dimension, Some(&window)).1, Counters::default());
            }
            let ledger = cache.ledger();
            let (names, sum) = ledger.counted_by(dimension, None);
            assert_eq!((names.count(), sum), (0, sums), "version {version} by {}", dimension.name());
            for (name, stats) in told(&cache, dimension) {
                let counted = if *name == *OTHER { sums } else { Counters::default() };
                assert_eq!(stats.counters, counted, "version {version} by {} {name:?}", dimension.name());
            }
        }
        // From now on they have.
        let ask = Ask { model: b"new".into(), ..Ask::plain("nobody knows") };
        cache.get(&ask.identity(), &Terms::default(), NOW, &mut Codec::new()).unwrap();
        let again = loaded(&saved(&cache)).unwrap();
        let ledger = again.ledger();
        let (names, sum) = ledger.counted_by(Dimension::Model, None);
        let names: Vec<_> = names.map(|(name, counters)| (name.to_vec(), counters.lookups)).collect();
        assert_eq!((names, sum.lookups), (vec![(b"new".to_vec(), 1)], 102));
        let window = Window::last(60, NOW);
        assert_eq!((again.ledger().counted(Some(&window)).lookups, again.ledger().counters().lookups), (1, 102));
        assert_eq!(told(&again, Dimension::Model).last().map(|(_, stats)| stats.counters), Some(sums));
    }
}

/// Hits are booked later, by symbols; these mean other names when all entries have gone meanwhile.
#[test]
fn hits_that_are_not_booked_yet_belong_to_those_who_were_asked() {
    let mut codec = Codec::new();
    for clear in [
        |cache: &mut Cache| drop(cache.invalidate(&Default::default(), NOW)),
        |cache: &mut Cache| {
            cache.repeat_clear();
        },
        |cache: &mut Cache| {
            cache.repeat_anew(0);
        },
    ] {
        let mut cache = Cache::default();
        for model in ["gpt", "claude"] {
            let ask = Ask { model: model.into(), ..Ask::plain("question") };
            store(&mut cache, &ask.answer(b"answer"), NOW);
            for _ in 0..3 {
                cache.get(&ask.identity(), &Default::default(), NOW, &mut codec).unwrap();
            }
            clear(&mut cache);
        }
        let ledger = cache.ledger();
        let hits = |(name, counters): (&[u8], Counters)| (name.to_vec(), counters.hits());
        let mut by_model: Vec<_> = ledger.counted_by(Dimension::Model, None).0.map(hits).collect();
        by_model.sort();
        assert_eq!(by_model, [(b"claude".to_vec(), 3), (b"gpt".to_vec(), 3)]);
    }
}
