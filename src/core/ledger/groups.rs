//! Counters by name: of a model, a scope, a strategy, a type or a tag.
//!
//! There may be millions of names, so only some have an account of their own: as many as there is room for, and when there
//! is no room, those that save most: whoever has saved more than a 256th of the whole is among them. What has none is the
//! difference between the sum of all and those that have; so the figures of the names and of the rest add up, whoever comes
//! and goes.

use super::counters::Counters;
use super::timeline::{Account, Window};
use crate::core::memory;
use crate::core::wire::{Reader, WireError, Writer};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// How many names have an account at most.
pub const MOST_NAMES: usize = 256;

/// A name and its account.
#[derive(Clone, Debug)]
struct Group {
    name: Box<[u8]>,
    hash: u64,
    account: Account,
}

impl Group {
    fn memory(&self) -> usize {
        Self::base(self.name.len()) + self.account.memory()
    }

    /// Bytes of one without history, whose name has this length.
    fn base(name: usize) -> usize {
        memory::allocated(size_of::<Self>()) + memory::allocated(name)
    }
}

/// Bytes of the places for so many, and of their table.
fn table(places: usize) -> usize {
    memory::of_vec::<Box<Group>>(places) + memory::of_vec::<u64>(places) + 16 * places
}

/// The names of one dimension.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    // Half a kilobyte each: to move them when there is one more would take microseconds.
    #[allow(clippy::vec_box)]
    groups: Vec<Box<Group>>,
    /// What each has saved since it is known, and what those had saved that made way for it: who saves more than its share
    /// of the whole is never the least by this for long. (The algorithm is known as Space-Saving.)
    ranks: Vec<u64>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// Who was counted last: most often the next as well.
    recent: usize,
    /// Bytes behind names and accounts.
    memory: usize,
}

impl Groups {
    /// Counts for a name that has an account; whether it has one, and whether that took memory.
    pub fn count(&mut self, name: &[u8], second: u64, add: impl FnOnce(&mut Counters)) -> (bool, bool) {
        if self.groups.get(self.recent).is_none_or(|group| *group.name != *name) {
            match self.find(name, self.hasher.hash_one(name)) {
                Some(at) => self.recent = at,
                None => return (false, false),
            }
        }
        let Some(group) = self.groups.get_mut(self.recent) else { return (false, false) };
        let account = &mut group.account;
        let (worth_before, closes) = (worth(account.counters()), second > account.last_second());
        let before = if closes { account.memory() } else { 0 };
        account.count(second, add);
        if let Some(rank) = self.ranks.get_mut(self.recent) {
            *rank = rank.saturating_add(worth(account.counters()).saturating_sub(worth_before));
        }
        if closes {
            self.memory = self.memory - before + account.memory();
        }
        (true, closes)
    }

    /// Opens an account for a name that has none: if there is room in as many bytes, or, where it `may` push somebody out,
    /// in place of one that saves little.
    pub fn open(&mut self, name: &[u8], may: bool, room: usize) -> Option<usize> {
        let hash = self.hasher.hash_one(name);
        let (places, needed) = (self.groups.capacity(), Group::base(name.len()));
        let wanted = if self.groups.len() < places { places } else { places + 8 };
        let has_room = self.groups.len() < MOST_NAMES && needed + table(wanted) - table(places) <= room;
        if !has_room && !may {
            return None;
        }
        let group = Box::new(Group { name: name.into(), hash, account: Account::default() });
        let at = if has_room {
            self.groups.reserve_exact(wanted - self.groups.len());
            self.groups.push(group);
            self.ranks.reserve_exact(wanted - self.ranks.len());
            self.ranks.push(0);
            self.groups.len() - 1
        } else {
            let victim = self.least()?;
            self.take_from_index(victim);
            let place = self.groups.get_mut(victim)?;
            self.memory -= place.memory();
            *place = group;
            victim
        };
        self.memory += needed;
        self.put_into_index(at);
        Some(at)
    }

    fn find(&self, name: &[u8], hash: u64) -> Option<usize> {
        let same = |at: &u32| self.groups.get(*at as usize).is_some_and(|group| *group.name == *name);
        self.index.find(hash, same).map(|at| *at as usize)
    }

