//! `SET`: an answer and what is known of it.

use super::args::{flag, once, Args};
use super::error::SyntaxError;
use super::identity::{Asked, IdentityOptions};
use super::vector::VectorOption;
use super::Bounds;
use crate::core::json;
use crate::core::lease::Token as LeaseToken;
use crate::core::money::MicroUsd;
use crate::core::request::{self, Usage};
use crate::core::storing::{Answer, Condition, Lifetime, MAX_TAGS};

/// An answer to be stored.
#[derive(Debug)]
pub struct Set<'a> {
    asked: Asked<'a>,
    response: &'a [u8],
    condition: Condition,
    /// The lease under which it was computed: none of them where the word is no token at all.
    pub token: Option<Option<LeaseToken>>,
    lifetime: Lifetime<'a>,
    stale_ms: Option<u64>,
    typ: Option<&'a [u8]>,
    tags: Vec<&'a [u8]>,
    tokens: Option<(u64, u64)>,
    usage: Option<Usage>,
    cost: Option<MicroUsd>,
    latency_ms: u64,
    meta: Option<&'a [u8]>,
    vector: Option<Vec<f32>>,
}

/// The longest type or tag.
pub const LABEL_LIMIT: usize = 256;

const KNOWN: &[&str] = &[
    "MODEL", "SYSTEM", "PARAMS", "SCOPE", "FP32", "VALUES", "REQUEST", "NX", "XX", "TOKEN", "STRATEGY", "EX", "PX",
    "EXAT", "PXAT", "KEEPTTL", "PERSIST", "STALE", "TYPE", "TAGS", "TOKENS", "COST", "LATENCY", "META",
];

