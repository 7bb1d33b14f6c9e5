//! Characters that are the same to a reader become the same character.
//!
//! This is not Unicode's compatibility folding (NFKC), which would make 10² the same as 102 and 1½ the same as 11⁄2.

use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// The text in composed form, with plain quotation marks, apostrophes, hyphens, spaces and digits.
pub(super) fn fold(prompt: &str) -> Cow<'_, str> {
    if prompt.is_ascii() {
        return Cow::Borrowed(prompt);
    }
    let mut folded = String::with_capacity(prompt.len() + 8);
    for c in prompt.nfc() {
        put(c, &mut folded);
    }
    Cow::Owned(folded)
}

fn put(c: char, folded: &mut String) {
    match c {
        '\0'..='\x7f' => folded.push(c),
        '‘' | '’' | '‛' | 'ʼ' | '´' | '′' => folded.push('\''),
        '“' | '”' | '„' | '‟' | '«' | '»' | '″' | '「' | '」' | '『' | '』' => folded.push('"'),
        '‐' | '‑' | '‒' | '–' | '−' => folded.push('-'),
        '—' | '―' => folded.push_str(" - "),
        '…' => folded.push_str("..."),
        '。' | '।' => folded.push_str(". "),
        '、' | '،' => folded.push_str(", "),
        '؟' => folded.push_str("? "),
        '؛' => folded.push_str("; "),
        '¿' | '¡' | '•' | '‣' | '\u{3000}' => folded.push(' '),
        '×' => folded.push('*'),
        '÷' | '⁄' => folded.push('/'),
        '¹' => folded.push_str("^1"),
        '²' => folded.push_str("^2"),
        '³' => folded.push_str("^3"),
        '⁰' | '⁴'..='⁹' => put_digit(c, '⁰', "^", folded),
        '₀'..='₉' => put_digit(c, '₀', "", folded),
        '¼' => put_fraction("1/4", folded),
        '½' => put_fraction("1/2", folded),
        '¾' => put_fraction("3/4", folded),
        'ς' => folded.push('σ'),
        'ﬀ' => folded.push_str("ff"),
        'ﬁ' => folded.push_str("fi"),
        'ﬂ' => folded.push_str("fl"),
        'ﬃ' => folded.push_str("ffi"),
        'ﬄ' => folded.push_str("ffl"),
        '™' | '®' if folded.ends_with(char::is_alphanumeric) => {}
        // Full-width forms stand as far behind the plain ones as ! behind !.
        '！'..='～' => match char::from_u32(u32::from(c) - u32::from('！') + u32::from('!')) {
            Some(plain) if plain.is_ascii_punctuation() => folded.extend([plain, ' ']),
            plain => folded.extend(plain),
        },
        // What cannot be seen: soft hyphens, zero-width spaces, marks of direction, variation selectors.
        '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => {}
        '\u{2060}'..='\u{2069}' | '\u{fe0e}' | '\u{fe0f}' | '\u{feff}' => {}
        c if c.is_whitespace() => folded.push(' '),
        c => folded.push(c),
    }
}

fn put_digit(c: char, zero: char, before: &str, folded: &mut String) {
    let digit = char::from_digit(u32::from(c).saturating_sub(u32::from(zero)), 10);
    folded.push_str(before);
    folded.extend(digit);
}

/// 1½ is 1 1/2.
fn put_fraction(fraction: &str, folded: &mut String) {
    if folded.ends_with(|c: char| c.is_ascii_digit()) {
        folded.push(' ');
    }
    folded.push_str(fraction);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_is_alike() {
        let cases = [
            ("don’t say “no”", "don't say \"no\""),
            ("cafe\u{301}", "café"),
            ("x² and 10³", "x^2 and 10^3"),
            ("H₂O", "H2O"),
            ("1½ cups", "1 1/2 cups"),
            ("Ｗｉｄｅ ２０", "Wide 20"),
            ("3–4 − 2", "3-4 - 2"),
            ("a\u{a0}b\u{200b}c\u{ad}d", "a bcd"),
            ("Windows® and ®", "Windows and ®"),
            ("one—two", "one - two"),
            ("❤\u{fe0f}", "❤"),
        ];
        for (prompt, folded) in cases {
            assert_eq!(fold(prompt), folded, "{prompt}");
        }
    }

    #[test]
    fn superscripts_are_no_digits() {
        assert_ne!(fold("10²"), fold("102"));
        assert_ne!(fold("1½"), fold("11/2"));
    }
}
