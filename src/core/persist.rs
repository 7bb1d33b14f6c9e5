//! A cache as bytes: for the server's snapshots, for replicas and for the append-only file.
//!
//! Everything is made of records, each with its kind and the version of its layout. A layout that has been released is
//! never changed: a new one gets the next version, and the reader keeps the old. `tests/fixtures` holds what each
//! version wrote.
//!
//! ```text
//!   cache    FORMAT, policy, counters, feedback, p, p × plan, alerts, d, d × dictionary, n, n × context, m, m × entry
//!   policy   'P'  policy, strategies that were changed, rules
//!   counters 'K'  what was counted: in all, over time, by name
//!   dictionary 'Z'  what is known of its making, content   (in `dictionary.rs`)
//!   context  'C'  shape, scope, model, system, params
//!   entry    'E'  index of its context, times, effort, answer as it is stored, prompt, names, meta, vector
//!   feedback 'F'  n × (good or bad, prompt, entry)
//!   lives    'L'  n × (id, fresh until, dead at, stale time)
//!   plan     'W'  name, how old answers may become, how many may be out, how many others, options, items   (in `plans.rs`)
//!   alerts   'A'  n × (name, figure, side, bound, window, whether it fires, since when)   (in `alerts.rs`)
//! ```
//!
//! Entries are written from the least to the most recently used, so that a reader gets the order of use by inserting.

use super::body::{Body, Rare};
use super::cache::Cache;
use super::codec::{is_block, Codec, Encoding, PackedRef, MAX_ANSWER};
use super::copies::Place;
use super::dictionary::{Dictionaries, Dictionary, Facts, Shown, MAX_DICTIONARIES};
use super::effects::Effects;
use super::entry::{Effort, Entry, EntryView, Known, Lifespan};
use super::eviction::order::VETERAN;
use super::feedback::{Pair, MAX_PAIRS};
use super::identity::{Context, EntryId, Identity, Shape};
use super::interner::Symbol;
use super::ledger::{Dimension, Ledger};
use super::money::{MicroUsd, Price};
use super::policy::{Compress, Evict, Mode, Policy, LEVELS};
use super::similarity::dense::{Codes, Shape as VectorShape, MAX_DIM};
use super::similarity::index::BUILTIN;
use super::similarity::lexical::Metric;
use super::similarity::{builtin, Kind, Method};
use super::storing::MAX_TAGS;
use super::strategy::{Rule, Strategies, Strategy, Ttl, MAX_CUSTOM, MAX_RULES};
use super::time::UnixMs;
use super::wire::{Reader, WireError, Writer};
use std::collections::HashMap;
use std::sync::Arc;

/// The version of the order in which the records of a cache follow each other.
pub const FORMAT: u64 = 5;

const POLICY: u8 = b'P';
const COUNTERS: u8 = b'K';
const CONTEXT: u8 = b'C';
const ENTRY: u8 = b'E';
const LIVES: u8 = b'L';
const FEEDBACK: u8 = b'F';
const DICTIONARY: u8 = b'Z';
const V1: u8 = 1;
const V2: u8 = 2;
const V3: u8 = 3;
const V4: u8 = 4;

/// How many plain counters each version of their record holds.
const COUNTERS_V1: usize = 15;
const COUNTERS_V2: usize = 19;
const COUNTERS_V3: usize = 20;

/// Where a cache is written to.
pub trait Sink {
    /// Takes a number.
    fn number(&mut self, number: u64);
    /// Takes a record.
    fn record(&mut self, record: &[u8]);
}

/// Where a cache is read from.
pub trait Source {
    /// Gives a number.
    fn number(&mut self) -> Result<u64, WireError>;
    /// Gives a record.
    fn record(&mut self) -> Result<impl AsRef<[u8]>, WireError>;
}

