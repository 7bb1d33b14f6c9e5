//! Random operations on a cache, as plain values that a twin can read as well.

use super::support::{etag, loaded, saved, Ask, Rng, START};
use llmcache::core::cache::{Cache, Got, Terms};
use llmcache::core::codec::Codec;
use llmcache::core::effects::Effects;
use llmcache::core::eviction::Pressure;
use llmcache::core::identity::{EntryId, Shape};
use llmcache::core::invalidation::Selection;
use llmcache::core::money::{MicroUsd, Price};
use llmcache::core::policy::{Compress, Evict, PolicyChange};
use llmcache::core::pressing::Pressed;
use llmcache::core::storing::{Answer, Condition, Lifetime, StoreError, Stored};
use llmcache::core::strategy::{Rule, Strategy, Ttl};
use llmcache::core::time::UnixMs;
use llmcache::core::training::Room;
use std::fmt;

/// How long an answer is to live.
#[derive(Clone, Debug)]
pub enum Life {
    Auto,
    Strategy(String),
    After(u64),
    Until(u64),
    Keep,
    Never,
}

/// An answer to be stored.
#[derive(Clone)]
pub struct Put {
    pub ask: Ask,
    pub response: Vec<u8>,
    pub condition: Condition,
    pub life: Life,
    pub stale_ms: Option<u64>,
    pub typ: Option<Vec<u8>>,
    pub tags: Vec<Vec<u8>>,
    pub tokens: Option<(u64, u64)>,
    pub cost: Option<MicroUsd>,
    pub latency_ms: u64,
    pub meta: Option<Vec<u8>>,
    pub temperature_above_one: bool,
    pub pressure: Pressure,
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ask, response, condition, life, stale_ms, pressure, typ, tags, .. } = self;
        write!(f, "{ask:?} {} bytes {condition:?} {life:?} stale {stale_ms:?} {pressure:?} ", response.len())?;
        write!(f, "type {typ:?} tags {tags:?} tokens {:?} cost {:?}", self.tokens, self.cost)
    }
}

impl Put {
    pub fn answer(&self) -> Answer<'_> {
        Answer {
            condition: self.condition,
            lifetime: match &self.life {
                Life::Auto => Lifetime::Auto,
                Life::Strategy(name) => Lifetime::Strategy(name),
                Life::After(ms) => Lifetime::After(*ms),
                Life::Until(at) => Lifetime::Until(UnixMs(*at)),
                Life::Keep => Lifetime::Keep,
                Life::Never => Lifetime::Never,
            },
            stale_ms: self.stale_ms,
            typ: self.typ.as_deref(),
            tags: self.tags.iter().map(|tag| &**tag).collect(),
            tokens: self.tokens,
            cost: self.cost,
            latency_ms: self.latency_ms,
            meta: self.meta.as_deref(),
            temperature_above_one: self.temperature_above_one,
            ..self.ask.answer(&self.response)
        }
    }
}

/// Which entries are meant.
#[derive(Clone, Debug, Default)]
pub struct Which {
    pub tags: Vec<Vec<u8>>,
    pub model: Option<Vec<u8>>,
    pub scope: Option<Vec<u8>>,
    pub typ: Option<Vec<u8>>,
    pub strategy: Option<Vec<u8>>,
    pub ask: Option<Ask>,
    /// Prompts that begin like this.
    pub prefix: Option<Vec<u8>>,
    pub older_than_ms: Option<u64>,
}

