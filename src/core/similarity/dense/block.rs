//! Rows that lie together.

use super::codes::Codes;
use super::shape::{Shape, LANES, PLANE, QUAD, QUADS};
use crate::core::memory::{allocated, of_vec};

/// Bytes that memory is mapped in.
const PAGE: usize = 4096;

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
///   plane 0                                                           plane 1 …   the lower bytes, without tails
///   group 0                                     group 1 …      tails  group 0 …
///   quad 0: row 0 row 1 … row 7  quad 1: row 0 …               row 0 row 1 …
/// ```
///
/// where a quad is four neighbouring dimensions of a row, and a tail is the length of all of the row that comes behind the
/// plane, in 255ths of the length of the row, rounded up or one more. A block too small for a whole group has its rows one
/// after the other instead, and no tails: it is searched without any estimates.
#[derive(Clone, Debug)]
pub(super) struct Block {
    shape: Shape,
    capacity: usize,
    len: usize,
    /// Codes, with 128 added to each, and tails.
    codes: Box<[u8]>,
    rows: Box<[Row]>,
    /// What one of a sum of products with the upper bytes counts, in lengths of the row. None without estimates.
    inverses: Box<[f32]>,
    /// The longest part that the lower bytes have in a row, in lengths of that row. It only grows.
    longest_fine: f32,
}

impl Block {
    pub fn new(shape: Shape, capacity: usize) -> Self {
        Self {
            shape,
            capacity,
            len: 0,
            codes: vec![0; bytes(shape, capacity)].into(),
            rows: vec![Row::default(); capacity].into(),
            inverses: vec![0.0; estimated(capacity)].into(),
            longest_fine: 0.0,
        }
    }

    /// What a block of this capacity takes, with the counts of its holders.
    pub const fn memory(shape: Shape, capacity: usize) -> usize {
        allocated(size_of::<Self>() + 2 * size_of::<usize>())
            + of_vec::<u8>(bytes(shape, capacity))
            + of_vec::<Row>(capacity)
            + of_vec::<f32>(estimated(capacity))
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
        if block.lanes() != self.lanes() {
            for row in 0..self.len {
                if let (Some(owner), Some(codes)) = (self.owner(row), self.codes(row)) {
                    block.push(owner, &codes);
                }
            }
            return block;
        }
        let groups = self.len.next_multiple_of(self.lanes()) * PLANE;
        for plane in 0..self.shape.planes() {
            let (from, to) = (plane * self.pitch(), plane * block.pitch());
            copy(&self.codes, from, &mut block.codes, to, groups);
            let (from, to) = (from + self.fine_pitch(), to + block.fine_pitch());
            copy(&self.codes, from, &mut block.codes, to, self.len.min(estimated(capacity)));
            let from = self.fine_at() + plane * self.fine_pitch();
            let to = block.fine_at() + plane * block.fine_pitch();
            copy(&self.codes, from, &mut block.codes, to, if self.shape.fine { groups } else { 0 });
        }
        copy(&self.rows, 0, &mut block.rows, 0, self.len);
        copy(&self.inverses, 0, &mut block.inverses, 0, self.len.min(estimated(capacity)));
        Self { len: self.len, longest_fine: self.longest_fine, ..block }
    }

    /// Puts a row at the end, where there must be room.
    pub fn push(&mut self, owner: Owner, codes: &Codes) {
        self.len += 1;
        self.put(self.len - 1, owner, codes);
    }

