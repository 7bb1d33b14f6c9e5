//! Slips of the pen: the same prompt, but for one or two words that are misspelled.
//!
//! An edit distance alone is no proof: form and from, cat and car, 2015 and 2016 are a letter apart as well. So a slip is
//! only believed where one of the two spellings is no word that anybody knows, and the less so the more the word looks like
//! a name, where another spelling is another thing.

use super::guards;
use super::text::Text;
use super::words::{Capital, Class, Word};

/// The most words of a prompt that may be misspelled.
const MOST_SLIPS: usize = 2;

/// Nothing longer is a word, in bytes.
const LONGEST_WORD: usize = 40;

/// Words of at least so many letters may have two of them wrong.
const LONG: usize = 9;

/// A name of fewer letters is another name when one of them is another.
const SHORTEST_NAME: usize = 5;

/// How alike two prompts are that differ in slips only, from 0 to 1: 1 − letters to change / letters. None where they
/// differ in anything else.
pub fn similarity(query: &Text, entry: &Text) -> Option<f32> {
    let mut slips = Slips { letters: 0, words: 0 };
    let (mut a, mut b) = (query.words.as_slice(), entry.words.as_slice());
    if a.len().abs_diff(b.len()) > MOST_SLIPS || is_code(query) || is_code(entry) || !is_quoted_alike(query, entry) {
        return None;
    }
    loop {
        match (a, b) {
            ([], []) => break,
            ([one, rest @ ..], [other, others @ ..]) if one.text == other.text => (a, b) = (rest, others),
            ([one, two, rest @ ..], [other, others @ ..]) if is_split(one, two, other) => {
                slips.add(1);
                (a, b) = (rest, others);
            }
            ([one, rest @ ..], [other, another, others @ ..]) if is_split(other, another, one) => {
                slips.add(1);
                (a, b) = (rest, others);
            }
            ([one, rest @ ..], [other, others @ ..]) => {
                slips.add(distance(one, other)?);
                (a, b) = (rest, others);
            }
            _ => return None,
        }
        if slips.words > MOST_SLIPS || slips.words * 2 > query.words.len().max(3) {
            return None;
        }
    }
    let letters = query.normal.chars().count().max(entry.normal.chars().count()).max(1);
    Some(1.0 - slips.letters as f32 / letters as f32)
}

/// Slips that were found.
struct Slips {
    letters: usize,
    words: usize,
}

impl Slips {
    fn add(&mut self, letters: usize) {
        self.letters += letters;
        self.words += 1;
    }
}

/// Whether a slip makes one of two different words the other.
pub fn is_slip(a: &Word, b: &Word) -> bool {
    distance(a, b).is_some()
}

fn is_code(text: &Text) -> bool {
    text.words.iter().any(|word| word.class == Class::Symbol && word.text != "/")
}

/// A word in quotation marks is meant letter by letter ("what does 'teh' mean"), a whole sentence is not.
fn is_quoted_alike(query: &Text, entry: &Text) -> bool {
    let is_word = |quoted: &str| !quoted.contains(char::is_whitespace);
    let same = |(a, b): (&String, &String)| a.eq_ignore_ascii_case(b) || !(is_word(a) || is_word(b));
    query.quoted.len() == entry.quoted.len() && query.quoted.iter().zip(&entry.quoted).all(same)
}

