//! Guards and slips of the pen, on pairs of prompts that were written for it (tests/fixtures/*.tsv).
//!
//! The words of the pairs are not taken from the word lists of the model, and the lists were not mended word by word to
//! please them: `safe_synonyms_aside.tsv` was written when the lists were done.

use llmcache::core::similarity::guards::{self, Guard};
use llmcache::core::similarity::text::Text;
use llmcache::core::similarity::{typo, Kind};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const MUST_VETO: &str = include_str!("fixtures/must_veto.tsv");
const MUST_PASS: &str = include_str!("fixtures/must_pass.tsv");
const SAFE_SYNONYMS: &str = include_str!("fixtures/safe_synonyms.tsv");
const SAFE_SYNONYMS_ASIDE: &str = include_str!("fixtures/safe_synonyms_aside.tsv");
const SLIPS: &str = include_str!("fixtures/slips.tsv");

fn rows(file: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split('\t').collect())
}

#[expect(clippy::expect_used, reason = "a prompt that cannot be compared is a wrong row")]
fn text(prompt: &str) -> Text {
    Text::read(prompt.as_bytes()).expect("a prompt that can be compared")
}

fn striking(a: &str, b: &str) -> Vec<(&'static str, String)> {
    let said = guards::all(&text(a), &text(b), Kind::Builtin).into_iter();
    said.filter_map(|(guard, reason)| Some((guard.name(), reason?))).collect()
}

#[test]
fn what_asks_for_something_else_is_stopped_by_the_guard_for_it() {
    let mut failures = Vec::new();
    for row in rows(MUST_VETO) {
        let [guard, a, b] = row.as_slice() else { panic!("{row:?}") };
        for (a, b) in [(a, b), (b, a)] {
            let struck = striking(a, b);
            if !struck.iter().any(|(name, _)| name == guard) {
                failures.push(format!("{guard}: {a} | {b}: {struck:?}"));
            }
            // Whatever the order of the guards, one of them says it first.
            assert!(guards::first(&text(a), &text(b), Kind::Builtin).is_some() != struck.is_empty());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_asks_for_the_same_passes() {
    let mut failures = Vec::new();
    for row in rows(MUST_PASS) {
        let [a, b] = row.as_slice() else { panic!("{row:?}") };
        for (a, b) in [(a, b), (b, a)] {
            let struck = striking(a, b);
            if !struck.is_empty() {
                failures.push(format!("{a} | {b}: {struck:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn safe_synonyms_pass() {
    for (file, least) in [(SAFE_SYNONYMS, 0.98), (SAFE_SYNONYMS_ASIDE, 0.80)] {
        let (mut all, mut stopped) = (0, BTreeMap::new());
        for row in rows(file) {
            let [a, b] = row.as_slice() else { panic!("{row:?}") };
            all += 1;
            if let Some(strike) = guards::first(&text(a), &text(b), Kind::Builtin) {
                stopped.insert(*a, format!("{}: {}", strike.guard.name(), strike.reason));
            }
        }
        let passed = f64::from(all - u32::try_from(stopped.len()).expect("few")) / f64::from(all);
        assert!(passed >= least, "{passed:.3} pass: {stopped:#?}");
    }
}

#[test]
fn slips_of_the_pen_are_told_from_other_words() {
    let mut failures = Vec::new();
    for row in rows(SLIPS) {
        let [slip, a, b] = row.as_slice() else { panic!("{row:?}") };
        for (a, b) in [(a, b), (b, a)] {
            let similarity = typo::similarity(&text(a), &text(b));
            if similarity.is_some() != (*slip == "yes") {
                failures.push(format!("{slip}: {a} | {b}: {similarity:?}"));
            }
            if let Some(similarity) = similarity {
                assert!((0.8..1.0).contains(&similarity), "{a}: {similarity}");
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn nothing_strikes_between_equal_prompts() {
    for row in rows(MUST_VETO).chain(rows(MUST_PASS)) {
        for prompt in row.iter().rev().take(2) {
            assert_eq!(striking(prompt, prompt), [], "{prompt}");
            assert_eq!(striking(prompt, &format!("  {prompt} !")), [], "{prompt}");
        }
    }
}

#[test]
fn guards_have_names_and_say_why() {
    let mut names: Vec<_> = Guard::ALL.into_iter().map(Guard::name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Guard::ALL.len());
    assert_eq!(
        striking("How do I buy 2 shares?", "How do I sell 3 shares?"),
        [("numbers", "2 and 3".to_owned()), ("antonyms", "buy and sell".to_owned())]
    );
    let all = guards::all(&text("one apple"), &text("two pears"), Kind::Builtin);
    assert_eq!(all.iter().map(|(guard, _)| *guard).collect::<Vec<_>>(), Guard::ALL);
}

/// Vectors of a client may know more synonyms than a thesaurus.
#[test]
fn a_replaced_word_stops_no_client_with_vectors() {
    let (a, b) = (text("Who invented the microscope?"), text("Who invented the typewriter?"));
    assert_eq!(guards::first(&a, &b, Kind::Lexical).map(|strike| strike.guard), Some(Guard::Replaced));
    assert_eq!(guards::first(&a, &b, Kind::Vector), None);
}

/// Prompts made to cost time, or to trip over their own letters.
#[test]
fn odd_prompts_are_judged_in_time() {
    let long = |word: &str| word.repeat(2000 / word.len());
    let mut numbers = String::new();
    let mut names = String::new();
    for number in 0..400 {
        numbers.push_str(&format!("{number} "));
        names.push_str(&format!("Xa{} ", char::from(b'a' + (number % 26) as u8)));
    }
    let prompts = [
        long("a "),
        long("not "),
        long("5 "),
        long("no 1 New York \"x\" "),
        long("1-2-3-4-5 "),
        long("five hundred thousand "),
        long("9"),
        format!("{} 5", long("Ω")),
        long("é à "),
        long("你好 "),
        long("'a' \"b\" "),
        long("abcdefghij"),
        numbers,
        names,
        "5'".to_owned(),
        "- -5 --5 $ % 5% $5% 1.2.3.4 5:99 12:00 pm 0 am ½ ² 1e400 99999999999999999999".to_owned(),
        "new".to_owned(),
        "without not no".to_owned(),
        "\u{202e}İstanbul ŉ ß ﬁ".to_owned(),
    ];
    let texts: Vec<Text> = prompts.iter().filter_map(|prompt| Text::read(prompt.as_bytes())).collect();
    guards::prepare();
    for a in &texts {
        for b in &texts {
            let start = Instant::now();
            guards::all(a, b, Kind::Builtin);
            typo::similarity(a, b);
            // Milliseconds in a debug build; what is quadratic in the prompt takes a hundred times as long.
            assert!(start.elapsed() < Duration::from_millis(200), "{} | {}", a.normal, b.normal);
        }
    }
}
