//! `EXPLAIN`: what a GET would answer, and why.

use super::Call;
use crate::core::cache::{Cache, Found, Miss};
use crate::core::entry::Phase;
use crate::shell::failure::Outcome;
use crate::shell::keyspace::{Intent, Key};
use crate::shell::reply::{reply_map, Reply};
use crate::syntax::lookup::Lookup;
use std::time::Instant;

pub fn run(call: &Call<'_>) -> Outcome {
    let started = Instant::now();
    let lookup = Lookup::parse(call.words, &call.bounds())?;
    let parsed = Instant::now();
    let identity = lookup.asked.identity();
    let (digest, context) = (identity.digest(), identity.context.digest());
    let identified = Instant::now();
    let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
    let opened = Instant::now();
    let made = Cache::default();
    let cache = key.cache().map_or(&made, |cache| &*cache);
    let found = cache.find(&digest, &lookup.terms, call.now);
    let looked_up = Instant::now();
    let decision = cache.decide(&identity, lookup.asked.temperature_above_one());
    let decided = Instant::now();
    let (verdict, matched, reason) = match found {
        Found::Entry(_, Phase::Stale) => ("hit", Some("exact"), "stale"),
        Found::Entry(..) => ("hit", Some("exact"), "exact"),
        Found::Miss(Miss::Absent) => ("miss", None, "absent"),
        Found::Miss(Miss::Expired) => ("miss", None, "expired"),
    };
    let micros = |from: Instant, to: Instant| to.duration_since(from).as_nanos() as f64 / 1000.0;
    reply_map!(call.reply(), {
        "verdict" => |r: Reply<'_>| r.bulk(verdict.as_bytes()),
        "match" => |r: Reply<'_>| r.optional(matched.map(str::as_bytes)),
        "reason" => |r: Reply<'_>| r.bulk(reason.as_bytes()),
        "digest" => |r: Reply<'_>| r.text(digest),
        "context" => |r: Reply<'_>| r.text(context),
        "mode" => |r: Reply<'_>| r.bulk(b"exact"),
        "threshold" => |r: Reply<'_>| r.null(),
        "strategy" => |r: Reply<'_>| r.bulk(decision.strategy.name.as_bytes()),
        "rule" => |r: Reply<'_>| r.bulk(decision.rule.as_bytes()),
        "candidates" => |r: Reply<'_>| r.array(0),
        "steps" => |r: Reply<'_>| reply_map!(r, {
            "parse" => |r: Reply<'_>| r.double(micros(started, parsed)),
            "identity" => |r: Reply<'_>| r.double(micros(parsed, identified)),
            "open" => |r: Reply<'_>| r.double(micros(identified, opened)),
            "lookup" => |r: Reply<'_>| r.double(micros(opened, looked_up)),
            "strategy" => |r: Reply<'_>| r.double(micros(looked_up, decided)),
        }),
    });
    Ok(())
}
