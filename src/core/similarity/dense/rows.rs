//! The vectors of one context.

use super::block::{Block, Owner};
use super::codes::Codes;
use super::probe::Probe;
use super::search::{self, Hit};
use super::shape::{Shape, LANES};
use crate::core::memory::{allocated, of_vec};
use std::ops::Deref;
use std::sync::Arc;

/// Blocks of a shelf. With shelves, a snapshot of a million rows clones sixty pointers instead of four thousand.
const SHELF: usize = 64;

type Shelf = Vec<Arc<Block>>;

/// Vectors of one shape, in rows without gaps, each with the slot and the stamp of an entry.
///
/// Rows are found by their number, which [`insert`](Self::insert) tells and [`remove`](Self::remove) may change for
/// one other row.
#[derive(Clone, Debug)]
pub struct Rows {
    shape: Shape,
    len: usize,
    shelves: Vec<Arc<Shelf>>,
}

/// The rows as they were. To hold it costs nothing but the copies of the blocks that are written meanwhile.
#[derive(Clone, Debug)]
pub struct Snapshot(Rows);

impl Rows {
    /// No rows yet.
    pub fn new(shape: Shape) -> Self {
        Self { shape, len: 0, shelves: Vec::new() }
    }

    /// The shape of all rows.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a vector and tells its row. The codes must be of the [shape](Self::shape) of the rows.
    pub fn insert(&mut self, slot: u32, stamp: u32, codes: &Codes) -> u32 {
        debug_assert_eq!(codes.shape(), self.shape);
        let row = self.len;
        if row.is_multiple_of(self.shape.rows() * SHELF) {
            push(&mut self.shelves, Arc::default());
        }
        let in_block = row % self.shape.rows();
        if let Some(shelf) = self.shelves.last_mut().map(Arc::make_mut) {
            if in_block == 0 {
                push(shelf, Arc::new(Block::new(self.shape, capacity(self.shape, row, 1))));
            }
            if let Some(block) = shelf.last_mut() {
                if block.len() == block.capacity() {
                    *block = Arc::new(block.resized(capacity(self.shape, row, block.len() + 1)));
                }
                Arc::make_mut(block).push(Owner { slot, stamp }, codes);
            }
        }
        self.len += 1;
        row as u32
    }

    /// Takes a row away. The last row takes its place: told is the slot of the entry that has moved there, if one has.
    pub fn remove(&mut self, row: u32) -> Option<u32> {
        let row = row as usize;
        if row >= self.len {
            return None;
        }
        let (owner, codes) = self.pop()?;
        if row == self.len {
            return None;
        }
        let in_block = row % self.shape.rows();
        let block = row / self.shape.rows();
        let shelf = self.shelves.get_mut(block / SHELF).map(Arc::make_mut)?;
        Arc::make_mut(shelf.get_mut(block % SHELF)?).put(in_block, owner, &codes);
        Some(owner.slot)
    }

    /// Takes the last row away, and gives memory back when a quarter of the last block is left.
    fn pop(&mut self) -> Option<(Owner, Codes)> {
        let shelf = Arc::make_mut(self.shelves.last_mut()?);
        let block = shelf.last_mut()?;
        let popped = Arc::make_mut(block).pop()?;
        self.len -= 1;
        let len = block.len();
        let enough = capacity(self.shape, self.len, len);
        if len == 0 {
            pop(shelf);
        } else if len * 4 <= block.capacity() && enough < block.capacity() {
            *block = Arc::new(block.resized(enough));
        }
        if shelf.is_empty() {
            pop(&mut self.shelves);
        }
        Some(popped)
    }

    fn block(&self, row: usize) -> Option<&Block> {
        let block = row / self.shape.rows();
        self.shelves.get(block / SHELF)?.get(block % SHELF).map(Arc::as_ref)
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.shelves.iter().flat_map(|shelf| shelf.iter()).map(Arc::as_ref)
    }

    /// The vector of a row.
    pub fn codes(&self, row: u32) -> Option<Codes> {
        let row = row as usize;
        self.block(row)?.codes(row % self.shape.rows())
    }

