//! Which keys of a cluster are this node's.
//!
//! The server looks whose a key is when a command comes, and never again. Whatever goes on behind its command asks here, or
//! it would wait for answers that come to another node, and store what nobody finds. The server tells modules neither that
//! a slot has moved nor whose it is; but it refuses calls of modules about keys that are not its own.

use super::registry::Home;
use redis_module::{raw, Context, ContextFlags, RedisValue};
use std::ffi::{c_int, CStr};
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
            if let Some(free) = raw::RedisModule_FreeCallReply {
                free(reply);
            }
            return false;
        }
    }
    // EPERM. It is another one where the cluster is down.
    io::Error::last_os_error().kind() == io::ErrorKind::PermissionDenied
}

/// What clients of a key that is elsewhere are told: to ask here again, where the server then knows to send them. (CLUSTER
/// SLOTS says whose the slot is, and ends a Valkey 8 that is asked by a timer.)
pub fn redirect(ctx: &Context, home: &Home) -> Option<String> {
    if !is_elsewhere(ctx, home) {
        return None;
    }
    let Ok(RedisValue::Integer(slot)) = ctx.call("CLUSTER", &[b"KEYSLOT", &*home.key][..]) else { return None };
    let (host, port) = address(ctx)?;
    Some(format!("MOVED {slot} {host}:{port}"))
}

/// Where clients find this node. A host that it does not know itself is empty, and then they take the one they came by.
fn address(ctx: &Context) -> Option<(String, c_int)> {
    let mut id = [0; raw::REDISMODULE_NODE_ID_LEN as usize + 1];
    // Longer than any address is written.
    let mut host = [0; 64];
    let mut port = 0;
    // SAFETY: the id is as long as it says, and is copied since it has no NUL behind it; the server writes a host of 46 bytes
    // at most and a port, and nothing where the pointer is null.
    let found = unsafe {
        let own = raw::RedisModule_GetMyClusterID?();
        if own.is_null() {
            return None;
        }
        id[..raw::REDISMODULE_NODE_ID_LEN as usize]
            .copy_from_slice(std::slice::from_raw_parts(own, raw::REDISMODULE_NODE_ID_LEN as usize));
        let (none, flags) = (std::ptr::null_mut(), std::ptr::null_mut());
        raw::RedisModule_GetClusterNodeInfo?(ctx.ctx, id.as_ptr(), host.as_mut_ptr(), none, &raw mut port, flags)
    };
    // SAFETY: as long as it is, it has a NUL behind it.
    let host = unsafe { CStr::from_ptr(host.as_ptr()) };
    (found == raw::REDISMODULE_OK as c_int).then(|| (host.to_string_lossy().into_owned(), port))
}
