//! `SET`.

use super::{with_codec, Call};
use crate::core::storing::Stored;
use crate::shell::failure::Outcome;
use crate::shell::server;
use crate::syntax::set::Set;

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
