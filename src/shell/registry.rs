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
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

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
}

impl Resident {
    /// Its number on the list. No two caches ever have the same.
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// Caches by number, and the next number.
struct List(BTreeMap<u64, *mut Resident>, u64);

// SAFETY: the pointers are only followed under the lock, by the main thread; a thread that frees a value takes its
// pointer off the list under the lock first.
unsafe impl Send for List {}

lazy_static! {
    static ref RESIDENTS: Mutex<List> = Mutex::new(List(BTreeMap::new(), 0));
}

fn list() -> MutexGuard<'static, List> {
    // A panic under the lock leaves a list that is still true.
    RESIDENTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Gives a cache a place on the list; the pointer is what the server keeps as the key's value.
pub fn admit(cache: Cache, home: Home) -> *mut Resident {
    let mut list = list();
    let number = list.1;
    list.1 += 1;
    let resident = Box::into_raw(Box::new(Resident { cache, home, gone: false, number }));
    list.0.insert(number, resident);
    resident
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
    list.0.remove(&owned.number);
    owned
}

/// Shows every cache that still has a key to `look`. On the main thread only.
pub fn each(mut look: impl FnMut(&mut Resident)) {
    for resident in list().0.values() {
        // SAFETY: everything on the list is alive while we hold the lock, and the main thread, which we are, is inside
        // no other use of it.
        let resident = unsafe { &mut **resident };
        if !resident.gone {
            look(resident);
        }
    }
}

/// Shows `budget` caches from this number on to `look`; the number to go on from. On the main thread only.
pub fn some(first: u64, budget: usize, mut look: impl FnMut(&mut Resident)) -> u64 {
    let list = list();
    let mut seen = 0;
    for (number, resident) in list.0.range(first..).take(budget) {
        // SAFETY: as in `each`.
        look(unsafe { &mut **resident });
        seen = number + 1;
    }
    if list.0.range(seen..).next().is_some() {
        seen
    } else {
        0
    }
}

/// Hands things to the caches of these numbers, as far as they are still there. On the main thread only.
pub fn deliver<T>(things: Vec<(u64, T)>, mut take: impl FnMut(&mut Resident, T)) {
    let list = list();
    for (number, thing) in things {
        if let Some(resident) = list.0.get(&number) {
            // SAFETY: as in `each`.
            take(unsafe { &mut **resident }, thing);
        }
    }
}

/// Where the cache of this number lives, if it is still there. On the main thread only.
pub fn find(number: u64) -> Option<(*mut Resident, Home)> {
    let list = list();
    let resident = *list.0.get(&number)?;
    // SAFETY: as in `each`.
    let there = unsafe { &*resident };
    (!there.gone).then(|| (resident, there.home.clone()))
}

/// Like [`each`], but gives up when the lock is held: a crash may have happened anywhere.
pub fn try_each(mut look: impl FnMut(&Resident)) {
    let Ok(list) = RESIDENTS.try_lock() else { return };
    for resident in list.0.values() {
        // SAFETY: as in `each`.
        let resident = unsafe { &**resident };
        if !resident.gone {
            look(resident);
        }
    }
}
