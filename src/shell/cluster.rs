//! Which keys of a cluster are this node's.
//!
//! The server looks whose a key is when a command comes, and never again. Whatever goes on behind its command asks here, or
//! it would wait for answers that come to another node, and store what nobody finds. The server tells modules neither that
//! a slot has moved nor whose it is; but it refuses calls of modules about keys that are not its own.

use super::registry::Home;
use redis_module::{raw, Context, ContextFlags, RedisValue};
use std::io;

/// Whether this node is one of a cluster.
pub fn is_one(ctx: &Context) -> bool {
    ctx.get_flags().contains(ContextFlags::CLUSTER)
}

/// Whether a key is another node's, or has gone ahead to the one that its slot is moving to. With the context of a client
/// that said ASKING it is not, so a context of our own is asked with. It is left in the key's database.
pub fn is_elsewhere(ctx: &Context, home: &Home) -> bool {
    if !is_one(ctx) {
        return false;
    }
    // SAFETY: the context may run commands; the format names a C string, then a pointer and a length, and these follow. A
    // reply is given back at once. MEMORY USAGE leaves no trace of having looked at a key.
    unsafe {
        raw::RedisModule_SelectDb.map(|select| select(ctx.ctx, home.db));
        let Some(call) = raw::RedisModule_Call else { return false };
        let usage = c"USAGE".as_ptr();
        let reply = call(ctx.ctx, c"MEMORY".as_ptr(), c"cb".as_ptr(), usage, home.key.as_ptr(), home.key.len());
        if !reply.is_null() {
            raw::RedisModule_FreeCallReply.map(|free| free(reply));
            return false;
        }
    }
    // EPERM. It is another one where the cluster is down.
    io::Error::last_os_error().kind() == io::ErrorKind::PermissionDenied
}

/// What clients of a key that is elsewhere are told, so that they ask there. Where the slot has not moved yet they are sent
/// here, and from here on.
pub fn redirect(ctx: &Context, home: &Home) -> Option<String> {
    if !is_elsewhere(ctx, home) {
        return None;
    }
    let Ok(RedisValue::Integer(slot)) = ctx.call("CLUSTER", &[b"KEYSLOT", &*home.key][..]) else { return None };
    let Ok(RedisValue::Array(ranges)) = ctx.call("CLUSTER", &["SLOTS"]) else { return None };
    ranges.into_iter().find_map(|range| {
        let RedisValue::Array(range) = range else { return None };
        let [RedisValue::Integer(first), RedisValue::Integer(last), RedisValue::Array(primary), ..] = &range[..] else {
            return None;
        };
        let [host, RedisValue::Integer(port), ..] = &primary[..] else { return None };
        (*first..=*last).contains(&slot).then(|| format!("MOVED {slot} {}:{port}", text(host)))
    })
}

/// A string, or none where the server does not know its own address: then clients take the one they came by.
fn text(value: &RedisValue) -> String {
    match value {
        RedisValue::SimpleString(text) | RedisValue::BulkString(text) => text.clone(),
        RedisValue::SimpleStringStatic(text) => (*text).to_owned(),
        RedisValue::BulkRedisString(text) => text.to_string_lossy(),
        RedisValue::StringBuffer(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}