impl Which {
    fn with<T>(&self, run: impl FnOnce(&Selection<'_>) -> T) -> T {
        let glob = self.prefix.as_ref().map(|prefix| [&**prefix, b"*"].concat());
        run(&Selection {
            tags: self.tags.iter().map(|tag| &**tag).collect(),
            model: self.model.as_deref(),
            scope: self.scope.as_deref(),
            typ: self.typ.as_deref(),
            strategy: self.strategy.as_deref(),
            digest: self.ask.as_ref().map(Ask::digest),
            glob: glob.as_deref(),
            older_than_ms: self.older_than_ms,
        })
    }
}

/// One step of a run.
#[derive(Clone, Debug)]
pub enum Op {
    Put(Box<Put>),
    Get(Ask, Terms),
    Delete(Vec<EntryId>),
    Invalidate(Which),
    MakeStale(Which),
    ExpireAt(EntryId, u64),
    Expire(usize),
    Relieve(usize, usize),
    Alter(PolicyChange),
    SetStrategy(Strategy),
    DeleteStrategy(String),
    SetRule(Rule),
    DeleteRule(String),
    /// The clock moves, maybe back.
    Clock(i64),
    /// The cache is written and read again.
    Reload,
    /// Answers of so many bytes go to a compressor elsewhere.
    Take(usize),
    /// Some of them come back.
    Bring(usize),
    /// Some are compressed here.
    Press(usize),
    /// Some that are to move to another dictionary go to a compressor.
    Move(usize),
    /// A dictionary is made, where the cache wants one, and taken into use.
    Train,
}

/// What a step answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Nothing,
    Done(bool),
    Count(u64),
    /// How it was stored, the slot left out.
    Put(Result<Kept, Refused>),
    Miss,
    NotModified,
    Hit {
        response: Vec<u8>,
        stale: bool,
        hits: u64,
        ttl: i64,
        age: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Stored,
    ConditionFailed,
    NoCache,
    TooLarge,
    AlreadyOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    UnknownStrategy,
    OutOfMemory,
}

/// A cache with what it works with.
#[derive(Debug)]
pub struct Bench {
    pub cache: Cache,
    pub codec: Codec,
    pub now: UnixMs,
    elsewhere: Vec<Pressed>,
}

impl Bench {
    pub fn new(cache: Cache) -> Self {
        Self { cache, codec: Codec::new(), now: UnixMs(START), elsewhere: Vec::new() }
    }

