//! The leases of this node, and the clients that wait for them.
//!
//! Everything here belongs to the main thread. A client that waits is blocked in the server and has a number in the
//! queue of its lease; whatever it waits for ends in [`Desk::answer`], which is the only place where one is let go:
//!
//! ```text
//!   SET ─────────── the answer        RELEASE, the lease's end ── the lease, for the first in line
//!   its own time ── timeout           RELEASE … ERROR, DEL, FLUSHALL, a failover ── failed
//!                                     in a cluster, its key on another node ──────── a redirect
//! ```
//!
//! The server itself lets go of clients that are killed or unblocked by hand; then they are forgotten here.

use super::access::Reader;
use super::cluster;
use super::failure::Failure;
use super::keyspace::at_home;
use super::registry::Home;
use super::reply::Reply;
use super::{server, settle};
use crate::core::cache::{Miss, Terms};
use crate::core::identity::{self, Digest};
use crate::core::lease::{Leases, Taken, Token, Waiter};
use crate::core::ledger::Labels;
use crate::core::matching::Wanted;
use crate::core::time::UnixMs;
use crate::shell::commands::show::Shown;
use redis_module::{raw, Context};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::{c_int, c_void};
use std::sync::Arc;

type Client = *mut raw::RedisModuleBlockedClient;

/// Where a cache is, or would be.
type Place = Arc<Home>;

/// So many clients, with so many bytes of answers, are let go at once. The next ones have their turn a millisecond later.
const PORTION: (usize, usize) = (500, 16 << 20);

/// How often it is looked, in a cluster, whether those who wait still do so in the right place.
const LOOK_MS: u64 = 250;

/// An answer that many wait for.
struct Told {
    shown: Shown<'static>,
    etag: u64,
    bytes: usize,
}

/// What a client that waits is told in the end.
#[derive(Clone)]
enum Answer {
    /// The answer.
    Hit(Arc<Told>),
    /// The lease is its own now, once it has heard of it.
    Lease(Token, Cell<bool>),
    /// The answer is the one it has.
    NotModified,
    /// There will be no answer.
    Failed(Arc<[u8]>),
    /// The answer will come to another node: this redirect leads there.
    Moved(Arc<str>),
    /// It has waited long enough.
    Timeout,
}

/// What a waiting client is told when its cache goes.
const GONE: &[u8] = b"the cache is gone";

/// A client that waits.
struct Waiting {
    client: Client,
    home: Place,
    digest: Digest,
    terms: Terms,
    /// Whom a lookup without an answer is counted for.
    model: Box<[u8]>,
    scope: Box<[u8]>,
    until: UnixMs,
}

/// Everything that is known of leases.
#[derive(Default)]
struct Desk {
    leases: Leases<Place>,
    waiting: HashMap<Waiter, Waiting>,
    clients: HashMap<Client, Waiter>,
    /// Until when each waits.
    times: BTreeSet<(UnixMs, Waiter)>,
    last: Waiter,
    /// Those whose answer is there, and who are still to be let go.
    ready: VecDeque<(Waiter, Answer)>,
    /// In a cluster: where it is waited and the key was seen to be this node's, and when that is looked at next. A client
    /// that was sent here ahead of the slot waits where the key is not yet.
    here: HashSet<Place>,
    look: UnixMs,
    /// In a cluster: those whose cache is gone, and who are still to be told whether it is elsewhere.
    gone: Vec<(Place, Vec<Waiter>)>,
    /// The timer that is set, and for when.
    timer: Option<(raw::RedisModuleTimerID, UnixMs)>,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
    static OWN: Cell<*mut raw::RedisModuleCtx> = const { Cell::new(std::ptr::null_mut()) };
}

fn desk<T>(work: impl FnOnce(&mut Desk) -> T) -> T {
    DESK.with_borrow_mut(work)
}

