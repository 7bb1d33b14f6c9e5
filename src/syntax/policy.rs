//! `CREATE` and `ALTER`: the options of a cache's policy.

use super::args::{once, Args};
use super::error::SyntaxError;
use super::identity::NAME_LIMIT;
use super::lookup::threshold;
use super::set::LABEL_LIMIT;
use super::Bounds;
use crate::core::money::Price;
use crate::core::policy::{Compress, Evict, Mode, PolicyChange, LEVELS, MAX_PRICES};
use crate::core::similarity::dense::MAX_DIM;
use crate::core::similarity::lexical::Metric;
use crate::core::similarity::Kind;

const KNOWN: &[&str] = &[
    "MODE",
    "SIMILARITY",
    "DIM",
    "METRIC",
    "THRESHOLD",
    "GUARDS",
    "STRATEGY",
    "STALE",
    "JITTER",
    "MAXENTRIES",
    "MAXMEMORY",
    "EVICT",
    "COMPRESS",
    "LEVEL",
    "PRICE",
    "CACHED",
];

/// Where CACHED may stand. Each PRICE reads its own, so one that is met anywhere else belongs to none.
const CACHED_PLACE: &str = "must stand directly behind a PRICE, and only once for each";

/// Reads `key [options]`.
pub fn parse(words: &[&[u8]], bounds: &Bounds) -> Result<PolicyChange, SyntaxError> {
    let mut args = Args::new(words);
    args.positional()?;
    let mut change = PolicyChange::default();
    while let Some(token) = args.option() {
        match token.name() {
            "MODE" => {
                let known = [Mode::Exact, Mode::Similar].map(|mode| (mode.name(), mode));
                once(&mut change.mode, "MODE", choice("MODE", &mut args, &known)?)?;
            }
            "SIMILARITY" => {
                let known = [Kind::Builtin, Kind::Lexical, Kind::Vector].map(|kind| (kind.name(), kind));
                once(&mut change.similarity, "SIMILARITY", choice("SIMILARITY", &mut args, &known)?)?;
            }
            "DIM" => once(&mut change.dim, "DIM", args.number("DIM", 1, MAX_DIM as i64)? as u32)?,
            "METRIC" => {
                let known = Metric::ALL.map(|metric| (metric.name(), metric));
                once(&mut change.metric, "METRIC", choice("METRIC", &mut args, &known)?)?;
            }
            "THRESHOLD" => once(&mut change.threshold, "THRESHOLD", threshold(&mut args)?)?,
            "GUARDS" => {
                let guards = choice("GUARDS", &mut args, &[("on", true), ("off", false)])?;
                once(&mut change.guards, "GUARDS", guards)?;
            }
            "STRATEGY" => {
                let name = args.named("STRATEGY", LABEL_LIMIT)?;
                let text = std::str::from_utf8(name)
                    .map_err(|_| SyntaxError::value("STRATEGY", "the name of a strategy", name))?;
                once(&mut change.strategy, "STRATEGY", text.into())?;
            }
            "STALE" => once(&mut change.stale_ms, "STALE", args.seconds("STALE", 0, bounds.now)?)?,
            "JITTER" => once(&mut change.jitter_percent, "JITTER", args.number("JITTER", 0, 100)? as u8)?,
            "MAXENTRIES" => {
                once(&mut change.max_entries, "MAXENTRIES", args.number("MAXENTRIES", 0, i64::from(u32::MAX))?)?;
            }
            "MAXMEMORY" => once(&mut change.max_memory, "MAXMEMORY", args.number("MAXMEMORY", 0, i64::MAX)?)?,
            "EVICT" => {
                let known = [Evict::Cost, Evict::Lfu, Evict::Lru, Evict::Ttl].map(|evict| (evict.name(), evict));
                once(&mut change.evict, "EVICT", choice("EVICT", &mut args, &known)?)?;
            }
            "COMPRESS" => {
                let known = [Compress::None, Compress::Zstd, Compress::Dict].map(|method| (method.name(), method));
                once(&mut change.compress, "COMPRESS", choice("COMPRESS", &mut args, &known)?)?;
            }
            "LEVEL" => {
                let level = args.number("LEVEL", i64::from(*LEVELS.start()), i64::from(*LEVELS.end()))? as u8;
                once(&mut change.level, "LEVEL", level)?;
            }
            "PRICE" => {
                let model: Box<[u8]> = args.named("PRICE", NAME_LIMIT)?.into();
                let (input_per_mtok, output_per_mtok) = (args.dollars("PRICE")?, args.dollars("PRICE")?);
                let cached_per_mtok = args.skip("CACHED").then(|| args.dollars("CACHED")).transpose()?;
                let price = Price { input_per_mtok, cached_per_mtok, output_per_mtok };
                if change.prices.iter().any(|(there, _)| *there == model) {
                    return Err(SyntaxError::Unfit("PRICE", "may be given only once for each model".into()));
                }
                change.prices.push((model, price));
                if change.prices.len() > MAX_PRICES {
                    return Err(SyntaxError::Unfit("PRICE", format!("may name at most {MAX_PRICES} models")));
                }
            }
            "CACHED" => return Err(SyntaxError::Unfit("CACHED", CACHED_PLACE.into())),
            _ => return Err(args.unknown(KNOWN)),
        }
    }
    Ok(change)
}

