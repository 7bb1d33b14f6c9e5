//! Time: to the millisecond for readers, within a bounded budget for memory.

use super::support::{store, Ask, START};
use llmcache::core::cache::{Cache, Found, Miss, Terms, GRACE_MS};
use llmcache::core::codec::Codec;
use llmcache::core::entry::{Lifespan, Phase};
use llmcache::core::eviction::Pressure;
use llmcache::core::invalidation::Selection;
use llmcache::core::policy::{Policy, PolicyChange};
use llmcache::core::storing::{Condition, Lifetime, Stored};
use llmcache::core::strategy::{Strategy, Ttl};
use llmcache::core::time::UnixMs;

const NOW: UnixMs = UnixMs(START);
const STRICT: Terms =
    Terms { mode: None, threshold: None, stale_ok: false, max_age_ms: None, no_touch: false, if_none_match: None };
const LENIENT: Terms = Terms { stale_ok: true, ..STRICT };

fn at(ms: u64) -> UnixMs {
    UnixMs(START + ms)
}

fn put(cache: &mut Cache, ask: &Ask, lifetime: Lifetime<'_>, stale_ms: Option<u64>) -> Lifespan {
    let mut answer = ask.answer(b"r");
    (answer.lifetime, answer.stale_ms) = (lifetime, stale_ms);
    let slot = store(cache, &answer, NOW);
    cache.store().view(slot).unwrap().life()
}

fn phase(cache: &Cache, ask: &Ask, terms: &Terms, ms: u64) -> Option<Phase> {
    match cache.find(&ask.digest(), terms, at(ms)) {
        Found::Exact(_, phase) => Some(phase),
        Found::Similar { .. } | Found::Miss(_) => None,
    }
}

#[test]
fn an_answer_ends_in_the_millisecond_that_was_said() {
    let (mut cache, ask) = (Cache::default(), Ask::plain("q"));
    for (lifetime, end) in [(Lifetime::After(1), 1), (Lifetime::After(5000), 5000), (Lifetime::Until(at(70)), 70)] {
        put(&mut cache, &ask, lifetime, None);
        assert_eq!(phase(&cache, &ask, &STRICT, end - 1), Some(Phase::Fresh));
        for terms in [STRICT, LENIENT] {
            assert_eq!(cache.find(&ask.digest(), &terms, at(end)), Found::Miss(Miss::Expired), "{lifetime:?}");
        }
        assert_eq!(cache.visible(&ask.id(), at(end)), None);
        assert_eq!(cache.scan(0, 10, at(end), |_| true).1.len(), 0);
        assert_eq!(cache.count_selected(&Selection::default(), at(end)), 0);
    }
}

#[test]
fn a_stale_answer_serves_who_says_so_until_its_second_end() {
    let (mut cache, ask) = (Cache::default(), Ask::plain("q"));
    put(&mut cache, &ask, Lifetime::After(1000), Some(500));
    assert_eq!(phase(&cache, &ask, &LENIENT, 999), Some(Phase::Fresh));
    for ms in [1000, 1499] {
        assert_eq!(phase(&cache, &ask, &LENIENT, ms), Some(Phase::Stale));
        assert_eq!(phase(&cache, &ask, &STRICT, ms), None);
    }
    assert_eq!(phase(&cache, &ask, &LENIENT, 1500), None);
    let view = cache.store().view(cache.visible(&ask.id(), at(0)).unwrap()).unwrap();
    let ttl = [0, 499, 500, 501, 999, 1000, 1499].map(|ms| view.ttl_seconds(at(ms)));
    assert_eq!(ttl, [1, 1, 1, 0, 0, 0, 0], "rounded like the server's");
}

#[test]
fn a_fresh_answer_stands_against_nx_and_a_stale_one_does_not() {
    let (mut cache, ask) = (Cache::default(), Ask::plain("q"));
    for (condition, ms, stored) in [
        (Condition::Absent, 999, false),
        (Condition::Absent, 1000, true),
        (Condition::Absent, 1500, true),
        (Condition::Present, 999, true),
        (Condition::Present, 1499, true),
        (Condition::Present, 1500, false),
    ] {
        put(&mut cache, &ask, Lifetime::After(1000), Some(500));
        let mut answer = ask.answer(b"new");
        answer.condition = condition;
        let (what, _) = cache.set(&answer, at(ms), Pressure::None, &mut Codec::new()).unwrap();
        assert_eq!(matches!(what, Stored::Stored(_)), stored, "{condition:?} {ms}");
    }
}

