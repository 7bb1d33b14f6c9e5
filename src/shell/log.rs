//! The server's log. What the crate logs is a *format* of the server's, so whatever is logged goes through here: users choose
//! what keys and alerts are called, and `%s` in a name must stay two characters.
#![allow(clippy::disallowed_methods)]

use redis_module::{Context, MODULE_CONTEXT};

/// Logs what an administrator should look at.
pub fn warning(ctx: &Context, text: &str) {
    ctx.log_warning(&as_format(text));
}

/// Logs what an administrator may want to know.
pub fn notice(ctx: &Context, text: &str) {
    ctx.log_notice(&as_format(text));
}

/// Logs what has gone wrong where there is no context.
pub fn detached_warning(text: &str) {
    MODULE_CONTEXT.log_warning(&as_format(text));
}

/// A format that says just this.
fn as_format(text: &str) -> String {
    text.replace('%', "%%").replace('\0', "?")
}
