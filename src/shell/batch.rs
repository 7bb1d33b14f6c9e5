//! WARM behind its command: thousands of answers stored while everybody else is served.
//!
//! A call whose work is not done at once has its client blocked. JSON is read on a thread, which sees nothing but the text;
//! answers are stored on the main thread, a few milliseconds at a time, by a timer of the server's. Each is stored the way
//! of a SET, the key opened anew, so whatever has become of it meanwhile, an answer meets what a SET would meet. What was
//! begun is finished, also when the client is gone.
//!
//! The server also calls back between its events on request (`EventLoopAddOneShot`), but it goes on with such calls until
//! there are none left: one that asks for the next would stall everybody.

use super::commands::{edit, set, Call};
use super::failure::{Failure, Outcome};
use super::mend::guard;
use super::registry::Home;
use super::reply::{reply_map, Reply};
use super::{cluster, config, leases, search, server, settle, worker};
use crate::core::plans::Profile;
use crate::core::storing::Stored;
use crate::syntax::items::{self, Item, Rejections};
use crate::syntax::Bounds;
use redis_module::{raw, Context, ContextFlags, RedisString};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long answers are stored before others have their turn, and how long that is at least.
const SLICE: Duration = Duration::from_millis(2);
const PAUSE_MS: i64 = 1;

/// JSON of this length is read at once.
const SHORT: usize = 16 << 10;

/// What an array of JSON is for, with options for all of its items.
#[derive(Debug)]
pub enum Purpose {
    /// Answers to be stored.
    Items { options: Box<[Box<[u8]>]> },
    /// A plan.
    Plan { profile: Box<[u8]>, every_ms: u64, limit: u32, hot: u32, options: Box<[Box<[u8]>]> },
}

/// What was read from an array.
enum Parsed {
    Items(Vec<Item>, Rejections),
    Plan(Profile),
}

impl Purpose {
    fn read(&self, array: &[u8], bounds: &Bounds) -> Result<Parsed, Failure> {
        Ok(match self {
            Self::Items { .. } => {
                let (items, rejections) = items::read(array)?;
                Parsed::Items(items, rejections)
            }
            Self::Plan { every_ms, limit, hot, options, .. } => {
                Parsed::Plan(items::plan(options, array, (*every_ms, *limit), bounds)?.with_hot(*hot))
            }
        })
    }
}

/// Where a thread puts what it has read.
type Place = Mutex<Option<Result<Parsed, Failure>>>;

/// Text that is read on a thread.
struct Reading {
    /// Keeps the text where it is while the thread reads.
    array: RedisString,
    purpose: Arc<Purpose>,
    /// What the thread has read; none before there is a thread.
    read: Option<Arc<Place>>,
}

/// The bytes of a string that the main thread keeps.
struct Text(*const [u8]);

// SAFETY: a thread only reads them, and the main thread, which keeps the string until the thread is done, never changes
// them.
unsafe impl Send for Text {}

impl Text {
    /// The bytes.
    ///
    /// # Safety
    /// The string is kept meanwhile.
    unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: as the caller promises.
        unsafe { &*self.0 }
    }
}

impl Reading {
    /// Starts a thread.
    fn start(&mut self) {
        let read = Arc::new(Mutex::new(None));
        let (place, purpose, bounds) = (Arc::clone(&read), Arc::clone(&self.purpose), config::bounds(server::now()));
        let text = Text(std::ptr::from_ref(self.array.as_slice()));
        let thread = std::thread::Builder::new().name("llmcache-json".into()).spawn(move || {
            worker::lower_priority();
            // SAFETY: `array` is kept until the result is there.
            let parse = || purpose.read(unsafe { text.bytes() }, &bounds);
            let parsed = catch_unwind(AssertUnwindSafe(parse)).unwrap_or(Err(Failure::Panic));
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(parsed);
        });
        if thread.is_err() {
            // Without a thread it is read here.
            let parsed = self.purpose.read(self.array.as_slice(), &config::bounds(server::now()));
            *read.lock().unwrap_or_else(PoisonError::into_inner) = Some(parsed);
        }
        self.read = Some(read);
    }

