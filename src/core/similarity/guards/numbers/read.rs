//! From words to quantities: 5, five, $5k, 2.5 million, twenty-five percent, 10-20, 5th, the 90s, 10:30 pm, mp3.

use super::super::super::words::{Class, Word};
use super::units::{self, Measure};
use std::ops::Range;

/// How a number was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// It counts.
    Full,
    /// It may be left out: one, first, the length of the list that is asked for, the number of the question.
    Slight,
}

/// A number and what it counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantity {
    /// In the unit of the measure.
    pub value: f64,
    pub measure: Measure,
    /// The digits, for versions ("3.10" is not "3.1") and for what cannot be read as a number.
    text: String,
    pub weight: Weight,
    /// Whether the value could be read.
    read: bool,
    /// The words that it was read from.
    pub place: Range<usize>,
}

impl Quantity {
    fn new(value: f64, text: &str) -> Self {
        Self { value, measure: Measure::Count, text: text.to_owned(), weight: Weight::Full, read: true, place: 0..0 }
    }

    fn unread(text: &str) -> Self {
        Self { read: false, ..Self::new(0.0, text) }
    }

    /// As it stands in the prompt.
    pub fn shown(&self, words: &[Word]) -> String {
        let words = words.get(self.place.clone()).unwrap_or_default();
        words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Whether the two are the same number of the same things. Where only one has a unit, the other is taken to mean it.
    pub fn same(&self, other: &Self) -> bool {
        if !self.read || !other.read {
            return self.text == other.text;
        }
        let units = self.measure == other.measure || self.measure == Measure::Count || other.measure == Measure::Count;
        let near = (self.value - other.value).abs() <= 1e-9 * self.value.abs().max(other.value.abs());
        units && near && !self.is_other_version(other)
    }

    /// Takes the unit, if it is one and there is none yet.
    fn count(&mut self, unit: &str) -> bool {
        // "Top 10 c programs" have no temperature.
        if unit.len() == 1 && unit.is_ascii() && unit != "m" {
            return false;
        }
        let found = if unit == "percent" { Some((Measure::Percent, 1.0)) } else { units::unit(unit) };
        let Some((measure, factor)) = found.filter(|_| self.measure == Measure::Count) else { return false };
        (self.measure, self.value) = (measure, self.value * factor);
        true
    }

    /// 3.10 and 3.1, where no unit says that they are amounts.
    fn is_other_version(&self, other: &Self) -> bool {
        let bare = self.measure == Measure::Count && other.measure == Measure::Count;
        bare && self.text.contains('.') && other.text.contains('.') && self.text != other.text
    }
}

/// All quantities of a prompt, in order.
pub(super) fn read(words: &[Word]) -> Vec<Quantity> {
    let mut reader = Reader { words, at: 0, found: Vec::new() };
    while reader.at < words.len() {
        let (start, known) = (reader.at, reader.found.len());
        reader.step();
        let idle = reader.is_idle(start);
        for quantity in reader.found.iter_mut().skip(known) {
            quantity.place = start..reader.at;
            if idle && quantity.measure == Measure::Count {
                quantity.weight = Weight::Slight;
            }
        }
    }
    reader.found
}

struct Reader<'a> {
    words: &'a [Word],
    at: usize,
    found: Vec<Quantity>,
}

