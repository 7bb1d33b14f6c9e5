//! Opposites: buy and sell, best and worst, before and after, encrypt and decrypt, happy and unhappy.
//!
//! Two words that exclude each other, one alone in each prompt, make two questions of them wherever they stand. For the
//! small words of direction (in and out, up and down) it takes the same place as well, since they have too many uses.

use super::super::words::Class;
use super::compared::Compared;
use super::lists;

/// What turns a word into its opposite in front of it, and how much of a word must follow for this to be so: "unhappy",
/// but "import" does not deny "port".
const PREFIXES: [(&str, usize); 15] = [
    ("un", 3),
    ("dis", 4),
    ("non", 4),
    ("non-", 3),
    ("ir", 5),
    ("il", 5),
    ("im", 6),
    ("in", 6),
    ("de", 5),
    ("mis", 5),
    ("anti", 4),
    ("counter", 4),
    ("under", 5),
    ("over", 5),
    ("re", 99),
];

/// Why opposites exclude a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    if !compared.differs_both_ways() {
        return None;
    }
    let opposite = |(query, entry): &(usize, usize)| {
        are_opposite(compared, *query, *entry) && !is_denied(compared, *query, *entry)
    };
    let (query, entry) = compared.alone_pairs().find(opposite)?;
    Some(format!("{} and {}", compared.query.text(query), compared.entry.text(entry)))
}

/// Whether two words alone exclude each other.
pub(super) fn are_opposite(compared: &Compared, query: usize, entry: usize) -> bool {
    let (Some(a), Some(b)) = (compared.query.word(query), compared.entry.word(entry)) else { return false };
    let listed = lists::exclude(compared.query.stem(query), compared.entry.stem(entry));
    let small = a.class == Class::Function || b.class == Class::Function;
    if small {
        return listed && compared.same_place(query, entry);
    }
    listed || turned(&a.text, &b.text) || turned(&b.text, &a.text) || bare(&a.text, &b.text) || bare(&b.text, &a.text)
}

/// Whether the first word is the second with a prefix that turns it round.
fn turned(long: &str, short: &str) -> bool {
    PREFIXES.iter().any(|(prefix, least)| short.len() >= *least && long.strip_prefix(prefix) == Some(short))
}

/// Careless and careful, harmless and harm.
fn bare(without: &str, with: &str) -> bool {
    let Some(root) = without.strip_suffix("less").or_else(|| without.strip_suffix("-free")) else { return false };
    root.len() >= 3
        && with.strip_prefix(root).is_some_and(|rest| matches!(rest, "" | "s" | "ful" | "y" | "ous" | "ing" | "ed"))
}

/// Whether one of the two is denied and the other is not, so that they say the same: "not happy" and "unhappy".
fn is_denied(compared: &Compared, query: usize, entry: usize) -> bool {
    let denied = |side: &super::compared::Side, at: usize| {
        (at.saturating_sub(3)..at)
            .any(|before| matches!(side.text(before), "not" | "never" | "no" | "without" | "less" | "least"))
    };
    denied(&compared.query, query) != denied(&compared.entry, entry)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{says, test};
    use super::super::Guard;

    #[test]
    fn opposites_exclude_each_other() {
        let strikes = [
            ("the best film", "the worst film"),
            ("should i buy gold", "when should i sell gold"),
            ("encrypted files", "decrypting a file"),
            ("a reversible process", "an irreversible process"),
            ("connect the cable", "disconnect the cable"),
            ("a careless driver", "a careful driver"),
            ("look up to him", "look down to him"),
            ("walk in the house", "walk out the house"),
            ("eat before noon", "eat after noon"),
        ];
        let passes = [
            ("why is he not happy", "why is he unhappy"),
            ("a cheap phone", "the least expensive phone"),
            ("find out more in a book", "find more in a book"),
            ("log in to it on monday", "log out of what on monday is it"),
            ("is it hot or cold", "is it cold or hot"),
            ("a port for ships", "the import of ships and a port for it"),
        ];
        test(Guard::Antonyms, &strikes, &passes);
        assert_eq!(says(Guard::Antonyms, "buy gold", "sell gold").as_deref(), Some("buy and sell"));
    }
}
