//! Finding the best rows.
//!
//! Class by class, the query's own size first, so that what is found early raises what later rows must reach:
//!
//! 1. A class whose sizes cannot reach the floor is left out.
//! 2. From the query's tokens, the cheapest lists are chosen that leave too little for a row that is in none of them.
//!    Where no lists do that, or they name as many rows as the class has, all its rows are looked at.
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

/// The rows of a token.
#[derive(Debug)]
pub enum Found {
    /// No row holds it.
    Nowhere,
    /// These do.
    Rows(Postings),
    /// Too many do.
    Everywhere,
}

impl Found {
    pub fn of(rows: &Postings) -> Self {
        match rows {
            Postings::Common => Self::Everywhere,
            rows => Self::Rows(rows.clone()),
        }
    }
}

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
    /// The cheapest for their weight first.
    lists: Vec<Listed>,
    /// What those of the query's tokens weigh that any row of the shelves holds.
    total: u32,
}

/// What a search can do.
pub trait Find: Debug + Send {
    fn best(&self, floor: f64, k: usize) -> Vec<Hit>;
    fn cost(&self, floor: Option<f64>) -> u64;
}

/// How to find the rows of a class.
enum Plan<'a> {
    Nothing,
    All,
    Lists(Vec<&'a [u32]>, usize),
}

/// The best so far.
struct Best {
    hits: Vec<Hit>,
    k: usize,
    floor: f64,
}

impl Best {
    fn offer(&mut self, hit: Hit) {
        if hit.similarity < self.floor {
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

impl<M: Measure> Snapshot<M> {
    pub fn of_tail(asked: M, tail: Arc<Block<M>>) -> Self {
        Self { asked, tail, shelves: Arc::default(), lists: Vec::new(), total: 0 }
    }

    /// `find` answers the hash of a token and its rows, `all` is how many rows there are.
    pub fn new(
        mut asked: M,
        tail: Arc<Block<M>>,
        shelves: Arc<Shelves<M>>,
        all: usize,
        find: impl Fn(u64) -> (u64, Found),
    ) -> Self {
        let mut hashes = Vec::with_capacity(asked.tokens().len());
        let (mut lists, mut total) = (Vec::with_capacity(asked.tokens().len()), 0u32);
        for token in asked.tokens() {
            let (hash, found) = find(token.key);
            hashes.push(hash);
            match found {
                // What no row holds, no row has in common with the query. It keeps its part in the query's size.
                Found::Nowhere => {}
                Found::Rows(rows) => {
                    total = total.saturating_add(token.weight);
                    lists.push(Listed { weight: token.weight, rows });
                }
                Found::Everywhere => total = total.saturating_add(token.weight),
            }
        }
        asked.learn(&hashes);
        let price = |list: &Listed| list.rows.len() as f64 / f64::from(list.weight.max(1));
        lists.sort_by(|a, b| price(a).total_cmp(&price(b)));
        // Lists that name more rows together than half of all are dearer than a look at every row, and what is not held
        // here a writer need not copy.
        let mut named = 0;
        let worth = lists.iter().take_while(|list| {
            named += list.rows.len();
            named <= all / 2
        });
        let worth = worth.count();
        lists.truncate(worth);
        Self { asked, tail, shelves, lists, total }
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
            rest -= list.weight;
            named += list.rows.within(Number::all(class), &mut slices);
            if named >= shelf.len() {
                return Plan::All;
            }
        }
        Plan::Lists(slices, named)
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
        let all = self.asked.tokens().iter().fold(0u32, |sum, token| sum.saturating_add(token.weight));
        for (head, units) in self.tail.iter() {
            if self.asked.reaches(head.size, all, best.floor) {
                if let Some(similarity) = self.asked.compare(head.size, units, best.floor, &mut scratch) {
                    best.offer(Hit { slot: head.slot, stamp: head.stamp, similarity });
                }
            }
        }
        for (class, shelf) in self.classes() {
            match self.plan(class, shelf, best.floor) {
                Plan::Nothing => {}
                Plan::All => self.look_at_all(shelf, &mut best, &mut scratch),
                Plan::Lists(slices, _) => self.look_at(shelf, &slices, &mut best, &mut scratch),
            }
        }
        best.hits
    }

    fn compare(&self, block: &Block<M>, at: usize, best: &mut Best, scratch: &mut M::Scratch) {
        let Some((head, units)) = block.get(at) else { return };
        if let Some(similarity) = self.asked.compare(head.size, units, best.floor, scratch) {
            best.offer(Hit { slot: head.slot, stamp: head.stamp, similarity });
        }
    }

    fn look_at_all(&self, shelf: &Shelf<M>, best: &mut Best, scratch: &mut M::Scratch) {
        for block in shelf.blocks() {
            for (at, sketch) in block.sketches().iter().enumerate() {
                if self.asked.admits(sketch, best.floor) {
                    self.compare(block, at, best, scratch);
                }
            }
        }
    }

    fn look_at(&self, shelf: &Shelf<M>, slices: &[&[u32]], best: &mut Best, scratch: &mut M::Scratch) {
        // What is in several lists is compared once.
        let mut seen = vec![0u64; shelf.len().div_ceil(64)];
        for row in slices.iter().copied().flatten() {
            let at = Number::place(*row);
            let Some(block) = shelf.block(at) else { continue };
            let Some(sketch) = block.sketches().get(at % BLOCK) else { continue };
            if !self.asked.admits(sketch, best.floor) {
                continue;
            }
            let Some(word) = seen.get_mut(at / 64) else { continue };
            if *word >> (at % 64) & 1 == 0 {
                *word |= 1 << (at % 64);
                self.compare(block, at % BLOCK, best, scratch);
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

    fn cost(&self, floor: Option<f64>) -> u64 {
        let floor = floor.unwrap_or(M::THRESHOLD);
        let mut looks = 0;
        for (class, shelf) in self.classes() {
            looks += match self.plan(class, shelf, floor) {
                Plan::Nothing => 0,
                Plan::All => shelf.len(),
                Plan::Lists(_, named) => named,
            };
        }
        let compared = self.tail.len() as f64 + looks as f64 * M::COMPARED;
        // Comparisons take longer with longer texts; most prompts have some 60 letters.
        (looks as f64 * M::LOOK / 1000.0 + compared * M::COMPARISON) as u64 + 1
    }
}
