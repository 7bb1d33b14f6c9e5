//! The largest sums, equal rows, bad vectors, hostile bytes, and how far similarities are off.

use super::support::{with_seeds, Rng};
use super::twin::{whole, Twin};
use llmcache::core::similarity::dense::{BadVector, Codes, Hit, Probe, Rows, Shape, MAX_DIM};

#[test]
fn of_rows_that_are_alike_the_lowest_slots_are_told() {
    let codes = Codes::from_f32(&[1.0, 2.0, 3.0], true).unwrap();
    let mut rows = Rows::new(codes.shape());
    let slots: Vec<u32> = (0..1000).map(|i| i * 7919 % 1000).collect();
    for &slot in &slots {
        rows.insert(slot, slot + 1, &codes);
    }
    let probe = Probe::from_f32(&[10.0, 20.0, 30.0]).unwrap();
    let told: Vec<_> = rows.best(&probe, 1.0, 5).iter().map(|hit| (hit.slot, hit.stamp, hit.similarity)).collect();
    assert_eq!(told, [(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0), (3, 4, 1.0), (4, 5, 1.0)]);
}

#[test]
fn sums_at_the_edge_are_right() {
    for dim in [1, 16, 255, 256, 257, 512, 513, 4096, MAX_DIM] {
        let ones = vec![1.0; dim];
        let mut turned = ones.clone();
        turned.iter_mut().step_by(2).for_each(|value| *value = -1.0);
        let mut spike = vec![1e-6; dim];
        spike[dim / 2] = -1e6;
        for fine in [false, true] {
            // Bytes that no float becomes: the lowest that there are.
            let lowest = Codes::from_bytes(&vec![0x80; dim * (1 + usize::from(fine))], Shape { dim, fine }).unwrap();
            let mut vectors: Vec<_> = [&ones, &turned, &spike].map(|v| Codes::from_f32(v, fine).unwrap()).into();
            vectors.push(lowest);
            let mut rows = Rows::new(Shape { dim, fine });
            let mut twin = Twin::default();
            for slot in 0..40 {
                let codes = &vectors[slot as usize % vectors.len()];
                rows.insert(slot, 0, codes);
                twin.rows.push((slot, 0, codes.values().map(i64::from).collect()));
            }
            for query in [&ones, &turned, &spike] {
                let probe = Probe::from_f32(query).unwrap();
                for floor in [-1.0, 0.5, 1.0] {
                    assert_eq!(rows.best(&probe, floor, 40), twin.best(&whole(query), floor, 40), "{dim} {fine}");
                }
            }
            rows.validate().unwrap();
        }
    }
}

#[test]
fn similarities_of_clients_are_theirs() {
    with_seeds(400..420, |rng| {
        for dim in [1, 2, 3, 4, 5, 8, 16, 50, 100, 384, 768, 1536, 2000] {
            let (a, mut b) = (rng.vector(dim), rng.vector(dim));
            // Near ones matter most.
            let near = rng.float().abs() * 3.0;
            let size = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
            let by = near * size(&b) / size(&a);
            b.iter_mut().zip(&a).for_each(|(b, a)| *b += by * a);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
            let right = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
            let probe = Probe::from_f32(&a).unwrap();
            let error = |fine| {
                let codes = Codes::from_f32(&b, fine).unwrap();
                (f64::from(probe.similarity(&codes).unwrap()) - right).abs()
            };
            assert!(error(true) <= 1e-4, "{dim}: {} of {right}", error(true));
            assert!(error(false) <= 0.02, "{dim}: {} of {right}", error(false));
            let same = Codes::from_f32(&a, true).unwrap();
            assert_eq!(probe.similarity(&same), Some(1.0));
        }
    });
}