/// The letters to change, if it is but a slip.
fn distance(a: &Word, b: &Word) -> Option<usize> {
    let (short, long) = (a.text.len().min(b.text.len()), a.text.len().max(b.text.len()));
    let most = if short >= LONG { 2 } else { 1 };
    if long - short > most || !(3..=LONGEST_WORD).contains(&long) || !is_letters(a) || !is_letters(b) {
        return None;
    }
    let (wrong, right) = match (guards::is_word_or_name(a), guards::is_word_or_name(b)) {
        (true, true) => return None,
        (true, false) => (b, a),
        _ => (a, b),
    };
    // Two letters in front make the opposite of a word: irreversible.
    if long - short > 1 && (a.text.ends_with(&b.text) || b.text.ends_with(&a.text)) {
        return None;
    }
    if is_of_one_family(&a.text, &b.text) || is_turned(a, b) || is_turned(b, a) || is_identifier(a) || is_identifier(b)
    {
        return None;
    }
    let distance = strsim::osa_distance(&a.text, &b.text);
    let named = is_name(right) || !guards::is_word_or_name(right);
    let likely = if named && (is_code_like(a) || is_code_like(b)) {
        // A letter twice, or a vowel that is left out, is all that is a slip where nobody can pronounce the word.
        distance == 1 && short >= SHORTEST_NAME && (is_doubled(a, b) || is_doubled(b, a) || is_swapped(a, b))
    } else if named {
        // Names are delicate: only a letter dropped, doubled or swapped with its neighbour in a longer one is a slip.
        distance == 1
            && short >= SHORTEST_NAME
            && !is_substituted(a, b)
            && a.text.chars().next() == b.text.chars().next()
    } else if right.class == Class::Function {
        // Wat, teh, hw.
        distance == 1 && short >= 2
    } else {
        distance <= most && long >= 4 && (short >= 4 || wrong.capital != Capital::All)
    };
    likely.then_some(distance)
}

/// Endings that tell substances of one family, and what they are made of, apart.
const FAMILY: [&str; 20] = [
    "al", "ane", "ase", "ate", "ates", "ene", "ic", "ide", "ides", "ine", "ite", "ites", "ium", "ol", "one", "ose",
    "ous", "yl", "yne", "in",
];

/// Nitrate and nitrite, alkane and alkene: two endings of one root, each of which makes a word.
pub(super) fn is_of_one_family(a: &str, b: &str) -> bool {
    let ends = |word: &str, ending: &str| word.strip_suffix(ending).is_some_and(|root| root.len() >= 3);
    FAMILY.iter().filter(|ending| ends(a, ending)).any(|ending| {
        let root = a.strip_suffix(ending).unwrap_or_default();
        let rest = b.strip_prefix(root).filter(|rest| rest != ending);
        rest.is_some_and(|rest| rest.len() >= 2 && rest.len().abs_diff(ending.len()) <= 1 && FAMILY.contains(&rest))
    })
}

/// Moral and amoral, typical and atypical: what is in front of a word denies it.
fn is_turned(long: &Word, short: &Word) -> bool {
    let denies = |prefix: &str| long.text.strip_prefix(prefix) == Some(short.text.as_str());
    ["a", "an", "de", "il", "im", "in", "ir", "non", "re", "un"].iter().any(|prefix| denies(prefix))
        && short.text.len() >= 4
        && guards::is_word_or_name(short)
}

/// Names of programs and of what is in them that are no words, and look like some.
const IDENTIFIERS: [&str; 39] = [
    "argc", "argv", "atoi", "calloc", "ceil", "chmod", "chown", "fgetc", "fgets", "fopen", "fprintf", "fscanf",
    "getchar", "grep", "ifdef", "ifndef", "malloc", "mkdir", "numpy", "printf", "putchar", "realloc", "rmdir", "scanf",
    "scipy", "sprintf", "sqrt", "sscanf", "stderr", "stdin", "stdout", "strcat", "strcmp", "strcpy", "strlen",
    "strncat", "strncmp", "strncpy", "sudo",
];

fn is_identifier(word: &Word) -> bool {
    IDENTIFIERS.contains(&word.text.as_str())
}

/// Whether so many consonants stand side by side that it is rather a name in a program: strncpy, getpwnam.
fn is_code_like(word: &Word) -> bool {
    let longest = word.text.split(['a', 'e', 'i', 'o', 'u', 'y']).map(str::len).max();
    longest.unwrap_or_default() >= 4
}

