//! The vectors of the pieces: 256 bytes and a scale each, in which the weight of the piece is included.
//!
//! ```text
//! "LLMTABLE"  version:u32  rows:u32  dims:u32  model_id:u32  scale:f32 × rows  row:[i8; dims] × rows
//! ```
//!
//! All numbers are little-endian. The file is a part of the binary, so it is trusted once the test below has seen it; a
//! file that is not as expected would make a table without rows, for which every text is unknown.

use super::DIM;
use std::sync::LazyLock;

const FILE: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/model/table.bin"));

const MAGIC: &[u8] = b"LLMTABLE";
const VERSION: u32 = 1;

pub(super) struct Table {
    pub model_id: u32,
    scales: Vec<f32>,
    /// One behind the other.
    rows: &'static [u8],
}

static TABLE: LazyLock<Table> =
    LazyLock::new(|| Table::read(FILE).unwrap_or(Table { model_id: 0, scales: Vec::new(), rows: &[] }));

impl Table {
    /// The one that ships.
    pub fn get() -> &'static Self {
        &TABLE
    }

    fn read(file: &'static [u8]) -> Option<Self> {
        let (mut numbers, body) = file.strip_prefix(MAGIC)?.split_at_checked(16)?;
        let mut number = || {
            let (bytes, rest) = numbers.split_first_chunk()?;
            numbers = rest;
            Some(u32::from_le_bytes(*bytes))
        };
        let (version, rows, dims, model_id) = (number()?, number()?, number()?, number()?);
        let count = usize::try_from(rows).ok()?;
        let (scales, rows) = body.split_at_checked(count.checked_mul(4)?)?;
        let scales = scales.chunks_exact(4).filter_map(<[u8]>::first_chunk).map(|bytes| f32::from_le_bytes(*bytes));
        let scales: Vec<_> = scales.filter(|scale| scale.is_finite()).collect();
        let sized = scales.len() == count && Some(rows.len()) == count.checked_mul(DIM);
        let ours = version == VERSION && usize::try_from(dims) == Ok(DIM);
        (ours && sized).then_some(Self { model_id, scales, rows })
    }

    /// How many rows there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Adds the vector of a piece.
    pub fn add(&self, piece: u32, sum: &mut [f32; DIM]) {
        let Ok(piece) = usize::try_from(piece) else { return };
        let row = piece.checked_mul(DIM).and_then(|from| self.rows.get(from..)).and_then(<[u8]>::first_chunk::<DIM>);
        if let (Some(scale), Some(row)) = (self.scales.get(piece), row) {
            for (sum, byte) in sum.iter_mut().zip(row) {
                *sum += scale * f32::from(i8::from_le_bytes([*byte]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary::Vocabulary;
    use super::*;

    #[test]
    fn the_table_that_ships_is_whole() {
        assert_eq!(Table::read(FILE).unwrap().len(), Vocabulary::get().len());
        assert_ne!(Table::get().model_id, 0);
    }

    #[test]
    fn what_is_no_table_is_none() {
        assert!(Table::read(&FILE[..FILE.len() - 1]).is_none());
        assert!(Table::read(&FILE[1..]).is_none());
        assert!(Table::read(&FILE[..20]).is_none());
        assert!(Table::read(b"").is_none());
    }
}
