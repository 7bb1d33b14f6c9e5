//! A cursor over the arguments of a command.

use super::error::SyntaxError;
use crate::core::money::MicroUsd;
use crate::core::time::UnixMs;

/// The arguments of a command that are still to be read.
#[derive(Clone, Debug)]
pub struct Args<'a> {
    all: &'a [&'a [u8]],
    next: usize,
}

/// An option's name in upper case. Names are short; a longer word is none.
pub struct Token {
    upper: [u8; 16],
    length: usize,
}

impl Token {
    /// A word's name as an option.
    pub fn of(word: &[u8]) -> Self {
        let mut upper = [0; 16];
        let length = match upper.get_mut(..word.len()) {
            Some(place) => {
                place.copy_from_slice(word);
                place.make_ascii_uppercase();
                word.len()
            }
            None => 0,
        };
        Self { upper, length }
    }

    /// The name, to be matched.
    pub fn name(&self) -> &str {
        self.upper.get(..self.length).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }
}

/// Fills an option that may be given once.
pub fn once<T>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), SyntaxError> {
    match place {
        Some(_) => Err(SyntaxError::Repeated(name)),
        None => {
            *place = Some(value);
            Ok(())
        }
    }
}

/// Raises a flag that may be given once.
pub fn flag(place: &mut bool, name: &'static str) -> Result<(), SyntaxError> {
    if std::mem::replace(place, true) {
        return Err(SyntaxError::Repeated(name));
    }
    Ok(())
}

