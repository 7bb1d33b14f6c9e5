//! The module's sections of the server's INFO.

use super::{registry, server};
use crate::core::counters::Counters;
use redis_module::raw;
use std::ffi::{c_int, CString};

/// Registers the sections.
pub fn register(ctx: &redis_module::Context) {
    raw::register_info_function(ctx.ctx, Some(sections));
}

unsafe extern "C" fn sections(ctx: *mut raw::RedisModuleInfoCtx, _for_crash_report: c_int) {
    super::settle("INFO", || {
        let (mut caches, mut entries, mut memory, mut counters) = (0u64, 0u64, 0u64, Counters::default());
        registry::try_each(|resident| {
            caches += 1;
            entries += resident.cache.store().len() as u64;
            memory += super::datatype::memory(resident) as u64;
            counters.merge(resident.cache.counters());
        });
        if raw::add_info_section(ctx, Some("stats")) == raw::Status::Ok {
            let figures = [
                ("caches", caches),
                ("entries", entries),
                ("memory_bytes", memory),
                ("lookups", counters.lookups),
                ("hits", counters.hits()),
                ("misses", counters.misses()),
                ("stores", counters.stores),
                ("skips", counters.skips),
                ("evictions", counters.evictions),
                ("expirations", counters.expirations),
                ("invalidations", counters.invalidations),
                ("tokens_saved", counters.tokens_saved()),
            ];
            for (name, value) in figures {
                raw::add_info_field_unsigned_long_long(ctx, name, value);
            }
            text(ctx, "cost_saved_usd", &counters.cost_saved.to_string());
            text(ctx, "cost_spent_usd", &counters.cost_spent.to_string());
        }
        if raw::add_info_section(ctx, Some("server")) == raw::Status::Ok {
            text(ctx, "version", env!("CARGO_PKG_VERSION"));
            text(ctx, "lacks", &server::lacks().join("; "));
            text(ctx, "warnings", &server::warnings(false).join("; "));
        }
    });
}

fn text(ctx: *mut raw::RedisModuleInfoCtx, name: &str, value: &str) {
    let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) else { return };
    // SAFETY: the context is that of this INFO; both are C strings.
    unsafe { raw::RedisModule_InfoAddFieldCString.map(|add| add(ctx, name.as_ptr(), value.as_ptr())) };
}