/// Whether the first word is the second with a letter written twice, or with one more vowel.
fn is_doubled(long: &Word, short: &Word) -> bool {
    let (a, b) = (&long.text, &short.text);
    let at = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let (more, before) = (a.as_bytes().get(at), at.checked_sub(1).and_then(|at| a.as_bytes().get(at)));
    let rest = a.get(at + 1..).is_some_and(|rest| b.get(at..) == Some(rest));
    rest && more.is_some_and(|more| b"aeiouy".contains(more) || Some(more) == before)
}

/// Whether both words have the same letters.
fn is_swapped(a: &Word, b: &Word) -> bool {
    a.text.len() == b.text.len() && !is_substituted(a, b)
}

fn is_letters(word: &Word) -> bool {
    word.text.chars().all(char::is_alphabetic)
}

fn is_name(word: &Word) -> bool {
    (word.capital != Capital::None && !word.starts) || guards::is_named(word)
}

/// Whether one letter stands for another that the word does not have.
fn is_substituted(a: &Word, b: &Word) -> bool {
    let sorted = |word: &Word| {
        let mut letters: Vec<char> = word.text.chars().collect();
        letters.sort_unstable();
        letters
    };
    a.text.chars().count() == b.text.chars().count() && sorted(a) != sorted(b)
}

/// Whether the first two are the third with a space in it.
fn is_split(one: &Word, two: &Word, whole: &Word) -> bool {
    whole.text.len() >= 4
        && is_letters(whole)
        && whole.text.strip_prefix(one.text.as_str()) == Some(two.text.as_str())
        && !(one.known && two.known && whole.known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slips(a: &str, b: &str) -> Option<usize> {
        let read =
            |word: &str| Text::read(word.as_bytes()).and_then(|text| text.words.into_iter().next()).expect("a word");
        let (one, other) = (distance(&read(a), &read(b)), distance(&read(b), &read(a)));
        assert_eq!(one, other, "{a} {b}");
        one
    }

    #[test]
    fn a_slip_makes_a_word_none() {
        for (a, b, letters) in [
            ("receive", "recieve", 1),
            ("what", "wat", 1),
            ("the", "teh", 1),
            ("necessary", "neccesary", 2),
            ("cemetery", "cemetary", 1),
            ("Warangal", "Warrangal", 1),
        ] {
            assert_eq!(slips(a, b), Some(letters), "{a} {b}");
        }
        for (a, b) in [
            ("form", "from"),
            ("cat", "car"),
            ("absorption", "adsorption"),
            ("numpy", "scipy"),
            ("mp3", "mp4"),
            ("Bihar", "Behar"),
            ("xkcd", "xked"),
            ("reversible", "irreversible"),
            ("hyperthermia", "hypothermia"),
            ("a", "an"),
            ("moth", "month"),
            ("nitrate", "nitrite"),
            ("sulfates", "sulfites"),
            ("chlorate", "chloride"),
            ("alkane", "alkene"),
            ("alkene", "alkyne"),
            ("moral", "amoral"),
            ("strcpy", "strncpy"),
            ("ifdef", "ifndef"),
            ("cell", "ceil"),
            ("getpwnam", "getpwam"),
        ] {
            assert_eq!(slips(a, b), None, "{a} {b}");
        }
        let long = "a".repeat(1000);
        assert_eq!(slips(&long, &format!("{long}b")), None);
    }

    #[test]
    fn the_similarity_falls_with_the_letters() {
        let read = |prompt: &str| Text::read(prompt.as_bytes()).expect("a prompt");
        let entry = read("where is the nearest hospital");
        assert_eq!(similarity(&entry, &entry), Some(1.0));
        let one = similarity(&read("where is the nearest hosptal"), &entry).expect("a slip");
        let two = similarity(&read("where is the neerest hosptal"), &entry).expect("two slips");
        assert!(two < one && one < 1.0 && two > 0.9, "{one} {two}");
        assert_eq!(similarity(&read("where is the nearest"), &entry), None);
    }
}