/// Writes a whole cache.
pub fn save(cache: &Cache, sink: &mut impl Sink) {
    sink.number(FORMAT);
    sink.record(&policy_record(cache));
    sink.record(&cache.counters_record());
    sink.record(&cache.feedback_record());
    sink.number(cache.plans.len() as u64);
    for record in cache.plans.list().filter_map(|(name, _)| cache.plan_record(name)) {
        sink.record(&record);
    }
    sink.record(&cache.alerts_record());
    let (dictionaries, places) = dictionaries(cache);
    sink.number(dictionaries.len() as u64);
    dictionaries.iter().for_each(|record| sink.record(record));
    sink.number(cache.store.contexts_len() as u64);
    let mut index = HashMap::new();
    for (i, (symbol, context, _)) in (0u32..).zip(cache.store.contexts()) {
        index.insert(symbol, i);
        sink.record(&context_record(&context));
    }
    sink.number(cache.store.len() as u64);
    for view in cache.store.by_recency().filter_map(|slot| cache.store.view(slot)) {
        let context = index.get(&view.entry.context).copied().unwrap_or(u32::MAX);
        let named = view.packed().dictionary().and_then(|place| places.get(usize::from(place)).copied().flatten());
        sink.record(&entry_record(&view, context, view.packed(), named));
    }
}

/// The dictionaries, and by which number an entry names that of a place: how many are before it.
pub(super) fn dictionaries(cache: &Cache) -> (Vec<Vec<u8>>, [Option<u8>; MAX_DICTIONARIES]) {
    let (mut records, mut places) = (Vec::new(), [None; MAX_DICTIONARIES]);
    for (i, (place, shown)) in (0u8..).zip(cache.store.dictionaries().placed()) {
        places.get_mut(usize::from(place)).into_iter().for_each(|place| *place = Some(i));
        records.push(dictionary_record(&shown));
    }
    (records, places)
}

/// Reads a whole cache. Entries that are dead by now are read as well: what comes after the snapshot, from the primary or
/// from the append-only file, may have prolonged their lives.
pub fn load(source: &mut impl Source) -> Result<Cache, WireError> {
    let format = source.number()?;
    match format {
        0 => return Err(WireError::Value),
        1..=FORMAT => {}
        _ => return Err(WireError::Version),
    }
    let mut cache = Cache::default();
    cache.read_policy(source.record()?.as_ref())?;
    cache.read_counters(source.record()?.as_ref())?;
    if format > 1 {
        cache.read_feedback(source.record()?.as_ref())?;
    }
    if format > 2 {
        for _ in 0..source.number()? {
            cache.read_plan(source.record()?.as_ref())?;
        }
    }
    if format > 3 {
        cache.read_alerts(source.record()?.as_ref())?;
    }
    if format > 4 {
        for _ in 0..Some(source.number()?).filter(|n| *n <= MAX_DICTIONARIES as u64).ok_or(WireError::Value)? {
            let (dictionary, is_current) = read_dictionary(source.record()?.as_ref())?;
            let dictionaries = cache.store.dictionaries_mut();
            let place = dictionaries.put(Arc::new(dictionary)).ok_or(WireError::Value)?;
            match (is_current, dictionaries.current()) {
                (true, Some(_)) => return Err(WireError::Value),
                (true, None) => dictionaries.set_current(Some(place)),
                (false, _) => {}
            }
        }
    }
    cache.keep_likeness();
    // Contexts are held here until their entries hold them, so that one without entries goes again.
    let mut contexts = Vec::new();
    for _ in 0..source.number()? {
        let record = source.record()?;
        contexts.push(cache.store.acquire_context(&read_context(record.as_ref())?));
    }
    for _ in 0..source.number()? {
        let record = source.record()?;
        let (index, parts) = read_entry(record.as_ref(), cache.store.dictionaries())?;
        let context = *contexts.get(index as usize).ok_or(WireError::Value)?;
        let digest = Identity { context: cache.store.context(context), prompt: parts.prompt }.digest();
        if cache.store.find_id(&digest.id()).is_some() || cache.store.is_full() {
            return Err(WireError::Value);
        }
        cache.store.retain_context(context);
        parts.insert(context, digest, &mut cache);
    }
    contexts.into_iter().for_each(|context| cache.store.release_context(context));
    cache.shrinking = cache.is_over();
    cache.store.dictionaries_mut().sweep();
    cache.keep_dictionary();
    cache.resume_compression();
    Ok(cache)
}

/// Repeating what another node did.
impl Cache {
    /// The policy, strategies and rules as one record.
    pub fn policy_record(&self) -> Vec<u8> {
        policy_record(self)
    }

