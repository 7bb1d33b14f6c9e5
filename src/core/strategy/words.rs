//! A prompt as words: what the content rules look at.
//!
//! Only a bounded part of a prompt is read, so a prompt of a megabyte costs no more than one of two pages: its first
//! 1,000 and its last 500 bytes, because people put what they want before or behind what they paste. Letters of ASCII
//! become lower case, contractions are written out ("what's" is "what is"), a possessive "'s" goes, hyphens and slashes
//! part words, and bytes that are no ASCII belong to words, whatever they are.

mod vocabulary;

pub(super) use vocabulary::{Class, Key, Vocabulary, Word};

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

/// What can be seen of a word beside its letters, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Looks(u8);

impl Looks {
    /// Two to five capitals, in a prompt that has small letters as well.
    pub const CAPITALS: Self = Self(1);
    /// A dollar sign before letters: $AAPL.
    pub const TICKER: Self = Self(1 << 1);
    /// Dice as players write them: d20, 2d6.
    pub const DICE: Self = Self(1 << 2);
    /// A number.
    pub const NUMBER: Self = Self(1 << 3);

    /// Whether the two have something in common.
    pub fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What can be seen of either.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn only_if(self, seen: bool) -> Self {
        if seen {
            self
        } else {
            Self::default()
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Token {
    kind: Kind,
    word: Word,
    class: Class,
    looks: Looks,
    /// Part of a phrase whose words do not mean what they mean elsewhere.
    masked: bool,
}

/// The words of a prompt.
#[derive(Debug)]
pub(super) struct Words<'a> {
    vocabulary: &'a Vocabulary,
    tokens: Vec<Token>,
}

impl<'a> Words<'a> {
    /// The words of the part of a prompt that is looked at.
    pub fn of(prompt: &[u8], vocabulary: &'a Vocabulary) -> Self {
        let bytes = prompt.len().min(HEAD + TAIL);
        let mut words = Self { vocabulary, tokens: Vec::with_capacity(bytes / 4 + 1) };
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

    /// The closed lists that the word at a place stands in; none where there is no word.
    pub fn class(&self, at: usize) -> Class {
        self.tokens.get(at).map(|token| token.class).unwrap_or_default()
    }

    /// The word at a place, whatever it means there.
    pub fn word(&self, at: usize) -> Option<Word> {
        self.tokens.get(at).filter(|token| token.kind == Kind::Word).map(|token| token.word)
    }

    /// The word at a place, unless it is part of a phrase with a meaning of its own.
    pub fn plain(&self, at: usize) -> Option<(Word, Looks)> {
        let token = self.tokens.get(at).filter(|token| token.kind == Kind::Word && !token.masked)?;
        Some((token.word, token.looks))
    }

    /// Takes the words from one place up to another for a phrase with a meaning of its own.
    pub fn mask(&mut self, from: usize, to: usize) {
        self.tokens.iter_mut().take(to).skip(from).for_each(|token| token.masked = true);
    }

    fn mark(&mut self, kind: Kind) {
        match self.tokens.last_mut() {
            // What a comma would part is already apart, and a full stop is stronger.
            None => {}
            Some(last) if last.kind == Kind::Stop || (last.kind, kind) == (Kind::Comma, Kind::Comma) => {}
            Some(last) if last.kind == Kind::Comma => last.kind = kind,
            Some(_) => self.tokens.push(Token {
                kind,
                word: Word::OTHER,
                class: Class::default(),
                looks: Looks::default(),
                masked: false,
            }),
        }
    }

    fn push(&mut self, (word, class): (Word, Class), looks: Looks) {
        self.tokens.push(Token { kind: Kind::Word, word, class, looks, masked: false });
    }

    fn push_letters(&mut self, letters: &[u8], looks: Looks) {
        self.push(self.vocabulary.find(Key::of(letters)), looks);
    }

    fn read(&mut self, text: &[u8], both_cases: bool) {
        let mut rest = text;
        let mut before = b' ';
        // A word with something between its letters is put together here.
        let mut pieced = Vec::new();
        let mut dollar = false;
        while let Some(byte) = rest.first() {
            if pieced.is_empty() {
                if let Some((letters, key, behind)) = whole_word(rest) {
                    self.take_in(letters, key, looks(letters, letters, dollar, both_cases));
                    dollar = false;
                    (before, rest) = match behind {
                        [b' ', behind @ ..] => (b' ', behind),
                        _ => (letters.last().copied().unwrap_or(b' '), behind),
                    };
                    continue;
                }
            }
            let Some((element, behind)) = element(rest, before) else { break };
            if let Element::Letter(letter) = element {
                pieced.push(letter);
            } else {
                // A letter alone before a full stop is an abbreviation: "e.g. ", "U.S. ".
                let initial = *byte == b'.' && matches!(pieced.as_slice(), [b'A'..=b'Z' | b'a'..=b'z']);
                if !pieced.is_empty() {
                    self.take_in_pieced(&mut pieced, dollar, both_cases);
                }
                dollar = matches!(element, Element::Dollar);
                match element {
                    Element::Mark(kind) if !initial => self.mark(kind),
                    _ => {}
                }
            }
            (before, rest) = (*byte, behind);
        }
        self.take_in_pieced(&mut pieced, dollar, both_cases);
    }

    /// Takes a word in as it is meant.
    fn take_in(&mut self, letters: &[u8], key: Key, seen: Looks) {
        let known = self.vocabulary.find(key);
        if known.1.meets(Class::SHORT) {
            self.write_out(letters);
        } else {
            self.push(known, seen);
        }
    }

    fn write_out(&mut self, letters: &[u8]) {
        let long = SHORT.iter().find(|(short, _)| short.as_bytes().eq_ignore_ascii_case(letters));
        for word in long.into_iter().flat_map(|(_, long)| long.split(' ')) {
            self.push_letters(word.as_bytes(), Looks::default());
        }
    }

    /// Takes a word in as it is meant, contractions written out, and leaves room for the next one.
    fn take_in_pieced(&mut self, pieced: &mut Vec<u8>, dollar: bool, both_cases: bool) {
        let letters = pieced.as_slice();
        let inner = letters.strip_suffix(b"'").unwrap_or(letters);
        let inner = inner.strip_prefix(b"'").unwrap_or(inner);
        if !inner.is_empty() {
            let seen = looks(letters, inner, dollar, both_cases);
            let key = Key::of(inner);
            match inner.iter().rposition(|byte| *byte == b'\'') {
                Some(at) if !self.vocabulary.find(key).1.meets(Class::SHORT) => {
                    self.take_in_contraction(&inner.to_ascii_lowercase(), at, seen);
                }
                _ => self.take_in(inner, key, seen),
            }
        }
        pieced.clear();
    }

    /// Takes in two words, one before and one behind an apostrophe.
    fn take_in_contraction(&mut self, letters: &[u8], apostrophe: usize, seen: Looks) {
        let plain = Looks::default();
        let (head, tail) = letters.split_at_checked(apostrophe).unwrap_or_default();
        if tail == b"'t" && head.ends_with(b"n") {
            self.push_letters(head.strip_suffix(b"n").unwrap_or(head), plain);
            return self.push_letters(b"not", plain);
        }
        let first = self.vocabulary.find(Key::of(head));
        let second: &[u8] = match tail {
            b"'s" if first.1.meets(Class::IS_BEHIND) => b"is",
            b"'s" => b"",
            b"'re" => b"are",
            b"'m" => b"am",
            b"'ll" => b"will",
            b"'d" => b"would",
            b"'ve" => b"have",
            _ => {
                let joined: Vec<u8> = letters.iter().copied().filter(|byte| *byte != b'\'').collect();
                return self.push_letters(&joined, seen);
            }
        };
        self.push(first, seen);
        if !second.is_empty() {
            self.push_letters(second, plain);
        }
    }
}

/// What can be seen of a word: of all its letters, and of those between apostrophes.
fn looks(letters: &[u8], inner: &[u8], dollar: bool, both_cases: bool) -> Looks {
    let (Some(first), Some(last)) = (letters.first(), inner.last()) else { return Looks::default() };
    let capitals = both_cases
        && first.is_ascii_uppercase()
        && (2..=5).contains(&letters.len())
        && letters.iter().all(u8::is_ascii_uppercase);
    let ticker = dollar && inner.len() <= 5 && inner.iter().all(u8::is_ascii_alphabetic);
    let dice = last.is_ascii_digit() && is_dice(inner);
    let number = first.is_ascii_digit();
    Looks::CAPITALS
        .only_if(capitals)
        .or(Looks::TICKER.only_if(ticker))
        .or(Looks::DICE.only_if(dice))
        .or(Looks::NUMBER.only_if(number))
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
pub(super) const IS_BEHIND: &[&str] =
    &["he", "here", "how", "it", "she", "that", "there", "what", "when", "where", "who", "why"];

/// Puts the words that are read in a way of their own on their lists.
pub(super) fn put_readings(vocabulary: &mut Vocabulary) -> Option<()> {
    SHORT.iter().try_for_each(|(short, _)| vocabulary.put(Class::SHORT, &[short]))?;
    vocabulary.put(Class::IS_BEHIND, IS_BEHIND)
}

fn has_small(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_lowercase)
}

fn is_dice(letters: &[u8]) -> bool {
    let mut parts = letters.splitn(2, |byte| byte.eq_ignore_ascii_case(&b'd'));
    let (count, sides) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    !sides.is_empty() && count.iter().chain(sides).all(u8::is_ascii_digit)
}

/// The bytes that are letters whatever stands around them, those of ASCII in lower case; 0 for all others.
const LETTERS: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < table.len() {
        let byte = at as u8;
        if matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80..)
            && !matches!(byte, 0xe2 | 0xc2 | 0xef)
        {
            table[at] = byte.to_ascii_lowercase();
        }
        at += 1;
    }
    table
};

/// The word that a text begins with, and what stands behind it, if it is nothing but letters and ends with them
/// whatever stands there: nearly every word, in one pass.
fn whole_word(text: &[u8]) -> Option<(&[u8], Key, &[u8])> {
    let mut key = Key::default();
    for byte in text {
        match LETTERS[usize::from(*byte)] {
            0 => break,
            letter => key = key.and(letter),
        }
    }
    let (letters, behind) = text.split_at_checked(key.len())?;
    let ends = match behind.first() {
        Some(b'\'' | 0xe2 | 0xc2 | 0xef) => false,
        // In a number, or behind an initial.
        Some(b'.' | b',') => letters.len() > 1 && !letters.last()?.is_ascii_digit(),
        _ => !letters.is_empty(),
    };
    ends.then_some((letters, key, behind))
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
        0xe2 | 0xc2 | 0xef => return Some(typographic(text)),
        byte if LETTERS[usize::from(*byte)] != 0 => Element::Letter(*byte),
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
