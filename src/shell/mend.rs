//! After a defect: a cache in which a command panicked is made whole, and whoever repeats it hears all of it anew.

use super::keyspace::{Intent, Key};
use super::{audience, log, server, settle};
use crate::core::mending;
use crate::core::retelling::retell;
use redis_module::{raw, Context, RedisString};

/// Makes the cache at a key whole again, if there is one.
pub fn mend(ctx: &Context, name: *mut raw::RedisModuleString) {
    if name.is_null() {
        return;
    }
    settle("mending a cache", || {
        let Ok(mut key) = Key::open(ctx, name, Intent::Peek) else { return };
        let Some(resident) = key.resident() else { return };
        let whole = mending::mend(&resident.cache);
        let (before, after) = (resident.cache.store().len(), whole.store().len());
        let broken = std::mem::replace(&mut resident.cache, whole);
        // What is broken may break once more while it goes.
        settle("freeing a broken cache", || drop(broken));
        log::warning(ctx, &format!("a cache was mended after an internal error: {after} of {before} entries are left"));
        // While writes are paused nothing may be replicated, and a replica tells nobody.
        if !server::may_decide(ctx) || !audience::listens(ctx.get_flags()) {
            return;
        }
        let name = RedisString::string_as_slice(name);
        ctx.replicate("LLMCACHE.APPLY", &[name, b"CLEAR"]);
        retell(&resident.cache, |what, records| {
            let words: Vec<&[u8]> = [name, what.as_bytes()].into_iter().chain(records.iter().copied()).collect();
            ctx.replicate("LLMCACHE.APPLY", words.as_slice());
        });
    });
}
