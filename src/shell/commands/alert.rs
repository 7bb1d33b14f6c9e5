//! `ALERT`, and the alerts that STATS shows.

use super::Call;
use crate::core::alerts::Alert;
use crate::core::cache::Cache;
use crate::core::report::json::text;
use crate::core::time::UnixMs;
use crate::shell::config::memory_price;
use crate::shell::failure::Outcome;
use crate::shell::keyspace::{Intent, Key};
use crate::shell::registry::Resident;
use crate::shell::reply::Reply;
use crate::syntax::alert::parse;
use crate::syntax::strategy::Change;
use serde_json::{json, Value as Json};

pub fn run(call: &Call<'_>) -> Outcome {
    match parse(call.words)? {
        Change::Set(alert) => {
            call.edit(|cache, _| Ok(((), cache.set_alert(alert, call.now, memory_price())?)))?;
            call.reply().ok();
        }
        Change::Del(name) => {
            let gone = call.edit(|cache, _| Ok(cache.delete_alert(&name, call.now, memory_price())))?;
            call.reply().integer(gone.into());
        }
        Change::List => {
            let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
            match key.cache() {
                Some(cache) => show_alerts(call.reply(), cache, call.now),
                None => call.reply().array(0),
            }
        }
    }
    Ok(())
}

/// All alerts, as LIST and INFO show them.
pub fn show_alerts(reply: Reply<'_>, cache: &Cache, now: UnixMs) {
    reply.array(cache.alerts().list().len());
    for alert in cache.alerts().list() {
        show(reply, None, alert, cache.figure_of(alert, now, memory_price()));
    }
}

/// An alert and where its figure stands; with its key, where several caches are shown.
fn show(reply: Reply<'_>, key: Option<&[u8]>, alert: &Alert, value: Option<f64>) {
    let word = |name: &str, value: &[u8]| {
        reply.bulk(name.as_bytes());
        reply.bulk(value);
    };
    let count = |name: &str, value: Option<u64>| {
        reply.bulk(name.as_bytes());
        value.map_or_else(|| reply.null(), |value| reply.count(value));
    };
    reply.map(8 + usize::from(key.is_some()));
    if let Some(key) = key {
        word("key", key);
    }
    word("name", alert.name.as_bytes());
    word("figure", alert.figure.name().as_bytes());
    word("direction", alert.side.name().as_bytes());
    reply.bulk(b"bound");
    reply.double(alert.bound);
    count("window", alert.window_s);
    word("state", alert.state().as_bytes());
    count("since", alert.since().map(|at| at.0));
    reply.bulk(b"value");
    value.map_or_else(|| reply.null(), |value| reply.double(value));
}

/// An alert that fires, in which cache where that must be said, and where its figure stands.
type Fire = (Option<Box<[u8]>>, Alert, Option<f64>);

/// The alerts that fire, of one cache or of several.
#[derive(Default)]
pub struct Firing(Vec<Fire>);

impl Firing {
    /// Adds those of a cache, with its key or without.
    pub fn add(&mut self, resident: &Resident, with_key: bool, now: UnixMs) {
        let Resident { cache, home, .. } = resident;
        for alert in cache.alerts().list().iter().filter(|alert| alert.is_firing()) {
            let key = with_key.then(|| home.key.clone());
            self.0.push((key, alert.clone(), cache.figure_of(alert, now, memory_price())));
        }
    }

    /// Shows them as an array.
    pub fn show(&self, reply: Reply<'_>) {
        reply.array(self.0.len());
        for (key, alert, value) in &self.0 {
            show(reply, key.as_deref(), alert, *value);
        }
    }

    /// The same as JSON.
    pub fn json(&self) -> Json {
        let one = |(key, alert, value): &Fire| {
            let mut shown = json!({
                "name": alert.name, "figure": alert.figure.name(), "direction": alert.side.name(), "bound": alert.bound,
                "window": alert.window_s, "state": alert.state(), "since": alert.since().map(|at| at.0), "value": value,
            });
            if let (Some(key), Some(fields)) = (key, shown.as_object_mut()) {
                fields.insert("key".into(), text(key).into());
            }
            shown
        };
        self.0.iter().map(one).collect()
    }

    /// The names that they have, each with the key of its cache where that must be said.
    pub fn names(&self) -> impl Iterator<Item = (Option<&[u8]>, &[u8])> {
        self.0.iter().map(|(key, alert, _)| (key.as_deref(), alert.name.as_bytes()))
    }
}
