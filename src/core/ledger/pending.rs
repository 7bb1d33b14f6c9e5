//! Hits of this second that are not booked yet.
//!
//! To book a hit is to find and change six accounts. Hits come in great numbers and mostly under the same names, so they are
//! added up first, by the symbols of their names, and booked together: when the second is over, when anybody wants to know,
//! or when a name has been given up and its symbol may come to mean another.

use super::counters::Counters;
use super::Labels;
use crate::core::interner::Symbol;
use crate::core::memory;

/// How many sets of names may have hits pending. One whose place is taken is booked at once.
const PLACES: usize = 16;

/// How many tags it may have.
const TAGS: usize = 4;

/// The symbols of the names that a hit is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Model, scope, strategy and type.
    names: [Symbol; 4],
    tags: [Symbol; TAGS],
}

impl Key {
    /// That of these symbols; none for many tags.
    pub fn of(names: [Symbol; 4], tags: impl ExactSizeIterator<Item = Symbol>) -> Option<Self> {
        let mut key = Self { names, tags: [Symbol::NONE; TAGS] };
        if tags.len() > TAGS {
            return None;
        }
        key.tags.iter_mut().zip(tags).for_each(|(place, tag)| *place = tag);
        Some(key)
    }

    fn place(&self) -> usize {
        let symbols = self.names.iter().chain(self.tags.first());
        symbols.fold(0, |sum: usize, symbol| sum.wrapping_mul(31).wrapping_add(symbol.number())) % PLACES
    }
}

/// What is counted under one set of names.
#[derive(Clone, Debug)]
struct Tally {
    key: Key,
    /// Model, scope, strategy and type, and then the tags.
    names: Box<[Box<[u8]>]>,
    counters: Counters,
}

/// Hits that are not booked yet.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    tallies: Vec<Option<Box<Tally>>>,
    second: u64,
    generation: u64,
    any: bool,
}

impl Pending {
    /// Bytes that it takes at most, with names of usual length.
    pub const MOST: usize =
        memory::of_vec::<Option<Box<Tally>>>(PLACES) + PLACES * (memory::allocated(size_of::<Tally>()) + 256);

    /// Names that together are longer are booked at once.
    const LONGEST: usize = 128;

    /// Whether there is anything.
    pub fn any(&self) -> bool {
        self.any
    }

    /// The second that it was counted in.
    pub fn second(&self) -> u64 {
        self.second
    }

    /// Whether that is this one.
    pub fn is_of(&self, second: u64) -> bool {
        self.second == second
    }

    /// The generation of its symbols.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether these still mean the same.
    pub fn means(&self, generation: u64) -> bool {
        self.generation == generation
    }

    /// The counters of these names, if they have a place.
    pub fn find(&mut self, key: &Key) -> Option<&mut Counters> {
        let tally = self.tallies.get_mut(key.place())?.as_mut().filter(|tally| tally.key == *key)?;
        self.any = true;
        Some(&mut tally.counters)
    }

    /// Gives these names a place, if theirs is free.
    pub fn open<'a>(
        &mut self,
        key: &Key,
        labels: &Labels<'a>,
        tags: impl Iterator<Item = &'a [u8]>,
    ) -> Option<&mut Counters> {
        let names: Box<[Box<[u8]>]> =
            [labels.model, labels.scope, labels.strategy, labels.typ].into_iter().chain(tags).map(Box::from).collect();
        if names.iter().map(|name| name.len()).sum::<usize>() > Self::LONGEST {
            return None;
        }
        self.tallies.resize(PLACES, None);
        let place = self.tallies.get_mut(key.place()).filter(|place| place.is_none())?;
        self.any = true;
        Some(&mut place.insert(Box::new(Tally { key: *key, names, counters: Counters::default() })).counters)
    }

    /// Takes what there is, to be booked in the second that it was counted in, and goes on with another.
    pub fn turn(&mut self, second: u64, generation: u64) -> (u64, Vec<Due>) {
        let counted_in = self.second;
        let is_same = self.generation == generation;
        let mut due = Vec::new();
        for place in &mut self.tallies {
            let Some(mut tally) = place.take() else { continue };
            let counters = std::mem::take(&mut tally.counters);
            if counters == Counters::default() {
                // Nobody asked for it for a second: others may have its place.
                continue;
            }
            due.push(Due { names: tally.names.clone(), counters });
            *place = is_same.then_some(tally);
        }
        (self.second, self.generation, self.any) = (second, generation, false);
        (counted_in, due)
    }

    /// Bytes behind it.
    pub fn memory(&self) -> usize {
        if self.tallies.is_empty() {
            0
        } else {
            Self::MOST
        }
    }
}