    /// What was read, once it was.
    fn take(&self) -> Option<Result<Parsed, Failure>> {
        self.read.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What is still to be done.
enum Work {
    Reading(Reading),
    Pairs { options: Box<[Box<[u8]>]>, pairs: VecDeque<RedisString> },
    Items { options: Box<[Box<[u8]>]>, items: std::vec::IntoIter<Item> },
    Plan { profile: Box<[u8]>, plan: Profile },
}

/// What came of a call.
#[derive(Debug, Default)]
struct Totals {
    stored: u64,
    skipped: u64,
    /// Items that were none when they were read, and those that could not be stored.
    rejections: Rejections,
    later: Rejections,
    /// How many items were taken up.
    seen: u64,
    /// It was a plan, and it is kept.
    planned: bool,
}

/// One call of WARM.
struct Batch {
    key: RedisString,
    db: c_int,
    work: Work,
    totals: Totals,
}

impl Batch {
    fn new(call: &Call<'_>, work: Work) -> Self {
        // SAFETY: the context is that of the running command.
        let db = unsafe { raw::RedisModule_GetSelectedDb.map_or(0, |db| db(call.ctx.ctx)) };
        Self { key: RedisString::new(None, call.key()), db, work, totals: Totals::default() }
    }

    /// Takes over what was read.
    fn take_over(&mut self, purpose: &Purpose, parsed: Parsed) {
        match (purpose, parsed) {
            (Purpose::Items { options }, Parsed::Items(items, rejections)) => {
                self.totals.rejections = rejections;
                self.work = Work::Items { options: options.clone(), items: items.into_iter() };
            }
            (Purpose::Plan { profile, .. }, Parsed::Plan(plan)) => {
                self.work = Work::Plan { profile: profile.clone(), plan };
            }
            // A reader answers what it was asked for.
            _ => {}
        }
    }

    /// Goes on until all is done or time is up; whether all is done.
    fn go_on(&mut self, ctx: &Context, until: Option<Instant>) -> Result<bool, Failure> {
        if let Work::Reading(reading) = &self.work {
            let Some(parsed) = reading.take() else { return Ok(false) };
            let purpose = Arc::clone(&reading.purpose);
            self.take_over(&purpose, parsed?);
        }
        while self.step(ctx)? {
            if !self.is_done() && until.is_some_and(|until| Instant::now() >= until) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether nothing is left to be taken up.
    fn is_done(&self) -> bool {
        match &self.work {
            Work::Reading(_) | Work::Plan { .. } => false,
            Work::Pairs { pairs, .. } => pairs.is_empty(),
            Work::Items { items, .. } => items.as_slice().is_empty(),
        }
    }

    /// Takes up one item; whether there was one.
    fn step(&mut self, ctx: &Context) -> Result<bool, Failure> {
        let bounds = config::bounds(server::now());
        let key = self.key.inner;
        match &mut self.work {
            Work::Reading(_) => Ok(false),
            Work::Pairs { options, pairs } => {
                let (Some(prompt), Some(response)) = (pairs.pop_front(), pairs.pop_front()) else { return Ok(false) };
                let words = items::merged::<_, &[u8]>(options, &[]);
                let stored = store(ctx, key, (prompt.as_slice(), response.as_slice()), &words, &bounds);
                self.totals.count(self.totals.seen, stored);
                Ok(true)
            }
            Work::Items { options, items } => {
                let Some(item) = items.next() else { return Ok(false) };
                let words = items::merged(options, &item.options);
                let response = item.response.as_deref().unwrap_or_default();
                let stored = store(ctx, key, (&item.prompt, response), &words, &bounds);
                self.totals.count(item.position, stored);
                Ok(true)
            }
            Work::Plan { profile, plan } => {
                // Storing makes room where there is none; a plan cannot.
                if ctx.get_flags().contains(ContextFlags::OOM) {
                    return Err(Failure::OutOfMemory);
                }
                edit(ctx, key, false, |cache, _| Ok(((), cache.plan(profile, plan.clone(), bounds.now)?)))?;
                self.totals.planned = true;
                Ok(false)
            }
        }
    }

    /// Gives up what is left, for this reason.
    fn give_up(&mut self, why: &str) -> Result<(), Failure> {
        match &mut self.work {
            Work::Reading(_) | Work::Plan { .. } => return Err(Failure::Demoted),
            Work::Pairs { pairs, .. } => {
                for _ in 0..pairs.len() / 2 {
                    self.totals.reject(self.totals.seen, why.to_owned());
                }
                pairs.clear();
            }
            Work::Items { items, .. } => {
                for item in items.by_ref() {
                    self.totals.reject(item.position, why.to_owned());
                }
            }
        }
        Ok(())
    }
}

/// Stores one item.
fn store(
    ctx: &Context,
    key: *mut raw::RedisModuleString,
    (prompt, response): (&[u8], &[u8]),
    words: &[&[u8]],
    bounds: &Bounds,
) -> Result<Stored, Failure> {
    set::store(ctx, key, &items::set(prompt, response, words, bounds)?, bounds.now, None)
}

impl Totals {
    fn count(&mut self, position: u64, stored: Result<Stored, Failure>) {
        match stored {
            Ok(Stored::Stored(_)) => self.stored += 1,
            Ok(Stored::ConditionFailed | Stored::NoCache | Stored::AlreadyOver) => self.skipped += 1,
            Ok(Stored::TooLarge) => {
                return self.reject(position, "ERR the entry alone is larger than the cache's MAXMEMORY".into());
            }
            Err(why) => return self.reject(position, why.to_string()),
        }
        self.seen += 1;
    }

    fn reject(&mut self, position: u64, why: String) {
        self.seen += 1;
        self.later.add(position, why);
    }

    fn write(&self, reply: Reply<'_>) {
        if self.planned {
            return reply.ok();
        }
        let rejections = Rejections::joined(&self.rejections, &self.later);
        reply_map!(reply, {
            "stored" => |r: Reply<'_>| r.count(self.stored),
            "skipped" => |r: Reply<'_>| r.count(self.skipped),
            "rejected" => |r: Reply<'_>| r.count(rejections.count),
            "errors" => |r: Reply<'_>| {
                r.array(rejections.shown().len());
                for (position, why) in rejections.shown() {
                    r.array(2);
                    r.count(*position);
                    r.bulk(why.as_bytes());
                }
            },
        });
    }
}

/// Stores pairs of prompts and responses, the last words of a call.
pub fn store_pairs(call: &Call<'_>, options: Box<[Box<[u8]>]>, count: usize) -> Outcome {
    let pairs = call.last_words(count).collect();
    begin(call, Batch::new(call, Work::Pairs { options, pairs }))
}

/// Reads an array, the last word of a call, and does with it what it is for.
pub fn read(call: &Call<'_>, purpose: Purpose) -> Outcome {
    let Some(array) = call.last_words(1).next() else { return Err(Failure::Panic) };
    let purpose = Arc::new(purpose);
    if array.as_slice().len() <= SHORT || !search::may_block(call.ctx) {
        let parsed = purpose.read(array.as_slice(), &call.bounds())?;
        let mut batch = Batch::new(call, Work::Reading(Reading { array, purpose: Arc::clone(&purpose), read: None }));
        batch.take_over(&purpose, parsed);
        return begin(call, batch);
    }
    begin(call, Batch::new(call, Work::Reading(Reading { array, purpose, read: None })))
}

/// Does what can be done at once, and leaves the rest for later. The more calls are under way, the less is done at once: a
/// hundred that come together would stall everybody else for a hundred slices.
fn begin(call: &Call<'_>, mut batch: Batch) -> Outcome {
    let waits = search::may_block(call.ctx);
    let under_way = JOBS.with(|jobs| jobs.borrow().len() as u32);
    let until = waits.then(|| Instant::now() + SLICE / (1 + under_way));
    if batch.go_on(call.ctx, until)? {
        batch.totals.write(call.reply());
        return Ok(());
    }
    // SAFETY: called while a command runs that may block; the callbacks have the signatures that the server expects.
    let client =
        unsafe { raw::RedisModule_BlockClient.map(|block| block(call.ctx.ctx, Some(answer), None, Some(free), 0)) };
    let Some(client) = client.filter(|client| !client.is_null()) else {
        if let Work::Reading(reading) = &batch.work {
            let purpose = Arc::clone(&reading.purpose);
            let parsed = purpose.read(reading.array.as_slice(), &call.bounds())?;
            batch.take_over(&purpose, parsed);
        }
        batch.go_on(call.ctx, None)?;
        batch.totals.write(call.reply());
        return Ok(());
    };
    super::reply::later();
    let home = Home { db: batch.db, key: batch.key.as_slice().into() };
    let is_here = leases::own_context().is_some_and(|own| !cluster::is_elsewhere(&own, &home));
    JOBS.with(|jobs| jobs.borrow_mut().push_back(Job { client, batch, home, is_here }));
    start_readers();
    arm(call.ctx);
    Ok(())
}

/// A call that goes on behind its command, and the client that waits for it.
struct Job {
    client: *mut raw::RedisModuleBlockedClient,
    batch: Batch,
    home: Home,
    /// Whether the key was seen to be this node's. One that comes ahead of its slot is not yet.
    is_here: bool,
}

// All of them belong to the main thread. They are never dropped with it: a thread may still read when the process ends.
thread_local! {
    static JOBS: ManuallyDrop<RefCell<VecDeque<Job>>> = const { ManuallyDrop::new(RefCell::new(VecDeque::new())) };
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// Lets as many threads read as the settings say.
fn start_readers() {
    JOBS.with(|jobs| {
        let mut jobs = jobs.borrow_mut();
        let readings = jobs.iter_mut().filter_map(|job| match &mut job.batch.work {
            Work::Reading(reading) => Some(reading),
            _ => None,
        });
        readings.take(config::threads()).filter(|reading| reading.read.is_none()).for_each(Reading::start);
    });
}

fn arm(ctx: &Context) {
    if ARMED.replace(true) {
        return;
    }
    // SAFETY: the context is that of a command or of the timer itself; the callback takes no data.
    if let Some(create) = unsafe { raw::RedisModule_CreateTimer } {
        // SAFETY: as above.
        unsafe { create(ctx.ctx, PAUSE_MS, Some(tick), std::ptr::null_mut()) };
    }
}

unsafe extern "C" fn tick(ctx: *mut raw::RedisModuleCtx, _: *mut c_void) {
    let ctx = Context::new(ctx);
    ARMED.set(false);
    settle("warming", || turn(&ctx));
    if JOBS.with(|jobs| !jobs.borrow().is_empty()) {
        arm(&ctx);
    }
}

/// Goes on with one call after the other, for one slice of time. A call whose text is still being read lets others pass.
fn turn(ctx: &Context) {
    let flags = ctx.get_flags();
    let is_primary = flags.contains(ContextFlags::MASTER);
    if is_primary && !server::may_decide(ctx) {
        // Writes are paused, or the server loads: nothing may be stored now.
        return;
    }
    let until = Instant::now() + SLICE;
    for _ in 0..JOBS.with(|jobs| jobs.borrow().len()) {
        let Some(mut job) = JOBS.with(|jobs| jobs.borrow_mut().pop_front()) else { break };
        // The job stays outside, so that its client has an answer whatever happens.
        match guard(|| job.turn(ctx, is_primary, until)).unwrap_or(Err(Failure::Panic)) {
            Ok(true) => job.answer(Ok(())),
            Err(why) => job.answer(Err(why)),
            Ok(false) => JOBS.with(|jobs| jobs.borrow_mut().push_back(job)),
        }
        if Instant::now() >= until {
            break;
        }
    }
    start_readers();
}

impl Job {
    /// Where the key has gone, which was this node's.
    fn redirect(&mut self, ctx: &Context) -> Option<String> {
        if self.is_here {
            return cluster::redirect(ctx, &self.home);
        }
        self.is_here = !cluster::is_elsewhere(ctx, &self.home);
        None
    }

    fn turn(&mut self, ctx: &Context, is_primary: bool, until: Instant) -> Result<bool, Failure> {
        let redirect = if is_primary { self.redirect(ctx) } else { None };
        if !is_primary || redirect.is_some() {
            // The thread that reads must be done before its text goes.
            if let Work::Reading(reading) = &self.batch.work {
                if reading.read.is_some() && reading.take().is_none() {
                    return Ok(false);
                }
            }
            if let Some(redirect) = redirect {
                return Err(Failure::Elsewhere(redirect));
            }
            self.batch.give_up(&Failure::Demoted.to_string())?;
            return Ok(true);
        }
        // SAFETY: the context is the timer's own, so no client's database changes with it.
        let there = unsafe { raw::RedisModule_SelectDb.map_or(1, |select| select(ctx.ctx, self.batch.db)) };
        if there != raw::REDISMODULE_OK as c_int {
            return Err(Failure::Panic);
        }
        self.batch.go_on(ctx, Some(until))
    }

    /// Lets the server answer the client, if it is still there.
    fn answer(self, outcome: Result<(), Failure>) {
        let Self { client, batch, .. } = self;
        let told: Box<Told> = Box::new(outcome.map(|()| batch.totals));
        // SAFETY: the client was blocked for this call and nobody else unblocks it; the box goes to the server, which
        // hands it to `answer` and then to `free`.
        unsafe { raw::RedisModule_UnblockClient.map(|unblock| unblock(client, Box::into_raw(told).cast())) };
    }
}

/// What a client is told that has waited.
type Told = Result<Totals, Failure>;

unsafe extern "C" fn answer(ctx: *mut raw::RedisModuleCtx, _: *mut *mut raw::RedisModuleString, _: c_int) -> c_int {
    let ctx = Context::new(ctx);
    super::reply::complete(&ctx, "an answer", || {
        // SAFETY: the data of a client that was blocked here is what `Job::answer` handed over, which lives until `free`.
        let told = unsafe {
            raw::RedisModule_GetBlockedClientPrivateData.and_then(|data| data(ctx.ctx).cast::<Told>().as_ref())
        };
        match told {
            Some(Ok(totals)) => totals.write(Reply(&ctx)),
            Some(Err(why)) => Reply(&ctx).error(&why.to_string()),
            None => Reply(&ctx).error(&Failure::Panic.to_string()),
        }
    });
    raw::REDISMODULE_OK as c_int
}

unsafe extern "C" fn free(_: *mut raw::RedisModuleCtx, data: *mut c_void) {
    settle("an answer", || {
        if !data.is_null() {
            // SAFETY: the data is the box that `Job::answer` handed over.
            drop(unsafe { Box::from_raw(data.cast::<Told>()) });
        }
    });
}
