//! The module from the outside: real servers, real connections, one file a concern.
//!
//! `cargo build --release`, then `cargo test --no-default-features --features e2e --test e2e`.

#![allow(clippy::useless_vec, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod harness;
mod support;

mod alerts;
mod audience;
mod bombs;
mod cluster;
mod costs;
mod crowd;
mod dictionaries;
mod errors;
mod events;
mod explain;
mod faults;
mod feedback;
mod harness_itself;
mod identity;
mod isolation;
mod kinds;
mod lexical;
mod lifecycle;
mod limits_under_load;
mod load;
mod lookup;
mod memory;
mod panics;
mod payloads;
mod persistence;
mod policy;
mod pressure;
mod privacy;
mod readme;
mod removal;
mod replication;
mod room;
mod searches;
mod server;
mod similar;
mod slices;
mod soak;
mod stats;
mod stats_by;
mod stats_day;
mod stats_formats;
mod stats_kept;
mod stats_readers;
mod storing;
mod strategies;
mod together;
mod transactions;
mod vectors;
mod warm;
mod warm_plans;
