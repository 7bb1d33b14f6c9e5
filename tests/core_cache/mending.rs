//! What is left of a cache in which something broke.

use super::exercise::NOW;
use super::support::{store, Ask};
use llmcache::core::cache::Cache;
use llmcache::core::codec::Codec;
use llmcache::core::mending;

fn filled() -> Cache {
    let mut cache = Cache::default();
    for (i, scope) in (0..100).zip(["one", "other", ""].into_iter().cycle()) {
        let ask = Ask { scope: scope.into(), ..Ask::plain(format!("question {i}")) };
        store(&mut cache, &ask.answer(format!("answer {i}").as_bytes()), NOW);
    }
    cache
}

fn stores(cache: &Cache) -> u64 {
    cache.ledger().booked().counters().stores
}

#[test]
fn a_cache_that_is_whole_stays_as_it_is() {
    let mut cache = filled();
    assert!(mending::is_whole(&cache));
    let mended = mending::mend(&cache);
    mended.validate().unwrap();
    assert_eq!(mended.store().len(), 100);
    let (mut codec, ids) = (Codec::new(), |cache: &Cache| -> Vec<_> {
        let store = cache.store();
        store.by_recency().filter_map(|slot| store.view(slot)).map(|view| view.id()).collect()
    });
    assert_eq!(ids(&mended), ids(&cache), "in the same order of use");
    for id in ids(&cache) {
        assert_eq!(mended.entry_records(&id, &mut codec), cache.entry_records(&id, &mut codec));
    }
    assert_eq!(mended.policy_record(), cache.policy_record());
    assert_eq!(mended.counters_record(), cache.counters_record());
    // What it is told of, another one becomes.
    let mut repeated = filled();
    let before = stores(&repeated);
    repeated.repeat_anew(100);
    assert!(repeated.store().is_empty());
    llmcache::core::retelling::retell(&mended, |what, records| match (what, records) {
        ("STORE", [context, entry, id]) => {
            assert!(repeated.repeat_store(context, entry, Some(b"another"), NOW).is_err());
            repeated.repeat_store(context, entry, Some(id), NOW).unwrap();
        }
        ("POLICY", [record]) => repeated.read_policy(record).unwrap(),
        _ => {}
    });
    repeated.validate().unwrap();
    assert_eq!(ids(&repeated), ids(&cache));
    assert_eq!(stores(&repeated), before, "they were counted before");
    cache.invalidate(&Default::default(), NOW);
    assert_eq!(mending::mend(&cache).store().len(), 0);
}
