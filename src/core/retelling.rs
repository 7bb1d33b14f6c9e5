//! A cache as a sequence of `LLMCACHE.APPLY`: what a rewritten append-only file holds of it, and what replicas are told of one
//! that had to be mended.

use super::cache::Cache;
use super::codec::Codec;

/// Tells what makes an empty cache this one: what to apply, and its records.
pub fn retell(cache: &Cache, mut tell: impl FnMut(&str, &[&[u8]])) {
    tell("POLICY", &[&cache.policy_record()]);
    tell("FEEDBACK", &[&cache.feedback_record()]);
    for record in cache.plans().list().filter_map(|(name, _)| cache.plan_record(name)) {
        tell("PLAN", &[&record]);
    }
    if !cache.alerts().list().is_empty() {
        tell("ALERTS", &[&cache.alerts_record()]);
    }
    let store = cache.store();
    let mut codec = Codec::new();
    for id in store.by_recency().filter_map(|slot| store.view(slot)).map(|view| view.id()) {
        if let Some((context, entry)) = cache.entry_records(&id, &mut codec) {
            tell("STORE", &[&context, &entry, id.to_string().as_bytes()]);
        }
    }
}
