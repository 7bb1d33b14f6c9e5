//! What the tests share: dice, questions, a cache as bytes, and entries as plain values to compare.

use llmcache::core::cache::Cache;
use llmcache::core::codec::Codec;
use llmcache::core::effects::Effects;
use llmcache::core::entry::{Effort, EntryView, Lifespan, Phase, Slot};
use llmcache::core::eviction::Pressure;
use llmcache::core::identity::{Context, Digest, EntryId, Identity, Shape};
use llmcache::core::persist::{self, Sink, Source};
use llmcache::core::storing::{Answer, Condition, Lifetime, Stored};
use llmcache::core::time::UnixMs;
use llmcache::core::wire::WireError;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A moment in 2025, where tests begin.
pub const START: u64 = 1_750_000_000_000;

/// Dice that fall the same way for the same seed (splitmix64), or as bytes say that somebody chose.
#[derive(Clone, Debug)]
pub struct Rng {
    seed: u64,
    /// The bytes, the last one first.
    chosen: Option<Vec<u8>>,
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self { seed, chosen: None }
    }

    /// They fall as these bytes say, and show nothing but 0 when there are no more.
    #[allow(dead_code)] // fuzz/src/cache.rs does
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self { seed: 0, chosen: Some(bytes.iter().rev().copied().collect()) }
    }

    /// Whether all bytes are used up.
    #[allow(dead_code)] // fuzz/src/cache.rs does
    pub fn is_over(&self) -> bool {
        self.chosen.as_ref().is_some_and(Vec::is_empty)
    }

    pub fn next(&mut self) -> u64 {
        if self.chosen.is_some() {
            return self.below(u64::MAX);
        }
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        let n = n.max(1);
        let Some(chosen) = &mut self.chosen else { return self.next() % n };
        // As many bytes as it takes.
        let (mut drawn, mut most) = (0, n - 1);
        while most > 0 {
            drawn = drawn << 8 | u64::from(chosen.pop().unwrap_or(0));
            most >>= 8;
        }
        drawn % n
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    pub fn maybe<T>(&mut self, percent: u64, then: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(percent).then(|| then(self))
    }

    /// Letters in which some words come again, so that they compress, but not to nothing.
    pub fn text(&mut self, len: usize) -> Vec<u8> {
        const WORDS: [&str; 8] = ["cache ", "answer ", "of ", "the ", "model ", "is ", "word ", "redis "];
        let mut text = Vec::with_capacity(len + 8);
        while text.len() < len {
            match self.below(3) {
                0 => text.extend(format!("{:x} ", self.next() >> 40).bytes()),
                _ => text.extend(self.pick(&WORDS).bytes()),
            }
        }
        text.truncate(len);
        text
    }
}

/// Runs a test with each seed, or with the one that `LLMCACHE_SEED` names.
pub fn with_seeds(seeds: impl IntoIterator<Item = u64>, mut run: impl FnMut(u64, Rng)) {
    let seeds = match std::env::var("LLMCACHE_SEED") {
        Ok(seed) => vec![seed.parse().expect("LLMCACHE_SEED is a number")],
        Err(_) => seeds.into_iter().collect(),
    };
    for seed in seeds {
        println!("LLMCACHE_SEED={seed}");
        run(seed, Rng::new(seed));
    }
}

/// An identity that owns its fields.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    pub shape: Shape,
    pub scope: Vec<u8>,
    pub model: Vec<u8>,
    pub system: Vec<u8>,
    pub params: Vec<u8>,
    pub prompt: Vec<u8>,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [&self.scope, &self.model, &self.system, &self.params, &self.prompt];
        write!(f, "{:?}{:?}", self.shape, fields.map(|field| String::from_utf8_lossy(field)))
    }
}

impl Ask {
    pub fn plain(prompt: impl AsRef<[u8]>) -> Self {
        let prompt = prompt.as_ref().to_vec();
        Self { shape: Shape::Plain, scope: vec![], model: vec![], system: vec![], params: vec![], prompt }
    }

