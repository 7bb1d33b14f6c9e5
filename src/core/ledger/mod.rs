//! What a cache has done, on this node: counted in all, over time, by name, and timed.
//!
//! ```text
//!   Ledger ─┬─ all        Account             every counter, and when it was counted
//!           ├─ again      Account             what entries of several tags count beside that, once for each tag more
//!           ├─ groups     Groups × 5          accounts of models, scopes, strategies, types and tags
//!           ├─ pending    Pending             hits of this second, which are booked together
//!           └─ latencies  Histogram × 4
//! ```
//!
//! Everything that is counted is counted with its [`Labels`]. All of it fits into a budget: first the history of names gets
//! shorter, then the names that save least lose their accounts, then all history gets shorter. The sums since the beginning
//! are never given up.

pub mod counters;
mod groups;
pub mod latency;
pub(super) mod pending;
mod timeline;

pub use groups::MOST_NAMES;
pub use timeline::{Window, LONGEST_WINDOW};

use super::identity::Context;
use super::memory::allocated;
use super::policy::named;
use super::time::UnixMs;
use super::wire::{Reader, WireError, Writer};
use crate::core::fault;
use counters::{Counters, MOST};
use groups::Groups;
use latency::{Latencies, Work};
use pending::{Due, Key, Pending};
use std::borrow::Cow;
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
const PART: u64 = 16;

