//! Which parts of a prompt stand in quotation marks.
//!
//! An apostrophe is also an end of a quotation, and a double mark is also an inch, so a mark counts only where it can
//! open or close: it opens at the beginning of a word and closes at the end of one.

use std::ops::Range;

const MARKS: [char; 3] = ['"', '`', '\''];

/// The longest quotation in single marks. Two apostrophes further apart belong to two words.
const FAR: usize = 100;

/// The parts between quotation marks, without the marks, as places in the characters.
pub(super) fn spans(chars: &[char]) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    // Marks that nothing closes any more. Without them, many open marks would each be followed to the end.
    let mut open_ended = Vec::new();
    let mut at = 0;
    while let Some(mark) = chars.get(at).copied() {
        let open = run(chars, at);
        at = open.end;
        if !MARKS.contains(&mark) || open_ended.contains(&mark) || !opens(chars, mark, &open) {
            continue;
        }
        match close(chars, mark, open.end) {
            Some(close) => {
                spans.push(open.end..close);
                at = run(chars, close).end;
            }
            None if mark == '\'' => {}
            None => open_ended.push(mark),
        }
    }
    spans
}

/// The same mark several times is one mark: ""word"", ```code```. What is no mark stands alone.
fn run(chars: &[char], at: usize) -> Range<usize> {
    let mark = chars.get(at).filter(|mark| MARKS.contains(mark));
    let len = chars.iter().skip(at).take_while(|c| Some(*c) == mark).count();
    at..at + len.max(1)
}

fn opens(chars: &[char], mark: char, open: &Range<usize>) -> bool {
    let before = open.start.checked_sub(1).and_then(|at| chars.get(at));
    let behind = chars.get(open.end);
    !before.is_some_and(|c| c.is_alphanumeric()) && behind.is_some_and(|c| !c.is_whitespace() || mark == '`')
}

/// Where the quotation that begins here is closed.
fn close(chars: &[char], mark: char, from: usize) -> Option<usize> {
    let reach = if mark == '\'' { from.saturating_add(FAR) } else { usize::MAX };
    let mut at = from;
    while at < chars.len().min(reach) {
        let run = run(chars, at);
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let ends = before.is_some_and(|c| !c.is_whitespace() || mark == '`');
        let parts = !chars.get(run.end).is_some_and(|c| c.is_alphanumeric());
        if chars.get(at) == Some(&mark) && ends && parts {
            return Some(at);
        }
        at = run.end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> Vec<String> {
        let chars: Vec<_> = text.chars().collect();
        spans(&chars).into_iter().map(|span| chars[span].iter().collect()).collect()
    }

    #[test]
    fn what_is_quoted() {
        let cases: [(&str, &[&str]); 14] = [
            ("what does \"carpe diem\" mean", &["carpe diem"]),
            ("is it 'effect' or 'affect'?", &["effect", "affect"]),
            ("run `ls -l` now", &["ls -l"]),
            ("correct: \"\"a history\"\" or \"\"an history\"\"?", &["a history", "an history"]),
            ("don't, can't and won't", &[]),
            ("the students' books and the teachers' pens", &[]),
            ("5'10\" tall and 6'2\" tall", &[]),
            ("rock 'n' roll", &["n"]),
            ("'it isn't so'", &["it isn't so"]),
            ("(\"quoted\")", &["quoted"]),
            ("\"open", &[]),
            ("print(\"\")", &[]),
            ("a \" b \" c", &[]),
            ("```code```", &["code"]),
        ];
        for (text, expected) in cases {
            assert_eq!(quoted(text), expected, "{text}");
        }
    }

    #[test]
    fn many_marks_are_read_in_time() {
        for mark in ["\"", "'", "`", " '", "\" ", "'a"] {
            quoted(&mark.repeat(2048));
        }
    }
}
