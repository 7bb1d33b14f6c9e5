//! `ALERT`, and the alerts that STATS shows.

use super::Call;
use crate::core::alerts::Alert;
use crate::core::cache::Cache;
use crate::core::time::UnixMs;
use crate::shell::config::memory_price;
use crate::shell::failure::Outcome;
use crate::shell::keyspace::{Intent, Key};
use crate::shell::registry::Resident;
use crate::shell::reply::Reply;
use crate::syntax::alert::parse;
use crate::syntax::strategy::Change;
use redis_module::{raw, Context, RedisString};
use std::ffi::c_int;

pub fn run(call: &Call<'_>) -> Outcome {
    match parse(call.words)? {
        Change::Set(alert) => {
            call.edit(|cache, _| Ok(((), cache.set_alert(alert, call.now, memory_price())?)))?;
            call.reply().ok();
        }
        Change::Del(name) => {
            let gone = call.edit(|cache, _| Ok(cache.delete_alert(&name, call.now, memory_price())))?;
            call.reply().integer(gone.into());
        }
        Change::List => {
            let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
            match key.cache() {
                Some(cache) => show_alerts(call.reply(), cache, call.now),
                None => call.reply().array(0),
            }
        }
    }
    Ok(())
}

/// All alerts, as LIST and INFO show them.
pub fn show_alerts(reply: Reply<'_>, cache: &Cache, now: UnixMs) {
    reply.array(cache.alerts().list().len());
    for alert in cache.alerts().list() {
        show(reply, None, alert, cache.figure_of(alert, now, memory_price()));
    }
}

/// An alert and where its figure stands; with its key, where several caches are shown.
fn show(reply: Reply<'_>, key: Option<&[u8]>, alert: &Alert, value: Option<f64>) {
    let word = |name: &str, value: &[u8]| {
        reply.bulk(name.as_bytes());
        reply.bulk(value);
    };
    let count = |name: &str, value: Option<u64>| {
        reply.bulk(name.as_bytes());
        value.map_or_else(|| reply.null(), |value| reply.count(value));
    };
    reply.map(8 + usize::from(key.is_some()));
    if let Some(key) = key {
        word("key", key);
    }
    word("name", alert.name.as_bytes());
    word("figure", alert.figure.name().as_bytes());
    word("direction", alert.side.name().as_bytes());
    reply.bulk(b"bound");
    reply.double(alert.bound);
    count("window", alert.window_s);
    word("state", alert.state().as_bytes());
    count("since", alert.since().map(|at| at.0));
    reply.bulk(b"value");
    value.map_or_else(|| reply.null(), |value| reply.double(value));
}

/// An alert that fires, in which cache where that must be said, and where its figure stands.
type Fire = (Option<Box<[u8]>>, Alert, Option<f64>);

/// The alerts that fire, of one cache or of several.
#[derive(Default)]
pub struct Firing(Vec<Fire>);

impl Firing {
    /// Adds those of a cache, with its key or without.
    pub fn add(&mut self, resident: &Resident, with_key: bool, now: UnixMs) {
        let Resident { cache, home, .. } = resident;
        for alert in cache.alerts().list().iter().filter(|alert| alert.is_firing()) {
            let key = with_key.then(|| home.key.clone());
            self.0.push((key, alert.clone(), cache.figure_of(alert, now, memory_price())));
        }
    }

    /// Shows them as an array.
    pub fn show(&self, reply: Reply<'_>) {
        reply.array(self.0.len());
        for (key, alert, value) in &self.0 {
            show(reply, key.as_deref(), alert, *value);
        }
    }
}

/// Who asks about caches that the command does not name, and which of them that user may read. The server knows the user
/// of a connection; of a script or of another module it is not asked, since it may have none there and trips over that.
pub struct Reader(*mut raw::RedisModuleUser);

impl Reader {
    /// The user of the client that the command came from.
    pub fn of(ctx: &Context) -> Self {
        // SAFETY: the context is that of the running command; who is found is given back when this goes.
        let user = unsafe {
            let id = raw::RedisModule_GetClientId.map_or(0, |id| id(ctx.ctx));
            let name = raw::RedisModule_GetClientUserNameById.map(|name| name(ctx.ctx, id));
            let name = name.filter(|name| !name.is_null());
            let name = name.map(|name| RedisString::from_redis_module_string(ctx.ctx, name));
            name.and_then(|name| Some(raw::RedisModule_GetModuleUserFromUserName?(name.inner)))
        };
        Self(user.unwrap_or(std::ptr::null_mut()))
    }

    /// Whether the user may read a cache that has alerts which fire. Of others there is nothing to be read.
    pub fn may_read(&self, resident: &Resident) -> bool {
        if self.0.is_null() || !resident.cache.alerts().list().iter().any(Alert::is_firing) {
            return false;
        }
        let key = RedisString::create_from_slice(std::ptr::null_mut(), &resident.home.key);
        // SAFETY: the user is alive as long as the command runs, the name for the time of the call.
        let allowed = unsafe {
            raw::RedisModule_ACLCheckKeyPermissions
                .map(|check| check(self.0, key.inner, raw::REDISMODULE_CMD_KEY_ACCESS as c_int))
        };
        allowed == Some(raw::REDISMODULE_OK as c_int)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the server gave it to us, once.
            unsafe { raw::RedisModule_FreeModuleUser.map(|free| free(self.0)) };
        }
    }
}
