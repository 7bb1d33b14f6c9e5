//! The Redis shell: the only place that knows `redis_module`. It opens keys, calls the core, and turns what the core says
//! into replies, replication and events. It decides nothing.
//!
//! Everything runs on the server's main thread but freeing, which may run on a thread of the server's, and saving, which
//! runs in a forked child (see [`registry`] and [`datatype`]). What the server calls is caught at the border: a panic is
//! logged, and answers an error where there is somebody to answer.

mod access;
pub mod alloc;
mod audience;
mod batch;
mod cluster;
mod commands;
mod config;
mod cron;
mod datatype;
mod docs;
mod events;
mod failure;
mod info;
mod keyspace;
mod leases;
mod log;
mod mend;
mod publish;
mod registry;
mod relief;
mod reply;
mod search;
mod server;
mod slices;
mod stopwatch;
mod worker;

use datatype::LLM_CACHE;
use redis_module::{Context, RedisString, Status};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Loads the module: settings, commands, events, the timer.
fn init(ctx: &Context, args: &[RedisString]) -> Status {
    catch_unwind(AssertUnwindSafe(|| load(ctx, args))).unwrap_or(Status::Err)
}

fn load(ctx: &Context, args: &[RedisString]) -> Status {
    log_panics();
    if let Err(why) = config::register(ctx, args) {
        log::warning(ctx, &format!("the module is not loaded: {why}"));
        return Status::Err;
    }
    let options = redis_module::raw::ModuleOptions::HANDLE_IO_ERRORS
        | redis_module::raw::ModuleOptions::HANDLE_REPL_ASYNC_LOAD
        | redis_module::raw::ModuleOptions::NO_IMPLICIT_SIGNAL_MODIFIED;
    server::set_options(ctx, options);
    if let Err(name) = commands::register(ctx) {
        log::warning(ctx, &format!("the module is not loaded: {name} cannot be registered"));
        return Status::Err;
    }
    crate::core::strategy::content::prepare();
    crate::core::similarity::prepare();
    info::register(ctx);
    events::subscribe(ctx);
    audience::subscribe(ctx);
    server::note_main_thread();
    server::watch_eviction_policy(ctx);
    stopwatch::calibrate();
    cron::start(ctx);
    Status::Ok
}

/// Sends panics to the server's log: where, and nothing of what was being worked on.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        log::detached_warning(&format!("internal error at {place}, please report it"));
    }));
}

/// Runs what nobody waits for; a panic ends it and nothing else.
fn settle(what: &str, work: impl FnOnce()) {
    if mend::guard(work).is_none() {
        log::detached_warning(&format!("{what} was given up after an internal error"));
    }
}

/// What the server calls first.
mod entry {
    #![allow(clippy::disallowed_methods)] // the macro's own, which log nothing that users say
    use super::{alloc, init, LLM_CACHE};
    use redis_module::redis_module;

    redis_module! {
        name: "llmcache",
        version: 100,
        allocator: (alloc::ServerAlloc, alloc::ServerAlloc),
        data_types: [LLM_CACHE],
        init: init,
    }
}
