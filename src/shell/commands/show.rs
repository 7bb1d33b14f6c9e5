//! An entry as several commands show it: a map whose pairs count themselves.

use crate::core::entry::{Effort, EntryView};
use crate::core::lease::Token;
use crate::core::storing::{etag, Answer, EXPLICIT};
use crate::core::strategy::NOCACHE;
use crate::core::time::UnixMs;
use crate::shell::reply::Reply;
use std::borrow::Cow;

/// One value of the map.
enum Value<'a> {
    Bytes(Cow<'a, [u8]>),
    Optional(Option<Cow<'a, [u8]>>),
    Text(String),
    Texts(Vec<Cow<'a, [u8]>>),
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

    fn bytes(&mut self, name: &'static str, bytes: &'a [u8]) -> &mut Self {
        self.add(name, Value::Bytes(bytes.into()))
    }

    fn optional(&mut self, name: &'static str, bytes: Option<&'a [u8]>) -> &mut Self {
        self.add(name, Value::Optional(bytes.map(Into::into)))
    }

    /// What FETCH says first.
    pub fn state(&mut self, state: &'static str) -> &mut Self {
        self.bytes("state", state.as_bytes())
    }

    /// The lease that goes with it.
    pub fn token(&mut self, token: &Token) -> &mut Self {
        self.add("token", Value::Text(token.to_string()))
    }

    /// Why there is no answer.
    pub fn error(&mut self, why: &'a [u8]) -> &mut Self {
        self.bytes("error", why)
    }

    /// The answer itself.
    pub fn response(&mut self, response: &'a [u8]) -> &mut Self {
        self.bytes("response", response)
    }

    /// The fields of WITHMETA but the response, of an answer that was not kept, for so many who waited for it.
    pub fn passing(&mut self, answer: &Answer<'a>, effort: &Effort, explicit: bool, count: u64) -> &mut Self {
        self.add("id", Value::Text(answer.digest.id().to_string()))
            .add("etag", Value::Text(format!("{:016x}", etag(answer.response))))
            .bytes("match", b"exact")
            .add("similarity", Value::Double(1.0))
            .bytes("prompt", answer.identity.prompt)
            .bytes("model", answer.identity.context.model)
            .bytes("strategy", if explicit { EXPLICIT } else { NOCACHE }.as_bytes())
            .optional("type", answer.typ)
            .add("tags", Value::Texts(answer.tags.iter().map(|tag| (*tag).into()).collect()))
            .add("age", Value::Count(0))
            .add("ttl", Value::Integer(0))
            .add("stale", Value::Boolean(false))
            .add("hits", Value::Count(count))
            .add("tokens_in", Value::Count(effort.tokens_in))
            .add("tokens_out", Value::Count(effort.tokens_out))
            .add("cost_saved_usd", Value::Text(effort.cost.saturating_mul(count).to_string()))
            .add("latency_saved_ms", Value::Count(effort.latency_ms.saturating_mul(count)))
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
            self.bytes("match", matched.as_bytes()).add("similarity", Value::Double(similarity));
        }
        self.bytes("prompt", entry.prompt())
            .bytes("model", entry.context().model)
            .bytes("strategy", entry.strategy())
            .optional("type", entry.typ())
            .add("tags", Value::Texts(entry.tags().map(Into::into).collect()))
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
        self.bytes("system", context.system)
            .bytes("params", context.params)
            .bytes("scope", context.scope)
            .optional("rule", entry.rule())
            .optional("meta", entry.meta())
            .add("created", Value::Count(entry.created().0))
            .add("cost_usd", Value::Text(effort.cost.to_string()))
            .add("estimated", Value::Boolean(effort.estimated))
            .add("size", Value::Count(packed.raw_len.into()))
            .add("stored", Value::Count(packed.bytes.len() as u64))
    }

    /// About how many bytes it has on the wire.
    pub fn size(&self) -> usize {
        let value = |value: &Value<'_>| match value {
            Value::Bytes(bytes) => bytes.len(),
            Value::Optional(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len()),
            Value::Text(text) => text.len(),
            Value::Texts(texts) => texts.iter().map(|text| text.len()).sum(),
            Value::Count(_) | Value::Integer(_) | Value::Double(_) | Value::Boolean(_) => 8,
        };
        self.0.iter().map(|(name, field)| name.len() + value(field)).sum()
    }

    /// The same, to be kept.
    pub fn into_owned(self) -> Shown<'static> {
        let keep = |bytes: Cow<'a, [u8]>| Cow::Owned(bytes.into_owned());
        let fields = self.0.into_iter().map(|(name, value)| {
            let value = match value {
                Value::Bytes(bytes) => Value::Bytes(keep(bytes)),
                Value::Optional(bytes) => Value::Optional(bytes.map(keep)),
                Value::Text(text) => Value::Text(text),
                Value::Texts(texts) => Value::Texts(texts.into_iter().map(keep).collect()),
                Value::Count(count) => Value::Count(count),
                Value::Integer(number) => Value::Integer(number),
                Value::Double(number) => Value::Double(number),
                Value::Boolean(yes) => Value::Boolean(yes),
            };
            (name, value)
        });
        Shown(fields.collect())
    }

    /// Writes the map.
    pub fn write(&self, reply: Reply<'_>) {
        reply.map(self.0.len());
        for (name, value) in &self.0 {
            reply.bulk(name.as_bytes());
            match value {
                Value::Bytes(bytes) => reply.bulk(bytes),
                Value::Optional(bytes) => reply.optional(bytes.as_deref()),
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
