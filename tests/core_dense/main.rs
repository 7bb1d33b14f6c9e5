//! Exact search among the vectors of a context: against a naive twin, at the edges of the arithmetic, and what it takes.
//! A binary of its own, because of the allocator that counts. A failing run names its seed; `LLMCACHE_SEED=n` repeats it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests fail by panicking

#[path = "../counting/mod.rs"]
mod counting;
mod edges;
mod memory;
mod speed;
mod support;
mod twin;
