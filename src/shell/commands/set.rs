//! `SET`.

use super::{with_codec, Call};
use crate::core::cache::Cache;
use crate::core::storing::Stored;
use crate::shell::failure::Outcome;
use crate::shell::keyspace::{home, Intent, Key};
use crate::shell::publish::publish;
use crate::shell::server;
use crate::syntax::set::Set;

pub fn run(call: &Call<'_>) -> Outcome {
    let set = Set::parse(call.words, &call.bounds())?;
    let answer = set.answer();
    let mut key = Key::open(call.ctx, call.key(), Intent::Write)?;
    let pressure = server::pressure();
    let name = call.key_name();
    let mut made = Cache::default();
    let there = key.cache();
    let is_new = there.is_none();
    let cache = there.unwrap_or(&mut made);
    let (stored, mut effects) = with_codec(|codec| cache.set(&answer, call.now, pressure, codec))?;
    effects.policy |= is_new && effects.stored.is_some();
    publish(call.ctx, &name, cache, &effects);
    if is_new && effects.stored.is_some() {
        key.place(made, home(call.ctx, name.as_slice()));
    }
    match stored {
        Stored::Stored(_) => call.reply().ok(),
        Stored::ConditionFailed | Stored::NoCache | Stored::TooLarge | Stored::AlreadyOver => call.reply().null(),
    }
    Ok(())
}