impl<'a> Set<'a> {
    /// Reads `key prompt response identity vector [REQUEST] …`.
    pub fn parse(words: &'a [&'a [u8]], bounds: &Bounds) -> Result<Self, SyntaxError> {
        let mut args = Args::new(words);
        args.positional()?;
        let prompt = args.positional()?;
        let response = bounds.response("response", args.positional()?)?;
        let mut identity = IdentityOptions::default();
        let mut vector = VectorOption::default();
        let mut request = false;
        let mut condition: Option<(&'static str, Condition)> = None;
        let mut lease = None;
        let mut lifetime: Option<(&'static str, Lifetime<'a>)> = None;
        let mut tags: Option<Vec<&'a [u8]>> = None;
        let (mut stale_ms, mut typ, mut tokens, mut cost, mut latency, mut meta) = (None, None, None, None, None, None);
        while let Some(token) = args.option() {
            match token.name() {
                "REQUEST" => flag(&mut request, "REQUEST")?,
                "NX" => one_of(&mut condition, "NX", Condition::Absent)?,
                "XX" => one_of(&mut condition, "XX", Condition::Present)?,
                "TOKEN" => {
                    let word = args.value("TOKEN")?;
                    one_of(&mut condition, "TOKEN", Condition::Always)?;
                    lease = Some(LeaseToken::read(word));
                }
                "STRATEGY" => {
                    let name = args.named("STRATEGY", LABEL_LIMIT)?;
                    let name = std::str::from_utf8(name)
                        .map_err(|_| SyntaxError::value("STRATEGY", "the name of a strategy", name))?;
                    let auto = name.eq_ignore_ascii_case("auto");
                    let chosen = if auto { Lifetime::Auto } else { Lifetime::Strategy(name) };
                    one_of(&mut lifetime, "STRATEGY", chosen)?;
                }
                "EX" => {
                    let ms = args.seconds("EX", 1, bounds.now)?;
                    one_of(&mut lifetime, "EX", Lifetime::After(ms))?;
                }
                "PX" => {
                    let ms = args.span("PX", 1, 1, "milliseconds", bounds.now)?;
                    one_of(&mut lifetime, "PX", Lifetime::After(ms))?;
                }
                "EXAT" => {
                    let at = args.moment("EXAT", 1000, "seconds")?;
                    one_of(&mut lifetime, "EXAT", Lifetime::Until(at))?;
                }
                "PXAT" => {
                    let at = args.moment("PXAT", 1, "milliseconds")?;
                    one_of(&mut lifetime, "PXAT", Lifetime::Until(at))?;
                }
                "KEEPTTL" => one_of(&mut lifetime, "KEEPTTL", Lifetime::Keep)?,
                "PERSIST" => one_of(&mut lifetime, "PERSIST", Lifetime::Never)?,
                "STALE" => once(&mut stale_ms, "STALE", args.seconds("STALE", 0, bounds.now)?)?,
                "TYPE" => once(&mut typ, "TYPE", args.named("TYPE", LABEL_LIMIT)?)?,
                "TAGS" => once(&mut tags, "TAGS", read_tags("TAGS", &mut args)?)?,
                "TOKENS" => {
                    let asked = args.number("TOKENS", 0, i64::MAX)?;
                    once(&mut tokens, "TOKENS", (asked, args.number("TOKENS", 0, i64::MAX)?))?;
                }
                "COST" => once(&mut cost, "COST", args.dollars("COST")?)?,
                "LATENCY" => once(&mut latency, "LATENCY", args.number("LATENCY", 0, i64::from(u32::MAX))?)?,
                "META" => {
                    let json = bounds.prompt("META", args.value("META")?)?;
                    json::parse(json).map_err(|e| SyntaxError::Unfit("META", format!("must be JSON: {e}")))?;
                    once(&mut meta, "META", json)?;
                }
                name => {
                    if !identity.read(name, &mut args, bounds)? && !vector.read(name, &mut args)? {
                        return Err(args.unknown(KNOWN));
                    }
                }
            }
        }
        let asked = identity.resolve(prompt, request, bounds)?;
        let usage = match request {
            true => request::check_answer(response).map_err(|e| SyntaxError::Unfit("response", e.to_string()))?,
            false => None,
        };
        Ok(Self {
            asked,
            response,
            condition: condition.map(|(_, condition)| condition).unwrap_or_default(),
            token: lease,
            lifetime: lifetime.map(|(_, lifetime)| lifetime).unwrap_or_default(),
            stale_ms,
            typ,
            tags: tags.unwrap_or_default(),
            tokens,
            usage,
            cost,
            latency_ms: latency.unwrap_or_default(),
            meta,
            vector: vector.numbers(),
        })
    }

    /// The answer for the core.
    pub fn answer(&self) -> Answer<'_> {
        let identity = self.asked.identity();
        Answer {
            digest: identity.digest(),
            identity,
            response: self.response,
            condition: self.condition,
            lifetime: self.lifetime,
            stale_ms: self.stale_ms,
            typ: self.typ,
            tags: self.tags.clone(),
            tokens: self.tokens,
            usage: self.usage,
            cost: self.cost,
            latency_ms: self.latency_ms,
            meta: self.meta,
            temperature_above_one: self.asked.temperature_above_one(),
            comparable: self.asked.similar_allowed,
            vector: self.vector.as_deref(),
        }
    }
}

/// Fills one of several options that exclude each other.
fn one_of<T>(place: &mut Option<(&'static str, T)>, name: &'static str, value: T) -> Result<(), SyntaxError> {
    match place {
        Some((there, _)) if *there == name => Err(SyntaxError::Repeated(name)),
        Some((there, _)) => Err(SyntaxError::Contradiction(there, name)),
        None => {
            *place = Some((name, value));
            Ok(())
        }
    }
}

/// Reads `n t1 … tn`.
pub(super) fn read_tags<'a>(name: &'static str, args: &mut Args<'a>) -> Result<Vec<&'a [u8]>, SyntaxError> {
    let count = args.number(name, 1, MAX_TAGS as i64)?;
    if args.left() < usize::try_from(count).unwrap_or(usize::MAX) {
        let why = format!("needs {count} tags after their number, got {}", args.left());
        return Err(SyntaxError::Unfit(name, why));
    }
    (0..count).map(|_| args.named(name, LABEL_LIMIT)).collect()
}
