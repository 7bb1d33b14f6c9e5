//! The loops where the time goes, for every processor and for those with AVX2.
//!
//! Which ones run is decided when the program runs. `fearless_simd` holds the proof that a processor has the
//! instructions, so there is no `unsafe` here; where nothing is proved, the compiler makes what it can of plain loops.

use super::probe::{Exact, Rough};
use super::shape::{LANES, MAX_ROWS, PLANE, QUAD};
use fearless_simd::Level;

/// Bytes of a plane of a group.
const GROUP: usize = PLANE * LANES;

/// What the processor can do.
#[derive(Clone, Copy)]
pub(super) struct Kernel(Level);

/// The rough sums of the rows of a block, and the groups in which rows are left that could be near enough.
pub(super) struct Alive {
    pub dots: [i32; MAX_ROWS],
    len: usize,
    groups: [Group; MAX_ROWS / LANES],
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
        Self { dots: [0; MAX_ROWS], len: 0, groups: Default::default() }
    }

    /// Starts with all of `len` groups, and these sums for all rows.
    pub fn reset(&mut self, len: usize, dot: i32) {
        self.len = len.min(self.groups.len());
        self.groups = std::array::from_fn(|at| Group { at: at as u8, rows: u8::MAX });
        self.dots.fill(dot);
    }

    pub fn groups(&self) -> &[Group] {
        self.groups.get(..self.len).unwrap_or_default()
    }

    /// Keeps the groups in which `near` finds rows that are near enough.
    #[inline(always)]
    fn keep(&mut self, near: impl Fn(usize, &[i32; LANES]) -> u8) {
        let mut kept = 0;
        for at in 0..self.len {
            let Some(&Group { at, .. }) = self.groups.get(at) else { break };
            let Some(dots) = self.dots.as_chunks().0.get(usize::from(at)) else { break };
            let rows = near(usize::from(at), dots);
            if let Some(group) = self.groups.get_mut(kept) {
                *group = Group { at, rows };
            }
            kept += usize::from(rows != 0);
        }
        self.len = kept;
    }
}

/// What decides whether a row could be near enough: `dot × inverse >= level - tail × weight`.
pub(super) struct Cut<'a> {
    /// What one of a row's sum counts.
    pub inverses: &'a [f32],
    /// How much of each row has not been read yet; empty for nothing.
    pub tails: &'a [u8],
    pub level: f32,
    pub weight: f32,
}

/// The numbers of a group.
#[inline(always)]
fn lanes<T: Copy + Default>(of: &[T], group: usize) -> [T; LANES] {
    of.as_chunks().0.get(group).copied().unwrap_or_default()
}

impl Kernel {
    pub fn detect() -> Self {
        Self(Level::new())
    }

    /// Adds to each row's sum what some planes make of it. The codes are those of one plane of whole groups, and so on
    /// every `stride` bytes. Sums may go round, as they are right in the end.
    pub fn rough(self, codes: &[u8], stride: usize, query: &[Rough], dots: &mut [i32]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = self.0.as_avx2() {
            return avx2::rough(avx2, codes, stride, query, dots);
        }
        plain::rough(codes, stride, query, dots);
    }

    /// Lets go of the groups in which no row can be near enough.
    pub fn keep(self, cut: &Cut, alive: &mut Alive) {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = self.0.as_avx2() {
            return avx2::keep(avx2, cut, alive);
        }
        plain::keep(cut, alive);
    }

