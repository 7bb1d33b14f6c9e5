//! Words as they are compared: contractions written out, possessives and the dots of abbreviations gone, compounds and
//! units apart.

use super::token::{Pause, Token};

/// Words whose "'s" is "is". Behind all others it is a possessive, and goes.
#[rustfmt::skip]
const IS_BEHIND: [&str; 18] = [
    "anything", "everything", "he", "here", "how", "it", "nothing", "she", "something", "that", "there", "this", "what",
    "when", "where", "which", "who", "why",
];

/// Contractions that do not follow the rule.
const IRREGULAR: [(&str, &[&str]); 14] = [
    ("'bout", &["about"]),
    ("'cause", &["because"]),
    ("'em", &["them"]),
    ("'til", &["until"]),
    ("'till", &["until"]),
    ("'tis", &["it", "is"]),
    ("'twas", &["it", "was"]),
    ("ain't", &["is", "not"]),
    ("can't", &["can", "not"]),
    ("i'm", &["i", "am"]),
    ("let's", &["let", "us"]),
    ("shan't", &["shall", "not"]),
    ("won't", &["will", "not"]),
    ("y'all", &["you", "all"]),
];

const SUFFIXES: [(&str, &str); 5] = [("n't", "not"), ("'re", "are"), ("'ve", "have"), ("'ll", "will"), ("'d", "would")];

/// Words behind whose dot a sentence goes on.
#[rustfmt::skip]
const ABBREVIATIONS: [&str; 20] = [
    "approx", "ca", "capt", "cf", "col", "dept", "dr", "etc", "gen", "gov", "jr", "mr", "mrs", "ms", "mt", "no", "prof",
    "sr", "st", "vs",
];

/// What follows a dot in the name of a file, a host or a framework.
#[rustfmt::skip]
const FILE_TYPES: [&str; 52] = [
    "ai", "app", "bashrc", "bat", "biz", "cfg", "com", "conf", "cpp", "cs", "css", "csv", "db", "dll", "doc", "docx",
    "edu", "env", "exe", "gif", "git", "gitignore", "go", "gov", "html", "in", "info", "ini", "io", "ipynb", "java",
    "jpg", "js", "json", "log", "md", "net", "org", "pdf", "php", "png", "py", "rb", "rs", "sh", "sql", "ts", "tsx",
    "txt", "xlsx", "xml", "zip",
];

/// Units that are written right behind a number as well as with a space. Only those that are nothing else there: 30s
/// are years, 5g is a network, 3d and 4x are words.
#[rustfmt::skip]
const UNITS: [&str; 47] = [
    "am", "bn", "cc", "cm", "cms", "db", "fps", "ft", "gb", "gbps", "ghz", "gm", "gms", "hp", "hr", "hrs", "hz", "inch",
    "kb", "kbps", "kg", "kgs", "khz", "km", "kmh", "kmph", "kms", "kw", "kwh", "lb", "lbs", "mah", "mb", "mbps", "mg",
    "mhz", "min", "mins", "ml", "mm", "mph", "ms", "oz", "pm", "sec", "tb", "yrs",
];

/// Compounds that are also written as one word.
const COMPOUNDS: [(&str, &str); 10] = [
    ("co-operate", "cooperate"),
    ("co-ordinate", "coordinate"),
    ("e-book", "ebook"),
    ("e-books", "ebooks"),
    ("e-commerce", "ecommerce"),
    ("e-mail", "email"),
    ("e-mails", "emails"),
    ("off-line", "offline"),
    ("on-line", "online"),
    ("web-site", "website"),
];

/// Whether a dot behind this belongs to it: an initial, U.S, or a listed one.
pub(super) fn is_abbreviation(word: &str) -> bool {
    let letters = word.rsplit('.').next().unwrap_or(word);
    let initial = letters.len() == 1 && letters.bytes().all(|letter| letter.is_ascii_alphabetic());
    initial || (word.len() <= 6 && ABBREVIATIONS.contains(&word.to_ascii_lowercase().as_str()))
}

pub(super) fn is_file_type(letters: &str) -> bool {
    FILE_TYPES.contains(&letters)
}

/// Whether the word begins with an apostrophe that stands for letters.
pub(super) fn is_clipped(word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_punctuation());
    word.starts_with('\'') && find(&IRREGULAR, word).is_some()
}

fn find<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    table.binary_search_by_key(&word, |(word, _)| word).ok().and_then(|at| table.get(at)).map(|(_, found)| *found)
}

/// The words that a written one stands for.
pub(super) fn expand(written: &str, formal: bool, put: &mut dyn FnMut(&str)) {
    if written.bytes().all(|letter| letter.is_ascii_alphabetic()) {
        return put(written);
    }
    let bare = written.strip_prefix('_').and_then(|word| word.strip_suffix('_'));
    let word = bare.filter(|word| !formal && !word.is_empty() && !word.starts_with('_')).unwrap_or(written);
    if word.contains("://") || word.contains('@') {
        put(word);
    } else if word.contains('-') {
        hyphens(word, put);
    } else if word.contains('\'') {
        apostrophes(word, put);
    } else if word.contains('.') && !formal {
        put(&dots(word));
    } else if word.starts_with(|c: char| c.is_ascii_digit()) {
        unit(word, put);
    } else {
        put(word);
    }
}

/// The words with the capital letters of what they stand for.
pub(super) fn put_as(written: &str, words: &[&str], put: &mut dyn FnMut(&str)) {
    let all = written.chars().filter(|c| c.is_alphabetic()).all(char::is_uppercase);
    for (at, word) in words.iter().enumerate() {
        let mut letters = word.chars();
        match letters.next() {
            _ if all => put(&word.to_ascii_uppercase()),
            Some(first) if at == 0 && written.starts_with(char::is_uppercase) => {
                put(&format!("{}{}", first.to_ascii_uppercase(), letters.as_str()));
            }
            _ => put(word),
        }
    }
}

