//! An entry as several commands show it: a map whose pairs count themselves.

use crate::core::entry::EntryView;
use crate::core::time::UnixMs;
use crate::shell::reply::Reply;

/// One value of the map.
enum Value<'a> {
    Bytes(&'a [u8]),
    Optional(Option<&'a [u8]>),
    Text(String),
    Texts(Vec<&'a [u8]>),
    Count(u64),
    Integer(i64),
    Double(f64),
    Boolean(bool),
}

/// What is shown of an entry, in order.
#[derive(Default)]
pub struct Shown<'a>(Vec<(&'static str, Value<'a>)>);

impl<'a> Shown<'a> {
    fn add(&mut self, name: &'static str, value: Value<'a>) -> &mut Self {
        self.0.push((name, value));
        self
    }

    /// The answer itself.
    pub fn response(&mut self, response: &'a [u8]) -> &mut Self {
        self.add("response", Value::Bytes(response))
    }

    /// The fields of WITHMETA but the response; `matched` says how it was found and how similar it is,
    /// where that is told.
    pub fn entry(
        &mut self,
        entry: &EntryView<'a>,
        matched: Option<(&'static str, f64)>,
        stale: bool,
        now: UnixMs,
    ) -> &mut Self {
        let effort = entry.effort();
        self.add("id", Value::Text(entry.id().to_string()));
        self.add("etag", Value::Text(format!("{:016x}", entry.etag())));
        if let Some((matched, similarity)) = matched {
            self.add("match", Value::Bytes(matched.as_bytes())).add("similarity", Value::Double(similarity));
        }
        self.add("prompt", Value::Bytes(entry.prompt()))
            .add("model", Value::Bytes(entry.context().model))
            .add("strategy", Value::Bytes(entry.strategy()))
            .add("type", Value::Optional(entry.typ()))
            .add("tags", Value::Texts(entry.tags().collect()))
            .add("age", Value::Count(entry.age_seconds(now)))
            .add("ttl", Value::Integer(entry.ttl_seconds(now)))
            .add("stale", Value::Boolean(stale))
            .add("hits", Value::Count(entry.hits()))
            .add("tokens_in", Value::Count(effort.tokens_in))
            .add("tokens_out", Value::Count(effort.tokens_out))
            .add("cost_saved_usd", Value::Text(entry.cost_saved().to_string()))
            .add("latency_saved_ms", Value::Count(effort.latency_ms.saturating_mul(entry.hits())))
    }

    /// What only ENTRY shows.
    pub fn details(&mut self, entry: &EntryView<'a>) -> &mut Self {
        let (context, effort, packed) = (entry.context(), entry.effort(), entry.packed());
        self.add("system", Value::Bytes(context.system))
            .add("params", Value::Bytes(context.params))
            .add("scope", Value::Bytes(context.scope))
            .add("rule", Value::Optional(entry.rule()))
            .add("meta", Value::Optional(entry.meta()))
            .add("created", Value::Count(entry.created().0))
            .add("cost_usd", Value::Text(effort.cost.to_string()))
            .add("estimated", Value::Boolean(effort.estimated))
            .add("size", Value::Count(packed.raw_len.into()))
            .add("stored", Value::Count(packed.bytes.len() as u64))
    }

    /// Writes the map.
    pub fn write(&self, reply: Reply<'_>) {
        reply.map(self.0.len());
        for (name, value) in &self.0 {
            reply.bulk(name.as_bytes());
            match value {
                Value::Bytes(bytes) => reply.bulk(bytes),
                Value::Optional(bytes) => reply.optional(*bytes),
                Value::Text(text) => reply.bulk(text.as_bytes()),
                Value::Texts(texts) => {
                    reply.array(texts.len());
                    texts.iter().for_each(|text| reply.bulk(text));
                }
                Value::Count(count) => reply.count(*count),
                Value::Integer(number) => reply.integer(*number),
                Value::Double(number) => reply.double(*number),
                Value::Boolean(yes) => reply.boolean(*yes),
            }
        }
    }
}
