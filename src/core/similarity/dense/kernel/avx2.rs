//! For processors with AVX2: 256 bits, and products of bytes.

use super::{Alive, Exact, Group, Pass, Rough, GROUP, LANES, QUAD, QUADS};
use core::arch::x86_64::{
    __m128i, __m256, __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_cmp_ps, _mm256_cvtepi32_ps,
    _mm256_cvtepu8_epi16, _mm256_cvtepu8_epi32, _mm256_hadd_epi32, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_movemask_ps, _mm256_mul_ps, _mm256_permute4x64_epi64, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setzero_si256, _mm256_sub_epi16, _mm256_sub_ps, _mm_cvtsi64_si128,
    _CMP_GE_OQ,
};
use fearless_simd::{f32x8, i32x8, kernel, prelude::*, u8x16, u8x32, Avx2};

/// A plane of the query, four dimensions in every 32 bits of each.
type Quads = [__m256i; QUADS];

kernel!(
    #[inline]
    fn quads(avx2: Avx2, query: &Rough) -> Quads {
        query.quads.map(|quad| _mm256_set1_epi32(i32::from_le_bytes(quad.map(|value| value as u8))))
    }
);

kernel!(
    /// Adds to the sums of a group what a plane makes of them.
    #[inline]
    fn add(avx2: Avx2, sums: __m256i, codes: &[u8; GROUP], query: Quads, times: __m256i) -> __m256i {
        let mut sums = sums;
        for (codes, quads) in codes.as_chunks::<{ 2 * QUAD * LANES }>().0.iter().zip(query.as_chunks::<2>().0) {
            let (front, back) = codes.split_at(QUAD * LANES);
            let [front, back] = [front, back].map(|codes| __m256i::from(u8x32::from_slice(avx2, codes)));
            // No four products together leave 16 bits, since the query has 6.
            let pairs = _mm256_add_epi16(_mm256_maddubs_epi16(front, quads[0]), _mm256_maddubs_epi16(back, quads[1]));
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, times));
        }
        sums
    }
);

kernel!(
    /// Which rows of a group could be near enough.
    #[inline]
    fn near(avx2: Avx2, pass: &Pass, sums: __m256i, inverses: &[f32; LANES], tails: &[u8; LANES]) -> u8 {
        let inverses: __m256 = f32x8::from_slice(avx2, inverses).into();
        let tails = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*tails))));
        let seen = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), inverses);
        let needed = _mm256_sub_ps(_mm256_set1_ps(pass.level), _mm256_mul_ps(tails, _mm256_set1_ps(pass.weight)));
        _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(seen, needed)) as u8
    }
);

kernel!(
    pub fn start(avx2: Avx2, pass: &Pass, groups: usize, alive: &mut Alive) {
        let Some(dots) = alive.dots.get_mut(..groups) else { return };
        dots.fill([pass.bias; LANES]);
        for (codes, query) in pass.codes.chunks(pass.pitch).zip(pass.query) {
            let (quads, times) = (quads(avx2, query), _mm256_set1_epi16(query.times));
            for (codes, dots) in codes.as_chunks().0.iter().zip(dots.iter_mut()) {
                let before: __m256i = i32x8::from_slice(avx2, dots).into();
                let after: i32x8<Avx2> = add(avx2, before, codes, quads, times).simd_into(avx2);
                *dots = after.into();
            }
        }
        alive.len = 0;
        for at in 0..groups {
            let Some(dots) = alive.dots.get(at) else { break };
            let (inverses, tails) = pass.facts(at);
            let rows = near(avx2, pass, i32x8::from_slice(avx2, dots).into(), inverses, tails);
            alive.keep(at as u8, rows);
        }
    }
);

kernel!(
    pub fn resume(avx2: Avx2, pass: &Pass, alive: &mut Alive) {
        let bias = _mm256_set1_epi32(pass.bias);
        for at in 0..std::mem::take(&mut alive.len) {
            let Some(&Group { at, .. }) = alive.groups.get(at) else { break };
            let group = usize::from(at);
            let Some(dots) = alive.dots.get_mut(group) else { break };
            let before: __m256i = i32x8::from_slice(avx2, dots).into();
            let mut sums = _mm256_add_epi32(before, bias);
            let mut from = group * GROUP;
            for query in pass.query {
                let Some(codes) = pass.codes.get(from..).and_then(|codes| codes.first_chunk()) else { break };
                sums = add(avx2, sums, codes, quads(avx2, query), _mm256_set1_epi16(query.times));
                from += pass.pitch;
            }
            let after: i32x8<Avx2> = sums.simd_into(avx2);
            *dots = after.into();
            let (inverses, tails) = pass.facts(group);
            alive.keep(at, near(avx2, pass, sums, inverses, tails));
        }
    }
);

kernel!(
    pub fn exact(avx2: Avx2, codes: &[u8], pitch: usize, query: &[Exact]) -> [i32; LANES] {
        let bias = _mm256_set1_epi16(128);
        let (mut front, mut back) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for (plane, query) in codes.chunks(pitch).zip(query) {
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
        let dots = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(front, back));
        let dots: i32x8<Avx2> = dots.simd_into(avx2);
        dots.into()
    }
);
