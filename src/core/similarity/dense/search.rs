//! Exact search that reads little.
//!
//! After some planes, what is still missing of a sum of products is at most the length of what has not been read of the
//! query times the length of what has not been read of the row (Cauchy and Schwarz). Where even that would not lift the
//! row over the bound, the rest of it is never read. The bound is the floor, or the similarity of the k-th best row so
//! far. Estimates come from the upper bytes and a query of 6 bits, with an allowance for all that is left out and for
//! rounding; the similarities of the few rows that are left come from whole numbers, without any.

use super::block::Block;
use super::kernel::{single, Alive, Group, Kernel, Pass};
use super::probe::Probe;
use super::shape::{Shape, LANES};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::Range;

/// More than all the rounding of an estimate can come to.
const ROUNDING: f32 = 4e-6;
/// Planes whose sums of products, of 16 with 8 bits, are sure to stay within 32 bits.
const SAFE_PLANES: usize = 32;

/// A row that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The slot of its entry.
    pub slot: u32,
    /// The stamp that came with it.
    pub stamp: u32,
    /// The cosine between the query and its vector.
    pub similarity: f32,
}

impl Eq for Hit {}

impl Ord for Hit {
    /// The better one is the greater one.
    fn cmp(&self, other: &Self) -> Ordering {
        self.similarity.total_cmp(&other.similarity).then(other.slot.cmp(&self.slot))
    }
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The best rows so far.
struct Best {
    k: usize,
    floor: f32,
    hits: BinaryHeap<Reverse<Hit>>,
}

impl Best {
    fn offer(&mut self, hit: Hit) {
        // Not a number is no floor that anything could reach.
        if hit.similarity >= self.floor {
            self.hits.push(Reverse(hit));
            if self.hits.len() > self.k {
                self.hits.pop();
            }
        }
    }

    /// What a row must reach to be of interest.
    fn bound(&self) -> f32 {
        match self.hits.peek() {
            Some(Reverse(worst)) if self.hits.len() == self.k => worst.similarity,
            _ => self.floor,
        }
    }

    fn sorted(self) -> Vec<Hit> {
        self.hits.into_sorted_vec().into_iter().map(|Reverse(hit)| hit).collect()
    }
}

struct Search<'a> {
    kernel: Kernel,
    shape: Shape,
    query: &'a Probe,
    best: Best,
    pace: Pace,
}

pub(super) fn best<'a>(
    shape: Shape,
    blocks: impl Iterator<Item = &'a Block>,
    query: &Probe,
    floor: f32,
    k: usize,
) -> Vec<Hit> {
    let best = Best { k, floor, hits: BinaryHeap::new() };
    let mut search = Search { kernel: Kernel::detect(), shape, query, best, pace: Pace::new(query, floor) };
    if k > 0 {
        let mut alive = Alive::new();
        let mut blocks = blocks.peekable();
        while let Some(block) = blocks.next() {
            if let Some(next) = blocks.peek() {
                next.fetch(search.pace.first);
            }
            search.block(block, &mut alive);
        }
    }
    search.best.sorted()
}

