//! Threads that compress answers behind the reply, and train dictionaries.
//!
//! Ten times a second the main thread hands over what waits, as copies, and takes what is done. The threads see neither
//! the server nor a cache: bytes in, bytes out. They run at low priority, and a backlog stays with the caches, where it
//! counts as what it is, rather than in the queue.
//!
//! One cache at a time has a dictionary trained: the main thread gathers copies of its answers over some ticks, a thread
//! makes the dictionary, and the timer hands it back.

use super::registry::{self, Resident};
use super::{config, server};
use crate::core::cache::Cache;
use crate::core::codec::Codec;
use crate::core::pressing::{Pressed, Pressing};
use crate::core::store::Store;
use crate::core::training::{Trained, Training};
use lazy_static::lazy_static;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// How many bytes one cache may hand over at once, and all of them together, and which part of `maxmemory` that is at most:
/// the copies and what becomes of them take memory that no cache can give back.
const BATCH: usize = 8 << 20;
const BATCH_PART: usize = 64;

/// Which part of `maxmemory` may be learned from at once, for the same reason, and how little is not worth it.
const TRAINING_PART: usize = 128;
const LEAST_TRAINING: usize = 64 << 10;

/// The same for answers that only move to a newer dictionary: what one tick copies in a fraction of a millisecond.
const MOVES: usize = 512 << 10;

/// How many entries one tick looks at to gather what a dictionary is made from.
const GATHERED: usize = 256;

/// A thread without work for so long gives back what it keeps to compress with.
const IDLE: Duration = Duration::from_secs(10);

/// Work between the main thread and the others. A cache is known by its number on the list of residents.
#[derive(Default)]
struct Exchange {
    due: VecDeque<(u64, Pressing)>,
    due_bytes: usize,
    done: Vec<(u64, Pressed)>,
    /// What a dictionary is to be made from, whether one is being made, and one that is done.
    to_train: Option<(u64, Training)>,
    is_training: bool,
    trained: Option<(u64, Trained)>,
}

/// What a thread does next.
enum Work {
    Press(u64, Pressing),
    Train(u64, Training),
}

impl Exchange {
    fn next(&mut self) -> Option<Work> {
        if let Some((cache, pressing)) = self.due.pop_front() {
            self.due_bytes -= pressing.bytes();
            if self.due.is_empty() {
                self.due = VecDeque::new();
            }
            return Some(Work::Press(cache, pressing));
        }
        self.to_train.take().map(|(cache, training)| Work::Train(cache, training))
    }
}

thread_local! {
    /// What is being gathered, on the main thread.
    static GATHERING: RefCell<Option<(u64, Training)>> = const { RefCell::new(None) };
}

lazy_static! {
    static ref EXCHANGE: Mutex<Exchange> = Mutex::new(Exchange::default());
}

static WORK: Condvar = Condvar::new();
static THREADS: AtomicUsize = AtomicUsize::new(0);

fn exchange() -> MutexGuard<'static, Exchange> {
    EXCHANGE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Takes over what waits in a cache, as far as there is room for it.
pub fn hand_over(resident: &mut Resident) {
    if !resident.cache.has_pending() && !resident.cache.is_moving() {
        return;
    }
    let batch = match server::limit() {
        0 => BATCH,
        limit => BATCH.min(limit / BATCH_PART),
    };
    let due = exchange().due_bytes;
    let has_room = !server::is_filling() && !resident.cache.is_filling();
    let rested = Some(server::now()).filter(|_| has_room);
    let mut pressings = resident.cache.take_pressings(batch.saturating_sub(due), rested);
    if pressings.is_empty() {
        // New answers come first.
        pressings = resident.cache.take_moves(batch.min(MOVES).saturating_sub(due));
    }
    if pressings.is_empty() {
        return;
    }
    ensure_threads();
    let mut exchange = exchange();
    exchange.due_bytes += pressings.iter().map(Pressing::bytes).sum::<usize>();
    exchange.due.extend(pressings.into_iter().map(|pressing| (resident.number(), pressing)));
    drop(exchange);
    WORK.notify_all();
}

/// Begins to gather what a cache wants its dictionary made from, if it wants one and no other cache is having its own made.
pub fn begin_training(resident: &mut Resident) {
    if !resident.cache.wants_training() || is_training() {
        return;
    }
    let most = match server::limit() {
        0 => usize::MAX,
        limit => limit / TRAINING_PART,
    };
    if most < LEAST_TRAINING {
        return;
    }
    let training = resident.cache.begin_training(most).map(|training| (resident.number(), training));
    GATHERING.with_borrow_mut(|gathering| *gathering = training);
}

