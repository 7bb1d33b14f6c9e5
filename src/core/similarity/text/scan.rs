//! From characters to words: what belongs to a word, what is a word of its own, what only separates.
//!
//! Whether a dot is the end of a sentence or a part of 1.5, .NET and U.S. is seen from its two neighbours, which is all
//! that is looked at nearly everywhere. So the scan is linear, and what it does not know becomes a word of its own or
//! stays where it is: a text that is kept apart from another costs a hit, one that is merged with another costs trust.

mod marks;

use super::expand;
use super::token::{Pause, Token};
use std::ops::Range;
use unicode_categories::UnicodeCategories;

/// The words of a text. `quoted` are the parts between quotation marks.
pub(super) fn scan(text: &str, chars: &[char], quoted: &[Range<usize>], formal: bool) -> Vec<Token> {
    let addresses = text.contains('@') || text.contains("://") || text.contains("www.");
    let last_colon = chars.iter().rposition(|c| *c == ':').unwrap_or(0);
    let word = String::with_capacity(16);
    let tokens = Vec::with_capacity(chars.len() / 4);
    let mut scanner = Scanner { chars, quoted, formal, addresses, last_colon, at: 0, word, tokens };
    while scanner.at < chars.len() {
        scanner.step();
    }
    scanner.end_word();
    scanner.tokens
}

