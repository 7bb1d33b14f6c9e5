//! One answer, and what a reader may see of it.

use super::body::Body;
use super::cache::Terms;
use super::codec::{Codec, Damaged, Encoding, Packed, PackedRef};
use super::copies::Place;
use super::dictionary::Dictionary;
use super::eviction::order::Order;
use super::identity::{Context, Digest, EntryId, Identity, Shape};
use super::ids;
use super::interner::Symbol;
use super::ledger::pending::Key;
use super::ledger::{Dimension, Labels};
use super::memory;
use super::money::MicroUsd;
use super::shortcuts;
use super::similarity::index::Mark;
use super::store::{Deadline, Store};
use super::storing::etag;
use super::time::{rounded_seconds, UnixMs};

/// Where an entry lives in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub(super) u32);

/// Where an entry stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Answers everyone.
    Fresh,
    /// Its time is up; it answers only those who say so.
    Stale,
    /// Answers nobody; its memory is about to be given back.
    Dead,
}

/// When an entry stops answering. `fresh_until` never lies behind `dead_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifespan {
    /// Until then it is fresh.
    pub fresh_until: UnixMs,
    /// From then on it is gone; between the two it is stale.
    pub dead_at: UnixMs,
    /// How long it may be stale, kept for when its expiry is moved.
    pub stale_ms: u64,
}

impl Lifespan {
    /// Fresh until then, stale for `stale_ms` after.
    pub fn new(fresh_until: UnixMs, stale_ms: u64) -> Self {
        // Nothing ends later than that, and a saved life that says so is refused.
        let fresh_until = if fresh_until.is_never() { fresh_until } else { fresh_until.min(UnixMs::LATEST) };
        Self { fresh_until, dead_at: fresh_until.plus(stale_ms), stale_ms }
    }

    /// The phase at this moment.
    pub fn phase(&self, now: UnixMs) -> Phase {
        phase(self.fresh_until, self.dead_at, now)
    }
}

fn phase(fresh_until: UnixMs, dead_at: UnixMs, now: UnixMs) -> Phase {
    if now < fresh_until {
        Phase::Fresh
    } else if now < dead_at {
        Phase::Stale
    } else {
        Phase::Dead
    }
}

/// What it took to make an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Tokens of the question.
    pub tokens_in: u64,
    /// Tokens of the answer.
    pub tokens_out: u64,
    /// Whether the tokens were guessed from the length of the text.
    pub estimated: bool,
    /// What it cost.
    pub cost: MicroUsd,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
}

/// What is known of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it lies as it came.
    Nothing,
    /// Its etag.
    Etag,
    /// Its etag, and that compression was tried and did not pay.
    Incompressible,
}

/// One answer: 128 bytes, which a hit looks at, and a body of its own length. Strings that entries share are symbols of the
/// store's interners.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) id: EntryId,
    /// Which answer it has: its etag, or a number that no other answer of this cache has until that is known.
    pub(super) version: u64,
    pub(super) context: Symbol,
    pub(super) model: Symbol,
    pub(super) scope: Symbol,
    pub(super) strategy: Symbol,
    /// That of the empty name where it has none.
    pub(super) typ: Symbol,
    /// Prompt, meta, rule, tags, the answer as it is stored, and what is rarely looked at.
    pub(super) body: Body,
    /// How the answer is to be read, and with which dictionary.
    pub(super) encoding: Encoding,
    pub(super) dictionary: u8,
    /// The answer's own length.
    pub(super) raw_len: u32,
    /// What is known of it.
    pub(super) known: Known,
    /// Where the answer is uncompressed, if it is compressed and there is room.
    pub(super) hot: Place,
    pub(super) fresh_until: UnixMs,
    pub(super) dead_at: UnixMs,
    pub(super) hits: u64,
    /// Whether similar questions may be answered by it.
    pub(super) comparable: bool,
    /// Its place in the index of similar prompts.
    pub(super) mark: Option<Mark>,
    /// When it was last used, by the clock of the store's order.
    pub(super) used: u64,
    /// How often it was asked, as of then: what was long before counts less.
    pub(super) asked: f32,
}

/// One byte more would take another 32.
const _: () = assert!(size_of::<Entry>() <= 128);

impl Entry {
    /// Names its answer by its content.
    pub(super) fn etag(&self) -> u64 {
        match self.known {
            Known::Nothing => etag(self.body.answer()),
            Known::Etag | Known::Incompressible => self.version,
        }
    }

    /// Notes its etag, and whether it gets no smaller.
    pub(super) fn set_known(&mut self, etag: u64, known: Known) {
        (self.version, self.known) = (etag, known);
    }

