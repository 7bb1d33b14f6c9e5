//! The rows that hold one token, in order.
//!
//! Most tokens stand in a handful of rows, and a few in a third of them all. So a short list lies in its place in the
//! dictionary, a middling one is one piece, and a long one is pieces of at most [`CHUNK`] rows, each behind an `Arc`: a
//! search holds the list as it was, and a writer copies one piece of it and the table of pieces.

use super::run::Run;
use crate::core::memory;
use std::ops::Range;
use std::sync::Arc;

/// Rows that lie in place.
const FEW: usize = 5;
/// Rows in a piece.
const CHUNK: usize = 512;
/// What stands before the value in the allocation of an `Arc`: two counters.
const COUNTERS: usize = 2 * size_of::<usize>();

type Rows = Arc<Run<u32>>;

#[derive(Clone, Debug)]
struct Chunk {
    first: u32,
    rows: Rows,
}

/// A long list.
#[derive(Clone, Debug, Default)]
pub struct List {
    chunks: Run<Chunk>,
    len: usize,
    bytes: usize,
}

/// The rows that hold one token.
#[derive(Clone, Debug)]
pub enum Postings {
    /// So many, and these.
    Few(u8, [u32; FEW]),
    /// One piece.
    One(Rows),
    /// Several pieces.
    Many(Arc<List>),
    /// So many that nobody has kept them: a list that long says less than a look at the rows themselves.
    Common,
}

fn rows_memory(rows: &Run<u32>) -> usize {
    memory::allocated(COUNTERS + size_of::<Run<u32>>()) + rows.memory()
}

fn sub_slice(rows: &[u32], range: &Range<u32>) -> Range<usize> {
    let start = rows.partition_point(|row| *row < range.start);
    let end = match rows.last() {
        Some(last) if *last < range.end => rows.len(),
        _ => rows.partition_point(|row| *row < range.end),
    };
    start..end.max(start)
}

impl List {
    /// The piece that a row is or would be in.
    fn chunk_of(&self, row: u32) -> usize {
        self.chunks.partition_point(|chunk| chunk.first <= row).saturating_sub(1)
    }

    /// Puts rows in as a piece of their own.
    fn add_chunk(&mut self, at: usize, rows: Run<u32>) {
        let Some(first) = rows.first().copied() else { return };
        self.len += rows.len();
        self.bytes += rows_memory(&rows);
        self.chunks.insert(at, Chunk { first, rows: Arc::new(rows) });
    }

    fn take_chunk(&mut self, at: usize) -> Run<u32> {
        let Some(chunk) = self.chunks.remove(at) else { return Run::default() };
        self.len -= chunk.rows.len();
        self.bytes -= rows_memory(&chunk.rows);
        Arc::try_unwrap(chunk.rows).unwrap_or_else(|shared| (*shared).clone())
    }

    /// Changes the rows of a piece.
    fn edit<T>(&mut self, at: usize, change: impl FnOnce(&mut Run<u32>) -> T) -> Option<T> {
        let chunk = self.chunks.get_mut(at)?;
        let (len, bytes) = (chunk.rows.len(), rows_memory(&chunk.rows));
        let answer = change(Arc::make_mut(&mut chunk.rows));
        self.len = self.len + chunk.rows.len() - len;
        self.bytes = self.bytes + rows_memory(&chunk.rows) - bytes;
        chunk.first = chunk.rows.first().copied().unwrap_or(chunk.first);
        Some(answer)
    }

    fn insert(&mut self, row: u32) {
        let mut at = self.chunk_of(row);
        if self.chunks.get(at).is_some_and(|chunk| chunk.rows.len() >= CHUNK) {
            let right = self.edit(at, |rows| rows.split_off(CHUNK / 2)).unwrap_or_default();
            self.add_chunk(at + 1, right);
            at = self.chunk_of(row);
        }
        self.edit(at, |rows| insert(rows, row));
    }

    fn remove(&mut self, row: u32) {
        let at = self.chunk_of(row);
        self.edit(at, |rows| remove(rows, row));
        let len_of = |at: usize| self.chunks.get(at).map_or(CHUNK, |chunk| chunk.rows.len());
        if len_of(at) == 0 {
            self.take_chunk(at);
        } else if len_of(at) + len_of(at + 1) <= CHUNK / 2 {
            let right = self.take_chunk(at + 1);
            self.edit(at, |rows| rows.extend(&right));
        }
    }
}

fn insert(rows: &mut Run<u32>, row: u32) {
    if let Err(at) = rows.binary_search(&row) {
        rows.insert(at, row);
    }
}

fn remove(rows: &mut Run<u32>, row: u32) {
    if let Ok(at) = rows.binary_search(&row) {
        rows.remove(at);
    }
}

impl Default for Postings {
    fn default() -> Self {
        Self::Few(0, [0; FEW])
    }
}

impl Postings {
    /// How many rows there are; none where they are not kept.
    pub fn len(&self) -> usize {
        match self {
            Self::Few(len, _) => usize::from(*len),
            Self::One(rows) => rows.len(),
            Self::Many(list) => list.len,
            Self::Common => 0,
        }
    }

    /// Bytes behind it.
    pub fn memory(&self) -> usize {
        match self {
            Self::Few(..) | Self::Common => 0,
            Self::One(rows) => rows_memory(rows),
            Self::Many(list) => memory::allocated(COUNTERS + size_of::<List>()) + list.chunks.memory() + list.bytes,
        }
    }

