//! Numbers and units: how many, how much, which version, when.
//!
//! All numbers of one prompt must be found in the other. What counts is the amount, not how it is written: 5 is five, 5k is
//! 5000, 90 minutes are an hour and a half where both say it in minutes. Two amounts of different measures differ, unless
//! one of them names no unit.

mod places;
mod read;
mod units;

use super::super::words::{Class, Word};
use super::compared::Compared;
use read::{Quantity, Weight};

/// Tables with more numbers than this must have the same ones in the same order.
const MOST: usize = 64;

/// Why the numbers of the two prompts exclude a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    let (query, entry) = (compared.query.words, compared.entry.words);
    if !has_number(query) && !has_number(entry) {
        return None;
    }
    let (mut asked, mut stored) = (read::read(query), read::read(entry));
    if asked.len().max(stored.len()) > MOST {
        let same = asked.len() == stored.len() && asked.iter().zip(&stored).all(|(a, b)| a.same(b));
        return (!same).then(|| format!("{} and {} of them", asked.len(), stored.len()));
    }
    if let Some(reason) = places::check(compared, &asked, &stored) {
        return Some(reason);
    }
    asked.retain(|quantity| match stored.iter().position(|other| quantity.same(other)) {
        Some(at) => {
            stored.remove(at);
            false
        }
        None => true,
    });
    let full = |side: &[Quantity]| side.iter().any(|quantity| quantity.weight == Weight::Full);
    match (asked.first(), stored.first()) {
        (Some(a), Some(b)) => Some(format!("{} and {}", a.shown(query), b.shown(entry))),
        (Some(only), None) if full(&asked) => Some(format!("{} is asked only", only.shown(query))),
        (None, Some(only)) if full(&stored) => Some(format!("{} is stored only", only.shown(entry))),
        _ => None,
    }
}

fn has_number(words: &[Word]) -> bool {
    let digits = |word: &Word| {
        let last = word.text.bytes().next_back().unwrap_or_default();
        word.class == Class::Content && (last.is_ascii_digit() || matches!(word.text.as_str(), "iv" | "vi" | "ix"))
    };
    words.iter().any(|word| word.class == Class::Number || digits(word))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{says, test};
    use super::super::Guard;

    #[test]
    fn amounts_count_and_not_how_they_are_written() {
        let strikes = [
            ("boil 2 eggs", "boil 3 eggs"),
            ("boil two eggs", "boil 3 eggs"),
            ("a rope of 5 m", "a rope of 5 ft"),
            ("pay $20", "pay €20"),
            ("pay $20", "pay $20 million"),
            ("a rise of 5%", "a rise of 5 points and 7%"),
            ("is it -3 outside", "is it 3 outside"),
            ("python 3.10", "python 3.1"),
            ("from 10-20 people", "from 10-25 people"),
            ("the 1980s", "the 1990s"),
            ("call me at 5 pm", "call me at 5 am"),
            ("lose weight in 10 days", "lose weight"),
            ("chapter iii of it", "chapter ii of it"),
            ("the ps4", "the ps5"),
            ("give 500 mg of A and 250 mg of B", "give 250 mg of A and 500 mg of B"),
            ("mix 2 cups flour and 3 cups sugar", "mix 3 cups flour and 2 cups sugar"),
            ("mix 2 cups flour and 3 cups sugar", "mix 2 cups sugar and 3 cups flour"),
            ("increase 100 by 20 percent", "increase 20 by 100 percent"),
            ("2 adults and 1 child", "1 adult and 2 children"),
            ("what is 12 minus 5", "what is 5 minus 12"),
            ("who won it 3-2", "who won it 2-3"),
            ("due on 2020-01-02", "due on 2020-02-01"),
            ("due on 12-11-2025", "due on 11-12-2025"),
        ];
        let passes = [
            ("boil 2 eggs", "boil two eggs"),
            ("a rope of 5 m", "a rope of 500 cm"),
            ("a rope of 5 m", "a 5m rope"),
            ("two dozen eggs", "24 eggs"),
            ("earn 1,000,000 dollars", "earn $1 million"),
            ("it costs $3.10", "it costs 3.1 dollars"),
            ("in the season 2015-16", "in the season 2015-2016"),
            ("what are the top 10 songs", "what are the best songs"),
            ("name three rivers", "name rivers"),
            ("the first man", "the man"),
            ("which one is it", "which is it"),
            ("90 minutes", "90 min"),
            ("call me at 17:00", "call me at 5 pm"),
            ("the iphone6", "the iphone 6"),
            ("give 500 mg of A and 250 mg of B", "give 250 mg of B and 500 mg of A"),
            ("mix 2 cups flour and 3 cups sugar", "mix 3 cups sugar and 2 cups flour"),
            ("in 2020, who won 3 medals", "who won 3 medals in 2020"),
            ("what is 5 plus 3", "what is 3 plus 5"),
            ("is 5/8 or 3/4 more", "is 3/4 or 5/8 more"),
            ("10 tips for 2024", "in 2024, 10 tips"),
            ("is 5 or 3 more", "is 3 or 5 more"),
            ("born on 5 May 1990", "born on May 5 1990"),
        ];
        test(Guard::Numbers, &strikes, &passes);
    }

    #[test]
    fn it_says_which_numbers() {
        let said = |a, b| says(Guard::Numbers, a, b);
        assert_eq!(said("run 5 km", "run 10 km").as_deref(), Some("5 km and 10 km"));
        assert_eq!(said("run 5 km", "run far").as_deref(), Some("5 km is asked only"));
        assert_eq!(said("run far", "run 5 km").as_deref(), Some("5 km is stored only"));
    }

    #[test]
    fn long_tables_must_be_the_same() {
        let table = |last: u32| (0..100).chain([last]).map(|number| format!("{number} ")).collect::<String>();
        assert_eq!(says(Guard::Numbers, &table(7), &table(8)).as_deref(), Some("101 and 101 of them"));
        assert_eq!(says(Guard::Numbers, &table(7), &table(7)), None);
    }
}
