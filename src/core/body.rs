//! What an entry carries along, in one piece: prompt, what is rarely looked at, names, meta, and the answer as it is stored.
//!
//! ```text
//!   prompt
//!   rare   tokens in, tokens out, cost, latency, stale time, length of meta + 1 or 0, when it was created:
//!          numbers of variable length, seven bits a byte
//!   names  symbol:u32 of the rule, n × symbol:u32 of tags
//!   meta   JSON
//!   answer
//! ```
//!
//! The bytes are written here and nowhere else, and never leave: on disk an entry is a record (see [`super::persist`]).

use super::entry::Effort;
use super::interner::Symbol;
use super::memory;
use super::money::MicroUsd;
use super::time::UnixMs;

/// What is rarely looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rare {
    pub effort: Effort,
    pub stale_ms: u64,
    pub created: UnixMs,
}

/// An entry's own bytes.
#[derive(Clone, Debug)]
pub(super) struct Body {
    bytes: Box<[u8]>,
    prompt: u32,
    /// Bytes of what is rare, and how many tags there are.
    rare: u8,
    tags: u8,
    estimated: bool,
}

const SYMBOL: usize = size_of::<u32>();

impl Body {
    /// Puts the parts together. An entry has few tags, and no prompt is longer than a bulk string of the protocol.
    pub fn new(
        rare: &Rare,
        rule: Symbol,
        tags: impl ExactSizeIterator<Item = Symbol>,
        meta: Option<&[u8]>,
        prompt: &[u8],
        answer: &[u8],
    ) -> Self {
        let Rare { effort, stale_ms, created } = *rare;
        let Effort { tokens_in, tokens_out, estimated, cost, latency_ms } = effort;
        let meta_length = meta.map_or(0, |meta| meta.len() as u64 + 1);
        let numbers = [tokens_in, tokens_out, cost.micros(), latency_ms, stale_ms, meta_length, created.0];
        let rare: usize = numbers.into_iter().map(length).sum();
        let meta = meta.unwrap_or_default();
        let names = (1 + tags.len()) * SYMBOL;
        let mut bytes = Vec::with_capacity(prompt.len() + rare + names + meta.len() + answer.len());
        bytes.extend_from_slice(prompt);
        numbers.into_iter().for_each(|number| push(&mut bytes, number));
        let count = tags.len() as u8;
        std::iter::once(rule).chain(tags).for_each(|symbol| bytes.extend(symbol.to_bytes()));
        bytes.extend_from_slice(meta);
        bytes.extend_from_slice(answer);
        Self {
            bytes: bytes.into(),
            prompt: u32::try_from(prompt.len()).unwrap_or(u32::MAX),
            rare: rare as u8,
            tags: count,
            estimated,
        }
    }

    /// The same with another answer.
    pub fn with_answer(&self, answer: &[u8]) -> Self {
        let rest = self.bytes.get(..self.answer_at()).unwrap_or_default();
        Self { bytes: [rest, answer].concat().into(), ..*self }
    }

    /// The same with another time to be stale.
    pub fn with_stale_ms(&self, stale_ms: u64) -> Self {
        let rare = Rare { stale_ms, ..self.rare() };
        Self::new(&rare, self.rule(), self.tags(), self.meta(), self.prompt(), self.answer())
    }

    /// What making the answer took.
    pub fn effort(&self) -> Effort {
        let mut numbers = self.numbers();
        let mut next = || numbers.next().unwrap_or_default();
        Effort {
            tokens_in: next(),
            tokens_out: next(),
            estimated: self.estimated,
            cost: MicroUsd::from_micros(next()),
            latency_ms: next(),
        }
    }

    /// What is rarely looked at.
    pub fn rare(&self) -> Rare {
        let mut numbers = self.numbers().skip(4);
        let stale_ms = numbers.next().unwrap_or_default();
        Rare { effort: self.effort(), stale_ms, created: UnixMs(numbers.nth(1).unwrap_or_default()) }
    }

    fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        let mut bytes = self.bytes.get(self.prompt as usize..).unwrap_or_default().iter();
        std::iter::from_fn(move || {
            let (mut number, mut shift) = (0, 0);
            loop {
                let byte = *bytes.next()?;
                number |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    return Some(number);
                }
                shift = (shift + 7) & 63;
            }
        })
    }

    /// The symbol of the rule that chose its strategy; nobody's where none did.
    pub fn rule(&self) -> Symbol {
        self.symbols(self.names_at(), 1).next().unwrap_or(Symbol::NONE)
    }

    /// The symbols of its tags.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = Symbol> + '_ {
        self.symbols(self.names_at() + SYMBOL, self.tags.into())
    }

    fn symbols(&self, first: usize, count: usize) -> impl ExactSizeIterator<Item = Symbol> + '_ {
        let bytes = self.bytes.get(first..first + count * SYMBOL).unwrap_or_default();
        bytes.chunks_exact(SYMBOL).map(|bytes| Symbol::from_bytes(bytes.try_into().unwrap_or_default()))
    }

    /// Fills in the symbols of its rule and its tags.
    pub fn set_names(&mut self, rule: Symbol, tags: impl Iterator<Item = Symbol>) {
        let first = self.names_at();
        let places = self.bytes.get_mut(first..).unwrap_or_default().chunks_exact_mut(SYMBOL);
        for (place, symbol) in places.take(1 + usize::from(self.tags)).zip(std::iter::once(rule).chain(tags)) {
            place.copy_from_slice(&symbol.to_bytes());
        }
    }

    fn names_at(&self) -> usize {
        self.prompt as usize + usize::from(self.rare)
    }

    /// The writer's JSON.
    pub fn meta(&self) -> Option<&[u8]> {
        let at = self.meta_at();
        self.bytes.get(at..at + self.meta_len()?)
    }

    fn meta_len(&self) -> Option<usize> {
        self.numbers().nth(5).and_then(|length| usize::try_from(length).ok()?.checked_sub(1))
    }

    /// What was asked.
    pub fn prompt(&self) -> &[u8] {
        self.bytes.get(..self.prompt as usize).unwrap_or_default()
    }

    fn meta_at(&self) -> usize {
        self.names_at() + (1 + usize::from(self.tags)) * SYMBOL
    }

    fn answer_at(&self) -> usize {
        self.meta_at() + self.meta_len().unwrap_or(0)
    }

    /// The answer as it is stored.
    pub fn answer(&self) -> &[u8] {
        self.bytes.get(self.answer_at()..).unwrap_or_default()
    }

    /// How many bytes of it are the answer.
    pub fn answer_len(&self) -> usize {
        self.bytes.len() - self.answer_at()
    }

    /// Bytes behind it.
    pub fn memory(&self) -> usize {
        memory::allocated(self.bytes.len())
    }

    /// The same with an answer of this length.
    pub fn memory_with(&self, answer: usize) -> usize {
        memory::allocated(self.answer_at() + answer)
    }

    /// Moves its bytes.
    pub fn relocate(&mut self, mover: impl FnOnce(Box<[u8]>) -> Box<[u8]>) {
        self.bytes = mover(std::mem::take(&mut self.bytes));
    }
}

/// How many bytes a number takes.
fn length(number: u64) -> usize {
    let bits = u64::BITS - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::super::interner::Interner;
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let mut interner = Interner::<()>::default();
        let rule = interner.acquire(b"rule");
        let tags: Vec<_> = [&b"a"[..], b"b", b"c"].into_iter().map(|tag| interner.acquire(tag)).collect();
        let numbers = [0, 1, 127, 128, 300_000, u64::MAX];
        for (i, number) in numbers.into_iter().enumerate() {
            let other = numbers[numbers.len() - 1 - i];
            let effort = Effort {
                tokens_in: number,
                tokens_out: other,
                estimated: i % 2 == 0,
                cost: MicroUsd::from_micros(number),
                latency_ms: other,
            };
            let rare = Rare { effort, stale_ms: number, created: UnixMs(other) };
            for meta in [None, Some(&b""[..]), Some(b"{\"a\":1}")] {
                for tags in [&tags[..], &tags[..1], &[]] {
                    let mut body =
                        Body::new(&rare, Symbol::NONE, tags.iter().map(|_| Symbol::NONE), meta, b"prompt", b"answer");
                    body.set_names(rule, tags.iter().copied());
                    let other = body.with_answer(b"").with_stale_ms(7).with_answer(b"another");
                    let parts = |body: &Body| {
                        (body.effort(), body.rule(), body.tags().collect::<Vec<_>>(), body.meta().map(<[u8]>::to_vec))
                    };
                    assert_eq!(parts(&body), (effort, rule, tags.to_vec(), meta.map(<[u8]>::to_vec)));
                    assert_eq!(parts(&other), parts(&body));
                    assert_eq!((body.prompt(), body.answer(), body.answer_len()), (&b"prompt"[..], &b"answer"[..], 6));
                    assert_eq!((other.prompt(), other.answer()), (&b"prompt"[..], &b"another"[..]));
                    assert_eq!((body.rare(), other.rare()), (rare, Rare { stale_ms: 7, ..rare }));
                    assert_eq!(body.memory_with(7), body.with_answer(b"another").memory());
                }
            }
        }
    }
}