#[test]
fn stale_time_comes_from_the_call_or_the_strategy_or_the_cache() {
    let mut cache = Cache::with_policy(Policy { stale_ms: 3, ..Policy::default() });
    let strategy =
        |name: &str, stale_ms| Strategy { name: name.into(), ttl: Ttl::Millis(1000), stale_ms, jitter_percent: None };
    cache.alter_strategies(NOW, |all, _| all.set_strategy(strategy("own", Some(2)))).unwrap();
    cache.alter_strategies(NOW, |all, _| all.set_strategy(strategy("bare", None))).unwrap();
    let ask = Ask::plain("q");
    for (lifetime, said, expected) in [
        (Lifetime::Strategy("own"), Some(1), 1),
        (Lifetime::Strategy("own"), None, 2),
        (Lifetime::Strategy("bare"), None, 3),
        (Lifetime::After(1000), None, 3),
        (Lifetime::After(1000), Some(0), 0),
    ] {
        let life = put(&mut cache, &ask, lifetime, said);
        assert_eq!((life.fresh_until, life.dead_at), (at(1000), at(1000 + expected)), "{lifetime:?} {said:?}");
    }
}

#[test]
fn memory_comes_back_after_the_grace_soonest_first_and_no_more_than_asked() {
    let mut cache = Cache::default();
    let asks: Vec<_> = (0..10).map(|i| Ask::plain(format!("{i}"))).collect();
    for (i, ask) in asks.iter().enumerate() {
        // Out of order: 3, 0, 7, 4, 1, 8, 5, 2, 9, 6 hundred milliseconds, and a second.
        put(&mut cache, ask, Lifetime::After(1000 + (i as u64 * 7 + 3) % 10 * 100), None);
    }
    let forever = Ask::plain("for ever");
    put(&mut cache, &forever, Lifetime::Never, None);
    assert_eq!(cache.expire(at(1000 + GRACE_MS - 1), 100), 0);
    assert_eq!(cache.find(&asks[1].digest(), &STRICT, at(1000 + GRACE_MS - 1)), Found::Miss(Miss::Expired));
    assert_eq!(cache.expire(at(1000 + GRACE_MS), 100), 1);
    assert_eq!(cache.find(&asks[1].digest(), &STRICT, at(1000 + GRACE_MS)), Found::Miss(Miss::Absent));
    let late = at(60_000);
    for expected in [[4, 7], [0, 3], [6, 9], [2, 5]] {
        assert_eq!(cache.expire(late, 2), 2);
        assert!(expected.iter().all(|i| cache.store().find(&asks[*i].digest()).is_none()), "{expected:?}");
        cache.validate().unwrap();
    }
    assert_eq!((cache.expire(late, 0), cache.expire(late, 100), cache.expire(late, 100)), (0, 1, 0));
    assert_eq!((cache.store().len(), cache.ledger().counters().expirations), (1, 10));
    assert_eq!(cache.expire(UnixMs(u64::MAX), 100), 0, "what never expires never does");
}

#[test]
fn jitter_is_the_entrys_own_and_spreads_both_ways() {
    let change = PolicyChange { jitter_percent: Some(10), ..PolicyChange::default() };
    let mut cache = Cache::default();
    cache.alter(&change, NOW).unwrap();
    let ttl = 21_600_000;
    let draw = |cache: &mut Cache, i: u32| {
        let life = put(cache, &Ask::plain(format!("{i}")), Lifetime::Strategy("standard"), None);
        life.fresh_until.since(NOW)
    };
    let drawn: Vec<_> = (0..1000).map(|i| draw(&mut cache, i)).collect();
    assert!(drawn.iter().all(|ms| (ttl - ttl / 10..=ttl + ttl / 10).contains(ms)));
    let below = drawn.iter().filter(|ms| **ms < ttl).count();
    assert!((400..600).contains(&below), "{below} of 1000 are shorter");
    assert!(drawn.iter().min().unwrap() < &(ttl - ttl / 11) && drawn.iter().max().unwrap() > &(ttl + ttl / 11));
    let again: Vec<_> = (0..1000).map(|i| draw(&mut cache.clone(), i)).collect();
    assert_eq!(drawn, again, "the same entry draws the same");
    for explicit in [Lifetime::After(ttl), Lifetime::Until(at(ttl))] {
        assert_eq!(
            put(&mut cache, &Ask::plain("q"), explicit, None).fresh_until,
            at(ttl),
            "an explicit expiry is exact"
        );
    }
}

