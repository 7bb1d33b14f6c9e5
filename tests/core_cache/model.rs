//! The naive twin: a list of entries from the least to the most recently used, searched from end to end, and the rules of
//! a cache written down once more from what a user is told. Slow, and obviously right.

use super::ops::{Kept, Life, Op, Put, Refused, Said, Which};
use super::support::{etag, Ask, Seen};
use llmcache::core::cache::{Cache, Terms};
use llmcache::core::codec::Codec;
use llmcache::core::effects::Effects;
use llmcache::core::entry::{Effort, Lifespan, Phase, Slot};
use llmcache::core::eviction::Pressure;
use llmcache::core::identity::{EntryId, Shape};
use llmcache::core::ledger::counters::Counters;
use llmcache::core::ledger::{Dimension, Window};
use llmcache::core::money::MicroUsd;
use llmcache::core::policy::{Evict, Policy};
use llmcache::core::request::Usage;
use llmcache::core::stats::{Breakdown, Scope, OTHER};
use llmcache::core::storing::Condition;
use llmcache::core::strategy::{Question, Strategies, Ttl};
use llmcache::core::time::UnixMs;
use std::collections::{BTreeMap, HashSet};

const NEVER: u64 = u64::MAX;
/// 9999-12-31T23:59:59.999Z
const LATEST: u64 = 253_402_300_799_999;

/// Bytes of a place in the order of expiry.
const EXPIRY: usize = 28;

/// What is set aside by the entry for those that went, where a limit is or somebody went.
const GHOST: usize = 9;

/// An entry, and what the twin must be told: where it lives (ties are broken by it) and what it takes, with a hot copy and without.
#[derive(Clone, Debug)]
struct Held {
    seen: Seen,
    slot: Option<Slot>,
    memory: usize,
    cold: usize,
    /// When it was last used by the clock of lookups, and how often it was asked as of then. How it begins, the cache says,
    /// which may remember it.
    used: u64,
    asked: f32,
}

/// A half-life on the clock of lookups: sixteen of them for each entry.
const HALF_LIFE: u64 = 1 << 32;

/// The names that something is counted under: model, scope, strategy, type, tags.
type Names = [Vec<Vec<u8>>; 5];

fn names(ask: &Ask, strategy: &str, typ: Option<&Vec<u8>>, tags: &[Vec<u8>]) -> Names {
    let mut different: Vec<Vec<u8>> = Vec::new();
    for tag in tags {
        if !different.contains(tag) {
            different.push(tag.clone());
        }
    }
    if different.is_empty() {
        different.push(Vec::new());
    }
    let typ = typ.cloned().unwrap_or_default();
    [vec![ask.model.clone()], vec![ask.scope.clone()], vec![strategy.into()], vec![typ], different]
}

/// What was counted, in all and by name, and when.
#[derive(Clone, Debug, Default)]
pub struct Books {
    pub first_lookup: Option<UnixMs>,
    pub all: Counters,
    pub by: [BTreeMap<Vec<u8>, Counters>; 5],
    now: UnixMs,
    /// The second of the last count: where the clock is set back, that one goes on.
    second: u64,
    history: Vec<(u64, Names, Counters)>,
}

impl Books {
    fn count(&mut self, names: Names, add: impl Fn(&mut Counters)) {
        let mut counted = Counters::default();
        add(&mut counted);
        self.second = self.second.max(self.now.0 / 1000);
        self.history.push((self.second, names.clone(), counted));
        add(&mut self.all);
        for (by, names) in self.by.iter_mut().zip(names) {
            names.into_iter().for_each(|name| add(by.entry(name).or_default()));
        }
    }

    /// As a cache's statistics tell it, as long as there is room for every name.
    fn of(cache: &Cache) -> Self {
        let ledger = cache.ledger();
        let by = Dimension::ALL
            .map(|dimension| ledger.counted_by(dimension, None).0.map(|(name, sum)| (name.to_vec(), sum)).collect());
        Self { first_lookup: ledger.first_lookup(), all: *ledger.counters(), by, ..Self::default() }
    }

