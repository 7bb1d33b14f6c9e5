//! `GET`.

use super::show::Shown;
use super::{similar, with_codec, Call};
use crate::core::cache::Got;
use crate::shell::failure::{Failure, Outcome};
use crate::shell::keyspace::{Intent, Key};
use crate::syntax::lookup::Lookup;

pub fn run(call: &Call<'_>) -> Outcome {
    let lookup = Lookup::parse(call.words, &call.bounds())?;
    let intent = if lookup.terms.no_touch { Intent::Peek } else { Intent::Read };
    let mut key = Key::open(call.ctx, call.key(), intent)?;
    let reply = call.reply();
    let Some(resident) = key.resident() else {
        reply.null();
        return Ok(());
    };
    let wanted = lookup.wanted(call.now);
    let Some((found, work)) = similar::find(call, resident, &wanted)? else { return Ok(()) };
    with_codec(|codec| {
        match resident.cache.serve(found, &wanted, codec)? {
            Got::Miss => reply.null(),
            Got::NotModified => reply.simple(c"NOTMODIFIED"),
            Got::Hit { response, .. } if !lookup.with_meta => reply.bulk(response),
            Got::Hit { entry, response, stale, similar } => {
                let matched = similar.map_or(("exact", 1.0), |similarity| ("similar", similarity));
                Shown::default().response(response).entry(&entry, Some(matched), stale, call.now).write(reply);
            }
        }
        Ok::<_, Failure>(())
    })?;
    if !lookup.terms.no_touch {
        resident.cache.ledger_mut().note(work, || call.took());
    }
    Ok(())
}
