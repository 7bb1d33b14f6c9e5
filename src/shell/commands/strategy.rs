//! `STRATEGY` and `RULE`.

use super::Call;
use crate::core::effects::Effects;
use crate::core::policy::Policy;
use crate::core::strategy::{Origin, Rule, Strategies, Strategy, StrategyError, Ttl};
use crate::shell::failure::Outcome;
use crate::shell::keyspace::{Intent, Key};
use crate::shell::reply::{reply_map, Reply};
use crate::syntax::strategy::{parse_rule, parse_strategy, Change};

pub fn strategy(call: &Call<'_>) -> Outcome {
    match parse_strategy(call.words, &call.bounds())? {
        Change::Set(strategy) => {
            call.edit(|cache, _| Ok(cache.alter_strategies(call.now, |all, _| all.set_strategy(strategy))?))?;
            call.reply().ok();
        }
        Change::Del(name) => {
            remove(call, |all, policy| all.delete_strategy(&name, &policy.strategy))?;
        }
        Change::List => list(call, show_strategies)?,
    }
    Ok(())
}

pub fn rule(call: &Call<'_>) -> Outcome {
    match parse_rule(call.words)? {
        Change::Set(rule) => {
            call.edit(|cache, _| Ok(cache.alter_strategies(call.now, |all, _| all.set_rule(rule))?))?;
            call.reply().ok();
        }
        Change::Del(name) => {
            remove(call, |all, _| Ok(all.delete_rule(&name)))?;
        }
        Change::List => list(call, show_rules)?,
    }
    Ok(())
}

/// Takes something out of a cache's lists, and answers whether it was there.
fn remove(call: &Call<'_>, take_out: impl FnOnce(&mut Strategies, &Policy) -> Result<bool, StrategyError>) -> Outcome {
    let removed = call.edit(|cache, _| {
        let (removed, effects) = cache.alter_strategies(call.now, take_out)?;
        Ok((removed, if removed { effects } else { Effects::default() }))
    })?;
    call.reply().integer(removed.into());
    Ok(())
}

/// Shows the lists of a cache, or those that a new one would have.
fn list(call: &Call<'_>, show: fn(Reply<'_>, &Strategies)) -> Outcome {
    let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
    match key.cache() {
        Some(cache) => show(call.reply(), cache.strategies()),
        None => show(call.reply(), &Strategies::default()),
    }
    Ok(())
}

/// All strategies, as LIST and INFO show them.
pub fn show_strategies(reply: Reply<'_>, strategies: &Strategies) {
    reply.array(strategies.list().count());
    for (strategy, origin) in strategies.list() {
        show_strategy(reply, strategy, origin);
    }
}

fn show_strategy(reply: Reply<'_>, strategy: &Strategy, origin: Origin) {
    reply_map!(reply, {
        "name" => |r: Reply<'_>| r.bulk(strategy.name.as_bytes()),
        "ttl" => |r: Reply<'_>| match strategy.ttl {
            Ttl::Millis(ms) => r.count(ms / 1000),
            Ttl::Never => r.integer(-1),
            Ttl::NotStored => r.null(),
        },
        "stale" => |r: Reply<'_>| strategy.stale_ms.map_or_else(|| r.null(), |ms| r.count(ms / 1000)),
        "jitter" => |r: Reply<'_>| strategy.jitter_percent.map_or_else(|| r.null(), |percent| r.count(percent.into())),
        "origin" => |r: Reply<'_>| r.bulk(origin.name().as_bytes()),
    });
}

/// All rules, as LIST and INFO show them.
pub fn show_rules(reply: Reply<'_>, strategies: &Strategies) {
    reply.array(strategies.rules().len());
    for Rule { name, typ, model, scope, prompt, strategy } in strategies.rules() {
        reply_map!(reply, {
            "name" => |r: Reply<'_>| r.bulk(name.as_bytes()),
            "type" => |r: Reply<'_>| r.optional(typ.as_deref()),
            "model" => |r: Reply<'_>| r.optional(model.as_deref()),
            "scope" => |r: Reply<'_>| r.optional(scope.as_deref()),
            "prompt" => |r: Reply<'_>| r.optional(prompt.as_deref()),
            "strategy" => |r: Reply<'_>| r.bulk(strategy.as_bytes()),
        });
    }
}
