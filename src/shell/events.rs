//! What the server tells of: keys that moved, databases that were swapped or flushed, settings that changed.

use super::keyspace::{home, Intent, Key};
use super::registry::{self, Home};
use super::{datatype, leases, relief, server, settle};
use redis_module::{raw, Context, RedisString};
use std::ffi::{c_char, c_int, c_void, CStr};

/// Subscribes to everything that matters here.
pub fn subscribe(ctx: &Context) {
    // SAFETY: called while the module loads; the callbacks have the signatures that the server expects.
    unsafe {
        if let Some(subscribe) = raw::RedisModule_SubscribeToKeyspaceEvents {
            subscribe(ctx.ctx, raw::REDISMODULE_NOTIFY_GENERIC as c_int, Some(key_event));
        }
        if let Some(subscribe) = raw::RedisModule_SubscribeToServerEvent {
            let event = |id, dataver| raw::RedisModuleEvent { id, dataver };
            subscribe(ctx.ctx, event(raw::REDISMODULE_EVENT_FLUSHDB, 1), Some(flushed));
            subscribe(ctx.ctx, event(raw::REDISMODULE_EVENT_SWAPDB, 1), Some(swapped));
            subscribe(ctx.ctx, event(raw::REDISMODULE_EVENT_CONFIG, 1), Some(configured));
            subscribe(ctx.ctx, event(raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, 1), Some(promoted));
            subscribe(ctx.ctx, event(raw::REDISMODULE_EVENT_LOADING, 1), Some(loading));
            subscribe(ctx.ctx, event(raw::REDISMODULE_EVENT_REPL_ASYNC_LOAD, 1), Some(loading_beside));
            subscribe(ctx.ctx, event(raw::REDISMODULE_EVENT_EVENTLOOP, 1), Some(before_sleep));
        }
    }
}

/// RENAME and MOVE tell the value nothing; here it learns its new home.
unsafe extern "C" fn key_event(
    ctx: *mut raw::RedisModuleCtx,
    _: c_int,
    event: *const c_char,
    name: *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: the server hands out a C string that lives for the time of the call.
    let event = unsafe { CStr::from_ptr(event) };
    if [c"rename_to", c"move_to", c"copy_to", c"restore"].contains(&event) {
        // Whoever waits there waits for an answer of another cache.
        settle("a keyspace event", || leases::fail(&home(&Context::new(ctx), RedisString::string_as_slice(name))));
    }
    if event == c"rename_to" || event == c"move_to" {
        settle("a keyspace event", || {
            let ctx = Context::new(ctx);
            let Ok(mut key) = Key::open(&ctx, name, Intent::Peek) else { return };
            if let Some(resident) = key.resident() {
                resident.home = home(&ctx, RedisString::string_as_slice(name));
                // Taking it off its old key looked like the end of it.
                resident.gone = false;
            }
        });
    }
    raw::REDISMODULE_OK as c_int
}

/// FLUSHDB and FLUSHALL call no unlink, and may free much later.
unsafe extern "C" fn flushed(_: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, sub: u64, data: *mut c_void) {
    if sub != raw::REDISMODULE_SUBEVENT_FLUSHDB_START || data.is_null() {
        return;
    }
    // SAFETY: for this event the data is a flush info that lives for the time of the call.
    let info = unsafe { &*data.cast::<raw::RedisModuleFlushInfoV1>() };
    settle("a flush", || {
        let is_flushed = |home: &Home| info.dbnum == -1 || info.dbnum == home.db;
        registry::each(|resident| resident.gone |= is_flushed(&resident.home));
        leases::fail_all(is_flushed);
    });
}

unsafe extern "C" fn swapped(_: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, data: *mut c_void) {
    if data.is_null() {
        return;
    }
    // SAFETY: for this event the data is a swap info that lives for the time of the call.
    let info = unsafe { &*data.cast::<raw::RedisModuleSwapDbInfoV1>() };
    settle("a swap of databases", || {
        registry::each(|resident| {
            if resident.home.db == info.dbnum_first {
                resident.home.db = info.dbnum_second;
            } else if resident.home.db == info.dbnum_second {
                resident.home.db = info.dbnum_first;
            }
        });
        // Whoever waits in one of them waits for an answer of another cache.
        leases::fail_all(|home| [info.dbnum_first, info.dbnum_second].contains(&home.db));
    });
}

unsafe extern "C" fn configured(ctx: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    settle("a change of settings", || {
        let ctx = Context::new(ctx);
        server::watch_eviction_policy(&ctx);
        // With less `maxmemory` the server evicts before the next command.
        relief::between_commands(&ctx);
    });
}

/// The server has done what it was asked, and is about to wait for more.
unsafe extern "C" fn before_sleep(ctx: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, sub: u64, _: *mut c_void) {
    if sub == raw::REDISMODULE_SUBEVENT_EVENTLOOP_BEFORE_SLEEP {
        settle("giving memory back", || relief::between_commands(&Context::new(ctx)));
    }
}

/// What a primary has done is not what its replica has.
unsafe extern "C" fn loading(_: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, sub: u64, _: *mut c_void) {
    datatype::load_from_primary(sub == raw::REDISMODULE_SUBEVENT_LOADING_REPL_START);
}

/// The same where the old data serve until the new are there.
unsafe extern "C" fn loading_beside(_: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, sub: u64, _: *mut c_void) {
    datatype::load_from_primary(sub == raw::REDISMODULE_SUBEVENT_REPL_ASYNC_LOAD_STARTED);
}

/// Leases end with a failover, on both sides: nobody can answer those who wait.
unsafe extern "C" fn promoted(_: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    settle("a change of roles", || leases::fail_all(|_| true));
}
