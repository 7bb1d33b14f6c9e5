//! What is searched for.

use super::codes::{scaled, sum_of_squares, BadVector, Codes, FINE};
use super::shape::{PLANE, QUAD, QUADS};

/// The largest rough value: four products of it with codes of 8 bits fit into 16 together.
const ROUGH: i32 = 31;

/// A plane of the values of a query.
pub(super) type Exact = [[i16; QUAD]; QUADS];

/// A plane of a query in 6 bits: each value is about that many times this, and a power of two that is common to all
/// planes. With a factor for each plane the error is small also where a few dimensions are much larger than the others.
#[derive(Clone, Debug)]
pub(super) struct Rough {
    pub quads: [[i8; QUAD]; QUADS],
    pub times: i16,
}

/// A query. Similarities are from its values of 16 bits, estimates from rough ones.
#[derive(Clone, Debug)]
pub struct Probe {
    dim: usize,
    /// The values.
    pub(super) exact: Vec<Exact>,
    pub(super) rough: Vec<Rough>,
    /// What the rough sums of the first planes come to too much, as codes are stored with 128 added: for none of them,
    /// for one and so on.
    pub(super) biases: Vec<i32>,
    /// The sum of the squares of the values.
    square: u64,
    /// What a rough value of one counts, in lengths of the query.
    pub(super) scale: f32,
    /// The length of the difference between the rough and the exact values, in lengths of the query.
    pub(super) lost: f32,
    /// The length of what comes behind each plane, in lengths of the query.
    pub(super) tails: Vec<f32>,
}

impl Probe {
    /// A query in the direction of `values`.
    pub fn from_f32(values: &[f32]) -> Result<Self, BadVector> {
        let values: Vec<_> = scaled(values, FINE)?.collect();
        let exact: Vec<_> = values.chunks(PLANE).map(plane).collect();
        let squares: Vec<_> = exact.iter().map(|plane| sum_of_squares(plane.iter().copied())).collect();
        let square = squares.iter().sum();
        let length = (square as f64).sqrt();
        let mut left = square;
        let tails = squares.iter().map(|passed| {
            left -= passed;
            ((left as f64).sqrt() / length) as f32
        });
        let common = common_shift(&values);
        let rough: Vec<_> = exact.iter().map(|plane| Rough::new(plane, common)).collect();
        let lost: u64 = exact.iter().zip(&rough).map(|(plane, rough)| rough.lost(plane, common)).sum();
        Ok(Self {
            dim: values.len(),
            tails: tails.collect(),
            exact: exact.iter().map(|plane| quads(plane, |value| value as i16)).collect(),
            biases: [0].into_iter().chain(rough.iter().scan(0i32, Rough::bias)).collect(),
            rough,
            square,
            scale: (f64::from(1 << common) / length) as f32,
            lost: ((lost as f64).sqrt() / length) as f32,
        })
    }

    /// Dimensions.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The cosine between the query and a vector: 1 for the same values in two bytes. None where they have not the same
    /// dimensions.
    pub fn similarity(&self, codes: &Codes) -> Option<f32> {
        let own = self.exact.iter().flat_map(|plane| plane.as_flattened());
        let dot = own.zip(codes.values()).map(|(&own, other)| i64::from(own) * i64::from(other)).sum();
        (self.dim == codes.shape().dim).then(|| self.cosine(dot, codes.square()))
    }

    /// The definition of similarity, from a sum of products and the vector's sum of squares, both without any error.
    pub(super) fn cosine(&self, dot: i64, square: u64) -> f32 {
        (dot as f64 / (self.square as f64 * square as f64).sqrt()) as f32
    }
}

impl Rough {
    fn new(values: &[i32; PLANE], common: u32) -> Self {
        let largest = values.iter().fold(0, |most, value| value.abs().max(most));
        // Ten are enough for the largest value.
        let shift = (0..10).find(|shift| rounded(largest, common + shift) <= ROUGH).unwrap_or(10);
        Self { quads: quads(values, |value| rounded(value, common + shift) as i8), times: 1 << shift }
    }

    fn values(&self) -> impl Iterator<Item = i32> + '_ {
        self.quads.as_flattened().iter().map(|&value| i32::from(value) * i32::from(self.times))
    }

    /// The square of what is lost of the values.
    fn lost(&self, values: &[i32; PLANE], common: u32) -> u64 {
        sum_of_squares(values.iter().zip(self.values()).map(|(value, rough)| value - (rough << common)))
    }

    /// Adds what the sums of this plane come to too much.
    fn bias(total: &mut i32, plane: &Self) -> Option<i32> {
        *total = total.wrapping_add(plane.values().sum::<i32>() * 128);
        Some(*total)
    }
}

/// How many bits have to go from all values, so that no sum of products with codes leaves 32 bits.
fn common_shift(values: &[i32]) -> u32 {
    // Rounding makes a value twice as large at most.
    let most = values.iter().map(|value| u64::from(value.unsigned_abs())).sum::<u64>() * 2 * 128;
    (0..16).find(|shift| most >> shift <= i32::MAX as u64).unwrap_or(16)
}

/// A value with `shift` bits less.
fn rounded(value: i32, shift: u32) -> i32 {
    (value + (1 << shift >> 1)) >> shift
}

/// A plane of values, filled up with zeros.
fn plane(values: &[i32]) -> [i32; PLANE] {
    std::array::from_fn(|at| values.get(at).copied().unwrap_or_default())
}

fn quads<T>(plane: &[i32; PLANE], each: impl Fn(i32) -> T) -> [[T; QUAD]; QUADS] {
    std::array::from_fn(|quad| std::array::from_fn(|at| each(plane[quad * QUAD + at])))
}
