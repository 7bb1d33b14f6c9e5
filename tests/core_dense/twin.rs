//! Random runs beside a naive twin: the same rows, the same order, the same similarities to the last bit.

use super::support::{with_seeds, Rng};
use llmcache::core::similarity::dense::{Codes, Hit, Probe, Rows, Shape};
use std::collections::HashMap;

/// The values of a query, as a vector of two bytes a dimension has them.
pub fn whole(values: &[f32]) -> Vec<i64> {
    Codes::from_f32(values, true).unwrap().values().map(i64::from).collect()
}

/// The definition: whole numbers, then one division.
fn cosine(a: &[i64], b: &[i64]) -> f32 {
    let dot = |a: &[i64], b: &[i64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<i64>() as f64;
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32
}

/// Rows as anyone would write them down first.
#[derive(Default)]
pub struct Twin {
    pub rows: Vec<(u32, u32, Vec<i64>)>,
}

impl Twin {
    pub fn best(&self, query: &[i64], floor: f32, k: usize) -> Vec<Hit> {
        let hit = |(slot, stamp, values): &(u32, u32, Vec<i64>)| Hit {
            slot: *slot,
            stamp: *stamp,
            similarity: cosine(query, values),
        };
        let mut hits: Vec<_> = self.rows.iter().map(hit).filter(|hit| hit.similarity >= floor).collect();
        hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.slot.cmp(&b.slot)));
        hits.truncate(k);
        hits
    }
}

/// Rows, their twin, and where each slot's row is, as a cache would know it.
struct Bench {
    rows: Rows,
    twin: Twin,
    place: HashMap<u32, u32>,
    next: u32,
    /// Vectors that have been used, so that some come again, or nearly.
    known: Vec<Vec<f32>>,
}

impl Bench {
    fn new(shape: Shape) -> Self {
        Self { rows: Rows::new(shape), twin: Twin::default(), place: HashMap::new(), next: 0, known: Vec::new() }
    }

    fn vector(&mut self, rng: &mut Rng) -> Vec<f32> {
        let dim = self.rows.shape().dim;
        if self.known.is_empty() || rng.chance(50) {
            let vector = rng.vector(dim);
            self.known.push(vector.clone());
            return vector;
        }
        let near = [0.0, 0.0, 0.001, 0.1, 0.5][rng.below(5)];
        let mut vector = rng.pick(&self.known).clone();
        let size = vector.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        vector.iter_mut().for_each(|value| *value += near * size * rng.float());
        if vector.iter().all(|&value| value == 0.0) {
            vector[0] = 1.0;
        }
        vector
    }

    fn insert(&mut self, rng: &mut Rng) {
        let codes = Codes::from_f32(&self.vector(rng), self.rows.shape().fine).unwrap();
        // Slots do not come in the order of rows.
        let (slot, stamp) = (self.next.wrapping_mul(0x9e37_79b1), rng.next() as u32);
        self.next += 1;
        let row = self.rows.insert(slot, stamp, &codes);
        assert_eq!(row as usize, self.twin.rows.len());
        self.twin.rows.push((slot, stamp, codes.values().map(i64::from).collect()));
        self.place.insert(slot, row);
    }

    fn remove(&mut self, rng: &mut Rng) {
        if self.twin.rows.is_empty() {
            assert_eq!(self.rows.remove(0), None);
            return;
        }
        let slot = rng.pick(&self.twin.rows).0;
        let row = self.place.remove(&slot).unwrap();
        self.twin.rows.swap_remove(row as usize);
        let moved = self.rows.remove(row);
        assert_eq!(moved, self.twin.rows.get(row as usize).map(|row| row.0));
        if let Some(moved) = moved {
            self.place.insert(moved, row);
        }
    }

    fn search(&mut self, rng: &mut Rng) {
        let query = self.vector(rng);
        let floor = *rng.pick(&[-1.0, -0.2, 0.0, 0.3, 0.5, 0.6, 0.8, 0.9, 0.99, 1.0, f32::NAN, f32::NEG_INFINITY]);
        let k = *rng.pick(&[0, 1, 2, 3, 8, 50, usize::MAX]);
        let expected = self.twin.best(&whole(&query), floor, k);
        let query = Probe::from_f32(&query).unwrap();
        assert_eq!(self.rows.best(&query, floor, k), expected, "floor {floor}, k {k}");
        for hit in expected.iter().take(3) {
            let codes = self.rows.codes(self.place[&hit.slot]).unwrap();
            assert_eq!(query.similarity(&codes), Some(hit.similarity));
        }
    }

