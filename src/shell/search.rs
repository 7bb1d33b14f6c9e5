//! Long searches on threads of their own, while their clients wait.
//!
//! A search holds all that it needs, so the threads see neither the server nor a cache. When one is done, the server runs
//! the client's command again, on the main thread, with what was found; until then the client is blocked, and everybody
//! else is served.

use super::{config, leases, worker};
use crate::core::lease::Token;
use crate::core::matching::Asking;
use crate::core::similarity::index::Hit;
use lazy_static::lazy_static;
use redis_module::{raw, Context, ContextFlags};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a command finds out by itself takes no longer than that, in microseconds. A client that is blocked and woken costs
/// the main thread about ten.
const INLINE_MICROS: u64 = 100;

/// How many searches may wait. Each keeps the blocks that it is about to read from being freed.
const MOST_JOBS: usize = 256;

/// A search, and what it brought back.
#[derive(Debug)]
pub struct Sought {
    /// The number of the cache it is about.
    pub cache: u64,
    /// What is looked for.
    pub asking: Asking,
    /// From which similarity on, and how many.
    pub reach: (f64, usize),
    /// What was found.
    pub hits: Vec<Hit>,
    /// How long that took.
    pub took: Duration,
    /// The right to compute the answer, should nothing be found. It is given back where nobody comes for the findings.
    claim: Mutex<Option<Token>>,
}

/// A search that is about to begin.
pub struct Searching {
    /// The number of the cache it is about.
    pub cache: u64,
    /// What is looked for.
    pub asking: Asking,
    /// From which similarity on, and how many.
    pub reach: (f64, usize),
    /// The lease that goes with it.
    pub claim: Option<Token>,
}

impl Sought {
    pub fn new(Searching { cache, asking, reach, claim }: Searching) -> Self {
        Self { cache, asking, reach, hits: Vec::new(), took: Duration::ZERO, claim: Mutex::new(claim) }
    }

    /// Takes the lease that goes with it.
    pub fn claim(&self) -> Option<Token> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Searches.
    pub fn run(&mut self) {
        let started = Instant::now();
        let (floor, count) = self.reach;
        self.hits = self.asking.run(floor, count);
        self.took = started.elapsed();
    }
}

/// A search that was sent away, and the client that waits for it. All threads that have nothing else to do work on it.
struct Job {
    client: *mut raw::RedisModuleBlockedClient,
    sought: Box<Sought>,
    /// The first part of it that no thread has taken.
    next: AtomicUsize,
    found: Mutex<Vec<Hit>>,
    since: Instant,
}

// SAFETY: the server lets any thread unblock a client, once, which is all that is done with it.
unsafe impl Send for Job {}
// SAFETY: the client is touched by none but the last thread that holds the job; everything else is plain data.
unsafe impl Sync for Job {}

impl Job {
    /// Searches part by part until no part is left.
    fn work(&self) {
        let Sought { asking, reach: (floor, count), .. } = &*self.sought;
        let parts = asking.parts();
        let next = || Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|part| *part < parts);
        let hits = asking.run_parts(std::iter::from_fn(next), *floor, *count);
        self.found.lock().unwrap_or_else(PoisonError::into_inner).extend(hits);
    }

    /// Lets the server run the command again.
    fn answer(self) {
        let Self { client, mut sought, found, since, .. } = self;
        sought.hits = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        Hit::keep_best(&mut sought.hits, sought.reach.1);
        sought.took = since.elapsed();
        // SAFETY: the client was blocked for this search and nobody else unblocks it; the box goes to the server, which
        // hands it to the command and then to `free`.
        unsafe {
            raw::RedisModule_BlockedClientMeasureTimeEnd.map(|end| end(client));
            raw::RedisModule_UnblockClient.map(|unblock| unblock(client, Box::into_raw(sought).cast()));
        }
    }
}

lazy_static! {
    static ref JOBS: Mutex<VecDeque<Arc<Job>>> = Mutex::new(VecDeque::new());
}

static WORK: Condvar = Condvar::new();
static THREADS: AtomicUsize = AtomicUsize::new(0);

fn jobs() -> MutexGuard<'static, VecDeque<Arc<Job>>> {
    JOBS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a search is better done elsewhere, and this client may wait for it.
