//! Taking answers back: what INVALIDATE means.

use super::cache::Cache;
use super::effects::Effects;
use super::entry::{EntryView, Lifespan, Phase, Slot};
use super::glob;
use super::identity::Digest;
use super::ledger::Dimension;
use super::time::UnixMs;
use super::training::Schedule;

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

/// What is done to the entries that are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// They are counted.
    Count,
    /// They become stale.
    Stale,
    /// They go.
    Remove,
}

/// How far a walk over all entries has come that is done in parts.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    deed: Deed,
    /// When it began. What is stored later is not meant.
    began: UnixMs,
    next: u64,
    end: u64,
}

/// How many entries are walked over at once, a few milliseconds' work.
const SHORT: u64 = 5000;

impl Cache {
    /// The walk that does this to entries, where it is too long to be made at once.
    pub fn long_sweep(&self, selection: &Selection<'_>, deed: Deed, now: UnixMs) -> Option<Sweep> {
        if selection.digest.is_some() || (selection.is_everything() && deed == Deed::Remove) {
            return None;
        }
        let tagged = |tag: &&[u8]| self.store.census().holding(Dimension::Tag, tag).entries;
        let looked_at = match selection.tags.is_empty() {
            true => self.store.len() as u64,
            false => selection.tags.iter().map(tagged).sum(),
        };
        (looked_at > SHORT).then(|| Sweep { deed, began: now, next: 0, end: self.store.end_slot() })
    }

    /// Walks over `slots` more; how many entries were meant, and whether there are more to be looked at.
    pub fn sweep(
        &mut self,
        selection: &Selection<'_>,
        sweep: &mut Sweep,
        slots: u64,
        now: UnixMs,
    ) -> (u64, bool, Effects) {
        let wanted = |view: &EntryView<'_>| {
            view.created() <= sweep.began && view.life().phase(now) != Phase::Dead && selection.holds(view, sweep.began)
        };
        let page = self.store.page(sweep.next, slots).filter(|(_, view)| wanted(view));
        let page: Vec<Slot> = page.map(|(slot, _)| slot).collect();
        sweep.next = sweep.next.saturating_add(slots);
        let count = page.len() as u64;
        let mut effects = Effects::default();
        if sweep.deed != Deed::Count {
            self.count_slots(&page, now, |counters, count| counters.invalidations += count);
        }
        match sweep.deed {
            Deed::Count => {}
            Deed::Stale => self.stale(&page, now, &mut effects),
            Deed::Remove => self.remove(page, &mut effects),
        }
        (count, sweep.next < sweep.end.min(self.store.end_slot()), effects)
    }

    fn remove(&mut self, slots: Vec<Slot>, effects: &mut Effects) {
        effects.deleted.reserve_exact(slots.len());
        let removed = slots.into_iter().filter_map(|slot| self.store.remove(slot));
        effects.deleted.extend(removed.map(|entry| entry.id));
    }

    fn stale(&mut self, slots: &[Slot], now: UnixMs, effects: &mut Effects) {
        for slot in slots {
            let Some(entry) = self.store.get(*slot) else { continue };
            if entry.phase(now) == Phase::Fresh {
                let life = Lifespan { fresh_until: now, ..entry.life() };
                effects.moved.push((entry.id, life));
                self.store.set_life(*slot, life);
            }
        }
    }

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
            self.clear();
        } else {
            self.remove(slots, &mut effects);
        }
        (count, effects)
    }

    /// Takes all entries out.
    pub(super) fn clear(&mut self) {
        // With the names go the meanings of their symbols, and with the answers what was learned from them.
        self.ledger.forget_symbols();
        self.schedule = Schedule::default();
        self.debris = Some(Box::new(std::mem::take(&mut self.store)));
        self.keep_likeness();
    }

    /// Makes the entries that are meant stale: from now on they serve only who asks for stale answers, until the time
    /// when they would have gone anyway. How many there were, those that were stale before among them.
    pub fn make_stale(&mut self, selection: &Selection<'_>, now: UnixMs) -> (u64, Effects) {
        let mut effects = Effects::default();
        let slots = self.select(selection, now);
        self.count_slots(&slots, now, |counters, count| counters.invalidations += count);
        self.stale(&slots, now, &mut effects);
        (slots.len() as u64, effects)
    }
}
