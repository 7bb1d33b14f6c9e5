//! One prompt asks about a part only: "the best colleges" and "the best colleges in Canada", "install it" and "install it on
//! Debian".
//!
//! A name that only one prompt has is mostly left out by people who take it for granted, and guards let that pass. But
//! where all else is the same, and the name comes at the end behind a preposition, it is what the answer depends on.

use super::super::words::Class;
use super::compared::{Compared, Side};
use super::names;

/// Prepositions that narrow what is asked.
const NARROWING: [&str; 9] = ["about", "at", "for", "from", "in", "of", "on", "to", "with"];

/// How many words before the name the preposition may stand.
const BETWEEN: usize = 4;

/// Why what one prompt asks in particular excludes a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    let (query, entry) = (&compared.query, &compared.entry);
    let (side, which) = match (is_all_shared(query), is_all_shared(entry)) {
        (false, true) => (query, "asked"),
        (true, false) => (entry, "stored"),
        _ => return None,
    };
    let at = side.alone.iter().copied().find(|at| names::is_name(side, *at) && is_narrowing(side, *at))?;
    Some(format!("{} is {which} only", side.text(at)))
}

/// Whether a prompt has no word of content for itself.
fn is_all_shared(side: &Side) -> bool {
    side.alone_of(Class::Content).next().is_none() && side.alone_of(Class::Number).next().is_none()
}

/// Whether the word ends or begins a sentence, or nearly so, as part of a phrase that the other prompt does not have, behind
/// a preposition that narrows what is asked.
fn is_narrowing(side: &Side, at: usize) -> bool {
    let starts = |at: usize| side.word(at).is_some_and(|word| word.starts);
    let is_alone = |at: usize| side.partner(at).is_none();
    let first = (0..=at).rev().find(|at| starts(*at)).unwrap_or(0);
    let ends = (at + 1..side.words.len()).take_while(|at| !starts(*at)).all(is_alone);
    let begins = (first..at).all(is_alone);
    let phrase = |at: &usize| is_alone(*at) || matches!(side.text(*at), "the" | "a" | "an" | "my" | "your" | "our");
    let narrows = |at: usize| NARROWING.contains(&side.text(at));
    let before = (at.saturating_sub(BETWEEN)..at).rev().find(|at| narrows(*at) || !phrase(at));
    (ends || begins) && before.is_some_and(narrows) && !matches!(side.text(at), "earth" | "world")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{says, test};
    use super::super::Guard;

    #[test]
    fn a_named_place_narrows_the_question() {
        let strikes = [
            ("best colleges", "best colleges in Canada"),
            ("best colleges", "best colleges in canada"),
            ("how do i install it", "how do i install it on Debian"),
            ("how do i vote", "in Sweden, how do i vote"),
            ("who pays for school", "who pays for school at Eton"),
        ];
        let passes = [
            ("best colleges", "best colleges for girls"),
            ("the dangerous animals", "the dangerous animals on earth"),
            ("who rules Denmark", "who rules denmark now"),
            ("the rent in Gurgaon", "the rent in Gurgaon, Haryana"),
            ("a flight from Rome", "a cheap flight from Rome"),
            ("good places to live", "where is life good in Canada"),
        ];
        test(Guard::Narrowed, &strikes, &passes);
        let said = says(Guard::Narrowed, "best colleges", "best colleges in Canada");
        assert_eq!(said.as_deref(), Some("canada is stored only"));
    }
}