fn is_training() -> bool {
    GATHERING.with_borrow(Option::is_some) || exchange().is_training
}

/// Gathers a little more of what a dictionary is made from; with all of it, a thread makes it.
pub fn gather() {
    // Where no thread could be had, it is tried again.
    if exchange().to_train.is_some() {
        ensure_threads();
    }
    let Some((number, training)) = GATHERING.take() else { return };
    // Of a cache that is gone, nothing is left to be done.
    registry::deliver(vec![(number, training)], |resident, mut training| {
        if resident.gone {
            return;
        }
        if !resident.cache.gather(&mut training, GATHERED) {
            GATHERING.set(Some((number, training)));
            return;
        }
        ensure_threads();
        let mut exchange = exchange();
        exchange.to_train = Some((number, training));
        exchange.is_training = true;
        drop(exchange);
        WORK.notify_all();
    });
}

/// A dictionary that is done, and the number of its cache.
pub fn take_trained() -> Option<(u64, Trained)> {
    exchange().trained.take()
}

/// Brings what is done back to its caches, as far as they are still there.
pub fn bring_back() {
    let done = std::mem::take(&mut exchange().done);
    if !done.is_empty() {
        registry::deliver(done, |resident, pressed| resident.cache.bring_back(pressed));
    }
}

/// What may take long to free.
pub trait Large: Send + 'static {
    /// How many parts it has.
    fn parts(&self) -> usize;
}

impl Large for Store {
    fn parts(&self) -> usize {
        self.parts()
    }
}

impl Large for Cache {
    fn parts(&self) -> usize {
        self.store().parts()
    }
}

/// Frees a cache, or what is left of its entries or of their index, on a thread of its own if that takes long.
pub fn discard(debris: impl Large) {
    const QUICK: usize = 1000;
    if debris.parts() > QUICK {
        FREEING.fetch_add(1, Ordering::Relaxed);
        let freeing = Freeing;
        let work = move || {
            drop(debris);
            drop(freeing);
        };
        // Where no thread can be had, the closure is dropped here, and with it what it holds.
        let _ = std::thread::Builder::new().name("llmcache-free".into()).spawn(work);
    }
}

/// How many threads free something.
static FREEING: AtomicUsize = AtomicUsize::new(0);

/// Whether a thread is about to give memory back.
pub fn is_freeing() -> bool {
    FREEING.load(Ordering::Relaxed) > 0
}

/// A thread that frees something, as long as it does.
struct Freeing;

impl Drop for Freeing {
    fn drop(&mut self) {
        FREEING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts threads until there are as many as the settings say. One too many ends itself.
fn ensure_threads() {
    let wanted = config::threads();
    while THREADS.load(Ordering::Relaxed) < wanted {
        let number = THREADS.fetch_add(1, Ordering::Relaxed);
        let thread = std::thread::Builder::new().name("llmcache".into());
        if thread.spawn(move || work(number)).is_err() {
            THREADS.fetch_sub(1, Ordering::Relaxed);
            return;
        }
    }
}

fn work(number: usize) {
    lower_priority();
    let mut codec = Codec::new();
    loop {
        let work = {
            let mut exchange = exchange();
            loop {
                if let Some(work) = exchange.next() {
                    break work;
                }
                let waited = WORK.wait_timeout(exchange, IDLE);
                let timeout;
                (exchange, timeout) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
                if timeout.timed_out() {
                    codec = Codec::new();
                }
            }
        };
        match work {
            // After a panic the answer stays as it came.
            Work::Press(cache, pressing) => match catch_unwind(AssertUnwindSafe(|| pressing.press(&mut codec))) {
                Ok(pressed) => exchange().done.push((cache, pressed)),
                Err(_) => codec = Codec::new(),
            },
            // And here there is no dictionary, until there is another reason to make one.
            Work::Train(cache, training) => {
                let trained = catch_unwind(AssertUnwindSafe(|| training.train(&mut codec)));
                codec = Codec::new();
                let mut exchange = exchange();
                exchange.is_training = false;
                exchange.trained = trained.ok().map(|trained| (cache, trained));
            }
        }
        // Threads end from the last one on, so that the count tells which are left.
        if number >= config::threads()
            && THREADS.compare_exchange(number + 1, number, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            return;
        }
    }
}

/// Commands come first: threads take what they leave.
pub fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: changes the priority of the calling thread alone, which may always go down.
    unsafe {
        let thread = libc::syscall(libc::SYS_gettid);
        libc::setpriority(libc::PRIO_PROCESS, thread as libc::id_t, 10);
    }
}
