//! `SET`.

use super::{change, with_codec, Call};
use crate::core::storing::Stored;
use crate::core::time::UnixMs;
use crate::shell::failure::{Failure, Outcome};
use crate::shell::publish::replicate;
use crate::shell::server;
use crate::syntax::set::Set;
use redis_module::{raw, Context};

pub fn run(call: &Call<'_>) -> Outcome {
    let set = Set::parse(call.words, &call.bounds())?;
    let answer = set.answer();
    let pressure = server::pressure();
    let stored = call.edit(|cache, _| Ok(with_codec(|codec| cache.set(&answer, call.now, pressure, codec))?))?;
    match stored {
        Stored::Stored(_) => call.reply().ok(),
        Stored::ConditionFailed | Stored::NoCache | Stored::TooLarge | Stored::AlreadyOver => call.reply().null(),
    }
    Ok(())
}

/// Stores one of many, the way of a SET.
pub fn store(ctx: &Context, key: *mut raw::RedisModuleString, set: &Set<'_>, now: UnixMs) -> Result<Stored, Failure> {
    let answer = set.answer();
    let pressure = server::pressure();
    change(
        ctx,
        key,
        |cache, _| Ok(with_codec(|codec| cache.set(&answer, now, pressure, codec))?),
        |name, cache, effects| replicate(ctx, name, cache, effects),
    )
}