    pub fn of(context: &Context<'_>, prompt: &[u8]) -> Self {
        Self {
            shape: context.shape,
            scope: context.scope.into(),
            model: context.model.into(),
            system: context.system.into(),
            params: context.params.into(),
            prompt: prompt.into(),
        }
    }

    pub fn identity(&self) -> Identity<'_> {
        let context = Context {
            shape: self.shape,
            scope: &self.scope,
            model: &self.model,
            system: &self.system,
            params: &self.params,
        };
        Identity { context, prompt: &self.prompt }
    }

    pub fn digest(&self) -> Digest {
        self.identity().digest()
    }

    pub fn id(&self) -> EntryId {
        self.digest().id()
    }

    /// A plain answer to it, for a test to vary.
    pub fn answer<'a>(&'a self, response: &'a [u8]) -> Answer<'a> {
        Answer {
            identity: self.identity(),
            digest: self.digest(),
            response,
            condition: Condition::Always,
            lifetime: Lifetime::Never,
            stale_ms: None,
            typ: None,
            tags: Vec::new(),
            tokens: None,
            usage: None,
            cost: None,
            latency_ms: 0,
            meta: None,
            temperature_above_one: false,
            comparable: true,
            vector: None,
        }
    }
}

/// Stores without pressure; for what is expected to be stored.
pub fn store(cache: &mut Cache, answer: &Answer<'_>, now: UnixMs) -> Slot {
    match cache.set(answer, now, Pressure::None, &mut Codec::new()) {
        Ok((Stored::Stored(slot), _)) => slot,
        other => panic!("not stored: {other:?}"),
    }
}

/// The name of an answer, found anew.
pub fn etag(response: &[u8]) -> u64 {
    u64::from_be_bytes(Sha256::digest(response)[..8].try_into().unwrap())
}

/// An entry as a plain value: all that a reader can know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub ask: Ask,
    pub digest: Digest,
    pub response: Vec<u8>,
    pub etag: u64,
    pub strategy: String,
    pub rule: Option<String>,
    pub typ: Option<Vec<u8>>,
    pub tags: Vec<Vec<u8>>,
    pub meta: Option<Vec<u8>>,
    pub created: UnixMs,
    pub life: Lifespan,
    pub effort: Effort,
    pub hits: u64,
}

impl Seen {
    pub fn of(view: &EntryView<'_>, codec: &mut Codec) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let response = codec.unpack(view.packed(), view.dictionary()).unwrap().to_vec();
        assert!(view.hot().is_none_or(|hot| hot == response), "a hot copy is the answer");
        Self {
            ask: Ask::of(&view.context(), view.prompt()),
            digest: view.digest(),
            response,
            etag: view.etag(),
            strategy: text(view.strategy()),
            rule: view.rule().map(text),
            typ: view.typ().map(Into::into),
            tags: view.tags().map(Into::into).collect(),
            meta: view.meta().map(Into::into),
            created: view.created(),
            life: view.life(),
            effort: view.effort(),
            hits: view.hits(),
        }
    }

    pub fn phase(&self, now: UnixMs) -> Phase {
        self.life.phase(now)
    }
}

/// All entries, dead ones too, from the one that was used the longest time ago.
pub fn entries(cache: &Cache, codec: &mut Codec) -> Vec<Seen> {
    let store = cache.store();
    store.by_recency().map(|slot| Seen::of(&store.view(slot).unwrap(), codec)).collect()
}

/// Entries that somebody can see, in the order of use.
pub fn visible(cache: &Cache, now: UnixMs, codec: &mut Codec) -> Vec<Seen> {
    let mut seen = entries(cache, codec);
    seen.retain(|entry| entry.phase(now) != Phase::Dead);
    seen
}

/// The same, in an order that does not depend on use.
pub fn visible_by_id(cache: &Cache, now: UnixMs, codec: &mut Codec) -> Vec<Seen> {
    let mut seen = visible(cache, now, codec);
    seen.sort_by_key(|entry| entry.digest.id());
    seen
}

/// A saved cache: numbers as eight bytes, records behind their length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved(pub Vec<u8>);

