//! `STATS`, `RESETSTATS`, with or without a key, and `INFO`.

use super::args::{once, Args};
use super::error::SyntaxError;
use crate::core::ledger::{Dimension, LONGEST_WINDOW};
use crate::core::report::Asked;

const OPTIONS: [&str; 3] = ["BY", "WINDOW", "FORMAT"];

/// How figures are to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As a map of the protocol.
    #[default]
    Map,
    /// As one JSON object.
    Json,
    /// In the text exposition format.
    Prometheus,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stats {
    /// Whether a key was given.
    pub has_key: bool,
    /// Which figures.
    pub asked: Asked,
    /// How they are to be shown.
    pub format: Format,
}

/// Whether `STATS` was given a key. Every option takes one value, so the number of arguments tells a key that is called
/// like an option from that option.
pub fn has_key(words: &[&[u8]]) -> bool {
    let is_option = |word: &[u8]| OPTIONS.iter().any(|option| word.eq_ignore_ascii_case(option.as_bytes()));
    words.first().is_some_and(|first| words.len() % 2 == 1 || !is_option(first))
}

/// Reads `[key] [BY …] [WINDOW s] [FORMAT …]`.
pub fn parse(words: &[&[u8]]) -> Result<Stats, SyntaxError> {
    let mut args = Args::new(words);
    let has_key = has_key(words);
    if has_key {
        args.positional()?;
    }
    let (mut by, mut window_s, mut format) = (None, None, None);
    while let Some(token) = args.option() {
        match token.name() {
            "BY" => {
                let word = args.value("BY")?;
                let dimension = Dimension::ALL.into_iter().find(|by| word.eq_ignore_ascii_case(by.name().as_bytes()));
                let names = Dimension::ALL.map(Dimension::name).join(", ");
                let dimension = dimension.ok_or_else(|| SyntaxError::value("BY", format!("one of {names}"), word))?;
                once(&mut by, "BY", dimension)?;
            }
            "WINDOW" => once(&mut window_s, "WINDOW", args.number("WINDOW", 1, LONGEST_WINDOW as i64)?)?,
            "FORMAT" => {
                let word = args.value("FORMAT")?;
                let read = match word.to_ascii_lowercase().as_slice() {
                    b"map" => Format::Map,
                    b"json" => Format::Json,
                    b"prometheus" => Format::Prometheus,
                    _ => return Err(SyntaxError::value("FORMAT", "one of map, json, prometheus", word)),
                };
                once(&mut format, "FORMAT", read)?;
            }
            _ => return Err(args.unknown(&OPTIONS)),
        }
    }
    Ok(Stats { has_key, asked: Asked { by, window_s }, format: format.unwrap_or_default() })
}

/// Reads `[key]`; whether there is one.
pub fn parse_reset(words: &[&[u8]]) -> Result<bool, SyntaxError> {
    let mut args = Args::new(words);
    let has_key = args.left() > 0;
    if has_key {
        args.positional()?;
    }
    args.finish().map(|()| has_key)
}

/// Reads `key` alone.
pub fn parse_info(words: &[&[u8]]) -> Result<(), SyntaxError> {
    let mut args = Args::new(words);
    args.positional()?;
    args.finish()
}