impl Desk {
    /// Lets a client go, with its answer.
    fn answer(&mut self, waiter: Waiter, answer: Answer) -> Option<Waiting> {
        let waiting = self.waiting.remove(&waiter)?;
        let answer = match answer {
            Answer::Hit(told) if waiting.terms.if_none_match == Some(told.etag) => Answer::NotModified,
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
        // SAFETY: the client is on the list, so nobody else has let it go; the server wants to hear that nothing is left to
        // be waited for before it frees what it kept of it.
        unsafe { raw::RedisModule_UnblockClient.map(|unblock| unblock(client, std::ptr::null_mut())) };
        let Some(waiting) = self.waiting.remove(&waiter) else { return };
        self.times.remove(&(waiting.until, waiter));
        self.leases.forget(&waiting.home, &waiting.digest, waiter);
    }

    /// The same answer for many: for some now, for the others soon. They do not time out any more.
    fn answer_all(&mut self, waiters: Vec<Waiter>, answer: &Answer) {
        for waiter in waiters {
            if let Some(waiting) = self.waiting.get(&waiter) {
                self.times.remove(&(waiting.until, waiter));
                self.ready.push_back((waiter, answer.clone()));
            }
        }
        self.let_go();
    }

    /// Lets a portion go of those whose answer is there.
    fn let_go(&mut self) {
        let (clients, mut left) = PORTION;
        for _ in 0..clients {
            let Some((waiter, answer)) = self.ready.pop_front() else { break };
            let bytes = if let Answer::Hit(told) = &answer { told.bytes } else { 0 };
            self.answer(waiter, answer);
            left = left.saturating_sub(bytes);
            if left == 0 {
                break;
            }
        }
    }

    /// Gives a lease to the first in line, if there is one, and hands back whom.
    fn pass_on(&mut self, home: &Place, digest: &Digest, now: UnixMs) -> Option<Waiting> {
        let token = new_token();
        let waiter = self.leases.pass_on(home, digest, token, now)?;
        self.answer(waiter, Answer::Lease(token, Cell::new(false)))
    }

    /// Those who wait for what will not come.
    fn fail(&mut self, place: Place, waiters: Vec<Waiter>) {
        let Some(ctx) = own_context().filter(|_| !waiters.is_empty()) else { return };
        if cluster::is_one(&ctx) {
            // Whoever takes a key off is in the middle of it, so whose it is now is asked later.
            self.gone.push((place, waiters));
        } else {
            self.answer_all(waiters, &Answer::Failed(GONE.into()));
        }
        self.arm(&ctx);
    }

    /// The places to be looked at now, of those where somebody waits.
    fn places_to_look_at(&mut self, now: UnixMs) -> HashSet<Place> {
        if self.look > now {
            return HashSet::new();
        }
        self.look = now.plus(LOOK_MS);
        let places: HashSet<Place> = self.waiting.values().map(|waiting| Arc::clone(&waiting.home)).collect();
        self.here.retain(|place| places.contains(place));
        places
    }

    /// Does what time has come for, and hands back who got no answer.
    fn tick(&mut self, now: UnixMs) -> Vec<Waiting> {
        let mut unanswered = Vec::new();
        self.let_go();
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
        let ready = (!self.ready.is_empty()).then(|| server::now().plus(1));
        let gone = (!self.gone.is_empty()).then(|| server::now().plus(1));
        let look = (!self.waiting.is_empty() && cluster::is_one(ctx)).then_some(self.look);
        let Some(next) = [self.leases.next(), waits, ready, gone, look].into_iter().flatten().min() else { return };
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

unsafe extern "C" fn time_has_come(_: *mut raw::RedisModuleCtx, _: *mut c_void) {
    settle("the timer of leases", || {
        let Some(ctx) = own_context() else { return };
        let now = server::now();
        desk(|desk| desk.timer = None);
        if cluster::is_one(&ctx) {
            follow(&ctx, now);
        }
        let unanswered = desk(|desk| desk.tick(now));
        count_missed(&ctx, unanswered, now);
    });
    settle("setting the timer of leases", || own_context().iter().for_each(|ctx| desk(|desk| desk.arm(ctx))));
}

/// Sends those on whose cache has gone to another node, or whose slot has, or would have: an answer comes there.
fn follow(ctx: &Context, now: UnixMs) {
    let (mut gone, places) = desk(|desk| (std::mem::take(&mut desk.gone), desk.places_to_look_at(now)));
    for place in places {
        let is_elsewhere = cluster::is_elsewhere(ctx, &place);
        desk(|desk| {
            if !is_elsewhere {
                desk.here.insert(place);
            } else if desk.here.remove(&place) {
                let waiters = desk.leases.end_all(&place);
                gone.push((place, waiters));
            }
        });
    }
    for (place, waiters) in gone {
        let answer = match cluster::redirect(ctx, &place) {
            Some(redirect) => Answer::Moved(redirect.into()),
            None => Answer::Failed(GONE.into()),
        };
        desk(|desk| desk.answer_all(waiters, &answer));
    }
}

/// A context that belongs to no client: its database may be changed, and it is there where no client is any more.
pub fn own_context() -> Option<Context> {
    OWN.with(|own| {
        if own.get().is_null() {
            // SAFETY: none but a context of its own is asked for, which is never freed; used on the main thread alone.
            own.set(unsafe {
                raw::RedisModule_GetThreadSafeContext.map_or(std::ptr::null_mut(), |make| make(std::ptr::null_mut()))
            });
        }
        Some(own.get()).filter(|ctx| !ctx.is_null()).map(Context::new)
    })
}

/// Who waited and got no answer has looked something up and missed it.
fn count_missed(ctx: &Context, unanswered: Vec<Waiting>, now: UnixMs) {
    for Waiting { home, terms, model, scope, .. } in unanswered {
        let labels = Labels { model: &model, scope: &scope, ..Labels::default() };
        at_home(ctx, &home, |resident| resident.cache.missed(Miss::Absent, &labels, &terms, now));
    }
}

/// A token that nobody can guess.
fn new_token() -> Token {
    let mut bytes = [0; 16];
    // SAFETY: writes as many bytes as it is told.
    unsafe { raw::RedisModule_GetRandomBytes.map(|random| random(bytes.as_mut_ptr(), bytes.len())) };
    Token::new(bytes)
}

fn place(home: &Home) -> Place {
    Arc::new(home.clone())
}

/// Asks for the right to compute an answer. None: somebody else has it.
pub fn take(ctx: &Context, home: &Home, digest: &Digest, ms: u64, now: UnixMs) -> Result<Option<Token>, Failure> {
    let token = new_token();
    desk(|desk| match desk.leases.take(&place(home), digest, token, ms, now) {
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
    desk(|desk| desk.leases.is_held(&place(home), digest, now))
}

/// Whether this token still is the right to compute this answer.
pub fn holds(home: &Home, digest: &Digest, token: Token, now: UnixMs) -> bool {
    desk(|desk| desk.leases.holds(&place(home), digest, token, now))
}

/// How many leases there are for a cache, and how many clients wait for them.
pub fn at(home: &Home, now: UnixMs) -> (usize, usize) {
    desk(|desk| desk.leases.at(&place(home), now))
}

/// Prolongs a lease; whether it is one.
pub fn renew(ctx: &Context, home: &Home, token: Token, ms: u64, now: UnixMs) -> bool {
    let place = place(home);
    desk(|desk| {
        let Some(digest) = desk.leases.find(&place, token, now) else { return false };
        desk.leases.renew(&place, &digest, ms, now);
        desk.arm(ctx);
        true
    })
}

/// Gives a lease back; whether it was one. With a reason those who wait are told, without the first of them has it now.
pub fn release(home: &Home, token: Token, why: Option<&[u8]>, now: UnixMs) -> bool {
    let place = place(home);
    let Some(digest) = desk(|desk| desk.leases.find(&place, token, now)) else { return false };
    end_as(&place, &digest, why, now);
    true
}

/// Gives a lease back that nobody has come for, wherever its cache is by now.
pub fn give_back(token: Token) {
    if let Some((place, digest)) = desk(|desk| desk.leases.locate(token)) {
        end_as(&place, &digest, None, server::now());
    }
}

fn end_as(place: &Place, digest: &Digest, why: Option<&[u8]>, now: UnixMs) {
    let Some(ctx) = own_context() else { return };
    let unanswered: Vec<_> = desk(|desk| {
        let unanswered = match why {
            None => desk.pass_on(place, digest, now).into_iter().collect(),
            Some(why) => {
                let why: Arc<[u8]> = why.into();
                let waiters = desk.leases.end(place, digest).into_iter();
                waiters.filter_map(|waiter| desk.answer(waiter, Answer::Failed(why.clone()))).collect()
            }
        };
        desk.arm(&ctx);
        unanswered
    });
    count_missed(&ctx, unanswered, now);
}

/// The answer to a prompt is there. Ends its lease; `told` makes what those are told who waited, of whom so many count.
pub fn end(ctx: &Context, home: &Home, digest: &Digest, told: impl FnOnce(u64) -> Option<(Shown<'static>, u64)>) {
    let place = place(home);
    if desk(|desk| desk.leases.is_empty()) {
        return;
    }
    let (waiters, counted) = desk(|desk| {
        let waiters = desk.leases.end(&place, digest);
        let counts = |waiter: &&Waiter| desk.waiting.get(waiter).is_some_and(|waiting| !waiting.terms.no_touch);
        let counted = waiters.iter().filter(counts).count() as u64;
        (waiters, counted)
    });
    if waiters.is_empty() {
        return;
    }
    let answer = match told(counted) {
        Some((shown, etag)) => Answer::Hit(Arc::new(Told { bytes: shown.size(), shown, etag })),
        None => Answer::Failed(GONE.into()),
    };
    desk(|desk| {
        desk.answer_all(waiters, &answer);
        desk.arm(ctx);
    });
}

/// Those who wait for this answer on these terms.
pub fn waiting_like(home: &Home, digest: &Digest, terms: &Terms) -> Vec<Waiter> {
    desk(|desk| {
        let waiters = desk.leases.waiters(&place(home), digest);
        waiters.filter(|waiter| desk.waiting.get(waiter).is_some_and(|waiting| waiting.terms == *terms)).collect()
    })
}

/// Tells some of those who wait.
pub fn tell(waiters: Vec<Waiter>, shown: Shown<'static>, etag: u64) {
    let told = Arc::new(Told { bytes: shown.size(), shown, etag });
    desk(|desk| waiters.into_iter().for_each(|waiter| drop(desk.answer(waiter, Answer::Hit(told.clone())))));
}

/// A cache is gone, or another has come in its place: those who wait for answers of it are told, and nobody has a lease any
/// more.
pub fn fail(home: &Home) {
    let place = place(home);
    desk(|desk| {
        let waiters = desk.leases.end_all(&place);
        desk.fail(place, waiters);
    });
}

/// The same for many caches.
pub fn fail_all(gone: impl Fn(&Home) -> bool) {
    desk(|desk| {
        for (place, waiters) in desk.leases.clear(|place| gone(place)) {
            desk.fail(place, waiters);
        }
    });
}

/// Lets a client wait for somebody else's answer. False where it cannot.
pub fn wait(ctx: &Context, home: Home, wanted: &Wanted<'_>, (block, lease): (u64, u64)) -> bool {
    let (digest, now, identity::Context { model, scope, .. }) = (wanted.digest(), wanted.now, wanted.identity.context);
    // SAFETY: called while a command runs that may block; the callbacks have the signatures that the server expects. The
    // time to wait is kept here, to the millisecond.
    let client =
        unsafe { raw::RedisModule_BlockClient.map(|wait| wait(ctx.ctx, Some(reply), Some(unblocked), Some(free), 0)) };
    let Some(client) = client.filter(|client| !client.is_null()) else { return false };
    super::reply::later();
    // SAFETY: the client was just blocked.
    unsafe { raw::RedisModule_SetDisconnectCallback.map(|set| set(client, Some(disconnected))) };
    let home = place(&home);
    let is_here = cluster::is_one(ctx)
        && !desk(|desk| desk.here.contains(&home))
        && own_context().is_some_and(|own| !cluster::is_elsewhere(&own, &home));
    desk(|desk| {
        if is_here {
            desk.here.insert(Arc::clone(&home));
        }
        desk.last += 1;
        // The server counts whole milliseconds, and may be at the end of one.
        let (waiter, until) = (desk.last, now.plus(block.saturating_add(1)));
        desk.leases.wait(&home, &digest, waiter, lease);
        desk.clients.insert(client, waiter);
        desk.times.insert((until, waiter));
        let (model, scope) = (model.into(), scope.into());
        desk.waiting.insert(waiter, Waiting { client, home, digest, terms: *wanted.terms, model, scope, until });
        desk.arm(ctx);
    });
    true
}

unsafe extern "C" fn reply(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    let ctx = Context::new(ctx);
    super::reply::complete(&ctx, "a reply", || {
        // SAFETY: the context is that of a client that was let go with a box of ours, which lives until `free`.
        let answer = unsafe {
            raw::RedisModule_GetBlockedClientPrivateData.and_then(|data| data(ctx.ctx).cast::<Answer>().as_ref())
        };
        let reply = Reply(&ctx);
        // SAFETY: the server passes the words of the command that waited.
        if unsafe { Reader::of(&ctx).has_lost(argv, argc) } {
            return reply.error("NOPERM the permission for this was taken away while it waited");
        }
        match answer {
            Some(Answer::Hit(told)) => told.shown.write(reply),
            Some(Answer::Lease(token, heard)) => {
                heard.set(true);
                Shown::default().state("lease").token(token).write(reply);
            }
            Some(Answer::Failed(why)) => Shown::default().state("failed").error(why).write(reply),
            Some(Answer::Moved(redirect)) => reply.error(redirect),
            Some(Answer::NotModified) => reply.simple(c"NOTMODIFIED"),
            Some(Answer::Timeout) | None => Shown::default().state("timeout").write(reply),
        }
    });
    raw::REDISMODULE_OK as c_int
}

/// CLIENT UNBLOCK … TIMEOUT: the server lets the client go.
unsafe extern "C" fn unblocked(ctx: *mut raw::RedisModuleCtx, _: *mut *mut raw::RedisModuleString, _: c_int) -> c_int {
    let ctx = Context::new(ctx);
    super::reply::complete(&ctx, "a client that was unblocked", || {
        // SAFETY: the context is that of the client that is let go.
        let client = unsafe { raw::RedisModule_GetBlockedClientHandle.map(|handle| handle(ctx.ctx)) };
        client.into_iter().for_each(|client| desk(|desk| desk.forget(client)));
        Shown::default().state("timeout").write(Reply(&ctx));
    });
    raw::REDISMODULE_OK as c_int
}

/// A client that waited is gone.
unsafe extern "C" fn disconnected(_: *mut raw::RedisModuleCtx, client: Client) {
    settle("a client that is gone", || desk(|desk| desk.forget(client)));
}

unsafe extern "C" fn free(_: *mut raw::RedisModuleCtx, data: *mut c_void) {
    settle("an answer", || {
        if !data.is_null() {
            // SAFETY: the data is the box with which the client was let go.
            let answer = unsafe { Box::from_raw(data.cast::<Answer>()) };
            if let Answer::Lease(token, heard) = *answer {
                if !heard.get() {
                    // It was gone before it heard of it.
                    give_back(token);
                }
            }
        }
    });
}
