//! `APPLY`: what another node decided, repeated. Replicas and the append-only file send it; what it carries is checked as
//! if anyone had.

use super::{with_codec, Call};
use crate::core::effects::Effects;
use crate::core::pressing::INLINE;
use crate::shell::failure::Outcome;
use crate::syntax::apply::Apply;

pub fn run(call: &Call<'_>) -> Outcome {
    let apply = Apply::parse(call.words)?;
    call.repeat(|cache, _| {
        let effects = match apply {
            Apply::Policy(record) => {
                cache.read_policy(record)?;
                Effects { policy: true, ..Effects::default() }
            }
            Apply::Store(context, entry) => {
                let effects = cache.repeat_store(context, entry, call.now)?;
                // Answers come as they lay with whoever sent them, and he may have compressed them since to keep the limit.
                if cache.is_over() {
                    with_codec(|codec| cache.press_some(INLINE, codec));
                }
                effects
            }
            Apply::Renew(context, entry) => cache.repeat_renewal(context, entry, call.now)?,
            Apply::Lives(record) => cache.repeat_lives(record)?,
            Apply::Counters(record) => {
                cache.read_counters(record)?;
                Effects::default()
            }
            Apply::Feedback(record) => cache.repeat_feedback(record)?,
            Apply::Plan(record) => cache.read_plan(record)?,
            Apply::Unplan(name) => cache.unplan(name).1,
            Apply::Alerts(record) => cache.read_alerts(record)?,
            Apply::Clear => cache.repeat_clear(),
            Apply::Anew(entries) => cache.repeat_anew(entries),
        };
        Ok(((), effects))
    })?;
    call.reply().ok();
    Ok(())
}
