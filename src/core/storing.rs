//! Storing an answer: what SET means.

use super::body::{Body, Rare};
use super::cache::Cache;
use super::census::Census;
use super::codec::{Codec, Encoding, BLOCK};
use super::copies::Place;
use super::effects::Effects;
use super::entry::{Effort, Entry, Known, Lifespan, Phase, Slot};
use super::eviction::order::Order;
use super::eviction::Pressure;
use super::fault;
use super::identity::{Digest, EntryId, Identity, Shape};
use super::interner::{Interner, Symbol};
use super::ledger::Dimension;
use super::money::MicroUsd;
use super::pressing::{INLINE, INLINE_LEVEL};
use super::request::Usage;
use super::similarity::dense::Codes;
use super::similarity::index::{Index, Item};
use super::similarity::{Kind, Method};
use super::strategy::{jittered, Decision, Question, StrategyError, Ttl};
use super::time::UnixMs;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;

/// What must be there, or must not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Store in any case.
    #[default]
    Always,
    /// Only where nothing fresh is.
    Absent,
    /// Only where something is, fresh or stale.
    Present,
}

/// How long an answer is to live, as the writer said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime<'a> {
    /// As rules and content decide.
    #[default]
    Auto,
    /// As this strategy says.
    Strategy(&'a str),
    /// So many milliseconds from now.
    After(u64),
    /// Until then.
    Until(UnixMs),
    /// As long as the fresh entry that is there; for ever without one.
    Keep,
    /// For ever.
    Never,
}

/// An answer to be stored.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// Whose answer it is.
    pub identity: Identity<'a>,
    /// The digest of `identity`.
    pub digest: Digest,
    /// The answer.
    pub response: &'a [u8],
    /// What must be there.
    pub condition: Condition,
    /// How long it lives.
    pub lifetime: Lifetime<'a>,
    /// How long it may be stale after that, where the writer said so.
    pub stale_ms: Option<u64>,
    /// The kind of request.
    pub typ: Option<&'a [u8]>,
    /// Its tags.
    pub tags: Vec<&'a [u8]>,
    /// Tokens in and out, where the writer said so.
    pub tokens: Option<(u64, u64)>,
    /// Tokens as the answer itself tells them.
    pub usage: Option<Usage>,
    /// What it cost, where the writer said so.
    pub cost: Option<MicroUsd>,
    /// How long it took to make.
    pub latency_ms: u64,
    /// JSON to keep with it.
    pub meta: Option<&'a [u8]>,
    /// Whether it was sampled so freely that it is not worth keeping.
    pub temperature_above_one: bool,
    /// Whether it may answer similar questions.
    pub comparable: bool,
    /// The client's vector of the prompt.
    pub vector: Option<&'a [f32]>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is there now.
    Stored(Slot),
    /// The condition did not hold, or its lease was lost.
    ConditionFailed,
    /// Its strategy stores nothing.
    NoCache,
    /// Alone it is larger than the cache may be.
    TooLarge,
    /// Its time was over before it came; whatever was there is gone.
    AlreadyOver,
}

/// Why a vector cannot be compared with those of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorError {
    /// The cache compares prompts in another way.
    OtherKind(Kind),
    /// It has another size than those that are there.
    OtherDim {
        /// The size of those.
        dim: u32,
        /// Its own size.
        got: usize,
    },
    /// It is missing, and without it nothing is similar.
    Missing,
}

impl std::fmt::Display for VectorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OtherKind(kind) => {
                write!(f, "a vector needs a cache of SIMILARITY vector, this one has SIMILARITY {}", kind.name())
            }
            Self::OtherDim { dim, got } => write!(f, "the vector must have {dim} numbers as DIM says, got {got}"),
            Self::Missing => f.write_str("SIMILAR needs FP32 or VALUES in a cache of SIMILARITY vector"),
        }
    }
}

impl std::error::Error for VectorError {}

/// Why an answer could not be taken at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// There is no such strategy.
    Strategy(StrategyError),
    /// The vector is none for this cache.
    Vector(VectorError),
    /// The server is over its memory and this cache has nothing to give back.
    OutOfMemory,
}

