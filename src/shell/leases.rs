//! A stand-in for the leases of FETCH, as far as WARM needs them.

use super::failure::Failure;
use super::registry::Home;
use crate::core::identity::Digest;
use crate::core::time::UnixMs;
use redis_module::{raw, Context};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

/// What the holder of a lease knows and nobody else does.
#[derive(Clone, Copy)]
pub struct Token([u8; 16]);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

type Held = HashMap<(i32, Box<[u8]>, [u8; 32]), UnixMs>;

thread_local!(static HELD: RefCell<Held> = RefCell::new(HashMap::new()));

/// Asks for the right to compute an answer, for so long. None where somebody else has it.
pub fn take(_: &Context, home: &Home, digest: &Digest, ms: u64, now: UnixMs) -> Result<Option<Token>, Failure> {
    if is_out(home, digest, now) {
        return Ok(None);
    }
    HELD.with_borrow_mut(|held| held.insert((home.db, home.key.clone(), *digest.as_bytes()), now.plus(ms)));
    let mut token = [0; 16];
    // SAFETY: the buffer is ours and has that length.
    unsafe { raw::RedisModule_GetRandomBytes.map(|fill| fill(token.as_mut_ptr(), token.len())) };
    Ok(Some(Token(token)))
}

/// Whether somebody has the right to compute this answer now.
pub fn is_out(home: &Home, digest: &Digest, now: UnixMs) -> bool {
    let name = (home.db, home.key.clone(), *digest.as_bytes());
    HELD.with_borrow(|held| held.get(&name).is_some_and(|until| *until > now))
}
