//! Random numbers that depend on what they are for, and on nothing else.

use fp8_core::Philox;
use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// What random numbers are for: those of different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The order of an epoch.
    Order = 1,
    /// Crop and flip of an example.
    Augmentation = 2,
    /// A generated training image.
    GeneratedTraining = 3,
    /// A generated validation image.
    GeneratedValidation = 4,
    /// A generated pair of sentences for training.
    GeneratedTrainingText = 6,
    /// A generated pair of sentences for validation.
    GeneratedValidationText = 7,
    /// A part of a data set.
    Subset = 5,
}

/// A sequence of random numbers.
///
/// It is an xoshiro128++, started from one block of Philox whose key is the seed and whose counter is (index, epoch, purpose). Philox makes the
/// sequences of neighbouring indices independent and reachable in any order, by any thread; xoshiro then is the faster of the two.
#[derive(Clone, Debug)]
pub struct Random(Xoshiro128PlusPlus);

impl Random {
    /// The sequence of example `index` in `epoch`.
    pub fn new(seed: u64, purpose: Purpose, epoch: u32, index: u64) -> Self {
        let block = Philox::new(seed).block([index as u32, (index >> 32) as u32, epoch, purpose as u32]);
        let mut start = [0; 16];
        for (bytes, word) in start.chunks_exact_mut(4).zip(block) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(Xoshiro128PlusPlus::from_seed(start))
    }

    /// Uniform on `0..bound`, without bias (Lemire 2019). Panics when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "there is no number below 0");
        let bound = bound as u64;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            // The least products of a residue class are too many by one for some results: 2^64 mod bound of them.
            if product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as usize;
            }
        }
    }

    /// Uniform on [0, 1), in steps of 2^-24.
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform on [low, high).
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// True once in two.
    pub fn coin(&mut self) -> bool {
        self.0.next_u32() >> 31 != 0
    }

    /// A point of the unit circle, evenly distributed. No sine: those of C libraries differ.
    pub fn direction(&mut self) -> [f32; 2] {
        loop {
            let (x, y) = (self.between(-1.0, 1.0), self.between(-1.0, 1.0));
            let square = x * x + y * y;
            if square > 0.01 && square <= 1.0 {
                return [x / square.sqrt(), y / square.sqrt()];
            }
        }
    }

    /// Approximately normal, of mean 0 and deviation 1, between -3.5 and 3.5: the sum of the four bytes of a word, scaled.
    pub fn bell(&mut self) -> f32 {
        let sum: i32 = self.0.next_u32().to_le_bytes().into_iter().map(i32::from).sum();
        // Four uniform bytes: mean 4 * 127.5, variance 4 * (256^2 - 1) / 12.
        (sum - 510) as f32 * (1.0 / 147.799_41)
    }

    /// `0..len` in random order (Fisher and Yates).
    pub fn permutation(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        for last in (1..len).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> Random {
        Random::new(7, Purpose::Order, 0, 0)
    }

    #[test]
    fn sequences_depend_on_every_argument() {
        let first = |seed, purpose, epoch, index| Random::new(seed, purpose, epoch, index).0.next_u64();
        let all = [
            first(1, Purpose::Order, 2, 3),
            first(2, Purpose::Order, 2, 3),
            first(1, Purpose::Augmentation, 2, 3),
            first(1, Purpose::Order, 3, 3),
            first(1, Purpose::Order, 2, 4),
            first(1, Purpose::Order, 2, 3 + (1 << 32)),
        ];
        let mut distinct = all.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(first(1, Purpose::Order, 2, 3), all[0]);
    }

    #[test]
    fn below_is_uniform() {
        let mut random = random();
        let mut counts = [0; 7];
        for _ in 0..70_000 {
            counts[random.below(7)] += 1;
        }
        // Deviation of a count: 93.
        assert!(counts.iter().all(|&count: &i32| (count - 10_000).abs() < 450), "{counts:?}");
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn moments_are_right() {
        let mut random = random();
        let moments = |mut draw: Box<dyn FnMut() -> f32>| {
            let draws: Vec<f64> = (0..100_000).map(|_| f64::from(draw())).collect();
            let mean = draws.iter().sum::<f64>() / 1e5;
            (mean, (draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 1e5).sqrt())
        };
        let mut other = random.clone();
        let (mean, deviation) = moments(Box::new(move || random.bell()));
        assert!(mean.abs() < 0.015 && (deviation - 1.0).abs() < 0.01, "{mean} {deviation}");
        let (mean, deviation) = moments(Box::new(move || other.direction()[0]));
        assert!(mean.abs() < 0.012 && (deviation - 0.5_f64.sqrt()).abs() < 0.01, "{mean} {deviation}");
    }

    #[test]
    fn a_permutation_holds_each_index_once() {
        let order = random().permutation(1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_ne!(order, sorted);
        assert_eq!(random().permutation(0), [0_usize; 0]);
    }
}
