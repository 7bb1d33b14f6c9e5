//! `CREATE` and `ALTER`.

use super::Call;
use crate::core::cache::Cache;
use crate::shell::failure::{Failure, Outcome};
use crate::shell::keyspace::{home, Intent, Key};
use crate::shell::publish::publish;

pub fn create(call: &Call<'_>) -> Outcome {
    let change = crate::syntax::policy::parse(call.words, &call.bounds())?;
    let mut key = Key::open(call.ctx, call.key(), Intent::Write)?;
    if key.cache().is_some() {
        return Err(Failure::Exists);
    }
    let mut cache = Cache::default();
    let effects = cache.alter(&change, call.now)?;
    let name = call.key_name();
    publish(call.ctx, &name, &cache, &effects);
    key.place(cache, home(call.ctx, name.as_slice()));
    call.reply().ok();
    Ok(())
}

pub fn alter(call: &Call<'_>) -> Outcome {
    let change = crate::syntax::policy::parse(call.words, &call.bounds())?;
    let mut key = Key::open(call.ctx, call.key(), Intent::Write)?;
    let cache = key.cache().ok_or(Failure::Missing)?;
    let effects = cache.alter(&change, call.now)?;
    publish(call.ctx, &call.key_name(), cache, &effects);
    call.reply().ok();
    Ok(())
}
