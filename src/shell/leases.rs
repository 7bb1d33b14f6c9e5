//! The leases of this node, and the clients that wait for them.
//!
//! Everything here belongs to the main thread. A client that waits is blocked in the server and has a number in the
//! queue of its lease; whatever it waits for ends in [`Desk::answer`], which is the only place where one is let go:
//!
//! ```text
//!   SET ─────────── the answer        RELEASE, the lease's end ── the lease, for the first in line
//!   its own time ── timeout           RELEASE … ERROR, DEL, FLUSHALL, a failover ── failed
//! ```
//!
//! The server itself lets go of clients that are killed or unblocked by hand; then they are only forgotten here.

use super::failure::Failure;
use super::keyspace::at_home;
use super::registry::Home;
use super::reply::Reply;
use super::{server, settle};
use crate::core::cache::{Miss, Terms};
use crate::core::identity::Digest;
use crate::core::lease::{Leases, Taken, Token, Waiter};
use crate::core::time::UnixMs;
use crate::shell::commands::show::Shown;
use redis_module::{raw, Context};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ffi::{c_int, c_void};
use std::sync::Arc;

type Client = *mut raw::RedisModuleBlockedClient;

/// What a client that waits is told in the end.
pub enum Answer {
    /// The answer, with its etag.
    Hit(Arc<Shown<'static>>, u64),
    /// The lease is its own now.
    Lease(Token),
    /// The answer is the one it has.
    NotModified,
    /// There will be no answer.
    Failed(Arc<[u8]>),
    /// It has waited long enough.
    Timeout,
}

/// What a waiting client is told when its cache goes.
const GONE: &[u8] = b"the cache is gone";

/// A client that waits.
struct Waiting {
    client: Client,
    home: Home,
    digest: Digest,
    terms: Terms,
    until: UnixMs,
}

/// Everything that is known of leases.
#[derive(Default)]
struct Desk {
    leases: Leases<Home>,
    waiting: HashMap<Waiter, Waiting>,
    clients: HashMap<Client, Waiter>,
    /// Until when each waits.
    times: BTreeSet<(UnixMs, Waiter)>,
    last: Waiter,
    /// The timer that is set, and for when.
    timer: Option<(raw::RedisModuleTimerID, UnixMs)>,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

fn desk<T>(work: impl FnOnce(&mut Desk) -> T) -> T {
    DESK.with_borrow_mut(work)
}

impl Desk {
    /// Lets a client go, with its answer.
    fn answer(&mut self, waiter: Waiter, answer: Answer) -> Option<Waiting> {
        let waiting = self.waiting.remove(&waiter)?;
        let answer = match answer {
            Answer::Hit(_, etag) if waiting.terms.if_none_match == Some(etag) => Answer::NotModified,
            answer => answer,
        };
        self.clients.remove(&waiting.client);
        self.times.remove(&(waiting.until, waiter));
        self.leases.forget(&waiting.home, &waiting.digest, waiter);
        let answer = Box::into_raw(Box::new(answer));
        // SAFETY: the client was blocked here and is let go once, as it has just been taken off the list; the server hands
        // the box to `reply` and then to `free`.
        unsafe { raw::RedisModule_UnblockClient.map(|unblock| unblock(waiting.client, answer.cast())) };
        Some(waiting)
    }

    /// Forgets a client that the server lets go by itself.
    fn forget(&mut self, client: Client) {
        let Some(waiter) = self.clients.remove(&client) else { return };
        let Some(waiting) = self.waiting.remove(&waiter) else { return };
        self.times.remove(&(waiting.until, waiter));
        self.leases.forget(&waiting.home, &waiting.digest, waiter);
    }

    /// Gives a lease to the first in line, if there is one, and hands back whom.
    fn pass_on(&mut self, home: &Home, digest: &Digest, now: UnixMs) -> Option<Waiting> {
        let token = new_token();
        let waiter = self.leases.pass_on(home, digest, token, now)?;
        self.answer(waiter, Answer::Lease(token))
    }

    /// Does what time has come for, and hands back who got no answer.
    fn tick(&mut self, now: UnixMs) -> Vec<Waiting> {
        let mut unanswered = Vec::new();
        while let Some((_, waiter)) = self.times.first().copied().filter(|(until, _)| *until <= now) {
            unanswered.extend(self.answer(waiter, Answer::Timeout));
        }
        while let Some((home, digest)) = self.leases.due(now) {
            unanswered.extend(self.pass_on(&home, &digest, now));
        }
        unanswered
    }

