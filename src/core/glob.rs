//! Patterns as `KEYS` and `SCAN … MATCH` understand them, over bytes and case-sensitive.
//!
//! `*` any bytes, `?` one byte, `[a-z]` and `[^a]` one byte of a class, `\x` the byte x. The server's own matcher calls
//! itself at every `*`; this one only ever goes back to the last `*`, which is enough, because a shorter match of an
//! earlier one leaves more text for everything behind it. So it takes at most pattern × text steps and no stack.
//!
//! A class without its `]` ends with the pattern, `[]` matches nothing, `[^]` anything, `\` at the very end is itself,
//! and a range given backwards is turned round: all as the server does. Two things differ: ranges count bytes from 0 to
//! 255 on every machine (on x86 the server takes bytes from 128 on for negative), and a pattern of stars alone matches
//! the empty text however many they are (the server: only one, and only in `KEYS` and `SCAN`).

/// Whether the whole text fits the pattern.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
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

/// Whether the byte fits the first element of a pattern that begins with no star, and what stands behind the element.
fn step(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    match pattern {
        [] => (false, pattern),
        [b'?', rest @ ..] => (true, rest),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', escaped, rest @ ..] => (*escaped == byte, rest),
        [literal, rest @ ..] => (*literal == byte, rest),
    }
}

/// The same for what stands behind a `[`.
fn class(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut found = false;
    loop {
        rest = match rest {
            [] => break,
            [b'\\', escaped, rest @ ..] => {
                found |= *escaped == byte;
                rest
            }
            [b']', behind @ ..] => {
                rest = behind;
                break;
            }
            [from, b'-', to, rest @ ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
        };
    }
    (found != negated, rest)
}
