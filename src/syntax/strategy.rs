//! `STRATEGY` and `RULE`: how long answers live, and which of them.

use super::args::{once, Args};
use super::error::SyntaxError;
use super::set::LABEL_LIMIT;
use super::Bounds;
use crate::core::strategy::{check_rule_name, check_strategy_name, Rule, Strategy, Ttl, MAX_PATTERN};

/// What is to be done with a list of named things.
#[derive(Debug, PartialEq)]
pub enum Change<T> {
    /// Add one or change it.
    Set(T),
    /// Delete the one of this name.
    Del(String),
    /// Show all.
    List,
}

pub(super) fn name(
    word: &[u8],
    check: impl Fn(&[u8]) -> Result<&str, crate::core::strategy::StrategyError>,
) -> Result<Box<str>, SyntaxError> {
    check(word).map(Into::into).map_err(|e| SyntaxError::Refused(e.to_string()))
}

/// Reads `key SET name (TTL s | PERSIST) [STALE s] [JITTER percent] | DEL name | LIST`.
pub fn parse_strategy(words: &[&[u8]], bounds: &Bounds) -> Result<Change<Strategy>, SyntaxError> {
    let mut args = Args::new(words);
    args.positional()?;
    let action = args.option().ok_or(SyntaxError::Arity)?;
    let change = match action.name() {
        "SET" => {
            let name = name(args.positional()?, check_strategy_name)?;
            let (mut ttl, mut stale_ms, mut jitter_percent) = (None, None, None);
            while let Some(token) = args.option() {
                match token.name() {
                    "TTL" => match ttl {
                        Some(Ttl::Never) => return Err(SyntaxError::Contradiction("PERSIST", "TTL")),
                        _ => once(&mut ttl, "TTL", Ttl::Millis(args.seconds("TTL", 1, bounds.now)?))?,
                    },
                    "PERSIST" => match ttl {
                        Some(Ttl::Millis(_)) => return Err(SyntaxError::Contradiction("TTL", "PERSIST")),
                        _ => once(&mut ttl, "PERSIST", Ttl::Never)?,
                    },
                    "STALE" => once(&mut stale_ms, "STALE", args.seconds("STALE", 0, bounds.now)?)?,
                    "JITTER" => once(&mut jitter_percent, "JITTER", args.number("JITTER", 0, 100)? as u8)?,
                    _ => return Err(args.unknown(&["TTL", "PERSIST", "STALE", "JITTER"])),
                }
            }
            let ttl = ttl.ok_or(SyntaxError::Needs("STRATEGY SET", "TTL seconds or PERSIST"))?;
            return Ok(Change::Set(Strategy { name, ttl, stale_ms, jitter_percent }));
        }
        "DEL" => Change::Del(name(args.positional()?, check_strategy_name)?.into()),
        "LIST" => Change::List,
        _ => return Err(args.not_one_of("action", "SET, DEL or LIST")),
    };
    args.finish()?;
    Ok(change)
}

/// Reads `key SET name [TYPE glob] [MODEL glob] [SCOPE glob] [PROMPT glob] STRATEGY name | DEL name | LIST`.
pub fn parse_rule(words: &[&[u8]]) -> Result<Change<Rule>, SyntaxError> {
    let mut args = Args::new(words);
    args.positional()?;
    let action = args.option().ok_or(SyntaxError::Arity)?;
    let change = match action.name() {
        "SET" => {
            let name = name(args.positional()?, check_rule_name)?;
            let (mut typ, mut model, mut scope, mut prompt, mut strategy) = (None, None, None, None, None);
            while let Some(token) = args.option() {
                match token.name() {
                    "TYPE" => once(&mut typ, "TYPE", args.short("TYPE", MAX_PATTERN)?.into())?,
                    "MODEL" => once(&mut model, "MODEL", args.short("MODEL", MAX_PATTERN)?.into())?,
                    "SCOPE" => once(&mut scope, "SCOPE", args.short("SCOPE", MAX_PATTERN)?.into())?,
                    "PROMPT" => once(&mut prompt, "PROMPT", args.short("PROMPT", MAX_PATTERN)?.into())?,
                    "STRATEGY" => {
                        let chosen = args.named("STRATEGY", LABEL_LIMIT)?;
                        let text = std::str::from_utf8(chosen)
                            .map_err(|_| SyntaxError::value("STRATEGY", "the name of a strategy", chosen))?;
                        once(&mut strategy, "STRATEGY", text.into())?;
                    }
                    _ => return Err(args.unknown(&["TYPE", "MODEL", "SCOPE", "PROMPT", "STRATEGY"])),
                }
            }
            let strategy = strategy.ok_or(SyntaxError::Needs("RULE SET", "STRATEGY name"))?;
            return Ok(Change::Set(Rule { name, typ, model, scope, prompt, strategy }));
        }
        "DEL" => Change::Del(name(args.positional()?, check_rule_name)?.into()),
        "LIST" => Change::List,
        _ => return Err(args.not_one_of("action", "SET, DEL or LIST")),
    };
    args.finish()?;
    Ok(change)
}
