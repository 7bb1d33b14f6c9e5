//! The grammar of a command as a tree, read from the line in which people read it.
//!
//! ```text
//!   words         an argument; NAME words: an option with its values; NAME alone: a flag
//!   [ … ]         may be left out
//!   ( a | b )     one of them, also inside [ ]
//!   x...          once or more
//! ```

/// What an argument is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The cache.
    Key,
    /// Any bytes.
    Text,
    /// A pattern.
    Pattern,
    /// A whole number.
    Integer,
    /// A number.
    Double,
    /// A Unix time.
    UnixTime,
    /// A flag.
    Flag,
    /// One of these.
    OneOf(Vec<Argument>),
    /// All of these.
    Block(Vec<Argument>),
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// As documentation calls it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The word in front of it.
    pub token: Option<String>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may come again.
    pub multiple: bool,
}

/// Reads a grammar; `None` if it is not one. The table's own are checked by a test.
pub fn parse(line: &str) -> Option<Vec<Argument>> {
    let mut spaced = String::new();
    for c in line.chars() {
        match c {
            '[' | ']' | '(' | ')' | '|' => spaced.extend([' ', c, ' ']),
            c => spaced.push(c),
        }
    }
    let spaced = spaced.replace("] ...", "]...").replace(") ...", ")...");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words };
    let arguments = parser.sequence()?;
    parser.words.is_empty().then_some(arguments)
}

struct Parser<'a> {
    words: &'a [&'a str],
}

fn is_token(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.first().copied()
    }

    fn take(&mut self) -> Option<&'a str> {
        let (word, rest) = self.words.split_first()?;
        self.words = rest;
        Some(word)
    }

    fn sequence(&mut self) -> Option<Vec<Argument>> {
        let mut arguments = Vec::new();
        while let Some(word) = self.peek() {
            match word {
                "]" | ")" | "|" | "]..." | ")..." => break,
                _ => arguments.push(self.item()?),
            }
        }
        Some(arguments)
    }

    fn item(&mut self) -> Option<Argument> {
        match self.take()? {
            "[" => self.group(true),
            "(" => self.group(false),
            word if is_token(word) => self.option(word),
            word => Some(value(word)),
        }
    }

    fn group(&mut self, optional: bool) -> Option<Argument> {
        let mut branches = vec![self.sequence()?];
        while self.peek() == Some("|") {
            self.take();
            branches.push(self.sequence()?);
        }
        let end = self.take()?;
        if !end.starts_with(if optional { ']' } else { ')' }) {
            return None;
        }
        let mut branches = branches.into_iter().map(one).collect::<Option<Vec<_>>>()?;
        let mut argument = match branches.len() {
            1 => branches.pop()?,
            _ => {
                let name = branches.first()?.name.clone();
                Argument { name, kind: Kind::OneOf(branches), token: None, optional, multiple: false }
            }
        };
        argument.optional = optional;
        argument.multiple |= end.ends_with("...");
        Some(argument)
    }

    fn option(&mut self, token: &str) -> Option<Argument> {
        let mut values = Vec::new();
        while let Some(word) = self.peek() {
            if is_token(word) || word.starts_with([']', ')', '|', '[']) {
                break;
            }
            values.push(self.item()?);
        }
        let name = token.to_ascii_lowercase();
        let token = Some(token.to_owned());
        Some(match values.len() {
            0 => Argument { name, kind: Kind::Flag, token, optional: false, multiple: false },
            1 => Argument { token, ..values.pop()? },
            _ => Argument { name, kind: Kind::Block(values), token, optional: false, multiple: false },
        })
    }
}

fn one(mut sequence: Vec<Argument>) -> Option<Argument> {
    match sequence.len() {
        0 => None,
        1 => sequence.pop(),
        _ => {
            let name = sequence.first()?.name.clone();
            Some(Argument { name, kind: Kind::Block(sequence), token: None, optional: false, multiple: false })
        }
    }
}

fn value(word: &str) -> Argument {
    let (name, multiple) = match word.strip_suffix("...") {
        Some(name) => (name, true),
        None => (word, false),
    };
    let kind = match name {
        "key" => Kind::Key,
        "glob" => Kind::Pattern,
        "unix-time-seconds" | "unix-time-milliseconds" => Kind::UnixTime,
        "usd" | "value" | "input-per-mtok" | "output-per-mtok" => Kind::Double,
        "seconds" | "milliseconds" | "count" | "cursor" | "percent" | "bytes" | "level" | "tokens-in"
        | "tokens-out" => Kind::Integer,
        _ => Kind::Text,
    };
    Argument { name: name.to_owned(), kind, token: None, optional: false, multiple }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_tree() {
        let tree = parse("key prompt [MODEL model] [NX | XX] [TAGS count tag...] (TTL seconds | PERSIST)").unwrap();
        let names: Vec<_> = tree.iter().map(|a| (a.name.as_str(), a.token.as_deref(), a.optional)).collect();
        assert_eq!(
            names,
            [
                ("key", None, false),
                ("prompt", None, false),
                ("model", Some("MODEL"), true),
                ("nx", None, true),
                ("tags", Some("TAGS"), true),
                ("seconds", None, false),
            ]
        );
        assert_eq!(tree[0].kind, Kind::Key);
        assert!(matches!(&tree[3].kind, Kind::OneOf(two) if two.len() == 2 && two[0].kind == Kind::Flag));
        assert!(matches!(&tree[4].kind, Kind::Block(two) if two[0].kind == Kind::Integer && two[1].multiple));
        assert!(matches!(&tree[5].kind, Kind::OneOf(two) if two[0].token.as_deref() == Some("TTL")));
    }

    #[test]
    fn a_group_that_is_repeated_may_have_a_part_of_its_own() {
        let tree = parse("key [PRICE model usd [CACHED usd]]... [NX]").unwrap();
        let [_, price, nx] = &tree[..] else { panic!("{tree:?}") };
        assert_eq!((price.token.as_deref(), price.optional, price.multiple), (None, true, true));
        let Kind::Block(parts) = &price.kind else { panic!("{price:?}") };
        let [base, cached] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!((base.token.as_deref(), base.optional, base.multiple), (Some("PRICE"), false, false));
        assert!(matches!(&base.kind, Kind::Block(two) if two[0].kind == Kind::Text && two[1].kind == Kind::Double));
        assert_eq!((cached.token.as_deref(), cached.optional, cached.multiple), (Some("CACHED"), true, false));
        assert_eq!(cached.kind, Kind::Double);
        assert_eq!((nx.token.as_deref(), nx.optional, nx.multiple), (Some("NX"), true, false));
    }

    #[test]
    fn a_broken_line_is_none() {
        for line in ["[key", "key]", "(a | b", "key [ ]"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
