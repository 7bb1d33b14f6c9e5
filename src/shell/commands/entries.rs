//! `DEL`, `ENTRY`, `TTL`, `EXPIRE` and `SCAN`.

use super::show::Shown;
use super::{with_codec, Call};
use crate::core::effects::Effects;
use crate::core::entry::Phase;
use crate::shell::failure::{Failure, Outcome};
use crate::shell::keyspace::{Intent, Key};
use crate::syntax::entries::{parse_del, parse_entry, parse_expire, parse_ttl, Scan};

pub fn del(call: &Call<'_>) -> Outcome {
    let ids = parse_del(call.words)?;
    let deleted = call.edit(|cache, _| Ok(cache.delete(&ids, call.now)))?;
    call.reply().count(deleted);
    Ok(())
}

pub fn expire(call: &Call<'_>) -> Outcome {
    let (id, at) = parse_expire(call.words, &call.bounds())?;
    let found = call
        .edit(|cache, _| Ok(id.map_or_else(|| (false, Effects::default()), |id| cache.expire_at(&id, at, call.now))))?;
    call.reply().integer(found.into());
    Ok(())
}

pub fn ttl(call: &Call<'_>) -> Outcome {
    let id = parse_ttl(call.words)?;
    let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
    let entry = key.cache().and_then(|cache| cache.store().view(cache.visible(&id?, call.now)?));
    call.reply().integer(entry.map_or(-2, |entry| entry.ttl_seconds(call.now)));
    Ok(())
}

pub fn entry(call: &Call<'_>) -> Outcome {
    let (id, with_response) = parse_entry(call.words)?;
    let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
    let reply = call.reply();
    with_codec(|codec| {
        let found = key.cache().and_then(|cache| {
            let slot = cache.visible(&id?, call.now)?;
            // So that the sizes shown are those that will stay.
            cache.press_now(slot, codec);
            cache.store().view(slot)
        });
        let Some(entry) = found else {
            reply.null();
            return Ok(());
        };
        let mut shown = Shown::default();
        if with_response {
            shown.response(entry.unpack(codec)?);
        }
        let stale = entry.life().phase(call.now) == Phase::Stale;
        shown.entry(&entry, None, stale, call.now).details(&entry).write(reply);
        Ok::<(), Failure>(())
    })
}

/// How many slots one call looks at, whatever its COUNT: a few milliseconds' work.
const PAGE: u64 = 10_000;

pub fn scan(call: &Call<'_>) -> Outcome {
    let scan = Scan::parse(call.words, &call.bounds())?;
    let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
    let reply = call.reply();
    reply.array(2);
    let Some(cache) = key.cache() else {
        reply.bulk(b"0");
        reply.array(0);
        return Ok(());
    };
    let wanted = |entry: &crate::core::entry::EntryView<'_>| scan.selection.holds(entry, call.now);
    let (cursor, page) = cache.scan(scan.cursor, scan.count.min(PAGE), call.now, wanted);
    reply.text(cursor);
    reply.array(page.len());
    for entry in page {
        reply.array(2);
        reply.text(entry.id());
        reply.bulk(entry.prompt());
    }
    Ok(())
}
