//! Who may read what: for commands that show more than the key they name.

use super::registry::Home;
use redis_module::{raw, Context, RedisString};
use std::ptr::NonNull;

/// The user of a command.
pub struct Reader(Option<NonNull<raw::RedisModuleUser>>);

impl Reader {
    /// The user behind a context. Where there is none, as for the server's own doings, everything may be read.
    pub fn of(ctx: &Context) -> Self {
        // SAFETY: the context is that of the running command; the name is given back, the user by `drop`.
        let user = unsafe {
            let name = raw::RedisModule_GetCurrentUserName.map_or(std::ptr::null_mut(), |name| name(ctx.ctx));
            if name.is_null() {
                return Self(None);
            }
            let user = raw::RedisModule_GetModuleUserFromUserName.map_or(std::ptr::null_mut(), |user| user(name));
            raw::RedisModule_FreeString.map(|free| free(ctx.ctx, name));
            user
        };
        Self(NonNull::new(user))
    }

    /// Whether the user may read the key of a cache.
    pub fn may_read(&self, home: &Home) -> bool {
        let Self(Some(user)) = self else { return true };
        let key = RedisString::create_from_slice(std::ptr::null_mut(), &home.key);
        let flags = raw::REDISMODULE_CMD_KEY_ACCESS as i32;
        // SAFETY: the user and the key are alive.
        let answer = unsafe { raw::RedisModule_ACLCheckKeyPermissions.map(|may| may(user.as_ptr(), key.inner, flags)) };
        answer == Some(raw::REDISMODULE_OK as i32)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let (Self(Some(user)), Some(free)) = (self, unsafe { raw::RedisModule_FreeModuleUser }) {
            // SAFETY: the user was made for this reader and is given back once.
            unsafe { free(user.as_ptr()) };
        }
    }
}