#[test]
fn what_is_no_vector_is_refused() {
    for fine in [false, true] {
        let read = |values: &[f32]| {
            let codes = Codes::from_f32(values, fine).map(|_| ());
            assert_eq!(codes, Probe::from_f32(values).map(|_| ()));
            codes
        };
        assert_eq!(read(&[]), Err(BadVector::Zero));
        assert_eq!(read(&[0.0, -0.0]), Err(BadVector::Zero));
        assert_eq!(read(&[1.0, f32::NAN]), Err(BadVector::NotFinite));
        assert_eq!(read(&[1.0, f32::INFINITY]), Err(BadVector::NotFinite));
        assert_eq!(read(&[1.0, f32::NEG_INFINITY]), Err(BadVector::NotFinite));
        assert_eq!(read(&[1.0; MAX_DIM + 1]), Err(BadVector::Size));
        for values in [[f32::MAX, f32::MIN], [1e-45, -1e-45], [f32::MIN_POSITIVE, 0.0], [1e38, 1e-38]] {
            assert_eq!(read(&values), Ok(()), "{values:?}");
        }
    }
}

#[test]
fn bytes_are_distrusted() {
    let mut rng = Rng(7);
    for fine in [false, true] {
        for dim in [1, 2, 17, 256, MAX_DIM] {
            let shape = Shape { dim, fine };
            let codes = Codes::from_f32(&rng.vector(dim), fine).unwrap();
            let bytes = codes.to_bytes();
            assert_eq!(bytes.len(), dim * (1 + usize::from(fine)));
            assert_eq!(Codes::from_bytes(&bytes, shape), Ok(codes));
            assert_eq!(Codes::from_bytes(&bytes[1..], shape), Err(BadVector::Size));
            assert_eq!(Codes::from_bytes(&[&bytes[..], &[1]].concat(), shape), Err(BadVector::Size));
            assert_eq!(Codes::from_bytes(&vec![0; bytes.len()], shape), Err(BadVector::Zero));
            // Whatever else is in them, it is a vector.
            let bytes: Vec<u8> = (0..bytes.len()).map(|_| rng.next() as u8 | 1).collect();
            let codes = Codes::from_bytes(&bytes, shape).unwrap();
            let mut rows = Rows::new(shape);
            rows.insert(0, 0, &codes);
            rows.validate().unwrap();
        }
        let zero = Shape { dim: 0, fine };
        assert_eq!(Codes::from_bytes(&[], zero), Err(BadVector::Zero));
        let huge = Shape { dim: usize::MAX, fine };
        assert_eq!(Codes::from_bytes(&[1], huge), Err(BadVector::Size));
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let codes = Codes::from_f32(&[1.0, 0.0], false).unwrap();
    let mut rows = Rows::new(codes.shape());
    let probe = Probe::from_f32(&[1.0, 0.0]).unwrap();
    assert_eq!(rows.best(&probe, -1.0, 3), []);
    assert_eq!((rows.remove(0), rows.codes(0), rows.memory(), rows.cost()), (None, None, 0, 0));
    rows.insert(5, 6, &codes);
    assert_eq!(rows.remove(1), None);
    assert_eq!(rows.remove(u32::MAX), None);
    assert_eq!(rows.len(), 1);
    // A query of other dimensions is no query here.
    let other = Probe::from_f32(&[1.0, 0.0, 0.0]).unwrap();
    assert_eq!(rows.best(&other, -1.0, 3), []);
    assert_eq!(other.similarity(&codes), None);
    assert_eq!(rows.best(&probe, -1.0, 3), [Hit { slot: 5, stamp: 6, similarity: 1.0 }]);
}

#[test]
fn the_parts_of_a_search_find_what_the_whole_finds() {
    with_seeds(0..2, |rng| {
        let dim = 6000;
        let mut rows = Rows::new(Shape { dim, fine: true });
        for slot in 0..2000 {
            rows.insert(slot, 0, &Codes::from_f32(&rng.vector(dim), true).unwrap());
        }
        let parts = rows.parts();
        assert!(parts > 3, "{parts}");
        let probe = Probe::from_f32(&rng.vector(dim)).unwrap();
        for floor in [-1.0, 0.02] {
            let (even, odd) = (0..parts + 3).partition::<Vec<_>, _>(|part| part % 2 == 0);
            let mut found = [even, odd].map(|parts| rows.best_of(parts.into_iter(), &probe, floor, 20)).concat();
            found.sort_by(|a, b| b.cmp(a));
            found.truncate(20);
            assert_eq!(found, rows.best(&probe, floor, 20), "from {floor}");
        }
        assert_eq!(rows.best_of(std::iter::empty(), &probe, -1.0, 20), []);
    });
}
