//! A prompt, made comparable: what does not change the meaning is taken away before anything is compared.
//!
//! ```text
//! bytes ── fold ──► characters ── scan, expand ──► tokens ── polite ──► those that are asked ── words ──► Text
//!                       └── quotes, formal ──┘        └── capitals
//! ```
//!
//! Two prompts with the same normal text are taken for the same question, so whatever could mean something stays: 1.5
//! and -5, C++ and C#, the brackets of a formula, an emoji. What is taken away is case, white space, the punctuation of
//! sentences, quotation marks, the apostrophes of contractions and possessives, and politeness at both ends.
//!
//! All of it is linear in the prompt.

mod capitals;
mod expand;
mod fold;
mod formal;
mod polite;
mod quotes;
mod scan;
mod token;

use super::words::{self, Word};
use token::Pause;

/// The longest prompt, in bytes, that is compared with others. Longer ones are matched exactly only: in a long text the
/// part that matters is too small for any of the methods to see.
pub const MAX_PROMPT: usize = 2048;

/// A prompt as everything in this room sees it.
#[derive(Clone, Debug)]
pub struct Text {
    /// Lower case, single spaces, contractions expanded, without sentence punctuation and politeness: the words, with a
    /// space between.
    pub normal: String,
    /// The words of `normal`, in order.
    pub words: Vec<Word>,
    /// Quoted strings, as they were written, without the quotation marks.
    pub quoted: Vec<String>,
}

impl Text {
    /// Reads a prompt. None where it cannot be compared: it is no UTF-8, too long, or has no word or number in it.
    pub fn read(prompt: &[u8]) -> Option<Self> {
        let prompt = std::str::from_utf8(prompt).ok().filter(|prompt| prompt.len() <= MAX_PROMPT)?;
        let folded = fold::fold(prompt);
        let chars: Vec<char> = folded.chars().collect();
        let spans = quotes::spans(&chars);
        let mut tokens = scan::scan(&folded, &chars, &spans, formal::is_formal(&chars));
        capitals::judge(&mut tokens);
        capitals::keep_units(&mut tokens);
        let asked = polite::unwrap(&tokens);
        let first = asked.start;
        let mut normal = String::with_capacity(prompt.len());
        let mut words = Vec::with_capacity(asked.len());
        let mut starts = true;
        for (place, token) in tokens.into_iter().enumerate().skip(first).take(asked.len()) {
            if place > first {
                normal.push(' ');
            }
            normal.push_str(&token.text);
            let word = Word::new(token.text, token.known, token.capital, starts);
            words.push(Word { owns: token.owns, ..word });
            starts = token.pause == Pause::Long;
        }
        words::settle(&mut words);
        let says = words.iter().any(|word| word.text.chars().any(|c| !c.is_ascii_punctuation()));
        let quoted = spans.into_iter().filter_map(|span| chars.get(span)).map(|span| span.iter().collect::<String>());
        let quoted = quoted.map(|span| span.trim().to_owned()).filter(|span| !span.is_empty()).collect();
        says.then_some(Self { normal, words, quoted })
    }
}

/// Reads the tables now rather than with the first prompt.
pub fn prepare() {
    polite::prepare();
    words::prepare();
}

#[cfg(test)]
mod tests;
