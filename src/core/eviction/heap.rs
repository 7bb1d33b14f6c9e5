//! Slots by a bound of their rank, the least on top.
//!
//! What is known of a rank is a *lower bound*: a touch only raises the rank of an entry, and is not told here, so that a hit
//! costs nothing. Who wants the least looks at the true rank of what stands on top, and sets it right. Each slot that is in
//! use stands here once; `places` says where, so that an entry that goes takes nothing with it but its own cell.

use crate::core::entry::Slot;
use crate::core::memory;

/// How many children a cell has. Four lie in one cache line, so a walk through the heap is half as long as that of two.
const CHILDREN: usize = 4;

/// Not in the heap.
const NOWHERE: u32 = u32::MAX;

/// A slot and the bound of its rank, in two halves: twelve bytes. The slot breaks ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    high: u32,
    low: u32,
    slot: u32,
}

impl Cell {
    fn new(slot: Slot, rank: u64) -> Self {
        Self { high: (rank >> 32) as u32, low: rank as u32, slot: slot.0 }
    }

    fn rank(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }
}

/// The heap.
#[derive(Debug, Default)]
pub(super) struct Heap {
    cells: Vec<Cell>,
    places: Vec<u32>,
}

/// A copy takes what the original takes.
impl Clone for Heap {
    fn clone(&self) -> Self {
        Self { cells: memory::copy_of(&self.cells), places: memory::copy_of(&self.places) }
    }
}

impl Heap {
    /// What stands on top, and the bound of its rank.
    pub fn top(&self) -> Option<(u64, Slot)> {
        self.cells.first().map(|cell| (cell.rank(), Slot(cell.slot)))
    }

    /// The bound of a slot's rank.
    pub fn bound(&self, slot: Slot) -> Option<u64> {
        self.cells.get(self.place(slot)?).map(|cell| cell.rank())
    }

    /// Puts a slot in, or moves the one that is there.
    pub fn set(&mut self, slot: Slot, rank: u64) {
        let cell = Cell::new(slot, rank);
        let at = self.place(slot).unwrap_or_else(|| {
            let places = slot.0 as usize + 1;
            if self.places.len() < places {
                self.places.resize(places, NOWHERE);
            }
            self.cells.push(cell);
            self.cells.len() - 1
        });
        self.settle(cell, at);
    }

    /// Takes a slot out.
    pub fn remove(&mut self, slot: Slot) {
        let (Some(at), Some(last)) = (self.place(slot), self.cells.pop()) else { return };
        if let Some(place) = self.places.get_mut(slot.0 as usize) {
            *place = NOWHERE;
        }
        if at < self.cells.len() {
            self.settle(last, at);
        }
        if self.cells.is_empty() {
            *self = Self::default();
        } else if self.cells.capacity() > 64 && self.cells.len() < self.cells.capacity() / 2 {
            self.cells.shrink_to(self.cells.len() * 5 / 4);
        }
    }

    /// Forgets all bounds: of any rank, 0 is one.
    pub fn forget(&mut self) {
        self.cells.clear();
        for (slot, place) in (0..).zip(&mut self.places) {
            if *place != NOWHERE {
                *place = self.cells.len() as u32;
                self.cells.push(Cell::new(Slot(slot), 0));
            }
        }
    }

    fn place(&self, slot: Slot) -> Option<usize> {
        self.places.get(slot.0 as usize).filter(|place| **place != NOWHERE).map(|place| *place as usize)
    }

    /// Puts a cell where it belongs, beginning at a place whose own content is not needed any more.
    fn settle(&mut self, cell: Cell, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / CHILDREN;
            match self.cells.get(parent) {
                Some(above) if *above > cell => self.put(*above, at),
                _ => break,
            }
            at = parent;
        }
        loop {
            let first = at * CHILDREN + 1;
            let children = self.cells.get(first..self.cells.len().min(first + CHILDREN)).unwrap_or_default();
            match children.iter().zip(first..).min() {
                Some((below, place)) if *below < cell => {
                    self.put(*below, at);
                    at = place;
                }
                _ => break,
            }
        }
        self.put(cell, at);
    }

    fn put(&mut self, cell: Cell, at: usize) {
        if let (Some(here), Some(place)) = (self.cells.get_mut(at), self.places.get_mut(cell.slot as usize)) {
            (*here, *place) = (cell, at as u32);
        }
    }

    /// Checks that the least stands on top, and that slots and places agree.
    pub fn validate(&self) -> Result<(), String> {
        let placed = self.places.iter().filter(|place| **place != NOWHERE).count();
        let here = |(at, cell): (usize, &Cell)| self.place(Slot(cell.slot)) == Some(at);
        if placed != self.cells.len() || !self.cells.iter().enumerate().all(here) {
            return Err("each slot knows its place in the heap of ranks".into());
        }
        let above = |at: usize| self.cells.get((at - 1) / CHILDREN);
        if self.cells.iter().enumerate().skip(1).any(|(at, cell)| above(at) > Some(cell)) {
            return Err("the least rank stands on top".into());
        }
        Ok(())
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.cells.len()
    }
}
