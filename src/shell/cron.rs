//! What happens without a command: dead entries give their memory back, new answers go to be compressed, dictionaries are
//! made, caches shrink when the server runs short, and alerts are looked at.
//!
//! A timer of the server's calls ten times a second; each time the work is bounded, and goes on where it stopped.

use super::commands::with_codec;
use super::publish::visit;
use super::registry::{self, Home, Resident};
use super::{audience, config, mend, relief, server, settle, stopwatch, worker};
use crate::core::effects::Effects;
use crate::core::eviction::Pressure;
use crate::core::policy::Mode;
use crate::core::pressing::INLINE;
use crate::core::time::UnixMs;
use crate::core::training::Room;
use redis_module::{raw, Context, ContextFlags};
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two ticks, and between two when there was more to free than one tick may.
const PERIODS_MS: (i64, i64) = (100, 20);

/// How many caches one tick looks at.
const CACHES: usize = 4096;

/// How many entries one tick frees: a few milliseconds' work.
const ENTRIES: usize = 3000;

/// How many hot copies one tick looks at; how long it lets entries go of a cache that is over its limits, and how many at
/// once.
const COOLING: usize = 2048;
const SHRINKING: Duration = Duration::from_millis(2);
const AT_ONCE: usize = 64;

/// How long one tick puts entries into an index.
const INDEXING: Duration = Duration::from_millis(2);

/// How often it is looked at who hears what is replicated.
const LISTENING: Duration = Duration::from_secs(1);

/// Between the beginnings of two rounds over the alerts of all caches, half of what is promised; how long one tick goes on
/// with a round, and after how many caches it looks at the time.
const ROUND: Duration = Duration::from_millis(500);
const WATCHING: Duration = Duration::from_millis(2);
const WATCHED_AT_ONCE: usize = 8;

/// Where the next tick goes on.
static NEXT: AtomicU64 = AtomicU64::new(0);
static NEXT_TO_INDEX: AtomicU64 = AtomicU64::new(0);

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
        stopwatch::calibrate();
        mend::tell(&ctx);
        if walk(&ctx) {
            period = PERIODS_MS.1;
        }
        adopt(&ctx);
        relief::tick(&ctx);
        listen(&ctx);
        watch(&ctx);
    });
    arm(&ctx, period);
}

