//! `SET`.

use super::{fetch, with_codec, Call};
use crate::core::effects::Effects;
use crate::core::ledger::latency::Work;
use crate::core::storing::Stored;
use crate::core::time::UnixMs;
use crate::shell::failure::{Failure, Outcome};
use crate::shell::keyspace::home;
use crate::shell::relief::{self, Terms};
use crate::syntax::set::Set;
use redis_module::{raw, Context, RedisString};

pub fn run(call: &Call<'_>) -> Outcome {
    let set = Set::parse(call.words, &call.bounds())?;
    match store(call.ctx, call.key(), &set, call.now, Some(call))? {
        Stored::Stored(_) => call.reply().ok(),
        Stored::ConditionFailed | Stored::NoCache | Stored::TooLarge | Stored::AlreadyOver => call.reply().null(),
    }
    Ok(())
}

/// Stores an answer at a key of the context's database, and tells those who wait for it. `timed` is the command that does
/// nothing else; as it came it says the same, unless its token means something on this node only.
pub fn store(
    ctx: &Context,
    key: *mut raw::RedisModuleString,
    set: &Set<'_>,
    now: UnixMs,
    timed: Option<&Call<'_>>,
) -> Result<Stored, Failure> {
    let answer = set.answer();
    let home = home(ctx, RedisString::string_as_slice(key));
    let terms = Terms::of(&home);
    let is_lost = set.token.is_some_and(|token| !fetch::is_holder(&home, &answer, token, now));
    let stored = super::edit(ctx, key, timed.is_some() && set.token.is_none(), |cache, _| {
        if is_lost {
            return Ok((cache.skip_lost(&answer, now), Effects::default()));
        }
        let pressure = terms.pressure(cache);
        let before = relief::owes(pressure).then(|| cache.memory());
        let stored = with_codec(|codec| cache.set(&answer, now, pressure, codec))?;
        before.into_iter().for_each(|before| relief::owe(before, cache.memory()));
        if let Some(call) = timed {
            cache.ledger_mut().note(Work::Set, || call.took());
        }
        Ok(stored)
    })?;
    fetch::tell_waiting(ctx, key, &home, &answer, stored, now);
    Ok(stored)
}
