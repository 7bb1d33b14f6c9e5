//! Who may read what: for commands that show more than the key they name.

use super::registry::Home;
use redis_module::{raw, Context, RedisString};
use std::ffi::c_int;

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

    /// Whether the user may read a cache.
    pub fn may_read(&self, home: &Home) -> bool {
        if self.0.is_null() {
            return false;
        }
        let key = RedisString::create_from_slice(std::ptr::null_mut(), &home.key);
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