    /// Notes that its answer gets no smaller.
    pub(super) fn set_incompressible(&mut self) {
        self.set_known(self.etag(), Known::Incompressible);
    }

    /// Bits of its digest, for those that keep no more.
    pub(super) fn stamp(&self) -> u32 {
        self.id.lot()
    }

    /// Whether it answers on these terms, and in which phase.
    pub(super) fn serves(&self, terms: &Terms, now: UnixMs) -> Option<Phase> {
        if terms.max_age_ms.is_some_and(|limit| now.since(self.created()) > limit) {
            return None;
        }
        match self.phase(now) {
            Phase::Dead => None,
            Phase::Stale if !terms.stale_ok => None,
            phase => Some(phase),
        }
    }

    /// When it stops answering.
    pub(super) fn life(&self) -> Lifespan {
        Lifespan { fresh_until: self.fresh_until, dead_at: self.dead_at, stale_ms: self.body.rare().stale_ms }
    }

    /// Changes that.
    pub(super) fn set_life(&mut self, life: Lifespan) {
        (self.fresh_until, self.dead_at) = (life.fresh_until, life.dead_at);
        if self.body.rare().stale_ms != life.stale_ms {
            self.body = self.body.with_stale_ms(life.stale_ms);
        }
    }

    /// Where it stands in its life.
    pub(super) fn phase(&self, now: UnixMs) -> Phase {
        phase(self.fresh_until, self.dead_at, now)
    }

    /// When it was stored.
    pub(super) fn created(&self) -> UnixMs {
        self.body.rare().created
    }

    /// The answer as it is stored.
    pub(super) fn answer(&self) -> PackedRef<'_> {
        PackedRef {
            encoding: self.encoding,
            dictionary: self.dictionary,
            raw_len: self.raw_len,
            bytes: self.body.answer(),
        }
    }

    /// Stores the answer in another way.
    pub(super) fn set_answer(&mut self, answer: &Packed) {
        self.set_known(self.etag(), Known::Etag);
        self.body = self.body.with_answer(&answer.bytes);
        (self.encoding, self.dictionary, self.raw_len) = (answer.encoding, answer.dictionary, answer.raw_len);
    }

    /// Bytes that this entry takes: its own, its hot copy, and its part of the store's tables.
    ///
    /// The tables are charged by the entry rather than by their capacity, so that the sum neither jumps when a table
    /// doubles nor stays up when entries go: a slot (8 bytes and its slack), an index cell (5 bytes, half of them in
    /// use), a shortcut, a place in the order of eviction, one in that of expiry and one for each tag.
    pub(super) fn memory(&self) -> usize {
        // Its place, and one in the line of copies, with the slack of vectors that grow.
        const HOT_PLACE: usize = (16 + 16) * 3 / 2;
        let hot = if self.hot.is_some() { memory::allocated(self.raw_len as usize) + HOT_PLACE } else { 0 };
        self.cold_memory() + hot
    }

    /// The same without a hot copy, which goes before the entry does.
    pub(super) fn cold_memory(&self) -> usize {
        const OWN: usize = memory::allocated(size_of::<Entry>());
        const TABLES: usize = 12 + ids::CHARGE + shortcuts::CHARGE + Order::CHARGE;
        let expiry = if self.dead_at.is_never() { 0 } else { memory::of_btree::<Deadline>(1) };
        OWN + TABLES + expiry + self.body.memory() + memory::of_btree::<(Symbol, Slot)>(self.body.tags().len())
    }
}

/// An entry as a reader sees it, its symbols resolved.
#[derive(Clone, Copy, Debug)]
pub struct EntryView<'a> {
    pub(super) store: &'a Store,
    pub(super) entry: &'a Entry,
}

impl<'a> EntryView<'a> {
    /// The public name.
    pub fn id(&self) -> EntryId {
        self.entry.id
    }

    /// The full digest, which is made from the question each time.
    pub fn digest(&self) -> Digest {
        Identity { context: self.context(), prompt: self.prompt() }.digest()
    }

