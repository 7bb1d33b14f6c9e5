//! The loops where the time goes, for every processor and for those with AVX2.
//!
//! Which ones run is decided when the program runs. `fearless_simd` holds the proof that a processor has the
//! instructions, so there is no `unsafe` here; where nothing is proved, the compiler makes what it can of plain loops.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod plain;

use super::probe::{Exact, Rough};
use super::shape::{LANES, MAX_ROWS, PLANE, QUAD, QUADS};
use fearless_simd::Level;

/// Bytes of a plane of a group.
const GROUP: usize = PLANE * LANES;
/// The most groups of a block.
const GROUPS: usize = MAX_ROWS / LANES;

/// What the processor can do. Without AVX2 a search takes about six times as long.
#[derive(Clone, Copy)]
pub(super) struct Kernel(Level);

/// The rough sums of the rows of a block, and the groups in which rows are left that could be near enough.
pub(super) struct Alive {
    dots: [[i32; LANES]; GROUPS],
    groups: [Group; GROUPS],
    len: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    /// Its number in the block.
    pub at: u8,
    /// A bit for each row that could be near enough, the lowest for the first one.
    pub rows: u8,
}

impl Alive {
    pub fn new() -> Self {
        Self { dots: Default::default(), groups: Default::default(), len: 0 }
    }

    pub fn groups(&self) -> &[Group] {
        self.groups.get(..self.len).unwrap_or_default()
    }

    /// Keeps a group if rows of it are near enough.
    #[inline(always)]
    fn keep(&mut self, at: u8, rows: u8) {
        if let Some(group) = self.groups.get_mut(self.len) {
            *group = Group { at, rows };
            self.len += usize::from(rows != 0);
        }
    }
}

/// Planes to be read of the rows of a block.
pub(super) struct Pass<'a> {
    /// The codes of one plane, and so on every `pitch` bytes.
    pub codes: &'a [u8],
    pub pitch: usize,
    /// As many planes of the query.
    pub query: &'a [Rough],
    /// What is to be added to each sum, as codes are stored with 128 more. Sums may go round: they are right in the end.
    pub bias: i32,
    /// What one of a row's sum counts.
    pub inverses: &'a [f32],
    /// How much of each row is unread behind these planes.
    pub tails: &'a [u8],
    /// A row could be near enough where `sum × inverse >= level - tail × weight`.
    pub level: f32,
    pub weight: f32,
}

impl Pass<'_> {
    /// What is known of the rows of a group, besides their sums.
    #[inline(always)]
    fn facts(&self, group: usize) -> (&[f32; LANES], &[u8; LANES]) {
        let inverses = self.inverses.as_chunks().0.get(group).unwrap_or(&[0.0; LANES]);
        (inverses, self.tails.as_chunks().0.get(group).unwrap_or(&[0; LANES]))
    }
}

impl Kernel {
    pub fn detect() -> Self {
        Self(Level::new())
    }

    /// Without what only some processors have.
    #[cfg(test)]
    fn plain() -> Self {
        Self(Level::baseline())
    }

    /// Reads the first planes of all rows of so many groups. Left alive are the groups in which rows could be near enough.
    pub fn start(self, pass: &Pass, groups: usize, alive: &mut Alive) {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = self.0.as_avx2() {
            return avx2::start(avx2, pass, groups, alive);
        }
        plain::start(pass, groups, alive);
    }

    /// Reads more planes of the groups that are alive.
    pub fn resume(self, pass: &Pass, alive: &mut Alive) {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = self.0.as_avx2() {
            return avx2::resume(avx2, pass, alive);
        }
        plain::resume(pass, alive);
    }

    /// The sums of the rows of a group with the exact query. They must not go round.
    pub fn exact(self, codes: &[u8], pitch: usize, query: &[Exact]) -> [i32; LANES] {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = self.0.as_avx2() {
            return avx2::exact(avx2, codes, pitch, query);
        }
        plain::exact(codes, pitch, query)
    }
}

/// The dot of a plane of a single row.
pub(super) fn single(codes: &[u8], query: &Exact) -> i32 {
    codes.iter().zip(query.as_flattened()).map(|(&code, &value)| signed(code) * i32::from(value)).sum()
}

/// A code as the number that it stands for.
fn signed(code: u8) -> i32 {
    i32::from(code) - 128
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes without an order.
    fn bytes(seed: u64, len: usize) -> Vec<u8> {
        let mut x = seed;
        let next = |x: &mut u64| {
            *x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*x >> 56) as u8
        };
        (0..len).map(|_| next(&mut x)).collect()
    }

    /// What one processor makes of rows, another does as well, also with the largest numbers.
    #[test]
    fn all_kernels_are_alike() {
        for seed in 0..200 {
            let (groups, planes) = (1 + seed as usize % GROUPS, 1 + seed as usize % 7);
            let pitch = groups * GROUP + 24;
            let extreme = |byte: u8| if byte > 127 { 255 } else { 0 };
            let shape = |bytes: Vec<u8>| if seed % 5 == 0 { bytes.into_iter().map(extreme).collect() } else { bytes };
            let codes = shape(bytes(seed, pitch * planes));
            let values = shape(bytes(seed + 1000, 2 * PLANE * planes));
            let value = |at: usize| i16::from_le_bytes([values[2 * at], values[2 * at + 1]]).clamp(-31744, 31744);
            let exact: Vec<Exact> = (0..planes)
                .map(|plane| std::array::from_fn(|q| std::array::from_fn(|at| value(plane * PLANE + q * QUAD + at))))
                .collect();
            let quads = |plane: &Exact| plane.map(|quad| quad.map(|value| (value >> 10) as i8));
            let times = |plane: usize| 1 << ((plane * 3 + seed as usize) % 11);
            let query: Vec<_> =
                exact.iter().enumerate().map(|(at, plane)| Rough { quads: quads(plane), times: times(at) }).collect();
            let tails = bytes(seed + 2000, groups * LANES);
            let inverses: Vec<_> = tails.iter().map(|&tail| 1.0 / (f32::from(tail) + 1.0)).collect();
            let pass = Pass {
                codes: &codes,
                pitch,
                query: &query,
                bias: -(seed as i32 * 1000),
                inverses: &inverses,
                tails: &tails,
                level: (seed as f32 - 100.0) * 1000.0,
                weight: 300.0,
            };
            let run = |kernel: Kernel| {
                let mut alive = Alive::new();
                let mut seen = Vec::new();
                kernel.start(&pass, groups, &mut alive);
                for _ in 0..2 {
                    let groups = alive.groups().iter().map(|group| (group.at, group.rows));
                    seen.extend(groups.map(|(at, rows)| (at, rows, alive.dots[usize::from(at)])));
                    kernel.resume(&pass, &mut alive);
                }
                (seen, kernel.exact(&codes, pitch, &exact))
            };
            assert_eq!(run(Kernel::detect()), run(Kernel::plain()), "{seed}");
        }
    }
}
