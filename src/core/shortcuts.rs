//! A way to an entry without its digest.
//!
//! A digest takes longer than all else that a lookup does. So a question that was found once leaves a shortcut: from a quick
//! hash of it to the slot. Whoever follows one must compare the question word for word, so it matters to nobody where a
//! shortcut leads that is out of date, or whom it was pushed out by: without one the digest finds the entry.

use super::entry::Slot;
use super::identity::Identity;
use foldhash::fast::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Bytes that an entry's part of the table takes: between one place and two.
pub(super) const CHARGE: usize = size_of::<u64>() * 3 / 2;

/// How many places a group has: half a line of the processor's cache.
const GROUP: usize = 4;

/// How many shortcuts are moved at most to make place for one.
const MOVES: usize = 4;

/// The shortcuts of a store: a table with up to two places for each entry. A hash may be in either of two
/// groups of four: a table that is full to the last place leaves a quarter of all questions without one if each has only two.
#[derive(Clone, Debug, Default)]
pub(super) struct Shortcuts {
    /// 32 bits of the hash, and one more than the slot; 0 for none.
    places: Box<[u64]>,
    hasher: RandomState,
}

impl Shortcuts {
    /// The hash of a question.
    pub fn hash(&self, question: &Identity<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        let context = &question.context;
        for field in [context.scope, context.model, context.system, context.params] {
            hasher.write_u32(u32::try_from(field.len()).unwrap_or(u32::MAX));
            hasher.write(field);
        }
        hasher.write(question.prompt);
        hasher.finish()
    }

    /// Where the question may be.
    pub fn find(&self, hash: u64) -> Option<Slot> {
        let first = hash as usize & !(GROUP - 1);
        [first, other(first, hash)].into_iter().find_map(|group| {
            let place = self.group(group).find(|place| place >> 32 == hash >> 32 && *place != 0)?;
            (place as u32).checked_sub(1).map(Slot)
        })
    }

    /// Notes where it was found. Where both groups are full, what was noted longest ago in one of them goes to its own other
    /// group, and so on a few times.
    pub fn note(&mut self, hash: u64, slot: Slot) {
        let mut noted = hash >> 32 << 32 | u64::from(slot.0.wrapping_add(1));
        let mut group = hash as usize & !(GROUP - 1);
        for _ in 0..MOVES {
            let free = |place: &u64| *place == 0 || *place >> 32 == noted >> 32;
            for group in [group, other(group, noted)] {
                let at = self.group(group).position(|place| free(&place));
                if let Some(at) = at {
                    self.put(group ^ at, noted);
                    return;
                }
            }
            for at in 0..GROUP {
                noted = self.put(group ^ at, noted);
            }
            group = other(group, noted);
        }
    }

    /// Forgets that a question is in a slot: others need the place.
    pub fn forget(&mut self, hash: u64, slot: Slot) {
        let noted = hash >> 32 << 32 | u64::from(slot.0.wrapping_add(1));
        let first = hash as usize & !(GROUP - 1);
        for group in [first, other(first, hash)] {
            let at = self.group(group).position(|place| place == noted);
            if let Some(at) = at {
                self.put(group ^ at, 0);
            }
        }
    }

    fn group(&self, group: usize) -> impl Iterator<Item = u64> + '_ {
        (0..GROUP).map_while(move |at| self.places.get((group ^ at) & self.mask()).copied())
    }

    fn put(&mut self, place: usize, noted: u64) -> u64 {
        let place = place & self.mask();
        self.places.get_mut(place).map_or(0, |place| std::mem::replace(place, noted))
    }

    /// Lengths are powers of two; with none there is no place.
    fn mask(&self) -> usize {
        self.places.len().wrapping_sub(1)
    }

    /// Takes the size that so many entries want. What was noted is forgotten when that changes.
    pub fn fit(&mut self, entries: usize) {
        let places = self.places.len();
        if entries > places || entries * 4 <= places && places > 0 {
            let wanted = if entries == 0 { 0 } else { entries.next_power_of_two() };
            self.places = vec![0; wanted].into();
        }
    }
}

/// The other group where what bears these bits of a hash may be; and of that one, the first.
fn other(group: usize, noted: u64) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    group ^ ((noted >> 32).wrapping_mul(ODD) >> 30) as usize & !(GROUP - 1)
}

#[cfg(test)]
mod tests {
    use super::super::identity::{Context, Shape};
    use super::*;

    fn question(prompt: &[u8]) -> Identity<'_> {
        Identity { context: Context { shape: Shape::Plain, scope: b"", model: b"", system: b"", params: b"" }, prompt }
    }

    #[test]
    fn a_shortcut_leads_where_the_question_was_found() {
        let mut shortcuts = Shortcuts::default();
        let hash = shortcuts.hash(&question(b"why?"));
        shortcuts.note(hash, Slot(7));
        assert_eq!(shortcuts.find(hash), None, "there is no room for any yet");
        shortcuts.fit(5);
        assert_eq!(shortcuts.places.len(), 8);
        shortcuts.note(hash, Slot(7));
        assert_eq!(shortcuts.find(hash), Some(Slot(7)));
        assert_eq!(shortcuts.find(hash ^ 1 << 63), None, "another hash at the same place");
        assert_eq!(shortcuts.hash(&question(b"why?")), hash);
        assert_ne!(shortcuts.hash(&question(b"why not?")), hash);
    }

    #[test]
    fn a_full_table_has_a_place_for_nearly_all() {
        let mut shortcuts = Shortcuts::default();
        shortcuts.fit(1024);
        let hashes: Vec<u64> = (0..1000u32).map(|i| shortcuts.hash(&question(&i.to_le_bytes()))).collect();
        // What was pushed out finds a place when it is noted again, and pushes others out.
        let mut missing = 0;
        for _ in 0..3 {
            missing = 0;
            for (slot, hash) in (0..).zip(&hashes) {
                if shortcuts.find(*hash) != Some(Slot(slot)) {
                    missing += 1;
                    shortcuts.note(*hash, Slot(slot));
                }
            }
        }
        assert!(missing < 80, "{missing} of 1000 were pushed out by others");
        // What is given up makes place.
        let (gone, left) = hashes.split_at(500);
        (0..).zip(gone).for_each(|(slot, hash)| shortcuts.forget(*hash, Slot(slot)));
        let there = left.iter().filter(|hash| shortcuts.find(**hash).is_some()).count();
        assert_eq!(shortcuts.places.iter().filter(|place| **place != 0).count(), there);
        assert!(gone.iter().all(|hash| shortcuts.find(*hash).is_none()));
    }

    #[test]
    fn the_table_follows_the_entries() {
        let mut shortcuts = Shortcuts::default();
        let mut places = Vec::new();
        for entries in (0..=20).chain((0..20).rev()) {
            shortcuts.fit(entries);
            places.push(shortcuts.places.len());
            assert!((entries..=entries * 4).contains(&shortcuts.places.len()), "{entries}");
        }
        assert_eq!(places[..=20].iter().max(), Some(&32));
        assert_eq!(places.last(), Some(&0));
    }
}
