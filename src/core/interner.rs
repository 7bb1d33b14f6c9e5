//! Byte strings that many entries share, kept once and counted: contexts, tags, names.

use super::memory;
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// A string in an [`Interner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(u32);

impl Symbol {
    /// No string's symbol: what stands in a place that is about to be filled.
    pub(super) const NONE: Self = Self(u32::MAX);

    /// As bytes, for those who keep it among others.
    pub(super) fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    /// The symbol of such bytes.
    pub(super) fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(bytes))
    }

    /// A number of its own.
    pub(super) fn number(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Debug)]
struct Interned<T> {
    text: Box<[u8]>,
    hash: u64,
    users: u32,
    value: T,
}

/// A counted set of byte strings, each with a value that goes with it. Symbols are reused once nobody holds them, so a
/// holder must give each one back.
#[derive(Debug, Default)]
pub struct Interner<T = ()> {
    slots: Vec<Option<Interned<T>>>,
    free: Vec<u32>,
    table: HashTable<u32>,
    hasher: RandomState,
    bytes: usize,
    given_up: u64,
}

/// A copy takes what the original takes.
impl<T: Clone> Clone for Interner<T> {
    fn clone(&self) -> Self {
        let Self { table, hasher, bytes, given_up, .. } = self;
        let (slots, free) = (memory::copy_of(&self.slots), self.free.clone());
        Self { slots, free, table: table.clone(), hasher: hasher.clone(), bytes: *bytes, given_up: *given_up }
    }
}

impl<T: Default> Interner<T> {
    /// The symbol of `text`, one more user of it. With 2³² strings held, the next is no string.
    pub fn acquire(&mut self, text: &[u8]) -> Symbol {
        let hash = self.hasher.hash_one(text);
        if let Some(symbol) = self.lookup(text, hash) {
            self.retain(symbol);
            return symbol;
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let Ok(index) = u32::try_from(self.slots.len()) else { return Symbol::NONE };
                self.slots.push(None);
                index
            }
        };
        self.bytes += Self::charge(text.len());
        if let Some(slot) = self.slots.get_mut(index as usize) {
            *slot = Some(Interned { text: text.into(), hash, users: 1, value: T::default() });
        }
        let slots = &self.slots;
        self.table.insert_unique(hash, index, |&i| hash_at(slots, i));
        Symbol(index)
    }

    /// One more user of a symbol that is held already.
    pub fn retain(&mut self, symbol: Symbol) {
        if let Some(Some(interned)) = self.slots.get_mut(symbol.0 as usize) {
            interned.users = interned.users.saturating_add(1);
        }
    }

    /// One user less; the string goes with its last user.
    pub fn release(&mut self, symbol: Symbol) {
        let Some(slot) = self.slots.get_mut(symbol.0 as usize) else { return };
        let Some(interned) = slot else { return };
        interned.users = interned.users.saturating_sub(1);
        if interned.users > 0 {
            return;
        }
        self.given_up += 1;
        let hash = interned.hash;
        self.bytes -= Self::charge(interned.text.len());
        *slot = None;
        if let Ok(found) = self.table.find_entry(hash, |&i| i == symbol.0) {
            found.remove();
        }
        self.free.push(symbol.0);
        if self.table.is_empty() {
            (self.slots, self.free) = (Vec::new(), Vec::new());
            self.table.shrink_to(0, |_| 0);
        }
    }

    /// The symbol of `text`, if anybody holds it.
    pub fn find(&self, text: &[u8]) -> Option<Symbol> {
        self.lookup(text, self.hasher.hash_one(text))
    }

    fn lookup(&self, text: &[u8], hash: u64) -> Option<Symbol> {
        let same = |i: &u32| matches!(self.slots.get(*i as usize), Some(Some(held)) if *held.text == *text);
        self.table.find(hash, same).map(|&i| Symbol(i))
    }

    /// The string of a symbol.
    pub fn text(&self, symbol: Symbol) -> &[u8] {
        match self.slots.get(symbol.0 as usize) {
            Some(Some(interned)) => &interned.text,
            _ => b"",
        }
    }

    /// The value that goes with a string.
    pub fn value(&self, symbol: Symbol) -> Option<&T> {
        self.slots.get(symbol.0 as usize)?.as_ref().map(|held| &held.value)
    }

    /// The same, to be changed.
    pub fn value_mut(&mut self, symbol: Symbol) -> Option<&mut T> {
        self.slots.get_mut(symbol.0 as usize)?.as_mut().map(|held| &mut held.value)
    }

    /// All strings that are held, with how many hold them.
    pub fn iter(&self) -> impl Iterator<Item = (Symbol, &[u8], u32)> {
        (0..).zip(&self.slots).filter_map(|(i, slot)| slot.as_ref().map(|held| (Symbol(i), &*held.text, held.users)))
    }

    /// How many strings are held.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// How many strings have been given up so far. While that stays the same, so do the meanings of symbols.
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Bytes behind it all.
    pub fn memory(&self) -> usize {
        self.bytes
    }

    /// Checks that the parts agree, and that each string has as many users as `held` names it.
    pub(super) fn validate(&self, what: &str, held: impl Iterator<Item = Symbol>) -> Result<(), String> {
        let check = |holds: bool, why: &str| if holds { Ok(()) } else { Err(format!("{what}: {why}")) };
        let mut users = BTreeMap::new();
        held.for_each(|symbol| *users.entry(symbol).or_insert(0u32) += 1);
        let mut bytes = 0;
        for (symbol, text, held) in self.iter() {
            check(self.find(text) == Some(symbol), "a string is found by its text")?;
            check(users.remove(&symbol) == Some(held), "a string has the users that hold it")?;
            bytes += Self::charge(text.len());
        }
        check(users.is_empty(), "what is held is there")?;
        check(bytes == self.bytes, "memory is the sum of the strings'")?;
        check(self.iter().count() == self.len(), "the table holds each string once")?;
        check(self.len() + self.free.len() == self.slots.len(), "each slot is in use or free")
    }

    /// Bytes that a string of this length takes: its own, and its part of the tables with their slack. Charged by the
    /// string rather than by capacity, so that the sum goes down when strings go.
    pub const fn charge(len: usize) -> usize {
        memory::allocated(len) + size_of::<Option<Interned<T>>>() * 11 / 8 + 8
    }
}

fn hash_at<T>(slots: &[Option<Interned<T>>], index: u32) -> u64 {
    slots.get(index as usize).and_then(Option::as_ref).map_or(0, |held| held.hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_kept_once_and_goes_with_its_last_user() {
        let mut interner = Interner::<u8>::default();
        let a = interner.acquire(b"gpt");
        let b = interner.acquire(b"claude");
        assert_eq!(interner.acquire(b"gpt"), a);
        assert_ne!(a, b);
        assert_eq!((interner.len(), interner.text(a), interner.text(b)), (2, &b"gpt"[..], &b"claude"[..]));
        interner.release(a);
        assert_eq!(interner.find(b"gpt"), Some(a));
        interner.release(a);
        assert_eq!((interner.find(b"gpt"), interner.len()), (None, 1));
        *interner.value_mut(b).unwrap() = 7;
        assert_eq!(interner.acquire(b"llama"), a, "the slot is used again");
        assert_eq!((interner.value(a), interner.value(b)), (Some(&0), Some(&7)));
        assert_eq!(interner.find(b"claude"), Some(b));
    }
}
