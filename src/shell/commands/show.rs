//! An entry as several commands show it.

use crate::core::entry::EntryView;
use crate::core::time::UnixMs;
use crate::shell::reply::Reply;
use std::ffi::CStr;

/// How many pairs [`entry_fields`] writes without a match.
pub const ENTRY_FIELDS: usize = 15;

/// The fields of WITHMETA but the response; `matched` says how it was found, where that is told.
pub fn entry_fields(reply: Reply<'_>, entry: &EntryView<'_>, matched: Option<&CStr>, stale: bool, now: UnixMs) {
    let effort = entry.effort();
    let saved_ms = effort.latency_ms.saturating_mul(entry.hits());
    let named = |name: &str| reply.bulk(name.as_bytes());
    named("id");
    reply.text(entry.id());
    named("etag");
    reply.text(format_args!("{:016x}", entry.etag()));
    if let Some(matched) = matched {
        named("match");
        reply.bulk(matched.to_bytes());
        named("similarity");
        reply.double(1.0);
    }
    named("prompt");
    reply.bulk(entry.prompt());
    named("model");
    reply.bulk(entry.context().model);
    named("strategy");
    reply.bulk(entry.strategy());
    named("type");
    reply.optional(entry.typ());
    named("tags");
    reply.array(entry.tags().len());
    entry.tags().for_each(|tag| reply.bulk(tag));
    named("age");
    reply.count(entry.age_seconds(now));
    named("ttl");
    reply.integer(entry.ttl_seconds(now));
    named("stale");
    reply.boolean(stale);
    named("hits");
    reply.count(entry.hits());
    named("tokens_in");
    reply.count(effort.tokens_in);
    named("tokens_out");
    reply.count(effort.tokens_out);
    named("cost_saved_usd");
    reply.text(entry.cost_saved());
    named("latency_saved_ms");
    reply.count(saved_ms);
}
