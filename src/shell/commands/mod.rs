//! One file for each family of commands: parse, open the key, ask the core, reply, publish.

mod alert;
mod apply;
mod entries;
mod explain;
mod feedback;
mod fetch;
mod get;
mod info;
mod invalidate;
mod policy;
pub mod set;
pub mod show;
mod similar;
mod stats;
mod strategy;
pub mod warm;

use super::failure::{Failure, Outcome};
use super::keyspace::{home, Intent, Key};
use super::mend::guard;
use super::publish::{announce, replicate};
use super::registry::Resident;
use super::reply::{self, Reply};
use super::search::{self, Sought};
use super::stopwatch::Stopwatch;
use super::{audience, config, docs, worker};
use crate::core::cache::Cache;
use crate::core::codec::Codec;
use crate::core::effects::Effects;
use crate::core::pressing::INLINE;
use crate::core::time::UnixMs;
use crate::syntax::error::SyntaxError;
use crate::syntax::table::COMMANDS;
use crate::syntax::{stats::has_key, Bounds};
use redis_module::{raw, Context, ContextFlags, RedisString};
use std::cell::RefCell;
use std::ffi::{c_int, CString};
use std::time::Duration;

/// A command on its way.
pub struct Call<'a> {
    /// The context it runs in.
    pub ctx: &'a Context,
    /// Its words after the name.
    pub words: &'a [&'a [u8]],
    /// All of its words as the server holds them.
    strings: &'a [*mut raw::RedisModuleString],
    /// Its key as the server holds it; null where it has none.
    key: *mut raw::RedisModuleString,
    /// When it came.
    pub now: UnixMs,
    started: Stopwatch,
    /// What the server calls for it.
    pub handler: Handler,
    /// What a thread has found for it, when it is run again.
    pub sought: Option<&'a Sought>,
}

impl<'a> Call<'a> {
    /// What its arguments are measured against.
    pub fn bounds(&self) -> Bounds {
        config::bounds(self.now)
    }

    /// Where its reply goes.
    pub fn reply(&self) -> Reply<'a> {
        Reply(self.ctx)
    }

    /// How long the server has worked on it, what a thread did for it included.
    pub fn took(&self) -> Duration {
        // What takes longer than a command can was a counter that jumped.
        let here = Some(self.started.elapsed()).filter(|took| *took < LONGEST).unwrap_or_default();
        here + self.sought.map_or(Duration::ZERO, |sought| sought.took)
    }

    /// Its key, to be opened.
    pub fn key(&self) -> *mut raw::RedisModuleString {
        self.key
    }

    /// So many of its last words, to be kept beyond it.
    pub fn last_words(&self, count: usize) -> impl Iterator<Item = RedisString> + '_ {
        let first = self.strings.len().saturating_sub(count);
        self.strings.iter().skip(first).map(|word| RedisString::new(None, *word))
    }

    /// Changes the cache at its key, and tells everyone who must know. `act` is told whether the cache is new: one that
    /// is not there is made, and stays if anything has happened to it.
    pub fn edit<T>(&self, act: impl FnOnce(&mut Cache, bool) -> Result<(T, Effects), Failure>) -> Result<T, Failure> {
        edit(self.ctx, self.key, true, act)
    }

    /// The same for what another node decided: passed on as it came.
    pub fn repeat(&self, act: impl FnOnce(&mut Cache, bool) -> Result<((), Effects), Failure>) -> Outcome {
        self.change(act, |_, _, _| self.ctx.replicate_verbatim())
    }

    fn change<T>(
        &self,
        act: impl FnOnce(&mut Cache, bool) -> Result<(T, Effects), Failure>,
        pass_on: impl FnOnce(&[u8], &Cache, &Effects),
    ) -> Result<T, Failure> {
        change(self.ctx, self.key, act, pass_on)
    }
}

/// Changes the cache at a key of the context's database, as the command that runs or behind one. As [`Call::edit`].
pub fn edit<T>(
    ctx: &Context,
    key: *mut raw::RedisModuleString,
    is_command: bool,
    act: impl FnOnce(&mut Cache, bool) -> Result<(T, Effects), Failure>,
) -> Result<T, Failure> {
    let flags = ctx.get_flags();
    // What comes from a primary goes on as it came: this node's clock may see less in it than the primary's did.
    let from_primary = flags.contains(ContextFlags::REPLICATED);
    change(ctx, key, act, |name, cache, effects| {
        // And a record that nobody is to read need not be made.
        let is_unheard = is_command && effects.stored.is_some() && !audience::listens(flags);
        match from_primary || is_unheard {
            true => ctx.replicate_verbatim(),
            false => replicate(ctx, name, cache, effects),
        }
    })
}

