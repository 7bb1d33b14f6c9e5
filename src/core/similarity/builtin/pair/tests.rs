use super::super::tests::shortest;
use super::super::{dot, encode};
use super::*;
use std::hint::black_box;

fn read(prompt: &str) -> Text {
    Text::read(prompt.as_bytes()).unwrap()
}

fn cosine(a: &Text, b: &Text) -> f32 {
    dot(&encode(a).unwrap(), &encode(b).unwrap())
}

fn feature(a: &str, b: &str, name: &str) -> f32 {
    let (a, b) = (read(a), read(b));
    let place = FEATURES.iter().position(|feature| *feature == name).unwrap();
    features(&a, &b, cosine(&a, &b))[place]
}

const PAIRS: [(&str, &str); 6] = [
    ("How do I reset my password?", "how can I change the password of my account"),
    ("What is the capital of France?", "What is the capital of Germany?"),
    ("flights from Rome to Paris on May 5", "flights from Paris to Rome on May 6"),
    ("is it safe", "is it not safe"),
    ("what to do", "Write a poem about 3 dogs"),
    ("2 + 3", "pythn functions"),
];

#[test]
fn the_order_of_the_two_does_not_matter() {
    for (a, b) in PAIRS {
        let (a, b) = (read(a), read(b));
        let (there, back) = (features(&a, &b, 0.9), features(&b, &a, 0.9));
        for ((name, there), back) in FEATURES.iter().zip(there).zip(back) {
            assert!(there.is_finite() && (there - back).abs() < 1e-4, "{name}: {there} {back} of {a:?} {b:?}");
        }
    }
}

#[test]
fn a_text_and_itself() {
    for (a, _) in PAIRS {
        let text = read(a);
        let same = features(&text, &text, 1.0);
        let of = |name: &str| same[FEATURES.iter().position(|feature| *feature == name).unwrap()];
        for name in ["aligned_less", "worst_less", "lost_cosine", "shared_share", "words_ratio", "asking", "neighbours"]
        {
            assert!((of(name) - 1.0).abs() < 1e-4, "{name} of {a}: {}", of(name));
        }
        for name in ["lost_more", "lost_words_more", "lost_function_more", "negations", "inversions"] {
            assert_eq!(of(name), 0.0, "{name} of {a}");
        }
    }
}

#[test]
fn what_differs_is_seen() {
    assert_eq!(feature("is it safe", "is it not safe", "negations"), 1.0);
    assert_eq!(feature("5 apples", "6 apples", "numbers"), 3.0);
    assert_eq!(feature("5 apples", "5 apples now", "numbers"), 1.0);
    assert_eq!(feature("5 apples", "apples", "numbers"), 2.0);
    assert_eq!(feature("apples", "pears", "numbers"), 0.0);
    assert_eq!(feature("how to swim", "why swim", "asking"), 0.0);
    assert!(feature("from rome to paris", "from paris to rome", "inversions") > 0.0);
    assert!(
        feature("cheap hotels", "inexpensive hotels", "worst_less")
            > feature("cheap hotels", "large hotels", "worst_less")
    );
    assert!(feature("python functions", "pythn functions", "spelling") > 0.9);
}

#[test]
fn long_texts_cost_no_more_than_their_beginning() {
    let long = read(&"many different words ".repeat(90));
    assert_eq!(Side::new(&long).parts.len(), 64);
    assert!(features(&long, &long, 1.0).iter().all(|feature| feature.is_finite()));
}

/// `cargo test --release -- --ignored --nocapture scoring_a_pair`
#[test]
#[ignore = "prints times"]
fn scoring_a_pair() {
    let words = "how can i find a cheap flight from berlin to madrid in the first week of may without paying for my \
                 luggage or seats if i am travelling alone and what else should i know before booking it on the \
                 website of an airline that nobody has heard of";
    let others = "what is the best way to get an inexpensive flight between berlin and madrid at the start of may \
                  when i do not want to pay for bags or a seat since i travel by myself and which other things matter \
                  before i book that from some unknown airline on their page";
    prepare();
    for count in [6, 12, 25, 50] {
        let take = |words: &str| read(&words.split(' ').take(count).collect::<Vec<_>>().join(" "));
        let (a, b) = (take(words), take(others));
        let best = shortest(|| {
            black_box(score(black_box(&a), black_box(&b), 0.9));
        });
        println!("{count} words: {best:?}");
    }
}
