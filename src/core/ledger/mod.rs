//! What a cache has done, on this node: counted in all, over time, by name, and timed.
//!
//! ```text
//!   Ledger ─┬─ all        Account             every counter, and when it was counted
//!           ├─ tags       Account             the same with an entry of three tags counted three times
//!           ├─ groups     Groups × 5          accounts of models, scopes, strategies, types and tags
//!           └─ latencies  Histogram × 4
//! ```
//!
//! Everything that is counted is counted with its [`Labels`]. All of it fits into a budget: the names that save least lose
//! their history first, the oldest before the rest, then their accounts; then the history of the whole is forgotten. The
//! sums since the beginning are never given up.

pub mod counters;
mod groups;
pub mod latency;
mod timeline;

pub use groups::MOST_NAMES;
pub use timeline::{Window, LONGEST_WINDOW};

use super::identity::Context;
use super::policy::named;
use super::time::UnixMs;
use super::wire::{Reader, WireError, Writer};
use counters::{Counters, MOST};
use groups::Groups;
use latency::{Latencies, Work};
use std::time::Duration;
use timeline::Account;

/// What figures can be told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Dimension {
    /// The model.
    Model = 0,
    /// The scope.
    Scope = 1,
    /// The strategy that gave an entry its time.
    Strategy = 2,
    /// The type.
    Type = 3,
    /// The tags.
    Tag = 4,
}

named!(Dimension { Model => "model", Scope => "scope", Strategy => "strategy", Type => "type", Tag => "tag" });

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Model, Self::Scope, Self::Strategy, Self::Type, Self::Tag];
}

/// What the statistics of a cache take at most.
pub const MOST_MEMORY: usize = 1 << 20;

/// Which part of a limited cache is set aside for them.
const PART: u64 = 32;

/// Whose doing it is that is counted. What is not known is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // named as the dimensions
pub struct Labels<'a> {
    pub model: &'a [u8],
    pub scope: &'a [u8],
    pub strategy: &'a [u8],
    pub typ: &'a [u8],
}

impl<'a> Labels<'a> {
    /// Those of a question, as far as it has any.
    pub fn of(context: &Context<'a>) -> Self {
        Self { model: context.model, scope: context.scope, ..Self::default() }
    }
}

/// The statistics of a cache.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    first_lookup: Option<UnixMs>,
    all: Account,
    tags: Account,
    groups: [Groups; 5],
    latencies: Latencies,
    /// The bytes that it may take. Without a limit of the cache's, the most there is.
    budget: Option<usize>,
}

impl Ledger {
    /// When the first lookup came.
    pub fn first_lookup(&self) -> Option<UnixMs> {
        self.first_lookup
    }

    /// All that was counted.
    pub fn counters(&self) -> &Counters {
        self.all.counters()
    }

    /// What was counted in a window, or ever.
    pub fn counted(&self, window: Option<&Window>) -> Counters {
        of(&self.all, self.as_reached(window))
    }

    /// A window for counters that may be ahead of the clock.
    fn as_reached(&self, window: Option<&Window>) -> Option<Window> {
        window.map(|window| window.reaching(self.all.last_second()))
    }

    /// What was counted by name in a window or ever, and last what all of them and the rest come to.
    pub fn counted_by(
        &self,
        dimension: Dimension,
        window: Option<&Window>,
    ) -> (impl Iterator<Item = (&[u8], Counters)>, Counters) {
        let window = self.as_reached(window);
        let [model, scope, strategy, typ, tag] = &self.groups;
        let (groups, sum) = match dimension {
            Dimension::Model => (model, &self.all),
            Dimension::Scope => (scope, &self.all),
            Dimension::Strategy => (strategy, &self.all),
            Dimension::Type => (typ, &self.all),
            Dimension::Tag => (tag, &self.tags),
        };
        (groups.counted(window), of(sum, window))
    }

    /// How long its work takes.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// Notes that a lookup has come.
    pub(super) fn looked_up(&mut self, now: UnixMs) {
        self.first_lookup.get_or_insert(now);
    }

