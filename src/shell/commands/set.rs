//! `SET`.

use super::{fetch, with_codec, Call};
use crate::core::effects::Effects;
use crate::core::storing::Stored;
use crate::shell::failure::Outcome;
use crate::shell::server;
use crate::syntax::set::Set;

pub fn run(call: &Call<'_>) -> Outcome {
    let set = Set::parse(call.words, &call.bounds())?;
    let answer = set.answer();
    let pressure = server::pressure();
    let is_lost = set.token.is_some_and(|token| !fetch::is_holder(call, &answer, token));
    let stored = call.edit(|cache, _| {
        if is_lost {
            return Ok((cache.skip(Stored::ConditionFailed), Effects::default()));
        }
        Ok(with_codec(|codec| cache.set(&answer, call.now, pressure, codec))?)
    })?;
    fetch::tell_waiting(call, &answer, stored);
    match stored {
        Stored::Stored(_) => call.reply().ok(),
        Stored::ConditionFailed | Stored::NoCache | Stored::TooLarge | Stored::AlreadyOver => call.reply().null(),
    }
    Ok(())
}
