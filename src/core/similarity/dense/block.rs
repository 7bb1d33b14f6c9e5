//! Rows that lie together.

use super::codes::{sum_of_squares, Codes};
use super::shape::{Shape, LANES, PLANE, QUAD};
use crate::core::memory::{allocated, of_vec};

/// Whom a row belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Owner {
    pub slot: u32,
    pub stamp: u32,
}

/// A row, besides its codes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    pub owner: Owner,
    /// The sum of the squares of its values.
    pub square: u64,
}

/// Some rows. Their codes lie plane by plane, so that a search reads the first planes of all rows in one go and nothing
/// else of most of them:
///
/// ```text
///   plane 0                                    plane 1         …   the lower bytes, likewise
///   group 0                         group 1 …  group 0 …
///   quad 0: row 0 row 1 … row 7  quad 1 …
/// ```
///
/// where a quad is four neighbouring dimensions of a row. A block too small for a whole group has its rows one after the
/// other instead, and is searched without any estimates.
#[derive(Clone, Debug)]
pub(super) struct Block {
    shape: Shape,
    capacity: usize,
    len: usize,
    /// The upper bytes of all rows, then the lower ones, with 128 added to each.
    codes: Box<[u8]>,
    rows: Box<[Row]>,
    /// What one of a dot product with the upper bytes counts, in lengths of the row.
    inverses: Box<[f32]>,
    /// For each stop, the length of what comes behind it, in 255ths of the length of the row, rounded up.
    tails: Box<[u8]>,
    /// The longest part that the lower bytes have in a row, in lengths of that row. It only grows.
    fine: f32,
}

impl Block {
    pub fn new(shape: Shape, capacity: usize) -> Self {
        let estimated = estimated(capacity);
        Self {
            shape,
            capacity,
            len: 0,
            codes: vec![0; shape.row() * capacity].into(),
            rows: vec![Row::default(); capacity].into(),
            inverses: vec![0.0; estimated].into(),
            tails: vec![0; shape.stops() * estimated].into(),
            fine: 0.0,
        }
    }

