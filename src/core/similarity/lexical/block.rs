//! Rows that lie together: what was said of each, what is kept of it, and its sketch.
//!
//! The rows of a block are copied together when one of them changes under a search, so they keep nothing that would
//! have to be counted one by one: their units lie end to end.

use super::measure::Measure;
use super::run::Run;
use crate::core::memory;

/// What was said of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Head {
    /// The caller's.
    pub slot: u32,
    /// The caller's.
    pub stamp: u32,
    /// How large the prompt is, in the metric's terms.
    pub size: u32,
    /// Where its units end.
    end: u32,
}

impl Head {
    pub fn new(slot: u32, stamp: u32, size: u32) -> Self {
        Self { slot, stamp, size, end: 0 }
    }
}

/// A row on its way.
#[derive(Clone, Debug)]
pub struct Row<M: Measure> {
    pub head: Head,
    pub units: Vec<M::Unit>,
    /// Nothing in the tail.
    pub sketch: Vec<u64>,
}

/// Rows that lie together.
#[derive(Clone, Debug)]
pub struct Block<M: Measure> {
    heads: Run<Head>,
    units: Run<M::Unit>,
    sketches: Run<u64>,
}

impl<M: Measure> Default for Block<M> {
    fn default() -> Self {
        Self { heads: Run::default(), units: Run::default(), sketches: Run::default() }
    }
}

impl<M: Measure> Block<M> {
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Bytes behind it, and its own behind an `Arc`.
    pub fn memory(&self) -> usize {
        memory::allocated(size_of::<Self>() + 2 * size_of::<usize>())
            + self.heads.memory()
            + self.units.memory()
            + self.sketches.memory()
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).and_then(|before| self.heads.get(before)).map_or(0, |head| head.end as usize)
    }

    pub fn head(&self, at: usize) -> Option<&Head> {
        self.heads.get(at)
    }

    /// A row: what was said of it, and its units.
    pub fn get(&self, at: usize) -> Option<(Head, &[M::Unit])> {
        let head = *self.heads.get(at)?;
        Some((head, self.units.get(self.start(at)..head.end as usize)?))
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = (Head, &[M::Unit])> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// The sketches of all rows, end to end; none in the tail.
    pub fn sketches(&self) -> &[u64] {
        &self.sketches
    }

    /// Where a slot's row is.
    pub fn find(&self, slot: u32) -> Option<usize> {
        self.heads.iter().position(|head| head.slot == slot)
    }

    pub fn push(&mut self, row: Row<M>) {
        self.units.extend(&row.units);
        self.heads.push(Head { end: self.units.len() as u32, ..row.head });
        self.sketches.extend(&row.sketch);
    }

    pub fn pop(&mut self) -> Option<Row<M>> {
        let (head, units) = self.get(self.len().checked_sub(1)?)?;
        let (units, words) = (units.to_vec(), self.sketches.len() / self.len());
        let sketch = self.sketches.split_off(self.sketches.len() - words).to_vec();
        self.units.truncate(self.units.len() - units.len());
        self.heads.pop();
        Some(Row { head, units, sketch })
    }

    /// Puts a row in the place of another.
    pub fn replace(&mut self, at: usize, row: Row<M>) {
        let (start, Some(old)) = (self.start(at), self.heads.get(at).copied()) else { return };
        self.units.replace(start..old.end as usize, &row.units);
        if let Some(head) = self.heads.get_mut(at) {
            *head = Head { end: old.end, ..row.head };
        }
        let (old, new) = (old.end, (start + row.units.len()) as u32);
        for at in at..self.heads.len() {
            if let Some(head) = self.heads.get_mut(at) {
                head.end = head.end - old + new;
            }
        }
        let words = row.sketch.len();
        self.sketches.replace(at * words..(at + 1) * words, &row.sketch);
    }
}
