//! Where capital letters say something.

use super::super::words::Capital;
use super::token::{Pause, Token};

/// Units of which the case tells which they are, where it is not the usual one: a mW is not a MW, MB/s are not Mb/s.
pub(super) fn keep_units(tokens: &mut [Token]) {
    for at in 1..tokens.len() {
        let (before, rest) = tokens.split_at_mut(at);
        let Some((unit, behind)) = rest.split_first_mut() else { continue };
        if !before.last().is_some_and(|number| number.text.bytes().any(|digit| digit.is_ascii_digit())) {
            continue;
        }
        let a_second = || match &*behind {
            [per, second, ..] => {
                matches!(per.text.as_str(), "/" | "per") && matches!(second.text.as_str(), "s" | "sec" | "second")
            }
            _ => false,
        };
        let kept = match (unit.text.as_str(), unit.capital) {
            ("mw", Capital::Mixed) => "mW",
            ("mg", Capital::First) => "Mg",
            ("kbps", Capital::Mixed) => "KBps",
            ("mbps", Capital::Mixed) => "MBps",
            ("gbps", Capital::Mixed) => "GBps",
            ("kb", Capital::First) if a_second() => "Kb",
            ("mb", Capital::First) if a_second() => "Mb",
            ("gb", Capital::First) if a_second() => "Gb",
            _ => continue,
        };
        unit.text = kept.to_owned();
        unit.known = None;
    }
}

/// In a prompt that is shouted, or written like a title, a capital letter marks nothing: there all are taken for small.
pub(super) fn judge(tokens: &mut [Token]) {
    let shouted = is_shouted(tokens);
    if shouted || is_title(tokens) {
        for token in tokens {
            // What is shouted has no large letters, only letters.
            if shouted && token.text.starts_with('-') {
                token.text.make_ascii_lowercase();
            }
            token.capital = Capital::None;
        }
    }
}

fn is_shouted(tokens: &[Token]) -> bool {
    let mut shouted = 0;
    let mut function = false;
    for token in tokens.iter().filter(|token| token.text.chars().filter(|c| c.is_alphabetic()).nth(1).is_some()) {
        if token.capital != Capital::All {
            return false;
        }
        shouted += 1;
        function |= token.is_function();
    }
    shouted >= 4 || (function && shouted >= 2)
}

fn is_title(tokens: &[Token]) -> bool {
    let (mut capitals, mut others, mut function) = (0, 0, false);
    let mut starts = true;
    for token in tokens {
        let counts = !starts && token.text.starts_with(|c: char| c.is_alphabetic() && c.is_lowercase());
        starts = token.pause == Pause::Long;
        if !counts || token.text == "i" || token.known.is_some_and(|known| known.small) {
            continue;
        }
        if token.capital == Capital::None {
            others += 1;
        } else {
            capitals += 1;
            function |= token.capital == Capital::First && token.is_function();
        }
    }
    let all = others == 0 && (capitals >= 3 || (function && capitals >= 2));
    all || (function && capitals >= 4 && others * 6 <= capitals)
}
