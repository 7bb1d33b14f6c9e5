//! Negation: one prompt denies what the other says.
//!
//! Words that deny are counted, and one more on one side turns the question round. Words that only may deny (avoid, stop,
//! fail) count where the other prompt has nothing in their place. "Not happy" and "unhappy" deny alike.

use super::super::words::{Class, Word};
use super::compared::{Compared, Side};
use super::{antonyms, lists};

/// Words that always deny.
const DENYING: [&str; 12] =
    ["cannot", "never", "neither", "no", "nobody", "none", "non", "nor", "not", "nothing", "nowhere", "without"];

/// Stems that deny what follows them.
const AVOIDING: [&str; 24] = [
    "abstain", "avoid", "ceas", "cease", "deni", "disabl", "except", "exclud", "fail", "forbid", "forget", "imposs",
    "inabl", "lack", "minus", "prevent", "prohibit", "quit", "refus", "reject", "skip", "stop", "unabl", "unless",
];

/// Why the negation of one prompt excludes a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    let (query, entry) = (denials(&compared.query), denials(&compared.entry));
    if query.len() % 2 != entry.len() % 2 {
        let asked = query.len() > entry.len();
        let (side, denials) = if asked { (&compared.query, query) } else { (&compared.entry, entry) };
        let more = denials.iter().copied().find(|at| side.partner(*at).is_none());
        let at = more.or_else(|| denials.first().copied())?;
        return turns(compared, asked, at).then(|| said_only(side, at, asked));
    }
    if let Some(said) = free_of(compared) {
        return Some(said);
    }
    let avoiding = |side: &Side| side.alone_of(Class::Content).find(|(_, word)| is_avoiding(word)).map(|(at, _)| at);
    match (avoiding(&compared.query), avoiding(&compared.entry)) {
        (Some(at), None) if is_all_shared(&compared.entry) => Some(said_only(&compared.query, at, true)),
        (None, Some(at)) if is_all_shared(&compared.query) => Some(said_only(&compared.entry, at, false)),
        _ => None,
    }
}

/// "Sugar free cookies" and "sugar cookies": behind a thing that both prompts name, "free" says without it.
fn free_of(compared: &Compared) -> Option<String> {
    let (query, entry) = (&compared.query, &compared.entry);
    let free = |side: &Side, other: &Side| {
        let mut alone = side.alone_of(Class::Content);
        let (at, _) = alone.next().filter(|(_, word)| word.text == "free")?;
        let thing = at.checked_sub(1)?;
        let named = side.word(thing).is_some_and(|word| word.class == Class::Content);
        let only = alone.next().is_none() && other.alone_of(Class::Content).next().is_none();
        let noun = !lists::is_verb(side.stem(thing)) && !lists::is_adverb(side.stem(thing));
        let follows = side.word(at + 1).is_none_or(|next| next.class == Class::Content && !next.starts);
        (only && named && noun && follows && side.partner(thing).is_some()).then_some(at)
    };
    match (free(query, entry), free(entry, query)) {
        (Some(at), _) => Some(said_only(query, at, true)),
        (_, Some(at)) => Some(said_only(entry, at, false)),
        _ => None,
    }
}

/// Whether denying this turns the question round. What is denied must be asked in the other prompt as well. If it is not,
/// it narrows the question ("without sugar"), which counts where nothing else is different. People tell with a "not" what
/// troubles them before they ask, so where there are several sentences, all else must be the same.
fn turns(compared: &Compared, asked: bool, at: usize) -> bool {
    let (side, other) = if asked { (&compared.query, &compared.entry) } else { (&compared.entry, &compared.query) };
    if denies_otherwise(compared, asked, at) {
        return false;
    }
    if side.words.iter().filter(|word| word.starts).count() > 1 {
        return is_all_shared(side) && is_all_shared(other);
    }
    let denied = (at + 1..side.words.len()).find(|at| side.word(*at).is_some_and(|word| word.class != Class::Function));
    denied.is_none_or(|denied| side.partner(denied).is_some()) || is_all_shared(other)
}

/// Places of the words that deny something.
fn denials(side: &Side) -> Vec<usize> {
    let denies = |at: &usize| DENYING.contains(&side.text(*at)) && !is_idle(side, *at);
    (0..side.words.len()).filter(denies).collect()
}

/// "Or not", "why or why not", "not only", "no matter" deny nothing, and neither does who asks "isn't it …".
fn is_idle(side: &Side, at: usize) -> bool {
    let before = at.checked_sub(1).map(|at| side.text(at)).unwrap_or_default();
    let behind = side.text(at + 1);
    let asks = at.checked_sub(1).and_then(|at| side.word(at)).is_some_and(|word| word.starts);
    match side.text(at) {
        "not" if asks => {
            matches!(behind, "he" | "i" | "it" | "she" | "that" | "there" | "they" | "this" | "we" | "you")
        }
        "not" => before == "or" || matches!(behind, "only" | "just" | "or") || (before == "why" && behind.is_empty()),
        "no" => matches!(behind, "matter" | "wonder" | "doubt"),
        "nothing" => behind == "but",
        _ => false,
    }
}

fn is_avoiding(word: &Word) -> bool {
    AVOIDING.contains(&word.stem.as_str())
}

/// Whether a prompt has no word of content for itself.
fn is_all_shared(side: &Side) -> bool {
    side.alone_of(Class::Content).next().is_none()
}

/// Whether the other prompt says the opposite of what is denied here: "not happy" and "unhappy", "not open" and "closed",
/// or avoids it.
fn denies_otherwise(compared: &Compared, asked: bool, at: usize) -> bool {
    let other = if asked { &compared.entry } else { &compared.query };
    let opposite = compared.alone_pairs().any(|(query, entry)| {
        let denied = if asked { query } else { entry };
        (at + 1..at + 5).contains(&denied) && antonyms::are_opposite(compared, query, entry)
    });
    opposite || other.alone_of(Class::Content).any(|(_, word)| is_avoiding(word))
}

fn said_only(side: &Side, at: usize, asked: bool) -> String {
    format!("\"{}\" is {} only", side.text(at), if asked { "asked" } else { "stored" })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{says, test};
    use super::super::Guard;

    #[test]
    fn one_more_denial_turns_the_question() {
        let strikes = [
            ("who was invited", "who was not invited"),
            ("why does it work", "why doesn't it work"),
            ("a cake with sugar", "a cake without sugar"),
            ("should i ever do it", "should i never do it"),
            ("how do i lie", "how do i avoid lying"),
            ("which birds fly", "which birds fail to fly"),
            ("ways to swim", "ways to swim without goggles"),
            ("sugar-free cookies", "sugar cookies"),
            ("a recipe for gluten free bread", "a recipe for gluten bread"),
        ];
        let passes = [
            ("why is he not happy", "why is he unhappy"),
            ("why is the shop not open", "why is the shop closed"),
            ("how do i not lie", "how do i avoid lying"),
            ("isn't it cold", "is it cold"),
            ("should i stay or not", "should i stay"),
            ("nobody came, why", "why did no one come"),
            ("how do i stop smoking", "how do i quit smoking"),
            ("my router does not blink. how do i reset it to factory settings", "how do i reset my router"),
        ];
        test(Guard::Negation, &strikes, &passes);
    }

    #[test]
    fn it_says_which_word_denies() {
        let said = says(Guard::Negation, "who was not invited", "who was invited");
        assert_eq!(said.as_deref(), Some("\"not\" is asked only"));
    }
}