#[test]
fn soft_invalidation_leaves_the_end_where_it_was() {
    let mut cache = Cache::default();
    let asks = ["fresh", "stale", "for ever", "dead"].map(Ask::plain);
    put(&mut cache, &asks[0], Lifetime::After(5000), Some(1000));
    put(&mut cache, &asks[1], Lifetime::After(1000), Some(9000));
    put(&mut cache, &asks[2], Lifetime::Never, None);
    put(&mut cache, &asks[3], Lifetime::After(1000), None);
    let (count, effects) = cache.make_stale(&Selection::default(), at(2000));
    assert_eq!((count, effects.moved.len()), (3, 2), "the stale one is counted, but stays as it is");
    for (ask, end) in asks.iter().zip([6000, 10_000, u64::MAX / 2]) {
        assert_eq!(phase(&cache, ask, &STRICT, 2000), None);
        assert_eq!(phase(&cache, ask, &LENIENT, 2000), Some(Phase::Stale));
        assert_eq!(phase(&cache, ask, &LENIENT, end - 1), Some(Phase::Stale));
    }
    assert_eq!(phase(&cache, &asks[0], &LENIENT, 6000), None);
    assert_eq!(phase(&cache, &asks[1], &LENIENT, 10_000), None);
    // EXPIRE makes it fresh again, with the stale time it had.
    let (there, effects) = cache.expire_at(&asks[0].id(), at(3000), at(2500));
    assert!(there);
    assert_eq!(effects.moved, [(asks[0].id(), Lifespan { fresh_until: at(3000), dead_at: at(4000), stale_ms: 1000 })]);
    cache.validate().unwrap();
}

#[test]
fn nothing_lies_beyond_the_year_9999() {
    let (mut cache, ask) = (Cache::default(), Ask::plain("q"));
    let last = UnixMs(253_402_300_799_999);
    for lifetime in
        [Lifetime::After(u64::MAX), Lifetime::After(last.0), Lifetime::Until(UnixMs(last.0 + 1)), Lifetime::Until(last)]
    {
        let life = put(&mut cache, &ask, lifetime, Some(u64::MAX));
        assert_eq!((life.fresh_until, life.dead_at), (last, last), "{lifetime:?}");
        cache.validate().unwrap();
    }
    cache.expire_at(&ask.id(), UnixMs(u64::MAX - 1), NOW);
    let view = cache.store().view(cache.visible(&ask.id(), NOW).unwrap()).unwrap();
    assert_eq!((view.life().fresh_until, view.life().dead_at), (last, last));
    assert_eq!(view.ttl_seconds(NOW), ((last.0 - START + 500) / 1000) as i64);
    assert_eq!(cache.find(&ask.digest(), &LENIENT, last), Found::Miss(Miss::Expired));
    assert_eq!(put(&mut cache, &ask, Lifetime::Never, Some(5)).dead_at, UnixMs::NEVER, "never is never");
}

#[test]
fn a_clock_that_goes_back_breaks_nothing() {
    let (mut cache, ask) = (Cache::default(), Ask::plain("q"));
    put(&mut cache, &ask, Lifetime::After(1000), None);
    let before = UnixMs(START - 50_000);
    let terms = Terms { max_age_ms: Some(0), ..STRICT };
    assert!(matches!(cache.find(&ask.digest(), &terms, before), Found::Exact(_, Phase::Fresh)));
    let view = cache.store().view(cache.visible(&ask.id(), before).unwrap()).unwrap();
    assert_eq!((view.age_seconds(before), view.ttl_seconds(before)), (0, 51));
    assert_eq!(cache.expire(before, 10), 0);
}

#[test]
fn an_expiry_in_the_past_takes_away_what_is_there() {
    let (mut cache, ask) = (Cache::default(), Ask::plain("q"));
    for lifetime in [Lifetime::Until(NOW), Lifetime::Until(UnixMs(0)), Lifetime::After(0)] {
        put(&mut cache, &ask, Lifetime::Never, None);
        let mut answer = ask.answer(b"late");
        (answer.lifetime, answer.stale_ms) = (lifetime, Some(99_999));
        let (stored, effects) = cache.set(&answer, NOW, Pressure::None, &mut Codec::new()).unwrap();
        assert_eq!((stored, &*effects.deleted), (Stored::AlreadyOver, &[ask.id()][..]), "{lifetime:?}");
        assert!(cache.store().is_empty());
    }
}

#[test]
fn an_age_is_over_its_limit_a_millisecond_after_it() {
    let (mut cache, ask) = (Cache::default(), Ask::plain("q"));
    put(&mut cache, &ask, Lifetime::Never, None);
    let older = |limit| Selection { older_than_ms: Some(limit), ..Selection::default() };
    let young = |limit| Terms { max_age_ms: Some(limit), ..STRICT };
    for (limit, ms, over) in [(0, 0, false), (0, 1, true), (1000, 1000, false), (1000, 1001, true)] {
        assert_eq!(cache.count_selected(&older(limit), at(ms)), u64::from(over), "OLDERTHAN is strict: {limit} {ms}");
        assert_eq!(phase(&cache, &ask, &young(limit), ms).is_none(), over, "and so is MAXAGE: {limit} {ms}");
    }
}