    /// Counts something.
    pub(super) fn count<'a>(
        &mut self,
        now: UnixMs,
        labels: &Labels<'_>,
        tags: impl Iterator<Item = &'a [u8]>,
        add: impl Fn(&mut Counters),
    ) {
        if cfg!(feature = "uncounted") {
            return;
        }
        // With a clock that was set back, everything is counted in the second that was reached.
        let second = (now.0 / 1000).max(self.all.last_second());
        let saved = self.all.counters().hits();
        let grew = self.all.count(second, &add);
        // Only what saves something may take another's account.
        let may = self.all.counters().hits() > saved;
        self.count_name(Dimension::Model, labels.model, second, may, &add);
        self.count_name(Dimension::Scope, labels.scope, second, may, &add);
        self.count_name(Dimension::Strategy, labels.strategy, second, may, &add);
        self.count_name(Dimension::Type, labels.typ, second, may, &add);
        let mut tags = tags.peekable();
        let untagged = tags.peek().is_none().then_some(&b""[..]);
        for name in untagged.into_iter().chain(tags) {
            self.tags.count(second, &add);
            self.count_name(Dimension::Tag, name, second, may, &add);
        }
        if grew {
            self.fit();
        }
    }

    fn count_name(&mut self, dimension: Dimension, name: &[u8], second: u64, may: bool, add: impl Fn(&mut Counters)) {
        let Some(groups) = self.groups.get_mut(dimension as usize) else { return };
        let (known, grew) = groups.count(name, second, &add);
        if known && !grew {
            return;
        }
        if !known {
            let room = self.room() / 4;
            let Some(groups) = self.groups.get_mut(dimension as usize) else { return };
            if groups.open(name, may, room).is_none() {
                return;
            }
            groups.count(name, second, add);
        }
        self.fit();
    }

    /// Notes how long a command kept the server.
    pub fn note(&mut self, work: Work, took: impl FnOnce() -> Duration) {
        if cfg!(feature = "uncounted") {
            return;
        }
        if self.latencies.knows(work) || self.room() >= Latencies::OF_ONE {
            self.latencies.note(work, took());
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Self { budget: self.budget, ..Self::default() };
    }

    /// Bytes behind it.
    pub fn memory(&self) -> usize {
        let groups: usize = self.groups.iter().map(Groups::memory).sum();
        self.all.memory() + self.tags.memory() + groups + self.latencies.memory()
    }

    /// Bytes that count as memory of the cache: where that has a limit, all that is set aside, so that a lookup never
    /// makes a cache larger than it may be.
    pub fn charge(&self) -> usize {
        self.budget.unwrap_or_else(|| self.memory())
    }

    /// Keeps within what a cache of this limit has for it; 0 is none.
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.budget = (limit > 0).then(|| Self::set_aside(limit));
        self.fit();
    }

    /// Bytes that a cache of this limit sets aside.
    pub(super) fn set_aside(limit: u64) -> usize {
        usize::try_from(limit / PART).map_or(MOST_MEMORY, |part| part.min(MOST_MEMORY))
    }

    /// The least limit of a cache that needs so many bytes beside its statistics.
    pub(super) fn beside(needed: usize) -> u64 {
        let needed = needed as u64;
        let most = needed + MOST_MEMORY as u64;
        // A part of the whole is one part less of the rest.
        (needed + needed.div_ceil(PART - 1)).min(most)
    }

    fn room(&self) -> usize {
        self.budget.unwrap_or(MOST_MEMORY).saturating_sub(self.memory())
    }

    fn fit(&mut self) {
        let budget = self.budget.unwrap_or(MOST_MEMORY);
        while self.memory() > budget {
            let history = self.all.memory() + self.tags.memory();
            let widest = self.groups.iter_mut().max_by_key(|groups| groups.memory());
            if history > budget / 2 || !widest.is_some_and(Groups::give_back) {
                if !self.forget_oldest() {
                    self.latencies = Latencies::default();
                    break;
                }
            }
        }
    }

    /// Forgets the older half of history; whether there was any.
    fn forget_oldest(&mut self) -> bool {
        let forgot = [self.all.forget_oldest(), self.tags.forget_oldest()];
        // Names know no more of the past than the whole does, or they would come to more in a window.
        let from = self.all.known_from().max(self.tags.known_from());
        [&mut self.all, &mut self.tags].into_iter().for_each(|account| account.forget_before(from));
        self.groups.iter_mut().for_each(|groups| groups.forget_before(from));
        forgot != [false, false]
    }

    /// Appends it to a record; times are not kept.
    pub(super) fn write(&self, w: &mut Writer) {
        w.u64(self.first_lookup.unwrap_or(UnixMs::NEVER).0);
        self.all.write(w);
        self.tags.write(w);
        self.groups.iter().for_each(|groups| groups.write(w));
    }

    /// Reads it from a record.
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let first_lookup = Some(UnixMs(r.u64()?)).filter(|at| !at.is_never());
        let (all, tags) = (Account::read(r)?, Account::read(r)?);
        let mut ledger = Self { first_lookup, all, tags, ..Self::default() };
        for groups in &mut ledger.groups {
            *groups = Groups::read(r)?;
        }
        ledger.fit();
        ledger.validate().map_err(|_| WireError::Value)?;
        Ok(ledger)
    }

    /// Reads what older versions kept: sums alone, so many of them.
    pub(super) fn read_sums(r: &mut Reader<'_>, count: usize) -> Result<Self, WireError> {
        let first_lookup = Some(UnixMs(r.u64()?)).filter(|at| !at.is_never());
        let mut counters = Counters { micros_saved: r.u64()?, micros_spent: r.u64()?, ..Counters::default() };
        for field in counters.as_once_stored(count) {
            *field = r.u64()?;
        }
        counters.fields_mut().into_iter().for_each(|field| *field = (*field).min(MOST));
        let mut ledger = Self { first_lookup, ..Self::default() };
        for account in [&mut ledger.all, &mut ledger.tags] {
            account.count(0, |sums| *sums = counters);
        }
        Ok(ledger)
    }

    /// Checks that its parts agree.
    pub fn validate(&self) -> Result<(), String> {
        self.groups.iter().try_for_each(Groups::validate)?;
        for dimension in Dimension::ALL {
            let (names, sum) = self.counted_by(dimension, None);
            let mut known = Counters::default();
            names.for_each(|(_, counters)| known.merge(&counters));
            // A sum that is at its end says nothing.
            if known.fields().into_iter().zip(sum.fields()).any(|(known, sum)| known > sum && sum < MOST) {
                return Err(format!("{} have more than there is", dimension.name()));
            }
        }
        match self.memory() {
            memory if memory > self.budget.unwrap_or(MOST_MEMORY) => Err(format!("statistics take {memory} bytes")),
            _ => Ok(()),
        }
    }
}

fn of(account: &Account, window: Option<Window>) -> Counters {
    window.map_or_else(|| *account.counters(), |window| account.within(&window))
}

#[cfg(test)]
mod tests;
