//! Two of a kind: who asks about cats does not ask about dogs, nor for guitar with piano, nor about copper with zinc.
//!
//! The common-noun sister of the names: things that stand side by side under one heading exclude each other.

use super::compared::Compared;
use super::lists;

/// Why two things of one kind exclude a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    if !compared.differs_both_ways() {
        return None;
    }
    let (query, entry) = compared.alone_pairs().find(|(query, entry)| {
        let (a, b) = (compared.query.stem(*query), compared.entry.stem(*entry));
        !lists::alike(a, b) && lists::are_of_a_kind(a, b, compared.same_place(*query, *entry))
    })?;
    Some(format!("{} and {}", compared.query.text(query), compared.entry.text(entry)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{says, test};
    use super::super::Guard;

    #[test]
    fn things_of_one_kind_exclude_each_other() {
        let strikes = [
            ("my dog eats grass", "why does a cat eat grass"),
            ("learn the violin", "learn the piano quickly"),
            ("the price of copper", "what zinc costs"),
            ("a party in may", "a party in october"),
            ("how do i sort a table", "how do i truncate a table"),
        ];
        let passes = [
            ("my dog eats grass", "my dog ate grass"),
            ("a good doctor", "a good physician"),
            ("sort a table by name", "create a table that is sorted and truncate nothing"),
            ("a dog and a cat", "a cat and a dog"),
            ("the violin in tennis films", "the films with the violin"),
        ];
        test(Guard::Kinds, &strikes, &passes);
        assert_eq!(says(Guard::Kinds, "a dog", "a cat").as_deref(), Some("dog and cat"));
    }
}
