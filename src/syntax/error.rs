//! Everything that can be wrong with a command, and what it says on the wire.
//!
//! An error names the argument, says what was found and what is right. Prompts are private, so what was found is only
//! shown when it is one short word, as a slip of the pen is; a prompt in the wrong place is shown by its length.

use std::fmt;

/// Why a command cannot be carried out as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// Too few arguments.
    Arity,
    /// No option has this name.
    Unknown {
        /// What was found, as it may be shown.
        found: String,
        /// Where, counted from the command's name.
        position: usize,
        /// The option that looks most like it.
        meant: Option<&'static str>,
    },
    /// An option was given twice.
    Repeated(&'static str),
    /// Two options that exclude each other.
    Contradiction(&'static str, &'static str),
    /// An option that needs another one.
    Needs(&'static str, &'static str),
    /// An option without its value.
    NoValue(&'static str),
    /// A value that is not what it should be.
    Value {
        /// Whose value.
        name: &'static str,
        /// What it must be.
        must: String,
        /// What was found, as it may be shown.
        found: String,
    },
    /// An argument over its limit.
    TooLong {
        /// Which argument.
        name: &'static str,
        /// Its length.
        bytes: usize,
        /// Its limit.
        limit: usize,
        /// The setting that moves the limit, if one does.
        setting: Option<&'static str>,
    },
    /// What the argument says cannot be used; the text completes its name.
    Unfit(&'static str, String),
    /// What the core refused; its own text.
    Refused(String),
}

/// The longest piece of an argument that an error repeats.
const SHOWN: usize = 40;

/// An argument as an error may show it: quoted when it is one short word, by its length otherwise.
pub fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= SHOWN && !text.chars().any(|c| c.is_control() || c.is_whitespace()) => {
            format!("'{text}'")
        }
        _ => format!("{} bytes", bytes.len()),
    }
}

impl SyntaxError {
    /// A value that is not what it must be.
    pub fn value(name: &'static str, must: impl Into<String>, found: &[u8]) -> Self {
        Self::Value { name, must: must.into(), found: shown(found) }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arity => f.write_str("ERR wrong number of arguments"),
            Self::Unknown { found, position, meant } => {
                write!(f, "ERR unknown option {found} at argument {position}")?;
                meant.map_or(Ok(()), |meant| write!(f, ", did you mean {meant}?"))
            }
            Self::Repeated(name) => write!(f, "ERR {name} may be given only once"),
            Self::Contradiction(a, b) => write!(f, "ERR {a} and {b} exclude each other, give one of them"),
            Self::Needs(a, b) => write!(f, "ERR {a} needs {b} as well"),
            Self::NoValue(name) => write!(f, "ERR {name} needs a value"),
            Self::Value { name, must, found } => write!(f, "ERR {name} must be {must}, got {found}"),
            Self::TooLong { name, bytes, limit, setting } => {
                write!(f, "ERR {name} has {bytes} bytes, {limit} are allowed")?;
                setting.map_or(Ok(()), |setting| write!(f, " (CONFIG SET {setting})"))
            }
            Self::Unfit(name, why) => write!(f, "ERR {name} {why}"),
            Self::Refused(why) => write!(f, "ERR {why}"),
        }
    }
}

impl std::error::Error for SyntaxError {}
