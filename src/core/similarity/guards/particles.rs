//! Verbs of two words: log in and log out, sign up and sign off, roll back and roll out.
//!
//! The small words of direction have too many uses to exclude each other wherever they stand. Behind a verb that means
//! something of its own with each of them they do.

use super::super::words::Class;
use super::compared::{Compared, Side};

/// Stems of verbs with several such partners.
const VERBS: [&str; 39] = [
    "back", "boot", "break", "bring", "cash", "check", "clock", "close", "count", "cut", "dial", "fade", "hand",
    "lock", "log", "move", "opt", "phase", "plug", "power", "put", "ramp", "roll", "scale", "scroll", "set", "shut",
    "sign", "slow", "speed", "step", "switch", "take", "tune", "turn", "vote", "walk", "wind", "zoom",
];

/// Their partners. What says the same is one: power off and power down.
const PARTICLES: [(&str, u8); 13] = [
    ("away", 0),
    ("back", 1),
    ("down", 2),
    ("in", 3),
    ("into", 3),
    ("off", 4),
    ("on", 5),
    ("onto", 5),
    ("out", 6),
    ("over", 7),
    ("through", 8),
    ("under", 9),
    ("up", 10),
];

/// Pairs of which each says the same behind some of the verbs.
const SAME: [(&str, &str, &str); 9] = [
    ("log", "in", "on"),
    ("log", "out", "off"),
    ("sign", "in", "on"),
    ("sign", "out", "off"),
    ("clock", "in", "on"),
    ("clock", "out", "off"),
    ("power", "off", "down"),
    ("power", "on", "up"),
    ("shut", "off", "down"),
];

/// How many words may stand between the two: turn all of the notifications off.
const BETWEEN: usize = 4;

/// Why the same verb with another partner excludes a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    let (query, entry) = (&compared.query, &compared.entry);
    (0..query.words.len()).find_map(|at| {
        let place = query.partner(at)?;
        let verb = query.word(at).filter(|word| VERBS.contains(&word.stem.as_str()))?;
        let (a, b) = (partner(query, at)?, partner(entry, place)?);
        let differs = group(a) != group(b) && !is_same(&verb.stem, a, b) && !is_same(&verb.stem, b, a);
        differs.then(|| format!("{} {a} and {} {b}", verb.text, entry.text(place)))
    })
}

fn group(particle: &str) -> Option<u8> {
    PARTICLES.iter().find(|(word, _)| *word == particle).map(|(_, group)| *group)
}

fn is_same(verb: &str, a: &str, b: &str) -> bool {
    SAME.contains(&(verb, a, b))
}

/// The partner of the verb at this place: right behind it, or behind what it is done to, where no other verb stands
/// between. There "in" and "over" belong to what follows.
fn partner<'a>(side: &Side<'a>, verb: usize) -> Option<&'a str> {
    let next = side.word(verb + 1)?;
    if group(&next.text).is_some() {
        // "Back in Rome" is no verb.
        let idle = side.text(verb) == "back" && !matches!(next.text.as_str(), "down" | "off" | "out" | "up");
        return (!idle).then_some(&next.text);
    }
    let far = |at: &usize| matches!(side.text(*at), "back" | "down" | "off" | "on" | "out" | "up");
    let at = (verb + 2..side.words.len().min(verb + 2 + BETWEEN)).find(far)?;
    let ends = at + 1 >= side.words.len()
        || side.word(at + 1).is_some_and(|next| next.class == Class::Function || next.starts);
    let word = side.word(at)?;
    ends.then_some(word.text.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{says, test};
    use super::super::Guard;

    #[test]
    fn a_verb_with_another_partner_is_another_verb() {
        let strikes = [
            ("how do i log in", "how do i log out"),
            ("how do i opt in to mails", "how do i opt out of mails"),
            ("how do i sign up for it", "how do i sign off for it"),
            ("how do i back up a change", "how do i back out a change"),
            ("how do i roll back a release", "how do i roll out a release"),
            ("turn the lights on", "turn off the lights"),
            ("logging in to it", "how can i log out of it"),
        ];
        let passes = [
            ("turn off the lights", "turn the lights off"),
            ("how do i log in to it", "how do i log on to it"),
            ("shut down the server", "shut the server off"),
            ("check in at noon", "check the weather in Rome"),
            ("log errors on monday", "log errors in a file"),
        ];
        test(Guard::Antonyms, &strikes, &passes);
        let said = says(Guard::Antonyms, "how do i log in to it", "how do i log out of it");
        assert_eq!(said.as_deref(), Some("log in and log out"));
    }
}
