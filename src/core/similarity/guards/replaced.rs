//! One word replaced: the prompts are the same but for one word that says something else.
//!
//! Methods that look at words or at their average cannot see this, least of all in long prompts. The words that can stand
//! for each other come from a thesaurus, which never has all of them, so what people replace freely is let through: another
//! verb or adverb ("make" and "send", "always" and "often") leaves the question as it is far more often than another noun.

use super::super::words::Class;
use super::compared::{Compared, Side};
use super::lists;

/// How rare words must be that exclude each other from different places of the sentence. Among more common ones there are
/// too many that nobody minds: things, ways, people, best.
const TELLING: f32 = 6.0;

/// Why one word in place of another excludes a hit.
pub(super) fn check(compared: &Compared) -> Option<String> {
    let mut query = compared.query.alone_of(Class::Content);
    let mut entry = compared.entry.alone_of(Class::Content);
    let (Some((a, _)), None) = (query.next(), query.next()) else { return None };
    let (Some((b, _)), None) = (entry.next(), entry.next()) else { return None };
    let (one, other) = (compared.query.stem(a), compared.entry.stem(b));
    let free = |stem| lists::is_verb(stem) || lists::is_adverb(stem);
    if lists::alike(one, other) || free(one) || free(other) || is_kin(compared.query.text(a), compared.entry.text(b)) {
        return None;
    }
    let tells = |side: &Side, at: usize| side.word(at).is_some_and(|word| word.idf >= TELLING);
    if !compared.same_place(a, b) && !(tells(&compared.query, a) && tells(&compared.entry, b)) {
        return None;
    }
    Some(format!("{} and {}", compared.query.text(a), compared.entry.text(b)))
}

/// Words of one root: beneficial and benefits, scientist and science.
fn is_kin(a: &str, b: &str) -> bool {
    let common = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    common >= 5 || (common >= 4 && common + 2 >= a.len().min(b.len()))
}
