//! The rows of one class of sizes, in blocks, in groups.
//!
//! Two levels, so that a writer under a search copies a block, a group of 64 pointers and as few pointers to groups as
//! there are, whatever the number of rows. There are no holes: the last row fills the place of one that goes.

use super::block::{Block, Head, Row};
use super::measure::Measure;
use super::run::Run;
use crate::core::memory;
use std::sync::Arc;

/// Rows in a block.
pub const BLOCK: usize = 128;
/// Blocks in a group.
const GROUP: usize = 64;

type Group<M> = Run<Arc<Block<M>>>;

/// The rows of one class.
#[derive(Clone, Debug)]
pub struct Shelf<M: Measure> {
    groups: Run<Arc<Group<M>>>,
    len: usize,
    /// Bytes behind the blocks.
    bytes: usize,
}

impl<M: Measure> Default for Shelf<M> {
    fn default() -> Self {
        Self { groups: Run::default(), len: 0, bytes: 0 }
    }
}

impl<M: Measure> Shelf<M> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes behind it.
    pub fn memory(&self) -> usize {
        let blocks = self.len.div_ceil(BLOCK);
        let (full, rest) = (blocks / GROUP, blocks % GROUP);
        let group = memory::allocated(2 * size_of::<usize>() + size_of::<Group<M>>());
        let links = memory::of_vec::<Arc<Block<M>>>;
        self.groups.memory() + self.groups.len() * group + full * links(GROUP) + links(rest) + self.bytes
    }

    /// The block that a row is in.
    pub fn block(&self, at: usize) -> Option<&Arc<Block<M>>> {
        self.groups.get(at / BLOCK / GROUP)?.get(at / BLOCK % GROUP)
    }

    pub fn get(&self, at: usize) -> Option<(Head, &[M::Unit])> {
        self.block(at)?.get(at % BLOCK)
    }

    /// All blocks in order.
    pub fn blocks(&self) -> impl Iterator<Item = &Arc<Block<M>>> {
        self.groups.iter().flat_map(|group| group.iter())
    }

    /// Changes the block that a row is in.
    fn edit<T>(&mut self, at: usize, change: impl FnOnce(&mut Block<M>) -> T) -> Option<T> {
        let group = Arc::make_mut(self.groups.get_mut(at / BLOCK / GROUP)?);
        let block = Arc::make_mut(group.get_mut(at / BLOCK % GROUP)?);
        let before = block.memory();
        let answer = change(block);
        self.bytes = self.bytes + block.memory() - before;
        Some(answer)
    }

    /// Adds a row; where it is.
    pub fn push(&mut self, row: Row<M>) -> usize {
        let at = self.len;
        if at.is_multiple_of(BLOCK * GROUP) {
            self.groups.push(Arc::default());
        }
        if at.is_multiple_of(BLOCK) {
            let block = Block::default();
            self.bytes += block.memory();
            if let Some(group) = self.groups.get_mut(at / BLOCK / GROUP) {
                Arc::make_mut(group).push(Arc::new(block));
            }
        }
        self.edit(at, |block| block.push(row));
        self.len += 1;
        at
    }

    /// Takes the last row.
    pub fn pop(&mut self) -> Option<Row<M>> {
        let at = self.len.checked_sub(1)?;
        let row = self.edit(at, Block::pop)??;
        self.len = at;
        if at.is_multiple_of(BLOCK) {
            if let Some(group) = self.groups.get_mut(at / BLOCK / GROUP) {
                self.bytes -= Arc::make_mut(group).pop().map_or(0, |block| block.memory());
            }
        }
        if at.is_multiple_of(BLOCK * GROUP) {
            self.groups.pop();
        }
        Some(row)
    }

    /// Puts a row in the place of another.
    pub fn replace(&mut self, at: usize, row: Row<M>) {
        self.edit(at, |block| block.replace(at % BLOCK, row));
    }

    /// Checks that rows and memory are counted.
    pub fn validate(&self) -> Result<(), String> {
        let rows = self.blocks().map(|block| block.len()).sum::<usize>() == self.len;
        let bytes = self.blocks().map(|block| block.memory()).sum::<usize>() == self.bytes;
        let full = self.blocks().take(self.len / BLOCK).all(|block| block.len() == BLOCK);
        if rows && bytes && full {
            return Ok(());
        }
        Err("a shelf counts its rows and their memory".to_owned())
    }
}