    /// The hard filter it is served in.
    pub fn context(&self) -> Context<'a> {
        self.store.context(self.entry.context)
    }

    /// The API shape it came in.
    pub fn shape(&self) -> Shape {
        self.context().shape
    }

    /// What was asked.
    pub fn prompt(&self) -> &'a [u8] {
        self.entry.body.prompt()
    }

    /// The answer as it lies in memory.
    pub fn packed(&self) -> PackedRef<'a> {
        self.entry.answer()
    }

    /// The dictionary that it is read with, if it needs one.
    pub fn dictionary(&self) -> Option<&'a Dictionary> {
        self.store.dictionary_of(self.entry.answer())
    }

    /// The answer as it came.
    pub fn unpack(&self, codec: &'a mut Codec) -> Result<&'a [u8], Damaged> {
        codec.unpack(self.entry.answer(), self.dictionary())
    }

    /// The answer uncompressed, where a copy is kept.
    pub fn hot(&self) -> Option<&'a [u8]> {
        self.store.hot_copy(self.entry.hot)
    }

    /// Names this very answer: equal bytes have equal tags.
    pub fn etag(&self) -> u64 {
        self.entry.etag()
    }

    /// The strategy that gave it its time, or `explicit`.
    pub fn strategy(&self) -> &'a [u8] {
        self.store.name(Dimension::Strategy, self.entry.strategy)
    }

    /// The rule that chose the strategy.
    pub fn rule(&self) -> Option<&'a [u8]> {
        Some(self.entry.body.rule()).filter(|rule| *rule != Symbol::NONE).map(|rule| self.store.rule(rule))
    }

    /// The kind of request, as the writer named it.
    pub fn typ(&self) -> Option<&'a [u8]> {
        Some(self.store.name(Dimension::Type, self.entry.typ)).filter(|typ| !typ.is_empty())
    }

    /// The tags, in the order they were given.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let store = self.store;
        self.entry.body.tags().map(|tag| store.name(Dimension::Tag, tag))
    }

    /// The names that it is counted under, beside its tags.
    pub fn labels(&self) -> Labels<'a> {
        Labels {
            model: self.store.name(Dimension::Model, self.entry.model),
            scope: self.store.name(Dimension::Scope, self.entry.scope),
            strategy: self.strategy(),
            typ: self.store.name(Dimension::Type, self.entry.typ),
        }
    }

    /// The same names and tags, to be told apart quickly.
    pub(super) fn key(&self) -> Option<Key> {
        let Entry { model, scope, strategy, typ, .. } = *self.entry;
        Key::of([model, scope, strategy, typ], self.entry.body.tags())
    }

    /// The JSON that the writer left with it.
    pub fn meta(&self) -> Option<&'a [u8]> {
        self.entry.body.meta()
    }

    /// When it was stored.
    pub fn created(&self) -> UnixMs {
        self.entry.created()
    }

    /// When it stops answering.
    pub fn life(&self) -> Lifespan {
        self.entry.life()
    }

    /// What it took to make it.
    pub fn effort(&self) -> Effort {
        self.entry.body.effort()
    }

    /// How often it answered since it was stored.
    pub fn hits(&self) -> u64 {
        self.entry.hits
    }

    /// When it was last used, by the clock of the order of eviction, and how often it was asked, as of then.
    pub fn usage(&self) -> (u64, f32) {
        (self.entry.used, self.entry.asked)
    }

    /// Bytes it takes without a hot copy.
    pub fn cold_memory(&self) -> usize {
        self.entry.cold_memory()
    }

    /// What those hits saved.
    pub fn cost_saved(&self) -> MicroUsd {
        self.effort().cost.saturating_mul(self.entry.hits)
    }

    /// Bytes it takes.
    pub fn memory(&self) -> usize {
        self.entry.memory()
    }

    /// Whole seconds since it was stored.
    pub fn age_seconds(&self, now: UnixMs) -> u64 {
        now.since(self.entry.created()) / 1000
    }

    /// Seconds left as the server's TTL tells them: -1 for ever, 0 once stale.
    pub fn ttl_seconds(&self, now: UnixMs) -> i64 {
        let until = self.entry.fresh_until;
        if until.is_never() {
            -1
        } else {
            i64::try_from(rounded_seconds(until.since(now))).unwrap_or(i64::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_has_three_phases() {
        let life = Lifespan::new(UnixMs(10), 5);
        let phases = [0, 9, 10, 14, 15, u64::MAX].map(|at| life.phase(UnixMs(at)));
        use Phase::{Dead, Fresh, Stale};
        assert_eq!(phases, [Fresh, Fresh, Stale, Stale, Dead, Dead]);
        assert_eq!(Lifespan::new(UnixMs(10), 0).phase(UnixMs(10)), Dead, "no stale time, no stale phase");
    }

    #[test]
    fn a_life_ends_with_the_calendar_or_never() {
        for (until, end) in [(UnixMs(u64::MAX - 1), UnixMs::LATEST), (UnixMs::NEVER, UnixMs::NEVER)] {
            assert_eq!(Lifespan::new(until, 5), Lifespan { fresh_until: end, dead_at: end, stale_ms: 5 });
        }
        assert_eq!(Lifespan::new(UnixMs(1), u64::MAX).dead_at, UnixMs::LATEST);
    }
}