    /// The slot and the stamp of a row.
    pub fn owner(&self, row: u32) -> Option<(u32, u32)> {
        let row = row as usize;
        self.block(row)?.owner(row % self.shape.rows()).map(|owner| (owner.slot, owner.stamp))
    }

    /// What the rows take.
    pub fn memory(&self) -> usize {
        let full = self.shape.rows();
        let blocks = self.len.div_ceil(full);
        let Some(last) = self.len.checked_sub(1).and_then(|last| self.block(last)) else { return 0 };
        let shelves = blocks.div_ceil(SHELF);
        let shelf =
            |blocks: usize| allocated(size_of::<Shelf>() + 2 * size_of::<usize>()) + of_vec::<Arc<Block>>(room(blocks));
        of_vec::<Arc<Shelf>>(room(shelves))
            + (shelves - 1) * shelf(SHELF)
            + shelf(blocks - (shelves - 1) * SHELF)
            + (blocks - 1) * Block::memory(self.shape, full)
            + Block::memory(self.shape, last.capacity())
    }

    /// The rows as they are now, to be searched by another thread.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.clone())
    }

    /// The `k` rows most like the query, the best first, none of them less like it than `floor`; of rows that are alike
    /// the ones with the lowest slots. There is no approximation in this. A query of other dimensions finds nothing.
    pub fn best(&self, query: &Probe, floor: f32, k: usize) -> Vec<Hit> {
        self.best_of(0..self.parts(), query, floor, k)
    }

    /// Into how many parts a search can be split.
    pub fn parts(&self) -> usize {
        self.shelves.len()
    }

    /// The same in some of the parts.
    pub fn best_of(&self, parts: impl Iterator<Item = usize>, query: &Probe, floor: f32, k: usize) -> Vec<Hit> {
        if query.dim() != self.shape.dim {
            return Vec::new();
        }
        let shelves = parts.filter_map(|part| self.shelves.get(part));
        search::best(self.shape, shelves.flat_map(|shelf| shelf.iter()).map(Arc::as_ref), query, floor, k)
    }

    /// About how long a search takes, in microseconds.
    pub fn cost(&self) -> u64 {
        search::cost(self.shape, self.len)
    }

    /// Checks that everything hangs together, which takes as long as writing it all.
    pub fn validate(&self) -> Result<(), String> {
        let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let lens: Vec<_> = self.blocks().map(Block::len).collect();
        check(lens.iter().sum::<usize>() == self.len, "each row is in a block")?;
        let (last, others) = lens.split_last().unwrap_or((&0, &[]));
        check(others.iter().all(|&len| len == self.shape.rows()), "all blocks but the last one are full")?;
        check(*last <= self.shape.rows(), "no block is too full")?;
        let (last, others) = self.shelves.split_last().map_or((None, &[][..]), |(last, others)| (Some(last), others));
        check(others.iter().all(|shelf| shelf.len() == SHELF), "all shelves but the last one are full")?;
        check(last.is_none_or(|shelf| (1..=SHELF).contains(&shelf.len())), "no shelf is empty or too full")?;
        self.blocks().try_for_each(Block::validate)
    }
}

impl Deref for Snapshot {
    type Target = Rows;

    fn deref(&self) -> &Rows {
        &self.0
    }
}

/// The capacity of a block of `len` rows. One behind others is large enough for a whole group from the beginning, as it
/// will not stay small and groups are what is searched fast.
fn capacity(shape: Shape, rows: usize, len: usize) -> usize {
    shape.capacity(if rows < shape.rows() { len } else { len.max(LANES) })
}

/// Room for `len` pointers: the next power of two.
const fn room(len: usize) -> usize {
    match len {
        0 => 0,
        _ => len.next_power_of_two(),
    }
}

fn push<T>(spine: &mut Vec<T>, pointer: T) {
    spine.reserve_exact(room(spine.len() + 1) - spine.len());
    spine.push(pointer);
}

fn pop<T>(spine: &mut Vec<T>) {
    spine.pop();
    spine.shrink_to(room(spine.len()));
}