    /// Takes over the policy, strategies and rules of a record. Nothing is evicted: who wrote it says what goes.
    pub fn read_policy(&mut self, record: &[u8]) -> Result<(), WireError> {
        let (policy, strategies) = read_policy(record)?;
        let before = std::mem::replace(&mut self.policy, policy);
        self.ledger.set_limit(self.policy.max_memory);
        self.strategies = strategies;
        self.shrinking |= self.is_over();
        self.asked_similar &= before.mode == self.policy.mode || self.policy.mode != Mode::Exact;
        if before.dim != self.policy.dim {
            // What is left here of vectors of another size is dead on the node that decided this.
            self.debris = self.store.set_likeness(None).map(Box::new);
        }
        self.keep_likeness();
        self.keep_dictionary();
        Ok(())
    }

    /// The counters as one record.
    pub fn counters_record(&self) -> Vec<u8> {
        let mut w = Writer::record(COUNTERS, V4);
        self.ledger.booked().write(&mut w);
        w.finish()
    }

    /// Takes over the counters of a record.
    pub fn read_counters(&mut self, record: &[u8]) -> Result<(), WireError> {
        let (mut r, version) = Reader::record(record, COUNTERS, V4)?;
        let read = match version {
            V1 => Ledger::read_sums(&mut r, COUNTERS_V1),
            V2 => Ledger::read_sums(&mut r, COUNTERS_V2),
            V3 => Ledger::read_sums(&mut r, COUNTERS_V3),
            _ => Ledger::read(&mut r),
        };
        // Figures that cannot be true are no reason to refuse a cache.
        let mut ledger = match read.and_then(|ledger| r.finish().map(|()| ledger)) {
            Err(WireError::Value) => Ledger::default(),
            read => read?,
        };
        ledger.set_limit(self.policy.max_memory);
        self.ledger = ledger;
        Ok(())
    }

    /// An entry as two records: its context, and the rest. Another node may have other dictionaries or none, so what is
    /// compressed with one goes as it came. None where it is not there or damaged.
    pub fn entry_records(&self, id: &EntryId, codec: &mut Codec) -> Option<(Vec<u8>, Vec<u8>)> {
        let view = self.store.view(self.store.find_id(id)?)?;
        let mut answer = view.packed();
        if answer.dictionary().is_some() {
            let bytes = codec.unpack(answer, view.dictionary()).ok()?;
            answer = PackedRef { encoding: Encoding::Raw, dictionary: 0, raw_len: answer.raw_len, bytes };
        }
        Some((context_record(&view.context()), entry_record(&view, 0, answer, None)))
    }

    /// All bad pairs as one record.
    pub fn feedback_record(&self) -> Vec<u8> {
        feedback_record(self.feedback.pairs().map(|pair| (*pair, false)))
    }

    /// Takes over the bad pairs of a record, and forgives those that it calls good.
    pub fn read_feedback(&mut self, record: &[u8]) -> Result<(), WireError> {
        let most = self.most_pairs();
        for (pair, good) in read_feedback(record)? {
            self.feedback.note(pair, good, most);
        }
        Ok(())
    }

    /// Stores the entry of two records, in place of the one that may be there. One whose id is another one than was told
    /// would stand under another prompt or context than it was stored for.
    pub fn repeat_store(
        &mut self,
        context: &[u8],
        entry: &[u8],
        told: Option<&[u8]>,
        now: UnixMs,
    ) -> Result<Effects, WireError> {
        let (id, cost, expired) = self.put(context, entry, told, now)?;
        if let Some(slot) = self.store.find_id(&id) {
            // When it was stored, and not when a file was read; but the clock of another node sets none back.
            let stored = self.store.get(slot).map_or(now, |entry| entry.created().min(now));
            let stored = stored.max(self.ledger.last_counted());
            match self.retold.checked_sub(1) {
                Some(left) => self.retold = left,
                None => self.count_slot(slot, stored, |counters| counters.stored(cost)),
            }
        }
        Ok(Effects { stored: Some(id), expired, ..Effects::default() })
    }

