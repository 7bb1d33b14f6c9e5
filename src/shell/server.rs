//! What the server is: its clock, its memory, and what it lacks.

use super::{config, log, stopwatch};
use crate::core::eviction::Pressure;
use crate::core::time::UnixMs;
use redis_module::{raw, CallOptionResp, CallOptionsBuilder, CallReply, CallResult, Context, ContextFlags};
use std::cell::Cell;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};

/// Which keys the server may evict by its `maxmemory-policy`: none, those that expire, or all.
static EVICTS: AtomicU8 = AtomicU8::new(NOTHING);
const NOTHING: u8 = 0;
const WHAT_EXPIRES: u8 = 1;
const EVERYTHING: u8 = 2;

/// `maxmemory` as it was last seen; 0 for none.
static MAXMEMORY: AtomicU64 = AtomicU64::new(0);

/// The time of day. No command that comes later is told an earlier one.
pub fn now() -> UnixMs {
    stopwatch::look(is_main_thread())
}

thread_local! {
    static IS_MAIN: Cell<bool> = const { Cell::new(false) };
}

/// Notes that this is the server's main thread.
pub fn note_main_thread() {
    IS_MAIN.set(true);
}

/// Whether this is the server's main thread. Its memory is asked for nowhere else.
pub fn is_main_thread() -> bool {
    IS_MAIN.get()
}

/// Which part of its `maxmemory` the server uses, without what it holds for replicas and the append-only file; 0 where
/// there is none.
fn fullness() -> f64 {
    // SAFETY: takes nothing and changes nothing.
    f64::from(unsafe { raw::RedisModule_GetUsedMemoryRatio.map_or(0.0, |ratio| ratio()) })
}

/// How near the server is to its `maxmemory`, measured against the reserve.
pub fn pressure() -> Pressure {
    let (used, reserve) = (fullness(), f64::from(config::memory_reserve()));
    if used > 1.0 - reserve / 2.0 {
        Pressure::Over
    } else if used > 1.0 - reserve {
        Pressure::Tight
    } else {
        Pressure::None
    }
}

/// Whether so little of the reserve is left that nothing may be put off.
pub fn is_urgent() -> bool {
    fullness() > 1.0 - f64::from(config::memory_reserve()) / 4.0
}

/// How many bytes the server uses above the line from which on caches give memory back.
pub fn excess() -> usize {
    let above = fullness() - (1.0 - f64::from(config::memory_reserve()) / 2.0);
    if above <= 0.0 {
        return 0;
    }
    // At least one byte, whatever is lost in the ratio.
    (above * limit() as f64) as usize + 1
}

/// `maxmemory` in bytes, 0 where there is none.
pub fn limit() -> usize {
    usize::try_from(MAXMEMORY.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
}

/// Whether the server is about to evict keys of its own choice, caches among them.
pub fn is_evicting() -> bool {
    fullness() > 1.0 && can_evict_caches()
}

/// Whether `maxmemory-policy` lets the server evict caches: all of them, or those whose key expires.
pub fn can_evict_caches() -> bool {
    EVICTS.load(Ordering::Relaxed) != NOTHING
}

/// Whether more than half of `maxmemory` is in use: only then may it be reached soon.
pub fn is_filling() -> bool {
    fullness() > 0.5
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

/// Notes `maxmemory`, looks whether `maxmemory-policy` could evict a whole cache, and warns when it has come to that.
pub fn watch_eviction_policy(ctx: &Context) {
    let limit = setting(ctx, "maxmemory").and_then(|limit| limit.parse().ok());
    MAXMEMORY.store(limit.unwrap_or(0), Ordering::Relaxed);
    let evicts = match setting(ctx, "maxmemory-policy").as_deref() {
        Some(policy) if policy.starts_with("allkeys") => EVERYTHING,
        Some(policy) if policy.starts_with("volatile") => WHAT_EXPIRES,
        _ => NOTHING,
    };
    if EVICTS.swap(evicts, Ordering::Relaxed) != EVERYTHING && evicts == EVERYTHING {
        log::warning(ctx, WHOLE_CACHES);
    }
}

/// A setting of the server's.
fn setting(ctx: &Context, name: &str) -> Option<String> {
    let options = CallOptionsBuilder::new().resp(CallOptionResp::Resp2).errors_as_replies().build();
    let reply: CallResult = ctx.call_ext("CONFIG", &options, &["GET", name]);
    match &reply {
        Ok(CallReply::Array(pair)) => match pair.get(1) {
            Some(Ok(CallReply::String(value))) => value.to_string(),
            _ => None,
        },
        _ => None,
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

/// Of Valkey 9 and newer: this module goes along when slots move in one piece. What a cache is comes as commands then, as in
/// an append-only file. Redis knows no such option.
const MOVES_IN_ONE_PIECE: c_int = 1 << 5;

/// Tells the server what this module can do.
pub fn set_options(ctx: &Context, options: raw::ModuleOptions) {
    let more = if is_valkey(ctx) { MOVES_IN_ONE_PIECE } else { 0 };
    // SAFETY: called while the module loads.
    unsafe { raw::RedisModule_SetModuleOptions.map(|set| set(ctx.ctx, options.bits() | more)) };
}

fn is_valkey(ctx: &Context) -> bool {
    // SAFETY: the table of server functions is written once, while the module loads.
    let functions = unsafe {
        (raw::RedisModule_GetServerInfo, raw::RedisModule_ServerInfoGetFieldC, raw::RedisModule_FreeServerInfo)
    };
    let (Some(ask), Some(field), Some(free)) = functions else { return false };
    // SAFETY: the context is that of the load; what is answered is looked at and given back here.
    unsafe {
        let info = ask(ctx.ctx, c"server".as_ptr());
        let found = !info.is_null() && !field(info, c"valkey_version".as_ptr()).is_null();
        if !info.is_null() {
            free(ctx.ctx, info);
        }
        found
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
