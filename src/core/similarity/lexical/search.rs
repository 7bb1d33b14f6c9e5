//! Finding the best rows.
//!
//! Class by class, the query's own size first, so that what is found early raises what later rows must reach:
//!
//! 1. A class whose sizes cannot reach the floor is left out.
//! 2. From the query's tokens, the cheapest lists are chosen that leave too little for a row that is in none of them.
//!    Some more lists, and a row must be in several; counting that costs less than looking at each row. Where the lists
//!    do not suffice, or name far more rows than the class has, all its rows are looked at.
//! 3. A row's sketch says how much it can have in common at most. Only if that is enough, it is compared.

use super::block::Block;
use super::index::{Number, Shelves};
use super::measure::Measure;
use super::postings::Postings;
use super::shelf::{Shelf, BLOCK};
use super::Hit;
use std::fmt::Debug;
use std::sync::Arc;

/// Below this floor a search first tries [`FIRST`]: what it finds there is the best there is, and where it finds
/// enough, the many rows that are a little like everything need not be compared.
const LOW: f64 = 0.55;
const FIRST: f64 = 0.7;
/// Lists beyond those that must be read, where each token weighs the same.
const MORE: usize = 3;
/// How many rows of lists are read in the time of a look at one row.
const READS: usize = 3;

/// The length of a prompt that takes as long to compare as its metric says.
const USUAL: u32 = 64;

/// A list that may be looked into.
#[derive(Debug)]
struct Listed {
    weight: u32,
    rows: Postings,
}

/// All that a search reads.
#[derive(Debug)]
pub struct Snapshot<M: Measure> {
    asked: M,
    tail: Arc<Block<M>>,
    shelves: Arc<Shelves<M>>,
    /// The hashes of the query's tokens.
    hashes: Vec<u64>,
    /// The cheapest for their weight first.
    lists: Vec<Listed>,
    /// Rows that may equal the query.
    twins: Postings,
    /// What those of the query's tokens weigh that any row of the shelves holds.
    total: u32,
    /// Whether each token weighs 1.
    alike: bool,
}

/// What a search can do.
pub trait Find: Debug + Send + Sync {
    fn best(&self, floor: f64, k: usize) -> Vec<Hit>;
    fn cost(&self, floor: f64) -> u64;
}

/// How to find the rows of a class.
enum Plan<'a> {
    Nothing,
    All,
    /// Rows that are in so many of these lists.
    Lists(Vec<&'a [u32]>, u8),
}

/// The best so far.
struct Best {
    hits: Vec<Hit>,
    k: usize,
    floor: f64,
}

impl Best {
    fn offer(&mut self, hit: Hit) {
        // What is in several lists may come several times.
        if hit.similarity < self.floor || self.hits.iter().any(|held| held.slot == hit.slot) {
            return;
        }
        let before = |other: &Hit| {
            other.similarity > hit.similarity || other.similarity == hit.similarity && other.slot < hit.slot
        };
        self.hits.insert(self.hits.partition_point(before), hit);
        self.hits.truncate(self.k);
        if let Some(last) = self.hits.get(self.k - 1) {
            self.floor = last.similarity;
        }
    }
}

/// A class whose rows are looked at.
struct Visit<'a, M: Measure> {
    class: u32,
    shelf: &'a Shelf<M>,
    gate: M::Gate,
    /// The floor that the gate is for.
    floor: f64,
}

impl<M: Measure> Snapshot<M> {
    pub fn of_tail(asked: M, tail: Arc<Block<M>>) -> Self {
        let (hashes, lists, twins) = (Vec::new(), Vec::new(), Postings::default());
        Self { asked, tail, shelves: Arc::default(), hashes, lists, twins, total: 0, alike: false }
    }

