use super::*;
use std::hint::black_box;
use std::time::{Duration, Instant};

fn vector(prompt: &str) -> Option<[f32; DIM]> {
    encode(&Text::read(prompt.as_bytes())?)
}

fn cosine(a: &str, b: &str) -> f32 {
    dot(&vector(a).unwrap(), &vector(b).unwrap())
}

#[test]
fn vectors_are_of_length_1_and_say_what_is_alike() {
    let alike = cosine("How do I reset my password?", "how can I reset the password");
    let other = cosine("How do I reset my password?", "What is the capital of France?");
    assert!(alike > 0.8 && other < 0.5, "{alike} {other}");
    assert!((cosine("any text", "any text") - 1.0).abs() < 1e-5);
}

#[test]
fn foreign_texts_have_no_vector() {
    let foreign = [
        "Какая столица Франции?",
        "法国的首都是哪里？",
        "フランスの首都はどこですか",
        "프랑스의 수도는 어디입니까?",
        "ما هي عاصمة فرنسا؟",
        "Wie lautet die Hauptstadt von Frankreich?",
        "Quelle est la capitale de la France ?",
        "¿Cuál es la capital de Francia?",
        "Wie kann ich mein Passwort zurücksetzen?",
        "Comment puis-je réinitialiser mon mot de passe ?",
        "¿Cómo puedo restablecer mi contraseña?",
        "Qual è la capitale della Francia?",
        "Qual é a capital da França?",
        "Hoe kan ik mijn wachtwoord opnieuw instellen?",
        "qwrtzp xkjhg",
        "😊",
    ];
    for prompt in foreign {
        assert!(vector(prompt).is_none(), "{prompt}");
    }
    assert!(vector("What does “Schadenfreude” mean?").is_some());
}

/// `cargo test --release -- --ignored --nocapture encoding_a_prompt`
#[test]
#[ignore = "prints times"]
fn encoding_a_prompt_of_200_characters() {
    let prompts = [
        "I moved to a new apartment last week and my internet provider wants to charge me for the technician. Is it \
         possible to connect the router myself, and what tools would I need in order to get it to work?",
        "Could you please tell me what's the difference between a Roth IRA and a traditional 401(k) plan? I'm 35 years \
         old, earn $85,000 a year, and I don't know which one is better for my retirement. Thanks!",
        "Write a short function in Python that reads a CSV file with 3 columns (name, age, city), skips rows with \
         missing values, and returns a dictionary grouped by city, with the average age of its people",
    ];
    super::super::text::prepare();
    prepare();
    for prompt in prompts {
        let prompt = prompt.as_bytes();
        let read = shortest(|| {
            black_box(Text::read(black_box(prompt)));
        });
        let all = shortest(|| {
            black_box(Text::read(black_box(prompt)).and_then(|text| encode(&text)));
        });
        println!("{} bytes: {all:?}, of which reading the text {read:?}", prompt.len());
    }
}

/// What a call takes when nothing else is in its way: the shortest of many short rounds.
pub(super) fn shortest(mut call: impl FnMut()) -> Duration {
    let rounds = (0..2000).map(|_| {
        let start = Instant::now();
        (0..10).for_each(|_| call());
        start.elapsed() / 10
    });
    rounds.min().unwrap_or_default()
}
