//! Replies as the server writes them: maps, doubles, booleans and nulls for RESP3, their flat equivalents for RESP2.

use super::failure::Failure;
use super::settle;
use crate::core::fault;
use redis_module::{raw, Context};
use std::ffi::{c_char, CStr, CString};
use std::sync::atomic::{AtomicI64, Ordering};

/// How many values of the reply that is being written are still to come. Replies are written on the main thread, one after
/// the other.
static OWED: AtomicI64 = AtomicI64::new(0);

/// One value less is to come, and so many more that are in it.
fn pay(more: usize) {
    fault::point();
    count(more);
}

fn count(more: usize) {
    OWED.store(OWED.load(Ordering::Relaxed) - 1 + more as i64, Ordering::Relaxed);
}

/// A command begins, and owes one value. Answers what was owed before: another module's command may be in the middle of its own.
pub fn begin() -> i64 {
    OWED.swap(1, Ordering::Relaxed)
}

/// A command ends, and so much is owed again.
pub fn end(before: i64) {
    OWED.store(before, Ordering::Relaxed);
}

/// Writes the reply of a client that was blocked. What a panic leaves out of it becomes an error.
pub fn complete(ctx: &Context, what: &str, write: impl FnOnce()) {
    let before = begin();
    settle(what, write);
    Reply(ctx).give_up(&Failure::Panic.to_string());
    end(before);
}

/// The client was blocked: whoever unblocks it replies.
pub fn later() {
    OWED.store(0, Ordering::Relaxed);
}

/// Writes the reply of one command.
#[derive(Clone, Copy)]
pub struct Reply<'c>(pub &'c Context);

impl Reply<'_> {
    /// A map of so many pairs, which follow.
    pub fn map(self, pairs: usize) {
        pay(2 * pairs);
        raw::reply_with_map(self.0.ctx, pairs as i64);
    }

    /// An array of so many elements, which follow.
    pub fn array(self, elements: usize) {
        pay(elements);
        raw::reply_with_array(self.0.ctx, elements as i64);
    }

    /// A bulk string.
    pub fn bulk(self, bytes: &[u8]) {
        pay(0);
        raw::reply_with_string_buffer(self.0.ctx, bytes.as_ptr().cast::<c_char>(), bytes.len());
    }

    /// A bulk string of what a value shows.
    pub fn text(self, value: impl std::fmt::Display) {
        self.bulk(value.to_string().as_bytes());
    }

    /// A bulk string, or null.
    pub fn optional(self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// A simple string.
    pub fn simple(self, text: &CStr) {
        pay(0);
        raw::reply_with_simple_string(self.0.ctx, text.as_ptr());
    }

    /// The simple string that says yes.
    pub fn ok(self) {
        self.simple(c"OK");
    }

    /// A number.
    pub fn integer(self, number: i64) {
        pay(0);
        raw::reply_with_long_long(self.0.ctx, number);
    }

    /// A number that has no sign.
    pub fn count(self, number: u64) {
        self.integer(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// A number with a fraction.
    pub fn double(self, number: f64) {
        pay(0);
        raw::reply_with_double(self.0.ctx, number);
    }

    /// Yes or no.
    pub fn boolean(self, yes: bool) {
        pay(0);
        raw::reply_with_bool(self.0.ctx, yes.into());
    }

    /// Nothing.
    pub fn null(self) {
        pay(0);
        raw::reply_with_null(self.0.ctx);
    }

    /// What is still to come of the reply becomes an error: all of it, or the values that were not reached. A reply that is
    /// whole stays as it is.
    pub fn give_up(self, text: &str) {
        for _ in 0..OWED.load(Ordering::Relaxed) {
            self.error(text);
        }
    }

    /// An error, its code in front.
    pub fn error(self, text: &str) {
        let line: Vec<u8> = text.bytes().map(|b| if b.is_ascii_control() { b' ' } else { b }).collect();
        let Ok(line) = CString::new(line) else { return };
        count(0);
        // SAFETY: the context is that of the running command, the text ends with a NUL.
        if let Some(reply) = unsafe { raw::RedisModule_ReplyWithError } {
            // SAFETY: as above.
            unsafe { reply(self.0.ctx, line.as_ptr()) };
        }
    }
}

/// Writes a map of named values, counting the names itself.
macro_rules! reply_map {
    ($reply:expr, { $($name:literal => $write:expr),* $(,)? }) => {{
        let reply: $crate::shell::reply::Reply<'_> = $reply;
        reply.map([$($name),*].len());
        $(
            reply.bulk($name.as_bytes());
            #[allow(clippy::redundant_closure_call)]
            ($write)(reply);
        )*
    }};
}
pub(crate) use reply_map;
