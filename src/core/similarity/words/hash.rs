//! A hash for words that are known when the server is built: nobody can add one that collides, so it need not be safe
//! against that, only fast.

use std::hash::{BuildHasherDefault, Hasher};

/// For maps whose keys are words of the binary.
pub(in super::super) type WordHash = BuildHasherDefault<WordHasher>;

#[derive(Default)]
pub(in super::super) struct WordHasher(u64);

impl WordHasher {
    fn put(&mut self, part: u64) {
        self.0 = (self.0.rotate_left(26) ^ part).wrapping_mul(0xf135_7aea_2e62_a9c5);
    }
}

impl Hasher for WordHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((eight, behind)) = rest.split_first_chunk() {
            self.put(u64::from_le_bytes(*eight));
            rest = behind;
        }
        self.put(rest.iter().fold(1, |part, byte| part << 8 | u64::from(*byte)));
    }

    fn write_u8(&mut self, _: u8) {
        // The end of a string, which the marker above its last bytes tells already.
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}