    /// Does a step.
    pub fn apply(&mut self, op: &Op) -> (Said, Effects) {
        match op {
            Op::Clock(by) => self.now = UnixMs(self.now.0.saturating_add_signed(*by)),
            Op::Reload => self.cache = loaded(&saved(&self.cache)).unwrap(),
            Op::Take(bytes) => {
                let taken = self.cache.take_pressings(*bytes, None);
                self.elsewhere.extend(taken.iter().map(|pressing| pressing.press(&mut self.codec)));
            }
            Op::Bring(count) => {
                let count = self.elsewhere.len().min(*count);
                self.elsewhere.drain(..count).for_each(|pressed| self.cache.bring_back(pressed));
            }
            Op::Press(count) => self.cache.press_some(*count * 500, &mut self.codec),
            Op::Move(bytes) => {
                let taken = self.cache.take_moves(*bytes);
                self.elsewhere.extend(taken.iter().map(|pressing| pressing.press(&mut self.codec)));
            }
            Op::Train => {
                if let Some(mut training) = self.cache.begin_training(usize::MAX) {
                    while !self.cache.gather(&mut training, 50) {}
                    let trained = training.train(&mut self.codec);
                    return (Said::Nothing, self.cache.adopt(trained, Room::Evict, self.now));
                }
            }
            op => return apply(&mut self.cache, op, self.now, &mut self.codec),
        }
        (Said::Nothing, Effects::default())
    }
}

fn apply(cache: &mut Cache, op: &Op, now: UnixMs, codec: &mut Codec) -> (Said, Effects) {
    let done = |result: Option<Effects>| (Said::Done(result.is_some()), result.unwrap_or_default());
    match op {
        Op::Put(put) => match cache.set(&put.answer(), now, put.pressure, codec) {
            Ok((stored, effects)) => {
                let kept = match stored {
                    Stored::Stored(_) => Kept::Stored,
                    Stored::ConditionFailed => Kept::ConditionFailed,
                    Stored::NoCache => Kept::NoCache,
                    Stored::TooLarge => Kept::TooLarge,
                    Stored::AlreadyOver => Kept::AlreadyOver,
                };
                (Said::Put(Ok(kept)), effects)
            }
            Err(StoreError::Strategy(_)) => (Said::Put(Err(Refused::UnknownStrategy)), Effects::default()),
            Err(StoreError::Vector(e)) => panic!("no vectors here: {e}"),
            Err(StoreError::OutOfMemory) => (Said::Put(Err(Refused::OutOfMemory)), Effects::default()),
        },
        Op::Get(ask, terms) => {
            let said = match cache.get(&ask.identity(), terms, now, codec).expect("no answer is damaged") {
                Got::Miss => Said::Miss,
                Got::NotModified => Said::NotModified,
                Got::Hit { entry, response, stale, .. } => Said::Hit {
                    response: response.to_vec(),
                    stale,
                    hits: entry.hits(),
                    ttl: entry.ttl_seconds(now),
                    age: entry.age_seconds(now),
                },
            };
            (said, Effects::default())
        }
        Op::Delete(ids) => {
            let (count, effects) = cache.delete(ids, now);
            (Said::Count(count), effects)
        }
        Op::Invalidate(which) => which.with(|selection| {
            let counted = cache.count_selected(selection, now);
            let (count, effects) = cache.invalidate(selection, now);
            assert_eq!(counted, count, "a dry run tells what will be");
            (Said::Count(count), effects)
        }),
        Op::MakeStale(which) => which.with(|selection| {
            let (count, effects) = cache.make_stale(selection, now);
            (Said::Count(count), effects)
        }),
        Op::ExpireAt(id, at) => {
            let (there, effects) = cache.expire_at(id, UnixMs(*at), now);
            (Said::Done(there), effects)
        }
        Op::Expire(budget) => (Said::Count(cache.expire(now, *budget)), Effects::default()),
        Op::Relieve(bytes, budget) => (Said::Nothing, cache.relieve(*bytes, *budget, now)),
        Op::Alter(change) => done(cache.alter(change, now).ok()),
        Op::SetStrategy(strategy) => {
            let result = cache.alter_strategies(now, |all, _| all.set_strategy(strategy.clone()));
            done(result.ok().map(|(_, effects)| effects))
        }
        Op::DeleteStrategy(name) => {
            let result = cache.alter_strategies(now, |all, policy| all.delete_strategy(name, &policy.strategy));
            done(result.ok().map(|(_, effects)| effects))
        }
        Op::SetRule(rule) => {
            let result = cache.alter_strategies(now, |all, _| all.set_rule(rule.clone()));
            done(result.ok().map(|(_, effects)| effects))
        }
        Op::DeleteRule(name) => {
            let result = cache.alter_strategies(now, |all, _| Ok(all.delete_rule(name)));
            done(result.ok().map(|(_, effects)| effects))
        }
        Op::Clock(_) | Op::Reload | Op::Take(_) | Op::Bring(_) | Op::Press(_) | Op::Move(_) | Op::Train => {
            unreachable!("the bench does these")
        }
    }
}

/// What a run draws from.
#[derive(Clone, Debug)]
pub struct Dice {
    pub rng: Rng,
    pub asks: Vec<Ask>,
    responses: Vec<Vec<u8>>,
    /// Whether the clock may go back.
    pub clock_goes_back: bool,
    /// Whether there may be limits and pressure.
    pub limits: bool,
    /// Whether answers may be compressed.
    pub compression: bool,
    /// Whether steps that lose many entries are rare.
    rare_losses: bool,
}

const DAY: i64 = 86_400_000;
const LATEST: u64 = UnixMs::LATEST.0;

impl Dice {
    pub fn new(mut rng: Rng, asks: usize) -> Self {
        const PROMPTS: [&str; 6] = [
            "Explain how photosynthesis works",
            "Analyze this listing and recommend a price strategy",
            "What are current mortgage rates?",
            "What is the weather right now?",
            "Give me a new UUID",
            "mumble",
        ];
        let shapes = [Shape::Plain, Shape::Plain, Shape::OpenAiChat, Shape::OpenAiResponses, Shape::Anthropic];
        let asks = (0..asks).map(|i| Ask {
            shape: *rng.pick(&shapes),
            scope: rng.pick(&["", "", "ann", "bob"]).as_bytes().into(),
            model: rng.pick(&["", "gpt", "claude"]).as_bytes().into(),
            system: rng.pick(&["", "", "Be brief."]).as_bytes().into(),
            params: rng.pick(&["", "", r#"{"temperature":0}"#]).as_bytes().into(),
            prompt: format!("{} {i}", rng.pick(&PROMPTS)).into_bytes(),
        });
        let asks = asks.collect();
        let lengths = [0, 1, 60, 127, 128, 129, 400, 900, 3000];
        let responses = lengths.iter().map(|&len| rng.text(len)).collect();
        Self { rng, asks, responses, clock_goes_back: true, limits: true, compression: true, rare_losses: false }
    }

    /// So many responses of sentences that others have as well, so that a dictionary is worth it; and few steps take
    /// many entries out.
    pub fn make_responses_alike(&mut self, count: usize) {
        let sentences: Vec<_> = (0..40).map(|_| self.rng.text(90)).collect();
        let mut response = || (0..4).flat_map(|_| self.rng.pick(&sentences).clone()).collect();
        self.responses = (0..count).map(|_| response()).collect();
        self.rare_losses = true;
    }

    fn ask(&mut self) -> Ask {
        self.rng.pick(&self.asks).clone()
    }

    fn tags(&mut self) -> Vec<Vec<u8>> {
        let n = self.rng.below(4);
        // The same tag may be drawn twice.
        (0..n).map(|_| format!("g{}", self.rng.below(5)).into_bytes()).collect()
    }

    fn name(&mut self) -> String {
        let names = ["standard", "REALTIME", "aggressive", "nocache", "mine", "Mine", "other", "unknown"];
        self.rng.pick(&names).to_string()
    }

    fn put(&mut self, now: u64) -> Put {
        let life = match self.rng.below(12) {
            0..=2 => Life::Auto,
            3..=4 => Life::Strategy(self.name()),
            5..=7 => Life::After(*self.rng.pick(&[1, 1000, 20_000, 300_000, 300_000, u64::MAX])),
            8 => Life::Until(*self.rng.pick(&[now - 1, now, now + 3000, LATEST + 7, u64::MAX])),
            9..=10 => Life::Keep,
            _ => Life::Never,
        };
        let pressure = if self.limits { self.rng.below(12) } else { 2 };
        Put {
            ask: self.ask(),
            response: self.rng.pick(&self.responses).clone(),
            condition: *self.rng.pick(&[Condition::Always, Condition::Always, Condition::Absent, Condition::Present]),
            life,
            stale_ms: self.rng.maybe(30, |rng| *rng.pick(&[0, 1, 2000, 100_000, u64::MAX])),
            typ: self.rng.maybe(40, |rng| format!("t{}", rng.below(3)).into_bytes()),
            tags: self.tags(),
            tokens: self.rng.maybe(50, |rng| (rng.below(1000), rng.below(1000))),
            cost: self.rng.maybe(30, |rng| MicroUsd::from_micros(rng.below(1_000_000))),
            latency_ms: self.rng.below(3000),
            meta: self.rng.maybe(20, |rng| format!("{{\"n\":{}}}", rng.below(1000)).into_bytes()),
            temperature_above_one: self.rng.chance(3),
            pressure: match pressure {
                0 => Pressure::Over,
                1 => Pressure::Tight,
                2 => Pressure::Granted,
                _ => Pressure::None,
            },
        }
    }

    fn terms(&mut self) -> Terms {
        Terms {
            mode: None,
            threshold: None,
            stale_ok: self.rng.chance(30),
            max_age_ms: self.rng.maybe(15, |rng| *rng.pick(&[0, 1000, 30_000])),
            no_touch: self.rng.chance(15),
            if_none_match: self.rng.maybe(20, |rng| etag(rng.pick::<Vec<u8>>(&self.responses))),
        }
    }

    fn which(&mut self) -> Which {
        if self.rng.chance(8) {
            return Which::default();
        }
        let mut which = Which::default();
        for _ in 0..=self.rng.below(2) {
            match self.rng.below(8) {
                0..=1 => which.tags = self.tags(),
                2 => which.model = Some(self.ask().model),
                3 => which.scope = Some(self.ask().scope),
                4 => which.typ = Some(format!("t{}", self.rng.below(4)).into_bytes()),
                5 => which.strategy = Some(self.rng.pick(&["explicit", "Standard", "mine"]).as_bytes().into()),
                6 => which.ask = Some(self.ask()),
                _ => which.prefix = Some(self.ask().prompt[..4].into()),
            }
        }
        which.older_than_ms = self.rng.maybe(30, |rng| rng.below(20_000));
        which
    }

    fn change(&mut self, memory: u64) -> PolicyChange {
        let (limits, compression) = (self.limits, self.compression);
        // Sometimes so close that a few bytes more are too many.
        let close = memory + self.rng.below(40);
        let rng = &mut self.rng;
        PolicyChange {
            strategy: rng
                .maybe(20, |rng| rng.pick(&["standard", "realtime", "mine", "nocache", "none such"])[..].into()),
            stale_ms: rng.maybe(20, |rng| *rng.pick(&[0, 1500, 60_000])),
            jitter_percent: rng.maybe(20, |rng| rng.below(101) as u8),
            max_entries: rng.maybe(if limits { 30 } else { 0 }, |rng| *rng.pick(&[0, 0, 0, 3, 12, 25])),
            max_memory: rng
                .maybe(if limits { 30 } else { 0 }, |rng| *rng.pick(&[0, 0, 0, 2000, 15_000, 30_000, close])),
            // Who goes by cost depends on what a compressor has done in the middle of a step, which no twin can know.
            evict: rng.maybe(30, |rng| {
                *rng.pick(&[Evict::Lru, Evict::Ttl, Evict::Lfu, if compression { Evict::Lfu } else { Evict::Cost }])
            }),
            compress: rng.maybe(if compression { 20 } else { 0 }, |rng| {
                *rng.pick(&[Compress::None, Compress::Zstd, Compress::Dict, Compress::Dict])
            }),
            level: rng.maybe(20, |rng| *rng.pick(&[1, 3])),
            prices: rng.maybe(20, Self::price).into_iter().collect(),
            ..PolicyChange::default()
        }
    }

    fn price(rng: &mut Rng) -> (Box<[u8]>, Price) {
        let mut usd = || MicroUsd::from_micros(rng.below(20_000_000));
        let (input_per_mtok, output_per_mtok, cached) = (usd(), usd(), usd());
        let price = Price { input_per_mtok, cached_per_mtok: rng.maybe(50, |_| cached), output_per_mtok };
        (rng.pick(&["gpt", "claude", "", "another"]).as_bytes().into(), price)
    }

    fn strategy(&mut self) -> Strategy {
        let name = self.name().into();
        let rng = &mut self.rng;
        Strategy {
            name,
            ttl: *rng.pick(&[Ttl::Millis(1000), Ttl::Millis(30_000), Ttl::Millis(999), Ttl::Never, Ttl::NotStored]),
            stale_ms: rng.maybe(40, |rng| rng.below(10_000)),
            jitter_percent: rng.maybe(40, |rng| rng.below(120) as u8),
        }
    }

    fn rule(&mut self) -> Rule {
        let strategy = self.name().into();
        let rng = &mut self.rng;
        let mut glob = |text: &str| rng.maybe(40, |_| text.as_bytes().into());
        Rule { typ: glob("t1"), model: glob("g*"), scope: glob("ann"), prompt: glob("*1*"), name: "r".into(), strategy }
    }

    /// The next step for a cache that takes so many bytes.
    pub fn roll(&mut self, memory: usize, now: u64) -> Op {
        let op = self.any(memory, now);
        let loses = match &op {
            Op::Invalidate(_) | Op::MakeStale(_) => true,
            Op::Alter(change) => change.max_entries.or(change.max_memory).is_some_and(|limit| limit > 0),
            Op::Clock(by) => *by >= DAY,
            _ => false,
        };
        match op {
            _ if loses && self.rare_losses && self.rng.chance(97) => Op::Train,
            Op::Put(mut put) if self.rare_losses => {
                (put.life, put.condition) = (Life::Never, Condition::Always);
                Op::Put(put)
            }
            op => op,
        }
    }

    fn any(&mut self, memory: usize, now: u64) -> Op {
        match self.rng.below(100) {
            0..=37 => Op::Put(Box::new(self.put(now))),
            38..=62 => Op::Get(self.ask(), self.terms()),
            63..=66 => Op::Delete((0..self.rng.below(4)).map(|_| self.ask().id()).collect()),
            67..=69 => Op::Invalidate(self.which()),
            70..=72 => Op::MakeStale(self.which()),
            73..=76 => {
                let at = *self.rng.pick(&[0, now, now + 1, now + 3000, now + 90_000, LATEST, LATEST + 5, u64::MAX]);
                Op::ExpireAt(self.ask().id(), at)
            }
            77..=80 => Op::Expire(*self.rng.pick(&[0, 1, 2, 100])),
            81 if self.limits => Op::Relieve(self.rng.below(6000) as usize, self.rng.below(5) as usize),
            81..=85 => Op::Alter(self.change(memory as u64)),
            86 => Op::SetStrategy(self.strategy()),
            87 => Op::DeleteStrategy(self.name()),
            88 => {
                let mut rule = self.rule();
                rule.name = format!("r{}", self.rng.below(3)).into();
                Op::SetRule(rule)
            }
            89 => Op::DeleteRule(format!("r{}", self.rng.below(3))),
            90 => Op::Reload,
            91 if self.clock_goes_back => Op::Clock(-(self.rng.below(10_000) as i64)),
            92 => Op::Clock(*self.rng.pick(&[DAY, 100_000, 100_000, 0])),
            93 => Op::Take(self.rng.below(8000) as usize),
            94..=95 => Op::Bring(self.rng.below(6) as usize),
            96 => Op::Press(self.rng.below(4) as usize),
            97 if self.rng.chance(50) => Op::Move(30_000),
            97 => Op::Train,
            _ => Op::Clock(self.rng.below(6000) as i64),
        }
    }
}
