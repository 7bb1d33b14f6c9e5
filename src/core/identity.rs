//! Who an answer belongs to: the context it may be served in, and the digest that names it.
//!
//! The context (shape, scope, model, system, params) is a hard filter and the prompt is what is matched. Both go into
//! one SHA-256, every field behind its length, so that no two different identities are the same bytes.

use sha2::{Digest as _, Sha256};
use std::fmt;

/// Which API the identity was derived from. Identities of different shapes never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Shape {
    /// The prompt and its context were given as arguments.
    Plain = 0,
    /// OpenAI chat completions.
    OpenAiChat = 1,
    /// OpenAI responses.
    OpenAiResponses = 2,
    /// Anthropic messages.
    Anthropic = 3,
}

impl Shape {
    /// The shape of a stored tag, if there is one.
    pub fn from_tag(tag: u8) -> Option<Self> {
        [Self::Plain, Self::OpenAiChat, Self::OpenAiResponses, Self::Anthropic].into_iter().find(|s| *s as u8 == tag)
    }
}

/// The hard filter: entries are only ever served inside one and the same context. `params` is canonical JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Context<'a> {
    /// The API shape.
    pub shape: Shape,
    /// The tenant, user or whatever else must never be crossed.
    pub scope: &'a [u8],
    /// The model.
    pub model: &'a [u8],
    /// The system prompt.
    pub system: &'a [u8],
    /// Everything else that shapes the answer, as canonical JSON; empty when there is nothing.
    pub params: &'a [u8],
}

/// A context and the prompt inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity<'a> {
    /// The hard filter.
    pub context: Context<'a>,
    /// What is matched.
    pub prompt: &'a [u8],
}

/// SHA-256 over a whole identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// SHA-256 over a context alone, cut to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContextDigest([u8; 16]);

/// The public name of an entry: the first 16 bytes of its digest, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId([u8; 16]);

const DOMAIN: &[u8] = b"llmcache identity 1";

impl Context<'_> {
    fn absorb(&self) -> Sha256 {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update([self.shape as u8]);
        for field in [self.scope, self.model, self.system, self.params] {
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field);
        }
        hash
    }

    /// The digest that names this context.
    pub fn digest(&self) -> ContextDigest {
        ContextDigest(first_half(self.absorb().finalize().into()))
    }
}

impl Identity<'_> {
    /// The digest that names this identity.
    pub fn digest(&self) -> Digest {
        let mut hash = self.context.absorb();
        hash.update((self.prompt.len() as u64).to_le_bytes());
        hash.update(self.prompt);
        Digest(hash.finalize().into())
    }
}

fn first_half(bytes: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&bytes[..16]);
    half
}

impl Digest {
    /// The entry id this digest belongs to.
    pub fn id(&self) -> EntryId {
        EntryId(first_half(self.0))
    }

    /// 64 bits that are as good as random and the same on every server: what jitter is drawn from.
    pub fn lot(&self) -> u64 {
        let mut lot = [0; 8];
        lot.copy_from_slice(&self.0[16..24]);
        u64::from_le_bytes(lot)
    }

    /// A digest of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// All 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ContextDigest {
    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl EntryId {
    /// Other 64 bits of it.
    pub(super) fn far_lot(&self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Some of its bits, where a table needs no more.
    pub(super) fn lot(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_le_bytes([a, b, c, d])
    }

    /// The id of 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads 32 hex digits of either case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != 32 {
            return None;
        }
        let nibble = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(id))
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! shown_as_hex {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }
    )*};
}
shown_as_hex!(Digest, ContextDigest, EntryId);

#[cfg(test)]
mod tests {
    use super::*;

    fn identity<'a>(scope: &'a [u8], model: &'a [u8], prompt: &'a [u8]) -> Identity<'a> {
        Identity { context: Context { shape: Shape::Plain, scope, model, system: b"", params: b"" }, prompt }
    }

    #[test]
    fn bytes_cannot_move_between_fields() {
        let all = [
            identity(b"ab", b"", b"c"),
            identity(b"a", b"b", b"c"),
            identity(b"", b"ab", b"c"),
            identity(b"ab", b"c", b""),
            identity(b"", b"", b"abc"),
        ];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a.digest(), b.digest(), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn shapes_never_meet() {
        let mut a = identity(b"", b"m", b"p");
        let plain = a.digest();
        a.context.shape = Shape::OpenAiChat;
        assert_ne!(plain, a.digest());
    }

    #[test]
    fn an_id_reads_as_it_is_written() {
        let id = identity(b"", b"", b"p").digest().id();
        assert_eq!(EntryId::parse(id.to_string().as_bytes()), Some(id));
        assert_eq!(EntryId::parse(id.to_string().to_uppercase().as_bytes()), Some(id));
        assert_eq!(EntryId::parse(b"12"), None);
        assert_eq!(EntryId::parse(&[b'g'; 32]), None);
    }

    /// The format is part of every stored cache: a changed digest loses all answers.
    #[test]
    fn the_digest_is_pinned() {
        let digest = identity(b"tenant", b"gpt", b"What is Redis?").digest();
        assert_eq!(digest.to_string(), "24b9cd59d3ae279bff34a7cde482cda01b8ef77c853e56aea7fa93c5d1e5a6a5");
    }
}
