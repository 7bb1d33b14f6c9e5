//! Every cache of this node, for what is done without a command: expiry, giving memory back, sums.
//!
//! The server frees values wherever it likes (lazy freeing has threads of its own), so the list is behind a lock and a
//! value takes itself off it before it goes. Whoever walks the list holds the lock, so what it sees is alive. Values are
//! otherwise touched by the main thread alone. The child that saves a snapshot never comes here: another thread may have
//! held the lock at the fork.
//!
//! A value does not know its key. It remembers where it was last seen, its [`Home`], and whoever goes there by name must
//! look whether it still lives there: RENAME, MOVE and SWAPDB tell the value nothing (the shell follows their events).

use crate::core::cache::Cache;
use lazy_static::lazy_static;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Where a cache was last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Home {
    /// The database's number.
    pub db: i32,
    /// The key's name.
    pub key: Box<[u8]>,
}

/// A cache as it hangs on its key.
#[derive(Debug)]
pub struct Resident {
    /// The cache.
    pub cache: Cache,
    /// Where it was last seen.
    pub home: Home,
    /// Whether its key is gone and it only waits to be freed.
    pub gone: bool,
    number: u64,
    /// When it was last lent, and whether to be changed.
    lent: (u64, bool),
    /// When something last panicked that had it in hand.
    broke: Option<Instant>,
    /// Since when others are to be told all of it anew, or when they were.
    pub telling: Telling,
}

/// Whether others are to be told all of a cache anew.
#[derive(Clone, Copy, Debug)]
pub enum Telling {
    /// They have heard all of it as it came.
    None,
    /// They are.
    Due(Option<Instant>),
    /// They were.
    Done(Instant),
}

impl Telling {
    /// They are to be told; again not before a while has passed.
    pub fn ask(&mut self) {
        *self = match *self {
            Self::None => Self::Due(None),
            Self::Due(last) => Self::Due(last),
            Self::Done(last) => Self::Due(Some(last)),
        };
    }

    /// Whether they are to be told now.
    fn is_due(self) -> bool {
        match self {
            Self::Due(last) => last.is_none_or(|last| last.elapsed() >= TELLING),
            Self::None | Self::Done(_) => false,
        }
    }
}

/// Between two times that all of a cache is told anew. It is as much as there is in it.
const TELLING: Duration = Duration::from_secs(60);

/// How long the timer leaves a cache alone after something has panicked that had it in hand.
const SHUNNED: Duration = Duration::from_secs(1);

impl Resident {
    /// Its number on the list. No two caches ever have the same.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Notes that somebody has it in hand, and whether he may change what others are told of.
    pub fn lend(&mut self, to_change: bool) {
        let now = TURN.load(Ordering::Relaxed);
        self.lent = (now, to_change || self.lent == (now, true));
    }

    /// Notes that nobody has it in hand any more, and that all was told.
    pub fn take_back(&mut self) {
        self.lent.0 = 0;
    }

    /// Notes that something has panicked that had it in hand.
    pub fn note_broke(&mut self) {
        self.broke = Some(Instant::now());
    }

    fn is_shunned(&self) -> bool {
        self.broke.is_some_and(|broke| broke.elapsed() < SHUNNED)
    }
}

/// Counts what the main thread does with caches, so that it is known what was in hand when something broke.
static TURN: AtomicU64 = AtomicU64::new(1);

/// Something begins; it has in hand what is lent from this turn on.
pub fn turn() -> u64 {
    // The main thread alone counts.
    let turn = TURN.load(Ordering::Relaxed) + 1;
    TURN.store(turn, Ordering::Relaxed);
    turn
}

/// The caches that were lent since this turn: their numbers, homes, and whether to be changed. On the main thread only.
pub fn lent_since(turn: u64) -> Vec<(u64, Home, bool)> {
    let mut lent = Vec::new();
    for resident in list().caches.values() {
        // SAFETY: as in `each`.
        let resident = unsafe { &**resident };
        if !resident.gone && resident.lent.0 >= turn {
            lent.push((resident.number, resident.home.clone(), resident.lent.1));
        }
    }
    lent
}

/// All caches.
#[derive(Default)]
struct List {
    caches: BTreeMap<u64, *mut Resident>,
    next: u64,
    /// The numbers of those that were mended, and have others since.
    mended: BTreeSet<u64>,
}

impl List {
    /// Puts a cache on the list; its number.
    fn add(&mut self, resident: *mut Resident) -> u64 {
        let number = self.next;
        self.next += 1;
        self.caches.insert(number, resident);
        number
    }
}

// SAFETY: the pointers are only followed under the lock, by the main thread; a thread that frees a value takes its
// pointer off the list under the lock first.
unsafe impl Send for List {}

lazy_static! {
    static ref RESIDENTS: Mutex<List> = Mutex::default();
}