impl<'a> Reader<'a> {
    fn text(&self, at: usize) -> &'a str {
        self.words.get(at).map(|word| word.text.as_str()).unwrap_or_default()
    }

    /// Whether the number at this place counts what is to be listed ("what are the top 10 …") or the questions ("2. …").
    fn is_idle(&self, at: usize) -> bool {
        let numbers_question = at == 0 && self.words.get(1).is_some_and(|next| next.starts);
        let asks = |word: &str| {
            matches!(
                word,
                "what" | "which" | "who" | "list" | "name" | "give" | "tell" | "suggest" | "describe" | "write"
            )
        };
        let passes = |word: &str| {
            let listing =
                matches!(word, "top" | "best" | "the" | "your" | "my" | "some" | "main" | "most" | "are" | "were");
            listing || matches!(word, "me" | "us" | "of" | "these" | "good" | "great" | "about")
        };
        let mut before = (at.saturating_sub(5)..at).rev().map(|at| self.text(at)).skip_while(|word| passes(word));
        numbers_question
            || before.next().is_some_and(asks)
            || at.checked_sub(1).is_some_and(|at| self.text(at) == "top")
    }

    fn step(&mut self) {
        let Some(word) = self.words.get(self.at) else { return };
        match word.class {
            Class::Number => self.number(&word.text),
            Class::Content => self.attached(&word.text),
            Class::Function | Class::Symbol => {}
        }
        self.at += 1;
    }

    /// A number in digits or words, and what belongs to it.
    fn number(&mut self, text: &'a str) {
        let start = self.at;
        let Some(digit) = text.find(|c: char| c.is_ascii_digit()) else { return self.spelled() };
        let (sign, digits) = text.split_at_checked(digit).unwrap_or_default();
        let parts = if digits.contains("://") { Vec::new() } else { digits.split('-').collect::<Vec<_>>() };
        let letters = |part: &str| part.starts_with(|c: char| c.is_alphabetic());
        match parts.as_slice() {
            [one] => self.amount(sign, one, start),
            // 5-day, 16-year-old, 4-digit.
            [one, unit, ..] if letters(unit) => {
                self.amount(sign, one, start);
                if let Some(quantity) = self.found.last_mut() {
                    quantity.count(unit);
                }
            }
            // 10-20, 2015-16, 2020-03-05.
            [_, ..] if parts.len() <= 4 => {
                let mut before = "";
                for part in parts {
                    let full = completed(before, part);
                    before = part;
                    self.amount(sign, &full, start);
                }
            }
            _ => self.found.push(Quantity::unread(text)),
        }
    }

    /// Digits with a sign before and a unit behind, attached or as the next word.
    fn amount(&mut self, sign: &str, digits: &str, start: usize) {
        let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
        let (number, tail) = digits.split_at_checked(end).unwrap_or_default();
        let number = number.trim_end_matches('.');
        let Ok(value) = number.parse::<f64>() else { return self.found.push(Quantity::unread(digits)) };
        let mut quantity = Quantity::new(value, number);
        let minus = sign.starts_with('-') || (start > 0 && self.text(start - 1) == "minus");
        if minus {
            quantity.value = -value;
        }
        if let Some((measure, factor)) = units::unit(sign.trim_matches(['-', '+', '~'])) {
            (quantity.measure, quantity.value) = (measure, quantity.value * factor);
        }
        self.tail(&mut quantity, number, tail);
        self.found.push(quantity);
    }

    /// What stands right behind the digits.
    fn tail(&mut self, quantity: &mut Quantity, number: &str, tail: &str) {
        match tail {
            "" | "+" | "#" => {
                self.scale(quantity);
                self.unit(quantity);
            }
            "%" => quantity.measure = Measure::Percent,
            // Ordinals count nothing: the 1st year is no year.
            "st" | "nd" | "rd" | "th" => {}
            "s" | "'s" if number.ends_with('0') => {
                let century = if number.len() == 2 { 1900.0 } else { 0.0 };
                (quantity.measure, quantity.value) = (Measure::Decade, quantity.value + century);
            }
            "\"" => (quantity.measure, quantity.value) = (Measure::ImperialLength, quantity.value),
            _ if tail.starts_with('\'') => self.feet(quantity, tail),
            _ if tail.starts_with(':') => self.clock(quantity, tail),
            _ => match (units::scale(tail), units::unit(tail)) {
                (Some(scale), _) => {
                    quantity.value *= scale;
                    self.unit(quantity);
                }
                (_, Some((measure, factor))) if quantity.measure == Measure::Count => {
                    (quantity.measure, quantity.value) = (measure, quantity.value * factor);
                }
                // 3d, 4x, 6s: what it is does not matter, only whether it is the same.
                _ => *quantity = Quantity::unread(&format!("{number}{tail}")),
            },
        }
    }

    /// 5'10".
    fn feet(&mut self, quantity: &mut Quantity, tail: &str) {
        let inches = tail.trim_matches(['\'', '"']);
        let inches = if inches.is_empty() { Ok(0.0) } else { inches.parse::<f64>() };
        match inches {
            Ok(inches) => {
                (quantity.measure, quantity.value) = (Measure::ImperialLength, quantity.value * 12.0 + inches);
            }
            Err(_) => quantity.read = false,
        }
    }

    /// 10:30, 10:30 pm.
    fn clock(&mut self, quantity: &mut Quantity, tail: &str) {
        let mut minutes = quantity.value * 60.0;
        match tail.trim_start_matches(':').parse::<f64>() {
            Ok(behind) if behind < 60.0 => minutes += behind,
            _ => return *quantity = Quantity::unread(&format!("{}{tail}", quantity.text)),
        }
        (quantity.measure, quantity.value) = (Measure::Clock, minutes);
        self.half_of_day(quantity);
    }

    fn half_of_day(&mut self, quantity: &mut Quantity) {
        let noon = quantity.value >= 720.0 && quantity.value < 780.0;
        match (self.text(self.at + 1), noon) {
            ("am", true) => quantity.value -= 720.0,
            ("pm", false) => quantity.value += 720.0,
            ("am" | "pm", _) => {}
            _ => return,
        }
        self.at += 1;
    }

    /// 5 million, 2 dozen.
    fn scale(&mut self, quantity: &mut Quantity) {
        while let Some(scale) = units::scale(self.text(self.at + 1)) {
            quantity.value *= scale;
            self.at += 1;
        }
    }

    /// 5 kg, 5 pm, 5 percent.
    fn unit(&mut self, quantity: &mut Quantity) {
        let next = self.text(self.at + 1);
        if matches!(next, "am" | "pm") && quantity.measure == Measure::Count && quantity.value <= 12.0 {
            (quantity.measure, quantity.value) = (Measure::Clock, quantity.value * 60.0);
            return self.half_of_day(quantity);
        }
        if quantity.count(next) {
            self.at += 1;
        }
    }

    /// Numbers in words: the longest that can be read from here.
    fn spelled(&mut self) {
        let first = self.text(self.at);
        let Some(mut value) = word_value(first).or_else(|| units::scale(first)) else {
            return self.found.push(Quantity::unread(first));
        };
        let mut whole = 0.0;
        let (mut last, mut words) = (value, 1);
        while let Some(next) = self.words.get(self.at + 1) {
            let next = next.text.as_str();
            let joined = next == "and" && last >= 100.0 && word_value(self.text(self.at + 2)).is_some();
            match (word_value(next), units::scale(next)) {
                (_, Some(scale)) if last < scale => {
                    value *= scale;
                    if scale >= 1e3 {
                        (whole, value) = (whole + value, 0.0);
                    }
                    last = scale;
                }
                (Some(small), _) if is_below(small, last) => {
                    value += small;
                    last = small;
                }
                _ if joined => {}
                _ => break,
            }
            self.at += 1;
            words += 1;
        }
        let mut quantity = Quantity::new(whole + value, first);
        if words == 1
            && matches!(first, "one" | "first" | "double" | "half" | "single" | "second" | "quarter" | "twice")
        {
            quantity.weight = Weight::Slight;
        }
        let last = self.text(self.at);
        if !last.ends_with("th") && !matches!(last, "first" | "second" | "third") {
            self.unit(&mut quantity);
        }
        self.found.push(quantity);
    }

    /// Digits at the end of a word: iphone6, utf8, ps4. And Roman ones that may be something else.
    fn attached(&mut self, text: &'a str) {
        if let "iv" | "vi" | "ix" = text {
            let value = [("iv", 4.0), ("vi", 6.0), ("ix", 9.0)].iter().find(|(roman, _)| *roman == text);
            let quantity = value.map(|(_, value)| Quantity { weight: Weight::Slight, ..Quantity::new(*value, text) });
            return self.found.extend(quantity);
        }
        if !text.ends_with(|c: char| c.is_ascii_digit()) {
            return;
        }
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        self.found.push(digits.parse().map_or_else(|_| Quantity::unread(digits), |value| Quantity::new(value, digits)));
    }
}

