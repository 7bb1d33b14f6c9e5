//! Keys that hold caches: opened, checked, made.

use super::datatype::LLM_CACHE;
use super::failure::Failure;
use super::registry::{self, Home, Resident};
use crate::core::cache::Cache;
use redis_module::{raw, Context, RedisString};
use std::marker::PhantomData;

/// An open key. It is closed when it goes.
pub struct Key<'c> {
    key: *mut raw::RedisModuleKey,
    resident: *mut Resident,
    intent: Intent,
    ctx: PhantomData<&'c Context>,
}

/// What a command is about to do with a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Look at it as a user of the cache does.
    Read,
    /// Look at it without leaving a trace in the server's own order of use.
    Peek,
    /// Change it.
    Write,
}

impl<'c> Key<'c> {
    /// Opens a key by name. A key that is not there is one without a cache.
    pub fn open(ctx: &'c Context, name: *mut raw::RedisModuleString, intent: Intent) -> Result<Self, Failure> {
        let mode = match intent {
            Intent::Read => raw::REDISMODULE_READ,
            Intent::Peek => raw::REDISMODULE_READ | raw::REDISMODULE_OPEN_KEY_NOTOUCH,
            Intent::Write => raw::REDISMODULE_READ | raw::REDISMODULE_WRITE,
        };
        // SAFETY: the context and the name are those of the running command or event.
        let key =
            unsafe { raw::RedisModule_OpenKey.map_or(std::ptr::null_mut(), |open| open(ctx.ctx, name, mode as i32)) };
        let mut opened = Self { key, resident: std::ptr::null_mut(), intent, ctx: PhantomData };
        if key.is_null() {
            return Ok(opened);
        }
        // SAFETY: the key is open, and these only look at it.
        let (kind, of, value) = unsafe {
            (
                raw::RedisModule_KeyType.map_or(0, |kind| kind(key)),
                raw::RedisModule_ModuleTypeGetType.map_or(std::ptr::null_mut(), |of| of(key)),
                raw::RedisModule_ModuleTypeGetValue.map_or(std::ptr::null_mut(), |value| value(key)),
            )
        };
        if kind as isize == raw::REDISMODULE_KEYTYPE_EMPTY {
            return Ok(opened);
        }
        if kind as isize != raw::REDISMODULE_KEYTYPE_MODULE || of != *LLM_CACHE.raw_type.borrow() {
            return Err(Failure::WrongType);
        }
        opened.resident = value.cast();
        Ok(opened)
    }

    /// The cache, if there is one.
    pub fn resident(&mut self) -> Option<&mut Resident> {
        // SAFETY: the value of a key of our type is a pointer that the registry gave; it lives as long as the key is
        // open, and only the main thread follows it, which this borrow keeps from doing so twice.
        let resident = unsafe { self.resident.as_mut() }?;
        resident.lend(self.intent == Intent::Write);
        Some(resident)
    }

    /// The cache, if there is one.
    pub fn cache(&mut self) -> Option<&mut Cache> {
        self.resident().map(|resident| &mut resident.cache)
    }

    /// Hangs a cache on a key that was opened to be written and has none.
    pub fn place(&mut self, cache: Cache, home: Home) {
        let resident = registry::admit(cache, home);
        // SAFETY: the key is open for writing; the server owns the value from here on, and frees it by our callback.
        let placed = unsafe {
            raw::RedisModule_ModuleTypeSetValue
                .map_or(1, |set| set(self.key, *LLM_CACHE.raw_type.borrow(), resident.cast()))
        };
        if placed == raw::REDISMODULE_OK as i32 {
            self.resident = resident;
        } else {
            // SAFETY: the server did not take it.
            drop(unsafe { registry::dismiss(resident) });
        }
    }

    /// Whether the key itself has an expiry.
    pub fn expires(&self) -> bool {
        // SAFETY: the key is open, and this only looks at it.
        let left = unsafe { raw::RedisModule_GetExpire.filter(|_| !self.key.is_null()).map(|expire| expire(self.key)) };
        left.is_some_and(|left| left != i64::from(raw::REDISMODULE_NO_EXPIRE))
    }

    /// Makes the server think that the key was used just now, and often.
    pub fn show_in_use(&mut self) {
        if !self.key.is_null() {
            // SAFETY: the key is open, and these change its place in the server's order of use alone.
            unsafe {
                raw::RedisModule_SetLRU.map(|set| set(self.key, 0));
                raw::RedisModule_SetLFU.map(|set| set(self.key, 255));
            }
        }
    }

    /// Whether this key holds that very value.
    pub fn holds(&self, resident: *mut Resident) -> bool {
        !resident.is_null() && self.resident == resident
    }
}

impl Drop for Key<'_> {
    fn drop(&mut self) {
        if !self.key.is_null() {
            raw::close_key(self.key);
        }
    }
}

/// The home of a key in the context's database.
pub fn home(ctx: &Context, key: &[u8]) -> Home {
    // SAFETY: the context is that of the running command or event.
    let db = unsafe { raw::RedisModule_GetSelectedDb.map_or(0, |db| db(ctx.ctx)) };
    Home { db, key: key.into() }
}

/// Does something with the cache at home, if there is one, without leaving a trace in the server's order of use. The
/// context is left in that database.
pub fn at_home<T>(ctx: &Context, home: &Home, act: impl FnOnce(&mut Resident) -> T) -> Option<T> {
    let once = |key: &mut Key<'_>| {
        let resident = key.resident()?;
        let done = act(resident);
        resident.take_back();
        Some(done)
    };
    at_home_key(ctx, home, once).flatten()
}

/// The same with the key that is there.
pub fn at_home_key<T>(ctx: &Context, home: &Home, act: impl FnOnce(&mut Key<'_>) -> T) -> Option<T> {
    // SAFETY: only selects a database in the context.
    let there = unsafe { raw::RedisModule_SelectDb.map_or(1, |select| select(ctx.ctx, home.db)) };
    if there != raw::REDISMODULE_OK as i32 {
        return None;
    }
    let name = RedisString::create_from_slice(std::ptr::null_mut(), &home.key);
    Key::open(ctx, name.inner, Intent::Peek).ok().map(|mut key| act(&mut key))
}
