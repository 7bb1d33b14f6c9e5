//! Patterns as `KEYS` and `SCAN … MATCH` understand them, over bytes and case-sensitive.
//!
//! `*` any bytes, `?` one byte, `[a-z]` and `[^a]` one byte of a class, `\x` the byte x. The server's own matcher calls
//! itself at every `*`; this one never goes back. The stars cut a pattern into segments, each as long as what fits it.
//! The first stands at the start of the text and the last at its end; of those between, each is put where it fits first,
//! because that leaves most text for everything behind it. Literals are found by [`memmem`], which is linear. Where a
//! segment has a `?` or a class, it is tried at every place, step by step, as long as that is cheap; else all its
//! beginnings are followed at once, as the bits of one to four words. So with a pattern of up to 256 bytes a byte of the
//! text costs at most four steps, whatever the pattern; beyond that a match costs some ten thousands at the very most.
//!
//! A class without its `]` ends with the pattern, `[]` matches nothing, `[^]` anything, `\` at the very end is itself,
//! and a range given backwards is turned round: all as the server does. Two things differ: ranges count bytes from 0 to
//! 255 on every machine (on x86 the server takes bytes from 128 on for negative), and a pattern of stars alone matches
//! the empty text however many they are (the server: only one, and only in `KEYS` and `SCAN`).

use memchr::memmem;
use std::borrow::Cow;

/// A segment is tried step by step if places × length is no more than this, which is about what a [`Table`] costs.
const CHEAP: usize = 4096;

/// Whether the whole text fits the pattern.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, CHEAP)
}

fn matches_with(pattern: &[u8], text: &[u8], cheap: usize) -> bool {
    let (first, behind) = Segment::cut(pattern);
    let Some(mut rest) = behind else { return first.fits(text) };
    let Some((start, mut left)) = text.split_at_checked(first.count) else { return false };
    if !first.fits(start) {
        return false;
    }
    loop {
        let (segment, behind) = Segment::cut(rest);
        let Some(behind) = behind else {
            let end = left.len().checked_sub(segment.count).and_then(|at| left.get(at..));
            return end.is_some_and(|end| segment.fits(end));
        };
        let Some(unused) = segment.find(left, cheap).and_then(|at| left.get(at + segment.count..)) else {
            return false;
        };
        (rest, left) = (behind, unused);
    }
}

/// What stands between two stars, or between a star and an end of the pattern.
struct Segment<'a> {
    bytes: &'a [u8],
    /// How many bytes fit it: its elements.
    count: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It is what it matches.
    Literal,
    /// Literals, of which some are escaped.
    Escaped,
    /// There is a `?` or a class.
    Mixed,
}

impl<'a> Segment<'a> {
    /// The segment that a pattern begins with, and what stands behind the star that ends it, if one does.
    fn cut(pattern: &'a [u8]) -> (Self, Option<&'a [u8]>) {
        let (mut rest, mut count, mut kind) = (pattern, 0, Kind::Literal);
        let behind = loop {
            match rest {
                [] => break None,
                [b'*', behind @ ..] => break Some(behind),
                [b'?' | b'[', ..] => kind = Kind::Mixed,
                [b'\\', _, ..] if kind == Kind::Literal => kind = Kind::Escaped,
                _ => {}
            }
            rest = step(rest, 0).1;
            count += 1;
        };
        let bytes = pattern.get(..pattern.len() - rest.len()).unwrap_or_default();
        (Self { bytes, count, kind }, behind)
    }

    /// The bytes that it matches, if there are only literals.
    fn literals(&self) -> Option<Cow<'a, [u8]>> {
        match self.kind {
            Kind::Literal => Some(self.bytes.into()),
            Kind::Mixed => None,
            Kind::Escaped => {
                let (mut rest, mut literals) = (self.bytes, Vec::with_capacity(self.count));
                while let [b'\\', literal, behind @ ..] | [literal, behind @ ..] = rest {
                    literals.push(*literal);
                    rest = behind;
                }
                Some(literals.into())
            }
        }
    }

    /// Whether the whole text fits.
    fn fits(&self, text: &[u8]) -> bool {
        text.len() == self.count
            && match self.kind {
                Kind::Literal => self.bytes == text,
                Kind::Escaped | Kind::Mixed => self.fits_in_steps(text),
            }
    }

    /// The same for a text that is as long as it must be.
    fn fits_in_steps(&self, text: &[u8]) -> bool {
        let mut rest = self.bytes;
        text.iter().all(|byte| {
            let (fits, behind) = step(rest, *byte);
            spend(rest.len() - behind.len());
            rest = behind;
            fits
        })
    }

    /// The first place in the text where it fits.
    fn find(&self, text: &[u8], cheap: usize) -> Option<usize> {
        let places = (text.len() + 1).checked_sub(self.count)?;
        if self.count == 0 {
            return Some(0);
        }
        if let Some(literals) = self.literals() {
            let at = memmem::find(text, &literals);
            spend(at.unwrap_or(text.len()));
            return at;
        }
        let few = places.saturating_mul(self.bytes.len()) <= cheap;
        match self.count {
            ..=64 if !few => self.find_by_table::<1>(text),
            ..=256 if !few => self.find_by_table::<4>(text),
            // No pattern that a command takes has more than 256 elements.
            _ => text.windows(self.count).position(|text| self.fits_in_steps(text)),
        }
    }

    fn find_by_table<const WORDS: usize>(&self, text: &[u8]) -> Option<usize> {
        let end = Table::<WORDS>::new(self.bytes).find_last(text)?;
        (end + 1).checked_sub(self.count)
    }
}