    /// What a block of this capacity takes, with the counts of its holders.
    pub const fn memory(shape: Shape, capacity: usize) -> usize {
        let estimated = estimated(capacity);
        allocated(size_of::<Self>() + 2 * size_of::<usize>())
            + of_vec::<u8>(shape.row() * capacity)
            + of_vec::<Row>(capacity)
            + of_vec::<f32>(estimated)
            + of_vec::<u8>(shape.stops() * estimated)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The same rows with another capacity, which must be enough for them.
    pub fn resized(&self, capacity: usize) -> Self {
        let mut block = Self::new(self.shape, capacity);
        for row in 0..self.len {
            if let (Some(codes), Some(of)) = (self.codes(row), self.rows.get(row)) {
                block.push(of.owner, &codes);
            }
        }
        block
    }

    /// Puts a row at the end, where there must be room.
    pub fn push(&mut self, owner: Owner, codes: &Codes) {
        self.len += 1;
        self.put(self.len - 1, owner, codes);
    }

    /// Writes a row over another.
    pub fn put(&mut self, row: usize, owner: Owner, codes: &Codes) {
        let fine = self.fine_at();
        self.write(row, 0, &codes.coarse);
        self.write(row, fine, &codes.fine);
        let square = codes.square();
        if let Some(to) = self.rows.get_mut(row) {
            *to = Row { owner, square };
        }
        self.estimate(row, codes, square);
    }

    /// Writes what a search goes by before it knows a row's similarity.
    fn estimate(&mut self, row: usize, codes: &Codes, square: u64) {
        let Some(inverse) = self.inverses.get_mut(row) else { return };
        let length = (square as f64).sqrt();
        *inverse = (f64::from(self.shape.unit()) / length) as f32;
        self.fine = self.fine.max((codes.square_of_fine() as f64 / square as f64).sqrt() as f32);
        let mut left = square;
        let mut values = codes.values();
        for tail in self.tails.iter_mut().skip(row).step_by(self.capacity) {
            left -= sum_of_squares(values.by_ref().take(PLANE * self.shape.stride()));
            *tail = ((left as f64).sqrt() / length * 255.0).ceil() as u8;
        }
    }

    /// Takes the last row away.
    pub fn pop(&mut self) -> Option<(Owner, Codes)> {
        let last = self.len.checked_sub(1)?;
        let popped = (self.owner(last)?, self.codes(last)?);
        self.len = last;
        Some(popped)
    }

    pub fn owner(&self, row: usize) -> Option<Owner> {
        self.rows().get(row).map(|row| row.owner)
    }

    pub fn rows(&self) -> &[Row] {
        self.rows.get(..self.len).unwrap_or_default()
    }

    /// A row's vector.
    pub fn codes(&self, row: usize) -> Option<Codes> {
        let fine = if self.shape.fine { self.read(row, self.fine_at()) } else { Box::default() };
        (row < self.len).then(|| Codes { coarse: self.read(row, 0), fine })
    }

    /// How many rows are interleaved.
    pub fn lanes(&self) -> usize {
        if self.capacity < LANES {
            1
        } else {
            LANES
        }
    }

    /// Bytes from one plane to the next.
    pub fn stride(&self) -> usize {
        self.capacity * PLANE
    }

    /// The upper bytes from this plane and this group on.
    pub fn coarse_from(&self, plane: usize, group: usize) -> &[u8] {
        let from = plane * self.stride() + group * PLANE * self.lanes();
        self.codes.get(from..self.fine_at()).unwrap_or_default()
    }

    /// The lower bytes from this plane and this group on; empty without.
    pub fn fine_from(&self, plane: usize, group: usize) -> &[u8] {
        let from = self.fine_at() + plane * self.stride() + group * PLANE * self.lanes();
        self.codes.get(from..).unwrap_or_default()
    }

    pub fn inverses(&self) -> &[f32] {
        &self.inverses
    }

    /// The tails of all rows behind a stop; empty behind the last plane.
    pub fn tails(&self, stop: usize) -> &[u8] {
        self.tails.get(stop * self.capacity..(stop + 1) * self.capacity).unwrap_or_default()
    }

    pub fn fine(&self) -> f32 {
        self.fine
    }

    /// Where the lower bytes begin.
    fn fine_at(&self) -> usize {
        self.shape.planes() * self.stride()
    }

    /// Where the quads of a row lie, from `at` on.
    fn quads(&self, row: usize, at: usize) -> impl Iterator<Item = usize> {
        let (lanes, stride) = (self.lanes(), self.stride());
        let first = at + row / lanes * lanes * PLANE + row % lanes * QUAD;
        let plane = move |plane| (0..PLANE / QUAD).map(move |quad| first + plane * stride + quad * QUAD * lanes);
        (0..self.shape.planes()).flat_map(plane)
    }

    fn write(&mut self, row: usize, at: usize, codes: &[i8]) {
        for (at, quad) in self.quads(row, at).zip(codes.chunks(QUAD)) {
            let to = self.codes.get_mut(at..).unwrap_or_default();
            to.iter_mut().zip(quad).for_each(|(to, &code)| *to = (code as u8) ^ 0x80);
        }
    }

    fn read(&self, row: usize, at: usize) -> Box<[i8]> {
        let quads = self.quads(row, at).filter_map(|at| self.codes.get(at..at + QUAD));
        quads.flatten().take(self.shape.dim).map(|&code| (code ^ 0x80) as i8).collect()
    }

    /// Checks that everything is as it is written from the codes.
    pub fn validate(&self) -> Result<(), String> {
        let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        check(self.len > 0 && self.len <= self.capacity, "a block holds a row, and no more than it can")?;
        let again = self.resized(self.capacity);
        check(self.fine >= again.fine && self.fine < 1.0, "no row has a longer lower part than the block says")?;
        for row in 0..self.len {
            let fields = |of: &Self| {
                let facts = of.rows.get(row).map(|row| (row.owner, row.square));
                let tails: Vec<_> = of.tails.iter().skip(row).step_by(of.capacity).copied().collect();
                (facts, of.inverses.get(row).copied(), tails)
            };
            check(self.codes(row) == again.codes(row), "codes are read as they were written")?;
            check(fields(self) == fields(&again), "what is known of a row follows from its codes")?;
            check(self.rows.get(row).is_some_and(|row| row.square > 0), "a row has a direction")?;
        }
        Ok(())
    }
}

/// Rows for which estimates are kept.
const fn estimated(capacity: usize) -> usize {
    if capacity < LANES {
        0
    } else {
        capacity
    }
}
