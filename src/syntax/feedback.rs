//! `FEEDBACK`: what a user says of an answer.

use super::args::{flag, once, Args};
use super::error::SyntaxError;
use super::identity::{Asked, IdentityOptions};
use super::Bounds;
use crate::core::feedback::Opinion;
use crate::core::identity::{Digest, EntryId};

/// What is said of which entry.
#[derive(Debug)]
pub struct Said<'a> {
    /// The entry; none where the word is the id of no entry.
    pub id: Option<EntryId>,
    /// What is said.
    pub opinion: Opinion,
    asked: Option<Asked<'a>>,
}

const KNOWN: &[&str] = &["FOR", "MODEL", "SYSTEM", "PARAMS", "SCOPE", "REQUEST"];

impl<'a> Said<'a> {
    /// Reads `key id good|bad [FOR prompt identity]`.
    pub fn parse(words: &'a [&'a [u8]], bounds: &Bounds) -> Result<Self, SyntaxError> {
        let mut args = Args::new(words);
        args.positional()?;
        let id = EntryId::parse(args.positional()?);
        let opinion = args.option().ok_or(SyntaxError::Arity)?;
        let opinion = match opinion.name() {
            "GOOD" => Opinion::Good,
            "BAD" => Opinion::Bad,
            _ => return Err(args.not_one_of("the opinion", "good or bad")),
        };
        let (mut prompt, mut request) = (None, false);
        let mut identity = IdentityOptions::default();
        let mut first = None;
        while let Some(token) = args.option() {
            match token.name() {
                "FOR" => once(&mut prompt, "FOR", args.value("FOR")?)?,
                "REQUEST" => flag(&mut request, "REQUEST")?,
                name => {
                    if !identity.read(name, &mut args, bounds)? {
                        return Err(args.unknown(KNOWN));
                    }
                }
            }
            first = first.or(KNOWN.iter().copied().find(|known| *known == token.name() && *known != "FOR"));
        }
        let asked = match (prompt, first) {
            (Some(prompt), _) => Some(identity.resolve(prompt, request, bounds)?),
            (None, Some(option)) => return Err(SyntaxError::Needs(option, "FOR")),
            (None, None) => None,
        };
        Ok(Self { id, opinion, asked })
    }

    /// The digest of the prompt that the entry answered.
    pub fn prompt(&self) -> Option<Digest> {
        self.asked.as_ref().map(|asked| asked.identity().digest())
    }
}
