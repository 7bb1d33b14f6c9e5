//! A word on its way from the prompt to a `Text`.

use super::super::words::{self, Capital, Class, Known};

/// What stands between a word and the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pause {
    /// A space or less.
    #[default]
    None,
    /// A comma, a colon, a dash, a bracket.
    Short,
    /// The end of a sentence or line.
    Long,
}

/// A word and how it stood in the prompt.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// In lower case.
    pub text: String,
    pub capital: Capital,
    /// What is known of it.
    pub known: Option<&'static Known>,
    /// What follows it.
    pub pause: Pause,
    /// Whether it stood in quotation marks.
    pub quoted: bool,
    /// Whether it owns what follows: the boss's wife.
    pub owns: bool,
}

impl Token {
    pub fn new(written: &str, quoted: bool) -> Self {
        let text = if is_flag(written) {
            // Of a command's options of one letter, the small one and the large one are two.
            written.to_owned()
        } else if written.is_ascii() {
            written.to_ascii_lowercase()
        } else {
            lower(written)
        };
        let known = words::known(&text);
        Self { text, capital: Capital::of(written), known, pause: Pause::None, quoted, owns: false }
    }

    /// Makes what follows a part of it.
    pub fn join(&mut self, more: &str) {
        self.text.push_str(more);
        self.known = words::known(&self.text);
    }

    /// Whether it only holds the sentence together.
    pub fn is_function(&self) -> bool {
        self.known.is_some_and(|known| known.class == Class::Function)
    }
}

/// -D, but not -5.
fn is_flag(written: &str) -> bool {
    matches!(written.as_bytes(), [b'-', letter] if letter.is_ascii_alphabetic())
}

/// Letter by letter, since what a sigma becomes would otherwise depend on its neighbours.
fn lower(written: &str) -> String {
    written.chars().flat_map(char::to_lowercase).collect()
}