    /// Takes over the entry of two records whose life was prolonged. Where it still is, it stays and only lives longer.
    pub fn repeat_renewal(&mut self, context: &[u8], entry: &[u8], now: UnixMs) -> Result<Effects, WireError> {
        let (_, parts) = read_entry(entry, &Dictionaries::default())?;
        let digest = Identity { context: read_context(context)?, prompt: parts.prompt }.digest();
        let there = self.store.find(&digest);
        let same = there.filter(|slot| self.store.get(*slot).is_some_and(|entry| entry.etag() == parts.etag));
        let mut effects = Effects { renewed: Some(digest.id()), ..Effects::default() };
        match same {
            Some(slot) => self.store.set_life(slot, parts.life),
            None => effects.expired = self.put(context, entry, None, now)?.2,
        }
        Ok(effects)
    }

    /// Puts the entry of two records in, also one that is dead by now: what is still to come may prolong its life.
    /// Answers its name, its cost, and how many dead entries made way for it.
    fn put(
        &mut self,
        context: &[u8],
        entry: &[u8],
        told: Option<&[u8]>,
        now: UnixMs,
    ) -> Result<(EntryId, MicroUsd, u64), WireError> {
        let context = read_context(context)?;
        let (_, parts) = read_entry(entry, &Dictionaries::default())?;
        let (digest, cost) = (Identity { context, prompt: parts.prompt }.digest(), parts.effort.cost);
        if told.is_some_and(|told| digest.id().to_string().as_bytes() != told) {
            return Err(WireError::Identity);
        }
        self.keep_likeness();
        let there = self.store.find(&digest);
        let dead = there.filter(|slot| !self.is_visible(*slot, now));
        if let Some(slot) = dead {
            self.count_slot(slot, now, |counters| counters.expirations += 1);
        }
        there.and_then(|slot| self.store.remove(slot));
        let expired = u64::from(dead.is_some());
        if !self.store.is_full() {
            let symbol = self.store.acquire_context(&context);
            parts.insert(symbol, digest, self);
        }
        Ok((digest.id(), cost, expired))
    }

    /// Moves the ends of lives that a record names; entries that are not there stay away.
    pub fn repeat_lives(&mut self, record: &[u8]) -> Result<Effects, WireError> {
        let mut effects = Effects::default();
        for (id, life) in read_lives(record)? {
            if let Some(slot) = self.store.find_id(&id) {
                self.store.set_life(slot, life);
                effects.moved.push((id, life));
            }
        }
        Ok(effects)
    }

    /// Takes all entries out, as INVALIDATE ALL did elsewhere.
    pub fn repeat_clear(&mut self) -> Effects {
        let cleared = !self.store.is_empty();
        self.clear();
        Effects { cleared, ..Effects::default() }
    }

    /// Becomes as new, but for counters: all else is about to be told again, so many entries included, which were counted
    /// before.
    pub fn repeat_anew(&mut self, entries: u64) -> Effects {
        let cleared = !self.store.is_empty();
        self.clear();
        let (ledger, debris, versions) = (std::mem::take(&mut self.ledger), self.debris.take(), self.versions);
        *self = Self { ledger, debris, versions, retold: entries, ..Self::default() };
        Effects { cleared, policy: true, ..Effects::default() }
    }
}

fn write_ttl(w: &mut Writer, ttl: Ttl) {
    match ttl {
        Ttl::NotStored => w.u8(0).u64(0),
        Ttl::Millis(ms) => w.u8(1).u64(ms),
        Ttl::Never => w.u8(2).u64(0),
    };
}

fn read_ttl(r: &mut Reader<'_>) -> Result<Ttl, WireError> {
    match (r.u8()?, r.u64()?) {
        (0, _) => Ok(Ttl::NotStored),
        (1, ms) => Ok(Ttl::Millis(ms)),
        (2, _) => Ok(Ttl::Never),
        _ => Err(WireError::Value),
    }
}