    /// The sums of the rows of a group with the exact query. They must not go round.
    pub fn exact(self, codes: &[u8], stride: usize, query: &[Exact]) -> [i32; LANES] {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = self.0.as_avx2() {
            return avx2::exact(avx2, codes, stride, query);
        }
        plain::exact(codes, stride, query)
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

mod plain {
    use super::{lanes, signed, Alive, Cut, Exact, Rough, GROUP, LANES, QUAD};

    pub fn rough(codes: &[u8], stride: usize, query: &[Rough], dots: &mut [i32]) {
        for (plane, query) in codes.chunks(stride).zip(query) {
            let quads = query.quads.map(|quad| quad.map(i32::from));
            for (group, dots) in plane.as_chunks::<GROUP>().0.iter().zip(dots.as_chunks_mut::<LANES>().0) {
                let sums = sums(group, quads, i32::from);
                dots.iter_mut().zip(sums).for_each(|(dot, sum)| *dot = dot.wrapping_add(sum * i32::from(query.times)));
            }
        }
    }

    pub fn keep(cut: &Cut, alive: &mut Alive) {
        alive.keep(|group, dots| {
            let (inverses, tails) = (lanes(cut.inverses, group), lanes(cut.tails, group));
            (0..LANES).fold(0, |rows, row| {
                let needed = cut.level - f32::from(tails[row]) * cut.weight;
                rows | u8::from(dots[row] as f32 * inverses[row] >= needed) << row
            })
        });
    }

    pub fn exact(codes: &[u8], stride: usize, query: &[Exact]) -> [i32; LANES] {
        let mut dots = [0; LANES];
        for (plane, query) in codes.chunks(stride).zip(query) {
            if let Some(group) = plane.first_chunk::<GROUP>() {
                let sums = sums(group, query.map(|quad| quad.map(i32::from)), signed);
                dots.iter_mut().zip(sums).for_each(|(dot, sum)| *dot += sum);
            }
        }
        dots
    }

    /// The sums of a plane of a group. The dimensions of a quad are kept apart until the end, so that whole vectors are
    /// added.
    #[inline(always)]
    fn sums<const N: usize>(group: &[u8; GROUP], query: [[i32; QUAD]; N], read: impl Fn(u8) -> i32) -> [i32; LANES] {
        let mut sums = [0; QUAD * LANES];
        for (codes, quad) in group.as_chunks::<{ QUAD * LANES }>().0.iter().zip(query) {
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum += read(codes[at]) * quad[at % QUAD];
            }
        }
        std::array::from_fn(|row| sums[QUAD * row..QUAD * (row + 1)].iter().sum())
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{lanes, Alive, Cut, Exact, Rough, GROUP, LANES, QUAD};
    use core::arch::x86_64::{
        __m128i, __m256, __m256i, _mm256_add_epi32, _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi16,
        _mm256_cvtepu8_epi32, _mm256_hadd_epi32, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_movemask_ps,
        _mm256_mul_ps, _mm256_permute4x64_epi64, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_epi64x,
        _mm256_set1_ps, _mm256_setzero_si256, _mm256_sll_epi32, _mm256_sub_epi16, _mm256_sub_ps, _mm_cvtsi32_si128,
        _mm_cvtsi64_si128, _CMP_GE_OQ,
    };
    use fearless_simd::{f32x8, i32x8, kernel, prelude::*, u8x16, u8x32};

    kernel!(
        pub fn rough(avx2: Avx2, codes: &[u8], stride: usize, query: &[Rough], dots: &mut [i32]) {
            for (codes, query) in codes.chunks(2 * stride).zip(query.chunks(2)) {
                // Two planes at a time, so that sums are loaded and stored less often.
                let (first, second) = codes.split_at(stride.min(codes.len()));
                let [first, second] = [first, second].map(|plane| plane.as_chunks::<GROUP>().0);
                let broadcast = |query: &Rough| {
                    let quads =
                        query.quads.map(|quad| _mm256_set1_epi32(i32::from_le_bytes(quad.map(|value| value as u8))));
                    (quads, _mm256_set1_epi16(query.times))
                };
                let add = |mut sums: __m256i, codes: &[u8; GROUP], (quads, times): ([__m256i; 4], __m256i)| {
                    for (codes, quad) in codes.as_chunks::<{ QUAD * LANES }>().0.iter().zip(quads) {
                        let codes: __m256i = u8x32::from_slice(avx2, codes).into();
                        // No two products together leave 16 bits, since the query has 7.
                        let pairs = _mm256_maddubs_epi16(codes, quad);
                        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, times));
                    }
                    sums
                };
                let dots = dots.as_chunks_mut::<LANES>().0;
                match query {
                    [one, two] => {
                        let (one, two) = (broadcast(one), broadcast(two));
                        for ((first, second), dots) in first.iter().zip(second).zip(dots) {
                            let sums: __m256i = i32x8::from_slice(avx2, dots).into();
                            let sums: i32x8<_> = add(add(sums, first, one), second, two).simd_into(avx2);
                            *dots = sums.into();
                        }
                    }
                    [one, ..] => {
                        let one = broadcast(one);
                        for (first, dots) in first.iter().zip(dots) {
                            let sums: __m256i = i32x8::from_slice(avx2, dots).into();
                            let sums: i32x8<_> = add(sums, first, one).simd_into(avx2);
                            *dots = sums.into();
                        }
                    }
                    [] => {}
                }
            }
        }
    );

    kernel!(
        pub fn keep(avx2: Avx2, cut: &Cut, alive: &mut Alive) {
            let (level, weight) = (_mm256_set1_ps(cut.level), _mm256_set1_ps(cut.weight));
            alive.keep(|group, dots| {
                let sums: __m256i = i32x8::from_slice(avx2, dots).into();
                let inverses: __m256 = f32x8::from_slice(avx2, &lanes(cut.inverses, group)).into();
                let tails = _mm_cvtsi64_si128(i64::from_le_bytes(lanes(cut.tails, group)));
                let tails = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(tails));
                let seen = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), inverses);
                let needed = _mm256_sub_ps(level, _mm256_mul_ps(tails, weight));
                _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(seen, needed)) as u8
            });
        }
    );

    kernel!(
        pub fn exact(avx2: Avx2, codes: &[u8], stride: usize, query: &[Exact]) -> [i32; LANES] {
            let bias = _mm256_set1_epi16(128);
            let (mut front, mut back) = (_mm256_setzero_si256(), _mm256_setzero_si256());
            for (plane, query) in codes.chunks(stride).zip(query) {
                for (codes, quad) in plane.as_chunks::<{ QUAD * LANES }>().0.iter().zip(query) {
                    let [a, b, c, d] = quad.map(|value| u64::from(value as u16));
                    let quad = _mm256_set1_epi64x((a | b << 16 | c << 32 | d << 48) as i64);
                    for (codes, sums) in codes.as_chunks::<16>().0.iter().zip([&mut front, &mut back]) {
                        let codes: __m128i = u8x16::from_slice(avx2, codes).into();
                        let codes = _mm256_sub_epi16(_mm256_cvtepu8_epi16(codes), bias);
                        *sums = _mm256_add_epi32(*sums, _mm256_madd_epi16(codes, quad));
                    }
                }
            }
            // Rows 0 1 4 5 2 3 6 7, brought into their order.
            let dots: i32x8<_> =
                _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(front, back)).simd_into(avx2);
            dots.into()
        }
    );
}
