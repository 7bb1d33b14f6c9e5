//! Word order: the same words, turned round a word that says who does what to whom.
//!
//! "Convert dollars to euros" and "convert euros to dollars" have the same words, and nothing that counts or averages words
//! can tell them apart. But people also turn sentences round without meaning anything else: "in India, what is …", "Kyoto
//! or Osaka", "the salary of the president" and "the president's salary". So it takes a pivot: two words that have changed
//! sides around a third, which is either a verb or the like that both prompts have between them, or the same preposition.

use super::super::words::Class;
use super::compared::{Compared, Side};
use super::lists;

/// Shared words of content that are looked at. Whole texts in another order are not turned, but written anew.
const LONGEST: usize = 48;

/// Words of content that the prompts may have for themselves.
const MOST_ALONE: usize = 2;

/// Words of any sort that they may have for themselves, unless they turn round a preposition of direction. What differs in
/// more words is put in another way, and order says little then.
const NEARLY_NONE: usize = 3;
const FEW: usize = 8;

/// Words whose two sides are not alike.
const PIVOTS: [&str; 34] = [
    "above", "after", "against", "as", "at", "be", "before", "behind", "below", "between", "by", "for", "from", "if",
    "in", "into", "is", "of", "on", "onto", "over", "per", "than", "that", "through", "to", "toward", "towards",
    "under", "until", "when", "with", "without", "who",
];

/// Words whose two sides are.
const LISTING: [&str; 7] = ["&", "and", "nor", "or", "plus", "versus", "vs"];

/// Stems of words that say the same of both sides.
const SYMMETRIC: [&str; 16] = [
    "alik",
    "border",
    "compar",
    "comparison",
    "differ",
    "differenti",
    "distanc",
    "distinct",
    "distinguish",
    "equal",
    "equival",
    "relat",
    "relationship",
    "same",
    "similar",
    "versus",
];

/// Why the order of the words excludes a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    if let Some((first, last)) = swapped(compared) {
        return Some(format!("{} … {}", compared.query.text(first), compared.query.text(last)));
    }
    let shared: Vec<(usize, usize)> = (0..compared.query.words.len())
        .filter(|at| compared.query.word(*at).is_some_and(|word| is_content(word.class)))
        .filter_map(|at| Some((at, compared.query.partner(at)?)))
        .collect();
    let content = |side: &Side| side.alone_of(Class::Content).count() + side.alone_of(Class::Number).count();
    let alone = compared.query.alone.len() + compared.entry.alone.len();
    if shared.len() > LONGEST || content(&compared.query) + content(&compared.entry) > MOST_ALONE || alone > FEW {
        return None;
    }
    let turned = |first: &(usize, usize), last: &(usize, usize)| {
        first.1 > last.1
            && is_thing(&compared.query, first.0)
            && is_thing(&compared.query, last.0)
            && (alone <= NEARLY_NONE || is_directed(&compared.query, first.0, last.0))
            && has_pivot(compared, &shared, *first, *last)
    };
    let (first, last) = shared.iter().enumerate().find_map(|(number, first)| {
        let last = shared.iter().skip(number + 1).find(|last| turned(first, last))?;
        Some((first.0, last.0))
    })?;
    Some(format!("{} … {}", compared.query.text(first), compared.query.text(last)))
}

/// The two words that have changed places, in prompts that are the same but for that, with others between them.
fn swapped(compared: &Compared) -> Option<(usize, usize)> {
    let (query, entry) = (&compared.query, &compared.entry);
    if query.words.len() != entry.words.len() || !query.alone.is_empty() || !entry.alone.is_empty() {
        return None;
    }
    let mut moved = (0..query.words.len()).filter(|at| query.partner(*at) != Some(*at));
    let (first, last) = (moved.next()?, moved.next()?);
    let only = moved.next().is_none() && last > first + 1;
    let listing = is_listed(query, first, last) || is_symmetric(query, first, last);
    let content = |at: usize| query.word(at).is_some_and(|word| is_content(word.class));
    (only && !(listing && content(first) && content(last))).then_some((first, last))
}

