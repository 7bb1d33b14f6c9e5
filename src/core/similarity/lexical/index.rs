//! The prompts of one context under one metric: a tail that is compared row by row, and behind it, once there are too
//! many for that, the deep part with its lists.
//!
//! A prompt that comes when the tail is full goes into the deep part, and takes one of the tail's along. So no insert
//! builds an index of what has gathered before it, and after some more the tail is empty.

use super::super::text::Text;
use super::block::{Block, Head, Row};
use super::dictionary::Dictionary;
use super::measure::Measure;
use super::search::Snapshot;
use super::shelf::{Shelf, BLOCK};
use crate::core::memory;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::RandomState;
use std::ops::Range;
use std::sync::Arc;

/// Rows that are compared one by one before an index pays.
const TAIL: usize = 64;
/// Bits of a row's number for its place in its class; those above are the class.
const PLACE: u32 = 26;

/// The number of a row in the lists: its class and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(u32);

impl Number {
    fn new(class: u32, at: usize) -> Self {
        Self(class << PLACE | at as u32)
    }

    /// The class of a row, and its place there.
    pub fn parts(row: u32) -> (u32, usize) {
        (row >> PLACE, (row & ((1 << PLACE) - 1)) as usize)
    }

    /// All numbers of a class.
    pub fn all(class: u32) -> Range<u32> {
        let end = if class >= 63 { u32::MAX } else { (class + 1) << PLACE };
        class << PLACE..end
    }
}

pub type Shelves<M> = Vec<Arc<Shelf<M>>>;

#[derive(Clone, Debug)]
struct Deep<M: Measure> {
    dictionary: Dictionary,
    /// By class.
    shelves: Arc<Shelves<M>>,
    /// Where each slot's row is.
    places: BTreeMap<u32, Number>,
    hasher: RandomState,
}

/// The prompts of one context.
#[derive(Clone, Debug)]
pub struct Index<M: Measure> {
    tail: Arc<Block<M>>,
    deep: Option<Box<Deep<M>>>,
    hasher: RandomState,
}

impl<M: Measure> Default for Index<M> {
    fn default() -> Self {
        Self { tail: Arc::default(), deep: None, hasher: RandomState::new() }
    }
}

impl<M: Measure> Deep<M> {
    fn new(hasher: RandomState) -> Self {
        let dictionary = Dictionary::new(hasher.clone());
        Self { dictionary, shelves: Arc::default(), places: BTreeMap::new(), hasher }
    }

    fn tokens(&self, units: &[M::Unit]) -> Vec<u64> {
        M::tokens_of(units, &self.hasher)
    }

    fn shelf(&mut self, class: u32) -> Option<&mut Shelf<M>> {
        let shelves = Arc::make_mut(&mut self.shelves);
        if shelves.len() <= class as usize {
            shelves.resize_with(class as usize + 1, Arc::default);
        }
        shelves.get_mut(class as usize).map(Arc::make_mut)
    }

    /// Whether there is a number for one more row of this size.
    fn has_room(&self, size: u32) -> bool {
        let shelf = self.shelves.get(M::class(size) as usize);
        shelf.is_none_or(|shelf| shelf.len() + 1 < 1 << PLACE)
    }

    fn insert(&mut self, head: Head, units: Vec<M::Unit>) {
        let tokens = self.tokens(&units);
        let hashes: Vec<_> = tokens.iter().map(|token| self.dictionary.hash(*token)).collect();
        let class = M::class(head.size);
        let sketch = M::sketch(M::words(class), &units, &hashes);
        let Some(shelf) = self.shelf(class) else { return };
        let number = Number::new(class, shelf.push(Row { head, units, sketch }));
        self.places.insert(head.slot, number);
        let most = self.places.len() / M::COMMON;
        for (token, hash) in tokens.into_iter().zip(hashes) {
            self.dictionary.insert(token, hash, number.0, most);
        }
    }

    fn take(&mut self, slot: u32) -> bool {
        let Some(number) = self.places.remove(&slot) else { return false };
        let (class, at) = Number::parts(number.0);
        let Some(shelf) = self.shelf(class) else { return false };
        let Some(last) = shelf.pop() else { return false };
        let from = Number::new(class, shelf.len());
        let gone = match shelf.get(at) {
            Some((_, units)) => units.to_vec(),
            None => last.units.clone(),
        };
        // The last row comes to the place that becomes free, if that is not its own. Both may hold the same tokens.
        let moved = if from == number { Vec::new() } else { self.tokens(&last.units) };
        for token in self.tokens(&gone) {
            if moved.binary_search(&token).is_err() {
                self.dictionary.remove(token, number.0);
            }
        }
        for token in moved {
            self.dictionary.renumber(token, from.0, number.0);
        }
        if from != number {
            self.places.insert(last.head.slot, number);
            if let Some(shelf) = self.shelf(class) {
                shelf.replace(at, last);
            }
        }
        true
    }