fn policy_record(cache: &Cache) -> Vec<u8> {
    let (policy, strategies) = (&cache.policy, &cache.strategies);
    let mut w = Writer::record(POLICY, V3);
    w.u8(policy.mode as u8).u8(policy.evict as u8).u8(policy.compress as u8).u8(policy.level);
    w.u8(policy.jitter_percent).u64(policy.stale_ms).u64(policy.max_entries).u64(policy.max_memory);
    w.bytes(policy.strategy.as_bytes());
    w.u32(policy.prices.len() as u32);
    for (model, price) in &policy.prices {
        w.bytes(model).u64(price.input_per_mtok.micros()).u64(price.output_per_mtok.micros());
        match price.cached_per_mtok {
            None => w.u8(0),
            Some(cached) => w.u8(1).u64(cached.micros()),
        };
    }
    w.u32(strategies.changed().count() as u32);
    for strategy in strategies.changed() {
        w.bytes(strategy.name.as_bytes());
        write_ttl(&mut w, strategy.ttl);
        // u64::MAX and u8::MAX stand for "as the cache says".
        w.u64(strategy.stale_ms.unwrap_or(u64::MAX)).u8(strategy.jitter_percent.unwrap_or(u8::MAX));
    }
    w.u32(strategies.rules().len() as u32);
    for rule in strategies.rules() {
        w.bytes(rule.name.as_bytes()).bytes(rule.strategy.as_bytes());
        for pattern in [&rule.typ, &rule.model, &rule.scope, &rule.prompt] {
            w.option(pattern.as_deref());
        }
    }
    w.u8(policy.similarity as u8).u8(policy.metric as u8).u8(policy.guards.into()).u32(policy.dim.unwrap_or(0));
    // A threshold is a number from 0 to 1: bits that are none stand for the default.
    w.u64(policy.threshold.unwrap_or(f64::NAN).to_bits());
    w.finish()
}

fn read_policy(record: &[u8]) -> Result<(Policy, Strategies), WireError> {
    let (mut r, version) = Reader::record(record, POLICY, V3)?;
    let mut policy = Policy {
        mode: Mode::from_tag(r.u8()?).ok_or(WireError::Value)?,
        evict: Evict::from_tag(r.u8()?).ok_or(WireError::Value)?,
        compress: Compress::from_tag(r.u8()?).ok_or(WireError::Value)?,
        level: Some(r.u8()?).filter(|level| LEVELS.contains(level)).ok_or(WireError::Value)?,
        jitter_percent: Some(r.u8()?).filter(|percent| *percent <= 100).ok_or(WireError::Value)?,
        stale_ms: r.u64()?,
        max_entries: r.u64()?,
        max_memory: r.u64()?,
        strategy: r.text()?.into(),
        ..Policy::default()
    };
    // No limit but the record's own length: many commands may have added to them.
    for _ in 0..r.u32()? {
        let model = r.bytes()?.into();
        let (input, output) = (MicroUsd::from_micros(r.u64()?), MicroUsd::from_micros(r.u64()?));
        let cached_per_mtok = match if version < V3 { 0 } else { r.u8()? } {
            0 => None,
            1 => Some(MicroUsd::from_micros(r.u64()?)),
            _ => return Err(WireError::Value),
        };
        policy.prices.insert(model, Price { input_per_mtok: input, cached_per_mtok, output_per_mtok: output });
    }
    let mut changed = Vec::new();
    for _ in 0..below(r.u32()?, MAX_CUSTOM + super::strategy::BUILTIN_STRATEGIES.len())? {
        let name = r.text()?.into();
        let ttl = read_ttl(&mut r)?;
        let (stale, jitter) = (r.u64()?, r.u8()?);
        let stale_ms = (stale != u64::MAX).then_some(stale);
        let jitter_percent = (jitter != u8::MAX).then_some(jitter);
        changed.push(Strategy { name, ttl, stale_ms, jitter_percent });
    }
    let mut rules = Vec::new();
    for _ in 0..below(r.u32()?, MAX_RULES)? {
        let (name, strategy) = (r.text()?.into(), r.text()?.into());
        let mut pattern = || Ok::<_, WireError>(r.option()?.map(Into::into));
        let (typ, model, scope, prompt) = (pattern()?, pattern()?, pattern()?, pattern()?);
        rules.push(Rule { name, typ, model, scope, prompt, strategy });
    }
    if version > 1 {
        policy.similarity = Kind::from_tag(r.u8()?).ok_or(WireError::Value)?;
        policy.metric = Metric::from_tag(r.u8()?).ok_or(WireError::Value)?;
        policy.guards = r.u8()? != 0;
        policy.dim = Some(below(r.u32()?, MAX_DIM)?).filter(|dim| *dim > 0);
        policy.threshold = Some(f64::from_bits(r.u64()?)).filter(|threshold| (0.0..=1.0).contains(threshold));
    }
    r.finish()?;
    let strategies = Strategies::from_parts(changed, rules).map_err(|_| WireError::Value)?;
    strategies.check_default(&policy.strategy).map_err(|_| WireError::Value)?;
    Ok((policy, strategies))
}

