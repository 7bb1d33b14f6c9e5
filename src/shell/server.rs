//! What the server is: its clock, its memory, and what it lacks.

use super::{config, log};
use crate::core::eviction::Pressure;
use crate::core::time::UnixMs;
use redis_module::{raw, CallOptionResp, CallOptionsBuilder, CallReply, CallResult, Context, ContextFlags};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;

/// Which keys the server may evict by its `maxmemory-policy`: none, those that expire, or all.
static EVICTS: AtomicU8 = AtomicU8::new(NOTHING);
const NOTHING: u8 = 0;
const WHAT_EXPIRES: u8 = 1;
const EVERYTHING: u8 = 2;

/// The time of day.
pub fn now() -> UnixMs {
    // SAFETY: takes nothing, changes nothing, and is there on every server that a module can load into.
    let ms = unsafe { raw::RedisModule_Milliseconds.map(|milliseconds| milliseconds()) };
    UnixMs(ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default())
}

/// A time of day as the cache sees it. It is the clock that [`now`] reads.
pub fn time_of(time: SystemTime) -> UnixMs {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or_default())
}

/// How near the server is to its `maxmemory`, measured against the reserve.
pub fn pressure() -> Pressure {
    // SAFETY: takes nothing and changes nothing.
    let used = unsafe { raw::RedisModule_GetUsedMemoryRatio.map_or(0.0, |ratio| ratio()) };
    let reserve = config::memory_reserve();
    if used > 1.0 - reserve / 2.0 {
        Pressure::Over
    } else if used > 1.0 - reserve {
        Pressure::Tight
    } else {
        Pressure::None
    }
}

/// Whether this node may change its caches by itself now: as a primary, not while it loads, and not while writes are
/// paused, when the server must not be made to replicate anything.
pub fn may_decide(ctx: &Context) -> bool {
    let flags = ctx.get_flags();
    // SAFETY: takes nothing and changes nothing.
    let paused = unsafe { raw::RedisModule_AvoidReplicaTraffic.is_some_and(|avoid| avoid() != 0) };
    flags.contains(ContextFlags::MASTER)
        && !flags.intersects(ContextFlags::LOADING | ContextFlags::ASYNC_LOADING)
        && !paused
}

/// Looks whether `maxmemory-policy` could evict a whole cache, and warns when it has come to that.
pub fn watch_eviction_policy(ctx: &Context) {
    let options = CallOptionsBuilder::new().resp(CallOptionResp::Resp2).errors_as_replies().build();
    let reply: CallResult = ctx.call_ext("CONFIG", &options, &["GET", "maxmemory-policy"]);
    let policy = match &reply {
        Ok(CallReply::Array(pair)) => match pair.get(1) {
            Some(Ok(CallReply::String(policy))) => policy.to_string(),
            _ => None,
        },
        _ => None,
    };
    let evicts = match policy.as_deref() {
        Some(policy) if policy.starts_with("allkeys") => EVERYTHING,
        Some(policy) if policy.starts_with("volatile") => WHAT_EXPIRES,
        _ => NOTHING,
    };
    if EVICTS.swap(evicts, Ordering::Relaxed) != EVERYTHING && evicts == EVERYTHING {
        log::warning(ctx, WHOLE_CACHES);
    }
}

const WHOLE_CACHES: &str = "maxmemory-policy allkeys-* can evict a whole cache at once: use noeviction or volatile-*, \
     caches keep themselves within MAXMEMORY and maxmemory";

const EXPIRING_CACHES: &str = "maxmemory-policy volatile-* can evict this cache at once, since its key has an expiry: \
     PERSIST it, its entries expire by themselves";

/// What an administrator should know, of a cache whose key expires or of any other.
pub fn warnings(key_expires: bool) -> Vec<&'static str> {
    match EVICTS.load(Ordering::Relaxed) {
        EVERYTHING => vec![WHOLE_CACHES],
        WHAT_EXPIRES if key_expires => vec![EXPIRING_CACHES],
        _ => Vec::new(),
    }
}

/// What this server lacks, and what that means.
pub fn lacks() -> Vec<&'static str> {
    // SAFETY: the table of server functions is written once, while the module loads.
    let (docs, sorting, category) = unsafe {
        (raw::RedisModule_SetCommandInfo, raw::RedisModule_SetCommandACLCategories, raw::RedisModule_AddACLCategory)
    };
    let mut lacks = Vec::new();
    if docs.is_none() {
        lacks.push("COMMAND DOCS of modules");
    }
    if sorting.is_none() {
        lacks.push("ACL categories for modules: name the commands, @read, @write and @llmcache have none of them");
    } else if category.is_none() {
        lacks.push("ACL categories of modules' own: there is no @llmcache");
    }
    lacks
}