/// One of a few words.
fn choice<T: Copy>(name: &'static str, args: &mut Args<'_>, known: &[(&str, T)]) -> Result<T, SyntaxError> {
    let word = args.value(name)?;
    if let Some((_, value)) = known.iter().find(|(known, _)| word.eq_ignore_ascii_case(known.as_bytes())) {
        return Ok(*value);
    }
    let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
    let must = if words.len() == 1 { words.concat() } else { format!("one of {}", words.join(", ")) };
    Err(SyntaxError::value(name, must, word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::money::MicroUsd;
    use crate::core::time::UnixMs;

    fn prices(line: &str) -> Result<Vec<(String, Price)>, String> {
        let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        let bounds = Bounds { now: UnixMs(0), max_prompt_bytes: 100, max_response_bytes: 100 };
        let change = parse(&words, &bounds).map_err(|error| error.to_string())?;
        Ok(change.prices.into_iter().map(|(model, price)| (String::from_utf8(model.into()).unwrap(), price)).collect())
    }

    #[test]
    fn a_price_may_have_a_cached_one_directly_behind_it() {
        let usd = |text: &str| MicroUsd::parse(text.as_bytes()).unwrap();
        let price = |model: &str, input, output, cached: Option<&str>| {
            let price =
                Price { input_per_mtok: usd(input), cached_per_mtok: cached.map(usd), output_per_mtok: usd(output) };
            (model.to_owned(), price)
        };
        for (line, expected) in [
            ("k", vec![]),
            ("k PRICE a 2.5 10", vec![price("a", "2.5", "10", None)]),
            ("k PRICE a 2.5 10 CACHED 1.25", vec![price("a", "2.5", "10", Some("1.25"))]),
            ("k price a 2.5 10 cached 0 STALE 5", vec![price("a", "2.5", "10", Some("0"))]),
            (
                "k PRICE a 1 2 PRICE b 3 4 CACHED 1e-6 PRICE c 5 6",
                vec![price("a", "1", "2", None), price("b", "3", "4", Some("0.000001")), price("c", "5", "6", None)],
            ),
            ("k PRICE CACHED 1 2 CACHED 3", vec![price("CACHED", "1", "2", Some("3"))]),
        ] {
            assert_eq!(prices(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn a_cached_price_that_belongs_to_nothing_is_an_error() {
        let place = "ERR CACHED must stand directly behind a PRICE, and only once for each";
        let amount = "must be an amount of US dollars such as 0.0125, 0 or more, got";
        for (line, expected) in [
            ("k CACHED 1", place),
            ("k CACHED 1 PRICE a 1 2", place),
            ("k PRICE a 1 2 STALE 5 CACHED 1", place),
            ("k PRICE a 1 2 CACHED 1 CACHED 1", place),
            ("k PRICE a 1 2 CACHED 1 STALE 5 CACHED 1", place),
            ("k PRICE a 1 2 CACHED", "ERR CACHED needs a value"),
            ("k PRICE a 1 2 CACHED -1", &format!("ERR CACHED {amount} '-1'")),
            ("k PRICE a 1 2 CACHED PRICE b 1 2", &format!("ERR CACHED {amount} 'PRICE'")),
            ("k PRICE a 1 CACHED 1", &format!("ERR PRICE {amount} 'CACHED'")),
            ("k PRICE a 1 2 CACHE 1", "ERR unknown option 'CACHE' at argument 6, did you mean CACHED?"),
            ("k PRICE a 1 2 CACHED 1 PRICE a 1 2", "ERR PRICE may be given only once for each model"),
        ] {
            assert_eq!(prices(line), Err(expected.to_owned()), "{line}");
        }
    }
}
