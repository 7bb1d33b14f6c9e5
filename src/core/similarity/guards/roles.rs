//! Who does it, and to whom: the same words, asked about the other one of the two.
//!
//! "Who loves Anna" asks for somebody who loves, "who does Anna love" for somebody who is loved. "Can I sue my employer" and
//! "can my employer sue me" differ in nothing but the form of a pronoun. There is no word between the two that could be
//! turned round, so this looks at what marks the parts of a sentence: do and by, I and me, whose a thing is.

use super::super::words::{Class, Word};
use super::compared::{Compared, Side};
use super::lists;

/// Words that ask for the one who does something or for the one to whom it is done.
const ASKING: [&str; 4] = ["what", "which", "who", "whom"];

const DOING: [&str; 3] = ["did", "do", "does"];

const BEING: [&str; 7] = ["are", "be", "been", "being", "is", "was", "were"];

/// How many words from the first on the question word must stand.
const EARLY: usize = 4;

/// Who does something, and to whom it is done, of each person.
const PERSONS: [(&[&str], &[&str], &[&str]); 6] = [
    (&["i", "we"], &["me", "us"], &["mine", "my", "our", "ours"]),
    (&["u", "you"], &[], &["your", "yours"]),
    (&["he"], &["him"], &["his"]),
    (&["she"], &["her"], &["hers"]),
    (&["they"], &["them"], &["their", "theirs"]),
    (&["it"], &[], &["its"]),
];

/// Why what the two prompts ask of the same words excludes a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    let (query, entry) = (&compared.query, &compared.entry);
    if is_all_shared(query) && is_all_shared(entry) {
        return pronouns(compared).or_else(|| asked_for(compared)).or_else(|| neighbours(compared));
    }
    asked_for(compared)
}

fn is_all_shared(side: &Side) -> bool {
    side.alone_of(Class::Content).next().is_none() && side.alone_of(Class::Number).next().is_none()
}

/// What the question word is to what is done.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Doer,
    Done,
}

/// "Who killed Brutus", "who did Brutus kill" and "who was killed by Brutus".
fn asked_for(compared: &Compared) -> Option<String> {
    let (query, entry) = (&compared.query, &compared.entry);
    let asks = |side: &Side| (0..side.words.len().min(EARLY)).find(|at| ASKING.contains(&side.text(*at)));
    let (from, start) = (asks(query)?, asks(entry)?);
    let helped = |side: &Side| side.words.iter().any(|word| DOING.contains(&word.text.as_str()) || word.text == "by");
    // Where neither has any of the words that mark it, the order of the words says it all.
    if !helped(query) && !helped(entry) {
        return None;
    }
    let pairs: Vec<(usize, usize)> =
        content_pairs(compared).filter(|(at, place)| *at > from && *place > start).collect();
    pairs.iter().find_map(|(verb, same)| {
        let differs = |(thing, other): &&(usize, usize)| {
            let roles = (role(query, from, *verb, *thing), role(entry, start, *same, *other));
            matches!(roles, (Some(a), Some(b)) if a != b)
        };
        let (thing, _) = pairs.iter().filter(|(at, _)| at != verb).find(differs)?;
        Some(format!("{} … {}", query.text((*thing).min(*verb)), query.text((*thing).max(*verb))))
    })
}

/// What the question word is, where this word is what is done and that one the other who has to do with it.
fn role(side: &Side, asks: usize, verb: usize, thing: usize) -> Option<Role> {
    if is_timeless(side.text(verb)) {
        return None;
    }
    let between = |from: usize, to: usize, words: &[&str]| (from + 1..to).any(|at| words.contains(&side.text(at)));
    let does = between(asks, thing.min(verb), &DOING);
    let is = between(asks, verb, &BEING);
    if does && !is && thing < verb && !between(thing, verb, &["to"]) {
        // "Who did Brutus kill"; nothing but the one who did it stands between.
        let bare = (thing + 1..verb).all(|at| side.word(at).is_some_and(|word| word.class == Class::Content));
        return bare.then_some(Role::Done);
    }
    let near = |at: usize| (at + 1..thing).all(|at| matches!(side.text(at), "a" | "an" | "by" | "the" | "my"));
    if does || thing < verb || !near(verb) {
        return None;
    }
    match (is, between(verb, thing, &["by"])) {
        (true, true) => Some(Role::Done),
        // "Which company acquired it": all between are what is asked for.
        (false, false) => {
            let plain = |at: usize| {
                let have = matches!(side.text(at), "had" | "has" | "have");
                have || side.word(at).is_some_and(|word| word.class == Class::Content)
            };
            (asks + 1..verb).all(plain).then_some(Role::Doer)
        }
        _ => None,
    }
}

/// What may be asked either way: "what does it mean" and "what means it", as some people write.
fn is_timeless(verb: &str) -> bool {
    matches!(verb, "mean" | "means" | "cost" | "costs" | "happen" | "happens" | "happened" | "work" | "works")
}

/// The words of content that both prompts have, or have another form of.
fn content_pairs<'a>(compared: &'a Compared) -> impl Iterator<Item = (usize, usize)> + 'a {
    let (query, entry) = (&compared.query, &compared.entry);
    let content = |side: &Side, at: usize| side.word(at).is_some_and(|word| word.class == Class::Content);
    let same = (0..query.words.len()).filter_map(|at| Some((at, query.partner(at)?)));
    let alike = compared.alone_pairs().filter(|(at, place)| lists::alike(query.stem(*at), entry.stem(*place)));
    same.chain(alike).filter(move |(at, place)| content(query, *at) && content(entry, *place))
}

