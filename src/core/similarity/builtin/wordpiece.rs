//! BERT's uncased tokenizer, as the teacher of the model has it: the same pieces for the same text.
//!
//! A text is cleaned, lower-cased and stripped of its accents, parted at white space and around every punctuation mark
//! and every Chinese character, and each word is cut into the longest pieces that the vocabulary has, from the left. A
//! word that cannot be cut so, or is longer than 100 characters, is one unknown piece. What a character is comes from
//! the tables that the original uses too, which are those of Unicode 8: a mark invented since then is a letter to both.

use super::vocabulary::Vocabulary;
use unicode_categories::UnicodeCategories;
use unicode_normalization::UnicodeNormalization;

/// A word with more characters is unknown.
const LONGEST_WORD: usize = 100;

/// Appends the pieces of a text, by their place in the vocabulary.
pub fn tokenize(text: &str, pieces: &mut Vec<u32>) {
    if !text.is_ascii() {
        words_of(&clean(text), char::is_whitespace, is_punctuation, pieces);
    } else if text.bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_control()) {
        let kept = text.chars().filter(|c| !is_removed(*c)).map(|c| c.to_ascii_lowercase());
        words_of(&kept.collect::<String>(), |c| c.is_ascii_whitespace(), |c| c.is_ascii_punctuation(), pieces);
    } else {
        words_of(text, |c| c == ' ', |c| c.is_ascii_punctuation(), pieces);
    }
}

/// The text without what cannot be seen, with spaces around Chinese characters, without accents and in lower case.
fn clean(text: &str) -> String {
    // Only what was cleaned is decomposed, or a character that is removed would part a letter from its accent.
    let clean = text.chars().filter(|c| !is_removed(*c)).flat_map(|c| {
        let around = is_chinese(c).then_some(' ');
        around.into_iter().chain([if c.is_whitespace() { ' ' } else { c }]).chain(around)
    });
    clean.nfd().filter(|c| !c.is_mark_nonspacing()).flat_map(char::to_lowercase).collect()
}

/// Cuts the words of a clean text, of which every punctuation mark is one.
fn words_of(text: &str, is_space: impl Fn(char) -> bool, is_mark: impl Fn(char) -> bool, pieces: &mut Vec<u32>) {
    let vocabulary = Vocabulary::get();
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let mark = is_mark(c);
        if mark || is_space(c) {
            cut(vocabulary, text.get(start..at), pieces);
            start = at + c.len_utf8();
        }
        if mark {
            cut(vocabulary, text.get(at..start), pieces);
        }
    }
    cut(vocabulary, text.get(start..), pieces);
}

fn cut(vocabulary: &Vocabulary, word: Option<&str>, pieces: &mut Vec<u32>) {
    let Some(word) = word.filter(|word| !word.is_empty()) else { return };
    // A character has at least one byte, so most words need not be counted.
    let long = word.len() > LONGEST_WORD && word.chars().nth(LONGEST_WORD).is_some();
    if long || !vocabulary.cut(word, pieces) {
        pieces.push(vocabulary.unknown());
    }
}

fn is_removed(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\0' | '\u{fffd}' => true,
        c => c.is_other(),
    }
}

/// The original's idea of it: every ASCII sign counts, also those that Unicode calls symbols.
fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_punctuation()
    } else {
        c.is_punctuation()
    }
}

/// The blocks of Chinese characters, which are written without spaces. Kana and Hangul are not among them.
fn is_chinese(c: char) -> bool {
    matches!(u32::from(c),
        0x4e00..=0x9fff | 0x3400..=0x4dbf | 0x20000..=0x2a6df | 0x2a700..=0x2b73f | 0x2b740..=0x2b81f
        | 0x2b820..=0x2ceaf | 0xf900..=0xfaff | 0x2f800..=0x2fa1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<&'static str> {
        let mut pieces = Vec::new();
        tokenize(text, &mut pieces);
        pieces.into_iter().map(|piece| Vocabulary::get().text(piece).unwrap()).collect()
    }

    #[test]
    fn words_are_cut_into_pieces() {
        assert_eq!(pieces("Unaffable, isn't it?"), ["una", "##ffa", "##ble", ",", "isn", "'", "t", "it", "?"]);
        assert_eq!(pieces("C++ costs $5"), ["c", "+", "+", "costs", "$", "5"]);
        assert_eq!(pieces("Crème BRÛLÉE"), ["cr", "##eme", "br", "##ule", "##e"]);
        assert_eq!(pieces("東京 x"), ["東", "京", "x"]);
        assert_eq!(pieces("a\u{0}b\tc\u{200b}d"), ["ab", "cd"]);
        assert_eq!(pieces(""), [""; 0]);
    }

    #[test]
    fn the_longest_word() {
        assert_eq!(pieces(&"a".repeat(101)), ["[UNK]"]);
        assert_ne!(pieces(&"a".repeat(100)), ["[UNK]"]);
        assert_ne!(pieces(&"é".repeat(100)), ["[UNK]"]);
    }
}
