//! A cache that was saved and loaded is the same cache.

use super::ops::{Bench, Dice, Op};
use super::support::{entries, loaded, messages, records, saved, store, with_seeds, Ask, START};
use llmcache::core::alerts::{Alert, Side};
use llmcache::core::cache::Cache;
use llmcache::core::codec::Codec;
use llmcache::core::money::{MicroUsd, Price};
use llmcache::core::policy::PolicyChange;
use llmcache::core::report::Figure;
use llmcache::core::strategy::{Rule, Strategy, Ttl, MAX_CUSTOM, MAX_RULES};
use llmcache::core::time::UnixMs;
use llmcache::core::wire::{WireError, Writer};

const NOW: UnixMs = UnixMs(START);

fn assert_same(a: &Cache, b: &Cache, place: &str) {
    let mut codec = Codec::new();
    assert!(entries(a, &mut codec) == entries(b, &mut codec), "entries and their order of use, {place}");
    assert_eq!(a.ledger().counters(), b.ledger().counters(), "{place}");
    assert_eq!((a.policy(), a.strategies()), (b.policy(), b.strategies()), "{place}");
    assert_eq!(a.store().shared_memory(), b.store().shared_memory(), "{place}");
    if a.store().hot() == b.store().hot() {
        // Hot copies are a node's own.
        assert_eq!(a.store().entries_memory(), b.store().entries_memory(), "{place}");
    }
    assert_eq!(a.store().answer_bytes(), b.store().answer_bytes(), "{place}");
    // What statistics take depends on how they came to be.
    let policy_memory = |cache: &Cache| cache.policy_memory() - cache.ledger().charge();
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
    assert_eq!(with(0, 5), WireError::Version, "the format");
    assert_eq!(with(0, 0), WireError::Value);
    assert_eq!(bytes[16..18], *b"P\x03");
    assert_eq!(with(17, 4), WireError::Version, "the layout of a record");
    assert_eq!(with(17, 0), WireError::Value);
    assert_eq!(with(16, b'E'), WireError::Kind);
}
