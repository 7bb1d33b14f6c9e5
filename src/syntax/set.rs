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

/// The options of an answer, as they were read.
#[derive(Debug, Default)]
pub struct SetOptions<'a> {
    identity: IdentityOptions<'a>,
    vector: VectorOption,
    request: bool,
    condition: Option<(&'static str, Condition)>,
    token: Option<Option<LeaseToken>>,
    lifetime: Option<(&'static str, Lifetime<'a>)>,
    stale_ms: Option<u64>,
    typ: Option<&'a [u8]>,
    tags: Option<Vec<&'a [u8]>>,
    tokens: Option<(u64, u64)>,
    cost: Option<MicroUsd>,
    latency: Option<u64>,
    meta: Option<&'a [u8]>,
}

impl<'a> SetOptions<'a> {
    /// Reads all that is left.
    pub fn parse(args: &mut Args<'a>, bounds: &Bounds) -> Result<Self, SyntaxError> {
        let mut options = Self::default();
        while let Some(token) = args.option() {
            if !options.read(token.name(), args, bounds)? {
                return Err(args.unknown(KNOWN));
            }
        }
        Ok(options)
    }

    /// Reads the value of one option; answers whether it is one.
    fn read(&mut self, name: &str, args: &mut Args<'a>, bounds: &Bounds) -> Result<bool, SyntaxError> {
        match name {
            "REQUEST" => flag(&mut self.request, "REQUEST")?,
            "NX" => one_of(&mut self.condition, "NX", Condition::Absent)?,
            "XX" => one_of(&mut self.condition, "XX", Condition::Present)?,
            "TOKEN" => {
                let word = args.value("TOKEN")?;
                one_of(&mut self.condition, "TOKEN", Condition::Always)?;
                self.token = Some(LeaseToken::read(word));
            }
            "STRATEGY" => {
                let name = args.named("STRATEGY", LABEL_LIMIT)?;
                let name = std::str::from_utf8(name)
                    .map_err(|_| SyntaxError::value("STRATEGY", "the name of a strategy", name))?;
                let auto = name.eq_ignore_ascii_case("auto");
                let chosen = if auto { Lifetime::Auto } else { Lifetime::Strategy(name) };
                one_of(&mut self.lifetime, "STRATEGY", chosen)?;
            }
            "EX" => {
                let ms = args.seconds("EX", 1, bounds.now)?;
                one_of(&mut self.lifetime, "EX", Lifetime::After(ms))?;
            }
            "PX" => {
                let ms = args.span("PX", 1, 1, "milliseconds", bounds.now)?;
                one_of(&mut self.lifetime, "PX", Lifetime::After(ms))?;
            }
            "EXAT" => {
                let at = args.moment("EXAT", 1000, "seconds")?;
                one_of(&mut self.lifetime, "EXAT", Lifetime::Until(at))?;
            }
            "PXAT" => {
                let at = args.moment("PXAT", 1, "milliseconds")?;
                one_of(&mut self.lifetime, "PXAT", Lifetime::Until(at))?;
            }
            "KEEPTTL" => one_of(&mut self.lifetime, "KEEPTTL", Lifetime::Keep)?,
            "PERSIST" => one_of(&mut self.lifetime, "PERSIST", Lifetime::Never)?,
            "STALE" => once(&mut self.stale_ms, "STALE", args.seconds("STALE", 0, bounds.now)?)?,
            "TYPE" => once(&mut self.typ, "TYPE", args.named("TYPE", LABEL_LIMIT)?)?,
            "TAGS" => once(&mut self.tags, "TAGS", read_tags("TAGS", args)?)?,
            "TOKENS" => {
                let asked = args.number("TOKENS", 0, i64::MAX)?;
                once(&mut self.tokens, "TOKENS", (asked, args.number("TOKENS", 0, i64::MAX)?))?;
            }
            "COST" => once(&mut self.cost, "COST", args.dollars("COST")?)?,
            "LATENCY" => once(&mut self.latency, "LATENCY", args.number("LATENCY", 0, i64::from(u32::MAX))?)?,
            "META" => {
                let json = bounds.prompt("META", args.value("META")?)?;
                json::parse(json).map_err(|e| SyntaxError::Unfit("META", format!("must be JSON: {e}")))?;
                once(&mut self.meta, "META", json)?;
            }
            name => return Ok(self.identity.read(name, args, bounds)? || self.vector.read(name, args)?),
        }
        Ok(true)
    }

    /// Whether the prompt is the body of a request.
    pub fn is_request(&self) -> bool {
        self.request
    }

    /// Whose answer it is.
    pub fn asked(self, prompt: &'a [u8], bounds: &Bounds) -> Result<Asked<'a>, SyntaxError> {
        self.identity.resolve(prompt, self.request, bounds)
    }
}

impl<'a> Set<'a> {
    /// Reads `key prompt response identity vector [REQUEST] …`.
    pub fn parse(words: &'a [&'a [u8]], bounds: &Bounds) -> Result<Self, SyntaxError> {
        let mut args = Args::new(words);
        args.positional()?;
        let (prompt, response) = (args.positional()?, args.positional()?);
        bounds.response("response", response)?;
        Self::of(prompt, response, SetOptions::parse(&mut args, bounds)?, bounds)
    }

    /// The answer to a prompt with its options.
    pub fn of(
        prompt: &'a [u8],
        response: &'a [u8],
        options: SetOptions<'a>,
        bounds: &Bounds,
    ) -> Result<Self, SyntaxError> {
        bounds.response("response", response)?;
        let asked = options.identity.resolve(prompt, options.request, bounds)?;
        let usage = match options.request {
            true => request::check_answer(response).map_err(|e| SyntaxError::Unfit("response", e.to_string()))?,
            false => None,
        };
        Ok(Self {
            asked,
            response,
            condition: options.condition.map(|(_, condition)| condition).unwrap_or_default(),
            token: options.token,
            lifetime: options.lifetime.map(|(_, lifetime)| lifetime).unwrap_or_default(),
            stale_ms: options.stale_ms,
            typ: options.typ,
            tags: options.tags.unwrap_or_default(),
            tokens: options.tokens,
            usage,
            cost: options.cost,
            latency_ms: options.latency.unwrap_or_default(),
            meta: options.meta,
            vector: options.vector.numbers(),
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
