//! `APPLY`: what another node decided, repeated. Replicas and the append-only file send it; what it carries is checked as
//! if anyone had.

use super::{with_codec, Call};
use crate::core::effects::Effects;
use crate::core::pressing::INLINE;
use crate::shell::failure::Outcome;
use crate::shell::log;
use crate::syntax::apply::Apply;
use redis_module::ContextFlags;

pub fn run(call: &Call<'_>) -> Outcome {
    let applied = repeat(call);
    let flags = call.ctx.get_flags();
    if let (Err(why), true) = (&applied, flags.intersects(ContextFlags::LOADING | ContextFlags::REPLICATED)) {
        log::warning(call.ctx, &format!("a record of the primary's or of the append-only file is left out: {why}"));
    }
    applied
}

fn repeat(call: &Call<'_>) -> Outcome {
    let apply = Apply::parse(call.words)?;
    call.repeat(|cache, _| {
        let effects = match apply {
            Apply::Policy(record) => {
                cache.read_policy(record)?;
                Effects { policy: true, ..Effects::default() }
            }
            Apply::Store(context, entry, id) => {
                let effects = cache.repeat_store(context, entry, id, call.now)?;
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
