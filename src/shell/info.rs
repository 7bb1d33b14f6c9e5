//! The module's sections of the server's INFO.

use super::{config, registry, server};
use crate::core::report::{Asked, Figures, Value};
use crate::core::stats::Stats;
use redis_module::raw;
use std::ffi::{c_int, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Registers the sections.
pub fn register(ctx: &redis_module::Context) {
    raw::register_info_function(ctx.ctx, Some(sections));
}

unsafe extern "C" fn sections(ctx: *mut raw::RedisModuleInfoCtx, for_crash_report: c_int) {
    let tell = || {
        let scope = Asked { by: None, window_s: None }.scope(server::now(), config::memory_price());
        let (mut caches, mut firing, mut total) = (0u64, 0u64, Stats::default());
        if for_crash_report == 0 {
            registry::each(|resident| resident.cache.ledger_mut().book());
        }
        registry::try_each(|resident| {
            caches += 1;
            // After a crash nothing may be allocated, and no cache trusted.
            if for_crash_report == 0 {
                firing += resident.cache.alerts().list().iter().filter(|alert| alert.is_firing()).count() as u64;
                total.add(&resident.cache, super::datatype::memory(resident) as u64, &scope);
            }
        });
        if raw::add_info_section(ctx, Some("stats")) == raw::Status::Ok {
            raw::add_info_field_unsigned_long_long(ctx, "caches", caches);
            raw::add_info_field_unsigned_long_long(ctx, "alerts_firing", firing);
            for (field, value) in Figures::new(total, &scope).fields() {
                match value {
                    Value::Count(count) => {
                        raw::add_info_field_unsigned_long_long(ctx, field.name, count);
                    }
                    Value::Real(real) => text(ctx, field.name, &real.to_string()),
                    Value::Usd(usd) => text(ctx, field.name, &usd.to_string()),
                    Value::Times(times) => {
                        let parts = [("p50", times.p50), ("p95", times.p95), ("p99", times.p99), ("max", times.max)];
                        for (part, micros) in parts {
                            text(ctx, &format!("{}_{part}", field.name), &micros.to_string());
                        }
                    }
                }
            }
        }
        if raw::add_info_section(ctx, Some("server")) == raw::Status::Ok {
            text(ctx, "version", env!("CARGO_PKG_VERSION"));
            text(ctx, "lacks", &server::lacks().join("; "));
            text(ctx, "warnings", &server::warnings(false).join("; "));
        }
    };
    match for_crash_report {
        0 => super::settle("INFO", tell),
        // Nothing is mended in a server that ends, and no lock is waited for.
        _ => drop(catch_unwind(AssertUnwindSafe(tell))),
    }
}

fn text(ctx: *mut raw::RedisModuleInfoCtx, name: &str, value: &str) {
    let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) else { return };
    // SAFETY: the context is that of this INFO; both are C strings.
    unsafe { raw::RedisModule_InfoAddFieldCString.map(|add| add(ctx, name.as_ptr(), value.as_ptr())) };
}
