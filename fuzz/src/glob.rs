//! Patterns: a pattern, a byte 0, a text. The matcher agrees with a table of all prefixes of both.

use super::support::Rng;
use super::Target;
use llmcache::core::glob::matches;

pub const TARGET: Target = Target {
    name: "glob",
    run,
    corpus,
    words: &["*", "?", "[a-z]", "[^a]", "[]", "[^]", "\\*", "\\", "[z-a]", "]", "-", "[\\]]", "a*a*a*", "****"],
};

enum Element {
    Star,
    /// Which of the 256 bytes fit.
    One(Box<[bool; 256]>),
}

/// A pattern as its elements, read by index from what a user is told.
fn elements(pattern: &[u8]) -> Vec<Element> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < pattern.len() {
        let mut fits = [false; 256];
        match pattern[at] {
            b'*' => {
                all.push(Element::Star);
                at += 1;
                continue;
            }
            b'?' => fits = [true; 256],
            b'\\' if at + 1 < pattern.len() => {
                at += 1;
                fits[pattern[at] as usize] = true;
            }
            b'[' => {
                let negated = pattern.get(at + 1) == Some(&b'^');
                at += 1 + usize::from(negated);
                while at < pattern.len() && pattern[at] != b']' {
                    if pattern[at] == b'\\' && at + 1 < pattern.len() {
                        at += 1;
                        fits[pattern[at] as usize] = true;
                    } else if at + 2 < pattern.len() && pattern[at + 1] == b'-' {
                        let (from, to) = (pattern[at].min(pattern[at + 2]), pattern[at].max(pattern[at + 2]));
                        fits[from as usize..=to as usize].fill(true);
                        at += 2;
                    } else {
                        fits[pattern[at] as usize] = true;
                    }
                    at += 1;
                }
                fits.iter_mut().for_each(|fits| *fits ^= negated);
            }
            literal => fits[literal as usize] = true,
        }
        all.push(Element::One(Box::new(fits)));
        at += 1;
    }
    all
}

fn naive(pattern: &[u8], text: &[u8]) -> bool {
    // Place n: whether the first n bytes of the text fit the elements so far.
    let mut fits = vec![false; text.len() + 1];
    fits[0] = true;
    for element in elements(pattern) {
        match element {
            Element::Star => (1..fits.len()).for_each(|at| fits[at] |= fits[at - 1]),
            Element::One(bytes) => {
                for at in (1..fits.len()).rev() {
                    fits[at] = fits[at - 1] && bytes[text[at - 1] as usize];
                }
                fits[0] = false;
            }
        }
    }
    fits[text.len()]
}

/// Whether the text fits.
pub fn run(data: &[u8]) -> bool {
    let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (pattern, text) = (&data[..cut.min(512)], data.get(cut + 1..).unwrap_or_default());
    let text = &text[..text.len().min(8192)];
    let fits = matches(pattern, text);
    assert_eq!(fits, naive(pattern, text), "{} on {}", pattern.escape_ascii(), text.escape_ascii());
    fits
}

fn corpus(rng: &mut Rng) -> Vec<Vec<u8>> {
    let patterns = ["*", "a*b", "*a*", "a*a*a*a*a*a*b", "[a-c]?x*", "*[^b]*b", "\\**", "a?*?b", "*ab[ab]?*ab*", "?[a-"];
    let text = |rng: &mut Rng| {
        let length = *rng.pick(&[0, 1, 4, 12, 300, 5000]);
        (0..length).map(|_| *rng.pick(b"aaab")).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = patterns.iter().map(|pattern| [pattern.as_bytes(), b"\0", &text(rng)].concat()).collect();
    // Segments so long, and texts so long, that the bits of several words are taken.
    for length in [60, 64, 65, 200, 256, 257] {
        let segment: Vec<_> = (0..length).map(|_| *rng.pick(b"a?aa")).collect();
        all.push([b"*", &*segment, b"*\0", &text(rng), &b"a".repeat(length)].concat());
    }
    all
}