pub fn should_leave(ctx: &Context, asking: &Asking, floor: f64) -> bool {
    asking.cost(floor) > INLINE_MICROS && may_block(ctx)
}

/// Whether a client may wait: not in a transaction or a script, nor where it repeats what a primary did.
pub fn may_block(ctx: &Context) -> bool {
    let bound = ContextFlags::MULTI | ContextFlags::LUA | ContextFlags::DENY_BLOCKING | ContextFlags::REPLICATED;
    !ctx.get_flags().intersects(bound)
}

/// Sends a search away. The server runs the client's command again, with `again`, when it is done. Hands the search back
/// where that cannot be.
pub fn leave(ctx: &Context, sought: Box<Sought>, again: raw::RedisModuleCmdFunc) -> Result<(), Box<Sought>> {
    if jobs().len() >= MOST_JOBS || !ensure_threads() {
        return Err(sought);
    }
    // SAFETY: called while a command runs that may block; the callbacks have the signatures that the server expects.
    let client = unsafe { raw::RedisModule_BlockClient.map(|block| block(ctx.ctx, again, None, Some(free), 0)) };
    let Some(client) = client.filter(|client| !client.is_null()) else { return Err(sought) };
    super::reply::later();
    // SAFETY: the client was just blocked.
    unsafe { raw::RedisModule_BlockedClientMeasureTimeStart.map(|start| start(client)) };
    let job = Job { client, sought, next: AtomicUsize::new(0), found: Mutex::default(), since: Instant::now() };
    jobs().push_back(Arc::new(job));
    WORK.notify_all();
    Ok(())
}

/// What was found, when the server runs a command again.
///
/// # Safety
/// The context is that of the running command, and what is answered is not kept beyond it.
pub unsafe fn brought_back<'a>(ctx: *mut raw::RedisModuleCtx) -> Option<&'a Sought> {
    // SAFETY: the context is that of the running command; the data of a blocked client is a search of ours, which lives
    // until the server gives it back through `free`, after the command.
    unsafe {
        if raw::RedisModule_IsBlockedReplyRequest.is_none_or(|asks| asks(ctx) == 0) {
            return None;
        }
        raw::RedisModule_GetBlockedClientPrivateData.and_then(|data| data(ctx).cast::<Sought>().as_ref())
    }
}

unsafe extern "C" fn free(_: *mut raw::RedisModuleCtx, data: *mut c_void) {
    super::settle("a search", || {
        if data.is_null() {
            return;
        }
        // SAFETY: the data is the box that the thread handed over.
        let sought = unsafe { Box::from_raw(data.cast::<Sought>()) };
        if let Some(token) = sought.claim() {
            // The client has not waited for the end.
            leases::give_back(token);
        }
    });
}

/// Starts threads until there are as many as the settings say; whether there is any.
fn ensure_threads() -> bool {
    while THREADS.load(Ordering::Relaxed) < config::threads() {
        let number = THREADS.fetch_add(1, Ordering::Relaxed);
        let thread = std::thread::Builder::new().name("llmcache-search".into());
        if thread.spawn(move || work(number)).is_err() {
            THREADS.fetch_sub(1, Ordering::Relaxed);
            break;
        }
    }
    THREADS.load(Ordering::Relaxed) > 0
}

fn work(number: usize) {
    worker::lower_priority();
    loop {
        let job = {
            let mut jobs = jobs();
            loop {
                match jobs.front() {
                    Some(job) => break Arc::clone(job),
                    None => jobs = WORK.wait(jobs).unwrap_or_else(PoisonError::into_inner),
                }
            }
        };
        // After a panic there is nothing that this thread has found; the hook has logged where.
        let _ = catch_unwind(AssertUnwindSafe(|| job.work()));
        // Nothing of it is left for another thread to begin.
        {
            let mut jobs = jobs();
            if jobs.front().is_some_and(|front| Arc::ptr_eq(front, &job)) {
                jobs.pop_front();
            }
        }
        // The last one to be done answers.
        if let Some(job) = Arc::into_inner(job) {
            job.answer();
        }
        // Threads end from the last one on, so that the count tells which are left.
        if number > 0
            && number >= config::threads()
            && THREADS.compare_exchange(number + 1, number, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            return;
        }
    }
}
