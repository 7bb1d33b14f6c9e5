//! How an answer lies in memory: as it came, or compressed. A node's own business; what replicates is the answer.

use std::fmt;

/// How an answer's bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// As they came.
    Raw = 0,
    /// One zstd frame.
    Zstd = 1,
}

impl Encoding {
    /// The encoding of a stored tag, if there is one.
    pub fn from_tag(tag: u8) -> Option<Self> {
        [Self::Raw, Self::Zstd].into_iter().find(|e| *e as u8 == tag)
    }
}

/// An answer as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// How to read `bytes`.
    pub encoding: Encoding,
    /// The answer's own length.
    pub raw_len: u32,
    /// What lies in memory.
    pub bytes: Box<[u8]>,
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

/// Answers that are smaller are never compressed.
pub(super) const SMALL: usize = 128;

/// Above this only the fastest level is used, so that one huge answer does not hold up the server.
const HUGE: usize = 1 << 20;

/// The compressor and its buffers, made once and used again. One for each thread that packs or unpacks.
pub struct Codec {
    compressor: Option<(i32, zstd::bulk::Compressor<'static>)>,
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
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
const BLOCK: usize = 128 << 10;
const BLOCK_MIN: usize = 4;

impl Codec {
    /// A codec that has made nothing yet.
    pub const fn new() -> Self {
        Self { compressor: None, decompressor: None, buffer: Vec::new() }
    }

    /// Packs an answer at a zstd level, or raw for `None` and where compression does not save an eighth.
    pub fn pack(&mut self, answer: &[u8], level: Option<i32>) -> Packed {
        let raw_len = u32::try_from(answer.len()).unwrap_or(u32::MAX);
        let compressed = match level {
            Some(level) if answer.len() >= SMALL => self.compress(answer, if answer.len() > HUGE { 1 } else { level }),
            _ => None,
        };
        match compressed {
            Some(bytes) if bytes.len() <= answer.len() - answer.len() / 8 => {
                let bytes = bytes.into();
                self.shrink();
                Packed { encoding: Encoding::Zstd, raw_len, bytes }
            }
            _ => {
                self.shrink();
                Packed { encoding: Encoding::Raw, raw_len, bytes: answer.into() }
            }
        }
    }

    /// The answer, borrowed from where it lies or from this codec's buffer.
    pub fn unpack<'a>(&'a mut self, packed: &'a Packed) -> Result<&'a [u8], Damaged> {
        self.prepare(packed)?;
        Ok(self.prepared(packed))
    }

    /// Makes an answer ready to be read by [`Codec::prepared`].
    pub fn prepare(&mut self, packed: &Packed) -> Result<(), Damaged> {
        let length = packed.raw_len as usize;
        match packed.encoding {
            Encoding::Raw if packed.bytes.len() == length => Ok(()),
            Encoding::Raw => Err(Damaged),
            Encoding::Zstd => {
                // The frame tells its length too: a damaged one is refused before anything is set aside for it.
                let told = zstd::zstd_safe::get_frame_content_size(&packed.bytes);
                let possible = length.div_ceil(BLOCK).saturating_mul(BLOCK_MIN) <= packed.bytes.len();
                let agreed = matches!(told, Ok(Some(told)) if told == u64::from(packed.raw_len));
                if !agreed || !possible || length > MAX_ANSWER {
                    return Err(Damaged);
                }
                let decompressor = match &mut self.decompressor {
                    Some(decompressor) => decompressor,
                    empty => empty.insert(zstd::bulk::Decompressor::new().map_err(|_| Damaged)?),
                };
                self.buffer.clear();
                if self.buffer.capacity() > KEEP_BUFFER.max(length) {
                    self.buffer = Vec::new();
                }
                self.buffer.try_reserve_exact(length).map_err(|_| Damaged)?;
                match decompressor.decompress_to_buffer(&packed.bytes, &mut self.buffer) {
                    Ok(written) if written == length => Ok(()),
                    _ => Err(Damaged),
                }
            }
        }
    }

    /// The answer that [`Codec::prepare`] has just made ready.
    pub fn prepared<'a>(&'a self, packed: &'a Packed) -> &'a [u8] {
        match packed.encoding {
            Encoding::Raw => &packed.bytes,
            Encoding::Zstd => &self.buffer,
        }
    }

    fn compress(&mut self, answer: &[u8], level: i32) -> Option<&[u8]> {
        if !matches!(&self.compressor, Some((made, _)) if *made == level) {
            self.compressor = Some((level, zstd::bulk::Compressor::new(level).ok()?));
        }
        let (_, compressor) = self.compressor.as_mut()?;
        self.buffer.clear();
        self.buffer.try_reserve(zstd::zstd_safe::compress_bound(answer.len())).ok()?;
        compressor.compress_to_buffer(answer, &mut self.buffer).ok()?;
        Some(&self.buffer)
    }

    fn shrink(&mut self) {
        if self.buffer.capacity() > KEEP_BUFFER {
            self.buffer = Vec::new();
        }
    }
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
                assert_eq!(codec.unpack(&packed), Ok(&text(length)[..]), "{length} {level:?}");
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
        let raw = Packed { encoding: Encoding::Raw, raw_len: 3, bytes: (*b"four").into() };
        for packed in [short, lying, noise, raw] {
            assert_eq!(codec.unpack(&packed), Err(Damaged), "{packed:?}");
        }
        assert!(codec.unpack(&good).is_ok(), "the codec goes on");
    }
}
