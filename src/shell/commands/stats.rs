//! `STATS`: what a cache has done, or all caches of this node together. `RESETSTATS` forgets it.

use super::alert::Firing;
use super::{settle_figures, Call};
use crate::core::alerts::Alert;
use crate::core::ledger::Dimension;
use crate::core::report::prometheus::{self, Extent, Label};
use crate::core::report::{json, Figures, Value};
use crate::core::stats::{Breakdown, Stats, OTHER};
use crate::shell::access::Reader;
use crate::shell::failure::Outcome;
use crate::shell::keyspace::{Intent, Key};
use crate::shell::registry::{self, Resident};
use crate::shell::reply::{reply_map, Reply};
use crate::shell::{config, datatype};
use crate::syntax::stats::{parse, parse_reset, Format};
use serde_json::Value as Json;

pub fn run(call: &Call<'_>) -> Outcome {
    let request = parse(call.words)?;
    let scope = request.asked.scope(call.now, config::memory_price());
    let whose = call.words.first().filter(|_| request.has_key).copied();
    // Who asks for all caches sees sums; names are shown only of those that the user may read.
    let reader = whose.is_none().then(|| Reader::of(call.ctx));
    let may_read = |resident: &Resident| reader.as_ref().is_none_or(|reader| reader.may_read(&resident.home));
    let mut firing = Firing::default();
    let mut alerts = |resident: &Resident, readable: &dyn Fn(&Resident) -> bool| {
        if resident.cache.alerts().list().iter().any(Alert::is_firing) && readable(resident) {
            firing.add(resident, whose.is_none(), call.now);
        }
    };
    let shown = match request.asked.by {
        None => {
            let mut total = Stats::default();
            each(call, whose.is_some(), |resident, memory| {
                total.add(&resident.cache, memory, &scope);
                alerts(resident, &may_read);
            })?;
            Told::All(Box::new(Figures::new(total, &scope)))
        }
        Some(by) => {
            let mut total = Breakdown::new(by);
            each(call, whose.is_some(), |resident, memory| {
                total.add(&resident.cache, memory, !may_read(resident), &scope);
            })?;
            Told::Names(by, Figures::of_names(total, &scope))
        }
    };
    match request.format {
        Format::Map => shown.reply(call.reply(), &firing),
        Format::Json => call.reply().text(shown.json(&firing)),
        Format::Prometheus => {
            let cache = whose.map(|key| ("cache", key));
            let window = request.asked.window_s.map(|seconds| seconds.to_string());
            let labels = cache.into_iter().chain(window.as_ref().map(|window| ("window", window.as_bytes())));
            call.reply().text(shown.exposition(&labels.collect::<Vec<_>>(), &firing));
        }
    }
    Ok(())
}

/// Shows the cache at the key, or every cache, to `look`, with the bytes it takes.
fn each(call: &Call<'_>, has_key: bool, mut look: impl FnMut(&Resident, u64)) -> Outcome {
    let mut look = |resident: &mut Resident| {
        resident.cache.ledger_mut().book();
        look(resident, datatype::memory(resident) as u64);
    };
    if has_key {
        let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
        if let Some(resident) = key.resident() {
            settle_figures(&mut resident.cache);
            look(resident);
        }
    } else {
        registry::each(look);
    }
    Ok(())
}

/// What is told: figures of all, or of each name. Alerts are about whole caches, and not told by name.
enum Told {
    All(Box<Figures>),
    Names(Dimension, Vec<(Box<[u8]>, Figures)>),
}

impl Told {
    fn reply(&self, reply: Reply<'_>, firing: &Firing) {
        match self {
            Self::All(figures) => show(reply, figures, firing),
            Self::Names(_, names) => {
                reply.map(names.len());
                for (name, figures) in names {
                    reply.bulk(name);
                    show(reply, figures, firing);
                }
            }
        }
    }

    fn json(&self, firing: &Firing) -> Json {
        let object = |figures| {
            let mut object = json::object(figures);
            object.insert("alerts".into(), firing.json());
            Json::Object(object)
        };
        match self {
            Self::All(figures) => object(figures),
            Self::Names(_, names) => {
                Json::Object(names.iter().map(|(name, figures)| (json::text(name), object(figures))).collect())
            }
        }
    }

    fn exposition(&self, labels: &[Label<'_>], firing: &Firing) -> String {
        let window = labels.iter().any(|(name, _)| *name == "window");
        match self {
            Self::All(figures) => {
                let mut text =
                    prometheus::exposition(&[(labels.to_vec(), figures)], None, Extent { window, names: false });
                let cache = labels.iter().find_map(|(name, cache)| (*name == "cache").then_some(*cache));
                let alerts: Vec<Vec<Label<'_>>> = firing
                    .names()
                    .map(|(key, name)| {
                        let cache = key.or(cache).map(|cache| ("cache", cache));
                        cache.into_iter().chain([("alert", name)]).collect()
                    })
                    .collect();
                prometheus::flags(&mut text, "llmcache_alert_firing", "Alerts that fire", &alerts);
                text
            }
            Self::Names(by, names) => {
                let rest = names.iter().position(|(name, _)| **name == *OTHER);
                let series: Vec<(Vec<Label<'_>>, _)> = names
                    .iter()
                    .map(|(name, figures)| (labels.iter().copied().chain([(by.name(), &**name)]).collect(), figures))
                    .collect();
                prometheus::exposition(&series, rest, Extent { window, names: true })
            }
        }
    }
}

fn show(reply: Reply<'_>, figures: &Figures, firing: &Firing) {
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
    firing.show(reply);
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
