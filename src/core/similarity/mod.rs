//! The same question in other words.
//!
//! ```text
//!   prompt ── text ──► Text ──┬── builtin ──► vector ──┐
//!                             └── lexical ──► terms ───┤── search in the entries of one context ──► candidates
//!             the client's vector ─────────────────────┘                                               │
//!                                        served  ◄── guards ◄── threshold ◄── builtin::pair ◄── best ──┘
//! ```
//!
//! Nothing here knows of entries, times or policies: prompts and vectors come in, similarities and reasons go out. What
//! an entry is to a lookup is decided in [`super::matching`].

pub mod builtin;
pub mod dense;
pub mod guards;
pub mod index;
pub mod lexical;
pub mod spelling;
pub mod text;
pub mod typo;
pub mod words;

use super::policy::named;
use lexical::Metric;

/// The kinds of similarity that a policy chooses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The model that ships inside the module.
    Builtin = 0,
    /// Words and letters.
    Lexical = 1,
    /// Vectors that clients send.
    Vector = 2,
}
named!(Kind { Builtin => "builtin", Lexical => "lexical", Vector => "vector" });

/// How prompts are compared, down to the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By the model that ships inside the module.
    Builtin,
    /// By words or letters.
    Lexical(Metric),
    /// By the clients' vectors.
    Vector,
}

/// Reads the model and the word lists now rather than with the first question.
pub fn prepare() {
    text::prepare();
    builtin::prepare();
    guards::prepare();
}

impl Method {
    /// Its kind.
    pub fn kind(self) -> Kind {
        match self {
            Self::Builtin => Kind::Builtin,
            Self::Lexical(_) => Kind::Lexical,
            Self::Vector => Kind::Vector,
        }
    }

    /// How similar a prompt must be where nobody has said so. Chosen for precision by `make quality`; see the README.
    pub fn default_threshold(self) -> f64 {
        match self {
            Self::Builtin => 0.855,
            Self::Lexical(metric) => metric.default_threshold(),
            Self::Vector => 0.9,
        }
    }
}
