//! For every processor. The compiler makes vectors of these loops, as far as it can.

use super::{signed, Alive, Exact, Group, Pass, GROUP, LANES, QUAD, QUADS};

/// A quad for each row of a group.
type Wide<T> = [T; QUAD * LANES];

/// The same quad for every row.
fn wide<T: Copy>(quad: [T; QUAD]) -> Wide<T> {
    std::array::from_fn(|at| quad[at % QUAD])
}

/// Adds to the sums of a group what a plane makes of them.
#[inline(always)]
fn add(dots: &mut [i32; LANES], codes: &[u8; GROUP], query: &[Wide<i16>; QUADS], times: i16) {
    // No four products together leave 16 bits, since the query has 6. The dimensions of a quad are kept apart until the
    // end, so that whole vectors are added.
    let mut sums = wide([0i16; QUAD]);
    for (codes, quad) in codes.as_chunks::<{ QUAD * LANES }>().0.iter().zip(query) {
        for ((sum, &code), &value) in sums.iter_mut().zip(codes).zip(quad) {
            *sum += i16::from(code) * value;
        }
    }
    gather(dots, &sums, times);
}

/// Adds up the dimensions of each quad. Not inlined, as the compiler would shuffle the codes to make this part easy.
#[inline(never)]
fn gather(dots: &mut [i32; LANES], sums: &Wide<i16>, times: i16) {
    for (dot, sums) in dots.iter_mut().zip(sums.as_chunks::<QUAD>().0) {
        let sum: i32 = sums.iter().map(|&sum| i32::from(sum)).sum();
        *dot = dot.wrapping_add(sum * i32::from(times));
    }
}

/// Which rows of a group could be near enough.
fn near(pass: &Pass, group: usize, dots: &[i32; LANES]) -> u8 {
    let (inverses, tails) = pass.facts(group);
    (0..LANES).fold(0, |rows, row| {
        let needed = pass.level - f32::from(tails[row]) * pass.weight;
        rows | u8::from(dots[row] as f32 * inverses[row] >= needed) << row
    })
}

pub fn start(pass: &Pass, groups: usize, alive: &mut Alive) {
    let Some(dots) = alive.dots.get_mut(..groups) else { return };
    dots.fill([pass.bias; LANES]);
    for (codes, query) in pass.codes.chunks(pass.pitch).zip(pass.query) {
        let wide = query.quads.map(|quad| wide(quad.map(i16::from)));
        for (codes, dots) in codes.as_chunks().0.iter().zip(dots.iter_mut()) {
            add(dots, codes, &wide, query.times);
        }
    }
    alive.len = 0;
    for group in 0..groups {
        let Some(dots) = alive.dots.get(group) else { break };
        alive.keep(group as u8, near(pass, group, dots));
    }
}

pub fn resume(pass: &Pass, alive: &mut Alive) {
    for at in 0..std::mem::take(&mut alive.len) {
        let Some(&Group { at, .. }) = alive.groups.get(at) else { break };
        let group = usize::from(at);
        let Some(dots) = alive.dots.get_mut(group) else { break };
        dots.iter_mut().for_each(|dot| *dot = dot.wrapping_add(pass.bias));
        let codes = pass.codes.get(group * GROUP..).unwrap_or_default();
        for (codes, query) in codes.chunks(pass.pitch).zip(pass.query) {
            let Some(codes) = codes.first_chunk() else { break };
            add(dots, codes, &query.quads.map(|quad| wide(quad.map(i16::from))), query.times);
        }
        let rows = near(pass, group, dots);
        alive.keep(at, rows);
    }
}

pub fn exact(codes: &[u8], pitch: usize, query: &[Exact]) -> [i32; LANES] {
    let mut sums = wide([0; QUAD]);
    for (plane, query) in codes.chunks(pitch).zip(query) {
        for (codes, &quad) in plane.as_chunks::<{ QUAD * LANES }>().0.iter().zip(query) {
            let quad = wide(quad.map(i32::from));
            for ((sum, &code), &value) in sums.iter_mut().zip(codes).zip(&quad) {
                *sum += signed(code) * value;
            }
        }
    }
    std::array::from_fn(|row| sums[QUAD * row..QUAD * (row + 1)].iter().sum())
}
