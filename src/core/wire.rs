//! Bytes in fixed order: little-endian numbers of fixed width, strings behind their length.
//!
//! What is read here may come from anyone (RESTORE, a broken disk), so every length is checked against what is left
//! before anything is set aside for it.

use std::fmt;

/// Bytes that do not say what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// They end too early.
    Short,
    /// They go on after the end.
    Long,
    /// They are a record of another kind.
    Kind,
    /// They were written by a newer version.
    Version,
    /// A value is out of its range.
    Value,
    /// They are of another entry than was said.
    Identity,
    /// The server could not read them.
    Source,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "it ends too early",
            Self::Long => "it goes on after its end",
            Self::Kind => "it holds another kind of record",
            Self::Version => "it was written by a newer version",
            Self::Value => "a value is out of its range",
            Self::Identity => "it is of another entry than it says, some of its bytes have changed",
            Self::Source => "it cannot be read",
        })
    }
}

impl std::error::Error for WireError {}

/// Writes one record.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// A record of a kind, in the version of its layout.
    pub fn record(kind: u8, version: u8) -> Self {
        Self::sized(kind, version, 0)
    }

    /// The same for a record of about so many bytes.
    pub fn sized(kind: u8, version: u8, bytes: usize) -> Self {
        let mut record = Vec::with_capacity(2 + bytes);
        record.extend([kind, version]);
        Self(record)
    }

    /// Appends a byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// Appends two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Appends four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Appends eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Appends bytes whose number the reader knows.
    pub fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a string behind its length. A bulk string of the protocol always fits.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.fixed(bytes)
    }

    /// Appends a string that may be missing.
    pub fn option(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            None => self.u8(0),
            Some(bytes) => self.u8(1).bytes(bytes),
        }
    }

    /// The record.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads one record.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The record's content, if it is of this kind; and the version of its layout, `newest` at most.
    pub fn record(bytes: &'a [u8], kind: u8, newest: u8) -> Result<(Self, u8), WireError> {
        let mut reader = Self(bytes);
        if reader.u8()? != kind {
            return Err(WireError::Kind);
        }
        match reader.u8()? {
            0 => Err(WireError::Value),
            version if version > newest => Err(WireError::Version),
            version => Ok((reader, version)),
        }
    }

    /// The next `n` bytes.
    pub fn fixed(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(WireError::Short)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.fixed(N)?.try_into().map_err(|_| WireError::Short)
    }

    /// A byte.
    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A number of two bytes.
    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_le_bytes)
    }

    /// A number of four bytes.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number of eight bytes.
    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Sixteen bytes.
    pub fn id(&mut self) -> Result<[u8; 16], WireError> {
        self.array()
    }

    /// A string.
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.u32()? as usize;
        self.fixed(length)
    }

    /// A string of UTF-8.
    pub fn text(&mut self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::Value)
    }

    /// A string that may be missing.
    pub fn option(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        match self.u8()? {
            0 => Ok(None),
            1 => self.bytes().map(Some),
            _ => Err(WireError::Value),
        }
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), WireError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(WireError::Long)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut w = Writer::record(b'T', 1);
        w.u8(1).u16(2).u32(3).u64(4).bytes(b"five").option(None).option(Some(b"six"));
        let record = w.finish();
        let (mut r, version) = Reader::record(&record, b'T', 1).unwrap();
        assert_eq!((version, r.u8(), r.u16(), r.u32(), r.u64()), (1, Ok(1), Ok(2), Ok(3), Ok(4)));
        assert_eq!((r.text(), r.option(), r.option()), (Ok("five"), Ok(None), Ok(Some(&b"six"[..]))));
        assert_eq!(r.finish(), Ok(()));
        assert_eq!(Reader::record(&record, b'U', 1).unwrap_err(), WireError::Kind);
        assert_eq!(Reader::record(&[b'T', 2], b'T', 1).unwrap_err(), WireError::Version);
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        let mut record = vec![b'T', 1];
        record.extend(u32::MAX.to_le_bytes());
        record.extend(b"short");
        assert_eq!(Reader::record(&record, b'T', 1).unwrap().0.bytes(), Err(WireError::Short));
    }
}