fn below(count: u32, limit: usize) -> Result<u32, WireError> {
    if count as usize > limit {
        return Err(WireError::Value);
    }
    Ok(count)
}

pub(super) fn context_record(context: &Context<'_>) -> Vec<u8> {
    let mut w = Writer::record(CONTEXT, V1);
    w.u8(context.shape as u8).bytes(context.scope).bytes(context.model).bytes(context.system).bytes(context.params);
    w.finish()
}

fn read_context(record: &[u8]) -> Result<Context<'_>, WireError> {
    let (mut r, _) = Reader::record(record, CONTEXT, V1)?;
    let shape = Shape::from_tag(r.u8()?).ok_or(WireError::Value)?;
    let context = Context { shape, scope: r.bytes()?, model: r.bytes()?, system: r.bytes()?, params: r.bytes()? };
    r.finish()?;
    Ok(context)
}

/// An entry with its answer stored like this, by a dictionary that has this number or by none.
pub(super) fn entry_record(
    view: &EntryView<'_>,
    context: u32,
    packed: PackedRef<'_>,
    dictionary: Option<u8>,
) -> Vec<u8> {
    let body = packed.bytes.len() + view.prompt().len() + view.meta().map_or(0, <[u8]>::len);
    let mut w = Writer::sized(ENTRY, V3, 256 + body);
    let (life, effort) = (view.life(), view.effort());
    w.u32(context).u64(view.created().0);
    w.u64(life.fresh_until.0).u64(life.dead_at.0).u64(life.stale_ms);
    w.u64(effort.tokens_in).u64(effort.tokens_out).u8(effort.estimated.into());
    w.u64(effort.cost.micros()).u64(effort.latency_ms).u64(view.hits()).u64(view.etag());
    w.u8(packed.encoding as u8).u32(packed.raw_len).bytes(packed.bytes);
    w.bytes(view.prompt()).bytes(view.strategy()).option(view.rule()).option(view.typ());
    w.u16(view.tags().len() as u16);
    view.tags().for_each(|tag| {
        w.bytes(tag);
    });
    w.option(view.meta());
    w.u8(view.entry.comparable.into());
    write_vector(&mut w, view);
    w.u8(dictionary.unwrap_or(0));
    w.finish()
}

/// An entry as a record holds it.
struct EntryParts<'a> {
    created: UnixMs,
    life: Lifespan,
    effort: Effort,
    hits: u64,
    etag: u64,
    encoding: Encoding,
    raw_len: u32,
    stored: &'a [u8],
    dictionary: u8,
    prompt: &'a [u8],
    strategy: &'a [u8],
    rule: Option<&'a [u8]>,
    typ: Option<&'a [u8]>,
    tags: Vec<&'a [u8]>,
    meta: Option<&'a [u8]>,
    comparable: Option<bool>,
    vector: Vector,
}

/// The vector that stands with an entry.
enum Vector {
    None,
    /// The built-in model's, and which model that was.
    Builtin(u32, Codes),
    /// A client's.
    Client(Codes),
}

fn write_vector(w: &mut Writer, view: &EntryView<'_>) {
    let method = view.store.likeness().map(|index| index.method());
    match (method, view.store.vector(view.entry)) {
        (Some(Method::Builtin), Some(codes)) => w.u8(1).u32(builtin::model_id()).bytes(&codes.to_bytes()),
        (Some(Method::Vector), Some(codes)) => w.u8(2).bytes(&codes.to_bytes()),
        _ => w.u8(0),
    };
}

fn read_vector(r: &mut Reader<'_>) -> Result<Vector, WireError> {
    let codes = |bytes: &[u8], shape| Codes::from_bytes(bytes, shape).map_err(|_| WireError::Value);
    Ok(match r.u8()? {
        0 => Vector::None,
        1 => Vector::Builtin(r.u32()?, codes(r.bytes()?, BUILTIN)?),
        2 => {
            let bytes = r.bytes()?;
            Vector::Client(codes(bytes, VectorShape { dim: bytes.len() / 2, fine: true })?)
        }
        _ => return Err(WireError::Value),
    })
}

