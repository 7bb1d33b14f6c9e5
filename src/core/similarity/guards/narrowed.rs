//! One prompt asks about a part only: "the best colleges" and "the best colleges in Canada", "install it" and "install it on
//! Debian".
//!
//! Or one word makes another thing of what is named: Sudan and South Sudan, the president and the vice president.
//!
//! A name that only one prompt has is mostly left out by people who take it for granted, and guards let that pass. But
//! where all else is the same, and the name comes at the end behind a preposition, it is what the answer depends on.

use super::super::words::{Capital, Class};
use super::compared::{Compared, Side};
use super::{lists, names};

/// Prepositions that narrow what is asked.
const NARROWING: [&str; 9] = ["about", "at", "for", "from", "in", "of", "on", "to", "with"];

/// How many words before the name the preposition may stand.
const BETWEEN: usize = 4;

/// Words that make another place of a place.
const PARTS: [&str; 13] = [
    "central",
    "east",
    "eastern",
    "equatorial",
    "north",
    "northeast",
    "northern",
    "northwest",
    "south",
    "southeast",
    "southern",
    "west",
    "western",
];

/// Words that make another office of an office.
const DEPUTIES: [&str; 26] = [
    "2nd",
    "acting",
    "assistant",
    "associate",
    "co",
    "deputy",
    "designate",
    "elect",
    "emeritus",
    "ex",
    "first",
    "1st",
    "former",
    "fourth",
    "honorary",
    "incoming",
    "interim",
    "last",
    "next",
    "past",
    "previous",
    "second",
    "shadow",
    "sub",
    "third",
    "vice",
];

/// Stems of offices.
const OFFICES: [&str; 32] = [
    "ambassador",
    "captain",
    "ceo",
    "chair",
    "chairman",
    "chancellor",
    "chief",
    "coach",
    "command",
    "commission",
    "dean",
    "director",
    "editor",
    "emperor",
    "general",
    "governor",
    "king",
    "leader",
    "manag",
    "marshal",
    "mayor",
    "minist",
    "ministri",
    "pope",
    "premier",
    "presid",
    "prime",
    "princip",
    "queen",
    "secretari",
    "senat",
    "treasur",
];

/// Words behind a product that make another product of it, however they are written.
const MODELS: [&str; 9] = ["air", "lite", "max", "mini", "plus", "pro", "se", "ultra", "xl"];

/// Words behind a name that only say what it is the name of.
const SORTS: [&str; 65] = [
    "account",
    "airline",
    "airport",
    "algorithm",
    "app",
    "application",
    "army",
    "assembly",
    "award",
    "bank",
    "book",
    "brand",
    "browser",
    "card",
    "channel",
    "city",
    "club",
    "college",
    "company",
    "corp",
    "corporation",
    "country",
    "county",
    "course",
    "device",
    "district",
    "election",
    "exam",
    "film",
    "framework",
    "game",
    "government",
    "group",
    "inc",
    "institute",
    "island",
    "language",
    "limited",
    "ltd",
    "market",
    "military",
    "movie",
    "network",
    "novel",
    "os",
    "party",
    "phone",
    "president",
    "programming",
    "province",
    "republic",
    "river",
    "school",
    "serie",
    "service",
    "show",
    "site",
    "software",
    "state",
    "system",
    "team",
    "test",
    "tv",
    "university",
    "website",
];

/// Why what one prompt asks in particular excludes a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    let (query, entry) = (&compared.query, &compared.entry);
    let (side, other, which) = match (is_all_shared(query), is_all_shared(entry)) {
        (false, true) => (query, entry, "asked"),
        (true, false) => (entry, query, "stored"),
        _ => return None,
    };
    let narrows =
        |at: &usize| (names::is_name(side, *at) && is_narrowing(side, *at)) || is_other_thing(side, other, *at);
    let at = side.alone.iter().copied().find(narrows)?;
    Some(format!("{} is {which} only", side.text(at)))
}

