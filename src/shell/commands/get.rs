//! `GET`.

use super::show::Shown;
use super::{with_codec, Call};
use crate::core::cache::Got;
use crate::shell::failure::Outcome;
use crate::shell::keyspace::{Intent, Key};
use crate::syntax::lookup::Lookup;

pub fn run(call: &Call<'_>) -> Outcome {
    let lookup = Lookup::parse(call.words, &call.bounds())?;
    let intent = if lookup.terms.no_touch { Intent::Peek } else { Intent::Read };
    let mut key = Key::open(call.ctx, call.key(), intent)?;
    let reply = call.reply();
    let Some(cache) = key.cache() else {
        reply.null();
        return Ok(());
    };
    let digest = lookup.asked.identity().digest();
    with_codec(|codec| {
        match cache.get(&digest, &lookup.terms, call.now, codec)? {
            Got::Miss => reply.null(),
            Got::NotModified => reply.simple(c"NOTMODIFIED"),
            Got::Hit { response, .. } if !lookup.with_meta => reply.bulk(response),
            Got::Hit { entry, response, stale } => {
                Shown::default().response(response).entry(&entry, Some("exact"), stale, call.now).write(reply);
            }
        }
        Ok(())
    })
}
