//! Why a strategy, a rule or a name was refused. The texts name the argument, what was found and the way out.

use super::{MAX_JITTER, MAX_MS, MAX_NAME, MAX_PATTERN};
use std::fmt;

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A strategy.
    Strategy,
    /// A rule.
    Rule,
    /// An alert.
    Alert,
}

/// Why a strategy or rule was refused; nothing has changed. What it shows of a name is cut to 32 printable bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are the figures of the texts
pub enum StrategyError {
    /// Not a name.
    Name { what: Argument, got: String },
    /// A name that means something else.
    Reserved { what: Argument, name: &'static str },
    /// There is no such strategy.
    Unknown { got: String },
    /// A rule chooses the strategy that was to be deleted.
    UsedByRule { strategy: String, rule: String },
    /// The cache's own strategy was to be deleted.
    UsedByCache { strategy: String },
    /// As many as there may be.
    Full { what: Argument, limit: usize },
    /// A TTL of nothing, or beyond all time.
    Ttl { ms: u64 },
    /// Only `nocache`, as it comes, stores nothing.
    NotStored,
    /// A stale time beyond all time.
    Stale { ms: u64 },
    /// A spread of more than all.
    Jitter { percent: u8 },
    /// A pattern that is too long.
    Pattern { option: &'static str, len: usize },
    /// A stored cache has it twice.
    Twice { what: Argument, name: String },
}

impl StrategyError {
    pub(super) fn unknown(name: &str) -> Self {
        Self::Unknown { got: shown(name.as_bytes()) }
    }

    pub(super) fn used_by_rule(strategy: &str, rule: &str) -> Self {
        Self::UsedByRule { strategy: shown(strategy.as_bytes()), rule: shown(rule.as_bytes()) }
    }

    pub(super) fn used_by_cache(strategy: &str) -> Self {
        Self::UsedByCache { strategy: shown(strategy.as_bytes()) }
    }

    pub(super) fn twice(what: Argument, name: &str) -> Self {
        Self::Twice { what, name: shown(name.as_bytes()) }
    }
}

impl Argument {
    fn word(self) -> &'static str {
        match self {
            Self::Strategy => "strategy",
            Self::Rule => "rule",
            Self::Alert => "alert",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Strategy => "LLMCACHE.STRATEGY",
            Self::Rule => "LLMCACHE.RULE",
            Self::Alert => "LLMCACHE.ALERT",
        }
    }
}

impl fmt::Display for StrategyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { what, got } => write!(
                f,
                "{} name must be 1 to {MAX_NAME} bytes of printable UTF-8 without spaces, got '{got}'",
                what.word()
            ),
            Self::Reserved { what, name } => {
                write!(f, "{} name must not be '{name}', which is reserved: choose another name", what.word())
            }
            Self::Unknown { got } => write!(
                f,
                "STRATEGY must be the name of a strategy of this cache (LLMCACHE.STRATEGY key LIST shows them), got '{got}'"
            ),
            Self::UsedByRule { strategy, rule } => {
                write!(f, "strategy '{strategy}' is chosen by rule '{rule}': change or delete that rule first")
            }
            Self::UsedByCache { strategy } => write!(
                f,
                "strategy '{strategy}' is the cache's own: choose another with LLMCACHE.ALTER key STRATEGY name first"
            ),
            Self::Full { what, limit } => write!(
                f,
                "{} must be one of at most {limit} in a cache, got one more: delete one with {} key DEL name",
                what.word(),
                what.command()
            ),
            Self::Ttl { ms } => write!(f, "TTL must be from 1 to {} seconds, got {}", MAX_MS / 1000, Seconds(*ms)),
            Self::NotStored => {
                write!(f, "TTL must be a number of seconds or PERSIST: only the built-in nocache stores nothing")
            }
            Self::Stale { ms } => write!(f, "STALE must be from 0 to {} seconds, got {}", MAX_MS / 1000, Seconds(*ms)),
            Self::Jitter { percent } => write!(f, "JITTER must be from 0 to {MAX_JITTER} percent, got {percent}"),
            Self::Pattern { option, len } => {
                write!(f, "{option} must be a pattern of at most {MAX_PATTERN} bytes, got {len} bytes")
            }
            Self::Twice { what, name } => write!(f, "{} '{name}' must not be there twice", what.word()),
        }
    }
}

impl std::error::Error for StrategyError {}

struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1000, self.0 % 1000) {
            (seconds, 0) => write!(f, "{seconds}"),
            (seconds, ms) => write!(f, "{seconds}.{ms:03}"),
        }
    }
}

/// How much of a user's bytes an error shows.
const SHOWN: usize = 32;

/// The beginning of a name for people: at most 32 bytes, nothing in it that a terminal would obey.
fn shown(name: &[u8]) -> String {
    printable(name, SHOWN)
}

/// The beginning of what a user named, so many bytes of it at most, with a mark in place of each character that a terminal
/// would obey, that is not seen, or that is none.
pub fn printable(name: &[u8], limit: usize) -> String {
    let beginning = String::from_utf8_lossy(name.get(..limit).unwrap_or(name));
    beginning.chars().map(|c| if is_printable(c) && c != char::REPLACEMENT_CHARACTER { c } else { '?' }).collect()
}

/// Whether a character may stand in a name: something that is seen, and that moves nothing around it.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !c.is_whitespace() && !invisible
}

/// Checks that bytes may be a name at all, and answers it.
pub(super) fn name(what: Argument, name: &[u8]) -> Result<&str, StrategyError> {
    let refused = || StrategyError::Name { what, got: shown(name) };
    let text = std::str::from_utf8(name).map_err(|_| refused())?;
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(is_printable) {
        return Err(refused());
    }
    Ok(text)
}