    fn check(&self) {
        self.rows.validate().unwrap();
        assert_eq!(self.rows.len(), self.twin.rows.len());
        for (row, (_, _, values)) in self.twin.rows.iter().enumerate() {
            let codes = self.rows.codes(row as u32).unwrap();
            assert_eq!(&codes.values().map(i64::from).collect::<Vec<_>>(), values);
        }
        assert_eq!(self.rows.codes(self.rows.len() as u32), None);
    }
}

const DIMS: [usize; 16] = [1, 2, 3, 4, 7, 15, 16, 17, 31, 64, 100, 256, 384, 700, 1536, 3000];

#[test]
fn rows_are_their_naive_twin() {
    with_seeds(0..32, |rng| {
        let dim = *rng.pick(&DIMS);
        let shape = Shape { dim, fine: rng.chance(50) };
        println!("{shape:?}");
        let mut bench = Bench::new(shape);
        let most = (100_000 / dim).clamp(24, 700);
        // It grows, is stirred, and shrinks to nothing.
        for phase in [90, 50, 20] {
            for step in 0..most {
                match rng.below(100) < phase {
                    true => bench.insert(rng),
                    false => bench.remove(rng),
                }
                if step % 24 == 0 || bench.rows.len() < 10 {
                    bench.search(rng);
                }
                if step % 150 == 0 {
                    bench.check();
                }
            }
            bench.check();
        }
        while !bench.rows.is_empty() {
            bench.remove(rng);
            if bench.rows.len() < 15 {
                bench.search(rng);
            }
        }
        bench.check();
        assert_eq!(bench.rows.memory(), 0);
    });
}

/// A bound that is reached by chance would hide an estimate that is too low, so here almost everything is decided by
/// estimates: many rows like those of the built-in model, and floors near what there is.
#[test]
fn estimates_lose_nothing() {
    with_seeds(100..103, |rng| {
        for (dim, fine) in [(256, false), (256, true), (64, false), (1000, true)] {
            let mut rows = Rows::new(Shape { dim, fine });
            let mut twin = Twin::default();
            let decay = [0.0, 0.3, 0.5, 0.8][rng.below(4)];
            let vector = |rng: &mut Rng, topic: &[f32], near: f32| -> Vec<f32> {
                let each = |at: usize| rng.float() * ((at + 8) as f32).powf(-decay) + near * topic[at];
                (0..dim).map(each).collect()
            };
            let topics: Vec<_> = (0..4).map(|_| vector(rng, &vec![0.0; dim], 0.0)).collect();
            for slot in 0..1000 {
                let topic = rng.pick(&topics).clone();
                let near = rng.float().abs() * 1.5;
                let codes = Codes::from_f32(&vector(rng, &topic, near), fine).unwrap();
                rows.insert(slot, 0, &codes);
                twin.rows.push((slot, 0, codes.values().map(i64::from).collect()));
            }
            for topic in &topics {
                let query = vector(rng, topic, 1.0);
                let expected = twin.best(&whole(&query), -1.0, 1000);
                let probe = Probe::from_f32(&query).unwrap();
                assert_eq!(rows.best(&probe, -1.0, 1000), expected);
                for at in [0, 7, 50, 400] {
                    // The floor is just what one of them has.
                    let floor = expected[at].similarity;
                    let reached = expected.iter().take_while(|hit| hit.similarity >= floor).count();
                    assert_eq!(rows.best(&probe, floor, usize::MAX), expected[..reached]);
                    assert_eq!(rows.best(&probe, floor, 5), expected[..reached.min(5)]);
                }
            }
        }
    });
}

#[test]
fn a_snapshot_stays_as_it_was() {
    with_seeds(200..202, |rng| {
        let mut bench = Bench::new(Shape { dim: 48, fine: rng.chance(50) });
        for _ in 0..800 {
            bench.insert(rng);
        }
        let queries: Vec<_> = (0..20).map(|_| rng.vector(48)).collect();
        let expected: Vec<_> = queries.iter().map(|query| bench.twin.best(&whole(query), 0.2, 9)).collect();
        let snapshot = bench.rows.snapshot();
        let searched = std::thread::spawn(move || {
            for _ in 0..8 {
                for (query, expected) in queries.iter().zip(&expected) {
                    assert_eq!(&snapshot.best(&Probe::from_f32(query).unwrap(), 0.2, 9), expected);
                }
            }
        });
        for _ in 0..2000 {
            match rng.chance(45) {
                true => bench.insert(rng),
                false => bench.remove(rng),
            }
        }
        searched.join().unwrap();
        bench.check();
        bench.search(rng);
    });
}
