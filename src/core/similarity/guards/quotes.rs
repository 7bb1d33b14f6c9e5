//! Quoted strings: what somebody puts in quotation marks is meant letter by letter.

use super::super::text::Text;

/// Why what is quoted in the two prompts excludes a hit.
pub(super) fn check(query: &Text, entry: &Text) -> Option<String> {
    if query.quoted.is_empty() || entry.quoted.is_empty() {
        return None;
    }
    let (query, entry) = (missing(query, entry), missing(entry, query));
    match (query, entry) {
        (Some(a), Some(b)) => Some(format!("{} and {}", short(a), short(b))),
        _ => None,
    }
}

/// The first string that one prompt quotes and the other neither quotes nor has in its words.
fn missing<'a>(text: &'a Text, other: &Text) -> Option<&'a str> {
    let folded = |quoted: &str| Text::read(quoted.as_bytes()).map_or_else(|| quoted.to_owned(), |text| text.normal);
    let others: Vec<String> = other.quoted.iter().map(|quoted| folded(quoted)).collect();
    let absent = |quoted: &&String| {
        let quoted = folded(quoted);
        !others.contains(&quoted) && !other.normal.contains(&quoted)
    };
    text.quoted.iter().find(absent).map(String::as_str)
}

/// Enough of a quotation to know it again.
fn short(quoted: &str) -> String {
    let mut short: String = quoted.chars().take(24).collect();
    if short.len() < quoted.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::super::testing::{says, test};
    use super::super::Guard;

    #[test]
    fn what_is_quoted_is_meant_letter_by_letter() {
        let strikes = [
            ("what does \"break a leg\" mean", "what does \"hit the road\" mean"),
            ("who sings 'Yesterday Once More'", "who sings 'Top of the World'"),
            ("print “hello there”", "print “good bye”"),
        ];
        let passes = [
            ("what does \"break a leg\" mean", "what does 'Break a Leg' mean"),
            ("what does \"break a leg\" mean", "what does break a leg mean"),
            ("what does \"break a leg\" mean", "what is the meaning of “break a leg!”"),
            ("is \"soft\" an adjective", "is soft an adjective"),
        ];
        test(Guard::Quotes, &strikes, &passes);
        let long = says(Guard::Quotes, "say \"twelve angry men in a very small room\"", "say \"yes\"");
        assert_eq!(long.as_deref(), Some("twelve angry men in a ve… and yes"));
    }
}