/// The name that an entry shows whose expiry was given.
pub const EXPLICIT: &str = "explicit";

/// The strategy that stores nothing.
const NOCACHE: &str = "nocache";

/// How a lifetime was resolved.
struct Resolved {
    life: Lifespan,
    strategy: Cow<'static, str>,
    rule: Option<Box<str>>,
}

impl Cache {
    /// Stores an answer, if it is to be stored.
    pub fn set(
        &mut self,
        answer: &Answer<'_>,
        now: UnixMs,
        pressure: Pressure,
        codec: &mut Codec,
    ) -> Result<(Stored, Effects), StoreError> {
        fault::point();
        let mut effects = Effects::default();
        self.check_vector(answer.vector).map_err(StoreError::Vector)?;
        let resolved = self.resolve(answer, now)?;
        let there = self.store.find(&answer.digest);
        let phase = there.and_then(|slot| self.store.get(slot)).map(|entry| entry.phase(now));
        let failed = match answer.condition {
            Condition::Always => false,
            Condition::Absent => phase == Some(Phase::Fresh),
            Condition::Present => !matches!(phase, Some(Phase::Fresh | Phase::Stale)),
        };
        if failed {
            let strategy = resolved.map_or_else(|| NOCACHE.into(), |resolved| resolved.strategy);
            return Ok((self.skip(answer, &strategy, Stored::ConditionFailed, now), effects));
        }
        let Some(Resolved { life, strategy, rule }) = resolved else {
            return Ok((self.skip(answer, NOCACHE, Stored::NoCache, now), effects));
        };
        if life.dead_at <= now || life.fresh_until <= now {
            self.take_out(there, now, &mut effects);
            return Ok((self.skip(answer, &strategy, Stored::AlreadyOver, now), effects));
        }
        let mut tags: Vec<&[u8]> = Vec::with_capacity(answer.tags.len());
        for tag in &answer.tags {
            if !tags.contains(tag) {
                tags.push(tag);
            }
        }
        let (context, typ) = (answer.identity.context, answer.typ.unwrap_or_default());
        let limit = self.policy.max_memory;
        let names = tags.iter().copied().chain([context.model, context.scope, strategy.as_bytes(), typ]);
        let shared = names.map(|name| Census::charge(name.len())).sum::<usize>()
            + rule.as_ref().map_or(0, |rule| Interner::<()>::charge(rule.len()))
            + Interner::<()>::charge(self.store.context_len(&context))
            + if limit > 0 { Order::GHOSTS } else { 0 };
        let effort = self.effort(answer);
        let level = self.pressing_level(answer.response.len());
        let (version, known) = match level {
            // Whoever compresses the answer makes its etag.
            Some(_) if answer.response.len() <= BLOCK => (self.next_version(), Known::Nothing),
            _ => (etag(answer.response), Known::Etag),
        };
        let mut entry = Entry {
            id: answer.digest.id(),
            version,
            context: Symbol::NONE,
            model: Symbol::NONE,
            scope: Symbol::NONE,
            strategy: Symbol::NONE,
            typ: Symbol::NONE,
            body: Body::new(
                &Rare { effort, stale_ms: life.stale_ms, created: now },
                Symbol::NONE,
                tags.iter().map(|_| Symbol::NONE),
                answer.meta,
                answer.identity.prompt,
                answer.response,
            ),
            encoding: Encoding::Raw,
            dictionary: 0,
            raw_len: u32::try_from(answer.response.len()).unwrap_or(u32::MAX),
            known,
            hot: Place::NONE,
            fresh_until: life.fresh_until,
            dead_at: life.dead_at,
            hits: 0,
            comparable: answer.comparable,
            mark: None,
            used: 0,
            // A new answer to a question that is asked often.
            asked: there.and_then(|slot| self.store.asked(slot)).unwrap_or_default(),
        };
        let fits = |needed: usize| limit == 0 || (self.memory() + needed) as u64 <= limit;
        let short_of_room = pressure != Pressure::None || !fits(entry.memory() + shared);
        if short_of_room && level.is_some() {
            entry.set_answer(&codec.pack(answer.response, level.map(|level| level.min(INLINE_LEVEL))));
            if entry.encoding == Encoding::Raw {
                entry.set_incompressible();
            }
        }
        self.keep_likeness();
        let vector = self.vector_for(answer, there);
        let needed = entry.memory() + shared + self.likeness_of(answer, vector.as_ref(), entry.memory() + shared);
        if limit > 0 && (self.policy_memory() + needed) as u64 > limit {
            return Ok((self.skip(answer, &strategy, Stored::TooLarge, now), effects));
        }
        if self.store.is_full() || (pressure == Pressure::Over && self.store.is_empty()) {
            return Err(StoreError::OutOfMemory);
        }
        let before = if pressure == Pressure::None { 0 } else { self.footprint() };
        if short_of_room {
            self.press_some(INLINE, codec);
        }
        if let Some(slot) = there {
            if phase == Some(Phase::Dead) {
                self.count_slot(slot, now, |counters| counters.expirations += 1);
                effects.expired += 1;
            }
            self.store.remove(slot);
        }
        entry.context = self.store.acquire_context(&context);
        entry.model = self.store.acquire_name(Dimension::Model, context.model);
        entry.scope = self.store.acquire_name(Dimension::Scope, context.scope);
        entry.strategy = self.store.acquire_name(Dimension::Strategy, strategy.as_bytes());
        entry.typ = self.store.acquire_name(Dimension::Type, typ);
        let rule = rule.map_or(Symbol::NONE, |rule| self.store.acquire_rule(rule.as_bytes()));
        entry.body.set_names(rule, tags.iter().map(|tag| self.store.acquire_name(Dimension::Tag, tag)));
        let cost = effort.cost;
        let (pending, version) = (level.is_some() && !short_of_room, entry.version);
        if let (Kind::Vector, None, Some(vector)) = (self.policy.similarity, self.policy.dim, &vector) {
            self.policy.dim = u32::try_from(vector.shape().dim).ok();
            effects.policy = true;
        }
        let slot = self.store.insert(entry, vector.as_ref());
        self.count_slot(slot, now, |counters| counters.stored(cost));
        if pending {
            self.await_pressing(slot, version, now);
        } else {
            self.await_move(slot);
        }
        self.schedule.stored(answer.response.len());
        effects.stored = Some(answer.digest.id());
        self.keep_limits(Some(slot), now, &mut effects);
        match pressure {
            Pressure::None | Pressure::Granted => {}
            Pressure::Tight => self.evict_to(before, DISPLACE, Some(slot), now, &mut effects),
            Pressure::Over => self.evict_to(before.saturating_sub(needed), DISPLACE, Some(slot), now, &mut effects),
        }
        Ok((Stored::Stored(slot), effects))
    }

