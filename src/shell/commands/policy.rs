//! `CREATE` and `ALTER`.

use super::Call;
use crate::shell::failure::{Failure, Outcome};
use crate::shell::keyspace::{Intent, Key};
use crate::shell::slices::{self, Part, Step, Told};
use crate::syntax::policy::parse;

pub fn create(call: &Call<'_>) -> Outcome {
    let change = parse(call.words, &call.bounds())?;
    call.edit(|cache, is_new| match is_new {
        true => Ok(((), cache.alter(&change, call.now)?)),
        false => Err(Failure::Exists),
    })?;
    call.reply().ok();
    Ok(())
}

pub fn alter(call: &Call<'_>) -> Outcome {
    let change = parse(call.words, &call.bounds())?;
    let shrinks = call.edit(|cache, is_new| match is_new {
        true => Err(Failure::Missing),
        false => {
            let effects = cache.begin_to_alter(&change, call.now)?;
            Ok((cache.is_shrinking(), effects))
        }
    })?;
    let number = match shrinks {
        true => Key::open(call.ctx, call.key(), Intent::Write)?.resident().map(|resident| resident.number()),
        false => None,
    };
    let Some(cache) = number else {
        call.reply().ok();
        return Ok(());
    };
    let step: Step = Box::new(|cache, now| {
        let effects = cache.shrink(ENTRIES, now);
        Part { effects, count: 0, more: cache.is_shrinking() }
    });
    slices::go_on(call, cache, step, 0, Told::Ok)
}

/// How many entries go at once that no longer fit.
const ENTRIES: usize = 200;
