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

/// The shortcuts of a store: a table with up to two places for each entry. A hash has one and may use its neighbour's.
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
        let first = self.place(hash);
        [first, first ^ 1].into_iter().find_map(|place| {
            let place = *self.places.get(place)?;
            let slot = (place as u32).checked_sub(1)?;
            (place >> 32 == hash >> 32).then_some(Slot(slot))
        })
    }

    /// Notes where it was found.
    pub fn note(&mut self, hash: u64, slot: Slot) {
        let first = self.place(hash);
        let noted = hash >> 32 << 32 | u64::from(slot.0.wrapping_add(1));
        if let Some(before) = self.places.get_mut(first).map(|place| std::mem::replace(place, noted)) {
            if let Some(second) = self.places.get_mut(first ^ 1) {
                *second = before;
            }
        }
    }

    fn place(&self, hash: u64) -> usize {
        // Lengths are powers of two; with none there is no place.
        hash as usize & self.places.len().wrapping_sub(1)
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