    /// Whether a client's vector, or none, can be used here.
    pub fn check_vector(&self, vector: Option<&[f32]>) -> Result<(), VectorError> {
        let Some(vector) = vector else { return Ok(()) };
        if self.policy.similarity != Kind::Vector {
            return Err(VectorError::OtherKind(self.policy.similarity));
        }
        match self.policy.dim {
            Some(dim) if dim as usize != vector.len() => Err(VectorError::OtherDim { dim, got: vector.len() }),
            _ => Ok(()),
        }
    }

    /// The vector that an answer is to be compared by, as far as it need not be made: the client's, or the one that the
    /// answer to the same prompt has.
    fn vector_for(&self, answer: &Answer<'_>, there: Option<Slot>) -> Option<Codes> {
        match answer.vector {
            Some(vector) => Index::codes(vector).ok(),
            None if self.policy.similarity == Kind::Builtin => self.store.vector(self.store.get(there?)?),
            None => None,
        }
    }

    /// Bytes of the index with this answer alone, where there is a limit that it may come near.
    fn likeness_of(&self, answer: &Answer<'_>, vector: Option<&Codes>, beside: usize) -> usize {
        /// More than that it never is, but for two bytes a dimension of a vector and what goes with them.
        const MOST: u64 = 64 << 10;
        let Some(index) = self.store.likeness().filter(|_| answer.comparable) else { return 0 };
        let dims = answer.vector.map_or(0, <[f32]>::len) as u64;
        let near = self.policy.max_memory > 0
            && self.policy.max_memory < (self.policy_memory() + beside) as u64 + MOST + 64 * dims;
        if !near || (index.method() == Method::Vector && vector.is_none()) {
            return 0;
        }
        let prompt = answer.identity.prompt;
        Index::memory_of(index.method(), Item { context: Symbol::NONE, slot: Slot(0), stamp: 0, prompt }, vector)
    }

