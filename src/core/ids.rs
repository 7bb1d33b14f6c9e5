//! From the id of an entry to its slot.
//!
//! Slots alone are kept, so that an entry takes five bytes and some slack here: to place one again, the table asks for its
//! id. That is slow where a table is large and grows, so a large one is many: each grows for itself, in a millisecond.

use super::entry::Slot;
use hashbrown::HashTable;

/// Bytes that an entry's part of the tables takes, with the slack of tables that double.
pub(super) const CHARGE: usize = 8;

/// How many tables a large cache has, and from when on it is one, and no more.
const TABLES: usize = 64;
const LARGE: usize = 4096;
const SMALL: usize = LARGE / 4;

/// Slots by id.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    /// None, one, or many.
    tables: Vec<HashTable<Slot>>,
    len: usize,
}

/// Ids are as good as random, so some bits of them are the hash.
fn hash(lot: u32) -> u64 {
    // A table takes its bucket from the low bits and its tag from the high ones.
    u64::from(lot) << 32 | u64::from(lot)
}

impl Ids {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The slot whose id has these bits and is the right one.
    pub fn find(&self, lot: u32, is_right: impl Fn(Slot) -> bool) -> Option<Slot> {
        self.tables.get(self.table(lot))?.find(hash(lot), |slot| is_right(*slot)).copied()
    }

    /// Puts a slot in that is not there.
    pub fn insert(&mut self, lot: u32, slot: Slot, lot_of: impl Fn(Slot) -> u32) {
        if self.tables.is_empty() {
            self.tables.resize_with(1, HashTable::new);
        } else if self.len >= LARGE && self.tables.len() == 1 {
            self.spread(TABLES, &lot_of);
        }
        let table = self.table(lot);
        if let Some(table) = self.tables.get_mut(table) {
            table.insert_unique(hash(lot), slot, |slot| hash(lot_of(*slot)));
            self.len += 1;
        }
    }

    /// Takes a slot out.
    pub fn remove(&mut self, lot: u32, slot: Slot, lot_of: impl Fn(Slot) -> u32) {
        const SPARE: usize = 64;
        let table = self.table(lot);
        let Some(table) = self.tables.get_mut(table) else { return };
        let Ok(found) = table.find_entry(hash(lot), |there| *there == slot) else { return };
        found.remove();
        self.len -= 1;
        if table.capacity() > SPARE && table.len() < table.capacity() / 4 {
            table.shrink_to(table.len() * 3 / 2, |slot| hash(lot_of(*slot)));
        }
        if self.len == 0 {
            self.tables = Vec::new();
        } else if self.len < SMALL && self.tables.len() > 1 {
            self.spread(1, &lot_of);
        }
    }

    fn table(&self, lot: u32) -> usize {
        // Not the bits that say where in the table.
        (lot >> 20) as usize & self.tables.len().saturating_sub(1)
    }

    /// Puts all of them into so many tables.
    fn spread(&mut self, tables: usize, lot_of: &impl Fn(Slot) -> u32) {
        let before = std::mem::take(&mut self.tables);
        self.tables.resize_with(tables, HashTable::new);
        for slot in before.into_iter().flatten() {
            let lot = lot_of(slot);
            let table = self.table(lot);
            if let Some(table) = self.tables.get_mut(table) {
                table.insert_unique(hash(lot), slot, |slot| hash(lot_of(*slot)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_found_until_it_is_taken_out() {
        let lot_of = |slot: Slot| slot.0.wrapping_mul(0x9e37_79b9);
        let mut ids = Ids::default();
        let count = 2 * LARGE as u32;
        let found = |ids: &Ids, i: u32| ids.find(lot_of(Slot(i)), |slot| slot == Slot(i));
        for i in 0..count {
            ids.insert(lot_of(Slot(i)), Slot(i), lot_of);
            assert_eq!((ids.len(), found(&ids, i)), (i as usize + 1, Some(Slot(i))));
        }
        assert_eq!(ids.tables.len(), TABLES);
        assert!((0..count).all(|i| found(&ids, i) == Some(Slot(i))));
        for i in 0..count {
            ids.remove(lot_of(Slot(i)), Slot(i), lot_of);
            ids.remove(lot_of(Slot(i)), Slot(i), lot_of);
            assert_eq!((found(&ids, i), found(&ids, count - 1).is_some()), (None, i < count - 1));
            assert_eq!(ids.len(), (count - i - 1) as usize);
        }
        assert!(ids.tables.is_empty());
    }
}
