//! One word replaced: the prompts are the same but for one word that says something else.
//!
//! Methods that look at words or at their average cannot see this, least of all in long prompts. The words that can stand
//! for each other come from a thesaurus, which never has all of them, so words pass that the model knows to be near, and
//! what people replace freely: common words (things, ways, people, good), and verbs and adverbs, of which those that exclude
//! each other are better known by name ([`super::antonyms`], [`super::kinds`]).

use super::super::builtin;
use super::super::text::Text;
use super::super::typo;
use super::super::words::{Class, Word};
use super::super::Kind;
use super::compared::Compared;
use super::lists;

/// How rare (by inverse document frequency) both words must be to exclude each other in the same place, and in different
/// places of the sentence.
const TELLING: f32 = 6.0;
const TELLING_ANYWHERE: f32 = 7.0;

/// The same, in the same place, for prompts that were found by their words or letters alone.
const TELLING_OF_WORDS: f32 = 4.0;

/// Single words with this cosine are more often exchanged than not.
const NEAR: f32 = 0.25;

/// Why one word in place of another excludes a hit.
pub(super) fn check(compared: &Compared, kind: Kind) -> Option<String> {
    let mut query = compared.query.alone_of(Class::Content);
    let mut entry = compared.entry.alone_of(Class::Content);
    let (Some((a, asked)), None) = (query.next(), query.next()) else { return None };
    let (Some((b, stored)), None) = (entry.next(), entry.next()) else { return None };
    if typo::is_of_one_family(&asked.text, &stored.text) && compared.same_place(a, b) {
        return Some(format!("{} and {}", asked.text, stored.text));
    }
    let rarity = asked.idf.min(stored.idf);
    let (one, other) = (compared.query.stem(a), compared.entry.stem(b));
    let free = |stem| lists::is_verb(stem) || lists::is_adverb(stem);
    // What counts words and letters has no opinion on what they mean, so nothing is replaced freely there.
    let tells = if kind == Kind::Lexical && compared.same_place(a, b) {
        rarity >= TELLING_OF_WORDS
    } else if compared.same_place(a, b) {
        rarity >= TELLING && !(free(one) && free(other))
    } else {
        rarity >= TELLING_ANYWHERE && !free(one) && !free(other)
    };
    let replaced = tells && !lists::alike(one, other) && !is_kin(&asked.text, &stored.text) && !are_near(asked, stored);
    replaced.then(|| format!("{} and {}", asked.text, stored.text))
}

/// Whether the built-in model puts two words next to each other. Words that it does not know are next to nothing.
fn are_near(a: &Word, b: &Word) -> bool {
    let vector = |word: &Word| {
        builtin::encode(&Text { normal: word.text.clone(), words: vec![word.clone()], quoted: Vec::new() })
    };
    match (vector(a), vector(b)) {
        (Some(a), Some(b)) => a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>() >= NEAR,
        _ => false,
    }
}

/// Words of one root: beneficial and benefits, scientist and science.
fn is_kin(a: &str, b: &str) -> bool {
    let common = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    common >= 5 || (common >= 4 && common + 2 >= a.len().min(b.len()))
}

#[cfg(test)]
mod tests {
    use super::super::super::Kind;
    use super::super::testing::{says, says_of, test};
    use super::super::Guard;

    #[test]
    fn words_and_letters_know_nothing_of_meanings() {
        let said = |a, b| says_of(Kind::Lexical, Guard::Replaced, a, b).is_some();
        for (a, b) in [
            ("how do i cancel my order", "how do i track my order"),
            ("the sentence for fraud", "the sentence for speeding"),
            ("how do i fold a shirt", "how do i iron a shirt"),
        ] {
            assert!(said(a, b) && said(b, a), "{a} | {b}");
        }
        assert!(!said("how do i mend a saddle", "how do i repair a saddle"));
    }

    #[test]
    fn one_word_in_place_of_another_is_another_question() {
        let strikes = [
            ("who invented the microscope", "who invented the typewriter"),
            ("how do i clean a saddle", "how do i clean a chandelier"),
            ("what is the history of the umbrella", "the history of satellites"),
            ("uses of potassium chlorate", "uses of potassium chloride"),
        ];
        let passes = [
            ("who invented the microscope", "who devised the microscope"),
            ("how do i mend a saddle", "how do i repair a saddle"),
            ("some good things about tea", "some good facts about tea"),
            ("who invented the microscope", "who invented the old microscope"),
            ("why do scientists write", "why does a scientist write"),
            ("the benefits of tea", "beneficial tea"),
        ];
        test(Guard::Replaced, &strikes, &passes);
        let said = says(Guard::Replaced, "who made the microscope", "who made the typewriter");
        assert_eq!(said.as_deref(), Some("microscope and typewriter"));
    }
}