    fn memory(&self) -> usize {
        let shelves: usize = self.shelves.iter().map(|shelf| shelf.memory()).sum();
        let shelf = memory::allocated(2 * size_of::<usize>() + size_of::<Shelf<M>>());
        memory::allocated(size_of::<Self>())
            + memory::allocated(2 * size_of::<usize>() + size_of::<Shelves<M>>())
            + memory::of_vec::<Arc<Shelf<M>>>(self.shelves.capacity())
            + self.shelves.len() * shelf
            + shelves
            + memory::of_btree::<(u32, Number)>(self.places.len())
            + self.dictionary.memory()
    }
}

impl<M: Measure> Index<M> {
    pub fn len(&self) -> usize {
        self.tail.len() + self.deep.as_ref().map_or(0, |deep| deep.places.len())
    }

    pub fn insert(&mut self, slot: u32, stamp: u32, text: &Text) {
        let form = M::form(text, &self.hasher);
        let head = Head::new(slot, stamp, form.size);
        let full = self.deep.is_some() || self.tail.len() >= TAIL;
        if !full || self.deep.as_ref().is_some_and(|deep| !deep.has_room(form.size)) {
            Arc::make_mut(&mut self.tail).push(Row { head, units: form.units, sketch: Vec::new() });
            return;
        }
        let deep = self.deep.get_or_insert_with(|| Box::new(Deep::new(self.hasher.clone())));
        deep.insert(head, form.units);
        if self.tail.len() > 0 {
            match Arc::make_mut(&mut self.tail).pop() {
                Some(row) if deep.has_room(row.head.size) => deep.insert(row.head, row.units),
                Some(row) => Arc::make_mut(&mut self.tail).push(row),
                None => {}
            }
        }
    }

    pub fn take(&mut self, slot: u32) -> bool {
        if let Some(at) = self.tail.find(slot) {
            let tail = Arc::make_mut(&mut self.tail);
            match tail.pop() {
                Some(last) if at < tail.len() => tail.replace(at, last),
                _ => {}
            }
            return true;
        }
        let Some(deep) = &mut self.deep else { return false };
        let there = deep.take(slot);
        if deep.places.is_empty() {
            self.deep = None;
        }
        there
    }

    pub fn memory(&self) -> usize {
        self.tail.memory() + self.deep.as_ref().map_or(0, |deep| deep.memory())
    }

    pub fn snapshot(&self, query: &Text) -> Snapshot<M> {
        let asked = M::ask(query, &self.hasher);
        match &self.deep {
            None => Snapshot::of_tail(asked, self.tail.clone()),
            Some(deep) => {
                let find = |token| {
                    let hash = deep.dictionary.hash(token);
                    (hash, deep.dictionary.find(token, hash))
                };
                Snapshot::new(asked, self.tail.clone(), deep.shelves.clone(), deep.places.len(), find)
            }
        }
    }

    /// Checks that the parts agree.
    pub fn validate(&self) -> Result<(), String> {
        let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        check(self.tail.sketches().is_empty() && self.tail.iter().count() == self.tail.len(), "the tail is whole")?;
        let Some(deep) = &self.deep else { return Ok(()) };
        check(!deep.places.is_empty(), "an empty index has no deep part")?;
        let (mut posted, common) = deep.dictionary.validate()?;
        let common: BTreeSet<_> = common.into_iter().collect();
        let mut rows = 0;
        for (class, shelf) in (0..).zip(deep.shelves.iter()) {
            shelf.validate()?;
            for at in 0..shelf.len() {
                let (head, units) = shelf.get(at).ok_or("a row is there")?;
                let number = Number::new(class, at);
                check(M::class(head.size) == class, "a row stands in its class")?;
                check(deep.places.get(&head.slot) == Some(&number), "a slot's place is known")?;
                let tokens = deep.tokens(units);
                let hashes: Vec<_> = tokens.iter().map(|token| deep.dictionary.hash(*token)).collect();
                let words = M::words(class);
                let sketches = shelf.block(at).map(|block| block.sketches()).unwrap_or_default();
                let sketch = sketches.get(at % BLOCK * words..).and_then(|rest| rest.get(..words));
                check(sketch == Some(&M::sketch(words, units, &hashes)), "a row's sketch is its own")?;
                for (token, hash) in tokens.iter().zip(hashes).filter(|(token, _)| !common.contains(token)) {
                    let found = deep.dictionary.find(*token, hash).ok_or("a token has a list")?;
                    check(found.within(number.0..number.0 + 1, &mut Vec::new()) == 1, "a list holds its rows")?;
                    posted = posted.checked_sub(1).ok_or("lists hold what rows hold")?;
                }
                rows += 1;
            }
        }
        check(posted == 0, "lists hold nothing else")?;
        check(rows == deep.places.len(), "each row has a slot")
    }
}
