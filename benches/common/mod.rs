//! What the benchmarks share: what is stored and asked, who sends it, and how figures are shown.
//!
//! A benchmark includes this folder beside `harness`, which starts the servers.

// No benchmark uses all of it.
#![allow(dead_code)]

pub mod answers;
pub mod args;
pub mod data;
pub mod figures;
pub mod load;
pub mod prompts;
pub mod random;
pub mod setting;
pub mod vectors;
pub mod watch;
