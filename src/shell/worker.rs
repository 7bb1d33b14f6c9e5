//! Threads that compress answers behind the reply.
//!
//! Ten times a second the main thread hands over what waits, as copies, and takes what is done. The threads see neither
//! the server nor a cache: bytes in, bytes out. They run at low priority, and a backlog stays with the caches, where it
//! counts as what it is, rather than in the queue.

use super::registry::{self, Resident};
use super::{config, server};
use crate::core::cache::Cache;
use crate::core::codec::Codec;
use crate::core::pressing::{Pressed, Pressing};
use crate::core::store::Store;
use lazy_static::lazy_static;
use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

/// How many bytes one cache may hand over at once, and all of them together, and which part of `maxmemory` that is at most:
/// the copies and what becomes of them take memory that no cache can give back.
const BATCH: usize = 8 << 20;
const BATCH_PART: usize = 64;

/// Work between the main thread and the others. A cache is known by its number on the list of residents.
#[derive(Default)]
struct Exchange {
    due: VecDeque<(u64, Pressing)>,
    due_bytes: usize,
    done: Vec<(u64, Pressed)>,
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
    if !resident.cache.has_pending() {
        return;
    }
    let batch = match server::limit() {
        0 => BATCH,
        limit => BATCH.min(limit / BATCH_PART),
    };
    let room = batch.saturating_sub(exchange().due_bytes);
    let pressings = resident.cache.take_pressings(room);
    if pressings.is_empty() {
        return;
    }
    ensure_threads();
    let mut exchange = exchange();
    exchange.due_bytes += pressings.iter().map(|pressing| pressing.answer.len()).sum::<usize>();
    exchange.due.extend(pressings.into_iter().map(|pressing| (resident.number(), pressing)));
    drop(exchange);
    WORK.notify_all();
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
        // Where no thread can be had, the closure is dropped here, and with it what it holds.
        let _ = std::thread::Builder::new().name("llmcache-free".into()).spawn(move || drop(debris));
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
        let (cache, pressing) = {
            let mut exchange = exchange();
            loop {
                if let Some((cache, pressing)) = exchange.due.pop_front() {
                    exchange.due_bytes -= pressing.answer.len();
                    if exchange.due.is_empty() {
                        exchange.due = VecDeque::new();
                    }
                    break (cache, pressing);
                }
                exchange = WORK.wait(exchange).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
        };
        // After a panic the answer stays as it came.
        match catch_unwind(AssertUnwindSafe(|| pressing.press(&mut codec))) {
            Ok(pressed) => exchange().done.push((cache, pressed)),
            Err(_) => codec = Codec::new(),
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
