//! LLMCACHE: a cache for the answers of large language models, inside the Redis server.
//!
//! Three rooms, and data walks through them one way:
//!
//! * [`syntax`] turns the bytes of a command into a typed request. It knows the grammar and nothing else.
//! * [`core`] is the cache itself: a plain value with the clock passed in. It knows nothing of Redis.
//! * `shell` is the only place that knows `redis_module`: it opens the key, calls the core, and turns what the core
//!   says has happened into replies, replication and keyspace events. It decides nothing.
//!
//! The `module` feature holds the shell, so the compiler keeps the wall: `cargo test --no-default-features` builds the
//! other two without a server.

#[cfg(all(test, feature = "module"))]
compile_error!("the unit tests run without the Redis allocator: cargo test --no-default-features");

pub mod core;
#[cfg(feature = "module")]
mod shell;
pub mod syntax;
