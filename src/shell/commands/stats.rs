//! `STATS`: what a cache has done, or all caches of this node together. `RESETSTATS` forgets it.

use super::{settle_figures, Call};
use crate::core::ledger::Dimension;
use crate::core::report::{json, prometheus, Figures, Value};
use crate::core::stats::{Breakdown, Scope, Stats};
use crate::shell::access::Reader;
use crate::shell::failure::Outcome;
use crate::shell::keyspace::{Intent, Key};
use crate::shell::registry::{self, Resident};
use crate::shell::reply::{reply_map, Reply};
use crate::shell::{config, datatype};
use crate::syntax::stats::{parse, parse_reset, Format};

pub fn run(call: &Call<'_>) -> Outcome {
    let request = parse(call.words)?;
    let scope = request.asked.scope(call.now, config::memory_price());
    let whose = call.words.first().filter(|_| request.has_key).copied();
    match request.asked.by {
        None => {
            let mut total = Stats::default();
            each(call, whose.is_some(), |resident, memory| total.add(&resident.cache, memory, &scope))?;
            let figures = Figures::new(total, &scope);
            show(call, request.format, whose, &scope, Shown::One(&figures));
        }
        Some(by) => {
            let (mut total, reader) = (Breakdown::new(by), Reader::of(call.ctx));
            each(call, whose.is_some(), |resident, memory| {
                let secret = whose.is_none() && !reader.may_read(&resident.home);
                total.add(&resident.cache, memory, secret, &scope);
            })?;
            let names = Figures::of_names(total, &scope);
            show(call, request.format, whose, &scope, Shown::Names(by, &names));
        }
    }
    Ok(())
}

/// Shows the cache at the key, or every cache, to `look`, with the bytes it takes.
fn each(call: &Call<'_>, has_key: bool, mut look: impl FnMut(&Resident, u64)) -> Outcome {
    let mut look = |resident: &Resident| look(resident, datatype::memory(resident) as u64);
    if has_key {
        let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
        if let Some(resident) = key.resident() {
            settle_figures(&mut resident.cache);
            look(resident);
        }
    } else {
        registry::each(|resident| look(resident));
    }
    Ok(())
}

/// What is to be shown.
enum Shown<'a> {
    One(&'a Figures),
    Names(Dimension, &'a [(Box<[u8]>, Figures)]),
}

fn show(call: &Call<'_>, format: Format, whose: Option<&[u8]>, scope: &Scope, shown: Shown<'_>) {
    let reply = call.reply();
    match (format, shown) {
        (Format::Map, Shown::One(figures)) => map(reply, figures),
        (Format::Map, Shown::Names(_, names)) => {
            reply.map(names.len());
            for (name, figures) in names {
                reply.bulk(name);
                map(reply, figures);
            }
        }
        (Format::Json, Shown::One(figures)) => reply.text(serde_json::Value::Object(object(figures))),
        (Format::Json, Shown::Names(_, names)) => {
            let named = names.iter().map(|(name, figures)| (json::text(name), object(figures).into()));
            reply.text(serde_json::Value::Object(named.collect()));
        }
        (Format::Prometheus, shown) => {
            let cache = whose.map(|key| ("cache", key));
            let window = scope.window.map(|_| call.words).and_then(window_word).map(|word| ("window", word));
            let labels = || cache.into_iter().chain(window);
            let series: Vec<_> = match shown {
                Shown::One(figures) => vec![(labels().collect(), figures)],
                Shown::Names(by, names) => {
                    names.iter().map(|(name, f)| (labels().chain([(by.name(), &**name)]).collect(), f)).collect()
                }
            };
            reply.text(prometheus::exposition(&series, scope.window.is_some()));
        }
    }
}

/// The value of `WINDOW` as it was typed: a whole number.
fn window_word<'a>(words: &[&'a [u8]]) -> Option<&'a [u8]> {
    let at = words.iter().rposition(|word| word.eq_ignore_ascii_case(b"WINDOW"))?;
    words.get(at + 1).copied()
}

fn object(figures: &Figures) -> serde_json::Map<String, serde_json::Value> {
    let mut object = json::object(figures);
    object.insert("alerts".into(), serde_json::Value::Array(Vec::new()));
    object
}

fn map(reply: Reply<'_>, figures: &Figures) {
    reply.map(figures.fields().count() + 1);
    for (field, value) in figures.fields() {
        reply.bulk(field.name.as_bytes());
        match value {
            Value::Count(count) => reply.count(count),
            Value::Real(real) => reply.double(real),
            Value::Usd(usd) => reply.text(usd),
            Value::Times(times) => reply_map!(reply, {
                "p50" => |r: Reply<'_>| r.double(times.p50),
                "p95" => |r: Reply<'_>| r.double(times.p95),
                "p99" => |r: Reply<'_>| r.double(times.p99),
                "max" => |r: Reply<'_>| r.double(times.max),
            }),
        }
    }
    reply.bulk(b"alerts");
    reply.array(0);
}

pub fn reset(call: &Call<'_>) -> Outcome {
    if parse_reset(call.words)? {
        let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
        if let Some(cache) = key.cache() {
            cache.ledger_mut().reset();
        }
    } else {
        registry::each(|resident| resident.cache.ledger_mut().reset());
    }
    call.reply().ok();
    Ok(())
}
