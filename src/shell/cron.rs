//! What happens without a command: dead entries give their memory back, new answers go to be compressed, and caches
//! shrink when the server runs short.
//!
//! A timer of the server's calls ten times a second; each time the work is bounded, and goes on where it stopped.

use super::keyspace::{Intent, Key};
use super::publish::publish;
use super::registry::{self, Home, Resident};
use super::{server, settle, worker};
use crate::core::effects::Effects;
use crate::core::eviction::Pressure;
use redis_module::{raw, Context, RedisString};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

/// Between two ticks, and between two when there was more to free than one tick may.
const PERIODS_MS: (i64, i64) = (100, 20);

/// How many caches one tick looks at.
const CACHES: usize = 4096;

/// How many entries one tick frees: a few milliseconds' work.
const ENTRIES: usize = 3000;

/// How much one tick gives back from one cache when the server runs short, and how many entries that may take.
const RELIEF: (usize, usize) = (1 << 20, 500);

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Starts the timer.
pub fn start(ctx: &Context) {
    arm(ctx, PERIODS_MS.0);
}

fn arm(ctx: &Context, period: i64) {
    // SAFETY: the context is that of the load or of the timer itself; the callback takes no data.
    if let Some(create) = unsafe { raw::RedisModule_CreateTimer } {
        // SAFETY: as above.
        unsafe { create(ctx.ctx, period, Some(tick), std::ptr::null_mut()) };
    }
}

unsafe extern "C" fn tick(ctx: *mut raw::RedisModuleCtx, _: *mut c_void) {
    let ctx = Context::new(ctx);
    let mut period = PERIODS_MS.0;
    settle("the timer", || {
        if walk(&ctx) {
            period = PERIODS_MS.1;
        }
        relieve(&ctx);
    });
    arm(&ctx, period);
}

/// Frees dead entries, tells subscribers where, and hands answers over to be compressed. Whether more is to be freed.
fn walk(ctx: &Context) -> bool {
    let now = server::now();
    let mut budget = ENTRIES;
    let mut freed: Vec<(*mut Resident, Home, u64)> = Vec::new();
    worker::bring_back();
    let next = registry::some(NEXT.load(Ordering::Relaxed), CACHES, |resident| {
        let expired = resident.cache.expire(now, budget);
        budget -= usize::try_from(expired).unwrap_or(budget).min(budget);
        if resident.gone {
            return;
        }
        worker::hand_over(resident);
        if expired > 0 {
            freed.push((resident, resident.home.clone(), expired));
        }
    });
    // With the budget used up, the same caches are looked at again.
    if budget > 0 {
        NEXT.store(next, Ordering::Relaxed);
    }
    for (place, home, expired) in freed {
        let effects = Effects { expired, ..Effects::default() };
        visit(ctx, &home, place, |_| effects);
    }
    budget == 0
}

/// Evicts from every cache while the server is over its reserve. Evictions are a primary's to decide.
fn relieve(ctx: &Context) {
    if server::pressure() != Pressure::Over || !server::is_primary(ctx) {
        return;
    }
    let mut homes = Vec::new();
    registry::some(0, CACHES, |resident| {
        if !resident.gone && !resident.cache.store().is_empty() {
            homes.push((std::ptr::from_mut(resident), resident.home.clone()));
        }
    });
    let now = server::now();
    for (place, home) in homes {
        visit(ctx, &home, place, |resident| resident.cache.relieve(RELIEF.0, RELIEF.1, now));
    }
}

/// Does something with a cache at home, and publishes what came of it. A cache that has moved is left alone: nothing can
/// be told of it by name until it is found again.
fn visit(ctx: &Context, home: &Home, place: *mut Resident, act: impl FnOnce(&mut Resident) -> Effects) {
    // SAFETY: the context is the timer's own, so no client's database changes with it.
    let there = unsafe { raw::RedisModule_SelectDb.map_or(1, |select| select(ctx.ctx, home.db)) };
    if there != raw::REDISMODULE_OK as i32 {
        return;
    }
    let name = RedisString::create_from_slice(std::ptr::null_mut(), &home.key);
    let Ok(mut key) = Key::open(ctx, name.inner, Intent::Peek) else { return };
    if !key.holds(place) {
        return;
    }
    if let Some(resident) = key.resident() {
        let effects = act(resident);
        publish(ctx, &name, &resident.cache, &effects);
    }
}
