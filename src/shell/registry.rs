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
use std::sync::{Mutex, MutexGuard};

/// Where a cache was last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    place: usize,
}

struct List(Vec<*mut Resident>);

// SAFETY: the pointers are only followed under the lock, by the main thread; a thread that frees a value takes its
// pointer off the list under the lock first.
unsafe impl Send for List {}

lazy_static! {
    static ref RESIDENTS: Mutex<List> = Mutex::new(List(Vec::new()));
}

fn list() -> MutexGuard<'static, List> {
    // A panic under the lock leaves a list that is still true.
    RESIDENTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Gives a cache a place on the list; the pointer is what the server keeps as the key's value.
pub fn admit(cache: Cache, home: Home) -> *mut Resident {
    let mut list = list();
    let place = list.0.len();
    let resident = Box::into_raw(Box::new(Resident { cache, home, gone: false, place }));
    list.0.push(resident);
    resident
}

/// Takes a cache off the list and hands it back.
///
/// # Safety
/// `resident` came from [`admit`] and was not dismissed before.
pub unsafe fn dismiss(resident: *mut Resident) -> Box<Resident> {
    let mut list = list();
    // SAFETY: as the caller promises, the pointer is that of a box that nobody else owns.
    let owned = unsafe { Box::from_raw(resident) };
    if owned.place < list.0.len() {
        list.0.swap_remove(owned.place);
        if let Some(moved) = list.0.get(owned.place) {
            // SAFETY: everything on the list is alive, and only we hold the lock.
            unsafe { (**moved).place = owned.place };
        }
    }
    owned
}

/// Shows every cache that still has a key to `look`. On the main thread only.
pub fn each(mut look: impl FnMut(&mut Resident)) {
    for resident in &list().0 {
        // SAFETY: everything on the list is alive while we hold the lock, and the main thread, which we are, is inside
        // no other use of it.
        let resident = unsafe { &mut **resident };
        if !resident.gone {
            look(resident);
        }
    }
}

/// Shows `budget` caches from the `first` on to `look`; where to go on.
pub fn some(first: usize, budget: usize, mut look: impl FnMut(*mut Resident)) -> usize {
    let list = list();
    for resident in list.0.iter().skip(first).take(budget) {
        look(*resident);
    }
    if first + budget < list.0.len() {
        first + budget
    } else {
        0
    }
}

/// Like [`each`], but gives up when the lock is held: a crash may have happened anywhere.
pub fn try_each(mut look: impl FnMut(&Resident)) {
    let Ok(list) = RESIDENTS.try_lock() else { return };
    for resident in &list.0 {
        // SAFETY: as in `each`.
        let resident = unsafe { &**resident };
        if !resident.gone {
            look(resident);
        }
    }
}