/// A whole number from text: digits, and a sign in front if it is below zero.
pub fn integer(bytes: &[u8]) -> Option<i64> {
    if bytes.first() == Some(&b'+') {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

impl<'a> Args<'a> {
    /// The arguments after the command's name.
    pub fn new(all: &'a [&'a [u8]]) -> Self {
        Self { all, next: 0 }
    }

    /// The arguments from this one on.
    pub fn after(all: &'a [&'a [u8]], next: usize) -> Self {
        Self { all, next: next.min(all.len()) }
    }

    /// All that is left.
    pub fn rest(self) -> &'a [&'a [u8]] {
        self.all.get(self.next..).unwrap_or_default()
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.all.len() - self.next
    }

    /// The next positional argument.
    pub fn positional(&mut self) -> Result<&'a [u8], SyntaxError> {
        self.take().ok_or(SyntaxError::Arity)
    }

    fn take(&mut self) -> Option<&'a [u8]> {
        let word = self.all.get(self.next)?;
        self.next += 1;
        Some(word)
    }

    /// The next option's name, until there is none.
    pub fn option(&mut self) -> Option<Token> {
        self.take().map(Token::of)
    }

    /// Reads an option's name if it is this one.
    pub fn skip(&mut self, name: &str) -> bool {
        let there = self.all.get(self.next).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()));
        self.next += usize::from(there);
        there
    }

    /// The word that was read last.
    fn last(&self) -> &'a [u8] {
        self.next.checked_sub(1).and_then(|i| self.all.get(i)).copied().unwrap_or_default()
    }

    /// The error for the word that was read last: it must be one of a few.
    pub fn not_one_of(&self, name: &'static str, words: &str) -> SyntaxError {
        SyntaxError::value(name, words, self.last())
    }

    /// The error for the option that was read last: it is not one of `known`.
    pub fn unknown(&self, known: &[&'static str]) -> SyntaxError {
        let word = self.last();
        SyntaxError::Unknown { found: super::error::shown(word), position: self.next, meant: closest(word, known) }
    }

    /// Nothing may be left.
    pub fn finish(mut self) -> Result<(), SyntaxError> {
        match self.take() {
            None => Ok(()),
            Some(_) => Err(self.unknown(&[])),
        }
    }

    /// An option's value.
    pub fn value(&mut self, name: &'static str) -> Result<&'a [u8], SyntaxError> {
        self.take().ok_or(SyntaxError::NoValue(name))
    }

    /// An option's value, of this length at most.
    pub fn short(&mut self, name: &'static str, limit: usize) -> Result<&'a [u8], SyntaxError> {
        let value = self.value(name)?;
        if value.len() > limit {
            return Err(SyntaxError::TooLong { name, bytes: value.len(), limit, setting: None });
        }
        Ok(value)
    }

    /// A name: a short value that is not empty.
    pub fn named(&mut self, name: &'static str, limit: usize) -> Result<&'a [u8], SyntaxError> {
        match self.short(name, limit)? {
            [] => Err(SyntaxError::Unfit(name, "may not be empty".into())),
            value => Ok(value),
        }
    }

    /// A whole number in a range.
    pub fn number(&mut self, name: &'static str, min: i64, max: i64) -> Result<u64, SyntaxError> {
        let value = self.value(name)?;
        let wrong = || SyntaxError::value(name, range(min, max), value);
        let number = integer(value).filter(|n| (min..=max).contains(n)).ok_or_else(wrong)?;
        u64::try_from(number).map_err(|_| wrong())
    }

    /// Seconds, zero or more, that end before the year 10000 when counted from now; as milliseconds.
    pub fn seconds(&mut self, name: &'static str, min: i64, now: UnixMs) -> Result<u64, SyntaxError> {
        self.span(name, min, 1000, "seconds", now)
    }

    /// A span from now on in units of so many milliseconds.
    pub fn span(
        &mut self,
        name: &'static str,
        min: i64,
        unit: u64,
        unit_name: &str,
        now: UnixMs,
    ) -> Result<u64, SyntaxError> {
        let value = self.value(name)?;
        let latest = UnixMs::LATEST.since(now) / unit;
        let wrong = || {
            let must = format!("a whole number of {unit_name}, {min} or more, and not beyond the year 9999");
            SyntaxError::value(name, must, value)
        };
        let count = integer(value).filter(|n| *n >= min).and_then(|n| u64::try_from(n).ok()).ok_or_else(wrong)?;
        if count > latest {
            return Err(wrong());
        }
        Ok(count * unit)
    }

    /// A Unix time in units of so many milliseconds, after 1970 and before the year 10000.
    pub fn moment(&mut self, name: &'static str, unit: u64, unit_name: &str) -> Result<UnixMs, SyntaxError> {
        let value = self.value(name)?;
        let wrong = || {
            let must = format!("a Unix time in {unit_name}, 1 or more, and not beyond the year 9999");
            SyntaxError::value(name, must, value)
        };
        let count = integer(value).filter(|n| *n >= 1).and_then(|n| u64::try_from(n).ok()).ok_or_else(wrong)?;
        count.checked_mul(unit).map(UnixMs).filter(|at| *at <= UnixMs::LATEST).ok_or_else(wrong)
    }

    /// US dollars.
    pub fn dollars(&mut self, name: &'static str) -> Result<MicroUsd, SyntaxError> {
        let value = self.value(name)?;
        MicroUsd::parse(value)
            .ok_or_else(|| SyntaxError::value(name, "an amount of US dollars such as 0.0125, 0 or more", value))
    }
}

fn range(min: i64, max: i64) -> String {
    if max == i64::MAX {
        format!("a whole number, {min} or more")
    } else {
        format!("a whole number from {min} to {max}")
    }
}

/// The known word that looks most like what was typed, if one does.
fn closest(word: &[u8], known: &[&'static str]) -> Option<&'static str> {
    let typed = std::str::from_utf8(word).ok().filter(|typed| typed.len() <= 16)?.to_ascii_uppercase();
    let scored = known.iter().map(|name| (strsim::jaro_winkler(&typed, name), *name));
    scored.filter(|(score, _)| *score > 0.85).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain() {
        for (text, number) in [(&b"0"[..], Some(0)), (b"-5", Some(-5)), (b"+5", None), (b"5 ", None), (b"", None)] {
            assert_eq!(integer(text), number);
        }
        assert_eq!(integer(b"9223372036854775808"), None);
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let known = &["MODEL", "MAXAGE", "SCOPE"];
        assert_eq!(closest(b"modle", known), Some("MODEL"));
        assert_eq!(closest(b"max-age", known), Some("MAXAGE"));
        assert_eq!(closest(b"hello", known), None);
    }

    #[test]
    fn what_was_found_is_shown_when_it_is_short() {
        let words: [&[u8]; 1] = [b"7"];
        let error = Args::new(&words).number("LEVEL", 8, 9).unwrap_err();
        assert_eq!(error.to_string(), "ERR LEVEL must be a whole number from 8 to 9, got '7'");
        let words: [&[u8]; 1] = [&[b'x'; 100]];
        let error = Args::new(&words).number("LEVEL", 8, 9).unwrap_err();
        assert_eq!(error.to_string(), "ERR LEVEL must be a whole number from 8 to 9, got 100 bytes");
    }
}