    /// Puts a row in.
    pub fn insert(&mut self, row: u32) {
        match self {
            Self::Few(len, rows) => {
                let held = rows.get(..usize::from(*len)).unwrap_or_default();
                let mut next = Run::default();
                next.extend(held);
                insert(&mut next, row);
                *self = Self::short(next);
            }
            Self::One(rows) if rows.len() < CHUNK => insert(Arc::make_mut(rows), row),
            Self::One(rows) => {
                let mut list = List::default();
                list.add_chunk(0, std::mem::take(Arc::make_mut(rows)));
                list.insert(row);
                *self = Self::Many(Arc::new(list));
            }
            Self::Many(list) => Arc::make_mut(list).insert(row),
            Self::Common => {}
        }
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: u32) {
        match self {
            Self::Few(len, rows) => {
                let held = rows.get(..usize::from(*len)).unwrap_or_default();
                let mut next = Run::default();
                next.extend(held);
                remove(&mut next, row);
                *self = Self::short(next);
            }
            Self::One(rows) => {
                remove(Arc::make_mut(rows), row);
                if rows.len() < FEW {
                    *self = Self::short(std::mem::take(Arc::make_mut(rows)));
                }
            }
            Self::Many(list) => {
                let list = Arc::make_mut(list);
                list.remove(row);
                if list.chunks.len() <= 1 {
                    *self = Self::short(list.take_chunk(0));
                }
            }
            Self::Common => {}
        }
    }

    /// The form for rows of at most one piece.
    fn short(rows: Run<u32>) -> Self {
        let mut few = [0; FEW];
        match few.get_mut(..rows.len()) {
            Some(place) => {
                place.copy_from_slice(&rows);
                Self::Few(rows.len() as u8, few)
            }
            None => Self::One(Arc::new(rows)),
        }
    }

    /// Adds the rows of a range to `slices`, and answers how many they are.
    pub fn within<'a>(&'a self, range: Range<u32>, slices: &mut Vec<&'a [u32]>) -> usize {
        let before: usize = slices.len();
        let mut add = |rows: &'a [u32]| {
            let part = rows.get(sub_slice(rows, &range)).unwrap_or_default();
            if !part.is_empty() {
                slices.push(part);
            }
        };
        match self {
            Self::Few(len, rows) => add(rows.get(..usize::from(*len)).unwrap_or_default()),
            Self::One(rows) => add(rows),
            Self::Many(list) => {
                let chunks = list.chunks.get(list.chunk_of(range.start)..).unwrap_or_default();
                chunks.iter().take_while(|chunk| chunk.first < range.end).for_each(|chunk| add(&chunk.rows));
            }
            Self::Common => {}
        }
        slices.get(before..).unwrap_or_default().iter().map(|rows| rows.len()).sum()
    }

    /// Checks that the rows are in order and counted.
    pub fn validate(&self) -> Result<(), String> {
        let mut slices = Vec::new();
        let len = self.within(0..u32::MAX, &mut slices);
        let sorted = slices.concat().is_sorted_by(|a, b| a < b);
        let bytes = match self {
            Self::Many(list) => {
                list.chunks.iter().map(|chunk| rows_memory(&chunk.rows)).sum::<usize>() == list.bytes
                    && list.chunks.iter().all(|chunk| chunk.rows.first() == Some(&chunk.first))
            }
            _ => true,
        };
        if sorted && bytes && len == self.len() {
            return Ok(());
        }
        Err("the rows of a token are in order and counted".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn lists_of_all_lengths_hold_what_a_set_holds() {
        let mut state = 7u64;
        let mut draw = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        for round in 0..20 {
            let (mut postings, mut twin) = (Postings::default(), BTreeSet::new());
            let most = [4, 9, 600, 5000][round % 4];
            for step in 0..most * 4 {
                // First it grows, then it shrinks.
                let row = draw(most * 2) as u32;
                if draw(10) < if step < most * 2 { 8 } else { 2 } {
                    postings.insert(row);
                    twin.insert(row);
                } else {
                    let row = twin.range(row..).next().copied().unwrap_or(row);
                    postings.remove(row);
                    twin.remove(&row);
                }
                if step % 97 == 0 {
                    postings.validate().unwrap();
                    let (from, to) = (draw(most * 2) as u32, draw(most * 2) as u32);
                    let mut slices = Vec::new();
                    let count = postings.within(from..to, &mut slices);
                    let expected: Vec<_> = twin.iter().copied().filter(|row| (from..to).contains(row)).collect();
                    assert_eq!((slices.concat(), count), (expected.clone(), expected.len()));
                }
            }
            assert_eq!(postings.len(), twin.len());
            twin.iter().for_each(|row| postings.remove(*row));
            assert_eq!((postings.len(), postings.memory()), (0, 0));
        }
    }

    #[test]
    fn a_copy_stays_as_it_was() {
        let mut postings = Postings::default();
        (0..2000).for_each(|row| postings.insert(row * 2));
        let copy = postings.clone();
        (0..2000).for_each(|row| postings.insert(row * 2 + 1));
        (0..1000).for_each(|row| postings.remove(row * 4));
        let mut slices = Vec::new();
        copy.within(0..u32::MAX, &mut slices);
        assert!(slices.concat().into_iter().eq((0..2000).map(|row| row * 2)));
    }
}
