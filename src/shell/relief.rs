//! Room: what all caches together give back when the server runs short of memory.
//!
//! Below its reserve nobody cares. In the lower half of the reserve caches do not grow: what a store takes, the cache whose
//! entries are worth least gives back, its own or another. Above that they give back what is above the line.
//!
//! The server evicts keys of its own choice, and refuses the writes of others, *before* a command, and a client can fill
//! a small reserve between two ticks of the timer. So caches give between any two rounds of the server's event loop, in
//! which a client gets little done. A store in one cache never has to open another: what others owe it, they give right
//! behind it.

use super::keyspace::at_home_key;
use super::publish::visit;
use super::registry::{self, Home, Resident};
use super::{server, worker};
use crate::core::cache::Cache;
use crate::core::eviction::Pressure;
use crate::core::time::UnixMs;
use redis_module::Context;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many bytes of hot copies one cache lets go in a tick.
const COOLING: usize = 1 << 20;

/// How much one cache gives until it is seen who gives next, and how many entries at most.
const PORTION: usize = 32 << 10;
const ENTRIES: usize = 64;

/// Above the line they give this part of the memory limit more than they must, so that they need not at once again.
const SLACK: usize = 2048;

/// How long caches give at once: commonly, when others are about to be refused, and when whole caches are about to go.
const CALM: Duration = Duration::from_millis(1);
const BRISK: Duration = Duration::from_millis(5);
const HURRY: Duration = Duration::from_millis(500);

/// Among how many caches the one that gives is chosen, beside the one that gave last.
const CHOICE: usize = 16;

/// How many caches let hot copies go before anybody gives entries.
const COOLED: usize = 64;

/// How many caches a tick shows to the server as being in use.
const SHOWN: usize = 64;

/// What stores took that other caches are to give back.
static OWED: AtomicUsize = AtomicUsize::new(0);

/// Where the next choice begins, who gave last, who cools next, and who is shown next.
static NEXT_CHOICE: AtomicU64 = AtomicU64::new(0);
static LAST: AtomicU64 = AtomicU64::new(0);
static NEXT_TO_COOL: AtomicU64 = AtomicU64::new(0);
static NEXT_TO_SHOW: AtomicU64 = AtomicU64::new(0);

/// What a cache's least valuable entry is worth; the cache with the least gives first. None of one that has none to give.
fn worth(cache: &mut Cache, now: UnixMs) -> Option<f64> {
    cache.least_worth(now)
}

/// Who is to give.
struct Giver {
    place: *mut Resident,
    home: Home,
    number: u64,
}

/// The cache that is to give next. While answers of a cache wait to be compressed, that is what gives its memory back, if
/// there is time for it.
fn giver(urgent: bool, passed_over: &[u64]) -> Option<Giver> {
    let now = server::now();
    let mut best: Option<(f64, Giver)> = None;
    let mut look = |resident: &mut Resident| {
        if resident.gone || !(urgent || resident.cache.can_give()) {
            return;
        }
        let number = resident.number();
        if passed_over.contains(&number) {
            return;
        }
        if let Some(worth) = worth(&mut resident.cache, now) {
            if best.as_ref().is_none_or(|(least, _)| worth < *least) {
                let giver = Giver { place: std::ptr::from_mut(resident), home: resident.home.clone(), number };
                best = Some((worth, giver));
            }
        }
    };
    registry::some(LAST.load(Ordering::Relaxed), 1, &mut look);
    let next = registry::some(NEXT_CHOICE.load(Ordering::Relaxed), CHOICE, look);
    NEXT_CHOICE.store(next, Ordering::Relaxed);
    let giver = best.map(|(_, giver)| giver);
    LAST.store(giver.as_ref().map_or(0, |giver| giver.number), Ordering::Relaxed);
    giver
}

/// How a store into this cache is to see the server's memory: where another cache is to make room for it, as granted.
pub struct Terms {
    pressure: Pressure,
    other_gives: bool,
}

impl Terms {
    /// What holds for a store at home, before its key is opened.
    pub fn of(home: &Home) -> Self {
        let pressure = server::pressure();
        let other_gives = pressure != Pressure::None && giver(true, &[]).is_some_and(|giver| giver.home != *home);
        Self { pressure, other_gives }
    }

    /// What holds for this cache. One that has entries gives by itself when nothing may be put off.
    pub fn pressure(&self, cache: &Cache) -> Pressure {
        match self.other_gives && (cache.store().is_empty() || !server::is_urgent()) {
            true => Pressure::Granted,
            false => self.pressure,
        }
    }
}

