//! How an answer lies in memory: as it came, or compressed, alone or with a dictionary. A node's own business; what replicates is the answer.

use super::dictionary::{Dictionary, Encoders};
use std::fmt;
use std::sync::Arc;
use zstd::zstd_safe::{compress_bound, get_frame_content_size, CCtx, DCtx};

/// How an answer's bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// As they came.
    Raw = 0,
    /// One zstd frame.
    Zstd = 1,
    /// The one block of a zstd frame that was made with a dictionary, without its headers.
    Dict = 2,
}

impl Encoding {
    /// The encoding of a stored tag, if there is one.
    pub fn from_tag(tag: u8) -> Option<Self> {
        [Self::Raw, Self::Zstd, Self::Dict].into_iter().find(|e| *e as u8 == tag)
    }
}

/// An answer as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// How to read `bytes`.
    pub encoding: Encoding,
    /// The place of its dictionary in the cache's set; 0 where it needs none.
    pub dictionary: u8,
    /// The answer's own length.
    pub raw_len: u32,
    /// What lies in memory.
    pub bytes: Box<[u8]>,
}

/// The same where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields of Packed
pub struct PackedRef<'a> {
    pub encoding: Encoding,
    pub dictionary: u8,
    pub raw_len: u32,
    pub bytes: &'a [u8],
}

impl<'a> From<&'a Packed> for PackedRef<'a> {
    fn from(packed: &'a Packed) -> Self {
        let Packed { encoding, dictionary, raw_len, ref bytes } = *packed;
        Self { encoding, dictionary, raw_len, bytes }
    }
}

impl PackedRef<'_> {
    /// A copy of it.
    pub fn to_packed(self) -> Packed {
        let Self { encoding, dictionary, raw_len, bytes } = self;
        Packed { encoding, dictionary, raw_len, bytes: bytes.into() }
    }

    /// The place of the dictionary that it is read with.
    pub(super) fn dictionary(self) -> Option<u8> {
        (self.encoding == Encoding::Dict).then_some(self.dictionary)
    }
}

/// Stored bytes that are not what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stored answer is damaged")
    }
}

/// No answer is longer than a bulk string of the protocol.
pub const MAX_ANSWER: usize = 512 << 20;

/// Answers that are smaller are never compressed: without a dictionary, and with one.
pub(super) const SMALL: usize = 128;
pub(super) const SMALL_WITH_DICTIONARY: usize = 64;

/// Above this only the fastest level is used, so that one huge answer does not hold up the server.
const HUGE: usize = 1 << 20;

/// The compressor and its buffers, made once and used again. One for each thread that packs or unpacks.
pub struct Codec {
    compressor: Option<CCtx<'static>>,
    decompressor: Option<DCtx<'static>>,
    encoders: Encoders,
    /// A frame whose headers are put back.
    frame: Vec<u8>,
    buffer: Vec<u8>,
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").finish_non_exhaustive()
    }
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}

/// Buffers larger than this are given back after use.
const KEEP_BUFFER: usize = 64 << 10;

/// What one block of a frame holds at most, and takes at least: a frame that says more is lying.
pub(super) const BLOCK: usize = 128 << 10;
const BLOCK_MIN: usize = 4;

impl Codec {
    /// A codec that has made nothing yet.
    pub const fn new() -> Self {
        Self { compressor: None, decompressor: None, encoders: Encoders::new(), frame: Vec::new(), buffer: Vec::new() }
    }

    /// Packs an answer at a zstd level, or raw for `None` and where compression does not save an eighth.
    pub fn pack(&mut self, answer: &[u8], level: Option<i32>) -> Packed {
        let compressed = match level {
            Some(level) if answer.len() >= SMALL => self.compress(answer, if answer.len() > HUGE { 1 } else { level }),
            _ => None,
        };
        let packed = packed(answer, Encoding::Zstd, compressed);
        self.shrink();
        packed
    }

