//! How often those were asked that had to go.
//!
//! A prompt that comes back shall not begin as if nobody had ever asked it: otherwise, where more is asked again than there is
//! room for, every newcomer would go before it is asked a second time. So what is evicted leaves four bytes: some bits
//! of its digest, and how often it was asked, as of then. There are about two cells for each entry that is there, so that
//! all of them are half a percent of a cache; a cell belongs to whoever came last.

use super::order::HALF_LIFE;

/// Bits of a digest that a cell keeps: one newcomer of 4,096 is taken for another.
const MARK_BITS: u32 = 12;

/// Bits of the time, in sixteenths of a half-life: 65,536 half-lives go round, and no cell keeps its content that long.
const TIME_BITS: u32 = 32 - MARK_BITS;
const PART: u32 = 16;

/// How many half-lives ahead of the time anything lies at most: that many doublings are more than anybody asks.
const FAR: i32 = 40;

const TIME_MASK: u32 = (1 << TIME_BITS) - 1;

/// Cells, each empty (0) or a mark and a time.
#[derive(Clone, Debug, Default)]
pub(super) struct Ghosts(Vec<u32>);

fn time(at: u64) -> u32 {
    (at / (HALF_LIFE / u64::from(PART))) as u32 & TIME_MASK
}

fn mark(lot: u64) -> u32 {
    // Never 0, which is an empty cell.
    ((lot >> (64 - MARK_BITS)) as u32).max(1) << TIME_BITS
}

impl Ghosts {
    /// Bytes that a cache with one entry more sets aside for this: between six and twelve.
    pub const CHARGE: usize = 9;

    /// Whether nothing was ever remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes when an entry would have been asked once, if all that it was asked had been at one time; `entries` is how many
    /// there are in the cache.
    pub fn remember(&mut self, lot: u64, at: u64, entries: usize) {
        let wanted = (entries + entries / 2).next_power_of_two().max(16);
        if self.0.len() > 2 * wanted {
            self.0.truncate(wanted);
            self.0.shrink_to_fit();
        }
        // A cell of the larger table is found by one bit more, so both halves begin with what is known.
        while !self.0.is_empty() && self.0.len() < wanted {
            self.0.extend_from_within(..);
        }
        if self.0.is_empty() {
            self.0 = vec![0; wanted];
        }
        let cells = self.0.len();
        if let Some(cell) = self.0.get_mut(lot as usize & (cells - 1)) {
            *cell = mark(lot) | time(at);
        }
    }

    /// How often this was asked before it went, as much of it as still counts.
    pub fn recall(&self, lot: u64, now: u64) -> Option<f32> {
        let cell = *self.0.get(lot as usize & self.0.len().wrapping_sub(1))?;
        let same = cell != 0 && cell & !TIME_MASK == mark(lot);
        // What was asked often lies in the future, but not far: what does is what was long ago.
        let ago = ((time(now).wrapping_sub(cell) << MARK_BITS) as i32) >> MARK_BITS;
        let is_possible = ago > -(FAR * PART as i32);
        (same && is_possible).then(|| (-ago as f32 / PART as f32).exp2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_is_remembered_and_fades() {
        let mut ghosts = Ghosts::default();
        let now = 1000 * HALF_LIFE;
        assert_eq!(ghosts.recall(7 << 52, now), None);
        ghosts.remember(7 << 52 | 5, now + 3 * HALF_LIFE, 100);
        let recalled = |lot, later| ghosts.recall(lot, now + later * HALF_LIFE);
        assert_eq!([0, 3, 4].map(|later| recalled(7 << 52 | 5, later)), [Some(8.0), Some(1.0), Some(0.5)]);
        assert_eq!(recalled(8 << 52 | 5, 0), None, "another digest");
        assert_eq!(recalled(7 << 52 | 6, 0), None, "another cell");
    }

    #[test]
    fn the_table_grows_and_shrinks_with_the_cache_and_keeps_what_it_knows() {
        let mut ghosts = Ghosts::default();
        let now = 1 << 60;
        let lot = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for i in 0..1000 {
            ghosts.remember(lot(i), now, i as usize);
        }
        assert_eq!(ghosts.0.len(), 2048);
        let known = (0..1000).filter(|i| ghosts.recall(lot(*i), now).is_some()).count();
        assert!(known > 500, "{known}");
        let strangers = (1000..5096).filter(|i| ghosts.recall(lot(*i), now).is_some()).count();
        assert!(strangers < 10, "{strangers}");
        ghosts.remember(lot(1), now, 100);
        assert_eq!(ghosts.0.len(), 256);
        assert_eq!(ghosts.recall(lot(1), now), Some(1.0));
    }
}