struct Scanner<'a> {
    chars: &'a [char],
    quoted: &'a [Range<usize>],
    formal: bool,
    /// Whether there may be addresses of the web or of mail.
    addresses: bool,
    last_colon: usize,
    at: usize,
    /// The word that is being read, as it is written.
    word: String,
    tokens: Vec<Token>,
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> char {
        self.at.checked_add(ahead).and_then(|at| self.chars.get(at)).copied().unwrap_or(' ')
    }

    fn before(&self) -> char {
        self.at.checked_sub(1).and_then(|at| self.chars.get(at)).copied().unwrap_or(' ')
    }

    fn step(&mut self) {
        let c = self.peek(0);
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => {
                if self.addresses && self.begins_chunk() && self.take_address() {
                    return;
                }
                self.word.push(c);
            }
            '\n' => {
                self.end_word();
                self.pause(Pause::Long);
            }
            c if c.is_whitespace() || c.is_control() => self.end_word(),
            c if c.is_ascii() => return self.punctuation(c),
            c => self.foreign(c),
        }
        self.at += 1;
    }

    fn begins_chunk(&self) -> bool {
        let opened = matches!(self.before(), '(' | '"' | '\'' | '<' | '`');
        let before = if opened { self.at.checked_sub(2).and_then(|at| self.chars.get(at)).copied() } else { None };
        self.word.is_empty() && before.unwrap_or(if opened { ' ' } else { self.before() }).is_whitespace()
    }

    /// An address of the web or of mail is one word, whatever stands in it.
    fn take_address(&mut self) -> bool {
        let rest = self.chars.get(self.at..).unwrap_or_default();
        let len = rest.iter().take_while(|c| !c.is_whitespace() && !matches!(c, '"' | '`' | '<' | '>')).count();
        let chunk = rest.get(..len).unwrap_or_default();
        if !chunk.starts_with(&['w', 'w', 'w', '.'])
            && !chunk.windows(3).any(|three| three == [':', '/', '/'])
            && !is_mail(chunk)
        {
            return false;
        }
        let mut end = len;
        while chunk.get(..end).and_then(<[_]>::last).is_some_and(|c| ".,;:!?)]'".contains(*c)) {
            end -= 1;
        }
        let address: String = chunk.iter().take(end).collect();
        self.put(&address);
        self.at += end.max(1);
        true
    }

    /// What is neither ASCII nor space.
    fn foreign(&mut self, c: char) {
        if is_ideograph(c) {
            self.end_word();
            self.word.push(c);
            self.end_word();
            return;
        }
        if c.is_alphanumeric() || c.is_mark() || c == '°' {
            self.word.push(c);
        } else if c.is_symbol_currency() || c == '₿' {
            self.currency(c);
        } else if c.is_symbol_modifier() || c.is_other_format() || is_emoji_tone(c) {
            self.modifier(c);
        } else if c.is_symbol_other() || c.is_symbol_math() || is_emoji(c) {
            self.symbol(c);
        } else if c.is_punctuation() {
            self.part(Pause::Short);
        } else {
            self.word.push(c);
        }
    }

    /// The colour of an emoji, and what joins two of them.
    fn modifier(&mut self, c: char) {
        let apart = self.before().is_whitespace();
        match self.tokens.last_mut().filter(|_| self.word.is_empty() && !apart) {
            Some(token) => token.join(c.encode_utf8(&mut [0; 4])),
            None => self.word.push(c),
        }
    }

    /// A sign that is a word: an emoji, an arrow, a root.
    fn symbol(&mut self, c: char) {
        self.end_word();
        let joined = self.before() == '\u{200d}';
        match self.tokens.last_mut() {
            Some(token) if joined => token.join(c.encode_utf8(&mut [0; 4])),
            _ => {
                self.word.push(c);
                self.end_word();
            }
        }
    }

    /// Money is one word with the sign in front: $5, $ 5 and 5$.
    fn currency(&mut self, c: char) {
        let (before, behind) = (self.before(), self.peek(1));
        if before.is_ascii_digit() && !behind.is_alphanumeric() && !self.word.is_empty() {
            self.word.insert(0, c);
        } else {
            self.end_word();
            self.word.push(c);
            if !behind.is_alphanumeric() {
                self.end_word();
            }
        }
    }

    /// The word ends here, and so does what belongs together.
    fn part(&mut self, pause: Pause) {
        self.end_word();
        self.pause(pause);
    }

    fn pause(&mut self, pause: Pause) {
        if let Some(token) = self.tokens.last_mut() {
            token.pause = token.pause.max(pause);
        }
    }

    /// A character that is a word.
    fn sign(&mut self, c: char) {
        self.end_word();
        self.word.push(c);
        self.end_word();
    }

    /// Operators that touch are one: ==, ->, &&.
    fn operator(&mut self) {
        let c = self.peek(0);
        let touches = self.word.is_empty() && is_operator(self.before());
        let operates =
            |token: &&mut Token| touches && token.text.starts_with(is_operator) && token.text.ends_with(is_operator);
        match self.tokens.last_mut().filter(operates) {
            Some(token) => token.join(c.encode_utf8(&mut [0; 4])),
            None => self.sign(c),
        }
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        self.put(&word);
        self.word = word;
        self.word.clear();
    }

    fn put(&mut self, written: &str) {
        let span = self.quoted.get(self.quoted.partition_point(|span| span.end < self.at));
        let quoted = span.is_some_and(|span| span.start < self.at);
        let tokens = &mut self.tokens;
        expand::expand(written, self.formal, &mut |word| {
            let token = Token::new(word, quoted);
            match token.known.and_then(|known| known.spoken) {
                Some(words) => expand::put_as(word, words, &mut |word| tokens.push(Token::new(word, quoted))),
                None => tokens.push(token),
            }
        });
        // "What's" is taken apart, so its last word is another one.
        let owner = written.strip_suffix("'s").or_else(|| written.strip_suffix("'S"));
        if let (Some(owner), Some(last)) = (owner, tokens.last_mut()) {
            last.owns = owner.eq_ignore_ascii_case(&last.text);
        }
        expand::join_number(tokens, self.formal);
    }
}

fn is_operator(c: char) -> bool {
    matches!(c, '+' | '-' | '*' | '/' | '<' | '>' | '=' | '&' | '|' | '^' | '~' | '%' | '!' | ':' | '?' | '\\')
}

fn is_mail(chunk: &[char]) -> bool {
    let Some(at) = chunk.iter().position(|c| *c == '@') else { return false };
    let dot = chunk.get(at + 1..).and_then(|domain| domain.iter().position(|c| *c == '.'));
    at > 0 && dot.is_some_and(|dot| dot > 0 && chunk.get(at + dot + 2).is_some_and(|c| c.is_alphanumeric()))
}

/// Pictures, also those that are newer than the tables.
fn is_emoji(c: char) -> bool {
    matches!(u32::from(c), 0x1f000..=0x1faff)
}

fn is_emoji_tone(c: char) -> bool {
    matches!(u32::from(c), 0x1f3fb..=0x1f3ff)
}

/// Scripts that write without spaces, one character for a syllable or a word.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c), 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x2fa1f)
}