    /// `find` answers the hash of a token and its rows, `all` is how many rows there are.
    pub fn new<'a>(
        asked: M,
        tail: Arc<Block<M>>,
        shelves: Arc<Shelves<M>>,
        all: usize,
        find: impl Fn(u64) -> (u64, Option<&'a Postings>),
    ) -> Self {
        let tokens = asked.tokens();
        let (mut hashes, mut found) = (Vec::with_capacity(tokens.len()), Vec::with_capacity(tokens.len()));
        let mut total = asked.total();
        for token in tokens {
            let (hash, rows) = find(token.key);
            hashes.push(hash);
            match rows {
                Some(Postings::Common) => {}
                Some(rows) => {
                    let price = ((rows.len() as u64) << 24) / u64::from(token.weight.max(1));
                    found.push((price, token.weight, rows));
                }
                // What no row holds, no row has in common with the query.
                None => total = total.saturating_sub(token.weight),
            }
        }
        found.sort_unstable_by_key(|(price, ..)| *price);
        // Lists that name more rows together than there are say less than a look at every row, and what is not held
        // here a writer need not copy.
        let mut named = 0;
        let worth = found.into_iter().take_while(|(.., rows)| {
            named += rows.len();
            named <= all
        });
        let lists = worth.map(|(_, weight, rows)| Listed { weight, rows: rows.clone() }).collect();
        let twins = asked.twin().and_then(|twin| find(twin).1).cloned().unwrap_or_default();
        let alike = tokens.iter().all(|token| token.weight == 1);
        Self { asked, tail, shelves, hashes, lists, twins, total, alike }
    }

    fn plan(&self, class: u32, shelf: &Shelf<M>, floor: f64) -> Plan<'_> {
        let sizes = M::sizes(class);
        let reaches = |common| self.asked.reaches_within(sizes, common, floor);
        if shelf.len() == 0 || !reaches(self.total) {
            return Plan::Nothing;
        }
        let mut rest = self.total;
        let mut lists = self.lists.iter();
        let (mut slices, mut named) = (Vec::new(), 0);
        while reaches(rest) {
            let Some(list) = lists.next() else { return Plan::All };
            rest = rest.saturating_sub(list.weight);
            named += list.rows.within(Number::all(class), &mut slices);
            if named > shelf.len() {
                return Plan::All;
            }
        }
        let mut times = 1;
        if self.alike && named > 64 {
            // A row that reaches the floor is in one list at least; with each further list, in one more.
            for list in lists.take(MORE) {
                let before = slices.len();
                named += list.rows.within(Number::all(class), &mut slices);
                if named > shelf.len() * READS {
                    slices.truncate(before);
                    break;
                }
                times += 1;
            }
        }
        Plan::Lists(slices, times)
    }

    /// The classes, the query's own first.
    fn classes(&self) -> impl Iterator<Item = (u32, &Shelf<M>)> {
        let own = M::class(self.asked.size()) as usize;
        let most = self.shelves.len().max(own + 1);
        let shelf = |class: usize| Some((class as u32, &**self.shelves.get(class)?));
        let below = move |apart: usize| own.checked_sub(apart).filter(|_| apart > 0).and_then(shelf);
        (0..most).flat_map(move |apart| shelf(own + apart).into_iter().chain(below(apart)))
    }

    fn run(&self, floor: f64, k: usize) -> Vec<Hit> {
        let mut best = Best { hits: Vec::new(), k, floor };
        let mut scratch = M::Scratch::default();
        (0..self.tail.len()).for_each(|at| self.compare(&self.tail, at, &mut best, &mut scratch));
        let mut twins = Vec::new();
        self.twins.within(0..u32::MAX, &mut twins);
        for row in twins.into_iter().flatten() {
            let (class, at) = Number::parts(*row);
            if let Some(block) = self.shelves.get(class as usize).and_then(|shelf| shelf.block(at)) {
                self.compare(block, at % BLOCK, &mut best, &mut scratch);
            }
        }
        let mut counts = Vec::new();
        for (class, shelf) in self.classes() {
            let floor = best.floor;
            let visit = || Visit { class, shelf, gate: self.asked.gate(class, floor, &self.hashes), floor };
            match self.plan(class, shelf, floor) {
                Plan::Nothing => {}
                Plan::All => self.look_at_all(visit(), &mut best, &mut scratch),
                Plan::Lists(slices, times) => {
                    counts.clear();
                    counts.resize(if times > 1 { shelf.len() } else { 0 }, 0);
                    self.look_at(visit(), (&slices, times), &mut counts, &mut best, &mut scratch);
                }
            }
        }
        best.hits
    }

    /// Compares a row of which more cannot be said beforehand.
    fn compare(&self, block: &Block<M>, at: usize, best: &mut Best, scratch: &mut M::Scratch) {
        let Some((head, units)) = block.get(at) else { return };
        if let Some(similarity) = self.asked.compare(head.size, units, best.floor, scratch) {
            best.offer(Hit { slot: head.slot, stamp: head.stamp, similarity });
        }
    }

    /// Compares a row with so much in common at most, if that can be enough for its size.
    fn admit(&self, visit: &mut Visit<'_, M>, at: usize, common: u32, best: &mut Best, scratch: &mut M::Scratch) {
        let Some(block) = visit.shelf.block(at) else { return };
        let Some(head) = block.head(at % BLOCK) else { return };
        if !self.asked.reaches(head.size, common, best.floor) {
            return;
        }
        self.compare(block, at % BLOCK, best, scratch);
        if best.floor > visit.floor {
            visit.floor = best.floor;
            visit.gate = self.asked.gate(visit.class, best.floor, &self.hashes);
        }
    }

    fn look_at_all(&self, mut visit: Visit<'_, M>, best: &mut Best, scratch: &mut M::Scratch) {
        let words = M::words(visit.class);
        for (nth, block) in visit.shelf.blocks().enumerate() {
            for (at, sketch) in block.sketches().chunks_exact(words).enumerate() {
                if let Some(common) = M::pass(&visit.gate, sketch) {
                    self.admit(&mut visit, nth * BLOCK + at, common, best, scratch);
                }
            }
        }
    }

    /// Looks at the rows that are in so many of the lists. `counts` has a place for each row, unless once is enough.
    fn look_at(
        &self,
        mut visit: Visit<'_, M>,
        (slices, times): (&[&[u32]], u8),
        counts: &mut [u8],
        best: &mut Best,
        scratch: &mut M::Scratch,
    ) {
        let words = M::words(visit.class);
        let mut look = |at: usize| {
            let (Some(block), from) = (visit.shelf.block(at), at % BLOCK * words) else { return };
            let Some(sketch) = block.sketches().get(from..from + words) else { return };
            if let Some(common) = M::pass(&visit.gate, sketch) {
                self.admit(&mut visit, at, common, best, scratch);
            }
        };
        let rows = slices.iter().copied().flatten().map(|row| Number::parts(*row).1);
        if times == 1 {
            return rows.for_each(look);
        }
        for at in rows {
            if let Some(count) = counts.get_mut(at) {
                *count = count.saturating_add(1);
                if *count == times {
                    look(at);
                }
            }
        }
    }
}

