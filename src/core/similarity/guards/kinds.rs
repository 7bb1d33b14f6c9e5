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