/// Frees dead entries, tells subscribers where, and hands answers over to be compressed. Whether more is to be freed.
fn walk(ctx: &Context) -> bool {
    let now = server::now();
    let (mut budget, mut cooling) = (ENTRIES, COOLING);
    let may_decide = server::may_decide(ctx);
    let mut too_large: Vec<(*mut Resident, Home)> = Vec::new();
    let turn = NEXT_TO_INDEX.load(Ordering::Relaxed);
    let mut indexing: Option<(u64, *mut Resident, Home)> = None;
    let mut freed: Vec<(*mut Resident, Home, u64)> = Vec::new();
    worker::bring_back();
    worker::gather();
    let next = registry::some(NEXT.load(Ordering::Relaxed), CACHES, |resident| {
        let expired = resident.cache.expire(now, budget);
        budget -= usize::try_from(expired).unwrap_or(budget).min(budget);
        if resident.gone {
            return;
        }
        worker::hand_over(resident);
        resident.cache.cool_idle(now, &mut cooling);
        worker::begin_training(resident);
        if expired > 0 {
            freed.push((resident, resident.home.clone(), expired));
        }
        // One that was loaded so, or whose change to a lower limit nobody goes on with.
        if may_decide && too_large.is_empty() && resident.cache.is_over() {
            too_large.push((resident, resident.home.clone()));
        }
        // The next one in line, or the first.
        if resident.cache.store().is_indexing() {
            let is_next = resident.number() >= turn && indexing.as_ref().is_none_or(|(number, ..)| *number < turn);
            if is_next || indexing.is_none() {
                indexing = Some((resident.number(), resident, resident.home.clone()));
            }
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
    let mut is_shrinking = false;
    for (place, home) in too_large {
        visit(ctx, &home, place, |resident| {
            let (started, mut gone) = (Instant::now(), Effects::default());
            while resident.cache.is_over() && started.elapsed() < SHRINKING {
                // What can get smaller need not go.
                let unpressed = resident.cache.unpressed();
                with_codec(|codec| resident.cache.press_some(INLINE, codec));
                if resident.cache.unpressed() < unpressed {
                    is_shrinking = true;
                    continue;
                }
                let more = resident.cache.shrink(AT_ONCE, now);
                if more == Effects::default() {
                    break;
                }
                gone.merge(more);
            }
            is_shrinking |= gone != Effects::default();
            gone
        });
    }
    let advanced = indexing.is_some_and(|(number, place, home)| {
        NEXT_TO_INDEX.store(number + 1, Ordering::Relaxed);
        index(ctx, &home, place, now)
    });
    budget == 0 || advanced || is_shrinking
}

/// Takes a dictionary that is done into use. Who decides makes room for it; while nobody may, it must find room; a replica
/// keeps no limits, and has the dictionaries that it likes.
fn adopt(ctx: &Context) {
    let Some((number, trained)) = worker::take_trained() else { return };
    let room = match (server::may_decide(ctx), ctx.get_flags().contains(ContextFlags::MASTER)) {
        (true, _) => Room::Evict,
        (false, true) => Room::Fit,
        (false, false) => Room::Any,
    };
    let mut found = None;
    registry::deliver(vec![(number, trained)], |resident, trained| {
        if !resident.gone {
            found = Some((std::ptr::from_mut(resident), resident.home.clone(), trained));
        }
    });
    if let Some((place, home, trained)) = found {
        visit(ctx, &home, place, |resident| resident.cache.adopt(trained, room, server::now()));
    }
}

/// Fills the index of one cache a little more; whether anything came of it. A primary that may not evict now waits until it
/// may, a replica goes as far as there is room.
fn index(ctx: &Context, home: &Home, place: *mut Resident, now: UnixMs) -> bool {
    let may_evict = server::may_decide(ctx);
    let mut advanced = false;
    if may_evict || !ctx.get_flags().contains(ContextFlags::MASTER) {
        let started = Instant::now();
        visit(ctx, home, place, |resident| {
            let before = resident.cache.store().indexed_to();
            let is_wanted = resident.cache.policy().mode == Mode::Similar;
            let goes_on = || started.elapsed() < INDEXING && (is_wanted || server::pressure() == Pressure::None);
            let effects = resident.cache.index_some(may_evict, now, goes_on);
            advanced = resident.cache.store().indexed_to() != before;
            effects
        });
    }
    advanced
}

/// Looks now and then whether anybody hears what is replicated.
fn listen(ctx: &Context) {
    thread_local!(static LAST: Cell<Option<Instant>> = const { Cell::new(None) });
    if LAST.get().is_none_or(|last| last.elapsed() >= LISTENING) {
        LAST.set(Some(Instant::now()));
        audience::look(ctx);
    }
}

/// Looks at the alerts of all caches, some in each tick: which of them begin to fire, and which stop. Only a cache in which
/// one does is opened. Replicas are told by their primary.
fn watch(ctx: &Context) {
    thread_local! {
        /// When the round began, and where it goes on; nowhere at its end.
        static STAGE: Cell<(Option<Instant>, Option<u64>)> = const { Cell::new((None, None)) };
    }
    if !server::may_decide(ctx) {
        return;
    }
    let started = Instant::now();
    let (mut begun, next) = STAGE.get();
    let mut next = match next {
        Some(next) => next,
        // A tick may come a little early.
        None if begun.is_some_and(|begun| started.duration_since(begun) + ROUND / 10 < ROUND) => return,
        None => {
            begun = Some(started);
            0
        }
    };
    let (now, price) = (server::now(), config::memory_price());
    let mut at_once = WATCHED_AT_ONCE;
    loop {
        let mut found: Vec<(*mut Resident, Home)> = Vec::new();
        let mut looked_at = 0;
        next = registry::some(next, at_once, |resident| {
            looked_at += usize::from(!resident.cache.alerts().list().is_empty());
            resident.cache.ledger_mut().book();
            if !resident.gone && resident.cache.has_turning_alerts(now, price) {
                found.push((resident, resident.home.clone()));
            }
        });
        // Where there are alerts, the clock is looked at after each cache.
        at_once = if looked_at > 0 { 1 } else { WATCHED_AT_ONCE };
        for (place, home) in found {
            visit(ctx, &home, place, |resident| resident.cache.turn_alerts(now, price));
        }
        if next == 0 || started.elapsed() >= WATCHING {
            break;
        }
    }
    STAGE.set((begun, Some(next).filter(|next| *next > 0)));
}