    /// The same with a dictionary, for answers of one block. What it takes to compress with a dictionary is made here, so
    /// this is for threads that may take their time.
    pub fn pack_with(&mut self, answer: &[u8], level: i32, dictionary: &Arc<Dictionary>) -> Packed {
        if answer.len() < SMALL_WITH_DICTIONARY {
            return packed(answer, Encoding::Raw, None);
        }
        let frame = if answer.len() > BLOCK { None } else { self.compress_with(answer, level, dictionary) };
        match frame.and_then(|frame| without_headers(answer.len(), frame)) {
            Some(block) => {
                let packed = packed(answer, Encoding::Dict, Some(block));
                self.shrink();
                packed
            }
            // High levels may make several blocks of one, and a block may be all of one byte.
            None => self.pack(answer, Some(level)),
        }
    }

    /// The answer, borrowed from where it lies or from this codec's buffer.
    pub fn unpack<'a>(
        &'a mut self,
        packed: impl Into<PackedRef<'a>>,
        dictionary: Option<&Dictionary>,
    ) -> Result<&'a [u8], Damaged> {
        let packed = packed.into();
        self.prepare(packed, dictionary)?;
        Ok(self.prepared(packed))
    }

    /// Makes an answer ready to be read by [`Codec::prepared`].
    pub fn prepare(&mut self, packed: PackedRef<'_>, dictionary: Option<&Dictionary>) -> Result<(), Damaged> {
        let length = packed.raw_len as usize;
        // A lie is found out before anything is set aside for it.
        let is_possible = length <= MAX_ANSWER
            && match packed.encoding {
                Encoding::Raw => packed.bytes.len() == length,
                Encoding::Zstd => {
                    let told = get_frame_content_size(packed.bytes);
                    matches!(told, Ok(Some(told)) if told == u64::from(packed.raw_len))
                        && length.div_ceil(BLOCK).saturating_mul(BLOCK_MIN) <= packed.bytes.len()
                }
                Encoding::Dict => is_block(length, packed.bytes.len()) && dictionary.is_some(),
            };
        if !is_possible {
            return Err(Damaged);
        }
        if packed.encoding == Encoding::Raw {
            return Ok(());
        }
        let decompressor = made(&mut self.decompressor, DCtx::try_create).ok_or(Damaged)?;
        self.buffer.clear();
        if self.buffer.capacity() > KEEP_BUFFER.max(length) {
            self.buffer = Vec::new();
        }
        self.buffer.try_reserve_exact(length).map_err(|_| Damaged)?;
        let written = match dictionary.filter(|_| packed.encoding == Encoding::Dict) {
            None => decompressor.decompress(&mut self.buffer, packed.bytes),
            Some(dictionary) => {
                self.frame.clear();
                put_headers(length, packed.bytes.len(), &mut self.frame);
                self.frame.extend_from_slice(packed.bytes);
                decompressor.decompress_using_ddict(&mut self.buffer, &self.frame, dictionary.decoder())
            }
        };
        match written {
            Ok(written) if written == length => Ok(()),
            _ => Err(Damaged),
        }
    }

    /// The answer that [`Codec::prepare`] has just made ready.
    pub fn prepared<'a>(&'a self, packed: PackedRef<'a>) -> &'a [u8] {
        match packed.encoding {
            Encoding::Raw => packed.bytes,
            Encoding::Zstd | Encoding::Dict => &self.buffer,
        }
    }

    fn compress(&mut self, answer: &[u8], level: i32) -> Option<&[u8]> {
        let compressor = made(&mut self.compressor, CCtx::try_create)?;
        self.buffer.clear();
        self.buffer.try_reserve(compress_bound(answer.len())).ok()?;
        compressor.compress(&mut self.buffer, answer, level).ok()?;
        Some(&self.buffer)
    }

    fn compress_with(&mut self, answer: &[u8], level: i32, dictionary: &Arc<Dictionary>) -> Option<&[u8]> {
        let compressor = made(&mut self.compressor, CCtx::try_create)?;
        let encoder = self.encoders.of(dictionary, level)?;
        self.buffer.clear();
        self.buffer.try_reserve(compress_bound(answer.len())).ok()?;
        compressor.compress_using_cdict(&mut self.buffer, answer, encoder).ok()?;
        Some(&self.buffer)
    }

    fn shrink(&mut self) {
        if self.buffer.capacity() > KEEP_BUFFER {
            self.buffer = Vec::new();
        }
    }
}

/// What is there, or is made now.
fn made<T>(place: &mut Option<T>, make: impl FnOnce() -> Option<T>) -> Option<&mut T> {
    if place.is_none() {
        *place = make();
    }
    place.as_mut()
}