fn read_entry<'a>(record: &'a [u8], known: &Dictionaries) -> Result<(u32, EntryParts<'a>), WireError> {
    let (mut r, version) = Reader::record(record, ENTRY, V3)?;
    let context = r.u32()?;
    let created = UnixMs(r.u64()?);
    let life = read_life(&mut r)?;
    let (tokens_in, tokens_out, estimated) = (r.u64()?, r.u64()?, r.u8()? != 0);
    let (cost, latency_ms) = (MicroUsd::from_micros(r.u64()?), r.u64()?);
    let (hits, etag) = (r.u64()?.min(u64::MAX / 8), r.u64()?);
    let encoding = Encoding::from_tag(r.u8()?).ok_or(WireError::Value)?;
    let (raw_len, stored) = (r.u32()?, r.bytes()?);
    let fits = match encoding {
        Encoding::Raw => stored.len() == raw_len as usize,
        Encoding::Zstd => true,
        Encoding::Dict => version >= V3 && is_block(raw_len as usize, stored.len()),
    };
    if raw_len as usize > MAX_ANSWER || !fits {
        return Err(WireError::Value);
    }
    let (prompt, strategy, rule, typ) = (r.bytes()?, r.bytes()?, r.option()?, r.option()?);
    let mut tags = Vec::new();
    for _ in 0..below(r.u16()?.into(), MAX_TAGS)? {
        let tag = r.bytes()?;
        if tags.contains(&tag) {
            return Err(WireError::Value);
        }
        tags.push(tag);
    }
    let meta = r.option()?;
    let (mut comparable, mut vector) = (None, Vector::None);
    if version > 1 {
        (comparable, vector) = (Some(r.u8()? != 0), read_vector(&mut r)?);
    }
    let dictionary = if version >= V3 { r.u8()? } else { 0 };
    let is_known = match encoding {
        Encoding::Dict => known.get(dictionary).is_some(),
        _ => dictionary == 0,
    };
    if !is_known {
        return Err(WireError::Value);
    }
    r.finish()?;
    let effort = Effort { tokens_in, tokens_out, estimated, cost, latency_ms };
    let parts = EntryParts {
        created,
        life,
        effort,
        hits,
        etag,
        encoding,
        raw_len,
        stored,
        dictionary,
        prompt,
        strategy,
        rule,
        typ,
        tags,
        meta,
        comparable,
        vector,
    };
    Ok((context, parts))
}

impl EntryParts<'_> {
    /// Puts the entry into a store. The context is handed over with one user counted for it.
    fn insert(self, context: Symbol, digest: super::identity::Digest, cache: &mut Cache) {
        let (similarity, dim) = (cache.policy.similarity, cache.policy.dim);
        let vector = match self.vector {
            Vector::Builtin(model, codes) if similarity == Kind::Builtin && model == builtin::model_id() => Some(codes),
            Vector::Client(codes) if similarity == Kind::Vector && dim == u32::try_from(codes.shape().dim).ok() => {
                Some(codes)
            }
            _ => None,
        };
        let store = &mut cache.store;
        // The first version did not say which requests end with something that a user said.
        let comparable = self.comparable.unwrap_or(store.context(context).shape == Shape::Plain);
        let (model, scope) = {
            let Context { model, scope, .. } = store.context(context);
            (Box::<[u8]>::from(model), Box::<[u8]>::from(scope))
        };
        let entry = Entry {
            id: digest.id(),
            version: self.etag,
            context,
            model: store.acquire_name(Dimension::Model, &model),
            scope: store.acquire_name(Dimension::Scope, &scope),
            strategy: store.acquire_name(Dimension::Strategy, self.strategy),
            typ: store.acquire_name(Dimension::Type, self.typ.unwrap_or_default()),
            body: Body::new(
                &Rare { effort: self.effort, stale_ms: self.life.stale_ms, created: self.created },
                self.rule.map_or(Symbol::NONE, |rule| store.acquire_rule(rule)),
                self.tags.into_iter().map(|tag| store.acquire_name(Dimension::Tag, tag)),
                self.meta,
                self.prompt,
                self.stored,
            ),
            encoding: self.encoding,
            dictionary: self.dictionary,
            raw_len: self.raw_len,
            known: Known::Etag,
            hot: Place::NONE,
            fresh_until: self.life.fresh_until,
            dead_at: self.life.dead_at,
            hits: self.hits,
            comparable,
            mark: None,
            used: 0,
            asked: (self.hits as f32).min(VETERAN),
        };
        let (version, waits) = (entry.version, entry.encoding == Encoding::Raw);
        let length = entry.raw_len as usize;
        let slot = store.insert(entry, vector.as_ref());
        cache.schedule.stored(length);
        if waits && cache.pressing_level(length).is_some() {
            cache.await_pressing(slot, version, UnixMs(0));
        }
    }
}

