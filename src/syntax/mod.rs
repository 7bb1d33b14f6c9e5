//! From the bytes of a command to a typed request: pure functions over byte slices, one file for each family.
//!
//! A command is parsed as a whole before anything is touched. What may be wrong with it is in [`error`]; what there is
//! to type is in [`table`], from which the server's own documentation is made as well.
#![forbid(unsafe_code)]

pub mod alert;
pub mod apply;
pub mod args;
pub mod entries;
pub mod error;
pub mod feedback;
pub mod fetch;
pub mod grammar;
pub mod identity;
pub mod invalidate;
pub mod items;
pub mod lookup;
pub mod policy;
pub mod set;
pub mod stats;
pub mod strategy;
pub mod table;
pub mod vector;
pub mod warm;

use crate::core::time::UnixMs;
use error::SyntaxError;

/// What arguments are measured against: the clock and the server's settings.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The time of the command.
    pub now: UnixMs,
    /// The longest prompt.
    pub max_prompt_bytes: usize,
    /// The longest response.
    pub max_response_bytes: usize,
}

impl Bounds {
    fn prompt<'a>(&self, name: &'static str, value: &'a [u8]) -> Result<&'a [u8], SyntaxError> {
        limited(name, value, self.max_prompt_bytes, "llmcache.max-prompt-bytes")
    }

    fn response<'a>(&self, name: &'static str, value: &'a [u8]) -> Result<&'a [u8], SyntaxError> {
        limited(name, value, self.max_response_bytes, "llmcache.max-response-bytes")
    }
}

fn limited<'a>(
    name: &'static str,
    value: &'a [u8],
    limit: usize,
    setting: &'static str,
) -> Result<&'a [u8], SyntaxError> {
    if value.len() > limit {
        return Err(SyntaxError::TooLong { name, bytes: value.len(), limit, setting: Some(setting) });
    }
    Ok(value)
}
