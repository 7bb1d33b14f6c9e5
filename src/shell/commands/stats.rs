//! `STATS`: what a cache has done, or all caches of this node together.

use super::alert::{self, Firing};
use super::{settle_figures, Call};
use crate::core::counters::Counters;
use crate::core::stats::Stats;
use crate::shell::failure::Outcome;
use crate::shell::keyspace::{Intent, Key};
use crate::shell::registry::{self, Resident};
use crate::shell::reply::{reply_map, Reply};
use crate::shell::{config, datatype};

pub fn run(call: &Call<'_>) -> Outcome {
    let mut total = Stats::default();
    let mut firing = Firing::default();
    if crate::syntax::stats::parse(call.words)? {
        let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
        if let Some(resident) = key.resident() {
            settle_figures(&mut resident.cache);
            add(&mut total, resident);
            firing.add(resident, false, call.now);
        }
    } else {
        let reader = alert::Reader::of(call.ctx);
        registry::each(|resident| {
            add(&mut total, resident);
            if reader.may_read(resident) {
                firing.add(resident, true, call.now);
            }
        });
    }
    show(call, &total, &firing);
    Ok(())
}

fn add(total: &mut Stats, resident: &Resident) {
    total.add(&resident.cache, datatype::memory(resident) as u64);
}

/// The fields in the contract's order.
fn show(call: &Call<'_>, stats: &Stats, firing: &Firing) {
    let c: &Counters = &stats.counters;
    let projection = stats.projection(call.now, config::memory_price());
    reply_map!(call.reply(), {
        "entries" => |r: Reply<'_>| r.count(stats.entries),
        "lookups" => |r: Reply<'_>| r.count(c.lookups),
        "hits" => |r: Reply<'_>| r.count(c.hits()),
        "hits_exact" => |r: Reply<'_>| r.count(c.hits_exact),
        "hits_similar" => |r: Reply<'_>| r.count(c.hits_similar),
        "hits_stale" => |r: Reply<'_>| r.count(c.hits_stale),
        "misses" => |r: Reply<'_>| r.count(c.misses()),
        "miss_absent" => |r: Reply<'_>| r.count(c.miss_absent),
        "miss_expired" => |r: Reply<'_>| r.count(c.miss_expired),
        "miss_threshold" => |r: Reply<'_>| r.count(c.miss_threshold),
        "miss_guard" => |r: Reply<'_>| r.count(c.miss_guard),
        "hit_rate" => |r: Reply<'_>| r.double(c.hit_rate()),
        "coalesced" => |r: Reply<'_>| r.count(c.coalesced),
        "stores" => |r: Reply<'_>| r.count(c.stores),
        "skips" => |r: Reply<'_>| r.count(c.skips),
        "evictions" => |r: Reply<'_>| r.count(c.evictions),
        "expirations" => |r: Reply<'_>| r.count(c.expirations),
        "invalidations" => |r: Reply<'_>| r.count(c.invalidations),
        "feedback_good" => |r: Reply<'_>| r.count(c.feedback_good),
        "feedback_bad" => |r: Reply<'_>| r.count(c.feedback_bad),
        "tokens_saved_in" => |r: Reply<'_>| r.count(c.tokens_saved_in),
        "tokens_saved_out" => |r: Reply<'_>| r.count(c.tokens_saved_out),
        "tokens_saved" => |r: Reply<'_>| r.count(c.tokens_saved()),
        "cost_saved_usd" => |r: Reply<'_>| r.text(c.cost_saved),
        "cost_spent_usd" => |r: Reply<'_>| r.text(c.cost_spent),
        "estimated_share" => |r: Reply<'_>| r.double(c.estimated_share()),
        "latency_saved_ms" => |r: Reply<'_>| r.count(c.latency_saved_ms),
        "saving_per_day_usd" => |r: Reply<'_>| r.text(projection.per_day),
        "saving_per_month_usd" => |r: Reply<'_>| r.text(projection.per_month),
        "saving_per_year_usd" => |r: Reply<'_>| r.text(projection.per_year),
        "memory_cost_per_month_usd" => |r: Reply<'_>| r.text(projection.memory_per_month),
        "roi" => |r: Reply<'_>| r.double(projection.roi),
        "bytes_raw" => |r: Reply<'_>| r.count(stats.bytes_raw),
        "bytes_stored" => |r: Reply<'_>| r.count(stats.bytes_stored),
        "compression_saved" => |r: Reply<'_>| r.double(stats.compression_saved()),
        "memory_bytes" => |r: Reply<'_>| r.count(stats.memory_bytes),
        "memory_per_1k_entries" => |r: Reply<'_>| r.count(stats.memory_per_1k_entries()),
        "alerts" => |r: Reply<'_>| firing.show(r),
    });
}
