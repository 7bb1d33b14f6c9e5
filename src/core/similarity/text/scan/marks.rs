//! The marks of ASCII, which are punctuation in one place and letters in another.

use super::super::super::words;
use super::super::expand;
use super::super::formal::is_plural;
use super::super::token::Pause;
use super::Scanner;

impl Scanner<'_> {
    /// What this mark is here: a part of the word, a word, or an end.
    pub(super) fn punctuation(&mut self, c: char) {
        let (before, behind) = (self.before(), self.peek(1));
        match c {
            '.' => self.dot(before, behind),
            ',' => self.comma(before, behind),
            '\'' => self.apostrophe(before, behind),
            '-' => self.hyphen(before, behind),
            '"' if before.is_ascii_digit() && !self.is_quotation_mark() => self.word.push(c),
            '"' if self.formal => self.sign(c),
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
            '!' if self.is_denial(before, behind) => self.sign(c),
            '?' | '*' if self.is_repeated(before, behind) => self.word.push(c),
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

    /// !ready. But "look !this" of the French, and of those who are in a hurry, goes on in another way.
    fn is_denial(&self, before: char, behind: char) -> bool {
        let opened = before == '(' || (before == ' ' && self.word.is_empty());
        let rest = self.chars.get(self.at + 1..).unwrap_or_default();
        let word: String = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').take(24).collect();
        let variable = !words::is_function(&word) || matches!(word.as_str(), "all" | "any" | "done" | "same");
        opened && behind.is_ascii_lowercase() && variable
    }

    /// a*, b?, p*: what is repeated, may be missing or is pointed to, in the midst of a sentence.
    fn is_repeated(&self, before: char, behind: char) -> bool {
        let letter = self.word.len() == 1 && before.is_ascii_alphabetic();
        let opened = self.at.checked_sub(2).and_then(|at| self.chars.get(at)).copied().unwrap_or(' ');
        if !letter || opened == '*' || !behind.is_whitespace() {
            return false;
        }
        // The end of a question is followed by another one, or by a word that begins a sentence.
        let next: String = self.chars.iter().skip(self.at + 2).take(12).take_while(|c| c.is_alphanumeric()).collect();
        next.starts_with(|c: char| c.is_ascii_lowercase()) && (self.peek(0) == '*' || !words::is_function(&next))
    }

    /// *really*
    fn is_emphasis(&self, before: char, behind: char) -> bool {
        (before.is_whitespace()
            && behind.is_alphanumeric()
            && self.chars.get(self.at + 1..).is_some_and(closes_emphasis))
            || (before.is_alphanumeric() && !behind.is_alphanumeric())
    }
}

fn closes_emphasis(rest: &[char]) -> bool {
    rest.iter().take(40).skip_while(|c| **c != '*').nth(1).is_none_or(|c| !c.is_alphanumeric())
        && rest.iter().take(40).any(|c| *c == '*')
}
