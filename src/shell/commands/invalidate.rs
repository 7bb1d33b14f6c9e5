//! `INVALIDATE`.

use super::Call;
use crate::core::effects::Effects;
use crate::shell::failure::Outcome;
use crate::syntax::invalidate::Invalidate;

pub fn run(call: &Call<'_>) -> Outcome {
    let invalidate = Invalidate::parse(call.words, &call.bounds())?;
    let selection = invalidate.selection();
    let count = call.edit(|cache, _| {
        Ok(match (invalidate.dry_run, invalidate.soft) {
            (true, _) => (cache.count_selected(&selection, call.now), Effects::default()),
            (false, true) => cache.make_stale(&selection, call.now),
            (false, false) => cache.invalidate(&selection, call.now),
        })
    })?;
    call.reply().count(count);
    Ok(())
}