/// An answer as it is to be stored: compressed where that saves an eighth.
fn packed(answer: &[u8], encoding: Encoding, compressed: Option<&[u8]>) -> Packed {
    let raw_len = u32::try_from(answer.len()).unwrap_or(u32::MAX);
    let (encoding, bytes) = match compressed {
        Some(bytes) if bytes.len() <= answer.len() - answer.len() / 8 => (encoding, bytes),
        _ => (Encoding::Raw, answer),
    };
    Packed { encoding, dictionary: 0, raw_len, bytes: bytes.into() }
}

/// Whether a block of this length can be that of an answer of that length.
pub(super) fn is_block(answer: usize, block: usize) -> bool {
    answer <= BLOCK && (1..answer).contains(&block)
}

/// The headers of a frame that is one compressed block, says how long its content is, and names no dictionary. They can
/// be told from the two lengths, so they are not stored.
fn put_headers(answer: usize, block: usize, frame: &mut Vec<u8>) {
    const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
    // A single segment, and how many bytes tell the length; two of them leave out the first 256.
    const SINGLE: u8 = 0x20;
    frame.extend_from_slice(&MAGIC);
    match u32::try_from(answer).unwrap_or(u32::MAX) {
        length @ 0..256 => frame.extend_from_slice(&[SINGLE, length as u8]),
        length @ 256..65_792 => {
            frame.push(SINGLE | 1 << 6);
            frame.extend_from_slice(&((length - 256) as u16).to_le_bytes());
        }
        length => {
            frame.push(SINGLE | 2 << 6);
            frame.extend_from_slice(&length.to_le_bytes());
        }
    }
    // The last block, compressed.
    let [a, b, c, _] = (1 | 2 << 1 | (block as u32) << 3).to_le_bytes();
    frame.extend_from_slice(&[a, b, c]);
}

/// The block of a frame that has these headers and no others.
fn without_headers(answer: usize, frame: &[u8]) -> Option<&[u8]> {
    let mut headers = Vec::with_capacity(12);
    put_headers(answer, 0, &mut headers);
    let block = frame.len().checked_sub(headers.len())?;
    headers.clear();
    put_headers(answer, block, &mut headers);
    frame.strip_prefix(headers.as_slice()).filter(|block| is_block(answer, block.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(length: usize) -> Vec<u8> {
        b"The answer is what the model said, word for word. ".iter().copied().cycle().take(length).collect()
    }

    #[test]
    fn answers_come_back_as_they_went() {
        let mut codec = Codec::new();
        for length in [0, 1, SMALL - 1, SMALL, 5000, HUGE + 1] {
            for level in [None, Some(1), Some(3)] {
                let packed = codec.pack(&text(length), level);
                assert_eq!(codec.unpack(&packed, None), Ok(&text(length)[..]), "{length} {level:?}");
                assert_eq!(packed.raw_len as usize, length);
                let expected = if level.is_some() && length >= SMALL { Encoding::Zstd } else { Encoding::Raw };
                assert_eq!(packed.encoding, expected, "{length} {level:?}");
            }
        }
    }

    #[test]
    fn what_does_not_shrink_stays_raw() {
        let mut noise = 7u64;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6364136223846793005).wrapping_add(1);
            (noise >> 56) as u8
        })
        .take(4000)
        .collect();
        assert_eq!(Codec::new().pack(&bytes, Some(3)).encoding, Encoding::Raw);
    }

    #[test]
    fn damage_is_an_error() {
        let mut codec = Codec::new();
        let good = codec.pack(&text(5000), Some(3));
        let mut short = good.clone();
        short.bytes = good.bytes[..good.bytes.len() / 2].into();
        let mut lying = good.clone();
        lying.raw_len = u32::MAX;
        let mut noise = good.clone();
        noise.bytes = vec![0xff; 64].into();
        let raw = Packed { encoding: Encoding::Raw, dictionary: 0, raw_len: 3, bytes: (*b"four").into() };
        for packed in [short, lying, noise, raw] {
            assert_eq!(codec.unpack(&packed, None), Err(Damaged), "{packed:?}");
        }
        assert!(codec.unpack(&good, None).is_ok(), "the codec goes on");
    }
}
