//! From characters to words: what belongs to a word, what is a word of its own, what only separates.
//!
//! Whether a dot is the end of a sentence or a part of 1.5, .NET and U.S. is seen from its two neighbours, which is all
//! that is looked at nearly everywhere. So the scan is linear, and what it does not know becomes a word of its own or
//! stays where it is: a text that is kept apart from another costs a hit, one that is merged with another costs trust.

use super::expand;
use super::formal::is_plural;
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
            Some(token) => token.text.push(c),
            None => self.word.push(c),
        }
    }

    /// A sign that is a word: an emoji, an arrow, a root.
    fn symbol(&mut self, c: char) {
        self.end_word();
        let joined = self.before() == '\u{200d}';
        match self.tokens.last_mut() {
            Some(token) if joined => token.text.push(c),
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

    fn punctuation(&mut self, c: char) {
        let (before, behind) = (self.before(), self.peek(1));
        match c {
            '.' => self.dot(before, behind),
            ',' => self.comma(before, behind),
            '\'' => self.apostrophe(before, behind),
            '-' => self.hyphen(before, behind),
            '"' | '`' if before.is_ascii_digit() && c == '"' && !self.is_quotation_mark() => self.word.push(c),
            '"' | '`' if self.formal => self.sign(c),
            '"' | '`' => self.end_word(),
            '(' if is_plural(self.chars, self.at) && before.is_alphabetic() => {
                self.at += if behind == 's' { 2 } else { 3 };
            }
            '(' | ')' | '[' | ']' | '{' | '}' if self.formal => self.sign(c),
            '(' | ')' | '[' | ']' | '{' | '}' => self.part(Pause::Short),
            ':' if before.is_ascii_digit() && behind.is_ascii_digit() => self.word.push(c),
            ':' if self.formal && (before == ':' || behind == ':' || before == ' ' || behind == '=') => self.operator(),
            ':' => self.part(Pause::Short),
            ';' if self.formal => self.sign(c),
            ';' => self.part(Pause::Short),
            '!' if self.is_factorial(before, behind) => self.word.push(c),
            '!' if behind == '=' || (self.formal && behind.is_alphanumeric()) => self.operator(),
            '?' if self.formal && (matches!(behind, '.' | '?') || self.at < self.last_colon) => self.operator(),
            '!' | '?' => self.part(Pause::Long),
            '$' => self.currency(c),
            '@' | '#' if behind.is_alphanumeric() => {
                if !(c == '@' && before.is_alphanumeric()) {
                    self.end_word();
                }
                self.word.push(c);
            }
            // C#, F#.
            '#' if before.is_alphabetic() => self.word.push(c),
            '%' if before.is_ascii_digit() && !behind.is_alphanumeric() => self.word.push(c),
            '&' if before.is_alphanumeric() && behind.is_alphanumeric() => self.word.push(c),
            '&' if !self.formal && behind != '&' => {
                self.end_word();
                self.word.push_str("and");
                self.end_word();
            }
            '+' => self.plus(before, behind),
            '*' if !self.formal && (before == '*' || behind == '*' || self.is_emphasis(before, behind)) => {
                self.end_word();
            }
            '/' => self.slash(behind),
            _ => self.operator(),
        }
        self.at += 1;
    }

    fn is_quotation_mark(&self) -> bool {
        self.quoted.iter().any(|span| span.start == self.at + 1 || span.end == self.at)
    }

    fn dot(&mut self, before: char, behind: char) {
        let dots = before == '.' || behind == '.';
        let decimal = behind.is_ascii_digit() && (before.is_ascii_digit() || !before.is_alphanumeric());
        if decimal && !dots {
            if self.word.is_empty() || self.word == "-" {
                self.word.push('0'); // .5 is 0.5
            }
            self.word.push('.');
        } else if dots {
            self.part(Pause::Long);
        } else if before.is_alphabetic() && behind.is_alphabetic() {
            // "me.Then" is two sentences, "node.js" and "U.S." are words.
            if before.is_lowercase() && behind.is_uppercase() && !self.formal && !self.is_file_type() {
                self.part(Pause::Long);
            } else {
                self.word.push('.');
            }
        } else if behind.is_alphanumeric() && (self.formal || self.is_file_type()) {
            self.word.push('.'); // .NET, .env, and code
        } else {
            let ends_sentence = !expand::is_abbreviation(&self.word);
            self.part(if ends_sentence { Pause::Long } else { Pause::None });
        }
    }

    /// Whether the letters behind this dot are a kind of file or a known name.
    fn is_file_type(&self) -> bool {
        let rest = self.chars.get(self.at + 1..).unwrap_or_default();
        let letters: String = rest.iter().take_while(|c| c.is_alphanumeric()).take(10).collect();
        expand::is_file_type(&letters.to_ascii_lowercase())
    }

    fn comma(&mut self, before: char, behind: char) {
        if before.is_ascii_digit() && behind.is_ascii_digit() && !self.formal && self.groups_digits() {
            return; // 8,000 is 8000
        }
        if self.formal && before != ' ' && behind != ' ' {
            return self.sign(',');
        }
        self.part(Pause::Short);
    }

    /// Whether this comma stands before the last three digits of a number, or before two and another comma that does:
    /// 1,234 and 1,00,000, but not 1,2,3.
    fn groups_digits(&self) -> bool {
        let head = self.word.trim_start_matches(|c: char| !c.is_ascii_digit());
        if head.is_empty() || head.len() > 12 || !head.bytes().all(|digit| digit.is_ascii_digit()) {
            return false;
        }
        let rest = self.chars.get(self.at + 1..).unwrap_or_default();
        let groups = rest.split(|c| !c.is_ascii_digit()).take(5).map(<[_]>::len);
        let mut at = 0;
        for len in groups {
            at += len + 1;
            let goes_on = rest.get(at - 1) == Some(&',') && rest.get(at).is_some_and(char::is_ascii_digit);
            match (len, goes_on) {
                (3, false) => return true,
                (2 | 3, true) => {}
                _ => return false,
            }
        }
        false
    }

    fn apostrophe(&mut self, before: char, behind: char) {
        if self.is_quotation_mark() {
            return if self.formal { self.sign('"') } else { self.end_word() };
        }
        let within = before.is_alphanumeric() && behind.is_alphanumeric();
        let feet = before.is_ascii_digit() && !self.word.is_empty();
        if feet && matches!(behind, 's' | 'S') {
            return; // the 1990's
        }
        let clipped = !before.is_alphanumeric() && behind.is_alphabetic() && self.clips();
        if within || feet || clipped {
            self.word.push('\'');
        } else {
            self.end_word();
        }
    }

    /// 'cause, 'til: the apostrophe is in place of letters.
    fn clips(&self) -> bool {
        let rest = self.chars.get(self.at..).unwrap_or_default();
        let word: String = rest.iter().take(7).take_while(|c| !c.is_whitespace()).collect();
        expand::is_clipped(&word.to_ascii_lowercase())
    }

    fn hyphen(&mut self, before: char, behind: char) {
        if before.is_alphanumeric() && behind.is_alphanumeric() {
            self.word.push('-');
        } else if before.is_alphanumeric() || before == '-' {
            match (self.formal, before) {
                (true, _) if before == '-' || !behind.is_whitespace() => self.operator(),
                _ => self.part(Pause::Short),
            }
        } else if behind.is_ascii_digit() || (behind == '.' && self.peek(2).is_ascii_digit()) {
            self.end_word();
            self.word.push('-'); // -5
        } else if self.is_flag() {
            self.word.push('-');
            if behind == '-' {
                self.word.push('-');
                self.at += 1;
            }
        } else if self.formal {
            self.operator();
        } else {
            self.part(Pause::Short);
        }
    }

    /// --force, -rf. A longer word behind one hyphen is rather a sloppy dash.
    fn is_flag(&self) -> bool {
        let long = self.peek(1) == '-';
        let rest = self.chars.get(self.at + 1 + usize::from(long)..).unwrap_or_default();
        let letters = rest.iter().take(3).take_while(|c| c.is_ascii_alphabetic()).count();
        self.begins_chunk() && if long { letters > 0 } else { letters > 0 && (letters < 3 || self.formal) }
    }

    /// C++, Google+ and 18+; otherwise a sum or a sign.
    fn plus(&mut self, before: char, behind: char) {
        let doubled = behind == '+' && !self.peek(2).is_alphanumeric() && self.peek(2) != '+';
        if before.is_alphanumeric() && doubled {
            self.word.push_str("++");
            self.at += 1;
        } else if before.is_alphanumeric()
            && !behind.is_alphanumeric()
            && !"+=(".contains(behind)
            && !self.word.is_empty()
        {
            self.word.push('+');
        } else if behind.is_ascii_digit() && before.is_whitespace() {
            self.end_word();
            self.word.push('+');
        } else {
            self.operator();
        }
    }

    fn slash(&mut self, behind: char) {
        let word = self.word.to_ascii_lowercase();
        match (word.as_str(), behind) {
            ("w", 'o' | 'O') if !self.peek(2).is_alphanumeric() => {
                self.word = "without".to_owned();
                self.end_word();
                self.at += 1;
            }
            ("w", ' ') => {
                self.word = "with".to_owned();
                self.end_word();
            }
            _ => self.operator(),
        }
    }

    /// 5! is 120. But "in 2020!" only ends loudly.
    fn is_factorial(&self, before: char, behind: char) -> bool {
        let number = !self.word.is_empty() && self.word.bytes().all(|digit| digit.is_ascii_digit());
        let variable = self.formal && self.word.len() == 1;
        (before.is_alphanumeric() || before == '!') && behind != '=' && ((number && self.word.len() <= 3) || variable)
    }

    /// *really*
    fn is_emphasis(&self, before: char, behind: char) -> bool {
        (before.is_whitespace()
            && behind.is_alphanumeric()
            && self.chars.get(self.at + 1..).is_some_and(closes_emphasis))
            || (before.is_alphanumeric() && !behind.is_alphanumeric())
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
            Some(token) => token.text.push(c),
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
        expand::join_number(tokens, self.formal);
    }
}

fn is_operator(c: char) -> bool {
    matches!(c, '+' | '-' | '*' | '/' | '<' | '>' | '=' | '&' | '|' | '^' | '~' | '%' | '!' | ':' | '?' | '\\')
}

fn closes_emphasis(rest: &[char]) -> bool {
    rest.iter().take(40).skip_while(|c| **c != '*').nth(1).is_none_or(|c| !c.is_alphanumeric())
        && rest.iter().take(40).any(|c| *c == '*')
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
