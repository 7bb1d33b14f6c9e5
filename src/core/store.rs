//! Where entries live, and the orders they stand in: by id, by end of life, by what they are worth, by tag.
//!
//! Every entry has a slot that never moves while it lives, so that a SCAN's cursor stays true. The orders hold slots:
//!
//! ```text
//!   index    id -> slot          hash tables; ids are bits of a SHA-256, so they are their own hash
//!   shortcuts question -> slot   for questions that were found before, which spares them their digest
//!   expiry   (dead_at, slot)     a B-tree: what dies first stands first
//!   order    (rank, slot)        a heap: what goes first stands on top
//!   tagged   (tag, slot)         a B-tree: the entries of a tag stand together
//!   likeness                     what finds similar prompts, where that is wanted
//! ```
//!
//! The store knows no policy: it does as the cache says. What must hold between its parts is in [`Store::validate`].

use super::census::{Census, Holding};
use super::codec::{Packed, PackedRef};
use super::copies::{Copies, Hot, Place};
use super::dictionary::{Dictionaries, Dictionary};
use super::entry::{Entry, EntryView, Known, Lifespan, Slot};
use super::eviction::order::Order;
use super::fault;
use super::identity::{Context, Digest, EntryId, Identity, Shape};
use super::ids::Ids;
use super::interner::{Interner, Symbol};
use super::ledger::Dimension;
use super::policy::Evict;
use super::shortcuts::Shortcuts;
use super::similarity::dense::Codes;
use super::similarity::index::{Index, Item};
use super::similarity::Method;
use super::time::UnixMs;
use std::collections::BTreeSet;

/// An entry and when it dies, in twelve bytes: the time in two halves, the higher first, and the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Deadline([u32; 3]);

impl Deadline {
    fn new(at: UnixMs, slot: Slot) -> Self {
        Self([(at.0 >> 32) as u32, at.0 as u32, slot.0])
    }

    fn at(&self) -> UnixMs {
        let [high, low, _] = self.0;
        UnixMs(u64::from(high) << 32 | u64::from(low))
    }

    fn slot(&self) -> Slot {
        let [.., slot] = self.0;
        Slot(slot)
    }
}

/// The entries of one cache.
#[derive(Clone, Debug, Default)]
pub struct Store {
    slots: Vec<Option<Box<Entry>>>,
    free: Vec<u32>,
    index: Ids,
    shortcuts: Shortcuts,
    expiry: BTreeSet<Deadline>,
    tagged: BTreeSet<(Symbol, Slot)>,
    order: Order,
    contexts: Interner,
    rules: Interner,
    census: Census,
    copies: Copies,
    dictionaries: Dictionaries,
    likeness: Option<Box<Index>>,
    /// Entries below this slot are in the index, as far as they can be.
    indexed_to: u64,
}

