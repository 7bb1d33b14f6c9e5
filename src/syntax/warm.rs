//! `WARM`: many answers at once, and plans of what is to be kept warm.

use super::args::{once, Args, Token};
use super::error::SyntaxError;
use super::items::{self, Given};
use super::set::{SetOptions, LABEL_LIMIT};
use super::Bounds;
use crate::core::plans::{MAX_ITEMS, MAX_OUT};

/// What is to be done.
#[derive(Debug)]
pub enum Warm<'a> {
    /// Store these: prompts and responses by turns, with options for all of them.
    Items(Given<'a>, &'a [&'a [u8]]),
    /// Store what this array of JSON says, with options for all that say nothing else.
    Json(Given<'a>, &'a [u8]),
    /// Keep this plan.
    Plan(Plan<'a>),
    /// Forget a plan.
    Unplan(&'a [u8]),
    /// Tell of all plans.
    Status,
    /// Hand out what is due.
    Due(Due<'a>),
}

/// A plan as it was asked for; its items are still to be read from their JSON.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Its name.
    pub profile: &'a [u8],
    /// How old an answer may become.
    pub every_ms: u64,
    /// How many of its items may be out at once.
    pub limit: u32,
    /// How many others that are asked for may be handed out as well.
    pub hot: u32,
    /// Options for all items that say nothing else.
    pub options: Given<'a>,
    /// The array.
    pub json: &'a [u8],
}

/// Which due items are asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Due<'a> {
    /// Of this profile alone.
    pub profile: Option<&'a [u8]>,
    /// How many at most.
    pub count: usize,
    /// Also those that expire so soon.
    pub within_ms: u64,
    /// For how long they are handed out.
    pub lease_ms: u64,
}

/// How many of a profile are out at once where the plan does not say.
const DEFAULT_LIMIT: u32 = 3;

const ACTIONS: &[&str] = &["ITEMS", "JSON", "PLAN", "UNPLAN", "STATUS", "DUE"];

impl<'a> Warm<'a> {
    /// Reads `key (… ITEMS n … | … JSON array | PLAN … | UNPLAN profile | STATUS | DUE …)`.
    pub fn parse(words: &'a [&'a [u8]], bounds: &Bounds) -> Result<Self, SyntaxError> {
        let mut args = Args::new(words);
        args.positional()?;
        let action = args.option().ok_or(SyntaxError::Arity)?;
        let warm = match action.name() {
            "PLAN" => return Plan::parse(words, bounds).map(Self::Plan),
            "DUE" => return Due::parse(args).map(Self::Due),
            "UNPLAN" => Self::Unplan(args.named("UNPLAN", LABEL_LIMIT)?),
            "STATUS" => Self::Status,
            _ => {
                let (options, rest) = given(words, 1, &["ITEMS", "JSON"], bounds, |_, _| Ok(false))?;
                args = rest;
                match args.option() {
                    Some(token) if token.name() == "ITEMS" => return items(options, args),
                    Some(_) if options.has("REQUEST") => return Err(SyntaxError::Contradiction("REQUEST", "JSON")),
                    Some(_) => Self::Json(options, args.value("JSON")?),
                    None => return Err(args.not_one_of("action", "ITEMS, JSON, PLAN, UNPLAN, STATUS or DUE")),
                }
            }
        };
        args.finish()?;
        Ok(warm)
    }
}

fn items<'a>(options: Given<'a>, mut args: Args<'a>) -> Result<Warm<'a>, SyntaxError> {
    let count = args.number("ITEMS", 1, MAX_STORED as i64)?;
    let pairs = args.rest();
    if pairs.len() as u64 != 2 * count {
        let why = format!("needs a prompt and a response for each of its {count} items, got {} words", pairs.len());
        return Err(SyntaxError::Unfit("ITEMS", why));
    }
    Ok(Warm::Items(options, pairs))
}

/// How many items one call may bring.
pub const MAX_STORED: usize = 1_000_000;

/// Options from a place on, up to one of these words; checked by themselves. And what is still to be read. `more` reads
/// options that are not SET's.
fn given<'a>(
    words: &'a [&'a [u8]],
    from: usize,
    ends: &[&str],
    bounds: &Bounds,
    mut more: impl FnMut(&str, &mut Args<'a>) -> Result<bool, SyntaxError>,
) -> Result<(Given<'a>, Args<'a>), SyntaxError> {
    let mut given = Vec::new();
    let mut at = from;
    while let Some(word) = words.get(at).copied() {
        let mut args = Args::after(words, at);
        if ends.iter().any(|end| word.eq_ignore_ascii_case(end.as_bytes())) {
            break;
        }
        let name = args.option();
        if more(name.as_ref().map_or("", Token::name), &mut args)? {
            at = words.len() - args.left();
            continue;
        }
        let left = words.get(at..).unwrap_or_default();
        let Some(length) = items::option_length(left) else {
            if name.is_some_and(|name| name.name() == "TOKEN") {
                return Err(SyntaxError::Refused("TOKEN belongs to one answer, give it to LLMCACHE.SET".into()));
            }
            return Err(args.unknown(&[items::NAMES, ACTIONS].concat()));
        };
        let option = left.get(..length).unwrap_or(left);
        given.extend_from_slice(option);
        at += option.len();
    }
    SetOptions::parse(&mut Args::new(&given), bounds)?;
    Ok((Given::of(given), Args::after(words, at)))
}

