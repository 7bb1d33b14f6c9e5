//! `INVALIDATE`.

use super::Call;
use crate::shell::failure::Outcome;
use crate::shell::keyspace::{Intent, Key};
use crate::shell::publish::publish;
use crate::syntax::invalidate::Invalidate;

pub fn run(call: &Call<'_>) -> Outcome {
    let invalidate = Invalidate::parse(call.words, &call.bounds())?;
    let selection = invalidate.selection();
    let mut key = Key::open(call.ctx, call.key(), Intent::Write)?;
    let count = key.cache().map_or(0, |cache| {
        if invalidate.dry_run {
            return cache.count_selected(&selection, call.now);
        }
        let (count, effects) = match invalidate.soft {
            true => cache.make_stale(&selection, call.now),
            false => cache.invalidate(&selection, call.now),
        };
        publish(call.ctx, &call.key_name(), cache, &effects);
        count
    });
    call.reply().count(count);
    Ok(())
}