fn change<T>(
    ctx: &Context,
    key: *mut raw::RedisModuleString,
    act: impl FnOnce(&mut Cache, bool) -> Result<(T, Effects), Failure>,
    pass_on: impl FnOnce(&[u8], &Cache, &Effects),
) -> Result<T, Failure> {
    let name = RedisString::new(std::ptr::NonNull::new(ctx.ctx), key);
    let mut key = Key::open(ctx, key, Intent::Write)?;
    let (answer, effects) = match key.cache() {
        Some(cache) => act(cache, false)?,
        None => {
            let mut made = Cache::default();
            let (answer, effects) = act(&mut made, true)?;
            if effects.is_silent() {
                return Ok(answer);
            }
            key.place(made, home(ctx, name.as_slice()));
            (answer, Effects { policy: true, ..effects })
        }
    };
    if let Some(cache) = key.cache() {
        if let Some(debris) = cache.take_debris() {
            worker::discard(debris);
        }
        pass_on(name.as_slice(), cache, &effects);
    }
    key.resident().into_iter().for_each(Resident::take_back);
    drop(key);
    announce(ctx, &name, &effects);
    Ok(answer)
}

/// Lends the main thread's codec.
pub fn with_codec<T>(work: impl FnOnce(&mut Codec) -> T) -> T {
    thread_local!(static CODEC: RefCell<Codec> = const { RefCell::new(Codec::new()) });
    CODEC.with(|codec| match codec.try_borrow_mut() {
        Ok(mut codec) => work(&mut codec),
        Err(_) => work(&mut Codec::new()),
    })
}

/// Books what is counted and compresses some of the answers that wait for it, so that the figures of a cache that is being looked at are those that
/// will stay. With more of them waiting the figures are on their way.
fn settle_figures(cache: &mut Cache) {
    cache.ledger_mut().book();
    with_codec(|codec| cache.press_some(INLINE, codec));
}

/// A command of no more words needs no memory of its own for them.
const FEW: usize = 16;

/// No command that is timed keeps the server as long.
const LONGEST: Duration = Duration::from_secs(60);

type Run = fn(&Call<'_>) -> Outcome;
type Handler = unsafe extern "C" fn(*mut raw::RedisModuleCtx, *mut *mut raw::RedisModuleString, c_int) -> c_int;

/// The function that the server calls for a command, around the one that runs it.
macro_rules! handler {
    ($run:path) => {{
        unsafe extern "C" fn handle(
            ctx: *mut raw::RedisModuleCtx,
            argv: *mut *mut raw::RedisModuleString,
            argc: c_int,
        ) -> c_int {
            // SAFETY: passed on as the server gave it.
            unsafe { dispatch(ctx, argv, argc, $run, handle) }
        }
        handle as Handler
    }};
}

/// Who runs what. A command of the table that is missing here is not registered, which a test would see.
fn handler_of(name: &str) -> Option<Handler> {
    Some(match name {
        "LLMCACHE.GET" => handler!(get::run),
        "LLMCACHE.SET" => handler!(set::run),
        "LLMCACHE.FETCH" => handler!(fetch::run),
        "LLMCACHE.RENEW" => handler!(fetch::renew),
        "LLMCACHE.RELEASE" => handler!(fetch::release),
        "LLMCACHE.DEL" => handler!(entries::del),
        "LLMCACHE.INVALIDATE" => handler!(invalidate::run),
        "LLMCACHE.SCAN" => handler!(entries::scan),
        "LLMCACHE.ENTRY" => handler!(entries::entry),
        "LLMCACHE.TTL" => handler!(entries::ttl),
        "LLMCACHE.EXPIRE" => handler!(entries::expire),
        "LLMCACHE.CREATE" => handler!(policy::create),
        "LLMCACHE.ALTER" => handler!(policy::alter),
        "LLMCACHE.INFO" => handler!(info::run),
        "LLMCACHE.STRATEGY" => handler!(strategy::strategy),
        "LLMCACHE.RULE" => handler!(strategy::rule),
        "LLMCACHE.STATS" => handler!(stats::run),
        "LLMCACHE.RESETSTATS" => handler!(stats::reset),
        "LLMCACHE.EXPLAIN" => handler!(explain::run),
        "LLMCACHE.FEEDBACK" => handler!(feedback::run),
        "LLMCACHE.ALERT" => handler!(alert::run),
        "LLMCACHE.WARM" => handler!(warm::run),
        "LLMCACHE.APPLY" => handler!(apply::run),
        _ => return None,
    })
}

/// Registers and describes every command; the name of one that the server refuses.
pub fn register(ctx: &Context) -> Result<(), &'static str> {
    docs::add_category(ctx);
    for command in COMMANDS {
        let refused = || command.name;
        let handler = handler_of(command.name).ok_or_else(refused)?;
        let name = CString::new(command.name).map_err(|_| refused())?;
        let flags = CString::new(command.server_flags()).map_err(|_| refused())?;
        let (first, last, step) = (1, 1, 1);
        // SAFETY: called while the module loads; the strings are copied by the server.
        let made = unsafe {
            raw::RedisModule_CreateCommand
                .map(|create| create(ctx.ctx, name.as_ptr(), Some(handler), flags.as_ptr(), first, last, step))
        };
        if made != Some(raw::REDISMODULE_OK as c_int) {
            return Err(command.name);
        }
        docs::describe(ctx, command);
    }
    Ok(())
}