impl<'a> Plan<'a> {
    fn parse(words: &'a [&'a [u8]], bounds: &Bounds) -> Result<Self, SyntaxError> {
        let mut args = Args::after(words, 2);
        let profile = args.named("PLAN", LABEL_LIMIT)?;
        let (mut every_ms, mut limit, mut hot) = (None, None, None);
        let (options, mut args) = given(words, 3, &["JSON"], bounds, |name, args| {
            match name {
                "EVERY" => once(&mut every_ms, "EVERY", args.seconds("EVERY", 1, bounds.now)?)?,
                "LIMIT" => once(&mut limit, "LIMIT", args.number("LIMIT", 1, i64::from(MAX_OUT))? as u32)?,
                "HOT" => once(&mut hot, "HOT", args.number("HOT", 0, i64::from(MAX_OUT))? as u32)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let every_ms = every_ms.ok_or(SyntaxError::Needs("PLAN", "EVERY seconds"))?;
        if let Some(name) = ["NX", "XX", "REQUEST"].into_iter().find(|name| options.has(name)) {
            return Err(SyntaxError::Contradiction("PLAN", name));
        }
        if args.option().is_none() {
            return Err(SyntaxError::Needs("PLAN", "JSON array"));
        }
        let json = args.value("JSON")?;
        args.finish()?;
        Ok(Self {
            profile,
            every_ms,
            limit: limit.unwrap_or(DEFAULT_LIMIT),
            hot: hot.unwrap_or_default(),
            options,
            json,
        })
    }
}

impl<'a> Due<'a> {
    fn parse(mut args: Args<'a>) -> Result<Self, SyntaxError> {
        let (mut profile, mut count, mut within_ms, mut lease_ms) = (None, None, None, None);
        while let Some(token) = args.option() {
            match token.name() {
                "PROFILE" => once(&mut profile, "PROFILE", args.named("PROFILE", LABEL_LIMIT)?)?,
                "COUNT" => once(&mut count, "COUNT", args.number("COUNT", 1, MAX_ITEMS as i64)? as usize)?,
                "WITHIN" => once(&mut within_ms, "WITHIN", args.seconds("WITHIN", 0, Default::default())?)?,
                "LEASE" => once(&mut lease_ms, "LEASE", args.number("LEASE", 1, MAX_LEASE_MS)?)?,
                _ => return Err(args.unknown(&["PROFILE", "COUNT", "WITHIN", "LEASE"])),
            }
        }
        Ok(Self {
            profile,
            count: count.unwrap_or(10),
            within_ms: within_ms.unwrap_or_default(),
            lease_ms: lease_ms.unwrap_or(60_000),
        })
    }
}

/// The longest lease: a day.
const MAX_LEASE_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::UnixMs;

    const BOUNDS: Bounds = Bounds { now: UnixMs(1_700_000_000_000), max_prompt_bytes: 1000, max_response_bytes: 1000 };

    fn read<T>(line: &str, look: impl FnOnce(Result<Warm<'_>, SyntaxError>) -> T) -> T {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        look(Warm::parse(&words, &BOUNDS))
    }

    fn error(line: &str) -> String {
        read(line, |warm| warm.map_or_else(|e| e.to_string(), |warm| format!("{warm:?}")))
    }

    #[test]
    fn items_follow_their_options() {
        read("k nx type ITEMS tags 2 a JSON EX 10 items 2 p r q s", |warm| {
            let Ok(Warm::Items(options, pairs)) = warm else { panic!("{warm:?}") };
            assert_eq!(pairs, [b"p", b"r", b"q", b"s"]);
            assert!(options.has("NX") && options.has("TYPE") && options.has("EX") && !options.has("XX"));
        });
        read("k Json [] ", |warm| assert!(warm.is_err(), "one word too many"));
        read("k MODEL m Json []", |warm| assert!(matches!(warm, Ok(Warm::Json(_, b"[]")))));
    }

    #[test]
    fn what_is_due_has_defaults() {
        let plain = Due { profile: None, count: 10, within_ms: 0, lease_ms: 60_000 };
        read("k DUE", |warm| assert!(matches!(warm, Ok(Warm::Due(due)) if due == plain)));
        let all = Due { profile: Some(b"p"), count: 2, within_ms: 5000, lease_ms: 7 };
        read("k due LEASE 7 COUNT 2 WITHIN 5 PROFILE p", |warm| {
            assert!(matches!(warm, Ok(Warm::Due(due)) if due == all));
        });
    }

    #[test]
    fn a_plan_has_a_time_and_a_limit() {
        read("k PLAN p LIMIT 7 EX 90 EVERY 60 MODEL m JSON []", |warm| {
            let Ok(Warm::Plan(plan)) = warm else { panic!("{warm:?}") };
            assert_eq!((plan.profile, plan.every_ms, plan.limit, plan.json), (&b"p"[..], 60_000, 7, &b"[]"[..]));
            assert!(plan.options.has("EX"));
        });
        read("k PLAN p EVERY 1 JSON []", |warm| assert!(matches!(warm, Ok(Warm::Plan(plan)) if plan.limit == 3)));
    }

    #[test]
    fn errors_name_what_is_wrong() {
        for (line, wrong) in [
            ("k", "ERR wrong number of arguments"),
            ("k NX", "ERR action must be ITEMS, JSON, PLAN, UNPLAN, STATUS or DUE, got 'NX'"),
            ("k TOKEN t ITEMS 1 p r", "ERR TOKEN belongs to one answer, give it to LLMCACHE.SET"),
            ("k EX 1 ITMES 1 p r", "ERR unknown option 'ITMES' at argument 4, did you mean ITEMS?"),
            (
                "k EX 0 ITEMS 1 p r",
                "ERR EX must be a whole number of seconds, 1 or more, and not beyond the year 9999, got '0'",
            ),
            ("k EX 1 PERSIST JSON []", "ERR EX and PERSIST exclude each other, give one of them"),
            ("k NX NX JSON []", "ERR NX may be given only once"),
            ("k EX", "ERR EX needs a value"),
            ("k TAGS 2 a", "ERR TAGS needs 2 tags after their number, got 1"),
            ("k ITEMS", "ERR ITEMS needs a value"),
            ("k ITEMS 0", "ERR ITEMS must be a whole number from 1 to 1000000, got '0'"),
            ("k ITEMS 2 p r q", "ERR ITEMS needs a prompt and a response for each of its 2 items, got 3 words"),
            ("k ITEMS 1 p r q", "ERR ITEMS needs a prompt and a response for each of its 1 items, got 3 words"),
            ("k JSON", "ERR JSON needs a value"),
            ("k JSON [] EX 1", "ERR unknown option 'EX' at argument 4"),
            ("k REQUEST JSON []", "ERR REQUEST and JSON exclude each other, give one of them"),
            ("k STATUS now", "ERR unknown option 'now' at argument 3"),
            ("k UNPLAN", "ERR UNPLAN needs a value"),
            ("k UNPLAN a b", "ERR unknown option 'b' at argument 4"),
            ("k PLAN", "ERR PLAN needs a value"),
            ("k PLAN p", "ERR PLAN needs EVERY seconds as well"),
            ("k PLAN p EVERY 5", "ERR PLAN needs JSON array as well"),
            ("k PLAN p EVERY 5 NX JSON []", "ERR PLAN and NX exclude each other, give one of them"),
            ("k PLAN p EVERY 5 LIMIT 0 JSON []", "ERR LIMIT must be a whole number from 1 to 10000, got '0'"),
            (
                "k PLAN p EVERY 0 JSON []",
                "ERR EVERY must be a whole number of seconds, 1 or more, and not beyond the year 9999, got '0'",
            ),
            ("k PLAN p EVERY 5 JSON [] x", "ERR unknown option 'x' at argument 8"),
            ("k DUE COUNT 0", "ERR COUNT must be a whole number from 1 to 10000, got '0'"),
            ("k DUE COUNT 1 COUNT 1", "ERR COUNT may be given only once"),
            ("k DUE LEASE 0", "ERR LEASE must be a whole number from 1 to 86400000, got '0'"),
            ("k DUE FOO", "ERR unknown option 'FOO' at argument 3"),
        ] {
            assert_eq!(error(line), wrong, "{line}");
        }
    }
}