impl Store {
    /// How many entries there are, dead ones that still hold memory among them.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// Whether there is no slot left.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= u32::MAX as usize
    }

    /// The entry in a slot.
    pub(super) fn get(&self, slot: Slot) -> Option<&Entry> {
        fault::point();
        self.slots.get(slot.0 as usize)?.as_deref()
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        fault::point();
        self.slots.get_mut(slot.0 as usize)?.as_deref_mut()
    }

    /// The entry in a slot, to be read.
    pub fn view(&self, slot: Slot) -> Option<EntryView<'_>> {
        self.get(slot).map(|entry| EntryView { store: self, entry })
    }

    /// The slot of a digest.
    pub fn find(&self, digest: &Digest) -> Option<Slot> {
        self.find_id(&digest.id())
    }

    /// The slot of a question, and its digest where that had to be made.
    pub(super) fn find_question(&mut self, question: &Identity<'_>, digest: impl FnOnce() -> Digest) -> Option<Slot> {
        let hash = self.shortcuts.hash(question);
        if let Some(slot) = self.shortcuts.find(hash).filter(|slot| self.is_question(*slot, question)) {
            return Some(slot);
        }
        let slot = self.find(&digest()).filter(|slot| self.is_question(*slot, question))?;
        self.shortcuts.note(hash, slot);
        Some(slot)
    }

    /// Whether the entry in a slot answers this very question.
    fn is_question(&self, slot: Slot, question: &Identity<'_>) -> bool {
        let Some(entry) = self.get(slot) else { return false };
        *entry.body.prompt() == *question.prompt && self.context(entry.context) == question.context
    }

    /// The slot of an id.
    pub fn find_id(&self, id: &EntryId) -> Option<Slot> {
        self.index.find(id.lot(), |slot| self.get(slot).is_some_and(|entry| entry.id == *id))
    }

    /// Puts an entry in; its digest must not be there. The entry is the newest in use. Its vector is made here where it is
    /// needed and not given.
    pub(super) fn insert(&mut self, mut entry: Entry, vector: Option<&Codes>) -> Slot {
        fault::point();
        let lot = entry.stamp();
        let slot = match self.free.pop() {
            Some(index) => Slot(index),
            None => {
                self.slots.push(None);
                Slot(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
            }
        };
        fault::point();
        self.census.change(&entry, &Holding::default(), &Holding::of(&entry));
        fault::point();
        self.order.enter(&mut entry);
        self.order.insert(slot, &entry);
        entry.answer().dictionary().into_iter().for_each(|place| self.dictionaries.acquire(place));
        if !entry.dead_at.is_never() {
            self.expiry.insert(Deadline::new(entry.dead_at, slot));
        }
        self.tagged.extend(entry.body.tags().map(|tag| (tag, slot)));
        if let Some(place) = self.slots.get_mut(slot.0 as usize) {
            *place = Some(Box::new(entry));
        }
        let slots = &self.slots;
        self.index.insert(lot, slot, |slot| lot_at(slots, slot));
        self.shortcuts.fit(self.index.len());
        self.index_entry(slot, vector);
        slot
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Box<Entry>> {
        fault::point();
        self.unindex(slot);
        let entry = self.slots.get_mut(slot.0 as usize)?.take()?;
        fault::point();
        self.order.remove(slot);
        self.census.change(&entry, &Holding::of(&entry), &Holding::default());
        fault::point();
        entry.answer().dictionary().into_iter().for_each(|place| self.dictionaries.release(place));
        self.copies.take(entry.hot);
        self.expiry.remove(&Deadline::new(entry.dead_at, slot));
        for tag in entry.body.tags() {
            self.tagged.remove(&(tag, slot));
        }
        let question = Identity { context: self.context(entry.context), prompt: entry.body.prompt() };
        let hash = self.shortcuts.hash(&question);
        self.shortcuts.forget(hash, slot);
        let lot = entry.stamp();
        let slots = &self.slots;
        self.index.remove(lot, slot, |slot| lot_at(slots, slot));
        fault::point();
        self.free.push(slot.0);
        self.contexts.release(entry.context);
        self.census.release(&entry);
        self.rules.release(entry.body.rule());
        self.shrink();
        Some(entry)
    }

    /// Gives table memory back when little of it is in use.
    fn shrink(&mut self) {
        self.shortcuts.fit(self.index.len());
        if self.is_empty() {
            self.slots = Vec::new();
            self.free = Vec::new();
            self.indexed_to = 0;
        }
    }

    /// The index of similar prompts, where there is one.
    pub fn likeness(&self) -> Option<&Index> {
        self.likeness.as_deref()
    }

    /// Makes an index of similar prompts, to be filled, or none. Hands back what was there: the index, in a store that has
    /// nothing else.
    pub(super) fn set_likeness(&mut self, method: Option<Method>) -> Option<Self> {
        let made = method.map(|method| Box::new(Index::new(method)));
        let before = std::mem::replace(&mut self.likeness, made);
        self.indexed_to = 0;
        before.map(|before| {
            self.slots.iter_mut().flatten().for_each(|entry| entry.mark = None);
            Self { likeness: Some(before), ..Self::default() }
        })
    }

    /// How much there is to be freed.
    pub fn parts(&self) -> usize {
        self.len().max(self.likeness.as_ref().map_or(0, |index| index.len()))
    }

    /// Looks at `budget` slots for entries that the index does not have yet; whether more are left.
    pub(super) fn index_some(&mut self, budget: u64) -> bool {
        let end = self.indexed_to.saturating_add(budget);
        while self.likeness.is_some() && self.indexed_to < self.end_slot().min(end) {
            let slot = self.indexed_to;
            if let Ok(slot) = u32::try_from(slot) {
                self.index_entry(Slot(slot), None);
            }
            self.indexed_to = slot + 1;
        }
        self.is_indexing()
    }

    /// Up to which slot the index has what it can have.
    pub fn indexed_to(&self) -> u64 {
        self.indexed_to
    }

    /// Whether there are entries that the index may not have yet.
    pub fn is_indexing(&self) -> bool {
        self.likeness.is_some() && self.indexed_to < self.end_slot()
    }

    fn index_entry(&mut self, slot: Slot, vector: Option<&Codes>) {
        let Some(index) = &mut self.likeness else { return };
        let place = self.slots.get_mut(slot.0 as usize).and_then(Option::as_mut);
        let Some(entry) = place.filter(|entry| entry.comparable && entry.mark.is_none()) else { return };
        entry.mark = index.put(item(slot, entry), vector);
        // A new entry behind all others leaves nothing between.
        if u64::from(slot.0) == self.indexed_to {
            self.indexed_to += 1;
        }
    }

    fn unindex(&mut self, slot: Slot) {
        let Some(index) = &mut self.likeness else { return };
        let place = self.slots.get(slot.0 as usize).and_then(Option::as_ref);
        let Some((entry, mark)) = place.and_then(|entry| Some((entry, entry.mark?))) else { return };
        if let Some((moved, row)) = index.take(item(slot, entry), mark) {
            if let Some(entry) = self.get_mut(moved) {
                entry.mark = entry.mark.map(|mark| mark.moved_to(row));
            }
        }
    }

    /// The vector that an entry is compared by, where it has one.
    pub(super) fn vector(&self, entry: &Entry) -> Option<Codes> {
        self.likeness.as_ref()?.vector(entry.context, entry.mark?)
    }

    /// Moves an entry's end of life.
    pub(super) fn set_life(&mut self, slot: Slot, life: Lifespan) {
        fault::point();
        let change = |entry: &mut Entry| {
            let dead_at = entry.dead_at;
            entry.set_life(life);
            dead_at
        };
        let Some(dead_at) = self.change(slot, change) else { return };
        self.expiry.remove(&Deadline::new(dead_at, slot));
        if !life.dead_at.is_never() {
            self.expiry.insert(Deadline::new(life.dead_at, slot));
        }
    }

    /// Changes something about an entry that changes what it takes.
    fn change<T>(&mut self, slot: Slot, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        fault::point();
        let entry = self.slots.get_mut(slot.0 as usize)?.as_deref_mut()?;
        let before = Holding::of(entry);
        let done = change(entry);
        let after = Holding::of(entry);
        self.census.change(entry, &before, &after);
        if after.memory > before.memory {
            self.order.lower(slot, entry);
        }
        Some(done)
    }

    /// Changes how an entry's answer is stored.
    pub(super) fn set_answer(&mut self, slot: Slot, answer: &Packed) {
        let change = |entry: &mut Entry| {
            let dictionary = entry.answer().dictionary();
            entry.set_answer(answer);
            dictionary
        };
        let Some(before) = self.change(slot, change) else { return };
        PackedRef::from(answer).dictionary().into_iter().for_each(|place| self.dictionaries.acquire(place));
        before.into_iter().for_each(|place| self.dictionaries.release(place));
    }

    /// Notes the etag of an answer, which was not known.
    pub(super) fn set_etag(&mut self, slot: Slot, etag: u64) {
        if let Some(entry) = self.get_mut(slot) {
            entry.set_known(etag, Known::Etag);
        }
    }

    /// Notes that an answer does not get smaller.
    pub(super) fn set_incompressible(&mut self, slot: Slot) {
        if let Some(entry) = self.get_mut(slot) {
            entry.set_incompressible();
        }
    }

    /// The dictionaries that answers are compressed with.
    pub fn dictionaries(&self) -> &Dictionaries {
        &self.dictionaries
    }

    /// The same, to be changed. Who refers to which is counted here.
    pub(super) fn dictionaries_mut(&mut self) -> &mut Dictionaries {
        &mut self.dictionaries
    }

    /// The dictionary that a stored answer is read with, if it needs one.
    pub(super) fn dictionary_of(&self, answer: PackedRef<'_>) -> Option<&Dictionary> {
        self.dictionaries.get(answer.dictionary()?).map(|dictionary| &**dictionary)
    }

    /// Puts an uncompressed copy beside an entry's answer, or takes it away.
    pub(super) fn set_hot(&mut self, slot: Slot, copy: Option<Box<[u8]>>) {
        if self.get(slot).is_none() {
            return;
        }
        let place = copy.map_or(Place::NONE, |copy| self.copies.put(copy));
        if let Some(before) = self.change(slot, |entry| std::mem::replace(&mut entry.hot, place)) {
            self.copies.take(before);
        }
    }

    /// The uncompressed copies that there are.
    pub fn hot(&self) -> Hot {
        self.copies.sum()
    }

    /// The copy in a place.
    pub(super) fn hot_copy(&self, place: Place) -> Option<&[u8]> {
        self.copies.get(place)
    }

    /// Counts hits, which make the entry the newest in use.
    pub(super) fn touch(&mut self, slot: Slot, hits: u64) {
        fault::point();
        if let Some(entry) = self.slots.get_mut(slot.0 as usize).and_then(Option::as_deref_mut) {
            self.order.touch(entry, hits);
            entry.hits += hits;
        }
    }

    /// Notes a lookup that found nothing: what is there gets older by it.
    pub(super) fn missed(&mut self) {
        self.order.pass(1);
    }

    /// The entry that dies first, and when.
    pub fn soonest(&self) -> Option<(UnixMs, Slot)> {
        self.expiry.first().map(|deadline| (deadline.at(), deadline.slot()))
    }

    /// Entries that die, the first to die first.
    pub(super) fn by_expiry(&self) -> impl Iterator<Item = Slot> + '_ {
        self.expiry.iter().map(Deadline::slot)
    }

    /// Entries from the one that was used the longest time ago. That order is not kept but made, so this is for those who
    /// want all of them.
    pub fn by_recency(&self) -> impl Iterator<Item = Slot> {
        fault::point();
        let mut order: Vec<_> = self.from_slot(0).map(|(slot, view)| (view.entry.used, slot)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, slot)| slot)
    }

    /// From now on entries go by this policy.
    pub(super) fn order_by(&mut self, evict: Evict) {
        self.order.set_policy(evict);
    }

    /// The entry that goes first when room is needed, but not `kept`.
    pub(super) fn least(&mut self, kept: Option<Slot>) -> Option<Slot> {
        let slots = &self.slots;
        self.order.least(kept, |slot| slots.get(slot.0 as usize)?.as_deref())
    }

    /// Notes that an entry is about to go that somebody may ask for again.
    pub(super) fn remember(&mut self, slot: Slot, evicted: bool) {
        if let Some(entry) = self.slots.get(slot.0 as usize).and_then(Option::as_deref) {
            self.order.remember(entry, evicted);
        }
    }

    /// How often an entry was asked, as much of it as still counts.
    pub(super) fn asked(&self, slot: Slot) -> Option<f32> {
        self.get(slot).map(|entry| self.order.asked(entry))
    }

    /// Entries that carry a tag.
    pub(super) fn by_tag(&self, tag: &[u8]) -> impl Iterator<Item = Slot> + '_ {
        let tag = self.census.find(Dimension::Tag, tag);
        let range = tag.map(|tag| self.tagged.range((tag, Slot(0))..=(tag, Slot(u32::MAX))));
        range.into_iter().flatten().map(|(_, slot)| *slot)
    }

    /// Entries by slot, from that slot on.
    pub fn from_slot(&self, first: u64) -> impl Iterator<Item = (Slot, EntryView<'_>)> {
        self.page(first, u64::MAX)
    }

    /// Entries in the `count` slots from that one on, of which most may be empty.
    pub(super) fn page(&self, first: u64, count: u64) -> impl Iterator<Item = (Slot, EntryView<'_>)> {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let rest = self.slots.get(first..).unwrap_or_default();
        let page = rest.iter().take(usize::try_from(count).unwrap_or(usize::MAX));
        (first..).zip(page).filter_map(|(i, place)| {
            let slot = Slot(u32::try_from(i).ok()?);
            Some((slot, EntryView { store: self, entry: place.as_deref()? }))
        })
    }

    /// The slot of this number, where an entry lives in it.
    pub(super) fn slot_at(&self, number: u64) -> Option<Slot> {
        u32::try_from(number).ok().map(Slot).filter(|slot| self.get(*slot).is_some())
    }

    /// One past the last slot: where a scan ends.
    pub fn end_slot(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Bytes of a context as it is kept.
    pub(super) fn context_len(&self, context: &Context<'_>) -> usize {
        13 + context.scope.len() + context.model.len() + context.system.len() + context.params.len()
    }

    /// A symbol for a context, one more user of it.
    pub(super) fn acquire_context(&mut self, context: &Context<'_>) -> Symbol {
        fault::point();
        self.contexts.acquire(&pack_context(context))
    }

    /// The symbol of a context that some entry lives in.
    pub(super) fn find_context(&self, context: &Context<'_>) -> Option<Symbol> {
        self.contexts.find(&pack_context(context))
    }

    /// One more user of a context that is held already.
    pub(super) fn retain_context(&mut self, context: Symbol) {
        self.contexts.retain(context);
    }

    /// One user of a context less.
    pub(super) fn release_context(&mut self, context: Symbol) {
        self.contexts.release(context);
    }

    /// The context of a symbol.
    pub(super) fn context(&self, symbol: Symbol) -> Context<'_> {
        unpack_context(self.contexts.text(symbol))
    }

    /// Contexts that entries live in, with how many each holds.
    pub fn contexts(&self) -> impl Iterator<Item = (Symbol, Context<'_>, u32)> {
        self.contexts.iter().map(|(symbol, packed, users)| (symbol, unpack_context(packed), users))
    }

    /// How many contexts entries live in.
    pub fn contexts_len(&self) -> usize {
        self.contexts.len()
    }

    /// A symbol for a name, one more user of it.
    pub(super) fn acquire_name(&mut self, dimension: Dimension, name: &[u8]) -> Symbol {
        fault::point();
        self.census.acquire(dimension, name)
    }

    /// The name of a symbol.
    pub(super) fn name(&self, dimension: Dimension, symbol: Symbol) -> &[u8] {
        self.census.name(dimension, symbol)
    }

    /// A symbol for the name of a rule, one more user of it.
    pub(super) fn acquire_rule(&mut self, rule: &[u8]) -> Symbol {
        fault::point();
        self.rules.acquire(rule)
    }

    /// The name of a rule.
    pub(super) fn rule(&self, symbol: Symbol) -> &[u8] {
        self.rules.text(symbol)
    }

    /// Who holds what.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// Bytes of entries, with their part of the tables.
    pub fn entries_memory(&self) -> usize {
        self.census.all().memory as usize
    }

    /// Bytes of what entries share: contexts and names.
    pub fn shared_memory(&self) -> usize {
        self.contexts.memory() + self.rules.memory() + self.census.memory()
    }

    /// Bytes of what is remembered of entries that went, or set aside for it where a limit will make some go.
    pub(super) fn ghosts_memory(&self, is_limited: bool) -> usize {
        if is_limited || self.order.has_ghosts() {
            self.len() * Order::GHOSTS
        } else {
            0
        }
    }

    /// Bytes of the index of similar prompts.
    pub fn likeness_memory(&self) -> usize {
        self.likeness.as_ref().map_or(0, |index| index.memory())
    }

    /// Bytes of all answers as they came, and as they are stored.
    pub fn answer_bytes(&self) -> (u64, u64) {
        (self.census.all().bytes_raw, self.census.all().bytes_stored)
    }

    /// Passes every allocation of `budget` slots from `first` on to `mover`, which may hand back another one with the
    /// same content. Answers the slot to go on from; `None` when it is through.
    pub fn relocate(&mut self, first: u64, budget: usize, mover: &mut dyn Mover) -> Option<u64> {
        let start = usize::try_from(first).unwrap_or(usize::MAX);
        for place in self.slots.iter_mut().skip(start).take(budget) {
            let Some(mut entry) = place.take() else { continue };
            entry.body.relocate(|bytes| mover.bytes(bytes));
            self.copies.relocate(entry.hot, |copy| mover.bytes(copy));
            *place = Some(mover.entry(entry));
        }
        let next = start.saturating_add(budget);
        (next < self.slots.len()).then_some(next as u64)
    }

    /// Checks that the parts agree, and says what does not.
    pub fn validate(&self) -> Result<(), String> {
        let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let live: Vec<_> = self.from_slot(0).collect();
        let n = live.len();
        check(n == self.index.len(), "the index holds each entry once")?;
        check(n + self.free.len() == self.slots.len(), "each slot is in use or free")?;
        let mut uses: Vec<_> = live.iter().map(|(_, view)| view.entry.used).collect();
        uses.sort_unstable();
        uses.dedup();
        check(uses.len() == n, "no two entries were used at the same time")?;
        self.order.validate(live.iter().map(|(slot, view)| (*slot, view.entry)))?;
        let (mut mortal, mut tags) = (0, 0);
        for (slot, view) in &live {
            let entry = view.entry;
            check(self.find_id(&entry.id) == Some(*slot), "an entry is found by its id")?;
            let identity = super::identity::Identity { context: view.context(), prompt: view.prompt() };
            check(identity.digest().id() == entry.id, "an entry's id is that of its identity")?;
            check(entry.fresh_until <= entry.dead_at, "nothing is fresh when it is dead")?;
            mortal += usize::from(!entry.dead_at.is_never());
            let expires = self.expiry.contains(&Deadline::new(entry.dead_at, *slot));
            check(expires != entry.dead_at.is_never(), "what dies stands in the order of expiry")?;
            check(entry.body.tags().all(|tag| self.tagged.contains(&(tag, *slot))), "tags are indexed")?;
            tags += entry.body.tags().len();
            let context = view.context();
            let labels = view.labels();
            check((labels.model, labels.scope) == (context.model, context.scope), "an entry has its context's names")?;
        }
        check(mortal == self.expiry.len(), "nothing else stands in the order of expiry")?;
        check(tags == self.tagged.len(), "nothing else is tagged")?;
        let copies = live.iter().filter(|(_, view)| view.entry.hot.is_some());
        let is_right = |view: &EntryView<'_>| view.hot().map(<[u8]>::len) == Some(view.entry.raw_len as usize);
        check(copies.clone().all(|(_, view)| is_right(view)), "a hot copy is as long as the answer")?;
        let copies = copies.filter_map(|(_, view)| view.hot());
        let hot =
            copies.fold(Hot::default(), |hot, copy| Hot { entries: hot.entries + 1, bytes: hot.bytes + copy.len() });
        check(hot == self.hot(), "hot copies add up")?;
        check(self.free.iter().all(|i| matches!(self.slots.get(*i as usize), Some(None))), "free slots are empty")?;
        let mut free = self.free.clone();
        free.sort_unstable();
        free.dedup();
        check(free.len() == self.free.len(), "no slot is free twice")?;
        let marked = live.iter().filter_map(|(slot, view)| Some((item(*slot, view.entry), view.entry.mark?)));
        match &self.likeness {
            Some(index) => index.validate(marked)?,
            None => check(marked.count() == 0, "without an index nothing is in it")?,
        }
        self.contexts.validate("contexts", live.iter().map(|(_, view)| view.entry.context))?;
        self.rules.validate(
            "rules",
            live.iter().map(|(_, view)| view.entry.body.rule()).filter(|rule| *rule != Symbol::NONE),
        )?;
        self.dictionaries.validate(live.iter().filter_map(|(_, view)| view.packed().dictionary()))?;
        self.census.validate(live.iter().map(|(_, view)| view.entry))
    }
}