/// Notes what a store took from the room that others are to make.
pub fn owe(before: usize, after: usize) {
    OWED.fetch_add(after.saturating_sub(before), Ordering::Relaxed);
}

/// Whether what a store takes is room that others are to make.
pub fn owes(pressure: Pressure) -> bool {
    pressure == Pressure::Granted
}

/// Before the server waits for the next commands.
pub fn between_commands(ctx: &Context) {
    if OWED.load(Ordering::Relaxed) > 0 || server::excess() > 0 {
        give(ctx);
    }
}

/// Has the least valuable entries of all caches go until what is owed is given and the server is below the line, or time
/// is up.
fn give(ctx: &Context) {
    let mut owed = OWED.swap(0, Ordering::Relaxed);
    if !server::may_decide(ctx) || server::pressure() == Pressure::None {
        return;
    }
    let (now, started) = (server::now(), Instant::now());
    let slack = if server::excess() > 0 { server::limit() / SLACK } else { 0 };
    let wanted = |owed: usize| match server::excess() {
        0 => owed,
        excess => owed.max(excess + slack),
    };
    if server::excess() > 0 {
        let next = registry::some(NEXT_TO_COOL.load(Ordering::Relaxed), COOLED, |resident| {
            resident.cache.cool(wanted(0));
            // What a lookup asked for costs no answer.
            if wanted(0) > 0 && resident.cache.give_up_asked_index() {
                let debris = resident.cache.take_debris();
                match server::is_urgent() {
                    true => drop(debris),
                    false => debris.into_iter().for_each(worker::discard),
                }
            }
        });
        NEXT_TO_COOL.store(next, Ordering::Relaxed);
    }
    // What a thread is about to free need nobody give.
    if worker::is_freeing() && !server::is_urgent() && !server::can_evict_caches() {
        OWED.fetch_add(owed, Ordering::Relaxed);
        return;
    }
    let (mut passed_over, mut time) = (Vec::new(), CALM);
    loop {
        let left = wanted(owed);
        // Compressors need memory before they give any back, and a server that may evict whole caches is not to wait.
        let urgent = server::is_urgent() || server::can_evict_caches();
        // Who begins in a hurry goes on until the server is below its line.
        time = time.max(match (server::is_evicting(), server::is_urgent()) {
            (true, _) => HURRY,
            (false, true) => BRISK,
            (false, false) => CALM,
        });
        if left == 0 || started.elapsed() > time {
            break;
        }
        let Some(Giver { place, home, number }) = giver(urgent, &passed_over) else {
            owed = 0;
            break;
        };
        let mut given = 0;
        visit(ctx, &home, place, |resident| {
            // By its entries: that the first of them are remembered takes memory.
            let before = resident.cache.store().entries_memory();
            let effects = resident.cache.relieve(left.min(PORTION), ENTRIES, now);
            given = before.saturating_sub(resident.cache.store().entries_memory());
            effects
        });
        if given == 0 {
            // It has moved, and cannot be told of by name.
            passed_over.push(number);
        }
        owed = owed.saturating_sub(given);
    }
    OWED.fetch_add(owed, Ordering::Relaxed);
}

/// What is done ten times a second: hot copies and statistics give way, and caches give also where the server does not
/// call between its commands.
pub fn tick(ctx: &Context) {
    let pressure = server::pressure();
    hold(pressure > Pressure::None);
    if pressure == Pressure::Over {
        registry::each(|resident| {
            if server::excess() > 0 {
                resident.cache.cool(COOLING);
                resident.cache.ledger_mut().give_back();
            }
        });
    }
    between_commands(ctx);
    if server::can_evict_caches() && server::is_filling() {
        show_in_use(ctx);
    }
}

/// Lets statistics, and indexes that were only asked for, grow no more while the server is short of memory.
fn hold(is_short: bool) {
    thread_local!(static HELD: Cell<bool> = const { Cell::new(false) });
    // Caches that come meanwhile are held as well.
    if is_short || HELD.replace(is_short) {
        HELD.set(is_short);
        registry::each(|resident| resident.cache.hold(is_short));
    }
}

/// Where the server may evict whole caches, it is to think that they were used just now, so that it takes other keys
/// first: a cache gives its own entries by their own use.
fn show_in_use(ctx: &Context) {
    let mut homes = Vec::new();
    let next = registry::some(NEXT_TO_SHOW.load(Ordering::Relaxed), SHOWN, |resident| {
        if !resident.gone {
            homes.push(resident.home.clone());
        }
    });
    NEXT_TO_SHOW.store(next, Ordering::Relaxed);
    for home in homes {
        at_home_key(ctx, &home, |key| key.show_in_use());
    }
}
