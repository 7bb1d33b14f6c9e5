//! RESP2 and RESP3: a reply as a value, a command as bytes.

use std::fmt;
use std::io::{self, BufRead, Read};

/// A reply of either protocol. RESP2's two nulls and RESP3's one are all [`Reply::Null`]; who must tell them apart looks
/// at the bytes ([`super::Client::raw`]).
#[derive(Clone, PartialEq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Double(f64),
    Bool(bool),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    Verbatim { format: String, text: Vec<u8> },
    BigNumber(String),
}

/// A command as it goes over the wire.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut wire = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        wire.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        wire.extend_from_slice(arg);
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

/// Deeper than any reply of Redis; a broken stream must not end the test in a stack overflow.
const MAX_DEPTH: usize = 64;

fn malformed(what: &str, line: &[u8]) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP: {what} in {:?}", line.escape_ascii().to_string()))
}

fn line(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
    }
    if !line.ends_with(b"\r\n") || line.len() < 3 {
        return Err(malformed("no type or no CRLF", &line));
    }
    line.truncate(line.len() - 2);
    Ok(line)
}

fn number<T: std::str::FromStr>(line: &[u8]) -> io::Result<T> {
    let digits = line.get(1..).and_then(|rest| std::str::from_utf8(rest).ok()).and_then(|text| text.parse().ok());
    digits.ok_or_else(|| malformed("no number", line))
}

fn body(from: &mut impl BufRead, line: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = vec![0; number::<usize>(line)? + 2];
    from.read_exact(&mut body)?;
    if !body.ends_with(b"\r\n") {
        return Err(malformed("a bulk longer than it said", line));
    }
    body.truncate(body.len() - 2);
    Ok(body)
}

impl Reply {
    /// Reads one whole reply.
    pub fn read(from: &mut impl BufRead) -> io::Result<Reply> {
        Self::read_at(from, 0)
    }

    fn read_at(from: &mut impl BufRead, depth: usize) -> io::Result<Reply> {
        let line = line(from)?;
        if depth > MAX_DEPTH {
            return Err(malformed("too deep a nesting", &line));
        }
        let text = || String::from_utf8_lossy(&line[1..]).into_owned();
        let mut items = |factor: usize| -> io::Result<Vec<Reply>> {
            (0..number::<usize>(&line)? * factor).map(|_| Self::read_at(from, depth + 1)).collect()
        };
        Ok(match line[0] {
            b'+' => Reply::Simple(text()),
            b'-' => Reply::Error(text()),
            b':' => Reply::Int(number(&line)?),
            b'$' | b'*' if line[1..] == *b"-1" => Reply::Null,
            b'_' => Reply::Null,
            b'$' => Reply::Bulk(body(from, &line)?),
            b'*' => Reply::Array(items(1)?),
            b'~' => Reply::Set(items(1)?),
            b'>' => Reply::Push(items(1)?),
            b'%' => Reply::Map(pairs_of(items(2)?)),
            b',' => Reply::Double(number(&line)?),
            b'#' if line[1..] == *b"t" => Reply::Bool(true),
            b'#' if line[1..] == *b"f" => Reply::Bool(false),
            b'(' => Reply::BigNumber(text()),
            b'!' => Reply::Error(String::from_utf8_lossy(&body(from, &line)?).into_owned()),
            b'=' => {
                let mut text = body(from, &line)?;
                if text.get(3) != Some(&b':') {
                    return Err(malformed("no format", &text));
                }
                let rest = text.split_off(4);
                Reply::Verbatim { format: String::from_utf8_lossy(&text[..3]).into_owned(), text: rest }
            }
            // Attributes are remarks about the reply that follows.
            b'|' => {
                items(2)?;
                Self::read_at(from, depth + 1)?
            }
            _ => return Err(malformed("an unknown type", &line)),
        })
    }