/// What is due to be booked.
pub struct Due {
    names: Box<[Box<[u8]>]>,
    /// How much.
    pub counters: Counters,
}

impl Due {
    /// Under which names.
    pub fn labels(&self) -> Labels<'_> {
        let name = |at: usize| self.names.get(at).map_or(&b""[..], |name| name);
        Labels { model: name(0), scope: name(1), strategy: name(2), typ: name(3) }
    }

    /// Under which tags.
    pub fn tags(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().skip(4).map(|name| &**name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::with_seeds;
    use super::super::{Dimension, Ledger, Window};
    use super::*;
    use crate::core::interner::Interner;
    use crate::core::time::UnixMs;
    use std::collections::BTreeMap;

    fn told(ledger: &Ledger, now: UnixMs) -> Vec<(Counters, BTreeMap<Vec<u8>, Counters>)> {
        let windows = [None, Some(Window::last(1, now)), Some(Window::last(600, now))];
        let ways = Dimension::ALL.into_iter().flat_map(|dimension| windows.map(|window| (dimension, window)));
        ways.map(|(dimension, window)| {
            let (names, sum) = ledger.counted_by(dimension, window.as_ref());
            (sum, names.map(|(name, counted)| (name.to_vec(), counted)).collect())
        })
        .collect()
    }

    #[test]
    fn what_is_booked_later_is_what_would_have_been_counted_at_once() {
        with_seeds(40..=44, |seed, mut rng| {
            let (mut later, mut at_once, mut symbols) =
                (Ledger::default(), Ledger::default(), Interner::<()>::default());
            let (mut now, mut all_held) = (1_750_000_000_000u64, Vec::new());
            for step in 0..4000 {
                // Some hundred sets of names for 16 places; the clock stands, goes on, and is set back.
                let names: Vec<String> = (0..4).map(|_| format!("name{}", rng.below(3))).collect();
                let tags: Vec<String> = (0..rng.below(6)).map(|i| format!("tag{i}{}", rng.below(2))).collect();
                now = match rng.below(40) {
                    0 => now - 2000,
                    1 => now + 3_600_000,
                    2..=10 => now + 700,
                    _ => now,
                };
                let bytes: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
                let labels = Labels { model: bytes[0], scope: bytes[1], strategy: bytes[2], typ: bytes[3] };
                let tags = || tags.iter().map(|tag| tag.as_bytes());
                // A symbol may mean another name the next time.
                let held: Vec<Symbol> = bytes.iter().copied().chain(tags()).map(|name| symbols.acquire(name)).collect();
                let key = Key::of([held[0], held[1], held[2], held[3]], held[4..].iter().copied());
                let add = |counters: &mut Counters| {
                    counters.lookups += 1;
                    counters.hits_exact += 1;
                };
                let generation = symbols.given_up();
                let is_tallied =
                    key.is_some_and(|key| later.tally(UnixMs(now), generation, &key, || (labels, tags()), add));
                if !is_tallied {
                    later.count(UnixMs(now), &labels, tags(), add);
                }
                at_once.count(UnixMs(now), &labels, tags(), add);
                all_held.extend(held);
                if rng.chance(10) {
                    all_held.drain(..).for_each(|symbol| symbols.release(symbol));
                }
                if rng.chance(5) {
                    let (a, b) = (told(&later.booked(), UnixMs(now)), told(&at_once, UnixMs(now)));
                    assert!(a == b, "LLMCACHE_SEED={seed}, step {step}");
                }
                later.validate().unwrap();
            }
        });
    }
}
