//! What rows say they take against what an allocator that counts has given them.

use super::counting::held;
use super::support::{with_seeds, Rng};
use llmcache::core::similarity::dense::{Codes, Rows, Shape, MAX_DIM};

/// What the rows say they take, and what they were given.
#[test]
fn memory_is_what_it_takes() {
    with_seeds(300..301, |rng| {
        for (dim, fine) in [(3, true), (256, false), (256, true), (1536, true), (MAX_DIM, true)] {
            let codes = Codes::from_f32(&rng.vector(dim), fine).unwrap();
            let before = held();
            let mut rows = Rows::new(Shape { dim, fine });
            let check = |rows: &Rows| {
                assert_eq!(rows.memory() as isize, held() - before, "{} rows of {dim}", rows.len());
            };
            check(&rows);
            // More than a shelf of them, where they are small.
            let most = (400_000 / dim).clamp(20, 18_000);
            for slot in 0..most as u32 {
                rows.insert(slot, 0, &codes);
                if slot < 300 || slot % 1000 == 0 {
                    check(&rows);
                }
            }
            check(&rows);
            while !rows.is_empty() {
                rows.remove(rng.below(rows.len()) as u32);
                if rows.len() < 300 || rows.len().is_multiple_of(1000) {
                    check(&rows);
                }
            }
            check(&rows);
        }
    });
}

#[test]
fn small_contexts_are_cheap() {
    let codes = Codes::from_f32(&Rng(1).vector(256), false).unwrap();
    let before = held();
    let mut contexts: Vec<Rows> = Vec::with_capacity(2000);
    let own = held() - before;
    for _ in 0..2000 {
        let mut rows = Rows::new(codes.shape());
        for slot in 0..3 {
            rows.insert(slot, 0, &codes);
        }
        contexts.push(rows);
    }
    let each = (held() - before - own) / 2000 + size_of::<Rows>() as isize;
    println!("{each} bytes for 3 vectors of 256 bytes");
    assert!(each <= 1200, "{each}");
}