impl<M: Measure> Find for Snapshot<M> {
    fn best(&self, floor: f64, k: usize) -> Vec<Hit> {
        if k == 0 {
            return Vec::new();
        }
        if floor < LOW && !self.shelves.is_empty() {
            let hits = self.run(FIRST, k);
            if hits.len() == k {
                return hits;
            }
        }
        self.run(floor, k)
    }

    fn cost(&self, floor: f64) -> u64 {
        let (mut reads, mut looks) = (0, 0);
        for (class, shelf) in self.classes() {
            match self.plan(class, shelf, floor) {
                Plan::Nothing => {}
                Plan::All => looks += shelf.len(),
                Plan::Lists(slices, times) => {
                    let named: usize = slices.iter().map(|rows| rows.len()).sum();
                    *(if times > 1 { &mut reads } else { &mut looks }) += named;
                }
            };
        }
        let looks = looks as f64 + reads as f64 / READS as f64;
        // From low similarities on, a look keeps hardly anything from being compared.
        let share = if floor < M::THRESHOLD { 1.0 } else { M::COMPARED };
        // A comparison takes as long as what is asked for is.
        let longer = (f64::from(self.asked.length()) / f64::from(USUAL)).max(1.0);
        let compared = (self.tail.len() as f64 + looks * share) * longer;
        ((looks * M::LOOK + compared * M::COMPARISON) / 1000.0) as u64 + 1
    }
}