    /// Counts a store that is not made, under the strategy that it would have had, and hands back why.
    fn skip(&mut self, answer: &Answer<'_>, strategy: &str, why: Stored, now: UnixMs) -> Stored {
        self.count_answer(answer, strategy.as_bytes(), now, |counters| counters.skips += 1);
        why
    }

    /// The same for a store whose lease is lost.
    pub fn skip_lost(&mut self, answer: &Answer<'_>, now: UnixMs) -> Stored {
        let strategy = self.strategy_of(answer, now);
        self.skip(answer, &strategy, Stored::ConditionFailed, now)
    }

    /// The strategy that an answer has, or would have if it were stored.
    pub(super) fn strategy_of(&self, answer: &Answer<'_>, now: UnixMs) -> Cow<'static, str> {
        match self.resolve(answer, now) {
            Ok(Some(resolved)) => resolved.strategy,
            Ok(None) => NOCACHE.into(),
            Err(_) => "".into(),
        }
    }

    /// The life, the strategy's name and the rule; none where nothing is to be stored.
    fn resolve(&self, answer: &Answer<'_>, now: UnixMs) -> Result<Option<Resolved>, StoreError> {
        fault::point();
        let explicit = |fresh_until| {
            let life = Lifespan::new(fresh_until, answer.stale_ms.unwrap_or(self.policy.stale_ms));
            Ok(Some(Resolved { life, strategy: EXPLICIT.into(), rule: None }))
        };
        let there = self.store.find(&answer.digest).and_then(|slot| self.store.get(slot));
        let fresh = there.filter(|entry| entry.phase(now) == Phase::Fresh);
        let (strategy, rule) = match answer.lifetime {
            Lifetime::After(ms) => return explicit(now.plus(ms)),
            Lifetime::Until(at) => return explicit(at),
            Lifetime::Never => return explicit(UnixMs::NEVER),
            Lifetime::Keep => {
                // As with a key: where there is no time to keep, none is set.
                let Some(entry) = fresh else { return explicit(UnixMs::NEVER) };
                let life = match answer.stale_ms {
                    Some(ms) => Lifespan::new(entry.fresh_until, ms),
                    None => entry.life(),
                };
                return Ok(Some(Resolved { life, strategy: EXPLICIT.into(), rule: None }));
            }
            Lifetime::Strategy(name) => (self.strategies.named(name).map_err(StoreError::Strategy)?, None),
            Lifetime::Auto => {
                let question = question(&answer.identity, answer.typ, answer.temperature_above_one);
                let decision = self.strategies.decide(&question, &self.policy.strategy);
                (decision.strategy, Some(decision.rule.into()))
            }
        };
        let jitter = strategy.jitter_percent.unwrap_or(self.policy.jitter_percent);
        let fresh_until = match strategy.ttl {
            Ttl::NotStored => return Ok(None),
            Ttl::Never => UnixMs::NEVER,
            Ttl::Millis(ms) => now.plus(jittered(ms, jitter, answer.digest.lot())),
        };
        let stale_ms = answer.stale_ms.or(strategy.stale_ms).unwrap_or(self.policy.stale_ms);
        let strategy = String::from(strategy.name.clone()).into();
        Ok(Some(Resolved { life: Lifespan::new(fresh_until, stale_ms), strategy, rule }))
    }

    /// What `auto` means for an identity on its own.
    pub fn decide(&self, identity: &Identity<'_>, temperature_above_one: bool) -> Decision<'_> {
        self.strategies.decide(&question(identity, None, temperature_above_one), &self.policy.strategy)
    }

    /// What an answer took to make.
    pub fn effort(&self, answer: &Answer<'_>) -> Effort {
        let told = match (answer.tokens, answer.usage) {
            // How many of the tokens were cached, only the response can tell.
            (Some((input, output)), usage) => {
                Some(Usage { input, cached: usage.map_or(0, |usage| usage.cached).min(input), output })
            }
            (None, usage) => usage,
        };
        let usage = told.unwrap_or_else(|| estimate(&answer.identity, answer.response));
        let cost = answer.cost.unwrap_or_else(|| {
            let price = self.policy.prices.get(answer.identity.context.model);
            price.map_or(MicroUsd::ZERO, |price| price.cost(&usage))
        });
        let Usage { input: tokens_in, output: tokens_out, .. } = usage;
        Effort { tokens_in, tokens_out, estimated: told.is_none(), cost, latency_ms: answer.latency_ms }
    }

    /// A name for an answer whose etag is not known yet. No other answer of this cache has it.
    fn next_version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    /// Takes an entry out, if there is one: as deleted if anybody could see it, as expired if not.
    fn take_out(&mut self, slot: Option<Slot>, now: UnixMs, effects: &mut Effects) {
        let Some((slot, visible)) = slot.map(|slot| (slot, self.is_visible(slot, now))) else { return };
        if !visible {
            self.count_slot(slot, now, |counters| counters.expirations += 1);
        }
        let Some(entry) = self.store.remove(slot) else { return };
        if visible {
            effects.deleted.push(entry.id);
        } else {
            effects.expired += 1;
        }
    }

    /// Moves an entry's expiry; one that is not in the future deletes it. Answers whether there was one.
    pub fn expire_at(&mut self, id: &EntryId, at: UnixMs, now: UnixMs) -> (bool, Effects) {
        fault::point();
        let mut effects = Effects::default();
        let Some(slot) = self.visible(id, now) else { return (false, effects) };
        if at <= now {
            self.take_out(Some(slot), now, &mut effects);
        } else if let Some(entry) = self.store.get(slot) {
            let life = Lifespan::new(at, entry.life().stale_ms);
            if life.dead_at > entry.dead_at {
                effects.renewed = Some(*id);
            } else {
                effects.moved.push((*id, life));
            }
            self.store.set_life(slot, life);
            // What is to expire takes a place in the order of expiry as well.
            self.keep_limits(None, now, &mut effects);
        }
        (true, effects)
    }

    /// Deletes entries by name; how many there were.
    pub fn delete(&mut self, ids: &[EntryId], now: UnixMs) -> (u64, Effects) {
        fault::point();
        let mut effects = Effects::default();
        for id in ids {
            let slot = self.store.find_id(id);
            self.take_out(slot, now, &mut effects);
        }
        (effects.deleted.len() as u64, effects)
    }
}

fn question<'a>(identity: &Identity<'a>, typ: Option<&'a [u8]>, temperature_above_one: bool) -> Question<'a> {
    let (prompt, context) = (identity.prompt, identity.context);
    Question { prompt, model: context.model, scope: context.scope, typ, temperature_above_one }
}

/// How many tags an entry may carry.
pub const MAX_TAGS: usize = 64;

/// How many entries one store may displace.
const DISPLACE: usize = 64;

/// Names an answer by its content.
pub fn etag(response: &[u8]) -> u64 {
    let hash: [u8; 32] = Sha256::digest(response).into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Tokens in and out, guessed at four bytes each. What the provider may have had in its cache, nobody can guess.
fn estimate(identity: &Identity<'_>, response: &[u8]) -> Usage {
    // The params of an API request hold the conversation so far, which is paid for as well.
    let history = if identity.context.shape == Shape::Plain { 0 } else { identity.context.params.len() };
    let asked = identity.prompt.len() + identity.context.system.len() + history;
    Usage { input: asked.div_ceil(4) as u64, cached: 0, output: response.len().div_ceil(4) as u64 }
}
