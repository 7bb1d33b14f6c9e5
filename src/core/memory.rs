//! What an allocation really takes, so that a cache can tell its size without asking the allocator.
//!
//! The server's allocator is jemalloc: sizes up to 128 bytes come in steps of 16 (and 8), above that in four steps
//! per doubling.

/// Bytes that the allocator sets aside for a request of `size` bytes.
pub const fn allocated(size: usize) -> usize {
    match size {
        0 => 0,
        1..=8 => 8,
        9..=128 => size.next_multiple_of(16),
        _ => {
            let step = 1 << ((size - 1).ilog2() - 2);
            size.next_multiple_of(step)
        }
    }
}

/// Bytes behind a vector of this capacity.
pub const fn of_vec<T>(capacity: usize) -> usize {
    allocated(capacity * size_of::<T>())
}

/// A copy of a vector that has as much room as the original, so that it takes as much.
pub fn copy_of<T: Clone>(vector: &Vec<T>) -> Vec<T> {
    let mut copy = Vec::with_capacity(vector.capacity());
    copy.extend_from_slice(vector);
    copy
}

/// Bytes behind a B-tree set of `len` elements: nodes of up to eleven, about seven in each as they split when elements
/// come in order, and a node of twelve links above every seven of them.
pub const fn of_btree<T>(len: usize) -> usize {
    let leaf = 11 * size_of::<T>() + 16;
    let links = 12 * size_of::<usize>();
    len * (allocated(leaf) + allocated(leaf + links) / 7) / 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_jemalloc() {
        for (asked, given) in [
            (0, 0),
            (1, 8),
            (9, 16),
            (17, 32),
            (128, 128),
            (129, 160),
            (161, 192),
            (256, 256),
            (257, 320),
            (1500, 1536),
        ] {
            assert_eq!(allocated(asked), given, "{asked}");
        }
    }
}