/// A segment of up to `WORDS` × 64 elements, a bit for each.
struct Table<const WORDS: usize> {
    /// For each byte, which elements name it.
    named: [[u64; WORDS]; 256],
    /// Which elements fit the bytes that they do not name: `?` and the negated classes.
    negated: [u64; WORDS],
    /// The last element.
    last: [u64; WORDS],
}

impl<const WORDS: usize> Table<WORDS> {
    fn new(segment: &[u8]) -> Self {
        let mut table = Self { named: [[0; WORDS]; 256], negated: [0; WORDS], last: [0; WORDS] };
        spend(256 * WORDS);
        let mut rest = segment;
        for word in 0..WORDS {
            for bit in (0..64).map(|at| 1 << at) {
                let mut name = |from: u8, to: u8| {
                    let rows = table.named.get_mut(usize::from(from)..=usize::from(to)).unwrap_or_default();
                    rows.iter_mut().filter_map(|row| row.get_mut(word)).for_each(|bits| *bits |= bit);
                    spend(rows.len());
                };
                let negated = match rest {
                    [] => return table,
                    [b'?', ..] => true,
                    [b'[', class @ ..] => members(class, name).0,
                    [b'\\', literal, ..] | [literal, ..] => {
                        name(*literal, *literal);
                        false
                    }
                };
                if let Some(bits) = table.negated.get_mut(word).filter(|_| negated) {
                    *bits |= bit;
                }
                table.last = [0; WORDS];
                if let Some(bits) = table.last.get_mut(word) {
                    *bits = bit;
                }
                rest = step(rest, 0).1;
            }
        }
        table
    }

    /// Where the first text that fits has its last byte.
    fn find_last(&self, text: &[u8]) -> Option<usize> {
        // Bit n: the last n + 1 bytes fit the first n + 1 elements.
        let mut begun = [0_u64; WORDS];
        text.iter().position(|byte| {
            let (mut carry, mut done) = (1, 0);
            let elements = self.named[usize::from(*byte)].iter().zip(&self.negated).zip(&self.last);
            for (begun, ((named, negated), last)) in begun.iter_mut().zip(elements) {
                let longer = *begun << 1 | carry;
                carry = *begun >> 63;
                *begun = longer & (named ^ negated);
                done |= *begun & last;
            }
            spend(WORDS);
            done != 0
        })
    }
}

/// Whether the byte fits the first element of a pattern that begins with no star, and what stands behind the element.
fn step(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    match pattern {
        [] => (false, pattern),
        [b'?', rest @ ..] => (true, rest),
        [b'[', class @ ..] => {
            let mut found = false;
            let (negated, rest) = members(class, |from, to| found |= (from..=to).contains(&byte));
            (found != negated, rest)
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte, rest),
    }
}

