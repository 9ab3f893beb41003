//! First weights, from a seed: the same bits on every platform.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Random numbers of one tensor.
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// Those of the tensor `name`: they depend on the seed and the name alone.
    pub fn new(seed: u64, name: &str) -> Self {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3); // 64-bit FNV-1a
        Self(Xoshiro256PlusPlus::seed_from_u64(name.bytes().fold(seed ^ 0xCBF2_9CE4_8422_2325, hash)))
    }

    /// Uniform on [-limit, limit).
    pub fn uniform(&mut self, limit: f64) -> f32 {
        (limit * self.symmetric()) as f32
    }

    /// Two independent normal numbers of mean 0, by Marsaglia's polar method.
    pub fn normal_pair(&mut self, deviation: f64) -> [f32; 2] {
        loop {
            let (u, v) = (self.symmetric(), self.symmetric());
            let s = u * u + v * v;
            if s < 1.0 && s > 0.0 {
                let factor = deviation * (-2.0 * ln(s) / s).sqrt();
                return [(u * factor) as f32, (v * factor) as f32];
            }
        }
    }

    /// `len` normal numbers of mean 0.
    pub fn normals(&mut self, len: usize, deviation: f64) -> Vec<f32> {
        (0..len.div_ceil(2)).flat_map(|_| self.normal_pair(deviation)).take(len).collect()
    }

    /// Uniform on [-1, 1), in steps of 2^-52.
    fn symmetric(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// The natural logarithm of a positive normal number, by operations that IEEE 754 defines to the bit (those of C libraries
/// differ): x = m 2^e with m in [0.75, 1.5), ln m = 2 artanh((m - 1) / (m + 1)).
fn ln(x: f64) -> f64 {
    let mut exponent = ((x.to_bits() >> 52) & 0x7FF) as i32 - 1023;
    let mut m = f64::from_bits((x.to_bits() & ((1 << 52) - 1)) | 0x3FF0_0000_0000_0000);
    if m >= 1.5 {
        (m, exponent) = (m / 2.0, exponent + 1);
    }
    let t = (m - 1.0) / (m + 1.0);
    // |t| <= 1/5: the term after the last is below 2^-60 of the sum.
    let series = (0..13).rev().fold(0.0, |sum, k| sum * t * t + 1.0 / f64::from(2 * k + 1));
    2.0 * t * series + f64::from(exponent) * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms() {
        for x in [1e-300, 1e-5, 0.3, 0.7499, 0.75, 0.99999, 1.0, 1.4999, 1.5, 2.0, 1e10] {
            assert!((ln(x) - x.ln()).abs() <= 1e-15 * x.ln().abs().max(0.1), "{x}: {} {}", ln(x), x.ln());
        }
    }

    #[test]
    fn moments() {
        let normals = Random::new(1, "conv1.weight").normals(100_001, 2.0);
        let moment = |power: i32| normals.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / normals.len() as f64;
        assert!(moment(1).abs() < 0.03, "{}", moment(1));
        assert!((moment(2) - 4.0).abs() < 0.08, "{}", moment(2));
        assert!((moment(4) - 48.0).abs() < 2.5, "{}", moment(4));
        let mut random = Random::new(1, "fc.weight");
        let uniforms: Vec<f32> = (0..10_000).map(|_| random.uniform(0.5)).collect();
        assert!(uniforms.iter().all(|x| x.abs() <= 0.5) && uniforms.iter().any(|x| x.abs() > 0.499));
    }

    /// Fixed for ever: runs of one seed must not change.
    #[test]
    fn bits_are_fixed() {
        let bits = |seed, name| Random::new(seed, name).normals(2, 1.0).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(0, "conv1.weight"), [1051064133, 3199061331]);
        assert_ne!(bits(0, "conv1.weight"), bits(1, "conv1.weight"));
        assert_ne!(bits(0, "conv1.weight"), bits(0, "conv2.weight"));
    }
}
