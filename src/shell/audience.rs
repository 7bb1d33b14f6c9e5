//! Whether anybody hears what is replicated.
//!
//! A record of each answer for replicas and the append-only file is a good part of what storing one takes, and most caches
//! have neither. The server drops what nobody is to hear, but tells modules not whether anybody does: only that there is
//! an append-only file, or a cluster. So the timer looks for replicas and for the backlog that one could go on from. While
//! there is neither, what a later replica or file gets begins with a fork, and of a fork the module is told at once.
//!
//! In doubt somebody listens. And what is told when nobody does is the command as it came: it counts as a change.

use redis_module::{raw, Context, ContextFlags};
use std::ffi::{c_int, c_void, CStr};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether there may be replicas, or somebody who began to listen since that was looked at.
static HEARD: AtomicBool = AtomicBool::new(true);

/// Whether the server tells of forks.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Whether anybody may hear what is said under these flags.
pub fn listens(flags: ContextFlags) -> bool {
    HEARD.load(Ordering::Relaxed) || flags.intersects(ContextFlags::AOF | ContextFlags::CLUSTER)
}

/// Asks to be told of what begins to listen.
pub fn subscribe(ctx: &Context) {
    let tells = |id| {
        let event = raw::RedisModuleEvent { id, dataver: 1 };
        // SAFETY: called while the module loads; the callback has the signature that the server expects.
        let told = unsafe {
            raw::RedisModule_SubscribeToServerEvent.map(|subscribe| subscribe(ctx.ctx, event, Some(somebody_comes)))
        };
        told == Some(raw::REDISMODULE_OK as c_int)
    };
    let events = [raw::REDISMODULE_EVENT_FORK_CHILD, raw::REDISMODULE_EVENT_REPLICA_CHANGE];
    TOLD.store(events.into_iter().all(tells), Ordering::Relaxed);
}

/// A child was forked, or a replica came.
unsafe extern "C" fn somebody_comes(_: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    HEARD.store(true, Ordering::Relaxed);
}

/// Looks who is there. A replica that is promoted was a replica when it last looked, and tells all until it looks again.
pub fn look(ctx: &Context) {
    let flags = ctx.get_flags();
    let busy = ContextFlags::ACTIVE_CHILD | ContextFlags::LOADING | ContextFlags::ASYNC_LOADING;
    let is_quiet = TOLD.load(Ordering::Relaxed) && flags.contains(ContextFlags::MASTER) && !flags.intersects(busy);
    HEARD.store(!is_quiet || may_have_replicas(ctx), Ordering::Relaxed);
}

/// Whether there are replicas, or one that left could go on where it was. These two the server itself goes by.
fn may_have_replicas(ctx: &Context) -> bool {
    // SAFETY: the table of server functions is written once, while the module loads.
    let functions = unsafe {
        (raw::RedisModule_GetServerInfo, raw::RedisModule_ServerInfoGetFieldUnsigned, raw::RedisModule_FreeServerInfo)
    };
    let (Some(ask), Some(number), Some(free)) = functions else { return true };
    // SAFETY: the context is that of the timer; what it answers is read and given back here.
    unsafe {
        let info = ask(ctx.ctx, c"replication".as_ptr());
        if info.is_null() {
            return true;
        }
        let is_nought = |name: &CStr| {
            let mut missing = 0;
            number(info, name.as_ptr(), &mut missing) == 0 && missing == 0
        };
        let nobody = is_nought(c"connected_slaves") && is_nought(c"repl_backlog_active");
        free(ctx.ctx, info);
        !nobody
    }
}