    /// Sees to it that the timer comes in time.
    fn arm(&mut self, ctx: &Context) {
        let waits = self.times.first().map(|(until, _)| *until);
        let Some(next) = [self.leases.next(), waits].into_iter().flatten().min() else { return };
        if self.timer.is_some_and(|(_, at)| at <= next) {
            return;
        }
        if let Some((timer, _)) = self.timer.take() {
            // SAFETY: the timer is set and has not come yet, or `timer` would be none.
            unsafe { raw::RedisModule_StopTimer.map(|stop| stop(ctx.ctx, timer, std::ptr::null_mut())) };
        }
        let period = i64::try_from(next.since(server::now())).unwrap_or(i64::MAX);
        // SAFETY: the context is that of a command or a timer; the callback takes no data.
        let timer = unsafe {
            raw::RedisModule_CreateTimer
                .map(|create| create(ctx.ctx, period, Some(time_has_come), std::ptr::null_mut()))
        };
        self.timer = timer.map(|timer| (timer, next));
    }
}

unsafe extern "C" fn time_has_come(ctx: *mut raw::RedisModuleCtx, _: *mut c_void) {
    settle("the timer of leases", || {
        let ctx = Context::new(ctx);
        let now = server::now();
        let unanswered = desk(|desk| {
            desk.timer = None;
            let unanswered = desk.tick(now);
            desk.arm(&ctx);
            unanswered
        });
        count_missed(&ctx, unanswered, now);
    });
}

/// Who waited and got no answer has looked something up and missed it.
fn count_missed(ctx: &Context, unanswered: Vec<Waiting>, now: UnixMs) {
    for Waiting { home, terms, .. } in unanswered {
        at_home(ctx, &home, |resident| resident.cache.missed(Miss::Absent, &terms, now));
    }
}

/// A token that nobody can guess.
fn new_token() -> Token {
    let mut bytes = [0; 16];
    // SAFETY: writes as many bytes as it is told.
    unsafe { raw::RedisModule_GetRandomBytes.map(|random| random(bytes.as_mut_ptr(), bytes.len())) };
    Token::new(bytes)
}

/// Asks for the right to compute an answer. None: somebody else has it.
pub fn take(ctx: &Context, home: &Home, digest: &Digest, ms: u64, now: UnixMs) -> Result<Option<Token>, Failure> {
    let token = new_token();
    desk(|desk| match desk.leases.take(home, digest, token, ms, now) {
        Taken::Granted => {
            desk.arm(ctx);
            Ok(Some(token))
        }
        Taken::Held => Ok(None),
        Taken::Full => Err(Failure::TooManyLeases),
    })
}

/// Whether somebody has the right to compute this answer.
pub fn is_out(home: &Home, digest: &Digest, now: UnixMs) -> bool {
    desk(|desk| desk.leases.is_held(home, digest, now))
}

/// Whether this token still is the right to compute this answer.
pub fn holds(home: &Home, digest: &Digest, token: Token, now: UnixMs) -> bool {
    desk(|desk| desk.leases.holds(home, digest, token, now))
}

/// How many leases there are for a cache, and how many clients wait for them.
pub fn at(home: &Home, now: UnixMs) -> (usize, usize) {
    desk(|desk| desk.leases.at(home, now))
}

/// Prolongs a lease; whether it is one.
pub fn renew(ctx: &Context, home: &Home, token: Token, ms: u64, now: UnixMs) -> bool {
    desk(|desk| {
        let Some(digest) = desk.leases.find(home, token, now) else { return false };
        desk.leases.renew(home, &digest, ms, now);
        desk.arm(ctx);
        true
    })
}

/// Gives a lease back; whether it was one. With a reason those who wait are told, without the first of them has it now.
pub fn release(ctx: &Context, home: &Home, token: Token, why: Option<&[u8]>, now: UnixMs) -> bool {
    let unanswered = desk(|desk| {
        let digest = desk.leases.find(home, token, now)?;
        let unanswered: Vec<_> = match why {
            None => desk.pass_on(home, &digest, now).into_iter().collect(),
            Some(why) => {
                let why: Arc<[u8]> = why.into();
                let waiters = desk.leases.end(home, &digest).into_iter();
                waiters.filter_map(|waiter| desk.answer(waiter, Answer::Failed(why.clone()))).collect()
            }
        };
        desk.arm(ctx);
        Some(unanswered)
    });
    let was_one = unanswered.is_some();
    count_missed(ctx, unanswered.unwrap_or_default(), now);
    was_one
}

/// The answer to a prompt is there. Ends its lease; `told` makes what those are told who waited, of whom so many count.
pub fn end(home: &Home, digest: &Digest, told: impl FnOnce(u64) -> Option<(Shown<'static>, u64)>) {
    let counted = desk(|desk| {
        let waiters = desk.leases.end(home, digest);
        let counts = |waiter: &&Waiter| desk.waiting.get(waiter).is_some_and(|waiting| !waiting.terms.no_touch);
        let counted = waiters.iter().filter(counts).count() as u64;
        (waiters, counted)
    });
    let (waiters, counted) = counted;
    if waiters.is_empty() {
        return;
    }
    let answer = told(counted).map(|(shown, etag)| (Arc::new(shown), etag));
    desk(|desk| {
        for waiter in waiters {
            let answer = match &answer {
                Some((shown, etag)) => Answer::Hit(shown.clone(), *etag),
                None => Answer::Failed(GONE.into()),
            };
            desk.answer(waiter, answer);
        }
    });
}

/// Those who wait for this answer on these terms.
pub fn waiting_like(home: &Home, digest: &Digest, terms: &Terms) -> Vec<Waiter> {
    desk(|desk| {
        let same = |waiting: &Waiting| (&waiting.home, &waiting.digest, &waiting.terms) == (home, digest, terms);
        let mut waiters: Vec<_> =
            desk.waiting.iter().filter(|(_, waiting)| same(waiting)).map(|(waiter, _)| *waiter).collect();
        waiters.sort_unstable();
        waiters
    })
}

/// Tells some of those who wait.
pub fn tell(waiters: Vec<Waiter>, shown: Shown<'static>, etag: u64) {
    let shown = Arc::new(shown);
    desk(|desk| waiters.into_iter().for_each(|waiter| drop(desk.answer(waiter, Answer::Hit(shown.clone(), etag)))));
}

/// Caches are gone: those who wait for answers of theirs are told, and nobody has a lease any more.
pub fn fail(gone: impl Fn(&Home) -> bool) {
    desk(|desk| {
        for waiter in desk.leases.clear(gone) {
            desk.answer(waiter, Answer::Failed(GONE.into()));
        }
    });
}

/// Two databases have changed places.
pub fn swap(first: i32, second: i32) {
    let name = |home: &Home| {
        let db = match home.db {
            db if db == first => second,
            db if db == second => first,
            db => db,
        };
        Home { db, key: home.key.clone() }
    };
    desk(|desk| {
        desk.leases.rename(name);
        desk.waiting.values_mut().for_each(|waiting| waiting.home = name(&waiting.home));
    });
}

/// Lets a client wait for somebody else's answer. False where it cannot.
pub fn wait(ctx: &Context, home: Home, digest: Digest, terms: Terms, (block, lease): (u64, u64), now: UnixMs) -> bool {
    // SAFETY: called while a command runs that may block; the callbacks have the signatures that the server expects. The
    // time to wait is kept here, to the millisecond.
    let client =
        unsafe { raw::RedisModule_BlockClient.map(|wait| wait(ctx.ctx, Some(reply), Some(unblocked), Some(free), 0)) };
    let Some(client) = client.filter(|client| !client.is_null()) else { return false };
    // SAFETY: the client was just blocked.
    unsafe { raw::RedisModule_SetDisconnectCallback.map(|set| set(client, Some(disconnected))) };
    desk(|desk| {
        desk.last += 1;
        // The server counts whole milliseconds, and may be at the end of one.
        let (waiter, until) = (desk.last, now.plus(block.saturating_add(1)));
        desk.leases.wait(&home, &digest, waiter, lease);
        desk.clients.insert(client, waiter);
        desk.times.insert((until, waiter));
        desk.waiting.insert(waiter, Waiting { client, home, digest, terms, until });
        desk.arm(ctx);
    });
    true
}

unsafe extern "C" fn reply(ctx: *mut raw::RedisModuleCtx, _: *mut *mut raw::RedisModuleString, _: c_int) -> c_int {
    settle("a reply", || {
        // SAFETY: the context is that of a client that was let go with a box of ours, which lives until `free`.
        let answer = unsafe {
            raw::RedisModule_GetBlockedClientPrivateData.and_then(|data| data(ctx).cast::<Answer>().as_ref())
        };
        let ctx = Context::new(ctx);
        let reply = Reply(&ctx);
        match answer {
            Some(Answer::Hit(shown, _)) => shown.write(reply),
            Some(Answer::Lease(token)) => Shown::default().state("lease").token(token).write(reply),
            Some(Answer::Failed(why)) => Shown::default().state("failed").error(why).write(reply),
            Some(Answer::NotModified) => reply.simple(c"NOTMODIFIED"),
            Some(Answer::Timeout) | None => Shown::default().state("timeout").write(reply),
        }
    });
    raw::REDISMODULE_OK as c_int
}

/// CLIENT UNBLOCK … TIMEOUT: the server lets the client go.
unsafe extern "C" fn unblocked(ctx: *mut raw::RedisModuleCtx, _: *mut *mut raw::RedisModuleString, _: c_int) -> c_int {
    settle("a client that was unblocked", || {
        // SAFETY: the context is that of the client that is let go.
        let client = unsafe { raw::RedisModule_GetBlockedClientHandle.map(|handle| handle(ctx)) };
        client.into_iter().for_each(|client| desk(|desk| desk.forget(client)));
        let ctx = Context::new(ctx);
        Shown::default().state("timeout").write(Reply(&ctx));
    });
    raw::REDISMODULE_OK as c_int
}

/// A client that waited is gone. The server frees what is left of it.
unsafe extern "C" fn disconnected(_: *mut raw::RedisModuleCtx, client: Client) {
    settle("a client that is gone", || desk(|desk| desk.forget(client)));
}

unsafe extern "C" fn free(_: *mut raw::RedisModuleCtx, data: *mut c_void) {
    settle("an answer", || {
        if !data.is_null() {
            // SAFETY: the data is the box with which the client was let go.
            drop(unsafe { Box::from_raw(data.cast::<Answer>()) });
        }
    });
}
