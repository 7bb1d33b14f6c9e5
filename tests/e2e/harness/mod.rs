//! What every end-to-end test stands on: real `redis-server` processes, a client that sees every byte, and waits that
//! end in a failure with a reason.
//!
//! * [`Server`] is one process with a port, a folder and a pid of its own; it dies with its value.
//! * [`Pair`] is a primary and its replica; [`Cluster`] is three of these, with the slots among them.
//! * [`Client`] speaks RESP2 or RESP3 over TCP and hands out [`Reply`] values; [`cmd!`] sends one command.
//! * [`until`] polls a condition; nothing here sleeps and hopes.
//!
//! `LLMCACHE_REDIS_SERVER` names the server's binary, `LLMCACHE_SO` the module. Everything is `std`, so that a test
//! builds in seconds and no library's idea of RESP stands between a test and the wire.

// The benchmark includes this folder as well, and uses less of it than the tests do.
#![allow(dead_code, unused_imports, unused_macros)]

mod builder;
mod client;
mod cluster;
mod pair;
mod resp;
mod server;
mod version;

pub use builder::Builder;
pub use client::{Client, Message, ToArg};
pub use cluster::{Cluster, Router};
pub use pair::Pair;
pub use resp::{encode, Reply};
pub use server::Server;
pub use version::{module_path, server_binary, Version};

use std::time::{Duration, Instant};

/// How long a wait may take that should be over at once. Long, because a busy machine is no bug; what should be fast is
/// measured by a test that says so.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A command's arguments as bytes: anything that is [`ToArg`].
macro_rules! args {
    ($($arg:expr),* $(,)?) => {
        vec![$($crate::harness::ToArg::to_arg(&$arg)),*]
    };
}

/// Sends one command and answers its [`Reply`]: `cmd!(client, "LLMCACHE.GET", "faq", prompt)`.
macro_rules! cmd {
    ($client:expr, $($arg:expr),+ $(,)?) => {
        $client.cmd(&[$($crate::harness::ToArg::to_arg(&$arg)),+])
    };
}

pub(crate) use {args, cmd};

/// Waits until `done` holds; panics with `what` when the deadline has passed.
#[track_caller]
pub fn until(what: &str, deadline: Duration, mut done: impl FnMut() -> bool) {
    until_some(what, deadline, || done().then_some(()));
}

/// Waits until `attempt` has a value and answers it; panics with `what` when the deadline has passed.
#[track_caller]
pub fn until_some<T>(what: &str, deadline: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(start.elapsed() < deadline, "waited {:?} in vain: {what}", start.elapsed());
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
