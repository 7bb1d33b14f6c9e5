//! `INVALIDATE`: which answers are to be taken back, and how.

use super::args::{flag, once, Args};
use super::error::SyntaxError;
use super::identity::{Asked, IdentityOptions};
use super::set::{read_tags, LABEL_LIMIT};
use super::Bounds;
use crate::core::invalidation::Selection;
use crate::core::strategy::MAX_PATTERN;
use crate::core::time::UnixMs;

/// Answers to be taken back.
#[derive(Debug)]
pub struct Invalidate<'a> {
    selection: Selection<'a>,
    asked: Option<Asked<'a>>,
    /// Make them stale instead.
    pub soft: bool,
    /// Only count them.
    pub dry_run: bool,
}

const KNOWN: &[&str] = &[
    "ALL",
    "TAG",
    "MODEL",
    "SCOPE",
    "TYPE",
    "STRATEGY",
    "PROMPT",
    "MATCH",
    "OLDERTHAN",
    "SYSTEM",
    "PARAMS",
    "SOFT",
    "DRYRUN",
];

impl<'a> Invalidate<'a> {
    /// Reads `key (ALL | TAG n t… | …) [SOFT] [DRYRUN]`.
    pub fn parse(words: &'a [&'a [u8]], bounds: &Bounds) -> Result<Self, SyntaxError> {
        let mut args = Args::new(words);
        args.positional()?;
        let mut selection = Selection::default();
        let mut identity = IdentityOptions::default();
        let (mut all, mut soft, mut dry_run) = (false, false, false);
        let (mut tags, mut prompt) = (None, None);
        while let Some(token) = args.option() {
            match token.name() {
                "ALL" => flag(&mut all, "ALL")?,
                "TAG" => once(&mut tags, "TAG", read_tags("TAG", &mut args)?)?,
                "TYPE" => once(&mut selection.typ, "TYPE", args.named("TYPE", LABEL_LIMIT)?)?,
                "STRATEGY" => once(&mut selection.strategy, "STRATEGY", args.named("STRATEGY", LABEL_LIMIT)?)?,
                "PROMPT" => once(&mut prompt, "PROMPT", bounds.prompt("PROMPT", args.value("PROMPT")?)?)?,
                "MATCH" => once(&mut selection.glob, "MATCH", args.short("MATCH", MAX_PATTERN)?)?,
                "OLDERTHAN" => {
                    let age = args.seconds("OLDERTHAN", 0, UnixMs::default())?;
                    once(&mut selection.older_than_ms, "OLDERTHAN", age)?;
                }
                "SOFT" => flag(&mut soft, "SOFT")?,
                "DRYRUN" => flag(&mut dry_run, "DRYRUN")?,
                name => {
                    if !identity.read(name, &mut args, bounds)? {
                        return Err(args.unknown(KNOWN));
                    }
                }
            }
        }
        selection.tags = tags.unwrap_or_default();
        selection.model = identity.model();
        selection.scope = identity.scope();
        let asked = match (prompt, identity.of_a_prompt()) {
            (Some(prompt), _) => Some(identity.resolve(prompt, false, bounds)?),
            (None, Some(option)) => return Err(SyntaxError::Needs(option, "PROMPT")),
            (None, None) => None,
        };
        let chosen = all
            || asked.is_some()
            || !selection.tags.is_empty()
            || [selection.model, selection.scope, selection.typ, selection.strategy, selection.glob]
                .iter()
                .any(Option::is_some)
            || selection.older_than_ms.is_some();
        if !chosen {
            let why = "a selector: ALL, TAG, MODEL, SCOPE, TYPE, STRATEGY, PROMPT, MATCH or OLDERTHAN,";
            return Err(SyntaxError::Needs("INVALIDATE", why));
        }
        Ok(Self { selection, asked, soft, dry_run })
    }

    /// The entries that are meant.
    pub fn selection(&self) -> Selection<'_> {
        let digest = self.asked.as_ref().map(|asked| asked.identity().digest());
        Selection { digest, ..self.selection.clone() }
    }
}