/// "Can I sue him" and "can he sue me", "can you see my screen" and "can I see your screen".
fn pronouns(compared: &Compared) -> Option<String> {
    let (query, entry) = (&compared.query, &compared.entry);
    let alone = |side: &'_ Side, list: &[&str]| {
        side.alone.iter().find(|at| list.contains(&side.text(**at))).map(|at| side.text(*at).to_owned())
    };
    // "I am blocked" is "somebody blocked me".
    let somebody: [&str; 8] = ["anybody", "anyone", "one", "people", "somebody", "someone", "they", "to"];
    let persons_of_case =
        if alone(query, &somebody).or_else(|| alone(entry, &somebody)).is_some() { 0 } else { PERSONS.len() };
    for (doers, done, _) in PERSONS.into_iter().take(persons_of_case) {
        let turned = |a: &Side, b: &Side| Some((alone(a, doers)?, alone(b, done)?));
        let found = turned(query, entry).or_else(|| turned(entry, query).map(|(a, b)| (b, a)));
        let both = |side: &Side| alone(side, doers).is_some() && alone(side, done).is_some();
        if let Some((a, b)) = found.filter(|_| !both(query) && !both(entry)) {
            return Some(format!("{a} and {b}"));
        }
    }
    let (a, b) = (persons(query.words), persons(entry.words));
    let mut sorted = (a.clone(), b.clone());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    let turned = a != b && sorted.0 == sorted.1;
    turned.then(|| {
        let first = a.iter().zip(&b).find(|(a, b)| a != b).map(|(a, b)| (*a, *b)).unwrap_or_default();
        let name =
            |person: usize| PERSONS.get(person).and_then(|(doers, ..)| doers.first()).copied().unwrap_or_default();
        format!("{} and {}", name(first.0), name(first.1))
    })
}

/// Which persons a prompt speaks of, in order. It is nobody.
fn persons(words: &[Word]) -> Vec<usize> {
    let person = |word: &Word| {
        let text = word.text.as_str();
        PERSONS
            .iter()
            .take(PERSONS.len() - 1)
            .position(|(doers, done, owners)| doers.contains(&text) || done.contains(&text) || owners.contains(&text))
    };
    words.iter().filter_map(person).collect()
}

/// "My boss's wife" and "my wife's boss", "are all cats animals" and "are all animals cats": two words that stand side by
/// side have changed places, and one owns the other or is said to be it.
fn neighbours(compared: &Compared) -> Option<String> {
    let (query, entry) = (&compared.query, &compared.entry);
    if query.words.len() != entry.words.len() || !query.alone.is_empty() || !entry.alone.is_empty() {
        return None;
    }
    let mut moved = (0..query.words.len()).filter(|at| query.partner(*at) != Some(*at));
    let (first, last) = (moved.next()?, moved.next()?);
    if moved.next().is_some() || last != first + 1 {
        return None;
    }
    let content = |at: &usize| query.word(*at).is_some_and(|word| word.class == Class::Content);
    let owned = |side: &Side| [first, last].iter().any(|at| side.word(*at).is_some_and(|word| word.owns));
    // "Is Ann Bob's mother", "are all cats animals": the two behind the verb are what is what.
    let is = query
        .words
        .first()
        .is_some_and(|word| BEING.contains(&word.text.as_str()) || DOING.contains(&word.text.as_str()));
    let subject = (1..first).all(|at| query.word(at).is_some_and(|word| word.class == Class::Function));
    let turned = [first, last].iter().all(content) && (owned(query) || owned(entry) || (is && subject));
    turned.then(|| format!("{} … {}", query.text(first), query.text(last)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::test;
    use super::super::Guard;

    #[test]
    fn it_matters_who_is_asked_for() {
        let strikes = [
            ("Who killed Brutus?", "Who did Brutus kill?"),
            ("who loves Anna", "who does Anna love"),
            ("who hired Tom", "who did Tom hire"),
            ("who taught Plato", "who did Plato teach"),
            ("Which company did Facebook acquire?", "Which company acquired Facebook?"),
            ("what eats spiders", "what do spiders eat"),
            ("who was killed by Brutus", "who killed Brutus"),
        ];
        let passes = [
            ("who did Brutus kill", "who was killed by Brutus"),
            ("who did Brutus kill", "whom did Brutus kill"),
            ("who wrote Hamlet", "who has written Hamlet"),
            ("what does this word mean", "what means this word"),
            ("what do spiders eat", "what do spiders like to eat"),
        ];
        test(Guard::Order, &strikes, &passes);
    }

    #[test]
    fn it_matters_who_does_it() {
        let strikes = [
            ("can I sue my employer", "can my employer sue me"),
            ("what do I owe you", "what do you owe me"),
            ("can you see my screen", "can I see your screen"),
            ("how do I give you access", "how do you give me access"),
            ("does he love her", "does she love him"),
        ];
        let passes = [
            ("how do I reset my password", "how can you reset your password"),
            ("should I learn it", "should you learn it"),
            ("how do I do it", "how does one do it"),
        ];
        test(Guard::Order, &strikes, &passes);
    }

    #[test]
    fn it_matters_whose_it_is() {
        let strikes = [
            ("Who is my boss's wife?", "Who is my wife's boss?"),
            ("Is Ann Bob's mother?", "Is Bob Ann's mother?"),
            ("are all cats animals", "are all animals cats"),
            ("is every prime odd", "is every odd prime"),
        ];
        let passes = [("a big blue car", "a blue big car"), ("how to cook quickly rice", "how to cook rice quickly")];
        test(Guard::Order, &strikes, &passes);
    }
}
