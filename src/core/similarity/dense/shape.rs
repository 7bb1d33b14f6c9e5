//! What all vectors of a context have in common, and how they are laid out because of it.

/// The largest number of dimensions.
pub const MAX_DIM: usize = 8192;
/// Dimensions of a plane: a search reads whole planes, and may stop behind each.
pub(super) const PLANE: usize = 16;
/// Dimensions of a row that lie next to one another.
pub(super) const QUAD: usize = 4;
/// Quads of a plane.
pub(super) const QUADS: usize = PLANE / QUAD;
/// Rows of a group: their codes are interleaved, so that one instruction works on all of them.
pub(super) const LANES: usize = 8;
/// The most rows of a block.
pub(super) const MAX_ROWS: usize = 256;
/// About how large a block is, at most: a writer copies one when a search still holds it.
const BLOCK_BYTES: usize = 96 * 1024;

/// How many dimensions the vectors of a context have, and how finely they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Dimensions.
    pub dim: usize,
    /// Whether two bytes a dimension are kept, or one.
    pub fine: bool,
}

impl Shape {
    /// What the upper byte of a value counts.
    pub(super) const fn unit(self) -> i32 {
        if self.fine {
            256
        } else {
            1
        }
    }

    /// Planes of one row, the last one filled up with zeros.
    pub(super) const fn planes(self) -> usize {
        self.dim.div_ceil(PLANE)
    }

    /// Rows of a full block.
    pub(super) const fn rows(self) -> usize {
        let rows = BLOCK_BYTES / (self.dim * if self.fine { 2 } else { 1 } + 1) / LANES * LANES;
        match rows {
            0 => LANES,
            LANES..=MAX_ROWS => rows,
            _ => MAX_ROWS,
        }
    }

    /// The capacity of a block that has to hold `len` rows: as many while they are few, since most contexts are small;
    /// then half as many again each time.
    pub(super) fn capacity(self, len: usize) -> usize {
        let capacity = match len {
            0..=4 => len,
            5..=6 => 6,
            _ => {
                let mut capacity = LANES;
                while capacity < len {
                    capacity = (capacity * 3 / 2).next_multiple_of(LANES);
                }
                capacity
            }
        };
        capacity.min(self.rows())
    }
}
