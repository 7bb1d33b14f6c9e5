//! Opposites: buy and sell, best and worst, before and after, encrypt and decrypt, happy and unhappy.
//!
//! Two words that exclude each other, one alone in each prompt, make two questions of them wherever they stand. For the
//! small words of direction (in and out, up and down) it takes the same place as well, since they have too many uses.

use super::super::words::Class;
use super::compared::Compared;
use super::{lists, particles, times};

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
    opposites(compared).or_else(|| particles::check(compared)).or_else(|| times::check(compared))
}

fn opposites(compared: &Compared) -> Option<String> {
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
    let caused = is_cause(&a.text, &b.text) || is_cause(&b.text, &a.text);
    let small = a.class == Class::Function || b.class == Class::Function;
    if small {
        return (listed || is_joined(compared, query, entry)) && compared.same_place(query, entry) || caused;
    }
    listed
        || caused
        || is_opposite_degree(&a.text, &b.text)
        || turned(&a.text, &b.text)
        || turned(&b.text, &a.text)
        || bare(&a.text, &b.text)
        || bare(&b.text, &a.text)
}

/// "Because of the rain" and "despite the rain".
fn is_cause(a: &str, b: &str) -> bool {
    matches!(a, "because" | "due" | "thanks") && matches!(b, "despite" | "spite" | "although" | "though" | "regardless")
}

/// "Admins and editors" and "admins or editors". Who asks what two things have to do with each other says either.
fn is_joined(compared: &Compared, query: usize, entry: usize) -> bool {
    let (a, b) = (compared.query.text(query), compared.entry.text(entry));
    let joins = matches!((a, b), ("and", "or") | ("or", "and"));
    let compares = |word: &super::super::words::Word| {
        let text = word.text.as_str();
        COMPARING.contains(&word.stem.as_str()) || text.ends_with("est") || text.ends_with("er")
    };
    joins && !compared.query.words.iter().chain(compared.entry.words).any(compares)
}

/// Stems of words that ask about one thing beside the other.
const COMPARING: [&str; 17] = [
    "between",
    "choos",
    "compar",
    "comparison",
    "connect",
    "differ",
    "distinct",
    "distinguish",
    "either",
    "good",
    "more",
    "prefer",
    "relat",
    "relationship",
    "similar",
    "versus",
    "vs",
];

/// The cheapest and the most expensive: degrees of opposites.
fn is_opposite_degree(a: &str, b: &str) -> bool {
    let degrees = ["est", "er"];
    // Without its ending, and without the letter that was doubled, it is the stem.
    let bare = |word: &'_ str| {
        degrees.iter().find_map(|degree| word.strip_suffix(degree)).filter(|bare| bare.len() >= 3).map(str::to_owned)
    };
    let single = |bare: &str| {
        let mut letters = bare.bytes().rev();
        let doubled = letters.next().is_some_and(|last| letters.next() == Some(last));
        bare.get(..bare.len() - usize::from(doubled)).unwrap_or(bare).to_owned()
    };
    let forms = |word: &str| {
        let bare = bare(word);
        let single = bare.as_deref().map(single);
        let own = super::super::words::stem_of(word);
        [Some(own), bare, single].into_iter().flatten().map(|form| lists::key(&form)).collect::<Vec<_>>()
    };
    if !degrees.iter().any(|degree| a.ends_with(degree) || b.ends_with(degree)) {
        return false;
    }
    let (a, b) = (forms(a), forms(b));
    a.iter().any(|a| b.iter().any(|b| lists::exclude(*a, *b)))
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
            ("the cheapest car", "the most expensive car"),
            ("the bigger city", "the smaller city"),
            ("admins and editors", "admins or editors"),
            ("they lost due to the rain", "they lost despite the rain"),
            ("they won because of the rain", "they won despite the rain"),
            ("what is allowed here", "what is forbidden here"),
            ("gifts given by kings", "gifts received by kings"),
        ];
        let passes = [
            ("why is he not happy", "why is he unhappy"),
            ("a cheap phone", "the least expensive phone"),
            ("find out more in a book", "find more in a book"),
            ("come in to it on monday", "come out of what on monday is it"),
            ("is tea better than milk and water", "is tea better than milk or water"),
            ("compare tea and milk", "compare tea or milk"),
            ("the cheapest car", "the least expensive car"),
            ("is it hot or cold", "is it cold or hot"),
            ("a port for ships", "the import of ships and a port for it"),
        ];
        test(Guard::Antonyms, &strikes, &passes);
        assert_eq!(says(Guard::Antonyms, "buy gold", "sell gold").as_deref(), Some("buy and sell"));
    }
}
