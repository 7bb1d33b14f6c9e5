//! Money: whole micro-dollars, so that sums are exact and the same on every machine.

use std::fmt;

/// An amount in millionths of a US dollar. Amounts stop at the largest rather than wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MicroUsd(u64);

const MICROS: u64 = 1_000_000;

/// Decimal places that are kept.
const PLACES: i64 = 6;

impl MicroUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The most there is: 18,446,744,073,709.551615 dollars.
    pub const MAX: Self = Self(u64::MAX);

    /// So many millionths of a dollar.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The amount in millionths of a dollar.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Reads dollars as decimal text: `5`, `0.0123`, `.5`, `5.`, and with an exponent, because that is how programs
    /// write small numbers: `1e-05`. The seventh decimal place rounds, halves up. No sign, no spaces, no separators, no
    /// `inf`, no `nan`; what does not fit is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (text.get(..at)?, exponent(text.get(at + 1..)?)?),
            None => (text, 0),
        };
        let point = mantissa.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = match point {
            Some(at) => (mantissa.get(..at)?, mantissa.get(at + 1..)?),
            None => (mantissa, &[][..]),
        };
        if whole.is_empty() && fraction.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return None;
        }
        let digits = || whole.iter().chain(fraction).map(|byte| u64::from(byte - b'0'));
        let Some(leading) = digits().position(|digit| digit != 0) else { return Some(Self::ZERO) };
        // How many of the digits, zeros in front left out, count whole micro-dollars.
        let kept = i64::try_from(whole.len()).ok()?.saturating_sub(i64::try_from(leading).ok()?);
        let kept = kept.saturating_add(exponent).saturating_add(PLACES);
        let Ok(kept) = usize::try_from(kept) else { return Some(Self::ZERO) };
        if kept > 20 {
            return None;
        }
        let mut digits = digits().skip(leading).chain(std::iter::repeat(0));
        let micros =
            digits.by_ref().take(kept).try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(digit))?;
        let half = u64::from(digits.next().is_some_and(|digit| digit >= 5));
        micros.checked_add(half).map(Self)
    }

    /// Both together, at most the largest amount.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left, at least nothing.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// So many times this amount, at most the largest amount.
    #[must_use]
    pub const fn saturating_mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

/// A signed whole number; one that is too large for the machine is the largest, which no amount survives.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0_i64, |sum, byte| sum.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    Some(if negative { size.saturating_neg() } else { size })
}

/// Dollars with exactly six places.
impl fmt::Display for MicroUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / MICROS, self.0 % MICROS)
    }
}

/// What a model's tokens cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// A million tokens read.
    pub input_per_mtok: MicroUsd,
    /// A million tokens written.
    pub output_per_mtok: MicroUsd,
}

impl Price {
    /// What an answer cost: rounded once, on the sum, halves up; at most the largest amount.
    pub fn cost(&self, tokens_in: u64, tokens_out: u64) -> MicroUsd {
        let product = |price: MicroUsd, tokens: u64| u128::from(price.0) * u128::from(tokens);
        let sum = product(self.input_per_mtok, tokens_in).saturating_add(product(self.output_per_mtok, tokens_out));
        let micros = sum.saturating_add(u128::from(MICROS / 2)) / u128::from(MICROS);
        MicroUsd(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}
