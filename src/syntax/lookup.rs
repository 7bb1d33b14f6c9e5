//! `GET` and `EXPLAIN`: what is asked, and on which terms.

use super::args::{flag, once, Args};
use super::error::SyntaxError;
use super::identity::{Asked, IdentityOptions};
use super::vector::VectorOption;
use super::Bounds;
use crate::core::cache::Terms;
use crate::core::matching::Wanted;
use crate::core::policy::Mode;
use crate::core::time::UnixMs;

/// A lookup.
#[derive(Debug)]
pub struct Lookup<'a> {
    /// Whose answer.
    pub asked: Asked<'a>,
    /// On which terms.
    pub terms: Terms,
    /// The client's vector.
    pub vector: Option<Vec<f32>>,
    /// Answer a map.
    pub with_meta: bool,
}

const KNOWN: &[&str] = &[
    "MODEL",
    "SYSTEM",
    "PARAMS",
    "SCOPE",
    "FP32",
    "VALUES",
    "REQUEST",
    "EXACT",
    "SIMILAR",
    "THRESHOLD",
    "MAXAGE",
    "IFNONEMATCH",
    "STALEOK",
    "NOTOUCH",
    "WITHMETA",
];

impl<'a> Lookup<'a> {
    /// Reads `key prompt identity vector [REQUEST] …`.
    pub fn parse(words: &'a [&'a [u8]], bounds: &Bounds) -> Result<Self, SyntaxError> {
        Self::parse_with(words, bounds, &[], |_, _| Ok(false))
    }

    /// The same with more options, named in `known`, which `more` reads if they are its own.
    pub(super) fn parse_with(
        words: &'a [&'a [u8]],
        bounds: &Bounds,
        known: &[&'static str],
        mut more: impl FnMut(&str, &mut Args<'a>) -> Result<bool, SyntaxError>,
    ) -> Result<Self, SyntaxError> {
        let mut args = Args::new(words);
        args.positional()?;
        let prompt = args.positional()?;
        let mut identity = IdentityOptions::default();
        let mut vector = VectorOption::default();
        let (mut request, mut exact, mut similar, mut with_meta) = (false, false, false, false);
        let mut terms = Terms::default();
        let mut if_none_match = None;
        while let Some(token) = args.option() {
            match token.name() {
                "REQUEST" => flag(&mut request, "REQUEST")?,
                "EXACT" => flag(&mut exact, "EXACT")?,
                "SIMILAR" => flag(&mut similar, "SIMILAR")?,
                "THRESHOLD" => once(&mut terms.threshold, "THRESHOLD", threshold(&mut args)?)?,
                "MAXAGE" => {
                    let age = args.seconds("MAXAGE", 0, UnixMs::default())?;
                    once(&mut terms.max_age_ms, "MAXAGE", age)?;
                }
                "IFNONEMATCH" => {
                    let etag = args.value("IFNONEMATCH")?;
                    once(&mut if_none_match, "IFNONEMATCH", parse_etag(etag))?;
                }
                "STALEOK" => flag(&mut terms.stale_ok, "STALEOK")?,
                "NOTOUCH" => flag(&mut terms.no_touch, "NOTOUCH")?,
                "WITHMETA" => flag(&mut with_meta, "WITHMETA")?,
                name => {
                    let read = identity.read(name, &mut args, bounds)?
                        || vector.read(name, &mut args)?
                        || more(name, &mut args)?;
                    if !read {
                        return Err(args.unknown(&[KNOWN, known].concat()));
                    }
                }
            }
        }
        terms.mode = match (exact, similar) {
            (true, true) => return Err(SyntaxError::Contradiction("EXACT", "SIMILAR")),
            (true, false) if terms.threshold.is_some() => {
                return Err(SyntaxError::Contradiction("EXACT", "THRESHOLD"));
            }
            (true, false) => Some(Mode::Exact),
            (false, true) => Some(Mode::Similar),
            (false, false) => None,
        };
        terms.if_none_match = if_none_match.flatten();
        let asked = identity.resolve(prompt, request, bounds)?;
        Ok(Self { asked, terms, vector: vector.numbers(), with_meta })
    }

    /// What the core is to look for.
    pub fn wanted(&self, now: UnixMs) -> Wanted<'_> {
        let mut wanted = Wanted::exactly(self.asked.identity(), &self.terms, now);
        (wanted.vector, wanted.comparable) = (self.vector.as_deref(), self.asked.similar_allowed);
        wanted
    }
}

/// Reads a THRESHOLD.
pub(super) fn threshold(args: &mut Args<'_>) -> Result<f64, SyntaxError> {
    let value = args.value("THRESHOLD")?;
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<f64>().ok());
    let fits = number.filter(|number| (0.0..=1.0).contains(number));
    fits.ok_or_else(|| SyntaxError::value("THRESHOLD", "a number from 0 to 1", value))
}

/// An etag as it is shown, 16 hex digits. Anything else is an etag that no answer has.
fn parse_etag(word: &[u8]) -> Option<u64> {
    let digits = word.len() == 16 && word.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(word).ok().filter(|_| digits)?;
    u64::from_str_radix(text, 16).ok()
}
