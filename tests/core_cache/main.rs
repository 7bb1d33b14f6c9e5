//! The cache as a plain value, tested hard and without a server.
//!
//! Random runs print their seed; `LLMCACHE_SEED=n cargo test --no-default-features --test core_cache` repeats one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests fail by panicking

mod costs;
mod day;
mod dictionaries;
mod effects;
mod evict;
mod exercise;
mod expiry;
mod fixture;
mod fixture_v2;
mod fixture_v3;
mod fixture_v4;
mod fixture_v5;
mod hostile;
mod limits;
mod mending;
mod model;
mod ops;
mod persist;
mod relocation;
mod speed;
mod support;
mod twin;
