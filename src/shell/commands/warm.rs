//! `WARM`. What takes long goes on behind the command, in `batch.rs`; here are the plans and what is due.

use super::Call;
use crate::core::lease::Token;
use crate::core::plans::{Planned, Profile, Standing, Wish};
use crate::core::time::UnixMs;
use crate::shell::batch::{self, Purpose};
use crate::shell::failure::{Failure, Outcome};
use crate::shell::keyspace::{home, Intent, Key};
use crate::shell::leases;
use crate::shell::registry::Home;
use crate::shell::reply::{reply_map, Reply};
use crate::syntax::args::Args;
use crate::syntax::items::merged;
use crate::syntax::set::SetOptions;
use crate::syntax::warm::{Due, Warm};
use crate::syntax::Bounds;
use redis_module::{Context, ContextFlags, RedisString};

pub fn run(call: &Call<'_>) -> Outcome {
    match Warm::parse(call.words, &call.bounds())? {
        Warm::Items(options, pairs) => batch::store_pairs(call, options.to_owned(), pairs.len()),
        Warm::Json(options, _) => batch::read(call, Purpose::Items { options: options.to_owned() }),
        Warm::Plan(plan) => {
            let (options, profile) = (plan.options.to_owned(), plan.profile.into());
            let (every_ms, limit, hot) = (plan.every_ms, plan.limit, plan.hot);
            batch::read(call, Purpose::Plan { profile, every_ms, limit, hot, options })
        }
        Warm::Unplan(profile) => {
            let gone = call.edit(|cache, _| Ok(cache.unplan(profile)))?;
            call.reply().integer(gone.into());
            Ok(())
        }
        Warm::Status => status(call),
        Warm::Due(due) => hand_out(call, &due),
    }
}

/// Where the leases of this call's cache are.
fn place(call: &Call<'_>) -> Home {
    home(call.ctx, RedisString::string_as_slice(call.key()))
}

fn status(call: &Call<'_>) -> Outcome {
    let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
    let (reply, now) = (call.reply(), call.now);
    let Some(cache) = key.cache() else {
        reply.array(0);
        return Ok(());
    };
    let place = place(call);
    reply.array(cache.plans().len());
    cache.standings(
        now,
        |digest| leases::is_out(&place, digest, now),
        |name, profile, standing| show(reply, name, profile, standing, now),
    );
    Ok(())
}

fn show(reply: Reply<'_>, name: &[u8], profile: &Profile, standing: &Standing, now: UnixMs) {
    reply_map!(reply, {
        "profile" => |r: Reply<'_>| r.bulk(name),
        "every" => |r: Reply<'_>| r.count(profile.every_ms() / 1000),
        "limit" => |r: Reply<'_>| r.count(profile.limit().into()),
        "hot" => |r: Reply<'_>| r.count(profile.hot().into()),
        "items" => |r: Reply<'_>| r.count(profile.items().len() as u64),
        "looked_at" => |r: Reply<'_>| r.count(standing.looked_at as u64),
        "missing" => |r: Reply<'_>| r.count(standing.missing as u64),
        "due" => |r: Reply<'_>| r.count(standing.due() as u64),
        "out" => |r: Reply<'_>| r.count(standing.out as u64),
        "next_due_ms" => |r: Reply<'_>| match (standing.due(), standing.next_due) {
            (0, None) => r.null(),
            (0, Some(at)) => r.count(at.since(now)),
            _ => r.count(0),
        },
    });
}

/// A due item, with all that a worker needs.
struct Offer {
    is_request: bool,
    prompt: Box<[u8]>,
    identity: Vec<(&'static str, Vec<u8>)>,
    options: Vec<Box<[u8]>>,
    token: Token,
}

fn hand_out(call: &Call<'_>, due: &Due<'_>) -> Outcome {
    let mut key = Key::open(call.ctx, call.key(), Intent::Read)?;
    let (reply, now, bounds) = (call.reply(), call.now, call.bounds());
    // Leases are a primary's to give.
    let is_primary = call.ctx.get_flags().contains(ContextFlags::MASTER);
    let Some(cache) = key.cache().filter(|_| is_primary) else {
        reply.array(0);
        return Ok(());
    };
    let place = place(call);
    let wish = Wish { profile: due.profile, count: due.count, within_ms: due.within_ms, now };
    let offers = cache.due(
        &wish,
        |digest| leases::is_out(&place, digest, now),
        |common, item| offer(call.ctx, &place, (common, item), due.lease_ms, &bounds),
    )?;
    drop(key);
    reply.array(offers.len());
    for (profile, offer) in &offers {
        reply.map(5);
        reply.bulk(if offer.is_request { b"request" } else { b"prompt" });
        reply.bulk(&offer.prompt);
        reply.bulk(b"identity");
        reply.map(offer.identity.len());
        for (name, value) in &offer.identity {
            reply.bulk(name.as_bytes());
            reply.bulk(value);
        }
        reply.bulk(b"profile");
        reply.bulk(profile);
        reply.bulk(b"token");
        reply.text(offer.token);
        reply.bulk(b"options");
        reply.array(offer.options.len());
        offer.options.iter().for_each(|word| reply.bulk(word));
    }
    Ok(())
}

/// Takes the lease of an item and says what is to be done. None where somebody else has it, or where its words no longer
/// ask the question that was planned (a limit has changed, or the plan came from a payload that somebody made up).
fn offer(
    ctx: &Context,
    place: &Home,
    (common, item): (&[Box<[u8]>], &Planned),
    ms: u64,
    bounds: &Bounds,
) -> Result<Option<Offer>, Failure> {
    let words = merged(common, &item.options);
    let Ok(options) = SetOptions::parse(&mut Args::new(&words), bounds) else { return Ok(None) };
    let is_request = options.is_request();
    let Ok(asked) = options.asked(&item.prompt, bounds) else { return Ok(None) };
    let identity = asked.identity();
    if identity.digest() != item.digest {
        return Ok(None);
    }
    let Some(token) = leases::take(ctx, place, &item.digest, ms, bounds.now)? else { return Ok(None) };
    let context = identity.context;
    let fields =
        [("scope", context.scope), ("model", context.model), ("system", context.system), ("params", context.params)];
    let mut identity: Vec<_> =
        fields.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.to_vec())).collect();
    identity.push(("id", item.digest.id().to_string().into_bytes()));
    let options = words.iter().map(|word| Box::from(*word)).collect();
    Ok(Some(Offer { is_request, prompt: item.prompt.clone(), identity, options, token }))
}
