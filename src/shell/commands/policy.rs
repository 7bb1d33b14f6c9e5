//! `CREATE` and `ALTER`.

use super::Call;
use crate::shell::failure::{Failure, Outcome};
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
    call.edit(|cache, is_new| match is_new {
        true => Err(Failure::Missing),
        false => Ok(((), cache.alter(&change, call.now)?)),
    })?;
    call.reply().ok();
    Ok(())
}
