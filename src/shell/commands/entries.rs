//! `DEL`, `ENTRY`, `TTL`, `EXPIRE` and `SCAN`.

use super::show::{entry_fields, ENTRY_FIELDS};
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
        let response = if with_response { Some(codec.unpack(entry.packed())?) } else { None };
        let (context, effort) = (entry.context(), entry.effort());
        let named = |name: &str| reply.bulk(name.as_bytes());
        reply.map(usize::from(with_response) + ENTRY_FIELDS + 10);
        if let Some(response) = response {
            named("response");
            reply.bulk(response);
        }
        entry_fields(reply, &entry, None, entry.life().phase(call.now) == Phase::Stale, call.now);
        named("system");
        reply.bulk(context.system);
        named("params");
        reply.bulk(context.params);
        named("scope");
        reply.bulk(context.scope);
        named("rule");
        reply.optional(entry.rule());
        named("meta");
        reply.optional(entry.meta());
        named("created");
        reply.count(entry.created().0);
        named("cost_usd");
        reply.text(effort.cost);
        named("estimated");
        reply.boolean(effort.estimated);
        named("size");
        reply.count(entry.packed().raw_len.into());
        named("stored");
        reply.count(entry.packed().bytes.len() as u64);
        Ok::<(), Failure>(())
    })
}

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
    let (cursor, page) = cache.scan(scan.cursor, scan.count, call.now, wanted);
    reply.text(cursor);
    reply.array(page.len());
    for entry in page {
        reply.array(2);
        reply.text(entry.id());
        reply.bulk(entry.prompt());
    }
    Ok(())
}