/// The second of 2015-16 in full.
fn completed(before: &str, part: &str) -> String {
    let years = before.len() == 4 && part.len() == 2 && part > before.get(2..).unwrap_or_default();
    match before.get(..2) {
        Some(century) if years => format!("{century}{part}"),
        _ => part.to_owned(),
    }
}

/// Whether a number word may follow another in one number: five behind twenty, twenty behind hundred.
fn is_below(small: f64, last: f64) -> bool {
    small >= 1.0 && ((small < 10.0 && (20.0..100.0).contains(&last)) || (small < 100.0 && last >= 100.0))
}

fn word_value(word: &str) -> Option<f64> {
    Some(match word {
        "zero" => 0.0,
        "half" => 0.5,
        "quarter" => 0.25,
        "one" | "first" | "single" => 1.0,
        "two" | "second" | "ii" | "twice" | "double" => 2.0,
        "three" | "third" | "iii" | "triple" => 3.0,
        "four" | "fourth" => 4.0,
        "five" | "fifth" => 5.0,
        "six" | "sixth" => 6.0,
        "seven" | "seventh" | "vii" => 7.0,
        "eight" | "eighth" | "viii" => 8.0,
        "nine" | "ninth" => 9.0,
        "ten" | "tenth" => 10.0,
        "eleven" | "eleventh" | "xi" => 11.0,
        "twelve" | "twelfth" | "xii" => 12.0,
        "thirteen" | "thirteenth" | "xiii" => 13.0,
        "fourteen" | "fourteenth" | "xiv" => 14.0,
        "fifteen" | "fifteenth" | "xv" => 15.0,
        "sixteen" | "sixteenth" | "xvi" => 16.0,
        "seventeen" | "seventeenth" | "xvii" => 17.0,
        "eighteen" | "eighteenth" | "xviii" => 18.0,
        "nineteen" | "nineteenth" | "xix" => 19.0,
        "twenty" | "twentieth" | "xx" => 20.0,
        "xxi" => 21.0,
        "thirty" | "thirtieth" => 30.0,
        "forty" => 40.0,
        "fifty" => 50.0,
        "sixty" => 60.0,
        "seventy" => 70.0,
        "eighty" => 80.0,
        "ninety" => 90.0,
        "hundredth" => 100.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::super::text::Text;
    use super::*;

    fn one(prompt: &str) -> Vec<(f64, Measure)> {
        let text = Text::read(prompt.as_bytes()).expect("a prompt");
        read(&text.words).into_iter().map(|quantity| (quantity.value, quantity.measure)).collect()
    }

    #[test]
    fn numbers_in_all_spellings() {
        use Measure::*;
        let cases: &[(&str, &[(f64, Measure)])] = &[
            ("buy 5 apples", &[(5.0, Count)]),
            ("buy five apples", &[(5.0, Count)]),
            ("earn 1,000 dollars", &[(1000.0, Dollar)]),
            ("earn $1k", &[(1000.0, Dollar)]),
            ("earn $ 2.5 million", &[(2.5e6, Dollar)]),
            ("twenty-five percent of it", &[(25.0, Percent)]),
            ("25 percent of it", &[(25.0, Percent)]),
            ("two hundred and fifty people", &[(250.0, Count)]),
            ("three thousand four hundred people", &[(3400.0, Count)]),
            ("from 10-20 of them", &[(10.0, Count), (20.0, Count)]),
            ("the season 2015-16", &[(2015.0, Count), (2016.0, Count)]),
            ("the 5th time", &[(5.0, Count)]),
            ("music of the 90s", &[(1990.0, Decade)]),
            ("music of the 1990's", &[(1990.0, Decade)]),
            ("wake up at 5pm", &[(1020.0, Clock)]),
            ("wake up at 10:30 pm", &[(1350.0, Clock)]),
            ("wake up at 12 am", &[(0.0, Clock)]),
            ("a man of 5'10\"", &[(70.0, ImperialLength)]),
            ("a bag of 5kg", &[(5000.0, Mass)]),
            ("walk 3 miles", &[(190_080.0, ImperialLength)]),
            ("is it -5 or minus 5", &[(-5.0, Count), (-5.0, Count)]),
            ("1 lakh rupees", &[(1e5, Rupee)]),
            ("two dozen eggs", &[(24.0, Count)]),
            ("my iphone6 broke", &[(6.0, Count)]),
            ("world war ii began", &[(2.0, Count)]),
            ("a 5-day trip for a 16-year-old", &[(432_000.0, Time), (192.0, Calendar)]),
            ("the first year and the 1st year", &[(1.0, Count), (1.0, Count)]),
            ("top 10 c programs", &[(10.0, Count)]),
            ("paper iv", &[(4.0, Count)]),
            ("no numbers at all", &[]),
        ];
        for (prompt, expected) in cases {
            assert_eq!(one(prompt), *expected, "{prompt}");
        }
    }
}
