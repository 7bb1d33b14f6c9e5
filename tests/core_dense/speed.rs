//! How long it takes. The figures for people:
//! `cargo test --release --no-default-features --test core_dense -- --ignored --nocapture --test-threads 1`.

use super::support::Rng;
use llmcache::core::similarity::dense::{Codes, Probe, Rows, Shape};
use std::hint::black_box;
use std::time::{Duration, Instant};

impl Rng {
    /// About normal: a sum of uniform numbers.
    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
        (sum as f32 / 65536.0 - 2.0) * 1.732
    }
}

/// What vectors look like.
struct Model {
    name: &'static str,
    dim: usize,
    fine: bool,
    /// The size of a dimension.
    sigma: fn(usize) -> f32,
    topics: Vec<Vec<f32>>,
    rng: Rng,
}

impl Model {
    fn new(name: &'static str, dim: usize, fine: bool, sigma: fn(usize) -> f32) -> Self {
        let mut model = Self { name, dim, fine, sigma, topics: Vec::new(), rng: Rng(1) };
        model.topics = (0..1000).map(|_| model.noise()).collect();
        model
    }

    /// Pooled vectors of the built-in model: 17 % of their energy is in 8 dimensions, 37 in 32, 54 in 64, 76 in 128.
    fn builtin() -> Self {
        Self::new("built-in 256", 256, false, |at| ((at + 12) as f32).powf(-0.44))
    }

    /// Vectors of clients, where nothing is known of the dimensions.
    fn even(name: &'static str, dim: usize) -> Self {
        Self::new(name, dim, true, |_| 1.0)
    }

    fn noise(&mut self) -> Vec<f32> {
        (0..self.dim).map(|at| self.rng.normal() * (self.sigma)(at)).collect()
    }

    /// A vector nearer to one of many topics or farther from it: two of the same topic have cosines of up to 0.8.
    fn vector(&mut self) -> Vec<f32> {
        let near = self.rng.float().abs() * 2.0;
        let topic = self.rng.below(self.topics.len());
        let noise = self.noise();
        noise.iter().zip(&self.topics[topic]).map(|(noise, topic)| noise + near * topic).collect()
    }
}

#[cfg(target_arch = "x86_64")]
mod scan {
    //! What others do, as fast as it goes: every row is read from end to end.
    use core::arch::x86_64::{
        __m256, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_fmadd_ps, _mm256_madd_epi16, _mm256_setzero_ps,
        _mm256_setzero_si256,
    };
    use fearless_simd::{f32x8, i32x8, i8x16, kernel, prelude::*, Avx2};

    kernel!(
        pub fn bytes(avx2: Avx2, rows: &[i8], query: &[i8], floor: i32) -> usize {
            let dot = |row: &[i8]| {
                let mut sums = _mm256_setzero_si256();
                for (row, query) in row.as_chunks::<16>().0.iter().zip(query.as_chunks::<16>().0) {
                    let [row, query] =
                        [row, query].map(|codes| _mm256_cvtepi8_epi16(i8x16::from_slice(avx2, codes).into()));
                    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(row, query));
                }
                let sums: i32x8<Avx2> = sums.simd_into(avx2);
                <[i32; 8]>::from(sums).iter().sum::<i32>()
            };
            rows.chunks_exact(query.len()).filter(|row| dot(row) >= floor).count()
        }
    );

    kernel!(
        pub fn floats(avx2: Avx2, rows: &[f32], query: &[f32], floor: f32) -> usize {
            let dot = |row: &[f32]| {
                let mut sums = [_mm256_setzero_ps(); 2];
                for (row, query) in row.as_chunks::<16>().0.iter().zip(query.as_chunks::<16>().0) {
                    for (sums, at) in sums.iter_mut().zip([0, 8]) {
                        let [row, query] =
                            [row, query].map(|values| __m256::from(f32x8::from_slice(avx2, &values[at..at + 8])));
                        *sums = _mm256_fmadd_ps(row, query, *sums);
                    }
                }
                let sums: [f32x8<Avx2>; 2] = sums.map(|sums| sums.simd_into(avx2));
                sums.map(|sums| <[f32; 8]>::from(sums).iter().sum::<f32>()).iter().sum::<f32>()
            };
            rows.chunks_exact(query.len()).filter(|row| dot(row) >= floor).count()
        }
    );
}

/// Microseconds: the best, the middle, and all but one in a hundred.
fn quantiles(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<_> = times.map(|time| time.as_secs_f64() * 1e6).collect();
    times.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("min {:8.1}   p50 {:8.1}   p99 {:8.1}", at(0), at(50), at(99))
}

fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(run());
    start.elapsed()
}