/// Whether a word that only one prompt has makes another thing of the one beside it, which both have.
fn is_other_thing(side: &Side, other: &Side, at: usize) -> bool {
    let Some(word) = side.word(at) else { return false };
    let shared = |at: usize| side.partner(at).is_some();
    let text = word.text.as_str();
    let next = side.word(at + 1).filter(|next| shared(at + 1) && !next.starts);
    if let Some(next) = next {
        let superlative =
            next.text.ends_with("est") || matches!(next.text.as_str(), "most" | "worst" | "last" | "least");
        let counts = matches!(text, "second" | "2nd" | "third" | "3rd" | "fourth" | "4th" | "fifth" | "5th" | "next");
        if (superlative && counts)
            || (DEPUTIES.contains(&text) && OFFICES.contains(&next.stem.as_str()))
            || (PARTS.contains(&text) && names::is_name(side, at + 1))
        {
            return true;
        }
    }
    let Some(before) = at.checked_sub(1).filter(|before| shared(*before) && !word.starts) else { return false };
    let number = side
        .word(before)
        .is_some_and(|word| word.class == Class::Number || word.text.ends_with(|last: char| last.is_ascii_digit()));
    let named = names::is_name(side, before);
    let twice = named && before.checked_sub(1).is_some_and(|at| shared(at) && names::is_name(side, at));
    let initial = text.len() == 1 && text.bytes().all(|letter| letter.is_ascii_lowercase());
    let sum = side.word(at + 1).is_some_and(|next| next.class == Class::Number);
    if (number || named) && !sum && MODELS.contains(&text) {
        return true;
    }
    // What stands in place of another word was not added: a misspelt one is no name.
    let added = other.alone.iter().all(|at| matches!(other.text(*at), "a" | "an" | "the"));
    let capital = added && word.capital != Capital::None;
    // "Chinese" is no name of a thing.
    let spelled = side.word(before).map(|word| lists::key(&word.text));
    let adjective = spelled.is_some_and(|spelled| lists::thing(spelled, true).is_some_and(|thing| thing != spelled));
    let plain = !adjective
        && lists::is_word(word)
        && lists::thing(lists::key(text), false).is_none()
        && !SORTS.contains(&text.trim_end_matches('s'));
    // Martin Luther King, Claude Code, Michael B. Jordan.
    (capital && word.class == Class::Content && (twice || (named && plain)))
        || (initial && capital && named && names::is_name(side, at + 1) && shared(at + 1))
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
            ("the capital of Sudan", "the capital of South Sudan"),
            ("the second largest city", "the largest city"),
            ("the first president of Peru", "the president of Peru"),
            ("who is the deputy mayor", "who is the mayor"),
            ("how heavy is the iPhone 15", "how heavy is the iPhone 15 Pro"),
            ("how heavy is the iphone 15", "how heavy is the iphone 15 pro"),
            ("what does Claude cost", "what does Claude Code cost"),
            ("Who was Martin Luther?", "Who was Martin Luther King?"),
            ("How old is Michael Jordan?", "How old is Michael B. Jordan?"),
        ];
        let passes = [
            ("best colleges", "best colleges for girls"),
            ("the dangerous animals", "the dangerous animals on earth"),
            ("who rules Denmark", "who rules denmark now"),
            ("the rent in Gurgaon", "the rent in Gurgaon, Haryana"),
            ("a flight from Rome", "a cheap flight from Rome"),
            ("who is the mayor", "who is the current mayor"),
            ("is Harvard good", "is Harvard University good"),
            ("how old is Obama", "how old is Barack Obama"),
            ("good places to live", "where is life good in Canada"),
        ];
        test(Guard::Narrowed, &strikes, &passes);
        let said = says(Guard::Narrowed, "best colleges", "best colleges in Canada");
        assert_eq!(said.as_deref(), Some("canada is stored only"));
    }
}