impl Sink for Saved {
    fn number(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    fn record(&mut self, record: &[u8]) {
        self.number(record.len() as u64);
        self.0.extend(record);
    }
}

/// Reads a saved cache, as distrustful as the server is.
pub struct Loading<'a>(pub &'a [u8]);

impl<'a> Loading<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(WireError::Source)?;
        self.0 = rest;
        Ok(head)
    }
}

impl Source for Loading<'_> {
    fn number(&mut self) -> Result<u64, WireError> {
        self.take(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
    }

    fn record(&mut self) -> Result<impl AsRef<[u8]>, WireError> {
        let length = self.number()?;
        self.take(usize::try_from(length).map_err(|_| WireError::Source)?)
    }
}

pub fn saved(cache: &Cache) -> Vec<u8> {
    let mut sink = Saved::default();
    persist::save(cache, &mut sink);
    sink.0
}

pub fn loaded(bytes: &[u8]) -> Result<Cache, WireError> {
    persist::load(&mut Loading(bytes))
}

/// A saved cache cut into its numbers and records: where each begins and ends, lengths left out.
pub fn records(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut loading = Loading(bytes);
    let mut records = Vec::new();
    let number = |loading: &mut Loading<'_>| loading.number().unwrap();
    let mut record = |loading: &mut Loading<'_>| records.push(loading.record().unwrap().as_ref().to_vec());
    number(&mut loading);
    (0..3).for_each(|_| record(&mut loading));
    // Plans, dictionaries, contexts and entries; the alerts follow the plans.
    for part in 0..4 {
        for _ in 0..number(&mut loading) {
            record(&mut loading);
        }
        (part == 0).then(|| record(&mut loading));
    }
    assert!(loading.0.is_empty());
    records
}

/// What goes to replicas and into the append-only file.
#[derive(Clone, Debug)]
pub enum Message {
    Policy(Vec<u8>),
    Clear,
    Delete(Vec<EntryId>),
    Lives(Vec<u8>),
    Alerts(Vec<u8>),
    Renew(Vec<u8>, Vec<u8>),
    Store(Vec<u8>, Vec<u8>),
}

/// The messages of what has just happened to a cache, in the order in which the shell sends them.
pub fn messages(effects: &Effects, cache: &Cache) -> Vec<Message> {
    let mut all = Vec::new();
    if effects.policy {
        all.push(Message::Policy(cache.policy_record()));
    }
    if effects.cleared {
        all.push(Message::Clear);
    }
    for ids in [&effects.deleted, &effects.evicted] {
        if !ids.is_empty() {
            all.push(Message::Delete(ids.clone()));
        }
    }
    if !effects.moved.is_empty() {
        all.push(Message::Lives(persist::lives_record(&effects.moved)));
    }
    if let Some((context, entry)) = effects.renewed.and_then(|id| cache.entry_records(&id, &mut Codec::new())) {
        all.push(Message::Renew(context, entry));
    }
    if let Some(id) = &effects.stored {
        let (context, entry) = cache.entry_records(id, &mut Codec::new()).expect("what was stored is there");
        all.push(Message::Store(context, entry));
    }
    if effects.alerts {
        all.push(Message::Alerts(cache.alerts_record()));
    }
    assert_eq!(all.is_empty(), effects.is_silent());
    all
}

impl Message {
    /// Repeats it on another cache.
    pub fn repeat(&self, replica: &mut Cache, now: UnixMs) {
        match self {
            Self::Policy(record) => replica.read_policy(record).unwrap(),
            Self::Clear => drop(replica.repeat_clear()),
            Self::Delete(ids) => drop(replica.delete(ids, now)),
            Self::Lives(record) => drop(replica.repeat_lives(record).unwrap()),
            Self::Alerts(record) => drop(replica.read_alerts(record).unwrap()),
            Self::Renew(context, entry) => drop(replica.repeat_renewal(context, entry, now).unwrap()),
            Self::Store(context, entry) => drop(replica.repeat_store(context, entry, None, now).unwrap()),
        }
    }
}