fn apostrophes(word: &str, put: &mut dyn FnMut(&str)) {
    // Nothing that long is a contraction, and taking it apart piece by piece would cost the square of its length.
    if word.len() > 24 {
        return put(word);
    }
    let lower = word.to_lowercase();
    if let Some(words) = find(&IRREGULAR, &lower) {
        return put_as(word, words, put);
    }
    // Lower case may be longer or shorter than the word itself, so only what is as long is taken apart.
    let cut = |suffix: &str| {
        let base = lower.strip_suffix(suffix).filter(|base| !base.is_empty() && lower.len() == word.len())?;
        word.get(..base.len()).map(|written| (base.to_owned(), written))
    };
    for (suffix, meaning) in SUFFIXES {
        if let Some((_, base)) = cut(suffix) {
            apostrophes_or_plain(base, put);
            return put(meaning);
        }
    }
    match cut("'s") {
        Some((base, written)) => {
            apostrophes_or_plain(written, put);
            if IS_BEHIND.contains(&base.as_str()) {
                put("is");
            }
        }
        None => put(word),
    }
}

fn apostrophes_or_plain(word: &str, put: &mut dyn FnMut(&str)) {
    if word.contains('\'') {
        apostrophes(word, put);
    } else {
        put(word);
    }
}

/// "well-known" is two words, and so is "covid-19"; but "10-20", "f-16" and "x-y" stay whole, since their parts alone
/// mean something else.
fn hyphens(word: &str, put: &mut dyn FnMut(&str)) {
    if let Some(one) = find(&COMPOUNDS, &word.to_lowercase()) {
        return put(one);
    }
    let letters = |part: &str| part.chars().all(|c| c.is_alphabetic() || c == '\'') && part.chars().nth(1).is_some();
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
    let mut parts = word.split('-');
    let first = parts.next().unwrap_or_default();
    if word.starts_with('-') || !letters(first) || !parts.all(|part| letters(part) || digits(part)) {
        return put(word);
    }
    for part in word.split('-') {
        if part.contains('\'') {
            apostrophes(part, put);
        } else {
            put(part);
        }
    }
}

/// "u.s.a" is "usa", "ph.d" is "phd". What has longer parts is a name: node.js.
fn dots(word: &str) -> String {
    let short = |part: &str| part.len() == 1 && part.bytes().all(|letter| letter.is_ascii_alphabetic());
    let dotted = word.split('.').all(short) || matches!(word, "ph.d" | "Ph.D" | "Ph.d" | "PH.D");
    if dotted {
        word.replace('.', "")
    } else {
        word.to_owned()
    }
}

/// "10kg" is "10 kg".
fn unit(word: &str, put: &mut dyn FnMut(&str)) {
    let digits = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
    match word.split_at_checked(digits) {
        Some((number, unit)) if unit.len() > 1 && UNITS.contains(&unit.to_ascii_lowercase().as_str()) => {
            put(number);
            put(unit);
        }
        _ => put(word),
    }
}

/// What belongs to a number joins it: "50 %" and "50 percent" are "50%", "$ 5" is "$5".
pub(super) fn join_number(tokens: &mut Vec<Token>, formal: bool) {
    let [rest @ .., before, last] = tokens.as_mut_slice() else { return };
    let is_number = |token: &Token| {
        token.pause == Pause::None
            && token.text.trim_start_matches(['-', '$']).starts_with(|c: char| c.is_ascii_digit())
    };
    let money = matches!(before.text.as_str(), "$" | "€" | "£" | "¥" | "₹") && before.pause == Pause::None;
    match last.text.as_str() {
        "%" | "percent" if !formal && is_number(before) => {
            if !before.text.ends_with('%') {
                before.join("%");
            }
            tokens.pop();
        }
        "cent" if before.text == "per" && before.pause == Pause::None => {
            if let Some(number) = rest.last_mut().filter(|number| is_number(number)) {
                number.join("%");
                tokens.truncate(tokens.len().saturating_sub(2));
            }
        }
        _ if money && is_number(last) => {
            before.join(&last.text);
            tokens.pop();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(word: &str) -> String {
        let mut words = Vec::new();
        expand(word, false, &mut |word| words.push(word.to_owned()));
        words.join(" ")
    }

    #[test]
    fn tables_are_sorted() {
        let sorted = |words: Vec<&str>| words.is_sorted();
        assert!(sorted(IRREGULAR.iter().map(|(word, _)| *word).collect()));
        assert!(sorted(COMPOUNDS.iter().map(|(word, _)| *word).collect()));
    }

    #[test]
    fn contractions() {
        let cases = [
            ("what's", "what is"),
            ("Don't", "Do not"),
            ("WON'T", "WILL NOT"),
            ("couldn't've", "could not have"),
            ("king's", "king"),
            ("it's", "it is"),
            ("its", "its"),
            ("lets", "lets"),
            ("let's", "let us"),
            ("o'clock", "o'clock"),
            ("e-mail", "email"),
            ("well-known", "well known"),
            ("covid-19", "covid 19"),
            ("f-16", "f-16"),
            ("10-20", "10-20"),
            ("u.s.a", "usa"),
            ("node.js", "node.js"),
            ("10kg", "10 kg"),
            ("30s", "30s"),
            ("mother-in-law's", "mother in law"),
            ("_really_", "really"),
            ("__init__", "__init__"),
        ];
        for (word, words) in cases {
            assert_eq!(expanded(word), words);
        }
    }
}
