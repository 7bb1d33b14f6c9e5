//! `FEEDBACK`.

use super::Call;
use crate::shell::failure::Outcome;
use crate::syntax::feedback::Said;

pub fn run(call: &Call<'_>) -> Outcome {
    let said = Said::parse(call.words, &call.bounds())?;
    let prompt = said.prompt();
    let noted = call.edit(|cache, _| {
        let (noted, effects) =
            said.id.map_or_else(Default::default, |id| cache.note(&id, said.opinion, prompt.as_ref(), call.now));
        Ok((noted, effects))
    })?;
    match noted {
        Some(()) => call.reply().ok(),
        None => call.reply().null(),
    }
    Ok(())
}
