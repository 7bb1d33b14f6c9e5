//! `STATS`, with or without a key, and `INFO`.

use super::args::{once, Args};
use super::error::SyntaxError;

const OPTIONS: [&str; 3] = ["BY", "WINDOW", "FORMAT"];

/// Whether `STATS` was given a key. Every option takes one value, so the number of arguments tells a key that is called
/// like an option from that option.
pub fn has_key(words: &[&[u8]]) -> bool {
    let is_option = |word: &[u8]| OPTIONS.iter().any(|option| word.eq_ignore_ascii_case(option.as_bytes()));
    words.first().is_some_and(|first| words.len() % 2 == 1 || !is_option(first))
}

/// Reads `[key] [BY …] [WINDOW s] [FORMAT …]`; whether there is a key.
pub fn parse(words: &[&[u8]]) -> Result<bool, SyntaxError> {
    let mut args = Args::new(words);
    let key = has_key(words);
    if key {
        args.positional()?;
    }
    let mut format = None;
    while let Some(token) = args.option() {
        match token.name() {
            name @ ("BY" | "WINDOW") => return Err(SyntaxError::NotYet(name.to_owned())),
            "FORMAT" => {
                let word = args.value("FORMAT")?;
                once(&mut format, "FORMAT", word)?;
                match word.to_ascii_lowercase().as_slice() {
                    b"map" => {}
                    b"json" => return Err(SyntaxError::NotYet("FORMAT json".into())),
                    b"prometheus" => return Err(SyntaxError::NotYet("FORMAT prometheus".into())),
                    _ => return Err(SyntaxError::value("FORMAT", "one of map, json, prometheus", word)),
                }
            }
            _ => return Err(args.unknown(&OPTIONS)),
        }
    }
    Ok(key)
}

/// Reads `key` alone.
pub fn parse_info(words: &[&[u8]]) -> Result<(), SyntaxError> {
    let mut args = Args::new(words);
    args.positional()?;
    args.finish()
}
