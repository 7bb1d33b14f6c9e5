//! Everything a command can fail with, and what it says on the wire.

use crate::core::cache::AlterError;
use crate::core::codec::Damaged;
use crate::core::lease::MAX_LEASES;
use crate::core::storing::{StoreError, VectorError};
use crate::core::wire::WireError;
use crate::syntax::error::SyntaxError;
use std::fmt;

/// Why a command answers an error. Nothing has changed then.
#[derive(Debug)]
pub enum Failure {
    /// It is not well formed.
    Syntax(SyntaxError),
    /// The key holds something else.
    WrongType,
    /// CREATE, and it is there.
    Exists,
    /// ALTER, and it is not there.
    Missing,
    /// A policy, a strategy or a rule cannot be.
    Alter(AlterError),
    /// A vector cannot be compared with those of the cache.
    Vector(VectorError),
    /// The server has no memory left, and this cache nothing to give.
    OutOfMemory,
    /// There are as many leases as there may be.
    TooManyLeases,
    /// A stored answer cannot be read.
    Damaged(Damaged),
    /// A record cannot be read.
    Record(WireError),
    /// This node has become a replica meanwhile.
    Demoted,
    /// The key has gone to another node meanwhile: this redirect leads there.
    Elsewhere(String),
    /// Another cache has come in its place meanwhile.
    Replaced,
    /// A defect of ours.
    Panic,
}

/// What a command's run answers.
pub type Outcome = Result<(), Failure>;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(e) => e.fmt(f),
            Self::WrongType => f.write_str("WRONGTYPE Operation against a key holding the wrong kind of value"),
            Self::Exists => f.write_str("ERR the key exists already, change a cache with LLMCACHE.ALTER"),
            Self::Missing => f.write_str("ERR there is no such cache, make it with LLMCACHE.CREATE"),
            Self::Alter(e) => write!(f, "ERR {e}"),
            Self::Vector(e) => write!(f, "ERR {e}"),
            Self::OutOfMemory => {
                f.write_str("OOM the server is at its 'maxmemory' and no cache has entries to give back")
            }
            Self::TooManyLeases => write!(f, "ERR there are {MAX_LEASES} leases on this node, as many as there may be"),
            Self::Damaged(e) => write!(f, "ERR {e}, delete the entry or store it again"),
            Self::Record(e) => write!(f, "ERR record cannot be applied: {e}"),
            Self::Demoted => f.write_str("READONLY the server has become a replica meanwhile"),
            Self::Elsewhere(redirect) => f.write_str(redirect),
            Self::Replaced => {
                f.write_str("ERR another cache has come in its place meanwhile, and nothing of it was changed")
            }
            Self::Panic => f.write_str("ERR internal error of the llmcache module, the server's log has more"),
        }
    }
}

impl From<SyntaxError> for Failure {
    fn from(e: SyntaxError) -> Self {
        Self::Syntax(e)
    }
}

impl From<AlterError> for Failure {
    fn from(e: AlterError) -> Self {
        Self::Alter(e)
    }
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Strategy(e) => Self::Alter(e.into()),
            StoreError::Vector(e) => Self::Vector(e),
            StoreError::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl From<VectorError> for Failure {
    fn from(e: VectorError) -> Self {
        Self::Vector(e)
    }
}

impl From<Damaged> for Failure {
    fn from(e: Damaged) -> Self {
        Self::Damaged(e)
    }
}

impl From<WireError> for Failure {
    fn from(e: WireError) -> Self {
        Self::Record(e)
    }
}
