//! The same numbers in other places: "2 adults and 1 child" and "1 adult and 2 children".
//!
//! Numbers may change places where what they belong to moves along: "in 2020, who won 3 medals" and "who won 3 medals in
//! 2020". What a number belongs to is the word that it counts, or where it counts nothing, the word before it.

use super::super::super::words::{Class, Word};
use super::super::compared::{is_plural, Compared, Side};
use super::read::Quantity;
use super::units::Measure;

/// Words that a number may be parted by from what it counts.
const JOINING: [&str; 3] = ["of", "the", "-"];

/// Words whose two sides may be exchanged.
const EITHER: [&str; 11] = ["&", "*", "+", ",", "and", "or", "plus", "times", "versus", "vs", "x"];

/// Words of content that the prompts may have for themselves. Where there are more, all is put in another way.
const MOST_ALONE: usize = 2;

/// The most words between two numbers of a list.
const BETWEEN: usize = 3;

/// Why the places of the numbers that both prompts have exclude a hit.
pub(super) fn check(compared: &Compared, asked: &[Quantity], stored: &[Quantity]) -> Option<String> {
    let content = |side: &Side| side.alone_of(Class::Content).count();
    if content(&compared.query) + content(&compared.entry) > MOST_ALONE {
        return None;
    }
    let (query, entry) = (compared.query.words, compared.entry.words);
    let pairs = pairs(asked, stored);
    if pairs.len() < 2 {
        return None;
    }
    let said = |a: usize, b: usize| {
        let shown = |at: usize| asked.get(at).map(|quantity| quantity.shown(query)).unwrap_or_default();
        let (a, b) = (shown(a), shown(b));
        Some(if a == b { format!("{a} in another order") } else { format!("{a} and {b} in other places") })
    };
    for (number, (a, b)) in pairs.iter().enumerate() {
        // What this one counts here, another one counts there.
        let (counted, other) = (counted(query, asked, *a), counted(entry, stored, *b));
        if let (Some(counted), Some(other)) = (counted, other) {
            let exchanged = |(at, place): &&(usize, usize)| {
                let here = self::counted(query, asked, *at).is_some_and(|here| is_same(here, other));
                let there = self::counted(entry, stored, *place).is_some_and(|there| is_same(counted, there));
                (here || there) && asked.get(*a).zip(asked.get(*at)).is_some_and(|(a, b)| !a.same(b))
            };
            if let Some((at, _)) = pairs.iter().filter(|_| !is_same(counted, other)).find(exchanged) {
                return said(*a, *at);
            }
        }
        let turned = pairs.iter().skip(number + 1).filter(|(_, place)| place < b).find(|(at, place)| {
            let (Some(first), Some(last)) = (asked.get(*a), asked.get(*at)) else { return false };
            let moves = |at, place| moved(query, asked, entry, stored, (at, place));
            // The parts of one word do not move: 3-2, 2020-01-02.
            let one_word = first.place == last.place;
            let either = || is_either(query, asked, (*a, *at)) && is_either(entry, stored, (*place, *b));
            !first.same(last) && (one_word || !((moves(*a, *b) && moves(*at, *place)) || either()))
        });
        if let Some((at, _)) = turned {
            return said(*a, *at);
        }
    }
    None
}

/// The numbers that both prompts have, each with the first such one of the other.
fn pairs(asked: &[Quantity], stored: &[Quantity]) -> Vec<(usize, usize)> {
    let mut taken = vec![false; stored.len()];
    let mut find = |quantity: &Quantity| {
        let free = |(at, other): &(usize, &Quantity)| taken.get(*at) == Some(&false) && quantity.same(other);
        // The same unit comes first.
        let alike = stored.iter().enumerate().filter(free).find(|(_, other)| other.measure == quantity.measure);
        let at = alike.or_else(|| stored.iter().enumerate().find(free)).map(|(at, _)| at)?;
        *taken.get_mut(at)? = true;
        Some(at)
    };
    asked.iter().enumerate().filter_map(|(at, quantity)| Some((at, find(quantity)?))).collect()
}

/// The word that a number counts: the one behind it, or what there is so much of.
fn counted<'a>(words: &'a [Word], quantities: &[Quantity], at: usize) -> Option<&'a Word> {
    let end = quantities.get(at)?.place.end;
    let mut behind = words.iter().skip(end).skip_while(|word| JOINING.contains(&word.text.as_str()));
    let word = behind.next()?;
    let letter = word.text.len() == 1 && word.text.bytes().all(|letter| letter.is_ascii_lowercase() && letter != b'x');
    // "Of A and" is a thing, "of a cake" is none.
    let named = letter && behind.next().is_none_or(|next| matches!(next.text.as_str(), "and" | "or"));
    let told = word.class == Class::Content && !letter && !EITHER.contains(&word.text.as_str()) && word.text != "minus";
    (told || named).then_some(word)
}

/// Whether both words are the same, or one is the plural of the other.
fn is_same(a: &Word, b: &Word) -> bool {
    a.stem == b.stem || is_plural(&a.text, &b.text)
}

/// Whether what the number belongs to has moved along with it.
fn moved(query: &[Word], asked: &[Quantity], entry: &[Word], stored: &[Quantity], (at, place): (usize, usize)) -> bool {
    if let (Some(a), Some(b)) = (counted(query, asked, at), counted(entry, stored, place)) {
        return is_same(a, b);
    }
    if let (Some(a), Some(b)) = (asked.get(at), stored.get(place)) {
        // 5/8 moves as a whole, and a year stands where it likes.
        let half = |words: &[Word], here: &Quantity, all: &[Quantity], at: usize, step: isize| {
            let other = all.get(at.checked_add_signed(step)?)?;
            let sign = if step > 0 { here.place.end } else { other.place.end };
            (words.get(sign)?.text == "/" && here.place.start.abs_diff(other.place.start) == 2).then(|| other.clone())
        };
        let same_half = |step| {
            let (a, b) = (half(query, a, asked, at, step), half(entry, b, stored, place, step));
            a.zip(b).is_some_and(|(a, b)| a.same(&b))
        };
        let year =
            |quantity: &Quantity| quantity.measure == Measure::Count && (1000.0..2200.0).contains(&quantity.value);
        let bare = counted(query, asked, at).is_none() && counted(entry, stored, place).is_none();
        if same_half(1) || same_half(-1) || (bare && year(a)) {
            return true;
        }
    }
    let before = |words: &[Word], quantity: Option<&Quantity>| {
        let at = quantity?.place.start.checked_sub(1)?;
        words.get(at).map(|word| word.stem.clone())
    };
    let (a, b) = (before(query, asked.get(at)), before(entry, stored.get(place)));
    a.is_some() && a == b
}

/// Whether the numbers are but the two sides of a sum, a product or a list.
fn is_either(words: &[Word], quantities: &[Quantity], (first, last): (usize, usize)) -> bool {
    let (Some(a), Some(b)) = (quantities.get(first), quantities.get(last)) else { return false };
    let between = words.get(a.place.end..b.place.start).unwrap_or_default();
    let last = counted(words, quantities, last);
    // "2 or 3 eggs", "2 eggs or 3 eggs".
    let other = counted(words, quantities, first).filter(|word| !EITHER.contains(&word.text.as_str()));
    let apart = other.is_some_and(|other| !last.is_some_and(|last| is_same(last, other)));
    let plain = |word: &Word| {
        EITHER.contains(&word.text.as_str()) || word.text == "rs" || last.is_some_and(|last| is_same(last, word))
    };
    a.place != b.place && !apart && between.len() <= BETWEEN && between.iter().all(plain)
}
