//! Taking answers back: what INVALIDATE means.

use super::cache::Cache;
use super::effects::Effects;
use super::entry::{EntryView, Lifespan, Phase, Slot};
use super::glob;
use super::identity::Digest;
use super::time::UnixMs;

/// Which entries are meant. All that is given must hold; nothing given is everything.
#[derive(Clone, Debug, Default)]
pub struct Selection<'a> {
    /// Any of these tags.
    pub tags: Vec<&'a [u8]>,
    /// This model.
    pub model: Option<&'a [u8]>,
    /// This scope.
    pub scope: Option<&'a [u8]>,
    /// This type.
    pub typ: Option<&'a [u8]>,
    /// This strategy.
    pub strategy: Option<&'a [u8]>,
    /// This very question.
    pub digest: Option<Digest>,
    /// A prompt like this.
    pub glob: Option<&'a [u8]>,
    /// Strictly older than this.
    pub older_than_ms: Option<u64>,
}

impl Selection<'_> {
    /// Whether an entry is meant.
    pub fn holds(&self, entry: &EntryView<'_>, now: UnixMs) -> bool {
        let context = entry.context();
        self.model.is_none_or(|model| context.model == model)
            && self.scope.is_none_or(|scope| context.scope == scope)
            && self.typ.is_none_or(|typ| entry.typ() == Some(typ))
            && self.strategy.is_none_or(|strategy| entry.strategy().eq_ignore_ascii_case(strategy))
            && self.digest.is_none_or(|digest| entry.digest() == digest)
            && self.older_than_ms.is_none_or(|limit| now.since(entry.created()) > limit)
            && (self.tags.is_empty() || entry.tags().any(|tag| self.tags.contains(&tag)))
            && self.glob.is_none_or(|glob| glob::matches(glob, entry.prompt()))
    }

    fn is_everything(&self) -> bool {
        matches!(
            self,
            Self { model: None, scope: None, typ: None, strategy: None, digest: None, glob: None, older_than_ms: None, tags }
                if tags.is_empty()
        )
    }
}

impl Cache {
    /// The entries that are meant and that somebody can see.
    fn select(&self, selection: &Selection<'_>, now: UnixMs) -> Vec<Slot> {
        let wanted = |slot: &Slot| {
            let view = self.store.view(*slot);
            view.is_some_and(|view| view.life().phase(now) != Phase::Dead && selection.holds(&view, now))
        };
        if let Some(digest) = &selection.digest {
            return self.store.find(digest).into_iter().filter(wanted).collect();
        }
        if selection.tags.is_empty() {
            return self.store.from_slot(0).map(|(slot, _)| slot).filter(wanted).collect();
        }
        let mut slots: Vec<_> = selection.tags.iter().flat_map(|tag| self.store.by_tag(tag)).filter(wanted).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// How many entries are meant.
    pub fn count_selected(&self, selection: &Selection<'_>, now: UnixMs) -> u64 {
        self.select(selection, now).len() as u64
    }

    /// Removes the entries that are meant; how many there were.
    pub fn invalidate(&mut self, selection: &Selection<'_>, now: UnixMs) -> (u64, Effects) {
        let mut effects = Effects::default();
        let slots = self.select(selection, now);
        let count = slots.len() as u64;
        self.count_slots(&slots, now, |counters, count| counters.invalidations += count);
        if selection.is_everything() {
            let dead: Vec<_> = self.store.by_expiry().take_while(|slot| !self.is_visible(*slot, now)).collect();
            effects.expired = dead.len() as u64;
            self.count_slots(&dead, now, |counters, count| counters.expirations += count);
            effects.cleared = count > 0;
            self.debris = Some(std::mem::take(&mut self.store));
        } else {
            effects.deleted.reserve_exact(slots.len());
            let removed = slots.into_iter().filter_map(|slot| self.store.remove(slot));
            effects.deleted.extend(removed.map(|entry| entry.digest.id()));
        }
        (count, effects)
    }

    /// Makes the entries that are meant stale: from now on they serve only who asks for stale answers, until the time
    /// when they would have gone anyway. How many there were, those that were stale before among them.
    pub fn make_stale(&mut self, selection: &Selection<'_>, now: UnixMs) -> (u64, Effects) {
        let mut effects = Effects::default();
        let slots = self.select(selection, now);
        self.count_slots(&slots, now, |counters, count| counters.invalidations += count);
        for slot in &slots {
            let Some(entry) = self.store.get(*slot) else { continue };
            if entry.phase(now) == Phase::Fresh {
                let life = Lifespan { fresh_until: now, ..entry.life() };
                effects.moved.push((entry.digest.id(), life));
                self.store.set_life(*slot, life);
            }
        }
        (slots.len() as u64, effects)
    }
}