    /// Writes a row over another.
    pub fn put(&mut self, row: usize, owner: Owner, codes: &Codes) {
        self.write(self.quads(row, 0, self.pitch()), &codes.coarse);
        self.write(self.quads(row, self.fine_at(), self.fine_pitch()), &codes.fine);
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
        self.longest_fine = self.longest_fine.max((codes.square_of_fine() as f64 / square as f64).sqrt() as f32);
        let mut left = square;
        let (first, pitch) = (self.capacity * PLANE + row, self.pitch());
        for (plane, square) in codes.squares().enumerate() {
            left -= square;
            if let Some(tail) = self.codes.get_mut(first + plane * pitch) {
                *tail = ((left as f64).sqrt() / length * 255.0) as u8;
                *tail = tail.saturating_add(1);
            }
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
        let fine = self.quads(row, self.fine_at(), self.fine_pitch());
        let fine = if self.shape.fine { self.read(fine) } else { Box::default() };
        (row < self.len).then(|| Codes { coarse: self.read(self.quads(row, 0, self.pitch())), fine })
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
    pub fn pitch(&self) -> usize {
        self.fine_pitch() + estimated(self.capacity)
    }

    /// Bytes from one plane of lower bytes to the next.
    pub fn fine_pitch(&self) -> usize {
        self.capacity * PLANE
    }

    /// The codes from this plane and this group on.
    pub fn coarse(&self, plane: usize, group: usize) -> &[u8] {
        let from = plane * self.pitch() + group * PLANE * self.lanes();
        self.codes.get(from..self.fine_at()).unwrap_or_default()
    }

    /// The lower bytes from this plane and this group on; empty without.
    pub fn fine(&self, plane: usize, group: usize) -> &[u8] {
        let from = self.fine_at() + plane * self.fine_pitch() + group * PLANE * self.lanes();
        self.codes.get(from..).unwrap_or_default()
    }

    /// The tails behind the first so many planes.
    pub fn tails(&self, planes: usize) -> &[u8] {
        let to = planes * self.pitch();
        self.codes.get(to.saturating_sub(estimated(self.capacity))..to).unwrap_or_default()
    }

    /// Has the processor fetch the beginnings of the pages of the first planes while another block is being read. It goes
    /// on by itself within a page, but not from one to the next: without this, a search of more rows than its own memory
    /// holds takes a tenth longer.
    pub fn fetch(&self, planes: usize) {
        let to = planes * self.pitch();
        let codes = self.codes.get(..to).unwrap_or_default().iter().step_by(PAGE).fold(0, |all, code| all ^ code);
        let inverse = self.inverses.first().map_or(0, |inverse| inverse.to_bits());
        std::hint::black_box(inverse ^ u32::from(codes));
    }

    pub fn inverses(&self) -> &[f32] {
        &self.inverses
    }

    pub fn longest_fine(&self) -> f32 {
        self.longest_fine
    }

    /// Where the lower bytes begin.
    fn fine_at(&self) -> usize {
        self.shape.planes() * self.pitch()
    }

    /// Where the quads of a row lie, in planes that begin at `at` and every `pitch` bytes.
    fn quads(&self, row: usize, at: usize, pitch: usize) -> impl Fn(usize) -> usize {
        let lanes = self.lanes();
        let first = at + row / lanes * lanes * PLANE + row % lanes * QUAD;
        move |quad| first + quad / QUADS * pitch + quad % QUADS * QUAD * lanes
    }

    fn write(&mut self, quads: impl Fn(usize) -> usize, codes: &[i8]) {
        for (quad, codes) in codes.chunks(QUAD).take(self.shape.planes() * QUADS).enumerate() {
            let to = self.codes.get_mut(quads(quad)..).unwrap_or_default();
            to.iter_mut().zip(codes).for_each(|(to, &code)| *to = (code as u8) ^ 0x80);
        }
    }

    fn read(&self, quads: impl Fn(usize) -> usize) -> Box<[i8]> {
        let mut codes = vec![0; self.shape.dim];
        for (quad, codes) in codes.chunks_mut(QUAD).enumerate() {
            let from = self.codes.get(quads(quad)..).unwrap_or_default();
            codes.iter_mut().zip(from).for_each(|(to, &code)| *to = (code ^ 0x80) as i8);
        }
        codes.into()
    }

    /// Checks that everything is as it is written from the codes.
    pub fn validate(&self) -> Result<(), String> {
        let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        check(self.len > 0 && self.len <= self.capacity, "a block holds a row, and no more than it can")?;
        let mut again = Self::new(self.shape, self.capacity);
        for row in 0..self.len {
            let (owner, codes) = self.owner(row).zip(self.codes(row)).ok_or("a row is read")?;
            again.push(owner, &codes);
        }
        check(self.longest_fine >= again.longest_fine, "no row has a longer lower part than the block says")?;
        for row in 0..self.len {
            let fields = |of: &Self| {
                let facts = of.rows.get(row).map(|row| (row.owner, row.square));
                // Small blocks have no estimates.
                let estimates = of.inverses.get(row).map(|inverse| {
                    let tail = |planes| of.tails(planes).get(row).copied();
                    (*inverse, (1..=self.shape.planes()).map(tail).collect::<Vec<_>>())
                });
                (facts, estimates)
            };
            check(self.codes(row) == again.codes(row), "codes are read as they were written")?;
            check(fields(self) == fields(&again), "what is known of a row follows from its codes")?;
            check(self.rows.get(row).is_some_and(|row| row.square > 0), "a row has a direction")?;
        }
        Ok(())
    }
}

fn copy<T: Copy>(from: &[T], first: usize, to: &mut [T], at: usize, len: usize) {
    if let (Some(from), Some(to)) = (from.get(first..first + len), to.get_mut(at..at + len)) {
        to.copy_from_slice(from);
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

/// Bytes of codes and tails.
const fn bytes(shape: Shape, capacity: usize) -> usize {
    let fine = if shape.fine { capacity * PLANE } else { 0 };
    shape.planes() * (capacity * PLANE + estimated(capacity) + fine)
}