fn dictionary_record(shown: &Shown<'_>) -> Vec<u8> {
    let mut w = Writer::record(DICTIONARY, V1);
    let (dictionary, facts) = (shown.dictionary, shown.dictionary.facts());
    w.u8(shown.is_current.into()).u32(facts.version).u32(facts.samples).u32(facts.entries);
    w.u32(facts.tried_raw).u32(facts.tried_stored);
    w.u32(u32::try_from(dictionary.content_len()).unwrap_or(u32::MAX)).bytes(dictionary.packed());
    w.finish()
}

/// A dictionary, and whether it is the current one.
fn read_dictionary(record: &[u8]) -> Result<(Dictionary, bool), WireError> {
    let (mut r, _) = Reader::record(record, DICTIONARY, V1)?;
    let is_current = r.u8()? != 0;
    let (version, samples, entries) = (r.u32()?, r.u32()?, r.u32()?);
    let facts = Facts { version, samples, entries, tried_raw: r.u32()?, tried_stored: r.u32()? };
    let (length, content) = (r.u32()?, r.bytes()?);
    r.finish()?;
    Ok((Dictionary::read(content, length, facts).ok_or(WireError::Value)?, is_current))
}

fn read_life(r: &mut Reader<'_>) -> Result<Lifespan, WireError> {
    let life = Lifespan { fresh_until: UnixMs(r.u64()?), dead_at: UnixMs(r.u64()?), stale_ms: r.u64()? };
    let possible = |at: UnixMs| at.is_never() || at <= UnixMs::LATEST;
    if life.fresh_until > life.dead_at || !possible(life.fresh_until) || !possible(life.dead_at) {
        return Err(WireError::Value);
    }
    Ok(life)
}

/// Pairs as one record, each with whether it is good.
pub fn feedback_record(pairs: impl ExactSizeIterator<Item = (Pair, bool)>) -> Vec<u8> {
    let mut w = Writer::record(FEEDBACK, V1);
    w.u32(u32::try_from(pairs.len()).unwrap_or(u32::MAX));
    for (pair, good) in pairs {
        w.u8(good.into()).fixed(pair.prompt.as_bytes()).fixed(pair.entry.as_bytes());
    }
    w.finish()
}

fn read_feedback(record: &[u8]) -> Result<Vec<(Pair, bool)>, WireError> {
    let (mut r, _) = Reader::record(record, FEEDBACK, V1)?;
    let mut pairs = Vec::new();
    let count = below(r.u32()?, MAX_PAIRS)?;
    for _ in 0..count {
        let good = r.u8()? != 0;
        // Pairs are forgiven one at a time.
        if good && count > 1 {
            return Err(WireError::Value);
        }
        let (prompt, entry) = (EntryId::from_bytes(r.id()?), EntryId::from_bytes(r.id()?));
        pairs.push((Pair { prompt, entry }, good));
    }
    r.finish()?;
    Ok(pairs)
}

/// Ends of lives as one record.
pub fn lives_record(lives: &[(EntryId, Lifespan)]) -> Vec<u8> {
    let mut w = Writer::record(LIVES, V1);
    w.u32(u32::try_from(lives.len()).unwrap_or(u32::MAX));
    for (id, life) in lives {
        w.fixed(id.as_bytes()).u64(life.fresh_until.0).u64(life.dead_at.0).u64(life.stale_ms);
    }
    w.finish()
}

fn read_lives(record: &[u8]) -> Result<Vec<(EntryId, Lifespan)>, WireError> {
    let (mut r, _) = Reader::record(record, LIVES, V1)?;
    let mut lives = Vec::new();
    for _ in 0..r.u32()? {
        lives.push((EntryId::from_bytes(r.id()?), read_life(&mut r)?));
    }
    r.finish()?;
    Ok(lives)
}
