//! Who holds what: entries and bytes by model, scope, strategy, type and tag.
//!
//! The names are those of the entries that are there, each kept once. What a name holds is kept with it, so that a figure
//! by name costs no walk over the entries.

use super::entry::Entry;
use super::interner::{Interner, Symbol};
use super::ledger::Dimension;

/// What is held under a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Entries.
    pub entries: u64,
    /// Bytes of their answers as they came.
    pub bytes_raw: u64,
    /// Bytes of their answers as they are stored.
    pub bytes_stored: u64,
    /// Bytes that the entries take, without what they share.
    pub memory: u64,
}

impl Holding {
    /// What one entry holds.
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            entries: 1,
            bytes_raw: entry.raw_len.into(),
            bytes_stored: entry.body.answer_len() as u64,
            memory: entry.memory() as u64,
        }
    }

    /// Adds another to this.
    pub fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        self.bytes_raw += other.bytes_raw;
        self.bytes_stored += other.bytes_stored;
        self.memory += other.memory;
    }

    /// Takes another, which is part of this, out of it.
    pub fn take(&mut self, other: &Self) {
        self.entries = self.entries.saturating_sub(other.entries);
        self.bytes_raw = self.bytes_raw.saturating_sub(other.bytes_raw);
        self.bytes_stored = self.bytes_stored.saturating_sub(other.bytes_stored);
        self.memory = self.memory.saturating_sub(other.memory);
    }
}

/// The names of entries, and what they hold.
#[derive(Clone, Debug, Default)]
pub struct Census {
    names: [Interner<Holding>; 5],
    /// Entries without a tag.
    untagged: Holding,
    /// All entries, one of three tags three times.
    tagged: Holding,
    all: Holding,
}

impl Census {
    fn names(&self, dimension: Dimension) -> &Interner<Holding> {
        let [model, scope, strategy, typ, tag] = &self.names;
        match dimension {
            Dimension::Model => model,
            Dimension::Scope => scope,
            Dimension::Strategy => strategy,
            Dimension::Type => typ,
            Dimension::Tag => tag,
        }
    }

    fn names_mut(&mut self, dimension: Dimension) -> &mut Interner<Holding> {
        let [model, scope, strategy, typ, tag] = &mut self.names;
        match dimension {
            Dimension::Model => model,
            Dimension::Scope => scope,
            Dimension::Strategy => strategy,
            Dimension::Type => typ,
            Dimension::Tag => tag,
        }
    }

    /// A symbol for a name, one more user of it.
    pub(super) fn acquire(&mut self, dimension: Dimension, name: &[u8]) -> Symbol {
        self.names_mut(dimension).acquire(name)
    }

    /// Gives all names of an entry back.
    pub(super) fn release(&mut self, entry: &Entry) {
        for (dimension, symbol) in names_of(entry) {
            self.names_mut(dimension).release(symbol);
        }
    }

    /// The symbol of a name that some entry has.
    pub(super) fn find(&self, dimension: Dimension, name: &[u8]) -> Option<Symbol> {
        self.names(dimension).find(name)
    }

    /// The name of a symbol.
    pub(super) fn name(&self, dimension: Dimension, symbol: Symbol) -> &[u8] {
        self.names(dimension).text(symbol)
    }

    /// Notes that what an entry holds has changed.
    pub(super) fn change(&mut self, entry: &Entry, before: &Holding, after: &Holding) {
        let change = |holding: &mut Holding| {
            holding.add(after);
            holding.take(before);
        };
        change(&mut self.all);
        for (dimension, symbol) in names_of(entry) {
            if let Some(holding) = self.names_mut(dimension).value_mut(symbol) {
                change(holding);
            }
            if dimension == Dimension::Tag {
                change(&mut self.tagged);
            }
        }
        if entry.body.tags().len() == 0 {
            change(&mut self.untagged);
            change(&mut self.tagged);
        }
    }

    /// A number that changes when a symbol may come to mean another name.
    pub(super) fn generation(&self) -> u64 {
        self.names.iter().map(Interner::given_up).sum()
    }

    /// All of it.
    pub fn all(&self) -> &Holding {
        &self.all
    }

    /// What all names of a dimension hold together.
    pub fn sum(&self, dimension: Dimension) -> &Holding {
        match dimension {
            Dimension::Tag => &self.tagged,
            _ => &self.all,
        }
    }

    /// What a name holds.
    pub fn holding(&self, dimension: Dimension, name: &[u8]) -> Holding {
        if dimension == Dimension::Tag && name.is_empty() {
            return self.untagged;
        }
        let names = self.names(dimension);
        names.find(name).and_then(|symbol| names.value(symbol)).copied().unwrap_or_default()
    }

    /// The names of all entries, if there are no more than so many.
    pub fn few(&self, dimension: Dimension, most: usize) -> impl Iterator<Item = &[u8]> {
        let names = self.names(dimension);
        let untagged = (dimension == Dimension::Tag && self.untagged.entries > 0).then_some(&b""[..]);
        let few = (names.len() <= most).then(|| names.iter().map(|(_, name, _)| name));
        few.into_iter().flatten().chain(untagged)
    }

    /// What a name that is new takes.
    pub(super) const fn charge(length: usize) -> usize {
        Interner::<Holding>::charge(length)
    }

    /// Bytes of the names.
    pub fn memory(&self) -> usize {
        self.names.iter().map(Interner::memory).sum()
    }

    /// Checks that it agrees with the entries.
    pub(super) fn validate<'a>(&self, entries: impl Iterator<Item = &'a Entry> + Clone) -> Result<(), String> {
        for dimension in Dimension::ALL {
            let held = entries.clone().flat_map(names_of).filter(|(of, _)| *of == dimension);
            self.names(dimension).validate(dimension.name(), held.map(|(_, symbol)| symbol))?;
        }
        let mut anew = Self { names: self.names.clone(), ..Self::default() };
        for names in &mut anew.names {
            let symbols: Vec<_> = names.iter().map(|(symbol, ..)| symbol).collect();
            symbols.into_iter().filter_map(|symbol| names.value_mut(symbol).map(std::mem::take)).for_each(drop);
        }
        entries.for_each(|entry| anew.change(entry, &Holding::default(), &Holding::of(entry)));
        let same = (self.all, self.tagged, self.untagged) == (anew.all, anew.tagged, anew.untagged)
            && self
                .names
                .iter()
                .zip(&anew.names)
                .all(|(mine, other)| mine.iter().all(|(symbol, ..)| mine.value(symbol) == other.value(symbol)));
        same.then_some(()).ok_or_else(|| "what names hold is the sum of their entries'".to_owned())
    }
}

fn names_of(entry: &Entry) -> impl Iterator<Item = (Dimension, Symbol)> + '_ {
    let single = [
        (Dimension::Model, entry.model),
        (Dimension::Scope, entry.scope),
        (Dimension::Strategy, entry.strategy),
        (Dimension::Type, entry.typ),
    ];
    single.into_iter().chain(entry.body.tags().map(|tag| (Dimension::Tag, tag)))
}
