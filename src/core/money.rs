//! Money: whole micro-dollars, so that sums are exact and the same on every machine.

use super::request::Usage;
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
    /// A million tokens read that the provider had in a cache of its own, where they have another price.
    pub cached_per_mtok: Option<MicroUsd>,
    /// A million tokens written.
    pub output_per_mtok: MicroUsd,
}

impl Price {
    /// What an answer cost: rounded once, on the sum, halves up; at most the largest amount.
    pub fn cost(&self, usage: &Usage) -> MicroUsd {
        let product = |price: MicroUsd, tokens: u64| u128::from(price.0) * u128::from(tokens);
        let cached = usage.cached.min(usage.input);
        let sum = product(self.input_per_mtok, usage.input - cached)
            .saturating_add(product(self.cached_per_mtok.unwrap_or(self.input_per_mtok), cached))
            .saturating_add(product(self.output_per_mtok, usage.output));
        let micros = sum.saturating_add(u128::from(MICROS / 2)) / u128::from(MICROS);
        MicroUsd(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Option<u64> {
        MicroUsd::parse(text.as_bytes()).map(MicroUsd::micros)
    }

    #[test]
    fn amounts_are_read() {
        for (text, wanted) in [
            ("0", 0),
            ("5", 5_000_000),
            ("5.", 5_000_000),
            (".5", 500_000),
            ("0.0123", 12_300),
            ("000.000001", 1),
            ("0.0000005", 1),
            ("0.00000049999999999999", 0),
            ("1.9999995", 2_000_000),
            ("1e-3", 1000),
            ("1e-05", 10),
            ("1E2", 100_000_000),
            ("1.5e+1", 15_000_000),
            ("5e-7", 1),
            ("4.9e-7", 0),
            ("5e-8", 0),
            ("123e-400", 0),
            ("0e99999999999999999999", 0),
            ("1e-99999999999999999999", 0),
            ("18446744073709.551615", u64::MAX),
            ("18446744073709.5516154", u64::MAX),
        ] {
            assert_eq!(micros(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            ".",
            "-1",
            "-0",
            "+1",
            " 1",
            "1 ",
            "1,5",
            "1.2.3",
            "nan",
            "NaN",
            "inf",
            "Infinity",
            "0x10",
            "1e",
            "1e+",
            "e5",
            "1e5.0",
            "1e1e1",
            "1_000",
            "$1",
            "18446744073709.551616",
            "18446744073709.5516155",
            "1e14",
            "1e99999999999999999999",
            "99999999999999999999999999999999999999999",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
        assert_eq!(MicroUsd::parse(b"1\xff"), None);
        assert_eq!(MicroUsd::parse(b"1\0"), None);
    }

    #[test]
    fn an_amount_reads_as_it_is_written() {
        for (micros, text) in [(0, "0.000000"), (12_300, "0.012300"), (u64::MAX, "18446744073709.551615")] {
            assert_eq!(MicroUsd::from_micros(micros).to_string(), text);
            assert_eq!(MicroUsd::parse(text.as_bytes()), Some(MicroUsd::from_micros(micros)));
        }
    }

    /// Every text of up to 14 digits with a point and an exponent, against whole-number arithmetic.
    #[test]
    fn reading_agrees_with_whole_numbers() {
        let seed = 20_240_501_u64;
        let mut state = seed;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..50_000 {
            let (digits, places, exponent) = (draw(14) + 1, draw(14), draw(13) as i32 - 6);
            let number = (0..digits).fold(0_u128, |sum, _| sum * 10 + u128::from(draw(10)));
            let places = places.min(digits);
            let text = format!("{number:0width$}", width = digits as usize);
            let (whole, fraction) = text.split_at((digits - places) as usize);
            let text = format!("{whole}.{fraction}e{exponent}");
            // In units of 10^-14 micro-dollars and less: number × 10^(exponent + 6 − places).
            let scale = exponent + 6 - places as i32;
            let wanted = match scale {
                0.. => number * 10_u128.pow(scale as u32),
                _ => {
                    let unit = 10_u128.pow(-scale as u32);
                    (number + unit / 2) / unit
                }
            };
            assert_eq!(
                micros(&text).map(u128::from),
                u64::try_from(wanted).ok().map(u128::from),
                "seed {seed} round {round}: {text}"
            );
        }
    }

    fn price(input: u64, cached: Option<u64>, output: u64) -> Price {
        Price {
            input_per_mtok: MicroUsd::from_micros(input),
            cached_per_mtok: cached.map(MicroUsd::from_micros),
            output_per_mtok: MicroUsd::from_micros(output),
        }
    }

    #[test]
    fn tokens_cost_what_the_price_says() {
        let cost = |input, output, read, written| {
            price(input, None, output).cost(&Usage { input: read, cached: 0, output: written })
        };
        // 2.50 and 10 dollars a million: 1,000 in and 500 out are 0.0025 + 0.005.
        assert_eq!(cost(2_500_000, 10_000_000, 1000, 500).to_string(), "0.007500");
        // Half a micro-dollar rounds up, and only the sum is rounded.
        assert_eq!(cost(500_000, 0, 1, 0).micros(), 1);
        assert_eq!(cost(499_999, 0, 1, 0).micros(), 0);
        assert_eq!(cost(250_000, 250_000, 1, 1).micros(), 1);
        assert_eq!(cost(400_000, 400_000, 1, 1).micros(), 1);
        assert_eq!(cost(u64::MAX, u64::MAX, u64::MAX, u64::MAX), MicroUsd::MAX);
        assert_eq!(cost(u64::MAX, 0, 1_000_000, 0), MicroUsd::MAX);
        assert_eq!(cost(u64::MAX, 1, 1_000_000, 1_000_000), MicroUsd::MAX);
        assert_eq!(cost(0, 0, u64::MAX, u64::MAX), MicroUsd::ZERO);
    }

    #[test]
    fn cached_tokens_have_their_own_price() {
        let max = u64::MAX;
        for (price, (input, cached, output), micros) in [
            // 2.50, 1.25 and 10 dollars a million: 500 × 2.50 + 1,500 × 1.25 + 300 × 10 = 1,250 + 1,875 + 3,000.
            (price(2_500_000, Some(1_250_000), 10_000_000), (2000, 1500, 300), 6125),
            // Without a price of their own they are tokens like all others.
            (price(2_500_000, None, 10_000_000), (2000, 1500, 300), 8000),
            (price(2_500_000, Some(0), 10_000_000), (2000, 2000, 0), 0),
            // Cached tokens may cost more.
            (price(1_000_000, Some(3_000_000), 0), (10, 4, 0), 6 + 12),
            // One rounding, on the sum of all three: 0.2 + 0.2 + 0.1 and a ten-thousandth less.
            (price(200_000, Some(200_000), 100_000), (2, 1, 1), 1),
            (price(200_000, Some(200_000), 99_999), (2, 1, 1), 0),
            (price(0, Some(500_000), 0), (1, 1, 0), 1),
            (price(0, Some(499_999), 0), (1, 1, 0), 0),
            (price(0, Some(75_000), 0), (1_000_000, 1_000_000, 0), 75_000),
            // No more than all of them can be cached.
            (price(1_000_000, Some(500_000), 0), (10, 11, 0), 5),
            (price(1_000_000, Some(500_000), 0), (0, max, 0), 0),
            // At the ends.
            (price(max, Some(max), max), (max, max / 2, max), max),
            (price(0, Some(max), 0), (max, max, max), max),
            (price(0, Some(max), 0), (1_000_000, 1_000_000, 0), max),
            (price(1, Some(max), 1), (1_000_001, 1_000_000, 1_000_000), max),
        ] {
            let usage = Usage { input, cached, output };
            assert_eq!(price.cost(&usage).micros(), micros, "{price:?} {usage:?}");
        }
    }

    #[test]
    fn sums_stop_at_the_ends() {
        let (one, two) = (MicroUsd::from_micros(1), MicroUsd::from_micros(2));
        assert_eq!(one.saturating_add(one), two);
        assert_eq!(MicroUsd::MAX.saturating_add(one), MicroUsd::MAX);
        assert_eq!(one.saturating_sub(two), MicroUsd::ZERO);
        assert_eq!(two.saturating_mul(3).micros(), 6);
        assert_eq!(MicroUsd::MAX.saturating_mul(2), MicroUsd::MAX);
    }
}
