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

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn it_agrees_with_a_naive_twin() {
        let seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut state = seed;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut fitted = 0;
        for round in 0..60_000 {
            let mut bytes = |letters: &[u8], most| {
                (0..draw(most)).map(|_| letters[draw(letters.len() as u64) as usize]).collect::<Vec<_>>()
            };
            let (pattern, text) = (bytes(b"aabb*?[]^-\\\xff", 9), bytes(b"aab]^-\\*\xff", 8));
            let fits = naive(&pattern, &text);
            fitted += u32::from(fits);
            assert_eq!(matches(&pattern, &text), fits, "seed {seed} round {round}: {pattern:?} {text:?}");
        }
        assert!(fitted > 1000, "seed {seed}: {fitted} fits are too few to say anything");
    }

    /// By going back to every star this would take 10^20 steps and more.
    #[test]
    fn many_stars_take_no_longer_than_pattern_times_text() {
        let text = vec![b'a'; 20_000];
        let mut pattern = b"a*".repeat(40);
        pattern.push(b'b');
        assert!(!matches(&pattern, &text));
        pattern.pop();
        assert!(matches(&pattern, &text));
    }
}