/// Reads what stands behind a `[`, member by member as ranges: whether the class is negated, and what is behind it.
fn members(pattern: &[u8], mut member: impl FnMut(u8, u8)) -> (bool, &[u8]) {
    let (negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    loop {
        rest = match rest {
            [] => return (negated, rest),
            [b']', behind @ ..] => return (negated, behind),
            [b'\\', escaped, rest @ ..] => {
                member(*escaped, *escaped);
                rest
            }
            [from, b'-', to, rest @ ..] => {
                member(*from.min(to), *from.max(to));
                rest
            }
            [literal, rest @ ..] => {
                member(*literal, *literal);
                rest
            }
        };
    }
}

/// Counts steps; in tests only.
#[cfg(not(test))]
fn spend(_: usize) {}
#[cfg(test)]
use tests::spend;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local!(static SPENT: Cell<usize> = const { Cell::new(0) });

    pub(super) fn spend(steps: usize) {
        SPENT.set(SPENT.get() + steps);
    }

    /// How it was done before: step by step, and back to the last star. Pattern × text steps.
    fn stepwise(pattern: &[u8], text: &[u8]) -> bool {
        let (mut rest, mut left) = (pattern, text);
        // What stands behind the last star, and the text that the star has not swallowed yet.
        let mut retry: Option<(&[u8], &[u8])> = None;
        loop {
            if let Some((b'*', behind)) = rest.split_first() {
                rest = behind;
                retry = Some((behind, left));
                continue;
            }
            match (rest.is_empty(), left.split_first()) {
                (true, None) => return true,
                (false, Some((byte, tail))) => {
                    let (fits, behind) = step(rest, *byte);
                    if fits {
                        (rest, left) = (behind, tail);
                        continue;
                    }
                }
                // Only stars could fit what is left of the pattern, and it does not begin with one.
                (false, None) => return false,
                (true, Some(_)) if retry.is_some_and(|(behind, _)| behind.is_empty()) => return true,
                (true, Some(_)) => {}
            }
            let Some((behind, [_, unswallowed @ ..])) = retry else { return false };
            retry = Some((behind, unswallowed));
            (rest, left) = (behind, unswallowed);
        }
    }

    /// The naive twin: tries every length at every star.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([], _) => false,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            (_, []) => false,
            ([b'?', rest @ ..], [_, tail @ ..]) => naive(rest, tail),
            ([b'\\', escaped, rest @ ..], [byte, tail @ ..]) => escaped == byte && naive(rest, tail),
            ([b'[', rest @ ..], [byte, tail @ ..]) => {
                let negated = rest.first() == Some(&b'^');
                let mut at = usize::from(negated);
                let mut members = Vec::new();
                while at < rest.len() && rest[at] != b']' {
                    if rest[at] == b'\\' && at + 1 < rest.len() {
                        members.push(rest[at + 1]);
                        at += 2;
                    } else if at + 2 < rest.len() && rest[at + 1] == b'-' {
                        let (from, to) = (rest[at].min(rest[at + 2]), rest[at].max(rest[at + 2]));
                        members.extend(from..=to);
                        at += 3;
                    } else {
                        members.push(rest[at]);
                        at += 1;
                    }
                }
                let behind = &rest[(at + 1).min(rest.len())..];
                members.contains(byte) != negated && naive(behind, tail)
            }
            ([literal, rest @ ..], [byte, tail @ ..]) => literal == byte && naive(rest, tail),
        }
    }

    #[test]
    fn patterns_mean_what_they_mean_to_the_server() {
        let fits: &[(&str, &str)] = &[
            ("", ""),
            ("*", ""),
            ("*", "x"),
            ("h?llo", "hello"),
            ("h*llo", "heeeello"),
            ("h*llo", "hllo"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-b]llo", "hbllo"),
            ("h[b-a]llo", "hallo"),
            ("h\\*llo", "h*llo"),
            ("[\\]]", "]"),
            ("[a\\-z]", "-"),
            ("[a", "a"),
            ("[^", "x"),
            ("[^]", "x"),
            ("[a-", "-"),
            ("\\", "\\"),
            ("a*b*c", "a123b456c"),
            ("*ab", "aab"),
            ("**x**", "x"),
            ("[a-]", "]"),
        ];
        for (pattern, text) in fits {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern:?} {text:?}");
        }
        let unfit: &[(&str, &str)] = &[
            ("", "x"),
            ("?", ""),
            ("h?llo", "hllo"),
            ("h[^e]llo", "hello"),
            ("h[a-b]llo", "hcllo"),
            ("h\\*llo", "hxllo"),
            ("[]", "]"),
            ("[", "["),
            ("[a\\-z]", "b"),
            ("HELLO", "hello"),
            ("a*b", "abc"),
            ("a*b*c", "acb"),
            ("x*", ""),
        ];
        for (pattern, text) in unfit {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern:?} {text:?}");
        }
    }

    const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Numbers below what it is given.
    fn lots() -> impl FnMut(usize) -> usize {
        let mut state = SEED;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        }
    }

    #[test]
    fn it_agrees_with_its_twins() {
        let mut draw = lots();
        let mut fitted = 0;
        for round in 0..150_000 {
            let mut bytes =
                |letters: &[u8], most| (0..draw(most)).map(|_| letters[draw(letters.len())]).collect::<Vec<_>>();
            let (pattern, text) = (bytes(b"aabb*?[]^-\\\xff", 14), bytes(b"aab]^-\\*\xff", 10));
            let fits = naive(&pattern, &text);
            fitted += u32::from(fits);
            let found = [matches(&pattern, &text), matches_with(&pattern, &text, 0), stepwise(&pattern, &text)];
            assert_eq!(found, [fits; 3], "seed {SEED} round {round}: {pattern:?} {text:?}");
        }
        assert!(fitted > 1000, "seed {SEED}: {fitted} fits are too few to say anything");
    }

    /// Patterns made from pieces of the text, so that many fit or nearly do.
    #[test]
    fn it_agrees_with_its_twin_on_long_texts() {
        let mut draw = lots();
        let mut fitted = 0;
        for round in 0..6_000 {
            let text: Vec<_> = (0..1 + draw(1500)).map(|_| b"ab*]"[draw(16).saturating_sub(12)]).collect();
            let (mut pattern, mut at) = (Vec::new(), 0);
            let plain = draw(2) == 0;
            while at < text.len() && draw(5) > 0 {
                at += draw(text.len() - at);
                let piece = &text[at..(at + draw(300)).min(text.len())];
                at += piece.len();
                pattern.push(b'*');
                for byte in piece {
                    match draw(if plain { 8 } else { 12 }) {
                        0..6 if byte.is_ascii_alphabetic() => pattern.push(*byte),
                        0..8 => pattern.extend([b'\\', *byte]),
                        8 => pattern.extend([b'[', b'\\', *byte, b'b', b']']),
                        9 => pattern.extend([b'[', *byte, b'-', b'b', b']']),
                        10 => pattern.extend(b"[^x]"),
                        _ => pattern.push(b'?'),
                    }
                }
            }
            match draw(3) {
                0 => pattern.push(b'*'),
                1 => pattern.extend([b"*".as_slice(), &text[text.len() - draw(text.len().min(80))..]].concat()),
                _ => {}
            }
            if draw(2) == 0 && !pattern.is_empty() {
                let at = draw(pattern.len());
                pattern[at] = b"ab?*[]^-\\"[draw(9)];
            }
            let fits = stepwise(&pattern, &text);
            fitted += u32::from(fits);
            let found = [matches(&pattern, &text), matches_with(&pattern, &text, 0)];
            assert_eq!(
                found,
                [fits; 2],
                "seed {SEED} round {round}: {:?} {:?}",
                pattern.escape_ascii(),
                text.escape_ascii()
            );
        }
        assert!((1000..5000).contains(&fitted), "seed {SEED}: {fitted} fits say little");
    }

    /// What a match costs, measured against a reading of the text.
    fn cost(pattern: &[u8], text: &[u8]) -> usize {
        SPENT.set(0);
        matches(pattern, text);
        SPENT.get()
    }

    #[test]
    fn no_pattern_takes_long() {
        let filled = |begin: &[u8], middle: &[u8], end: &[u8]| {
            let times = (256 - begin.len() - end.len()) / middle.len();
            [begin, &middle.repeat(times), end].concat()
        };
        let patterns = [
            filled(b"*", b"a", b"?b*"),
            filled(b"*?", b"a", b"b*"),
            filled(b"*", b"a?", b"b*"),
            filled(b"*", b"[^b]", b"b*"),
            filled(b"*", b"[a-z]", b"b*"),
            filled(b"*", b"[\x01-\xff]", b"b*"),
            filled(b"*[", b"b", b"]*"),
            filled(b"*[", b"\x01-\xff", b"\0]b*"),
            filled(b"*", b"a", b"b*"),
            filled(b"*", b"\\a", b"b*"),
            filled(b"", b"?*", b"b"),
            filled(b"", b"a*", b"b"),
            filled(b"", b"*aaaaaaa?", b"b*"),
            filled(b"", b"*aaaaaa?b", b"*"),
            filled(b"", b"*aaaaaaaa?", b"*"),
            filled(b"", b"*a?aaaaaaaaaaaaaaaaa?a", b"*b"),
            filled(b"", b"*", b"?b*"),
        ];
        let whole = vec![b'a'; 1 << 20];
        let nearly = filled(b"", b"a", b"b").repeat(1 << 12);
        for (pattern, text) in patterns.iter().flat_map(|pattern| [(pattern, &whole), (pattern, &nearly)]) {
            assert!(pattern.len() <= 256);
            let steps = cost(pattern, text);
            assert!(steps <= 4 * text.len() + 100_000, "{:?}: {steps} steps", pattern.escape_ascii());
        }
    }

    #[test]
    fn nor_does_any_that_chance_makes() {
        let mut draw = lots();
        for round in 0..3_000 {
            let letters = [&b"aaaaaaaa??*b"[..], b"aaaa[^-b]?", b"a?????????????????b*", b"[a-\xff]*"][draw(4)];
            let mut pattern: Vec<_> = (0..256).map(|_| letters[draw(letters.len())]).collect();
            pattern[0] = b'*';
            let text: Vec<_> = (0..1 << draw(14)).map(|_| b"ab"[usize::from(draw(300) == 0)]).collect();
            let steps = cost(&pattern, &text);
            let most = 4 * text.len() + 100_000;
            assert!(steps <= most, "seed {SEED} round {round}: {:?}: {steps} steps", pattern.escape_ascii());
        }
    }
}
