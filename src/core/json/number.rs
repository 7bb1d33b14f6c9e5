//! Numbers as decimal values: one text for each, without rounding and without arithmetic on the digits.

/// A decimal number, kept as the one text that stands for its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(String);

/// Up to how many digits, zeros included, a number is written out.
const PLAIN_DIGITS: i64 = 40;

impl Number {
    /// The canonical text: the digits written out where that takes at most 40 of them, else `d.ddde±n`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number as a count: none if it is negative or not whole, the largest `u64` if it is larger still.
    pub fn as_count(&self) -> Option<u64> {
        if let Some((mantissa, exponent)) = self.0.split_once('e') {
            let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            let whole = exponent.parse::<usize>().is_ok_and(|exponent| exponent >= decimals);
            return (whole && !self.0.starts_with('-')).then_some(u64::MAX);
        }
        self.0.bytes().all(|b| b.is_ascii_digit()).then(|| self.0.parse().unwrap_or(u64::MAX))
    }

    /// The canonical form of a number as JSON spells it. None where its exponent is beyond 64 bits.
    ///
    /// With `digits` the significant ones, the value is `0.digits` × 10^`point`. Nothing is computed but `point`, so no
    /// exponent costs memory.
    pub(super) fn canonical(spelled: &str) -> Option<Self> {
        let (sign, magnitude) = match spelled.strip_prefix('-') {
            Some(magnitude) => ("-", magnitude),
            None => ("", spelled),
        };
        let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = [whole, decimals].concat();
        let unpadded = all_digits.trim_start_matches('0');
        let digits = unpadded.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self("0".to_owned()));
        }
        let shift = i64::try_from(unpadded.len()).ok()? - i64::try_from(decimals.len()).ok()?;
        let point = exponent.parse::<i64>().ok()?.checked_add(shift)?;
        let count = i64::try_from(digits.len()).ok()?;
        let text = if 0 < point && point.max(count) <= PLAIN_DIGITS {
            let point = point as usize;
            match digits.split_at_checked(point) {
                Some((whole, "")) => format!("{sign}{whole}"),
                Some((whole, decimals)) => format!("{sign}{whole}.{decimals}"),
                None => format!("{sign}{digits}{}", "0".repeat(point - digits.len())),
            }
        } else if -PLAIN_DIGITS < point && point <= 0 && count - point <= PLAIN_DIGITS {
            format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
        } else {
            let exponent = point.checked_sub(1)?;
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{sign}{first}{dot}{rest}e{exponent}")
        };
        Some(Self(text))
    }
}

// At most 20 digits, so always written out.
impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(spelled: &str) -> String {
        Number::canonical(spelled).unwrap_or_else(|| panic!("{spelled}")).0
    }

    #[test]
    fn one_value_is_one_text() {
        for (expected, spellings) in [
            ("0", &["0", "-0", "0.0", "-0.000", "0e0", "0E-7", "0e99999999999999999999"][..]),
            ("1", &["1.0", "1e0", "0.1e1", "10e-1", "1E+0", "1e00000000000000000000000000"]),
            ("1.5", &["1.5", "1.50", "15e-1", "0.15e+1", "0.0000015e6"]),
            ("-1.5", &["-1.5", "-15e-1"]),
            ("100", &["100", "1e2", "100.00", "0.001e5"]),
            ("0.001", &["0.001", "1e-3", "0.00100"]),
            ("123456789012345678901234567890", &["123456789012345678901234567890", "12345678901234567890123456789e1"]),
            ("1000000000000000000000000000000000000000", &["1e39"]),
            ("1e40", &["1e40", "10000000000000000000000000000000000000000", "0.1e41"]),
            ("0.0000000000000000000000000000000000000001", &["1e-40"]),
            ("1e-41", &["1e-41", "0.00000000000000000000000000000000000000001"]),
            ("1.2e9223372036854775806", &["1.2e9223372036854775806", "12e9223372036854775805"]),
            ("-1e-9223372036854775808", &["-1e-9223372036854775808"]),
        ] {
            for spelled in spellings {
                assert_eq!(canonical(spelled), expected, "{spelled}");
            }
            assert_eq!(canonical(expected), expected);
        }
    }

    #[test]
    fn no_digit_is_lost() {
        for (a, b) in [
            ("123456789012345678901234567890", "123456789012345678901234567891"),
            ("0.1", "0.10000000000000000000001"),
            ("9007199254740992", "9007199254740993"),
            ("1", "-1"),
            ("12", "21"),
            ("1e40", "1e41"),
            ("1e308", "1e309"),
            ("0.01", "0.001"),
        ] {
            assert_ne!(canonical(a), canonical(b));
        }
        let long = "7".repeat(100_000);
        assert_eq!(canonical(&long), format!("7.{}e99999", &long[1..]));
        assert_ne!(canonical(&long), canonical(&format!("{}8", &long[1..])));
    }

    #[test]
    fn an_exponent_beyond_64_bits_is_refused_and_one_within_costs_nothing() {
        for spelled in
            ["1e9223372036854775808", "10e9223372036854775807", "0.1e-9223372036854775808", "1e-99999999999999999999"]
        {
            assert_eq!(Number::canonical(spelled), None, "{spelled}");
        }
        assert_eq!(canonical("5e4000000000"), "5e4000000000");
        assert_eq!(canonical("5e-4000000000"), "5e-4000000000");
    }

    #[test]
    fn counts_are_whole_and_not_negative() {
        for (spelled, count) in [
            ("0", Some(0)),
            ("12.0", Some(12)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", Some(u64::MAX)),
            ("1.5e60", Some(u64::MAX)),
            ("-1", None),
            ("-1e60", None),
            ("1.5", None),
            ("1e-60", None),
            ("12345678901234567890123456789012345678901.5", None),
        ] {
            assert_eq!(Number::canonical(spelled).and_then(|n| n.as_count()), count, "{spelled}");
        }
    }
}
