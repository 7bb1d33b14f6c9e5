//! Whether a prompt has code or formulas in it, where brackets and semicolons mean something.

/// Whether brackets, semicolons and quotation marks of these characters carry meaning.
pub(super) fn is_formal(chars: &[char]) -> bool {
    let at = |at: Option<usize>| at.and_then(|at| chars.get(at)).copied().unwrap_or(' ');
    let mut known = chars.iter().enumerate().filter(|(_, c)| c.is_ascii_punctuation() || !c.is_ascii());
    known.any(|(place, c)| {
        let (before, behind) = (at(place.checked_sub(1)), at(place.checked_add(1)));
        match c {
            '{' | '}' | '[' | ']' | '\\' | '|' | '^' | '=' | '<' | '>' | '`' | '√' => true,
            '\u{2200}'..='\u{22ff}' => true,
            '+' | '*' => operates(before, behind) && behind != '+' && before != '+',
            // A call, f(x), or a factor, 2(x). But not the plural of file(s).
            '(' => !is_plural(chars, place) && (before.is_alphanumeric() || OPERATORS.contains(&before)),
            ')' => OPERATORS.contains(&behind) && behind != '-',
            '-' => before == ' ' && behind == ' ' && subtracts(chars, place),
            ';' => before == ')',
            '&' => behind == '&',
            ':' => behind == ':',
            _ => false,
        }
    })
}

const OPERATORS: [char; 7] = ['+', '-', '*', '/', '^', '%', '!'];

/// Between two operands, with or without spaces around.
fn operates(before: char, behind: char) -> bool {
    let operand = |c: char| c.is_alphanumeric() || c == '(' || c == ')';
    (operand(before) && operand(behind)) || (before == ' ' && behind == ' ')
}

/// "(s)" or "(es)".
pub(super) fn is_plural(chars: &[char], open: usize) -> bool {
    let rest = chars.get(open..).unwrap_or_default();
    rest.starts_with(&['(', 's', ')']) || rest.starts_with(&['(', 'e', 's', ')'])
}

/// A hyphen between spaces is a minus beside numbers, brackets and single letters: 10 - (3 - x).
fn subtracts(chars: &[char], minus: usize) -> bool {
    let at = |at: Option<usize>| at.and_then(|at| chars.get(at)).copied().unwrap_or(' ');
    let operand = |c: char, beyond: char| {
        c.is_ascii_digit() || matches!(c, '(' | ')') || (c.is_alphabetic() && !beyond.is_alphabetic())
    };
    operand(at(minus.checked_sub(2)), at(minus.checked_sub(3)))
        && operand(at(minus.checked_add(2)), at(minus.checked_add(3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_formulas_are_formal_and_prose_is_not() {
        let formal =
            ["2+3", "x * y", "a<b", "f(x)", "10 - (3 - 4)", "x - (y - z)", "arr[0]", "run `ls`", "a && b", "C::D"];
        let prose = [
            "what is C++ (the language)?",
            "a well-known (and old) idea - of 2 parts",
            "file(s) in box(es)",
            "Google+ and A+",
            "black & white; or grey",
            "it costs $5 (or 50%)",
        ];
        for text in formal {
            assert!(is_formal(&text.chars().collect::<Vec<_>>()), "{text}");
        }
        for text in prose {
            assert!(!is_formal(&text.chars().collect::<Vec<_>>()), "{text}");
        }
    }
}