    /// What was counted since a second, by name and in all: of tags, an entry of three counts three times.
    fn since(&self, second: u64, dimension: Dimension) -> (BTreeMap<Vec<u8>, Counters>, Counters) {
        let (mut by, mut sum) = (BTreeMap::<_, Counters>::new(), Counters::default());
        for (_, names, counted) in self.history.iter().rev().take_while(|(at, ..)| *at >= second) {
            for name in &names[dimension as usize] {
                by.entry(name.clone()).or_default().merge(counted);
                sum.merge(counted);
            }
        }
        (by, sum)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Twin {
    held: Vec<Held>,
    policy: Policy,
    strategies: Strategies,
    pub books: Books,
    /// Whether there was little room for names at any time, so that not all are known.
    was_limited: bool,
    /// Bytes of what a cache is when it is empty, and of its dictionaries.
    policy_memory: usize,
    dictionaries: usize,
    /// Whether the size of everything is known beforehand. Compression runs when it likes, so then the cache says how
    /// many entries had to go, and the twin only which.
    exact: bool,
    /// Whether those that went are remembered.
    remembers: bool,
    /// The clock of lookups.
    clock: u64,
    /// How many entries had to go.
    gone: (usize, u64),
    /// How many steps were made.
    steps: usize,
}

/// Bytes of what is known of a name's entries, with the slack of the table.
const HOLDING: usize = 32 * 11 / 8;

fn later(at: u64, ms: u64) -> u64 {
    if at == NEVER {
        NEVER
    } else {
        at.saturating_add(ms).min(LATEST)
    }
}

fn life(fresh_until: u64, stale_ms: u64) -> Lifespan {
    let fresh_until = later(fresh_until, 0);
    Lifespan { fresh_until: UnixMs(fresh_until), dead_at: UnixMs(later(fresh_until, stale_ms)), stale_ms }
}

/// Bytes of a string that entries share: jemalloc's class for it, and 52 for its place in the tables.
fn charge(len: usize) -> usize {
    let classes = (16..=128).step_by(16).chain((7..40).flat_map(|p| (5..=8).map(move |q| q << (p - 2))));
    let class = match len {
        0 => 0,
        1..=8 => 8,
        _ => classes.into_iter().find(|class| *class >= len).unwrap(),
    };
    class + 52
}

impl Held {
    fn phase(&self, now: UnixMs) -> Phase {
        match self.seen.life {
            life if now < life.fresh_until => Phase::Fresh,
            life if now < life.dead_at => Phase::Stale,
            _ => Phase::Dead,
        }
    }

    /// When it would have been asked once for a byte and a micro-dollar, if all its use had been then.
    fn rank(&self, evict: Evict) -> i128 {
        let effort = &self.seen.effort;
        let saved = match effort.cost.micros() {
            0 => (effort.tokens_in as f32 * 0.1 + effort.tokens_out as f32 * 0.4).max(0.1),
            micros => micros as f32,
        };
        let weight = match evict {
            Evict::Lru | Evict::Ttl => 1.0,
            Evict::Lfu => self.asked,
            Evict::Cost => self.asked * (saved / self.cold as f32),
        };
        i128::from(self.used) + i128::from((f64::from(weight).log2() * HALF_LIFE as f64) as i64)
    }

    fn names(&self) -> Names {
        let seen = &self.seen;
        names(&seen.ask, &seen.strategy, seen.typ.as_ref(), &seen.tags)
    }

    fn context(&self) -> (Shape, &[u8], &[u8], &[u8], &[u8]) {
        let ask = &self.seen.ask;
        (ask.shape, &ask.scope, &ask.model, &ask.system, &ask.params)
    }
}

/// Whether a cache like this keeps its limit without any entries.
fn has_room(policy: &Policy, strategies: &Strategies) -> bool {
    let mut bare = Cache::with_policy(Policy { max_memory: 0, ..policy.clone() });
    let take_over = |all: &mut Strategies, _: &Policy| {
        *all = strategies.clone();
        Ok(())
    };
    bare.alter_strategies(UnixMs(0), take_over).unwrap();
    // A part of 16 is set aside for statistics.
    let needed = bare.policy_memory() as u64;
    policy.max_memory == 0 || needed + needed.div_ceil(15) <= policy.max_memory
}

impl Twin {
    pub fn new(policy: Policy, exact: bool) -> Self {
        Self { policy, exact, ..Self::default() }
    }

    pub fn entries(&self) -> Vec<Seen> {
        self.held.iter().map(|held| held.seen.clone()).collect()
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    pub fn strategies(&self) -> &Strategies {
        &self.strategies
    }

    /// Bytes of the strings that entries share, each counted once.
    pub fn shared(&self) -> usize {
        let mut names = HashSet::new();
        for held in &self.held {
            let [model, scope, strategy, typ, _] = held.names();
            let tags = held.seen.tags.clone();
            let kinds = [model, scope, strategy, typ, tags].into_iter().enumerate();
            names.extend(kinds.flat_map(|(kind, names)| names.into_iter().map(move |name| (kind, name))));
        }
        let rules: HashSet<_> = self.held.iter().filter_map(|held| held.seen.rule.as_ref()).collect();
        let contexts: HashSet<_> = self.held.iter().map(Held::context).collect();
        let length = |(_, a, b, c, d): &(_, &[u8], &[u8], &[u8], &[u8])| 13 + a.len() + b.len() + c.len() + d.len();
        names.iter().map(|(_, name)| charge(name.len()) + HOLDING).sum::<usize>()
            + rules.iter().map(|rule| charge(rule.len())).sum::<usize>()
            + contexts.iter().map(|context| charge(length(context))).sum::<usize>()
    }

    pub fn memory(&self) -> usize {
        let held: usize = self.held.iter().map(|held| held.memory).sum();
        let ghosts = if self.policy.max_memory > 0 || self.remembers { GHOST * self.held.len() } else { 0 };
        self.policy_memory + self.dictionaries + held + ghosts + self.shared()
    }

    /// Asks the cache what only it can know.
    pub fn learn(&mut self, cache: &Cache) {
        self.dictionaries = cache.store().dictionaries().memory();
        for held in &mut self.held {
            held.slot = cache.store().find_id(&held.seen.digest.id());
            let Some(view) = held.slot.and_then(|slot| cache.store().view(slot)) else { continue };
            (held.memory, held.cold) = (view.memory(), view.cold_memory());
        }
    }

    /// Of a cache that was read again, only the order of use is known.
    fn learn_usage(&mut self, cache: &Cache) {
        for held in &mut self.held {
            (held.used, held.asked) = held.slot.and_then(|slot| cache.store().view(slot)).unwrap().usage();
        }
        self.clock = self.held.last().map_or(self.clock, |held| held.used);
    }

    /// A lookup takes time, the more the fewer entries there are.
    fn pass(&mut self) {
        self.clock += HALF_LIFE / (16 * self.held.len().max(64) as u64);
    }

    /// Figures by name against sums over all entries, and the sums of all names against the whole.
    fn same_figures(&self, cache: &Cache) -> Result<(), String> {
        let scope = Scope { now: UnixMs(0), window: None, gb_month: MicroUsd::ZERO };
        for dimension in Dimension::ALL {
            let mut breakdown = Breakdown::new(dimension);
            breakdown.add(cache, cache.memory() as u64, false, &scope);
            let (mut sum, mut memory) = (Counters::default(), 0);
            let told = breakdown.finish();
            for (name, stats) in &told {
                sum.merge(&stats.counters);
                memory += stats.holding.memory;
                if **name != *OTHER {
                    let held =
                        || self.held.iter().filter(|held| held.names()[dimension as usize].contains(&name.to_vec()));
                    let entries = held().count() as u64;
                    let raw = held().map(|held| held.seen.response.len() as u64).sum::<u64>();
                    if (stats.holding.entries, stats.holding.bytes_raw) != (entries, raw) {
                        return Err(format!("{} {name:?} holds {:?}", dimension.name(), stats.holding));
                    }
                }
            }
            let all: u64 = told.iter().map(|(_, stats)| stats.holding.entries).sum();
            if dimension != Dimension::Tag && (sum, all) != (self.books.all, self.held.len() as u64) {
                return Err(format!("by {} it comes to {sum:?}, not {:?}", dimension.name(), self.books.all));
            }
            if all > 0 && memory != cache.memory() as u64 {
                return Err(format!("by {} it takes {memory} of {}", dimension.name(), cache.memory()));
            }
        }
        Ok(())
    }

    /// Figures in a window, now of one length and now of another, against the list of all that was counted; and by name, they come
    /// to the whole in it.
    fn same_windows(&self, cache: &Cache) -> Result<(), String> {
        const WINDOWS: [u64; 11] = [1, 7, 60, 119, 120, 121, 600, 3600, 7200, 7201, 31 * 86_400];
        if !self.steps.is_multiple_of(4) {
            return Ok(());
        }
        let seconds = WINDOWS[self.steps / 4 % WINDOWS.len()];
        let window = Window::last(seconds, self.books.now);
        // It ends with the second that was reached.
        let from = Window::last(seconds, self.books.now.max(UnixMs(self.books.second * 1000))).begin().0 / 1000;
        let scope = Scope { now: self.books.now, window: Some(window), gb_month: MicroUsd::ZERO };
        for dimension in Dimension::ALL {
            let place = format!("by {} in {seconds} s from {from} on", dimension.name());
            let ledger = cache.ledger();
            let (names, sum) = ledger.counted_by(dimension, Some(&window));
            let mut known: BTreeMap<_, _> = names.map(|(name, counters)| (name.to_vec(), counters)).collect();
            known.retain(|_, counters| *counters != Counters::default());
            // Where there is little room, names and history may be forgotten; what is told still adds up.
            if !self.was_limited && (known.clone(), sum) != self.books.since(from, dimension) {
                return Err(format!(
                    "{place}: {known:#?} {sum:#?}, by the twin {:#?}",
                    self.books.since(from, dimension)
                ));
            }
            let mut breakdown = Breakdown::new(dimension);
            breakdown.add(cache, cache.memory() as u64, false, &scope);
            let mut told = Counters::default();
            breakdown.finish().iter().for_each(|(_, stats)| told.merge(&stats.counters));
            if told != sum || dimension != Dimension::Tag && sum != cache.ledger().counted(Some(&window)) {
                return Err(format!("{place}: {told:#?} are told, {sum:#?} in all"));
            }
        }
        Ok(())
    }

    fn at(&self, id: &EntryId) -> Option<usize> {
        self.held.iter().position(|held| held.seen.digest.id() == *id)
    }

    fn visible(&self, id: &EntryId, now: UnixMs) -> Option<usize> {
        self.at(id).filter(|at| self.held[*at].phase(now) != Phase::Dead)
    }

    /// Does a step. `cache` has done it already, and has said and done this.
    pub fn apply(&mut self, op: &Op, now: UnixMs, cache: &Cache, said: &Said, done: &Effects) -> (Said, Effects) {
        self.gone = (done.evicted.len(), done.expired);
        (self.books.now, self.steps) = (now, self.steps + 1);
        let mut effects = Effects::default();
        let said = match op {
            Op::Put(put) => self.put(put, now, cache, said, &mut effects),
            Op::Get(ask, terms) => self.get(ask, terms, now),
            Op::Delete(ids) => {
                for id in ids {
                    self.take_out(self.at(id), now, &mut effects);
                }
                Said::Count(effects.deleted.len() as u64)
            }
            Op::Invalidate(which) => self.invalidate(which, now, &mut effects),
            Op::MakeStale(which) => self.make_stale(which, now, &mut effects),
            Op::ExpireAt(id, at) => {
                let there = self.visible(id, now);
                match there {
                    Some(place) if *at <= now.0 => self.take_out(Some(place), now, &mut effects),
                    Some(place) => {
                        let held = &mut self.held[place];
                        let before = held.seen.life.dead_at.is_never();
                        let old = held.seen.life.dead_at;
                        held.seen.life = life(*at, held.seen.life.stale_ms);
                        // What is to expire takes a place in the order of expiry.
                        let after = held.seen.life.dead_at.is_never();
                        held.memory = held.memory + EXPIRY * usize::from(!after) - EXPIRY * usize::from(!before);
                        if held.seen.life.dead_at > old {
                            effects.renewed = Some(*id);
                        } else {
                            effects.moved.push((*id, held.seen.life));
                        }
                        self.keep_limits(None, now, &mut effects);
                    }
                    None => {}
                }
                Said::Done(there.is_some())
            }
            Op::Expire(budget) => {
                let gone = |held: &Held| now.0 != NEVER && later(held.seen.life.dead_at.0, 1000) <= now.0;
                let mut dead: Vec<_> = self.held.iter().filter(|held| gone(held)).cloned().collect();
                dead.sort_by_key(|held| (held.seen.life.dead_at, held.slot));
                dead.truncate(*budget);
                self.held.retain(|held| !dead.iter().any(|dead| dead.slot == held.slot));
                dead.iter().for_each(|held| self.books.count(held.names(), |c| c.expirations += 1));
                Said::Count(dead.len() as u64)
            }
            Op::Relieve(bytes, budget) => {
                let target = self.memory().saturating_sub(*bytes);
                self.evict_to(target, *budget, None, now, &mut effects);
                Said::Nothing
            }
            Op::Alter(change) => {
                let known = change.strategy.as_ref().is_none_or(|name| self.strategies.find(name).is_some());
                let policy = self.policy.changed(change).unwrap();
                let done = known && has_room(&policy, &self.strategies);
                if done {
                    self.policy = policy;
                    self.changed(now, cache, &mut effects);
                }
                Said::Done(done)
            }
            Op::SetStrategy(_) | Op::DeleteStrategy(_) | Op::SetRule(_) | Op::DeleteRule(_) => {
                let mut changed = self.strategies.clone();
                let all = &mut changed;
                let done = match op {
                    Op::SetStrategy(strategy) => all.set_strategy(strategy.clone()).is_ok(),
                    Op::DeleteStrategy(name) => all.delete_strategy(name, &self.policy.strategy).is_ok(),
                    Op::SetRule(rule) => all.set_rule(rule.clone()).is_ok(),
                    Op::DeleteRule(name) => {
                        all.delete_rule(name);
                        true
                    }
                    _ => unreachable!(),
                };
                let done = done && has_room(&self.policy, &changed);
                if done {
                    self.strategies = changed;
                    self.changed(now, cache, &mut effects);
                }
                Said::Done(done)
            }
            Op::Train => {
                self.keep_limits(None, now, &mut effects);
                Said::Nothing
            }
            Op::Clock(_) | Op::Reload | Op::Take(_) | Op::Bring(_) | Op::Press(_) | Op::Move(_) => Said::Nothing,
        };
        self.policy_memory = cache.policy_memory();
        self.was_limited |= self.policy.max_memory > 0;
        self.remembers &= !self.held.is_empty() && !matches!(op, Op::Reload);
        self.learn(cache);
        if matches!(op, Op::Reload) {
            self.learn_usage(cache);
        }
        (said, effects)
    }

    fn changed(&mut self, now: UnixMs, cache: &Cache, effects: &mut Effects) {
        effects.policy = true;
        self.policy_memory = cache.policy_memory();
        self.keep_limits(None, now, effects);
    }

    fn put(&mut self, put: &Put, now: UnixMs, cache: &Cache, said: &Said, effects: &mut Effects) -> Said {
        let skip = |twin: &mut Self, strategy: &str, why| {
            twin.books.count(names(&put.ask, strategy, put.typ.as_ref(), &put.tags), |c| c.skips += 1);
            Said::Put(Ok(why))
        };
        let digest = put.ask.digest();
        let there = self.at(&digest.id());
        let phase = there.map(|at| self.held[at].phase(now));
        let Ok(resolved) = self.resolve(put, now) else { return Said::Put(Err(Refused::UnknownStrategy)) };
        let visible = matches!(phase, Some(Phase::Fresh | Phase::Stale));
        let meant = resolved.as_ref().map_or("nocache".to_owned(), |(_, strategy, _)| strategy.clone());
        match put.condition {
            Condition::Absent if phase == Some(Phase::Fresh) => return skip(self, &meant, Kept::ConditionFailed),
            Condition::Present if !visible => return skip(self, &meant, Kept::ConditionFailed),
            _ => {}
        }
        let Some((life, strategy, rule)) = resolved else { return skip(self, &meant, Kept::NoCache) };
        if life.fresh_until <= now {
            self.take_out(there, now, effects);
            return skip(self, &meant, Kept::AlreadyOver);
        }
        let mut tags = Vec::new();
        for tag in &put.tags {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        let effort = self.effort(put);
        let seen = Seen {
            ask: put.ask.clone(),
            digest,
            response: put.response.clone(),
            etag: etag(&put.response),
            strategy,
            rule,
            typ: put.typ.clone(),
            tags,
            meta: put.meta.clone(),
            created: now,
            life,
            effort,
            hits: 0,
        };
        let alone = self.alone(put, &seen);
        let too_large = self.policy.max_memory > 0 && (self.policy_memory + alone) as u64 > self.policy.max_memory;
        // As it comes it is too large, but compressed it may not be.
        if too_large && (self.exact || *said == Said::Put(Ok(Kept::TooLarge))) {
            return skip(self, &meant, Kept::TooLarge);
        }
        if put.pressure == Pressure::Over && self.held.is_empty() {
            return Said::Put(Err(Refused::OutOfMemory));
        }
        let before = self.memory();
        if let Some(at) = there {
            let old = self.held.remove(at);
            self.remembers &= !self.held.is_empty();
            if phase == Some(Phase::Dead) {
                self.books.count(old.names(), |c| c.expirations += 1);
                effects.expired += 1;
            }
        }
        self.books.count(names(&seen.ask, &seen.strategy, seen.typ.as_ref(), &seen.tags), |c| {
            c.stores += 1;
            c.micros_spent = c.micros_spent.saturating_add(effort.cost.micros());
        });
        // What was just stored is never evicted, so the cache can be asked for it.
        let slot = cache.store().find(&digest);
        let view = slot.and_then(|slot| cache.store().view(slot)).unwrap();
        let (memory, cold, (used, asked)) = (view.memory(), view.cold_memory(), view.usage());
        self.clock = used;
        self.held.push(Held { seen, slot, memory, cold, used, asked });
        effects.stored = Some(digest.id());
        self.keep_limits(slot, now, effects);
        match put.pressure {
            Pressure::None | Pressure::Granted => {}
            Pressure::Tight => self.evict_to(before, 64, slot, now, effects),
            Pressure::Over => self.evict_to(before.saturating_sub(alone), 64, slot, now, effects),
        }
        Said::Put(Ok(Kept::Stored))
    }

    /// What an entry takes with no other beside it, as a cache of its own tells.
    fn alone(&self, put: &Put, seen: &Seen) -> usize {
        let policy = Policy { max_entries: 0, max_memory: 0, ..self.policy.clone() };
        let mut cache = Cache::with_policy(policy);
        let mut answer = put.answer();
        // The names that it is stored under, and a life that ends where its own does.
        answer.lifetime = match seen.life.dead_at.is_never() {
            true => llmcache::core::storing::Lifetime::Never,
            false => llmcache::core::storing::Lifetime::After(1000),
        };
        answer.condition = Condition::Always;
        // Numbers take as many bytes as they need.
        answer.stale_ms = Some(seen.life.stale_ms);
        super::support::store(&mut cache, &answer, seen.created);
        let named = |strategy: &str| charge(strategy.len()) + HOLDING;
        let names = named(&seen.strategy) + seen.rule.as_deref().map_or(0, |rule| charge(rule.len()));
        let ghost = if self.policy.max_memory > 0 { GHOST } else { 0 };
        cache.store().entries_memory() + cache.store().shared_memory() - named("explicit") + names + ghost
    }

    #[allow(clippy::type_complexity)]
    fn resolve(&self, put: &Put, now: UnixMs) -> Result<Option<(Lifespan, String, Option<String>)>, ()> {
        let stale = put.stale_ms.unwrap_or(self.policy.stale_ms);
        let explicit = |life| Ok(Some((life, "explicit".to_owned(), None)));
        let there = self.at(&put.ask.id()).map(|at| &self.held[at]);
        let fresh = there.filter(|held| held.phase(now) == Phase::Fresh).map(|held| held.seen.life);
        let (strategy, rule) = match &put.life {
            Life::After(ms) => return explicit(life(later(now.0, *ms), stale)),
            Life::Until(at) => return explicit(life(*at, stale)),
            Life::Never => return explicit(life(NEVER, stale)),
            Life::Keep => {
                let Some(there) = fresh else { return explicit(life(NEVER, stale)) };
                return explicit(put.stale_ms.map_or(there, |stale| life(there.fresh_until.0, stale)));
            }
            Life::Strategy(name) => (self.strategies.find(name).ok_or(())?, None),
            Life::Auto => {
                let decision = self.strategies.decide(
                    &Question {
                        prompt: &put.ask.prompt,
                        model: &put.ask.model,
                        scope: &put.ask.scope,
                        typ: put.typ.as_deref(),
                        temperature_above_one: put.temperature_above_one,
                    },
                    &self.policy.strategy,
                );
                (decision.strategy, Some(decision.rule.to_owned()))
            }
        };
        let jitter = strategy.jitter_percent.unwrap_or(self.policy.jitter_percent);
        let lot = u64::from_le_bytes(put.ask.digest().as_bytes()[16..24].try_into().unwrap());
        let fresh_until = match strategy.ttl {
            Ttl::NotStored => return Ok(None),
            Ttl::Never => NEVER,
            Ttl::Millis(ms) => later(now.0, llmcache::core::strategy::jittered(ms, jitter, lot)),
        };
        let stale = put.stale_ms.or(strategy.stale_ms).unwrap_or(self.policy.stale_ms);
        Ok(Some((life(fresh_until, stale), strategy.name.to_string(), rule)))
    }

    fn effort(&self, put: &Put) -> Effort {
        let ask = &put.ask;
        let guess = |bytes: usize| (bytes as u64).div_ceil(4);
        let history = if ask.shape == Shape::Plain { 0 } else { ask.params.len() };
        let guessed = (guess(ask.prompt.len() + ask.system.len() + history), guess(put.response.len()));
        let (tokens_in, tokens_out) = put.tokens.unwrap_or(guessed);
        let price = self.policy.prices.get(&*ask.model);
        let usage = Usage { input: tokens_in, cached: 0, output: tokens_out };
        let cost = put.cost.or(price.map(|price| price.cost(&usage))).unwrap_or(MicroUsd::ZERO);
        Effort { tokens_in, tokens_out, estimated: put.tokens.is_none(), cost, latency_ms: put.latency_ms }
    }

    fn get(&mut self, ask: &Ask, terms: &Terms, now: UnixMs) -> Said {
        let at = self.at(&ask.id());
        let answers = at.filter(|at| {
            let held = &self.held[*at];
            let young = terms.max_age_ms.is_none_or(|limit| now.since(held.seen.created) <= limit);
            young && (held.phase(now) == Phase::Fresh || terms.stale_ok && held.phase(now) == Phase::Stale)
        });
        if !terms.no_touch {
            self.books.first_lookup = self.books.first_lookup.or(Some(now));
            self.pass();
            let nobody = names(ask, "", None, &[]);
            match (at, answers) {
                (None, _) => {
                    self.books.count(nobody, |c| (c.lookups, c.miss_absent) = (c.lookups + 1, c.miss_absent + 1))
                }
                (Some(_), None) => {
                    self.books.count(nobody, |c| (c.lookups, c.miss_expired) = (c.lookups + 1, c.miss_expired + 1));
                }
                (_, Some(at)) => {
                    let held = self.held[at].clone();
                    let (effort, stale) = (held.seen.effort, held.phase(now) == Phase::Stale);
                    let guessed = if effort.estimated { effort.tokens_in + effort.tokens_out } else { 0 };
                    self.books.count(held.names(), |c| {
                        c.lookups += 1;
                        *(if stale { &mut c.hits_stale } else { &mut c.hits_exact }) += 1;
                        c.tokens_saved_in += effort.tokens_in;
                        c.tokens_saved_out += effort.tokens_out;
                        c.tokens_saved_estimated += guessed;
                        c.latency_saved_ms += effort.latency_ms;
                        c.micros_saved = c.micros_saved.saturating_add(effort.cost.micros());
                    });
                }
            }
        }
        let Some(at) = answers else { return Said::Miss };
        let mut held = self.held[at].clone();
        if !terms.no_touch {
            held.seen.hits += 1;
            held.asked = 1.0 + held.asked * (-((self.clock - held.used) as f32) / HALF_LIFE as f32).exp2();
            held.used = self.clock;
            self.held.remove(at);
            self.held.push(held.clone());
        }
        if terms.if_none_match == Some(held.seen.etag) {
            return Said::NotModified;
        }
        let left = held.seen.life.fresh_until.since(now);
        Said::Hit {
            response: held.seen.response.clone(),
            stale: held.phase(now) == Phase::Stale,
            hits: held.seen.hits,
            ttl: if held.seen.life.fresh_until.0 == NEVER { -1 } else { ((left + 500) / 1000) as i64 },
            age: now.since(held.seen.created) / 1000,
        }
    }

    fn take_out(&mut self, at: Option<usize>, now: UnixMs, effects: &mut Effects) {
        let Some(at) = at else { return };
        let held = self.held.remove(at);
        if held.phase(now) == Phase::Dead {
            self.books.count(held.names(), |c| c.expirations += 1);
            effects.expired += 1;
        } else {
            effects.deleted.push(held.seen.digest.id());
        }
    }

    /// The entries that are meant, in the order of their slots.
    fn meant(&self, which: &Which, now: UnixMs) -> Vec<EntryId> {
        let holds = |held: &&Held| {
            let (seen, ask) = (&held.seen, &held.seen.ask);
            held.phase(now) != Phase::Dead
                && (which.tags.is_empty() || which.tags.iter().any(|tag| seen.tags.contains(tag)))
                && which.model.as_ref().is_none_or(|model| ask.model == *model)
                && which.scope.as_ref().is_none_or(|scope| ask.scope == *scope)
                && which.typ.as_ref().is_none_or(|typ| seen.typ.as_ref() == Some(typ))
                && which.strategy.as_ref().is_none_or(|name| seen.strategy.as_bytes().eq_ignore_ascii_case(name))
                && which.ask.as_ref().is_none_or(|wanted| ask == wanted)
                && which.prefix.as_ref().is_none_or(|prefix| ask.prompt.starts_with(prefix))
                && which.older_than_ms.is_none_or(|limit| now.since(seen.created) > limit)
        };
        let mut meant: Vec<_> = self.held.iter().filter(holds).collect();
        meant.sort_by_key(|held| held.slot);
        meant.iter().map(|held| held.seen.digest.id()).collect()
    }

    fn invalidate(&mut self, which: &Which, now: UnixMs, effects: &mut Effects) -> Said {
        let ids = self.meant(which, now);
        self.count_invalidations(&ids);
        let count = Said::Count(ids.len() as u64);
        let everything = which.tags.is_empty()
            && [&which.model, &which.scope, &which.typ, &which.strategy, &which.prefix].iter().all(|w| w.is_none())
            && which.ask.is_none()
            && which.older_than_ms.is_none();
        if everything {
            effects.cleared = !ids.is_empty();
            effects.expired = (self.held.len() - ids.len()) as u64;
            for held in std::mem::take(&mut self.held).iter().filter(|held| held.phase(now) == Phase::Dead) {
                self.books.count(held.names(), |c| c.expirations += 1);
            }
        } else {
            self.held.retain(|held| !ids.contains(&held.seen.digest.id()));
            effects.deleted = ids;
        }
        count
    }

    fn count_invalidations(&mut self, ids: &[EntryId]) {
        for id in ids {
            let names = self.held[self.at(id).unwrap()].names();
            self.books.count(names, |c| c.invalidations += 1);
        }
    }

    fn make_stale(&mut self, which: &Which, now: UnixMs, effects: &mut Effects) -> Said {
        let ids = self.meant(which, now);
        self.count_invalidations(&ids);
        for id in &ids {
            let at = self.at(id).unwrap();
            if self.held[at].phase(now) == Phase::Fresh {
                let life = &mut self.held[at].seen.life;
                life.fresh_until = now;
                effects.moved.push((*id, *life));
            }
        }
        Said::Count(ids.len() as u64)
    }

    /// Whether the cache has evicted more than the twin so far.
    fn behind(&self, effects: &Effects) -> bool {
        (effects.evicted.len(), effects.expired) != self.gone
            && effects.evicted.len() <= self.gone.0
            && effects.expired <= self.gone.1
    }

    fn over_limits(&self) -> bool {
        let (entries, memory) = (self.policy.max_entries, self.policy.max_memory);
        entries > 0 && self.held.len() as u64 > entries || memory > 0 && self.memory() as u64 > memory
    }

    fn keep_limits(&mut self, kept: Option<Slot>, now: UnixMs, effects: &mut Effects) {
        while (if self.exact { self.over_limits() } else { self.behind(effects) }) && self.evict_one(kept, now, effects)
        {
        }
    }

    fn evict_to(&mut self, target: usize, budget: usize, kept: Option<Slot>, now: UnixMs, effects: &mut Effects) {
        for _ in 0..budget {
            let enough = if self.exact { self.memory() <= target } else { !self.behind(effects) };
            if enough || !self.evict_one(kept, now, effects) {
                return;
            }
        }
    }

    /// The dead go first; then who the policy says.
    fn evict_one(&mut self, kept: Option<Slot>, now: UnixMs, effects: &mut Effects) -> bool {
        let free: Vec<_> = (0..self.held.len()).filter(|at| kept.is_none() || self.held[*at].slot != kept).collect();
        let mortal = free.iter().copied().filter(|at| self.held[*at].seen.life.dead_at.0 != NEVER);
        let soonest = mortal.min_by_key(|at| (self.held[*at].seen.life.dead_at, self.held[*at].slot));
        if let Some(dead) = soonest.filter(|at| self.held[*at].phase(now) == Phase::Dead) {
            let dead = self.held.remove(dead);
            self.books.count(dead.names(), |c| c.expirations += 1);
            effects.expired += 1;
            return true;
        }
        let victim = match self.policy.evict {
            Evict::Lru => free.first().copied(),
            Evict::Ttl => soonest.or(free.first().copied()),
            by => free.into_iter().min_by_key(|at| (self.held[*at].rank(by), self.held[*at].slot)),
        };
        let Some(victim) = victim else { return false };
        let victim = self.held.remove(victim);
        self.books.count(victim.names(), |c| c.evictions += 1);
        effects.evicted.push(victim.seen.digest.id());
        self.remembers = !self.held.is_empty();
        true
    }
}

/// Compares all that can be seen of a cache with its twin.
pub fn same(cache: &Cache, twin: &Twin, codec: &mut Codec) -> Result<(), String> {
    cache.validate()?;
    let (ours, theirs) = (super::support::entries(cache, codec), twin.entries());
    if ours != theirs {
        let order = |all: &[Seen]| all.iter().map(|seen| seen.digest.id()).collect::<Vec<_>>();
        let (a, b) = (order(&ours), order(&theirs));
        if a != b {
            return Err(format!("the order of use is\n{a:?}, the twin's\n{b:?}"));
        }
        let differ = ours.iter().zip(&theirs).find(|(a, b)| a != b);
        return Err(format!("an entry and its twin differ: {differ:#?}"));
    }
    let figures = |what: &str, ours: usize, theirs: usize| match ours == theirs {
        true => Ok(()),
        false => Err(format!("{what}: {ours}, the twin's {theirs}")),
    };
    figures("shared memory", cache.store().shared_memory(), twin.shared())?;
    figures("memory", cache.memory(), twin.memory())?;
    let (books, naive) = (Books::of(cache), &twin.books);
    let same_names = twin.was_limited || books.by == naive.by;
    if (books.first_lookup, books.all) != (naive.first_lookup, naive.all) || !same_names {
        let told = |books: &Books| format!("{:?} {:#?} {:#?}", books.first_lookup, books.all, books.by);
        return Err(format!("counted {}, by the twin {}", told(&books), told(naive)));
    }
    twin.same_figures(cache)?;
    twin.same_windows(cache)?;
    let counters = *cache.ledger().counters();
    if counters.lookups != counters.hits() + counters.misses() {
        return Err("each lookup is a hit or a miss".into());
    }
    if cache.policy() != twin.policy() || cache.strategies() != twin.strategies() {
        return Err("policy or strategies differ".into());
    }
    Ok(())
}