    /// The bytes of a string of any kind.
    #[track_caller]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Reply::Simple(text) | Reply::BigNumber(text) => text.as_bytes(),
            Reply::Bulk(bytes) | Reply::Verbatim { text: bytes, .. } => bytes,
            other => panic!("expected a string, got {other:?}"),
        }
    }

    /// A string of any kind as text.
    #[track_caller]
    pub fn text(&self) -> String {
        let bytes = self.bytes();
        String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| panic!("expected UTF-8, got {self:?}"))
    }

    /// An integer, and nothing that only looks like one.
    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Reply::Int(n) => *n,
            other => panic!("expected an integer, got {other:?}"),
        }
    }

    /// A number as either protocol tells it: a double, an integer, or RESP2's string with a number in it.
    #[track_caller]
    pub fn number(&self) -> f64 {
        match self {
            Reply::Double(n) => *n,
            Reply::Int(n) => *n as f64,
            other => other.text().parse().unwrap_or_else(|_| panic!("expected a number, got {other:?}")),
        }
    }

    /// A truth value as either protocol tells it: a boolean, or RESP2's 0 and 1.
    #[track_caller]
    pub fn truth(&self) -> bool {
        match self {
            Reply::Bool(b) => *b,
            Reply::Int(0) => false,
            Reply::Int(1) => true,
            other => panic!("expected a boolean, got {other:?}"),
        }
    }

    /// The text of an error.
    #[track_caller]
    pub fn error(&self) -> &str {
        match self {
            Reply::Error(text) => text,
            other => panic!("expected an error, got {other:?}"),
        }
    }

    /// Asserts the simple string `OK`.
    #[track_caller]
    pub fn ok(&self) {
        assert!(self.is_ok(), "expected OK, got {self:?}");
    }

    pub fn is_ok(&self) -> bool {
        matches!(self, Reply::Simple(text) if text == "OK")
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Reply::Null)
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// The items of an array, a set or a push.
    #[track_caller]
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items,
            other => panic!("expected an array, got {other:?}"),
        }
    }

    /// The item at this position.
    #[track_caller]
    pub fn at(&self, index: usize) -> &Reply {
        self.items().get(index).unwrap_or_else(|| panic!("no item {index} in {self:?}"))
    }

    /// The strings in an array.
    #[track_caller]
    pub fn texts(&self) -> Vec<String> {
        self.items().iter().map(Reply::text).collect()
    }

    /// The pairs of a map, also of one that RESP2 made a flat array of.
    #[track_caller]
    pub fn pairs(&self) -> Vec<(&Reply, &Reply)> {
        match self {
            Reply::Map(pairs) => pairs.iter().map(|(key, value)| (key, value)).collect(),
            Reply::Array(items) if items.len() % 2 == 0 => items.chunks(2).map(|pair| (&pair[0], &pair[1])).collect(),
            other => panic!("expected a map or a flat array of pairs, got {other:?}"),
        }
    }

    /// The names in a map, in the server's order.
    #[track_caller]
    pub fn names(&self) -> Vec<String> {
        self.pairs().into_iter().map(|(name, _)| name.text()).collect()
    }

    /// The value under a name, if there is one. Panics when the name stands there twice.
    #[track_caller]
    pub fn get(&self, name: &str) -> Option<&Reply> {
        let mut found = self.pairs().into_iter().filter(|(key, _)| key.bytes() == name.as_bytes());
        let value = found.next().map(|(_, value)| value);
        assert!(found.next().is_none(), "the field '{name}' stands twice in {self:?}");
        value
    }

    /// The value under a name.
    #[track_caller]
    pub fn field(&self, name: &str) -> &Reply {
        self.get(name).unwrap_or_else(|| panic!("no field '{name}' among {:?}", self.names()))
    }
}

fn pairs_of(items: Vec<Reply>) -> Vec<(Reply, Reply)> {
    let mut items = items.into_iter();
    std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect()
}

/// `assert_eq!(reply, "text")` holds for every kind of string but an error.
impl PartialEq<&str> for Reply {
    fn eq(&self, other: &&str) -> bool {
        matches!(self, Reply::Simple(_) | Reply::Bulk(_) | Reply::Verbatim { .. } | Reply::BigNumber(_))
            && self.bytes() == other.as_bytes()
    }
}

impl PartialEq<i64> for Reply {
    fn eq(&self, other: &i64) -> bool {
        *self == Reply::Int(*other)
    }
}

/// Strings as people read them, and cut: a failure's message should fit a screen.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 400;
        let bytes = |f: &mut fmt::Formatter<'_>, sign: &str, bytes: &[u8]| {
            let cut = &bytes[..bytes.len().min(SHOWN)];
            write!(f, "{sign}\"{}\"", cut.escape_ascii())?;
            if cut.len() < bytes.len() {
                write!(f, "… ({} bytes)", bytes.len())?;
            }
            Ok(())
        };
        match self {
            Reply::Simple(text) => bytes(f, "+", text.as_bytes()),
            Reply::Error(text) => bytes(f, "-", text.as_bytes()),
            Reply::Int(n) => write!(f, ":{n}"),
            Reply::Bulk(text) => bytes(f, "", text),
            Reply::Null => write!(f, "null"),
            Reply::Array(items) => f.debug_list().entries(items).finish(),
            Reply::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(key, value)| (key, value))).finish(),
            Reply::Double(n) => write!(f, ",{n:?}"),
            Reply::Bool(b) => write!(f, "#{b}"),
            Reply::Set(items) => f.debug_set().entries(items).finish(),
            Reply::Push(items) => write!(f, ">").and_then(|()| f.debug_list().entries(items).finish()),
            Reply::Verbatim { format, text } => write!(f, "={format}:").and_then(|()| bytes(f, "", text)),
            Reply::BigNumber(text) => write!(f, "({text}"),
        }
    }
}
