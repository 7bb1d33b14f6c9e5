//! After a defect: what was in hand when something panicked is made whole, and whoever repeats it hears all of it anew.
//!
//! A cache is mended at once, where it does not agree with itself. It is told by the timer, soon: what panicked may run where
//! nothing can be told, and what panics again and again is not to have all of it told each time.

use super::keyspace::at_home_key;
use super::publish::visit;
use super::registry::{self, Home, Telling};
use super::{audience, leases, log, server, worker};
use crate::core::effects::Effects;
use crate::core::mending;
use crate::core::retelling::retell;
use redis_module::{raw, Context, RedisString};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Instant;

thread_local! {
    /// Whether there may be a cache that is to be told.
    static OWED: Cell<bool> = const { Cell::new(false) };
}

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

/// Makes a cache whole again, if it is not. Of one that was to be changed others may not have heard all.
fn mend(number: u64, home: &Home, to_change: bool) {
    let Some(ctx) = leases::own_context() else { return };
    let Some((place, _)) = registry::find(number) else { return };
    let is_mended = at_home_key(&ctx, home, |key| {
        let Some(resident) = key.resident().filter(|resident| resident.number() == number) else { return false };
        resident.take_back();
        resident.note_broke();
        let is_broken = !mending::is_whole(&resident.cache);
        if to_change || is_broken {
            resident.telling.ask();
            OWED.set(true);
        }
        if !is_broken {
            return false;
        }
        let whole = mending::mend(&resident.cache);
        let (before, after) = (resident.cache.store().len(), whole.store().len());
        let broken = std::mem::replace(&mut resident.cache, whole);
        log::warning(
            &ctx,
            &format!("a cache was mended after an internal error: {after} of {before} entries are left"),
        );
        // What is broken may break once more while it goes.
        if catch_unwind(AssertUnwindSafe(|| worker::discard(broken))).is_err() {
            log::detached_warning("a broken cache was not freed in full");
        }
        true
    });
    if is_mended == Some(true) {
        // SAFETY: the cache was found under this number, by the main thread, and the key that lent it is closed.
        unsafe { registry::renumber(place) };
    }
}

/// Tells replicas, the append-only file and watchers all of one cache of which they are to be told. A replica tells nobody,
/// and while writes are paused nobody does.
pub fn tell(ctx: &Context) {
    if !OWED.get() || !server::may_decide(ctx) {
        return;
    }
    let Some((place, home)) = registry::to_be_told() else { return };
    visit(ctx, &home, place, |resident| {
        resident.telling = Telling::Done(Instant::now());
        let (key, entries) = (&*home.key, resident.cache.store().len().to_string());
        let name = RedisString::create_from_slice(std::ptr::null_mut(), key);
        // SAFETY: the context is that of the timer, in the key's database.
        unsafe { raw::RedisModule_SignalModifiedKey.map(|signal| signal(ctx.ctx, name.inner)) };
        if audience::listens(ctx.get_flags()) {
            ctx.replicate("LLMCACHE.APPLY", &[key, b"ANEW", entries.as_bytes()]);
            retell(&resident.cache, |what, records| {
                let words: Vec<&[u8]> = [key, what.as_bytes()].into_iter().chain(records.iter().copied()).collect();
                ctx.replicate("LLMCACHE.APPLY", words.as_slice());
            });
        }
        Effects::default()
    });
}