/// By how many seconds a clock may be set back until what was counted in the meantime loses its time.
const SET_BACK: u64 = 300;

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
    /// From which second on all is known that was counted.
    known_from: u64,
    all: Account,
    again: Option<Box<Account>>,
    groups: [Groups; 5],
    pending: Pending,
    latencies: Latencies,
    /// The bytes that it may take. Without a limit of the cache's, the most there is.
    budget: Option<usize>,
    /// The bytes that it takes at most while the server is short of memory.
    cap: Option<usize>,
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

    /// What was counted by name in a window or ever, and last what all of them and the rest come to.
    pub fn counted_by(
        &self,
        dimension: Dimension,
        window: Option<&Window>,
    ) -> (impl Iterator<Item = (&[u8], Counters)>, Counters) {
        let window = self.as_reached(window);
        let [model, scope, strategy, typ, tag] = &self.groups;
        let mut sum = of(&self.all, window);
        let groups = match dimension {
            Dimension::Model => model,
            Dimension::Scope => scope,
            Dimension::Strategy => strategy,
            Dimension::Type => typ,
            Dimension::Tag => {
                self.again.iter().for_each(|again| sum.merge(&of(again, window)));
                tag
            }
        };
        (groups.counted(window), sum)
    }

    /// A window for counters that may be a little ahead of the clock.
    fn as_reached(&self, window: Option<&Window>) -> Option<Window> {
        window.map(|window| window.reaching(self.all.last_second(), SET_BACK))
    }

    /// From when on windows are complete.
    pub fn complete_from(&self) -> UnixMs {
        UnixMs(self.known_from * 1000)
    }

    /// The second in which something was last counted.
    pub fn last_counted(&self) -> UnixMs {
        UnixMs(self.last_second() * 1000)
    }

    /// How long its work takes.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// Notes that a lookup has come.
    pub(super) fn looked_up(&mut self, now: UnixMs) {
        fault::point();
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
        fault::point();
        if cfg!(feature = "uncounted") {
            return;
        }
        let second = self.second_of(now);
        if self.pending.any() && !self.pending.is_of(second) {
            self.book();
        }
        self.count_at(second, labels, tags, add);
    }

    /// Counts a hit under names that are known by their symbols, if it can be booked later.
    pub(super) fn tally<'a, T: Iterator<Item = &'a [u8]>>(
        &mut self,
        now: UnixMs,
        generation: u64,
        key: &Key,
        names: impl FnOnce() -> (Labels<'a>, T),
        add: impl FnOnce(&mut Counters),
    ) -> bool {
        fault::point();
        if cfg!(feature = "uncounted") {
            return true;
        }
        let second = self.second_of(now);
        if !self.pending.is_of(second) || !self.pending.means(generation) {
            self.turn(second, generation);
        }
        if let Some(counters) = self.pending.find(key) {
            add(counters);
            return true;
        }
        if self.pending.memory() == 0 && self.room() < Pending::MOST {
            return false;
        }
        let (labels, tags) = names();
        self.pending.open(key, &labels, tags).map(add).is_some()
    }

    /// Books what is pending.
    pub fn book(&mut self) {
        if self.pending.any() {
            self.turn(self.pending.second(), self.pending.generation());
        }
    }

    /// Books what is pending, and forgets by which symbols it was known.
    pub(super) fn forget_symbols(&mut self) {
        self.book();
        self.pending = Pending::default();
    }

    fn turn(&mut self, second: u64, generation: u64) {
        let (counted_in, due) = self.pending.turn(second, generation);
        self.book_all(counted_in, due);
    }

    fn book_all(&mut self, second: u64, all: Vec<Due>) {
        for due in all {
            self.count_at(second, &due.labels(), due.tags(), |counters| counters.merge(&due.counters));
        }
    }

    /// This with everything booked.
    pub fn booked(&self) -> Cow<'_, Self> {
        if !self.pending.any() {
            return Cow::Borrowed(self);
        }
        let mut booked = self.clone();
        booked.book();
        Cow::Owned(booked)
    }

    /// The second that something is counted in: with a clock that was set back a little, the one that was reached.
    fn second_of(&mut self, now: UnixMs) -> u64 {
        let now = now.0 / 1000;
        if now + SET_BACK < self.last_second() {
            self.book();
            let end = self.all.turn_back(now, now);
            // Names know no more than the whole, or they would come to more in a window.
            self.change(|account| _ = account.turn_back(now, end));
            self.known_from = now;
        }
        now.max(self.last_second())
    }

    fn last_second(&self) -> u64 {
        if self.pending.any() {
            self.all.last_second().max(self.pending.second())
        } else {
            self.all.last_second()
        }
    }

    fn count_at<'a>(
        &mut self,
        second: u64,
        labels: &Labels<'_>,
        tags: impl Iterator<Item = &'a [u8]>,
        add: impl Fn(&mut Counters),
    ) {
        let saved = self.all.counters().hits();
        let mut grew = self.all.count(second, &add);
        // Only what saves something may take another's account.
        let may = self.all.counters().hits() > saved;
        self.count_name(Dimension::Model, labels.model, second, may, &add);
        self.count_name(Dimension::Scope, labels.scope, second, may, &add);
        self.count_name(Dimension::Strategy, labels.strategy, second, may, &add);
        self.count_name(Dimension::Type, labels.typ, second, may, &add);
        let mut tags = tags;
        self.count_name(Dimension::Tag, tags.next().unwrap_or_default(), second, may, &add);
        for name in tags {
            // Without it the names of tags would come to more than there is.
            if self.again.is_none() && self.room() < allocated(size_of::<Account>()) {
                break;
            }
            grew |= self.again.get_or_insert_default().count(second, &add);
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
        fault::point();
        if cfg!(feature = "uncounted") {
            return;
        }
        // In a small cache names come first.
        let has_room = |ledger: &Self| {
            ledger.room() >= Latencies::OF_ONE && ledger.latencies.memory() + Latencies::OF_ONE <= ledger.most() / 4
        };
        if self.latencies.knows(work) || has_room(self) {
            self.latencies.note(work, took());
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Self { budget: self.budget, cap: self.cap, ..Self::default() };
    }

    /// Bytes behind it.
    pub fn memory(&self) -> usize {
        let groups: usize = self.groups.iter().map(Groups::memory).sum();
        self.history() + groups + self.pending.memory() + self.latencies.memory()
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

    /// Stops growing while the server is short of memory, or goes on.
    pub fn hold(&mut self, is_short: bool) {
        match (is_short, self.cap) {
            (true, None) => self.cap = Some(self.memory()),
            (false, Some(_)) => self.cap = None,
            _ => {}
        }
    }

    /// Gives an eighth of its memory back.
    pub fn give_back(&mut self) {
        self.cap = Some(self.memory() - self.memory() / 8);
        self.fit();
    }

    fn most(&self) -> usize {
        self.budget.unwrap_or(MOST_MEMORY).min(self.cap.unwrap_or(MOST_MEMORY))
    }

    fn room(&self) -> usize {
        self.most().saturating_sub(self.memory())
    }

    fn change(&mut self, change: impl Fn(&mut Account)) {
        change(&mut self.all);
        self.again.iter_mut().for_each(|again| change(again));
        self.groups.iter_mut().for_each(|groups| groups.change(&change));
    }

    fn fit(&mut self) {
        let most = self.most();
        while self.memory() > most {
            if self.pending.memory() > 0 {
                let (second, due) = std::mem::take(&mut self.pending).turn(0, 0);
                self.book_all(second, due);
                continue;
            }
            let of_names: usize = self.groups.iter().map(Groups::history).sum();
            if of_names > most / 2 && self.shorten_names() || self.history() > most / 2 && self.shorten() {
                continue;
            }
            let widest = self.groups.iter_mut().max_by_key(|groups| groups.len());
            if !widest.is_some_and(Groups::close_least) && !self.shorten() {
                (self.again, self.latencies) = (None, Latencies::default());
                break;
            }
        }
    }

    /// Forgets the older half of the history of names; whether there was any.
    fn shorten_names(&mut self) -> bool {
        let Some(oldest) = self.groups.iter().filter_map(Groups::oldest).min() else { return false };
        let from = self.half_of(oldest);
        self.groups.iter_mut().for_each(|groups| groups.change(|account| account.forget_before(from)));
        true
    }

    /// Forgets the older half of all history; whether there was any.
    fn shorten(&mut self) -> bool {
        let again = self.again.iter().filter_map(|again| again.oldest());
        let Some(oldest) = self.all.oldest().into_iter().chain(again).min() else { return false };
        let from = self.half_of(oldest);
        self.all.forget_before(from);
        // What is kept of the whole may begin later. Names know no more of the past, or they would come to more than it.
        let from = self.all.oldest().unwrap_or(self.all.last_second()).max(from);
        self.change(|account| account.forget_before(from));
        self.known_from = self.known_from.max(from);
        true
    }

    /// Bytes of the accounts that nobody loses.
    fn history(&self) -> usize {
        let again = self.again.as_ref().map_or(0, |again| allocated(size_of::<Account>()) + again.memory());
        self.all.memory() + again
    }

    /// The second in the middle of the time since then.
    fn half_of(&self, oldest: u64) -> u64 {
        oldest + (self.all.last_second().saturating_sub(oldest) / 2).max(1)
    }

    /// Appends it to a record; times are not kept.
    pub(super) fn write(&self, w: &mut Writer) {
        w.u64(self.first_lookup.unwrap_or(UnixMs::NEVER).0).u64(self.known_from);
        self.all.write(w);
        self.again.as_deref().unwrap_or(&Account::default()).write(w);
        self.groups.iter().for_each(|groups| groups.write(w));
    }

    /// Reads it from a record.
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let first_lookup = Some(UnixMs(r.u64()?)).filter(|at| !at.is_never());
        let known_from = Some(r.u64()?).filter(|second| *second <= UnixMs::LATEST.0 / 1000).ok_or(WireError::Value)?;
        let (all, again) = (Account::read(r)?, Account::read(r)?);
        let again = Some(again).filter(|again| *again.counters() != Counters::default()).map(Box::new);
        let mut ledger = Self { first_lookup, known_from, all, again, ..Self::default() };
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
        ledger.all.count(0, |sums| *sums = counters);
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
            memory if memory > self.most() => Err(format!("statistics take {memory} bytes")),
            _ => Ok(()),
        }
    }
}

fn of(account: &Account, window: Option<Window>) -> Counters {
    window.map_or_else(|| *account.counters(), |window| account.within(&window))
}

#[cfg(test)]
mod tests;
