//! `INVALIDATE`.

use super::Call;
use crate::core::effects::Effects;
use crate::core::invalidation::Deed;
use crate::shell::failure::{Failure, Outcome};
use crate::shell::keyspace::{Intent, Key};
use crate::shell::slices::{self, Part, Step, Told};
use crate::syntax::invalidate::Invalidate;
use redis_module::RedisString;

/// How many slots a slice looks at before it looks at the clock.
const SLOTS: u64 = 500;

pub fn run(call: &Call<'_>) -> Outcome {
    let invalidate = Invalidate::parse(call.words, &call.bounds())?;
    let selection = invalidate.selection();
    let deed = match (invalidate.dry_run, invalidate.soft) {
        (true, _) => Deed::Count,
        (false, true) => Deed::Stale,
        (false, false) => Deed::Remove,
    };
    if let Some((cache, step)) = in_slices(call, &invalidate, deed)? {
        return slices::go_on(call, cache, step, 0, Told::Count);
    }
    let count = call.edit(|cache, _| {
        Ok(match deed {
            Deed::Count => (cache.count_selected(&selection, call.now), Effects::default()),
            Deed::Stale => cache.make_stale(&selection, call.now),
            Deed::Remove => cache.invalidate(&selection, call.now),
        })
    })?;
    call.reply().count(count);
    Ok(())
}

/// The steps of an invalidation that would keep everybody else waiting, and of which cache.
fn in_slices(call: &Call<'_>, invalidate: &Invalidate<'_>, deed: Deed) -> Result<Option<(u64, Step)>, Failure> {
    let mut key = Key::open(call.ctx, call.key(), Intent::Write)?;
    let Some(resident) = key.resident() else { return Ok(None) };
    let Some(mut sweep) = resident.cache.long_sweep(&invalidate.selection(), deed, call.now) else { return Ok(None) };
    // The words are kept beyond the command, and are known to be right.
    let words: Vec<RedisString> = call.last_words(call.words.len()).collect();
    let bounds = call.bounds();
    let step: Step = Box::new(move |cache, now| {
        let slices: Vec<&[u8]> = words.iter().map(RedisString::as_slice).collect();
        let Ok(invalidate) = Invalidate::parse(&slices, &bounds) else {
            return Part { effects: Effects::default(), count: 0, more: false };
        };
        let (count, more, effects) = cache.sweep(&invalidate.selection(), &mut sweep, SLOTS, now);
        Part { effects, count, more }
    });
    Ok(Some((resident.number(), step)))
}
