//! After a defect: what was in hand when something panicked is made whole, and whoever repeats it hears all of it anew.

use super::keyspace::at_home_key;
use super::registry::{self, Home};
use super::{audience, leases, log, server};
use crate::core::mending;
use crate::core::retelling::retell;
use redis_module::{raw, Context, RedisString};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Runs something on the main thread. None where it panicked: that is logged, and the caches are mended that it had in hand.
pub fn guard<T>(work: impl FnOnce() -> T) -> Option<T> {
    let since = registry::turn();
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    if done.is_none() {
        for (number, home, to_change) in registry::lent_since(since) {
            if catch_unwind(|| mend(number, &home, to_change)).is_err() {
                log::detached_warning("a cache could not be mended after an internal error");
            }
        }
    }
    done
}

/// Makes a cache whole again. One that was only looked at is left as it is if it agrees with itself; of one that was to be
/// changed others may not have heard all.
fn mend(number: u64, home: &Home, to_change: bool) {
    let Some(ctx) = leases::own_context() else { return };
    let Some((place, _)) = registry::find(number) else { return };
    let mended = at_home_key(&ctx, home, |key| {
        let resident = key.resident().filter(|resident| resident.number() == number)?;
        if !to_change && mending::is_whole(&resident.cache) {
            return None;
        }
        let whole = mending::mend(&resident.cache);
        let (before, after) = (resident.cache.store().len(), whole.store().len());
        let broken = std::mem::replace(&mut resident.cache, whole);
        // What is broken may break once more while it goes.
        if catch_unwind(AssertUnwindSafe(|| drop(broken))).is_err() {
            log::detached_warning("a broken cache was not freed in full");
        }
        log::warning(
            &ctx,
            &format!("a cache was mended after an internal error: {after} of {before} entries are left"),
        );
        tell(&ctx, &home.key, |tell| retell(&resident.cache, tell));
        Some(())
    });
    if mended.flatten().is_some() {
        // SAFETY: the cache was found under this number, by the main thread, and the key that lent it is closed.
        unsafe { registry::renumber(place) };
    }
}

/// Has all of a cache told to replicas, the append-only file and watchers.
fn tell(ctx: &Context, key: &[u8], all: impl FnOnce(&mut dyn FnMut(&str, &[&[u8]]))) {
    let name = RedisString::create_from_slice(std::ptr::null_mut(), key);
    // SAFETY: the context is our own, in the key's database.
    unsafe { raw::RedisModule_SignalModifiedKey.map(|signal| signal(ctx.ctx, name.inner)) };
    // While writes are paused nothing may be replicated, and a replica tells nobody.
    if !server::may_decide(ctx) || !audience::listens(ctx.get_flags()) {
        return;
    }
    ctx.replicate("LLMCACHE.APPLY", &[key, b"ANEW"]);
    all(&mut |what, records| {
        let words: Vec<&[u8]> = [key, what.as_bytes()].into_iter().chain(records.iter().copied()).collect();
        ctx.replicate("LLMCACHE.APPLY", words.as_slice());
    });
}
