//! The cache as a plain value: no Redis, no clock, no globals, no I/O, no unsafe.
#![forbid(unsafe_code)]

pub mod alerts;
pub mod cache;
pub mod census;
pub mod codec;
pub mod dictionary;
pub mod effects;
pub mod entry;
pub mod eviction;
pub mod feedback;
pub mod glob;
pub mod hot;
pub mod identity;
mod interner;
pub mod invalidation;
pub mod json;
pub mod lease;
pub mod ledger;
pub mod matching;
mod memory;
pub mod money;
pub mod persist;
pub mod plans;
pub mod policy;
pub mod pressing;
pub mod report;
pub mod request;
pub mod serving;
mod shortcuts;
pub mod similarity;
pub mod stats;
pub mod store;
pub mod storing;
pub mod strategy;
pub mod time;
pub mod training;
pub mod wire;
