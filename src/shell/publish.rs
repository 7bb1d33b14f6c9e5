//! Telling the others: effects become replication, keyspace events, alerts and a touched key.

use super::keyspace::{Intent, Key};
use super::log;
use super::registry::{Home, Resident};
use crate::core::alerts::Turn;
use crate::core::cache::Cache;
use crate::core::codec::Codec;
use crate::core::effects::Effects;
use crate::core::identity::EntryId;
use crate::core::persist::{feedback_record, lives_record};
use crate::core::strategy::printable;
use redis_module::{raw, Context, NotifyEvent, RedisString};

/// How many entries one replicated command may name.
const CHUNK: usize = 1000;

/// Tells replicas and the append-only file what has happened to the cache at `key`.
pub fn replicate(ctx: &Context, key: &[u8], cache: &Cache, effects: &Effects) {
    if effects.policy {
        ctx.replicate("LLMCACHE.APPLY", &[key, b"POLICY", &cache.policy_record()]);
    }
    if effects.cleared {
        ctx.replicate("LLMCACHE.APPLY", &[key, b"CLEAR"]);
    }
    for names in [&effects.deleted, &effects.evicted] {
        for chunk in names.chunks(CHUNK) {
            let ids: Vec<String> = chunk.iter().map(ToString::to_string).collect();
            let words: Vec<&[u8]> = std::iter::once(key).chain(ids.iter().map(String::as_bytes)).collect();
            ctx.replicate("LLMCACHE.DEL", words.as_slice());
        }
    }
    for chunk in effects.moved.chunks(CHUNK) {
        ctx.replicate("LLMCACHE.APPLY", &[key, b"LIVES", &lives_record(chunk)]);
    }
    if let Some(judged) = effects.judged {
        let record = feedback_record(std::iter::once(judged));
        ctx.replicate("LLMCACHE.APPLY", &[key, b"FEEDBACK", &record]);
    }
    if let Some(record) = effects.planned.as_deref().and_then(|name| cache.plan_record(name)) {
        ctx.replicate("LLMCACHE.APPLY", &[key, b"PLAN", &record]);
    }
    if let Some(name) = &effects.unplanned {
        ctx.replicate("LLMCACHE.APPLY", &[key, b"UNPLAN", name]);
    }
    if effects.alerts {
        ctx.replicate("LLMCACHE.APPLY", &[key, b"ALERTS", &cache.alerts_record()]);
    }
    let records = |id: Option<EntryId>| cache.entry_records(&id?, &mut Codec::new());
    if let Some((context, entry)) = records(effects.renewed) {
        ctx.replicate("LLMCACHE.APPLY", &[key, b"RENEW", &context, &entry]);
    }
    if let (Some(id), Some((context, entry))) = (effects.stored, records(effects.stored)) {
        ctx.replicate("LLMCACHE.APPLY", &[key, b"STORE", &context, &entry, id.to_string().as_bytes()]);
    }
}

/// Tells subscribers and watchers. Other modules may look at the key meanwhile, so nobody may hold its cache.
pub fn announce(ctx: &Context, key: &RedisString, effects: &Effects) {
    let happened = [
        (effects.stored.is_some(), "llmcache.set"),
        (!effects.deleted.is_empty() || effects.cleared, "llmcache.del"),
        (!effects.evicted.is_empty(), "llmcache.evicted"),
        (effects.expired > 0, "llmcache.expired"),
    ];
    for (_, event) in happened.into_iter().filter(|(happened, _)| *happened) {
        ctx.notify_keyspace_event(NotifyEvent::MODULE, event, key);
    }
    effects.turned.iter().for_each(|turn| alert(ctx, key.as_slice(), turn));
    if !effects.is_silent() || effects.expired > 0 {
        // SAFETY: the context and the key are those of the running command or timer.
        if let Some(signal) = unsafe { raw::RedisModule_SignalModifiedKey } {
            // SAFETY: as above.
            unsafe { signal(ctx.ctx, key.inner) };
        }
    }
}

/// Does something with a cache at home, and publishes what came of it. A cache that has moved is left alone: nothing can
/// be told of it by name until it is found again.
pub fn visit(ctx: &Context, home: &Home, place: *mut Resident, act: impl FnOnce(&mut Resident) -> Effects) {
    // SAFETY: the context is the timer's own, so no client's database changes with it.
    let there = unsafe { raw::RedisModule_SelectDb.map_or(1, |select| select(ctx.ctx, home.db)) };
    if there != raw::REDISMODULE_OK as i32 {
        return;
    }
    let name = RedisString::create_from_slice(std::ptr::null_mut(), &home.key);
    let Ok(mut key) = Key::open(ctx, name.inner, Intent::Peek) else { return };
    if !key.holds(place) {
        return;
    }
    let Some(resident) = key.resident() else { return };
    resident.lend(true);
    let effects = act(resident);
    replicate(ctx, name.as_slice(), &resident.cache, &effects);
    resident.take_back();
    drop(key);
    announce(ctx, &name, &effects);
}

/// Where subscribers hear of alerts.
const CHANNEL: &[u8] = b"llmcache:alert";

/// How much of a key's name the log shows.
const SHOWN: usize = 128;

/// Publishes that an alert fires or does no more, and logs it.
fn alert(ctx: &Context, key: &[u8], turn: &Turn) {
    let (channel, event) = (text(CHANNEL), text(turn.json(key).as_bytes()));
    // SAFETY: the context is that of the running command or timer, and both strings are ours for the time of the call.
    unsafe { raw::RedisModule_PublishMessage.map(|publish| publish(ctx.ctx, channel.inner, event.inner)) };
    let value = turn.value.map_or_else(|| "nothing now".to_owned(), |value| value.to_string());
    let (name, key, state) = (printable(turn.name.as_bytes(), SHOWN), printable(key, SHOWN), turn.state());
    let (figure, side, bound) = (turn.figure.name(), turn.side.name(), turn.bound);
    let line = format!("alert '{name}' of cache '{key}' is {state}: {figure} is {value}, watched for {side} {bound}");
    if turn.firing {
        log::warning(ctx, &line);
    } else {
        log::notice(ctx, &line);
    }
}

fn text(bytes: &[u8]) -> RedisString {
    RedisString::create_from_slice(std::ptr::null_mut(), bytes)
}
