//! A prompt as words: what the content rules look at.
//!
//! Only a bounded part of a prompt is read, so a prompt of a megabyte costs no more than one of two pages: its first
//! 1,000 and its last 500 bytes, because people put what they want before or behind what they paste. Letters of ASCII
//! become lower case, contractions are written out ("what's" is "what is"), a possessive "'s" goes, hyphens and slashes
//! part words, and bytes that are no ASCII belong to words, whatever they are.

/// How much of the beginning of a longer prompt is read.
pub(super) const HEAD: usize = 1000;

/// How much of the end of a longer prompt is read.
pub(super) const TAIL: usize = 500;

/// What stands at one place of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word.
    Word,
    /// A comma, a colon or a dash.
    Comma,
    /// The end of a sentence or line.
    Stop,
    /// What was left out of a long prompt.
    Cut,
}

/// What can be seen of a word beside its letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Looks {
    /// Two to five capitals, in a prompt that has small letters as well.
    pub capitals: bool,
    /// A dollar sign before letters: $AAPL.
    pub ticker: bool,
    /// Dice as players write them: d20, 2d6.
    pub dice: bool,
    /// A number.
    pub number: bool,
}

#[derive(Clone, Copy, Debug)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
    looks: Looks,
    /// Part of a phrase whose words do not mean what they mean elsewhere.
    masked: bool,
}

/// The words of a prompt.
#[derive(Debug, Default)]
pub(super) struct Words {
    text: Vec<u8>,
    tokens: Vec<Token>,
}

impl Words {
    /// The words of the part of a prompt that is looked at.
    pub fn of(prompt: &[u8]) -> Self {
        let bytes = prompt.len().min(HEAD + TAIL);
        let mut words = Self { text: Vec::with_capacity(bytes), tokens: Vec::with_capacity(bytes / 4 + 1) };
        match (prompt.get(..HEAD), prompt.len().checked_sub(TAIL).and_then(|from| prompt.get(from..))) {
            (Some(head), Some(tail)) if prompt.len() > HEAD + TAIL => {
                let both_cases = has_small(head) || has_small(tail);
                // Of a word at an edge only a part can be seen, so it does not count. That keeps characters whole too.
                let inner = head.iter().rposition(|byte| byte.is_ascii_whitespace()).unwrap_or(0);
                words.read(head.get(..inner).unwrap_or_default(), both_cases);
                words.mark(Kind::Cut);
                let inner = tail.iter().position(|byte| byte.is_ascii_whitespace()).unwrap_or(tail.len());
                words.read(tail.get(inner..).unwrap_or_default(), both_cases);
            }
            _ => words.read(prompt, has_small(prompt)),
        }
        words
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// What stands at a place; behind the last one, the end.
    pub fn kind(&self, at: usize) -> Kind {
        self.tokens.get(at).map_or(Kind::Stop, |token| token.kind)
    }

    /// The letters at a place; none where there is no word.
    pub fn letters(&self, at: usize) -> &[u8] {
        self.tokens.get(at).and_then(|token| self.text.get(token.start..token.end)).unwrap_or_default()
    }

    /// The letters at a place, unless they are part of a phrase with a meaning of its own.
    pub fn plain(&self, at: usize) -> Option<(&[u8], Looks)> {
        let token = self.tokens.get(at).filter(|token| token.kind == Kind::Word && !token.masked)?;
        Some((self.text.get(token.start..token.end)?, token.looks))
    }

    /// Takes the words from one place up to another for a phrase with a meaning of its own.
    pub fn mask(&mut self, from: usize, to: usize) {
        self.tokens.iter_mut().take(to).skip(from).for_each(|token| token.masked = true);
    }

    fn mark(&mut self, kind: Kind) {
        let end = self.text.len();
        match self.tokens.last_mut() {
            // What a comma would part is already apart, and a full stop is stronger.
            None => {}
            Some(last) if last.kind == Kind::Stop || (last.kind, kind) == (Kind::Comma, Kind::Comma) => {}
            Some(last) if last.kind == Kind::Comma => last.kind = kind,
            Some(_) => {
                self.tokens.push(Token { kind, start: end, end, looks: Looks::default(), masked: false });
            }
        }
    }

    fn push(&mut self, word: &[u8], looks: Looks) {
        let start = self.text.len();
        self.text.extend_from_slice(word);
        self.tokens.push(Token { kind: Kind::Word, start, end: self.text.len(), looks, masked: false });
    }

    fn read(&mut self, text: &[u8], both_cases: bool) {
        let mut rest = text;
        let mut before = b' ';
        let mut word = Vec::with_capacity(16);
        let mut looks = Looks::default();
        while let Some((element, behind)) = element(rest, before) {
            match element {
                Element::Letter(byte) => {
                    if word.is_empty() {
                        looks.capitals = both_cases;
                        looks.number = byte.is_ascii_digit();
                    }
                    looks.capitals &= byte.is_ascii_uppercase();
                    word.push(byte.to_ascii_lowercase());
                }
                other => {
                    // A letter alone before a full stop is an abbreviation: "e.g. ", "U.S. ".
                    let initial = matches!((word.as_slice(), rest), ([b'a'..=b'z'], [b'.', ..]));
                    let other = if initial { Element::Space } else { other };
                    self.finish(&mut word, &mut looks);
                    match other {
                        Element::Mark(kind) => self.mark(kind),
                        Element::Dollar => looks.ticker = true,
                        _ => {}
                    }
                }
            }
            before = rest.first().copied().unwrap_or(b' ');
            rest = behind;
        }
        self.finish(&mut word, &mut looks);
    }

    /// Takes a word in as it is meant: contractions written out.
    fn finish(&mut self, word: &mut Vec<u8>, looks: &mut Looks) {
        self.take_in(word, std::mem::take(looks));
        word.clear();
    }

    fn take_in(&mut self, letters: &[u8], mut seen: Looks) {
        let letters = letters.strip_suffix(b"'").unwrap_or(letters);
        let letters = letters.strip_prefix(b"'").unwrap_or(letters);
        if letters.is_empty() {
            return;
        }
        seen.capitals &= (2..=5).contains(&letters.len());
        seen.ticker &= letters.len() <= 5 && letters.iter().all(u8::is_ascii_alphabetic);
        seen.dice = is_dice(letters);
        let plain = Looks::default();
        if let Some((_, long)) = SHORT.iter().find(|(short, _)| short.as_bytes() == letters) {
            long.split(' ').for_each(|word| self.push(word.as_bytes(), plain));
            return;
        }
        let Some(at) = letters.iter().rposition(|byte| *byte == b'\'') else { return self.push(letters, seen) };
        let (head, tail) = (letters.get(..at).unwrap_or_default(), letters.get(at + 1..).unwrap_or_default());
        if tail == b"t" && head.ends_with(b"n") {
            self.push(head.strip_suffix(b"n").unwrap_or(head), plain);
            return self.push(b"not", plain);
        }
        let second: &[u8] = match tail {
            b"s" if IS_BEHIND.iter().any(|word| word.as_bytes() == head) => b"is",
            b"s" => b"",
            b"re" => b"are",
            b"m" => b"am",
            b"ll" => b"will",
            b"d" => b"would",
            b"ve" => b"have",
            _ => {
                let joined: Vec<u8> = letters.iter().copied().filter(|byte| *byte != b'\'').collect();
                return self.push(&joined, seen);
            }
        };
        self.push(head, seen);
        if !second.is_empty() {
            self.push(second, plain);
        }
    }
}

/// Words that are written in more than one way.
pub(super) const SHORT: &[(&str, &str)] = &[
    ("can't", "can not"),
    ("cannot", "can not"),
    ("dont", "do not"),
    ("gimme", "give me"),
    ("hows", "how is"),
    ("im", "i am"),
    ("let's", "lets"),
    ("pls", "please"),
    ("plz", "please"),
    ("u", "you"),
    ("whats", "what is"),
    ("wheres", "where is"),
    ("whos", "who is"),
    ("won't", "will not"),
];

/// Words behind which "'s" is "is".
const IS_BEHIND: &[&str] = &["he", "here", "how", "it", "she", "that", "there", "what", "when", "where", "who", "why"];

fn has_small(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_lowercase)
}

