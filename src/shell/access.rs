//! Who may read what: for commands that show more than the key they name.

use super::registry::Home;
use redis_module::{raw, Context, RedisString};
use std::ffi::c_int;
use std::io;

/// Who asks about caches that the command does not name, and which of them that user may read. The server knows the user
/// of a connection; of a script or of another module it is not asked, since it may have none there and trips over that.
pub struct Reader {
    user: *mut raw::RedisModuleUser,
    db: c_int,
}

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
        // SAFETY: only looks at the context.
        let db = unsafe { raw::RedisModule_GetSelectedDb.map_or(0, |db| db(ctx.ctx)) };
        Self { user: user.unwrap_or(std::ptr::null_mut()), db }
    }

    /// Whether the user may read a cache, and go to its database.
    pub fn may_read(&self, home: &Home) -> bool {
        if self.user.is_null() || home.db != self.db && !self.may_select(home.db) {
            return false;
        }
        let key = RedisString::create_from_slice(std::ptr::null_mut(), &home.key);
        // SAFETY: the user is alive as long as the command runs, the name for the time of the call.
        let allowed = unsafe {
            raw::RedisModule_ACLCheckKeyPermissions
                .map(|check| check(self.user, key.inner, raw::REDISMODULE_CMD_KEY_ACCESS as c_int))
        };
        allowed == Some(raw::REDISMODULE_OK as c_int)
    }

    /// Whether the user has lost the right to the command that is being answered. In doubt he has not.
    ///
    /// # Safety
    /// The words are those of a command of the server's.
    pub unsafe fn has_lost(&self, argv: *mut *mut raw::RedisModuleString, argc: c_int) -> bool {
        // SAFETY: as the caller promises.
        !self.user.is_null() && unsafe { self.may_run(argv, argc) } == Err(true)
    }

    /// Whether the user may go to a database.
    fn may_select(&self, db: c_int) -> bool {
        let words = ["SELECT", &db.to_string()];
        let words = words.map(|word| RedisString::create_from_slice(std::ptr::null_mut(), word.as_bytes()));
        let mut argv = words.each_ref().map(|word| word.inner);
        // SAFETY: the words live for the time of the call.
        unsafe { self.may_run(argv.as_mut_ptr(), argv.len() as c_int) }.is_ok()
    }

    /// Whether the user may run a command; if not, whether that is a matter of permissions.
    ///
    /// # Safety
    /// So many words are there.
    unsafe fn may_run(&self, argv: *mut *mut raw::RedisModuleString, argc: c_int) -> Result<(), bool> {
        // SAFETY: the user is alive as long as the command runs, the words as the caller promises.
        let checked = unsafe { raw::RedisModule_ACLCheckCommandPermissions.map(|check| check(self.user, argv, argc)) };
        match checked {
            Some(checked) if checked == raw::REDISMODULE_OK as c_int => Ok(()),
            Some(_) => Err(io::Error::last_os_error().kind() == io::ErrorKind::PermissionDenied),
            None => Err(false),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.user.is_null() {
            // SAFETY: the server gave it to us, once.
            unsafe { raw::RedisModule_FreeModuleUser.map(|free| free(self.user)) };
        }
    }
}
