//! A vector in whole numbers.

use super::shape::{Shape, MAX_DIM, PLANE};

/// The largest code of a vector of one byte a dimension.
const COARSE: f64 = 127.0;
/// The largest value of a vector of two bytes a dimension, and of a query. A bit less than 16 bits hold, so that 31 is
/// what is left of it in 6 bits.
pub(super) const FINE: f64 = 31.0 * 1024.0;

/// Why a vector cannot be compared with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadVector {
    /// It has no direction: all its numbers are zero, or there are none.
    Zero,
    /// A number in it is infinite or none at all.
    NotFinite,
    /// It has more dimensions than [`MAX_DIM`], or bytes that are not of this shape.
    Size,
}

/// A vector as it is kept. Its length is lost, as cosines do not see it: the number farthest from zero becomes the
/// largest code.
///
/// One byte a dimension is enough for the built-in model, whose similarities were chosen with that in mind. The vectors
/// of clients get a second one, so that they see the cosines that they know. The search reads the first one only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes {
    /// A value, or the upper byte of one.
    pub(super) coarse: Box<[i8]>,
    /// What is to be added to 256 times the upper byte; empty without.
    pub(super) fine: Box<[i8]>,
}

/// The values of a vector, scaled so that the one farthest from zero becomes `largest`.
pub(super) fn scaled(values: &[f32], largest: f64) -> Result<impl Iterator<Item = i32> + '_, BadVector> {
    if values.len() > MAX_DIM {
        return Err(BadVector::Size);
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err(BadVector::NotFinite);
    }
    let farthest = values.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
    if farthest == 0.0 {
        return Err(BadVector::Zero);
    }
    let scale = largest / f64::from(farthest);
    // Half away from zero, as round() does, which is a call where the processor's own is not known to be there.
    let round = |value: f64| (value + 0.5f64.copysign(value)) as i32;
    Ok(values.iter().map(move |&value| round(f64::from(value) * scale)))
}

/// A value in its two bytes.
fn split(value: i32) -> (i8, i8) {
    let coarse = (value + 128) >> 8;
    (coarse as i8, (value - (coarse << 8)) as i8)
}

impl Codes {
    /// The codes of a vector, of two bytes a dimension or one.
    pub fn from_f32(values: &[f32], fine: bool) -> Result<Self, BadVector> {
        if fine {
            let (coarse, fine): (Vec<_>, Vec<_>) = scaled(values, FINE)?.map(split).unzip();
            Ok(Self { coarse: coarse.into(), fine: fine.into() })
        } else {
            let coarse = scaled(values, COARSE)?.map(|value| value as i8).collect();
            Ok(Self { coarse, fine: Box::default() })
        }
    }

    /// Dimensions, and whether there are two bytes for each.
    pub fn shape(&self) -> Shape {
        Shape { dim: self.coarse.len(), fine: !self.fine.is_empty() }
    }

    /// For a file or a replica: the upper bytes, then the lower ones.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.coarse.iter().chain(&self.fine).map(|&code| code as u8).collect()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote of a vector of this shape.
    pub fn from_bytes(bytes: &[u8], shape: Shape) -> Result<Self, BadVector> {
        let bytes_a_dimension = if shape.fine { 2 } else { 1 };
        if shape.dim > MAX_DIM || bytes.len() != shape.dim * bytes_a_dimension {
            return Err(BadVector::Size);
        }
        let (coarse, fine) = bytes.split_at_checked(shape.dim).ok_or(BadVector::Size)?;
        let codes = |bytes: &[u8]| bytes.iter().map(|&byte| byte as i8).collect();
        let codes = Self { coarse: codes(coarse), fine: codes(fine) };
        if codes.square() == 0 {
            return Err(BadVector::Zero);
        }
        Ok(codes)
    }

    /// The values.
    pub fn values(&self) -> impl Iterator<Item = i32> + '_ {
        let unit = self.shape().unit();
        let fine = self.fine.iter().copied().chain(std::iter::repeat(0));
        self.coarse.iter().zip(fine).map(move |(&coarse, fine)| i32::from(coarse) * unit + i32::from(fine))
    }

    /// The sum of the squares of the values.
    pub(super) fn square(&self) -> u64 {
        self.squares().sum()
    }

    /// The same for each plane.
    pub(super) fn squares(&self) -> impl Iterator<Item = u64> + '_ {
        let mut fine = self.fine.chunks(PLANE);
        self.coarse.chunks(PLANE).map(move |coarse| match fine.next() {
            Some(fine) => {
                let value = |(&coarse, &fine): (&i8, &i8)| i32::from(coarse) * 256 + i32::from(fine);
                sum_of_squares(coarse.iter().zip(fine).map(value))
            }
            None => sum_of_squares(coarse.iter().map(|&coarse| coarse.into())),
        })
    }

    /// The sum of the squares of the lower bytes.
    pub(super) fn square_of_fine(&self) -> u64 {
        sum_of_squares(self.fine.iter().map(|&fine| fine.into()))
    }
}

/// Of values of about 16 bits.
pub(super) fn sum_of_squares(values: impl Iterator<Item = i32>) -> u64 {
    values.map(|value| u64::from((value * value).unsigned_abs())).sum()
}
