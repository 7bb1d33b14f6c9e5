//! Changes of so many entries that they are made slice by slice, behind a command whose client waits.
//!
//! Others are served between two slices. The change is made in full before the client has its reply, also when the client
//! is gone or the cache is renamed meanwhile; a cache that is deleted needs no change, and where it has gone to another node
//! of a cluster the client is sent there to ask again.

use super::commands::Call;
use super::failure::{Failure, Outcome};
use super::keyspace::{at_home, home};
use super::mend::guard;
use super::publish::visit;
use super::registry::{self, Home};
use super::reply::Reply;
use super::{cluster, search, server, settle};
use crate::core::cache::Cache;
use crate::core::effects::Effects;
use crate::core::time::UnixMs;
use redis_module::{raw, Context, ContextFlags, RedisString};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

/// For how long changes are made before others have their turn, and how long that is at least.
const SLICE: Duration = Duration::from_millis(2);
const PAUSE_MS: i64 = 1;

/// What one step has done.
pub struct Part {
    /// What came of it.
    pub effects: Effects,
    /// How many entries it was about.
    pub count: u64,
    /// Whether there is more to do.
    pub more: bool,
}

/// Does a little more. Its first call is part of the command.
pub type Step = Box<dyn FnMut(&mut Cache, UnixMs) -> Part>;

/// What the client is told in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// How many entries it was about.
    Count,
    /// That it is done.
    Ok,
}

impl Told {
    fn write(self, reply: Reply<'_>, count: u64) {
        match self {
            Self::Count => reply.count(count),
            Self::Ok => reply.ok(),
        }
    }
}

/// A change that goes on behind its command.
struct Job {
    client: *mut raw::RedisModuleBlockedClient,
    cache: u64,
    /// Where the command found it.
    home: Home,
    step: Step,
    count: u64,
    told: Told,
}

type Answer = Result<(Told, u64), Failure>;

// They belong to the main thread.
thread_local! {
    static JOBS: ManuallyDrop<RefCell<VecDeque<Job>>> = const { ManuallyDrop::new(RefCell::new(VecDeque::new())) };
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// Goes on with a change of the cache of this number that a command has begun, and answers its client in the end.
pub fn go_on(call: &Call<'_>, cache: u64, mut step: Step, mut count: u64, told: Told) -> Outcome {
    let block = |ctx: &Context| {
        // SAFETY: called while a command runs that may block; the callbacks have the signatures that the server expects.
        unsafe { raw::RedisModule_BlockClient.map(|block| block(ctx.ctx, Some(answer), None, Some(free), 0)) }
    };
    let is_primary = call.ctx.get_flags().contains(ContextFlags::MASTER);
    let client = (is_primary && search::may_block(call.ctx))
        .then(|| block(call.ctx))
        .flatten()
        .filter(|client| !client.is_null());
    let Some(client) = client else {
        // In a transaction or a script all of it is done at once.
        loop {
            let (part, more) = call.edit(|cache, _| {
                let part = step(cache, call.now);
                Ok(((part.count, part.more), part.effects))
            })?;
            count += part;
            if !more {
                told.write(call.reply(), count);
                return Ok(());
            }
        }
    };
    super::reply::later();
    let home = home(call.ctx, RedisString::string_as_slice(call.key()));
    JOBS.with(|jobs| jobs.borrow_mut().push_back(Job { client, cache, home, step, count, told }));
    arm(call.ctx);
    Ok(())
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
    settle("a change in slices", || turn(&ctx));
    if JOBS.with(|jobs| !jobs.borrow().is_empty()) {
        arm(&ctx);
    }
}

/// Goes on with the first in line, which then is the last.
fn turn(ctx: &Context) {
    let is_primary = ctx.get_flags().contains(ContextFlags::MASTER);
    if is_primary && !server::may_decide(ctx) {
        // Writes are paused, or the server loads.
        return;
    }
    let Some(mut job) = JOBS.with(|jobs| jobs.borrow_mut().pop_front()) else { return };
    if !is_primary {
        return job.answer(Err(Failure::Demoted));
    }
    let until = Instant::now() + SLICE;
    loop {
        match guard(|| job.step(ctx)) {
            Some(true) if Instant::now() >= until => return JOBS.with(|jobs| jobs.borrow_mut().push_back(job)),
            Some(true) => {}
            Some(false) => break,
            None => return job.answer(Err(Failure::Panic)),
        }
    }
    // In one that was mended entries stand elsewhere, and some were not looked at.
    if registry::was_mended(job.cache) {
        return job.answer(Err(Failure::Panic));
    }
    // One that has moved took along what was not changed yet.
    let redirect = registry::find(job.cache).is_none().then(|| cluster::redirect(ctx, &job.home)).flatten();
    if let Some(redirect) = redirect {
        return job.answer(Err(Failure::Elsewhere(redirect)));
    }
    // Another cache has come in its place: of that nothing was changed.
    if registry::find(job.cache).is_none() && at_home(ctx, &job.home, |_| ()).is_some() {
        return job.answer(Err(Failure::Replaced));
    }
    let done = (job.told, job.count);
    job.answer(Ok(done));
}

impl Job {
    /// Does a little more; whether there is more to do.
    fn step(&mut self, ctx: &Context) -> bool {
        let Some((place, home)) = registry::find(self.cache) else { return false };
        let (step, count) = (&mut self.step, &mut self.count);
        let mut more = false;
        visit(ctx, &home, place, |resident| {
            let part = step(&mut resident.cache, server::now());
            *count += part.count;
            more = part.more;
            part.effects
        });
        more
    }

    /// Lets the server answer the client, if it is still there.
    fn answer(self, answer: Answer) {
        // SAFETY: the client was blocked for this and nobody else unblocks it; the box goes to the server, which hands it
        // to `answer` and then to `free`.
        unsafe {
            raw::RedisModule_UnblockClient.map(|unblock| unblock(self.client, Box::into_raw(Box::new(answer)).cast()))
        };
    }
}

unsafe extern "C" fn answer(ctx: *mut raw::RedisModuleCtx, _: *mut *mut raw::RedisModuleString, _: c_int) -> c_int {
    let ctx = Context::new(ctx);
    super::reply::complete(&ctx, "an answer", || {
        // SAFETY: the data of a client that was blocked here is what `Job::answer` handed over, which lives until `free`.
        let answer = unsafe {
            raw::RedisModule_GetBlockedClientPrivateData.and_then(|data| data(ctx.ctx).cast::<Answer>().as_ref())
        };
        match answer {
            Some(Ok((told, count))) => told.write(Reply(&ctx), *count),
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
            drop(unsafe { Box::from_raw(data.cast::<Answer>()) });
        }
    });
}