/// The bits of an entry's id by which the index places it.
fn lot_at(slots: &[Option<Box<Entry>>], slot: Slot) -> u32 {
    slots.get(slot.0 as usize).and_then(Option::as_ref).map_or(0, |entry| entry.stamp())
}

/// An entry as the index sees it.
fn item(slot: Slot, entry: &Entry) -> Item<'_> {
    Item { context: entry.context, slot, stamp: entry.stamp(), prompt: entry.body.prompt() }
}

/// Moves allocations to better places; what a defragmenting allocator offers.
pub trait Mover {
    /// Moves a byte string.
    fn bytes(&mut self, bytes: Box<[u8]>) -> Box<[u8]>;
    /// Moves an entry.
    fn entry(&mut self, entry: Box<Entry>) -> Box<Entry>;
}

/// A context as one interned string: shape, the lengths of scope, model and system, then all four fields.
fn pack_context(context: &Context<'_>) -> Vec<u8> {
    let fields = [context.scope, context.model, context.system, context.params];
    let mut packed = Vec::with_capacity(13 + fields.iter().map(|field| field.len()).sum::<usize>());
    packed.push(context.shape as u8);
    for field in &fields[..3] {
        packed.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes());
    }
    fields.iter().for_each(|field| packed.extend_from_slice(field));
    packed
}

fn unpack_context(packed: &[u8]) -> Context<'_> {
    let read = || {
        let (&tag, rest) = packed.split_first()?;
        let (lengths, mut rest) = rest.split_at_checked(12)?;
        let mut field = |i: usize| {
            let length = lengths.get(i * 4..i * 4 + 4)?.try_into().ok().map(u32::from_le_bytes)?;
            let (field, left) = rest.split_at_checked(length as usize)?;
            rest = left;
            Some(field)
        };
        let (scope, model, system) = (field(0)?, field(1)?, field(2)?);
        Some(Context { shape: Shape::from_tag(tag)?, scope, model, system, params: rest })
    };
    read().unwrap_or(Context { shape: Shape::Plain, scope: b"", model: b"", system: b"", params: b"" })
}