fn measure(mut model: Model, floors: &[f32], sizes: &[usize]) {
    let mut rows = Rows::new(Shape { dim: model.dim, fine: model.fine });
    let mut flat: Vec<i8> = Vec::new();
    for &size in sizes {
        let (mut inserting, before) = (Duration::ZERO, rows.len());
        while rows.len() < size {
            let codes = Codes::from_f32(&model.vector(), model.fine).unwrap();
            flat.extend(codes.to_bytes()[..model.dim].iter().map(|&code| code as i8));
            let slot = rows.len() as u32;
            inserting += timed(|| rows.insert(slot, 0, &codes));
        }
        let each = inserting / (size - before) as u32;
        println!("{}, {size} rows, {} KB, {each:?} for each to be inserted", model.name, rows.memory() / 1024);
        let queries: Vec<_> = (0..200).map(|_| model.vector()).collect();
        println!("    snapshot    {}", quantiles(queries.iter().map(|_| timed(|| rows.snapshot()))));
        for &floor in floors {
            let mut found = 0;
            let search =
                |query: &Vec<f32>| timed(|| found += rows.best(&Probe::from_f32(query).unwrap(), floor, 8).len());
            let times = quantiles(queries.iter().map(search));
            println!("    floor {floor}   {times}   {:.1} found", found as f32 / queries.len() as f32);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = fearless_simd::Level::new().as_avx2() {
            let scan = |query: &Vec<f32>| {
                let codes = Codes::from_f32(query, false).unwrap().to_bytes();
                let codes: Vec<_> = codes.iter().map(|&code| code as i8).collect();
                timed(|| scan::bytes(avx2, &flat, &codes, i32::MAX))
            };
            println!("    full scan   {}", quantiles(queries.iter().take(50).map(scan)));
        }
    }
}

#[test]
#[ignore = "figures, meaningful in release"]
fn searching() {
    measure(Model::builtin(), &[0.6, 0.7, 0.8, 0.9], &[1000, 10_000, 100_000, 1_000_000]);
    measure(Model::even("even 384", 384), &[0.8, 0.9], &[1000, 10_000, 100_000]);
    measure(Model::even("even 768", 768), &[0.8, 0.9], &[1000, 10_000, 100_000]);
    measure(Model::even("even 1536", 1536), &[0.8, 0.9], &[1000, 10_000, 100_000]);
}

/// What a second byte is good for.
#[test]
#[ignore = "figures, meaningful in release"]
fn bytes_of_a_dimension() {
    for (name, dim) in [("even 8", 8), ("even 384", 384), ("even 1536", 1536)] {
        let mut model = Model::even(name, dim);
        let vectors: Vec<_> = (0..20_000).map(|_| model.vector()).collect();
        let queries: Vec<_> = (0..100).map(|_| model.vector()).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        for fine in [false, true] {
            let mut rows = Rows::new(Shape { dim, fine });
            for (slot, vector) in vectors.iter().enumerate() {
                rows.insert(slot as u32, 0, &Codes::from_f32(vector, fine).unwrap());
            }
            let (mut most, mut sum, mut count) = (0.0, 0.0, 0);
            for query in &queries {
                let hits = rows.best(&Probe::from_f32(query).unwrap(), -1.0, 100);
                for hit in hits {
                    let other = &vectors[hit.slot as usize];
                    let right = dot(query, other) / (dot(query, query) * dot(other, other)).sqrt();
                    let error = (f64::from(hit.similarity) - right).abs();
                    (most, sum, count) = (error.max(most), sum + error, count + 1);
                }
            }
            let search = |query: &Vec<f32>| timed(|| rows.best(&Probe::from_f32(query).unwrap(), 0.8, 8));
            println!(
                "{name}, {} bytes a dimension: {} bytes a row, error {:.1e}, at most {most:.1e}, floor 0.8 {}",
                1 + usize::from(fine),
                rows.memory() / rows.len(),
                sum / f64::from(count),
                quantiles(queries.iter().map(search))
            );
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = fearless_simd::Level::new().as_avx2() {
            let flat: Vec<f32> = vectors.concat();
            let scan = |query: &Vec<f32>| timed(|| scan::floats(avx2, &flat, query, f32::MAX));
            println!("{name}, f32: {} bytes a row, full scan {}", 4 * dim, quantiles(queries.iter().map(scan)));
        }
    }
}

/// What a writer pays for a search that holds the rows, and how small contexts fare.
#[test]
#[ignore = "figures, meaningful in release"]
fn writing() {
    for (mut model, count) in
        [(Model::builtin(), 20_000), (Model::even("even 384", 384), 20_000), (Model::even("even 1536", 1536), 5000)]
    {
        let vectors: Vec<_> = (0..count).map(|_| model.vector()).collect();
        let codes: Vec<_> = vectors.iter().map(|vector| Codes::from_f32(vector, model.fine).unwrap()).collect();
        println!("{}", model.name);
        println!(
            "    to codes               {}",
            quantiles(vectors.iter().map(|v| timed(|| Codes::from_f32(v, model.fine))))
        );
        println!("    to a query             {}", quantiles(vectors.iter().map(|v| timed(|| Probe::from_f32(v)))));
        let mut rows = Rows::new(codes[0].shape());
        println!(
            "    insert                 {}",
            quantiles(codes.iter().map(|codes| timed(|| rows.insert(7, 7, codes))))
        );
        let swap = |at: usize, rows: &mut Rows| {
            let row = (at * 7919 % rows.len()) as u32;
            timed(|| (rows.remove(row), rows.insert(7, 7, &codes[at])))
        };
        println!("    remove and insert      {}", quantiles((0..1000).map(|at| swap(at, &mut rows))));
        let held = |at: usize| {
            let _held = rows.snapshot();
            swap(at, &mut rows)
        };
        println!("    while they are held    {}", quantiles((0..1000).map(held)));
        let query = Probe::from_f32(&vectors[0]).unwrap();
        for len in [1, 3, 7, 8, 30, 100] {
            let mut rows = Rows::new(codes[0].shape());
            codes[..len].iter().for_each(|codes| _ = black_box(rows.insert(7, 7, codes)));
            println!(
                "    search of {len:3} rows     {}",
                quantiles((0..1000).map(|_| timed(|| rows.best(&query, 0.6, 8))))
            );
        }
    }
}
