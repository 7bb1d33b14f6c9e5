//! Exact search that reads little.
//!
//! After some planes, the part of the dot product that is still missing is at most the product of the lengths of what
//! has not been read of the query and of the row (Cauchy and Schwarz). Where even that would not lift a row over the
//! bound, the rest of it is never read. The bound is the floor, or the similarity of the k-th best row so far. Estimates
//! are in floating point with some allowance for their rounding; similarities are from whole numbers, without any.

use super::block::Block;
use super::kernel::{single, Alive, Cut, Group, Kernel};
use super::probe::Probe;
use super::shape::{Shape, LANES};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

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
        blocks.for_each(|block| search.block(block, &mut alive));
    }
    search.best.sorted()
}

impl Search<'_> {
    fn block(&mut self, block: &Block, alive: &mut Alive) {
        if block.lanes() < LANES {
            (0..block.len()).for_each(|row| self.row(block, row));
            return;
        }
        let groups = block.len().div_ceil(LANES);
        let mut stop = self.pace.first;
        let mut read = self.read(block, 0, stop, alive);
        self.pace.seen(groups, alive.groups().len(), self.shape.stops());
        for step in [2, 4, 8] {
            if alive.groups().is_empty() {
                return;
            }
            stop += step;
            read = self.read(block, read, stop, alive);
        }
        for &group in alive.groups() {
            self.group(block, group);
        }
    }

    /// Reads planes of the groups that are alive up to a stop, the first of which is number 0, or to the end. Lets go of
    /// those that cannot reach the bound any more.
    fn read(&self, block: &Block, from: usize, stop: usize, alive: &mut Alive) -> usize {
        let query = self.query;
        let to = ((stop + 1) * self.shape.stride()).min(self.shape.planes());
        let part = query.rough.get(from..to).unwrap_or_default();
        let bias = |planes: usize| query.biases.get(planes).copied().unwrap_or_default();
        let bias = bias(from).wrapping_sub(bias(to));
        if from == 0 {
            let groups = block.len().div_ceil(LANES);
            alive.reset(groups, bias);
            let dots = alive.dots.get_mut(..groups * LANES).unwrap_or_default();
            self.kernel.rough(block.coarse_from(0, 0), block.stride(), part, dots);
        } else {
            for at in 0..alive.groups().len() {
                let Some(&Group { at, .. }) = alive.groups().get(at) else { break };
                let Some(dots) = alive.dots.as_chunks_mut::<LANES>().0.get_mut(usize::from(at)) else { break };
                dots.iter_mut().for_each(|dot| *dot = dot.wrapping_add(bias));
                self.kernel.rough(block.coarse_from(from, usize::from(at)), block.stride(), part, dots);
            }
        }
        let unread = block.fine() + query.lost * (1.0 + block.fine()) + ROUNDING;
        let cut = Cut {
            inverses: block.inverses(),
            tails: block.tails(stop),
            level: (self.best.bound() - unread) / query.scale,
            weight: query.tails.get(stop).map_or(0.0, |tail| tail / query.scale / 255.0),
        };
        self.kernel.keep(&cut, alive);
        to
    }

    /// Offers rows of a group with their similarities.
    fn group(&mut self, block: &Block, group: Group) {
        let (group, rows) = (usize::from(group.at), group.rows);
        let mut dots = [0i64; LANES];
        for (at, query) in self.query.exact.chunks(SAFE_PLANES).enumerate() {
            let mut add = |codes: &[u8], unit: i32| {
                let part = self.kernel.exact(codes, block.stride(), query);
                dots.iter_mut().zip(part).for_each(|(dot, part)| *dot += i64::from(part) * i64::from(unit));
            };
            add(block.coarse_from(at * SAFE_PLANES, group), self.shape.unit());
            add(block.fine_from(at * SAFE_PLANES, group), 1);
        }
        for (lane, dot) in dots.into_iter().enumerate().filter(|(lane, _)| rows >> lane & 1 == 1) {
            self.offer(block, group * LANES + lane, dot);
        }
    }

    /// Offers a row of a block that is too small for groups.
    fn row(&mut self, block: &Block, row: usize) {
        let dot = |codes: &[u8]| {
            let planes = codes.chunks(block.stride()).zip(&self.query.exact);
            planes.map(|(codes, query)| i64::from(single(codes, query))).sum::<i64>()
        };
        let dot = dot(block.coarse_from(0, row)) * i64::from(self.shape.unit()) + dot(block.fine_from(0, row));
        self.offer(block, row, dot);
    }

    fn offer(&mut self, block: &Block, row: usize, dot: i64) {
        if let Some(row) = block.rows().get(row) {
            let similarity = self.query.cosine(dot, row.square);
            self.best.offer(Hit { slot: row.owner.slot, stamp: row.owner.stamp, similarity });
        }
    }
}

/// Where a search looks first whether it can stop. Too early, and many groups have to be read on, here and there; too
/// late, and much was read for nothing. What is best depends on the model, the bound and the query, so it is found on
/// the way, from block to block.
struct Pace {
    first: usize,
    seen: usize,
    left: usize,
}

impl Pace {
    /// Groups on which a decision is based.
    const SAMPLE: usize = 32;

    /// A guess: the query is like the rows.
    fn new(query: &Probe, floor: f32) -> Self {
        let first = query.tails.iter().take_while(|&&tail| tail * tail > floor - 0.15).count();
        Self { first, seen: 0, left: 0 }
    }

    /// Learns that so many groups were left of those that were seen.
    fn seen(&mut self, groups: usize, left: usize, stops: usize) {
        self.seen += groups;
        self.left += left;
        if self.seen < Self::SAMPLE {
            return;
        }
        if self.left * 4 > self.seen {
            self.first = (self.first + 1).min(stops);
        } else if self.left * 12 < self.seen {
            self.first = self.first.saturating_sub(1);
        }
        (self.seen, self.left) = (0, 0);
    }
}

/// About how many microseconds a search takes: a half of all upper bytes, at 16 in a nanosecond.
pub(super) fn cost(shape: Shape, rows: usize) -> u64 {
    (rows * shape.planes() / 2 / 1000) as u64
}
