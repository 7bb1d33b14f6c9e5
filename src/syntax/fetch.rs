//! `FETCH`, `RENEW` and `RELEASE`: a lookup that may end in a lease, and what its holder says.

use super::args::{once, Args};
use super::error::SyntaxError;
use super::lookup::Lookup;
use super::Bounds;
use crate::core::lease::Token;

/// The longest lease and the longest wait, in milliseconds: a day.
pub const LONGEST: i64 = 86_400_000;

/// The longest message of a holder who gives up.
pub const MESSAGE_LIMIT: usize = 4096;

/// A lookup that may end in a lease.
#[derive(Debug)]
pub struct Fetch<'a> {
    /// What is looked for. What is stale will do.
    pub lookup: Lookup<'a>,
    /// For how long the caller would have the lease, in milliseconds.
    pub lease_ms: u64,
    /// For how long the caller would wait for somebody else's answer.
    pub block_ms: u64,
}

impl<'a> Fetch<'a> {
    /// Reads `key prompt <GET options> LEASE ms [BLOCK ms]`.
    pub fn parse(words: &'a [&'a [u8]], bounds: &Bounds) -> Result<Self, SyntaxError> {
        let (mut lease_ms, mut block_ms) = (None, None);
        let mut lookup = Lookup::parse_with(words, bounds, &["LEASE", "BLOCK"], |name, args| {
            match name {
                "LEASE" => once(&mut lease_ms, "LEASE", lease(args)?)?,
                "BLOCK" => once(&mut block_ms, "BLOCK", args.number("BLOCK", 0, LONGEST)?)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        lookup.terms.stale_ok = true;
        let lease_ms = lease_ms.ok_or(SyntaxError::Needs("FETCH", "LEASE"))?;
        Ok(Self { lookup, lease_ms, block_ms: block_ms.unwrap_or_default() })
    }
}

/// Reads for how long somebody is to have a lease.
pub(super) fn lease(args: &mut Args<'_>) -> Result<u64, SyntaxError> {
    args.number("LEASE", 1, LONGEST)
}

/// Reads `key token milliseconds`: whose lease, if the word is a token, and how long it is to go on.
pub fn parse_renew(words: &[&[u8]]) -> Result<(Option<Token>, u64), SyntaxError> {
    let mut args = Args::new(words);
    args.positional()?;
    let token = Token::read(args.positional()?);
    let ms = args.number("milliseconds", 1, LONGEST)?;
    args.finish()?;
    Ok((token, ms))
}

/// Reads `key token [ERROR message]`: whose lease, if the word is a token, and why the holder gives it up.
pub fn parse_release<'a>(words: &'a [&'a [u8]]) -> Result<(Option<Token>, Option<&'a [u8]>), SyntaxError> {
    let mut args = Args::new(words);
    args.positional()?;
    let token = Token::read(args.positional()?);
    let mut message = None;
    while let Some(option) = args.option() {
        match option.name() {
            "ERROR" => once(&mut message, "ERROR", args.short("ERROR", MESSAGE_LIMIT)?)?,
            _ => return Err(args.unknown(&["ERROR"])),
        }
    }
    Ok((token, message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::core::time::UnixMs;

    const BOUNDS: Bounds = Bounds { now: UnixMs(1), max_prompt_bytes: 1000, max_response_bytes: 1000 };

    fn words(line: &str) -> Vec<&[u8]> {
        line.split(' ').map(str::as_bytes).collect()
    }

    #[test]
    fn a_fetch_is_a_lookup_with_a_lease() {
        let words = words("faq hello SCOPE ann LEASE 30000 EXACT BLOCK 500");
        let fetch = Fetch::parse(&words, &BOUNDS).unwrap();
        assert_eq!((fetch.lease_ms, fetch.block_ms), (30000, 500));
        assert!(fetch.lookup.terms.stale_ok);
        assert_eq!(fetch.lookup.wanted(UnixMs(1)).identity.context.scope, b"ann");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, why) in [
            ("faq", "wrong number of arguments"),
            ("faq hello", "FETCH needs LEASE as well"),
            ("faq hello LEASE", "LEASE needs a value"),
            ("faq hello LEASE 0", "LEASE must be a whole number from 1 to 86400000, got '0'"),
            ("faq hello LEASE 1 LEASE 2", "LEASE may be given only once"),
            ("faq hello LEASE 1 BLOCK -1", "BLOCK must be a whole number from 0 to 86400000, got '-1'"),
            ("faq hello LEASE 1 BLOK 1", "unknown option 'BLOK' at argument 5, did you mean BLOCK?"),
            ("faq hello LEASE 1 TOKEN 1", "unknown option 'TOKEN' at argument 5"),
        ] {
            let told = Fetch::parse(&words(line), &BOUNDS).unwrap_err().to_string();
            assert!(told.starts_with(&format!("ERR {why}")), "{line}: {told}");
        }
        for (line, why) in [
            ("faq 00", "milliseconds needs a value"),
            ("faq 00 x", "milliseconds must be a whole number from 1 to 86400000, got 'x'"),
            ("faq 00 1 2", "unknown option '2' at argument 4"),
        ] {
            assert!(parse_renew(&words(line)).is_err_and(|e| e.to_string() == format!("ERR {why}")), "{line}");
        }
        for (line, why) in [
            ("faq 00 ERROR", "ERROR needs a value"),
            ("faq 00 ERR", "unknown option 'ERR' at argument 3, did you mean ERROR?"),
            ("faq 00 ERROR a ERROR b", "ERROR may be given only once"),
        ] {
            assert!(parse_release(&words(line)).is_err_and(|e| e.to_string() == format!("ERR {why}")), "{line}");
        }
        assert!(parse_release(&words("faq 00")).is_ok_and(|(token, why)| token.is_none() && why.is_none()));
    }
}