    fn put_into_index(&mut self, at: usize) {
        let groups = &self.groups;
        let hash_of = |at: &u32| groups.get(*at as usize).map_or(0, |group| group.hash);
        if let (Some(group), Ok(at)) = (groups.get(at), u32::try_from(at)) {
            self.index.insert_unique(group.hash, at, hash_of);
        }
    }

    fn take_from_index(&mut self, at: usize) {
        let Some(group) = self.groups.get(at) else { return };
        if let Ok(found) = self.index.find_entry(group.hash, |i| *i as usize == at) {
            found.remove();
        }
    }

    /// The one that saves least.
    fn least(&self) -> Option<usize> {
        (0..self.groups.len()).min_by_key(|at| self.ranks.get(*at))
    }

    /// Closes the account that saves least; whether there was one.
    pub fn close_least(&mut self) -> bool {
        let Some(at) = self.least() else { return false };
        let last = self.groups.len() - 1;
        self.take_from_index(at);
        if at != last {
            self.take_from_index(last);
        }
        // The last one takes its place.
        let gone = self.groups.swap_remove(at);
        self.ranks.swap_remove(at);
        self.memory -= gone.memory();
        if at != last {
            self.put_into_index(at);
        }
        if self.groups.is_empty() {
            *self = Self::default();
        }
        true
    }

    /// How many names have an account.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Bytes of what is known of names at past times.
    pub fn history(&self) -> usize {
        self.groups.iter().map(|group| group.account.memory()).sum()
    }

    /// The second that the oldest of it begins with.
    pub fn oldest(&self) -> Option<u64> {
        self.groups.iter().filter_map(|group| group.account.oldest()).min()
    }

    /// Changes all accounts, and what they take with it.
    pub fn change(&mut self, change: impl Fn(&mut Account)) {
        for group in &mut self.groups {
            let before = group.account.memory();
            change(&mut group.account);
            self.memory = self.memory - before + group.account.memory();
        }
    }

    /// Names and what was counted for them: in a window, or ever.
    pub fn counted(&self, window: Option<Window>) -> impl Iterator<Item = (&[u8], Counters)> {
        self.groups.iter().map(move |group| {
            let account = &group.account;
            (&*group.name, window.map_or(*account.counters(), |window| account.within(&window)))
        })
    }

    /// Bytes behind it.
    pub fn memory(&self) -> usize {
        self.memory + table(self.groups.capacity())
    }

    /// Appends it to a record.
    pub fn write(&self, w: &mut Writer) {
        w.u16(u16::try_from(self.groups.len()).unwrap_or(u16::MAX));
        for group in &self.groups {
            group.account.write(w.bytes(&group.name));
        }
    }

    /// Reads it from a record.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut groups = Self::default();
        let count = usize::from(r.u16()?);
        if count > MOST_NAMES {
            return Err(WireError::Value);
        }
        for at in 0..count {
            let name = r.bytes()?;
            let is_known = groups.find(name, groups.hasher.hash_one(name)).is_some();
            if is_known || groups.open(name, false, usize::MAX) != Some(at) {
                return Err(WireError::Value);
            }
            if let (Some(group), Some(rank)) = (groups.groups.get_mut(at), groups.ranks.get_mut(at)) {
                group.account = Account::read(r)?;
                groups.memory += group.account.memory();
                *rank = worth(group.account.counters());
            }
        }
        Ok(groups)
    }

    /// Checks that its parts agree.
    pub fn validate(&self) -> Result<(), String> {
        if self.groups.len() > MOST_NAMES || [self.index.len(), self.ranks.len()] != [self.groups.len(); 2] {
            return Err("a name has one account".into());
        }
        for (at, group) in self.groups.iter().enumerate() {
            if self.find(&group.name, group.hash) != Some(at) || self.hasher.hash_one(&*group.name) != group.hash {
                return Err("an account is found by its name".into());
            }
        }
        match self.groups.iter().map(|group| group.memory()).sum::<usize>() {
            sum if sum == self.memory => Ok(()),
            sum => Err(format!("accounts take {sum} bytes, {} are counted", self.memory)),
        }
    }
}

/// What somebody has saved, as one number: money above all, then tokens, then hits.
fn worth(counters: &Counters) -> u64 {
    let small = counters.tokens_saved().saturating_add(counters.hits());
    counters.micros_saved.saturating_mul(1 << 10).saturating_add(small)
}
