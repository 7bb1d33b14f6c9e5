//! Vectors that stand in for those of an embedding model: what matters here is how long they take, not what they mean.

use super::random::Random;

/// In any direction.
pub fn unit(random: &mut Random, dims: usize) -> Vec<f32> {
    scaled((0..dims).map(|_| random.normal()).collect())
}

/// So near to another that their cosine is about `cosine`: the noise is nearly orthogonal to it.
pub fn near(of: &[f32], cosine: f64, random: &mut Random) -> Vec<f32> {
    let noise = unit(random, of.len());
    let (along, across) = (cosine, (1.0 - cosine * cosine).sqrt());
    scaled(of.iter().zip(&noise).map(|(of, noise)| along * f64::from(*of) + across * f64::from(*noise)).collect())
}

/// As `FP32` takes it.
pub fn blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn scaled(vector: Vec<f64>) -> Vec<f32> {
    let length = vector.iter().map(|number| number * number).sum::<f64>().sqrt();
    vector.iter().map(|number| (number / length) as f32).collect()
}