/// The border: words as slices, errors as replies, panics caught.
///
/// # Safety
/// `ctx`, `argv` and `argc` are what the server passes to a command.
unsafe fn dispatch(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
    run: Run,
    handler: Handler,
) -> c_int {
    let (ctx, started) = (Context::new(ctx), Stopwatch::start());
    let owed_before = reply::begin();
    let outcome = guard(|| {
        // SAFETY: the server passes `argc` strings, which live as long as the command runs.
        let strings = unsafe { std::slice::from_raw_parts(argv, usize::try_from(argc).unwrap_or(0)) };
        let rest = strings.get(1..).unwrap_or_default();
        let (mut few, mut many) = ([&[][..]; FEW], Vec::new());
        if rest.len() > FEW {
            many.resize(rest.len(), &[][..]);
        }
        let words = if many.is_empty() { few.get_mut(..rest.len()).unwrap_or_default() } else { &mut many };
        words.iter_mut().zip(rest).for_each(|(word, string)| *word = RedisString::string_as_slice(*string));
        let words: &[&[u8]] = words;
        if asks_for_keys(&ctx) {
            // Those whose key may be left out: STATS and RESETSTATS. The only word of the latter is its key.
            if has_key(words) {
                let flags = raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS;
                // SAFETY: only in a request for key positions, and the first word is there.
                unsafe { raw::RedisModule_KeyAtPosWithFlags.map(|tell| tell(ctx.ctx, 1, flags as c_int)) };
            }
            return Ok(());
        }
        let key = strings.get(1).copied().unwrap_or(std::ptr::null_mut());
        // SAFETY: the context is that of this command, and so is what was found for it.
        let sought = unsafe { search::brought_back(ctx.ctx) };
        run(&Call { ctx: &ctx, words, strings, key, now: started.started_at(), started, handler, sought })
    });
    match outcome.unwrap_or(Err(Failure::Panic)) {
        Ok(()) => {}
        // SAFETY: the context is that of the running command.
        Err(Failure::Syntax(SyntaxError::Arity)) => unsafe {
            raw::RedisModule_WrongArity.map(|wrong| wrong(ctx.ctx));
        },
        Err(failure) => Reply(&ctx).give_up(&failure.to_string()),
    }
    reply::end(owed_before);
    raw::REDISMODULE_OK as c_int
}

/// Whether the server does not want the command run but asks where its keys are. It asks commands with `getkeys-api`.
fn asks_for_keys(ctx: &Context) -> bool {
    // SAFETY: only looks at the context.
    unsafe { raw::RedisModule_IsKeysPositionRequest.is_some_and(|asks| asks(ctx.ctx) != 0) }
}
