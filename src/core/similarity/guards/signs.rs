//! Signs: the operators of code and formulas, and what else is no word but says what is done.
//!
//! `x < y` and `x > y` differ in one character of which no model of words knows anything. It counts where both prompts have
//! another sign, or where one has a sign and the other nothing in its place.

use super::super::words::{Class, Word};
use super::compared::{Compared, Side};

/// Signs that people leave out, or write for a word.
const PROSE: [&str; 9] = ["/", "-", "|", "&", "~", ":", "\\", "->", "=>"];

/// Words that say what a sign does: plus, divided by, at least, not.
const SPOKEN: [&str; 24] = [
    "add",
    "and",
    "divid",
    "equal",
    "exceed",
    "exclam",
    "exponenti",
    "greater",
    "larger",
    "less",
    "minus",
    "multipli",
    "not",
    "or",
    "over",
    "plus",
    "power",
    "sign",
    "smaller",
    "squar",
    "subtract",
    "sum",
    "time",
    "to",
];

/// Why the signs of the two prompts exclude a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    let (query, entry) = (&compared.query, &compared.entry);
    let (asked, stored) = (sign(query), sign(entry));
    let only = |side: &Side, other: &Side, at: usize, which: &str| {
        let word = side.word(at)?;
        let prose = PROSE.contains(&word.text.as_str());
        let content = |side: &Side| side.alone_of(Class::Content).filter(|(_, word)| !is_sign(word)).count();
        let spoken =
            || other.alone.iter().filter_map(|at| other.word(*at)).any(|word| SPOKEN.contains(&word.stem.as_str()));
        (!prose && content(side) + content(other) == 0 && !spoken()).then(|| format!("{} is {which} only", word.text))
    };
    match (asked, stored) {
        (Some(a), Some(b)) => Some(format!("{} and {}", query.text(a), entry.text(b))),
        (Some(at), None) => only(query, entry, at, "asked"),
        (None, Some(at)) => only(entry, query, at, "stored"),
        (None, None) => None,
    }
}

/// The first sign that has no partner.
fn sign(side: &Side) -> Option<usize> {
    side.alone.iter().copied().find(|at| side.word(*at).is_some_and(is_sign))
}

fn is_sign(word: &Word) -> bool {
    let text = word.text.as_str();
    match word.class {
        Class::Symbol => text.chars().all(is_operator),
        // i++, a*, -D. But not C++, which is a name, nor A+, which is a grade.
        Class::Content => {
            let letters = text.trim_end_matches(is_operator);
            let repeated = letters.len() == 1 && letters.len() < text.len() && text != "c++";
            let flag = text.strip_prefix('-').is_some_and(|flag| !flag.is_empty() && flag.len() <= 2);
            repeated || flag
        }
        _ => false,
    }
}

fn is_operator(c: char) -> bool {
    "+-*/<>=&|^~%!?:\\".contains(c) || ('\u{2200}'..='\u{22ff}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{says, test};
    use super::super::Guard;

    #[test]
    fn another_sign_does_something_else() {
        let strikes = [
            ("is x < y", "is x > y"),
            ("what does x <= y mean", "what does x < y mean"),
            ("is x ≤ y", "is x ≥ y"),
            ("what does = do in python", "what does == do in python"),
            ("is a == b", "is a != b"),
            ("what does ++i do", "what does i++ do"),
            ("what does !ready mean", "what does ready mean"),
            ("does a* match it", "does a? match it"),
            ("does a* match it", "does a match it"),
            ("what is 5 + 3", "what is 5 - 3"),
            ("what is 12 * 4", "what is 12 / 4"),
            ("what does ls -l do", "what does ls -L do"),
        ];
        let passes = [
            ("what is 5 + 3", "what is 5 plus 3"),
            ("what is 12 / 4", "what is 12 divided by 4"),
            ("tea/coffee", "tea or coffee"),
            ("is x < y", "is x less than y"),
        ];
        test(Guard::Signs, &strikes, &passes);
        assert_eq!(says(Guard::Signs, "is x < y", "is x > y").as_deref(), Some("< and >"));
    }
}