fn is_dice(letters: &[u8]) -> bool {
    let mut parts = letters.splitn(2, |byte| *byte == b'd');
    let (count, sides) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    !sides.is_empty() && count.iter().chain(sides).all(u8::is_ascii_digit)
}

enum Element {
    Letter(u8),
    Space,
    Dollar,
    Mark(Kind),
}

/// The first element of a text, and what stands behind it.
fn element(text: &[u8], before: u8) -> Option<(Element, &[u8])> {
    let (byte, behind) = text.split_first()?;
    let next = behind.first().copied().unwrap_or(b' ');
    let in_number = before.is_ascii_digit() && next.is_ascii_digit();
    let element = match byte {
        b';' if next.is_ascii_alphanumeric() => Element::Space,
        b'\n' | b'\r' | b'!' | b'?' | b';' => Element::Mark(Kind::Stop),
        b'.' if in_number => Element::Letter(b'.'),
        b'.' if next.is_ascii_alphanumeric() => Element::Space,
        b'.' => Element::Mark(Kind::Stop),
        b',' if in_number => return self::element(behind, before),
        b',' => Element::Mark(Kind::Comma),
        b':' if !next.is_ascii_alphanumeric() => Element::Mark(Kind::Comma),
        b'-' if before == b' ' && next == b' ' => Element::Mark(Kind::Comma),
        b'$' if next.is_ascii_alphabetic() => Element::Dollar,
        b'\'' => Element::Letter(b'\''),
        byte if byte.is_ascii_alphanumeric() || *byte == b'_' => Element::Letter(*byte),
        0xe2 | 0xc2 | 0xef => return Some(typographic(text)),
        0x80.. => Element::Letter(*byte),
        _ => Element::Space,
    };
    Some((element, behind))
}

/// Typographic signs as their plain sisters. They are no letters, though their bytes look like it.
fn typographic(text: &[u8]) -> (Element, &[u8]) {
    match text {
        [0xe2, 0x80, 0x98 | 0x99, behind @ ..] => (Element::Letter(b'\''), behind),
        [0xe2, 0x80, 0x93..=0x95, behind @ ..] => (Element::Mark(Kind::Comma), behind),
        [0xe2, 0x80, 0xa6, behind @ ..] => (Element::Mark(Kind::Stop), behind),
        [0xe2, 0x80, _, behind @ ..] => (Element::Space, behind),
        [0xc2, 0xa0..=0xbf, behind @ ..] => (Element::Space, behind),
        [0xef, 0xbc, 0x81 | 0x9f, behind @ ..] => (Element::Mark(Kind::Stop), behind),
        [byte, behind @ ..] => (Element::Letter(*byte), behind),
        [] => (Element::Space, text),
    }
}
