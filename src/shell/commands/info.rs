//! `INFO`: what a cache is.

use super::alert::show_alerts;
use super::strategy::{show_rules, show_strategies};
use super::{settle_figures, Call};
use crate::core::dictionary::{Dictionaries, Shown};
use crate::shell::datatype::memory;
use crate::shell::failure::Outcome;
use crate::shell::keyspace::{Intent, Key};
use crate::shell::leases;
use crate::shell::reply::{reply_map, Reply};
use crate::shell::server;
use crate::syntax::stats::parse_info;

pub fn run(call: &Call<'_>) -> Outcome {
    parse_info(call.words)?;
    let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
    let key_expires = key.expires();
    let Some(resident) = key.resident() else {
        call.reply().null();
        return Ok(());
    };
    settle_figures(&mut resident.cache);
    let bytes = memory(resident);
    let (held, waiting) = leases::at(&resident.home, call.now);
    let cache = &resident.cache;
    let (policy, store) = (cache.policy(), cache.store());
    let (raw, stored) = store.answer_bytes();
    reply_map!(call.reply(), {
        "mode" => |r: Reply<'_>| r.bulk(policy.mode.name().as_bytes()),
        "similarity" => |r: Reply<'_>| r.bulk(policy.similarity.name().as_bytes()),
        "dim" => |r: Reply<'_>| policy.dim.map_or_else(|| r.null(), |dim| r.count(dim.into())),
        "metric" => |r: Reply<'_>| r.bulk(policy.metric.name().as_bytes()),
        "threshold" => |r: Reply<'_>| r.double(policy.threshold()),
        "guards" => |r: Reply<'_>| r.bulk(if policy.guards { b"on" } else { b"off" }),
        "strategy" => |r: Reply<'_>| r.bulk(policy.strategy.as_bytes()),
        "stale" => |r: Reply<'_>| r.count(policy.stale_ms / 1000),
        "jitter" => |r: Reply<'_>| r.count(policy.jitter_percent.into()),
        "maxentries" => |r: Reply<'_>| r.count(policy.max_entries),
        "maxmemory" => |r: Reply<'_>| r.count(policy.max_memory),
        "evict" => |r: Reply<'_>| r.bulk(policy.evict.name().as_bytes()),
        "compress" => |r: Reply<'_>| r.bulk(policy.compress.name().as_bytes()),
        "level" => |r: Reply<'_>| r.count(policy.level.into()),
        "price" => |r: Reply<'_>| {
            r.map(policy.prices.len());
            for (model, price) in &policy.prices {
                r.bulk(model);
                r.array(2 + usize::from(price.cached_per_mtok.is_some()));
                r.text(price.input_per_mtok);
                r.text(price.output_per_mtok);
                price.cached_per_mtok.into_iter().for_each(|cached| r.text(cached));
            }
        },
        "entries" => |r: Reply<'_>| r.count(store.len() as u64),
        "contexts" => |r: Reply<'_>| r.count(store.contexts_len() as u64),
        "leases" => |r: Reply<'_>| r.count(held as u64),
        "waiting" => |r: Reply<'_>| r.count(waiting as u64),
        "memory_bytes" => |r: Reply<'_>| r.count(bytes as u64),
        "memory" => |r: Reply<'_>| reply_map!(r, {
            "entries" => |r: Reply<'_>| r.count((cache.entries_memory() - store.hot().bytes) as u64),
            "hot" => |r: Reply<'_>| r.count(store.hot().bytes as u64),
            "index" => |r: Reply<'_>| r.count(store.likeness_memory() as u64),
            "dictionaries" => |r: Reply<'_>| r.count(store.dictionaries().memory() as u64),
            "shared" => |r: Reply<'_>| r.count(store.shared_memory() as u64),
            "policy" => |r: Reply<'_>| r.count((cache.policy_memory() - cache.statistics_memory()) as u64),
            "statistics" => |r: Reply<'_>| r.count(cache.statistics_memory() as u64),
        }),
        "bytes_raw" => |r: Reply<'_>| r.count(raw),
        "bytes_stored" => |r: Reply<'_>| r.count(stored),
        "compression_ratio" => |r: Reply<'_>| r.double(if stored == 0 { 1.0 } else { raw as f64 / stored as f64 }),
        "dictionaries" => |r: Reply<'_>| show_dictionaries(r, store.dictionaries()),
        "index" => |r: Reply<'_>| {
            let index = store.likeness();
            let state = match index {
                None => "none",
                Some(_) if cache.has_partial_index() => "partial",
                Some(_) if store.is_indexing() => "building",
                Some(_) => "ready",
            };
            reply_map!(r, {
                "state" => |r: Reply<'_>| r.bulk(state.as_bytes()),
                "entries" => |r: Reply<'_>| r.count(index.map_or(0, |index| index.len()) as u64),
                "search" => |r: Reply<'_>| r.bulk(b"exact"),
                "feedback" => |r: Reply<'_>| r.count(cache.feedback().pairs().len() as u64),
            });
        },
        "strategies" => |r: Reply<'_>| show_strategies(r, cache.strategies()),
        "rules" => |r: Reply<'_>| show_rules(r, cache.strategies()),
        "alerts" => |r: Reply<'_>| show_alerts(r, cache, call.now),
        "warnings" => |r: Reply<'_>| texts(r, &server::warnings(key_expires)),
        "server_lacks" => |r: Reply<'_>| texts(r, &server::lacks()),
        "version" => |r: Reply<'_>| r.bulk(env!("CARGO_PKG_VERSION").as_bytes()),
    });
    Ok(())
}

/// The oldest first; what new answers are compressed with is `current`.
fn show_dictionaries(reply: Reply<'_>, dictionaries: &Dictionaries) {
    reply.array(dictionaries.len());
    for Shown { dictionary, users, is_current } in dictionaries.list() {
        let facts = dictionary.facts();
        reply_map!(reply, {
            "version" => |r: Reply<'_>| r.count(facts.version.into()),
            "state" => |r: Reply<'_>| r.bulk(if is_current { b"current" } else { b"older" }),
            "bytes" => |r: Reply<'_>| r.count(dictionary.content_len() as u64),
            "memory" => |r: Reply<'_>| r.count(dictionary.memory() as u64),
            "entries" => |r: Reply<'_>| r.count(users.into()),
            "samples" => |r: Reply<'_>| r.count(facts.samples.into()),
            "ratio" => |r: Reply<'_>| r.double(f64::from(facts.tried_raw) / f64::from(facts.tried_stored.max(1))),
        });
    }
}

fn texts(reply: Reply<'_>, texts: &[&str]) {
    reply.array(texts.len());
    texts.iter().for_each(|text| reply.bulk(text.as_bytes()));
}
