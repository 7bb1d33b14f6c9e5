//! When: before, during or after the exam, this week or next week.

use super::compared::{Compared, Side};

/// Times as seen from an event: what a word may mean, a bit for each.
const BEHIND: u8 = 1;
const AHEAD: u8 = 2;
const UP_TO: u8 = 4;
const WITHIN: u8 = 8;
const MEANWHILE: u8 = 16;

/// Words that say when something is. Words that may mean the same do not exclude each other.
const WHEN: [(&str, u8); 12] = [
    ("after", BEHIND),
    ("before", AHEAD | UP_TO),
    ("by", UP_TO | WITHIN),
    ("during", MEANWHILE),
    ("following", BEHIND),
    ("in", WITHIN | MEANWHILE),
    ("prior", AHEAD | UP_TO),
    ("since", BEHIND),
    ("till", UP_TO),
    ("until", UP_TO),
    ("while", MEANWHILE),
    ("within", WITHIN | MEANWHILE),
];

/// Those of them that have other uses. They count in place of one that has none.
const OTHERWISE: [&str; 4] = ["by", "following", "in", "while"];

/// Which one of several times: the one that is, the one to come, the one that was.
const WHICH: [(&str, u8); 9] = [
    ("coming", 1),
    ("current", 0),
    ("following", 1),
    ("last", 2),
    ("next", 1),
    ("past", 2),
    ("previous", 2),
    ("this", 0),
    ("upcoming", 1),
];

/// Stems of what there are several of, one behind the other.
const TIMES: [&str; 28] = [
    "afternoon",
    "april",
    "august",
    "autumn",
    "centuri",
    "christma",
    "day",
    "decad",
    "even",
    "friday",
    "hour",
    "minut",
    "monday",
    "month",
    "morn",
    "night",
    "quarter",
    "saturday",
    "season",
    "semest",
    "spring",
    "summer",
    "sunday",
    "term",
    "thursday",
    "tuesday",
    "wednesday",
    "week",
];

/// The same, in order behind those.
const MORE_TIMES: [&str; 4] = ["weekend", "winter", "year", "today"];

/// Days by their distance from today.
const DAYS: [&str; 3] = ["yesterday", "today", "tomorrow"];

/// Why what the prompts say of the time excludes a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    let (query, entry) = (&compared.query, &compared.entry);
    let said = |a: usize, b: usize| format!("{} and {}", query.text(a), entry.text(b));
    compared.alone_pairs().find(|(a, b)| is_other_time(compared, *a, *b)).map(|(a, b)| said(a, b)).or_else(|| {
        let times = |side: &Side, at: usize| {
            let stem = side.word(at).map(|word| word.stem.as_str()).unwrap_or_default();
            TIMES.contains(&stem) || MORE_TIMES.contains(&stem)
        };
        let at = (1..query.words.len()).filter(|at| times(query, *at)).find(|at| {
            let Some(place) = query.partner(*at) else { return false };
            match (which(query, *at), which(entry, place)) {
                (Some(a), Some(b)) => a != b,
                _ => false,
            }
        })?;
        let place = query.partner(at)?;
        Some(format!(
            "{} {} and {} {}",
            query.text(at - 1),
            query.text(at),
            entry.text(place.checked_sub(1)?),
            entry.text(place)
        ))
    })
}

/// Which one of the times at this place is meant.
fn which(side: &Side, at: usize) -> Option<u8> {
    let before = side.text(at.checked_sub(1)?);
    WHICH.iter().find(|(word, _)| *word == before).map(|(_, which)| *which)
}

fn is_other_time(compared: &Compared, a: usize, b: usize) -> bool {
    let (query, entry) = (&compared.query, &compared.entry);
    let (one, other) = (query.text(a), entry.text(b));
    if DAYS.contains(&one) && DAYS.contains(&other) {
        return one != other;
    }
    let when = |word: &str| WHEN.iter().find(|(when, _)| *when == word).map(|(_, bits)| *bits);
    let (Some(x), Some(y)) = (when(one), when(other)) else { return false };
    let certain = [one, other].iter().any(|word| !OTHERWISE.contains(word));
    x & y == 0 && certain && compared.same_place(a, b)
}

#[cfg(test)]
mod tests {
    use super::super::testing::test;
    use super::super::Guard;

    #[test]
    fn another_time_is_another_question() {
        let strikes = [
            ("can i cancel within 14 days", "can i cancel after 14 days"),
            ("should i eat before the exam", "should i eat during the exam"),
            ("what is open until noon", "what is open after noon"),
            ("pay by Friday", "pay after Friday"),
            ("what has changed since 2010", "what has changed before 2010"),
            ("can i eat while running", "can i eat before running"),
            ("the schedule of this week", "the schedule of next week"),
            ("who won last year", "who won this year"),
            ("is it open today", "is it open tomorrow"),
        ];
        let passes = [
            ("pay by Friday", "pay before Friday"),
            ("what is open until noon", "what is open till noon"),
            ("the schedule of next week", "the schedule of the coming week"),
            ("who won in the past year", "who won last year"),
            ("can i eat while running", "can i eat when running"),
            ("a book by him", "a book after all"),
        ];
        test(Guard::Antonyms, &strikes, &passes);
    }
}