fn list() -> MutexGuard<'static, List> {
    // A panic under the lock leaves a list that is still true.
    RESIDENTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Gives a cache a place on the list; the pointer is what the server keeps as the key's value.
pub fn admit(cache: Cache, home: Home) -> *mut Resident {
    let mut list = list();
    let number = list.next;
    let (lent, telling) = ((0, false), Telling::None);
    let resident = Box::into_raw(Box::new(Resident { cache, home, gone: false, number, lent, broke: None, telling }));
    list.add(resident);
    resident
}

/// Gives a cache another number: what was begun with it as it was has nothing to do with it any more.
///
/// # Safety
/// `resident` came from [`admit`], was not dismissed before, and nobody has it in hand.
pub unsafe fn renumber(resident: *mut Resident) {
    let mut list = list();
    let number = list.add(resident);
    // SAFETY: as the caller promises.
    let before = std::mem::replace(unsafe { &mut (*resident).number }, number);
    list.caches.remove(&before);
    list.mended.insert(before);
}

/// A cache of which others are to be told all anew, if there is one. On the main thread only.
pub fn to_be_told() -> Option<(*mut Resident, Home)> {
    let list = list();
    let mut there = list.caches.values().map(|resident| {
        // SAFETY: as in `each`.
        (*resident, unsafe { &**resident })
    });
    let found = there.find(|(_, resident)| !resident.gone && resident.telling.is_due());
    found.map(|(place, resident)| (place, resident.home.clone()))
}

/// Whether the cache that had this number was mended.
pub fn was_mended(number: u64) -> bool {
    list().mended.contains(&number)
}

/// Shows a cache to `look`, as lent until that is done: a panic leaves it so. What others are told of is changed elsewhere.
///
/// # Safety
/// As for a reference to it that may change it.
unsafe fn show(resident: *mut Resident, look: impl FnOnce(&mut Resident)) {
    // SAFETY: as the caller promises.
    let resident = unsafe { &mut *resident };
    let before = resident.lent;
    resident.lend(false);
    look(resident);
    resident.lent = before;
}

/// Takes a cache off the list and hands it back.
///
/// # Safety
/// `resident` came from [`admit`] and was not dismissed before.
pub unsafe fn dismiss(resident: *mut Resident) -> Box<Resident> {
    // The lock is held until the pointer is off the list, and given back before what it pointed to is freed.
    let mut list = list();
    // SAFETY: as the caller promises, the pointer is that of a box that nobody else owns.
    let owned = unsafe { Box::from_raw(resident) };
    list.caches.remove(&owned.number);
    owned
}

/// Shows every cache that still has a key to `look`. On the main thread only.
pub fn each(mut look: impl FnMut(&mut Resident)) {
    for resident in list().caches.values() {
        // SAFETY: everything on the list is alive while we hold the lock, and the main thread, which we are, is inside
        // no other use of it.
        if !unsafe { &**resident }.gone {
            // SAFETY: as above.
            unsafe { show(*resident, &mut look) };
        }
    }
}

/// Shows `budget` caches from this number on to `look`, without those in whose company something panicked just now; the
/// number to go on from. On the main thread only.
pub fn some(first: u64, budget: usize, mut look: impl FnMut(&mut Resident)) -> u64 {
    let list = list();
    let mut seen = 0;
    for (number, resident) in list.caches.range(first..).take(budget) {
        // SAFETY: as in `each`.
        if !unsafe { &**resident }.is_shunned() {
            // SAFETY: as in `each`.
            unsafe { show(*resident, &mut look) };
        }
        seen = number + 1;
    }
    if list.caches.range(seen..).next().is_some() {
        seen
    } else {
        0
    }
}

/// Hands things to the caches of these numbers, as far as they are still there. On the main thread only.
pub fn deliver<T>(things: Vec<(u64, T)>, mut take: impl FnMut(&mut Resident, T)) {
    let list = list();
    for (number, thing) in things {
        if let Some(resident) = list.caches.get(&number) {
            // SAFETY: as in `each`.
            unsafe { show(*resident, |resident| take(resident, thing)) };
        }
    }
}

/// Where the cache of this number lives, if it is still there. On the main thread only.
pub fn find(number: u64) -> Option<(*mut Resident, Home)> {
    let list = list();
    let resident = *list.caches.get(&number)?;
    // SAFETY: as in `each`.
    let there = unsafe { &*resident };
    (!there.gone).then(|| (resident, there.home.clone()))
}

/// Like [`each`], but gives up when the lock is held: a crash may have happened anywhere.
pub fn try_each(mut look: impl FnMut(&Resident)) {
    let Ok(list) = RESIDENTS.try_lock() else { return };
    for resident in list.caches.values() {
        // SAFETY: as in `each`.
        let resident = unsafe { &**resident };
        if !resident.gone {
            look(resident);
        }
    }
}
