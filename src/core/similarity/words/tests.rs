use super::*;
use crate::core::similarity::text::Text;

fn word(prompt: &str, text: &str) -> Word {
    let read = Text::read(prompt.as_bytes()).unwrap();
    read.words.into_iter().find(|word| word.text == text).unwrap_or_else(|| panic!("{text} in {prompt}"))
}

#[test]
fn lists_are_in_order_and_apart() {
    assert!(numbers::WORDS.is_sorted());
    assert!(spoken::SPOKEN.is_sorted());
    assert!(lists::FUNCTION.iter().all(|word| numbers::WORDS.binary_search(word).is_err()));
}

#[test]
fn classes() {
    let cases = [
        ("the capital", "the", Class::Function),
        ("the capital", "capital", Class::Content),
        ("what to do before noon", "before", Class::Content),
        ("5 apples", "5", Class::Number),
        ("-5%", "-5%", Class::Number),
        ("$5 notes", "$5", Class::Number),
        ("the 4th", "4th", Class::Number),
        ("two apples", "two", Class::Number),
        ("the third man", "third", Class::Number),
        ("henry viii", "viii", Class::Number),
        ("one apple", "one", Class::Number),
        ("which one is better", "one", Class::Function),
        ("how can one learn", "one", Class::Function),
        ("the second time", "second", Class::Number),
        ("a second", "second", Class::Content),
        ("mp3 files", "mp3", Class::Content),
        ("2 + 3", "+", Class::Symbol),
        ("what does 😊 mean", "😊", Class::Symbol),
    ];
    for (prompt, text, class) in cases {
        assert_eq!(word(prompt, text).class, class, "{text} in {prompt}");
    }
}

#[test]
fn stems_join_the_forms_of_a_word() {
    assert_eq!(word("running fast", "running").stem, word("he runs", "runs").stem);
    assert_eq!(word("flurbles", "flurbles").stem, word("flurbling", "flurbling").stem);
    assert_eq!(word("the third", "third").stem, "third");
    assert_eq!(word("5 + 3", "+").stem, "+");
    assert_eq!(word("50 percent", "50%").stem, "50%");
    assert_eq!(word("a == b", "==").stem, "==");
}

#[test]
fn rare_words_tell_more() {
    let (the, capital, flurble) = (word("the", "the"), word("capital", "capital"), word("flurble", "flurble"));
    assert!(the.idf < capital.idf && capital.idf < flurble.idf);
    assert!(the.known && capital.known && !flurble.known);
    assert!((flurble.idf - rarest()).abs() < 1e-6);
}

#[test]
fn capitals_of_words() {
    let cases = [
        ("word", Capital::None),
        ("Word", Capital::First),
        ("WORD", Capital::All),
        ("I", Capital::None),
        ("C++", Capital::First),
        ("iPhone", Capital::Mixed),
        ("YouTube", Capital::Mixed),
        ("5", Capital::None),
        ("MP3", Capital::All),
    ];
    for (written, capital) in cases {
        assert_eq!(Capital::of(written), capital, "{written}");
    }
}