/// Whether the two are things of one list.
fn is_listed(side: &Side, first: usize, last: usize) -> bool {
    let between = || (first + 1..last).map(|at| side.text(at));
    between().any(|word| LISTING.contains(&word)) && !between().any(|word| matches!(word, "but" | "not" | "than"))
}

/// Whether a word before or between the two says the same of both.
fn is_symmetric(side: &Side, first: usize, last: usize) -> bool {
    let mut words = (first.saturating_sub(3)..last).filter(|at| *at != first).filter_map(|at| side.word(at));
    words.any(|word| SYMMETRIC.contains(&word.stem.as_str()))
}

/// What is done and how wanders about in a sentence; who does it to whom does not.
fn is_thing(side: &Side, at: usize) -> bool {
    !lists::is_verb(side.stem(at)) && !lists::is_adverb(side.stem(at))
}

fn is_directed(side: &Side, first: usize, last: usize) -> bool {
    (first + 1..last).any(|at| matches!(side.text(at), "against" | "from" | "into" | "over" | "than" | "to"))
}

fn is_content(class: Class) -> bool {
    matches!(class, Class::Content | Class::Number)
}

/// Whether two words that have changed places did so around a third.
fn has_pivot(compared: &Compared, shared: &[(usize, usize)], first: (usize, usize), last: (usize, usize)) -> bool {
    let (query, entry) = (&compared.query, &compared.entry);
    let (from, to) = (last.1, first.1);
    if (is_listed(query, first.0, last.0) && is_listed(entry, from, to))
        || is_symmetric(query, first.0, last.0)
        || is_symmetric(entry, from, to)
    {
        return false;
    }
    let stands_between = |(at, place): &(usize, usize)| first.0 < *at && *at < last.0 && from < *place && *place < to;
    if shared.iter().any(stands_between) {
        // "Pills for burning fat" and "fat burning pills": what was joined by a preposition was put in front instead.
        let joins = |side: &Side, from: usize, to: usize| {
            (from + 1..to).filter(|at| matches!(side.text(*at), "of" | "for" | "in" | "on" | "by" | "with")).count()
        };
        return joins(query, first.0, last.0) == joins(entry, from, to);
    }
    let pivots = |side: &Side, from: usize, to: usize, word: &str| (from + 1..to).any(|at| side.text(at) == word);
    (first.0 + 1..last.0).map(|at| query.text(at)).any(|word| PIVOTS.contains(&word) && pivots(entry, from, to, word))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{says, test};
    use super::super::Guard;

    #[test]
    fn who_does_what_to_whom_matters() {
        let strikes = [
            ("convert dollars to euros", "convert euros to dollars"),
            ("how do i convert inches to feet", "what is the way to convert feet to inches"),
            ("man bites dog", "dog bites man"),
            ("is milk better than tea", "why is tea better than milk"),
            ("move files from a disk to a phone", "move files from a phone to a disk"),
            ("is it safe to drink it", "is it drink to safe it"),
            ("what belongs to art and not to craft", "what belongs to craft and not to art"),
        ];
        let passes = [
            ("what should i plant in summer", "in summer what should i plant"),
            ("the salary of a pilot", "a pilot's salary"),
            ("pills for burning fat", "fat burning pills"),
            ("tea or milk", "milk or tea"),
            ("the difference between tea and milk", "the difference between milk and tea"),
            ("how is tea different from milk", "how is milk different from tea"),
            ("learn to cook quickly", "quickly learn to cook"),
            ("which phone is best", "which is the best phone"),
        ];
        test(Guard::Order, &strikes, &passes);
        let said = says(Guard::Order, "convert dollars to euros", "convert euros to dollars");
        assert_eq!(said.as_deref(), Some("dollars … euros"));
    }
}
