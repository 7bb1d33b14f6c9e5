//! Commands on entries by name: `DEL`, `ENTRY`, `TTL`, `EXPIRE`, and `SCAN`, which lists them.

use super::args::{flag, integer, once, Args};
use super::error::SyntaxError;
use super::identity::NAME_LIMIT;
use super::set::LABEL_LIMIT;
use super::Bounds;
use crate::core::identity::EntryId;
use crate::core::invalidation::Selection;
use crate::core::strategy::MAX_PATTERN;
use crate::core::time::UnixMs;

/// Reads `key id [id …]`. A word that cannot be an id is one that no entry has.
pub fn parse_del(words: &[&[u8]]) -> Result<Vec<EntryId>, SyntaxError> {
    let mut args = Args::new(words);
    args.positional()?;
    let mut ids: Vec<_> = EntryId::parse(args.positional()?).into_iter().collect();
    while args.left() > 0 {
        ids.extend(EntryId::parse(args.positional()?));
    }
    Ok(ids)
}

/// Reads `key id`.
pub fn parse_ttl(words: &[&[u8]]) -> Result<Option<EntryId>, SyntaxError> {
    let mut args = Args::new(words);
    args.positional()?;
    let id = EntryId::parse(args.positional()?);
    args.finish()?;
    Ok(id)
}

/// Reads `key id [WITHRESPONSE]`.
pub fn parse_entry(words: &[&[u8]]) -> Result<(Option<EntryId>, bool), SyntaxError> {
    let mut args = Args::new(words);
    args.positional()?;
    let id = EntryId::parse(args.positional()?);
    let mut with_response = false;
    while let Some(token) = args.option() {
        match token.name() {
            "WITHRESPONSE" => flag(&mut with_response, "WITHRESPONSE")?,
            _ => return Err(args.unknown(&["WITHRESPONSE"])),
        }
    }
    Ok((id, with_response))
}

/// Reads `key id seconds`: the id and the new expiry, which may lie in the past.
pub fn parse_expire(words: &[&[u8]], bounds: &Bounds) -> Result<(Option<EntryId>, UnixMs), SyntaxError> {
    let mut args = Args::new(words);
    args.positional()?;
    let id = EntryId::parse(args.positional()?);
    let word = args.positional()?;
    args.finish()?;
    let wrong =
        || SyntaxError::value("seconds", "a whole number of seconds that does not end beyond the year 9999", word);
    let ms = integer(word).ok_or_else(wrong)?.checked_mul(1000).ok_or_else(wrong)?;
    match u64::try_from(ms) {
        Ok(ms) if ms <= UnixMs::LATEST.since(bounds.now) => Ok((id, bounds.now.plus(ms))),
        Ok(_) => Err(wrong()),
        Err(_) => Ok((id, UnixMs::default())),
    }
}

/// A page of entries.
#[derive(Debug)]
pub struct Scan<'a> {
    /// Where to go on.
    pub cursor: u64,
    /// How many slots to look at.
    pub count: u64,
    /// Which entries to list.
    pub selection: Selection<'a>,
}

impl<'a> Scan<'a> {
    /// Reads `key cursor [COUNT n] [MATCH glob] [TAG t] [MODEL m] [SCOPE s]`.
    pub fn parse(words: &'a [&'a [u8]], _: &Bounds) -> Result<Self, SyntaxError> {
        let mut args = Args::new(words);
        args.positional()?;
        let word = args.positional()?;
        let cursor = std::str::from_utf8(word).ok().and_then(|text| text.parse().ok());
        let cursor = cursor.ok_or_else(|| SyntaxError::value("cursor", "a cursor that SCAN gave, or 0", word))?;
        let (mut count, mut tag) = (None, None);
        let mut selection = Selection::default();
        while let Some(token) = args.option() {
            match token.name() {
                "COUNT" => once(&mut count, "COUNT", args.number("COUNT", 1, 1_000_000)?)?,
                "MATCH" => once(&mut selection.glob, "MATCH", args.short("MATCH", MAX_PATTERN)?)?,
                "TAG" => once(&mut tag, "TAG", args.named("TAG", LABEL_LIMIT)?)?,
                "MODEL" => once(&mut selection.model, "MODEL", args.short("MODEL", NAME_LIMIT)?)?,
                "SCOPE" => once(&mut selection.scope, "SCOPE", args.short("SCOPE", NAME_LIMIT)?)?,
                _ => return Err(args.unknown(&["COUNT", "MATCH", "TAG", "MODEL", "SCOPE"])),
            }
        }
        selection.tags.extend(tag);
        Ok(Self { cursor, count: count.unwrap_or(10), selection })
    }
}