impl Search<'_> {
    fn block(&mut self, block: &Block, alive: &mut Alive) {
        if block.lanes() < LANES {
            (0..block.len()).for_each(|row| self.row(block, row));
            return;
        }
        let planes = self.shape.planes();
        let mut read = self.pace.first;
        self.read(block, 0..read, alive);
        self.pace.learn(block.len().div_ceil(LANES), alive.groups().len());
        let mut more = 2 * self.pace.step();
        while read < planes && !alive.groups().is_empty() {
            let to = (read + more).min(planes);
            self.read(block, read..to, alive);
            (read, more) = (to, 2 * more);
        }
        for &group in alive.groups() {
            self.group(block, group);
        }
    }

    /// Reads planes of the groups that are alive, or of all with the first one, and lets go of the groups that cannot
    /// reach the bound any more.
    fn read(&self, block: &Block, planes: Range<usize>, alive: &mut Alive) {
        let query = self.query;
        let bias = |planes: usize| query.biases.get(planes).copied().unwrap_or_default();
        let unread = block.longest_fine() + query.lost * (1.0 + block.longest_fine()) + ROUNDING;
        let pass = Pass {
            codes: block.coarse(planes.start, 0),
            pitch: block.pitch(),
            query: query.rough.get(planes.clone()).unwrap_or_default(),
            bias: bias(planes.start).wrapping_sub(bias(planes.end)),
            inverses: block.inverses(),
            tails: block.tails(planes.end),
            level: (self.best.bound() - unread) / query.scale,
            weight: query.tails.get(planes.end - 1).map_or(0.0, |tail| tail / query.scale / 255.0),
        };
        match planes.start {
            0 => self.kernel.start(&pass, block.len().div_ceil(LANES), alive),
            _ => self.kernel.resume(&pass, alive),
        }
    }

    /// Offers rows of a group with their similarities.
    fn group(&mut self, block: &Block, group: Group) {
        let (group, rows) = (usize::from(group.at), group.rows);
        let mut dots = [0i64; LANES];
        for (at, query) in self.query.exact.chunks(SAFE_PLANES).enumerate() {
            let mut add = |codes: &[u8], pitch: usize, unit: i32| {
                let part = self.kernel.exact(codes, pitch, query);
                dots.iter_mut().zip(part).for_each(|(dot, part)| *dot += i64::from(part) * i64::from(unit));
            };
            add(block.coarse(at * SAFE_PLANES, group), block.pitch(), self.shape.unit());
            add(block.fine(at * SAFE_PLANES, group), block.fine_pitch(), 1);
        }
        for (lane, dot) in dots.into_iter().enumerate().filter(|(lane, _)| rows >> lane & 1 == 1) {
            self.offer(block, group * LANES + lane, dot);
        }
    }

    /// Offers a row of a block that is too small for groups.
    fn row(&mut self, block: &Block, row: usize) {
        let dot = |codes: &[u8], pitch: usize| {
            let planes = codes.chunks(pitch).zip(&self.query.exact);
            planes.map(|(codes, query)| i64::from(single(codes, query))).sum::<i64>()
        };
        let coarse = dot(block.coarse(0, row), block.pitch()) * i64::from(self.shape.unit());
        let dot = coarse + dot(block.fine(0, row), block.fine_pitch());
        self.offer(block, row, dot);
    }

    fn offer(&mut self, block: &Block, row: usize, dot: i64) {
        if let Some(row) = block.rows().get(row) {
            let similarity = self.query.cosine(dot, row.square);
            self.best.offer(Hit { slot: row.owner.slot, stamp: row.owner.stamp, similarity });
        }
    }
}

/// How many planes a search reads first of all rows of a block. With too few, many groups have to be read on, here and
/// there; with too many, much is read for nothing. What is best depends on the model, the bound and the query, so it is
/// found on the way, from block to block.
struct Pace {
    first: usize,
    planes: usize,
    seen: usize,
    left: usize,
}

impl Pace {
    /// Groups on which a decision is based.
    const SAMPLE: usize = 32;
    /// One more plane is read where more than this part of the groups is left,
    const MANY: usize = 6;
    /// and one less where less than this one is. Both were found by measuring; the optimum is flat.
    const FEW: usize = 24;

    fn new(query: &Probe, floor: f32) -> Self {
        let planes = query.tails.len();
        // A guess: the energy of the rows is distributed as that of the query.
        let first = query.tails.iter().take_while(|&&tail| tail * tail > floor - 0.15).count() + 1;
        Self { first: first.min(planes), planes, seen: 0, left: 0 }
    }

    /// How many planes more make a difference.
    fn step(&self) -> usize {
        self.planes.div_ceil(16)
    }

    /// Learns that so many groups were left of those that were read.
    fn learn(&mut self, read: usize, left: usize) {
        self.seen += read;
        self.left += left;
        if self.seen < Self::SAMPLE {
            return;
        }
        if self.left * Self::MANY > self.seen {
            self.first = (self.first + self.step()).min(self.planes);
        } else if self.left * Self::FEW < self.seen {
            self.first = self.first.saturating_sub(self.step()).max(1);
        }
        (self.seen, self.left) = (0, 0);
    }
}

/// About how many microseconds a search takes. With a low floor, or with far more rows than the processor's own memory
/// holds, it is two or three times as many.
pub(super) fn cost(shape: Shape, rows: usize) -> u64 {
    (rows * shape.planes() / 5000) as u64
}
