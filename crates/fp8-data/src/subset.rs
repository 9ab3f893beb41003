//! A part of a data set, drawn at random.

use std::sync::Arc;

use crate::random::{Purpose, Random};
use crate::{Dataset, Example, Normalization, Result};

/// Some of a data set's examples, in its order.
pub struct Subset {
    dataset: Arc<dyn Dataset>,
    /// Ascending.
    indices: Vec<usize>,
    description: String,
}

impl Subset {
    /// `count` examples drawn from `dataset` with `seed`, without repetition; the data set itself where it has no more.
    ///
    /// Drawn by the length, the count and the seed alone: fewer examples are a part of more.
    pub fn draw(dataset: Arc<dyn Dataset>, count: usize, seed: u64) -> Arc<dyn Dataset> {
        let len = dataset.len();
        if count >= len {
            return dataset;
        }
        let mut indices = Random::new(seed, Purpose::Subset, 0, 0).permutation(len);
        indices.truncate(count);
        indices.sort_unstable();
        let description = format!("{count} of {len}, drawn with seed {seed}: {}", dataset.description());
        Arc::new(Self { dataset, indices, description })
    }
}

impl Dataset for Subset {
    fn description(&self) -> &str {
        &self.description
    }

    fn len(&self) -> usize {
        self.indices.len()
    }

    fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    fn channels(&self) -> usize {
        self.dataset.channels()
    }

    fn normalization(&self) -> Normalization {
        self.dataset.normalization()
    }

    fn get(&self, index: usize) -> Result<Example> {
        self.dataset.get(self.indices[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source, Split};

    fn labels(count: usize, seed: u64) -> Vec<u32> {
        let whole = Source::default().open(Split::Validation).unwrap();
        let drawn = Subset::draw(whole, count, seed);
        (0..drawn.len()).map(|index| drawn.get(index).unwrap().label).collect()
    }

    #[test]
    fn examples_are_drawn_once_and_keep_their_order() {
        let whole = Source::default().open(Split::Validation).unwrap();
        let drawn = Subset::draw(whole.clone(), 50, 3);
        assert_eq!(drawn.len(), 50);
        let place = |from: usize, example: &Example| (from..whole.len()).find(|&at| whole.get(at).unwrap() == *example);
        let places = (0..50).scan(0, |from, index| {
            *from = place(*from, &drawn.get(index).unwrap())? + 1;
            Some(())
        });
        assert_eq!(places.count(), 50);
        assert!(drawn.description().starts_with("50 of 2000, drawn with seed 3: "), "{}", drawn.description());
    }

    #[test]
    fn the_seed_decides_and_every_class_has_its_share() {
        assert_eq!(labels(500, 1), labels(500, 1));
        assert_ne!(labels(500, 1), labels(500, 2));
        for class in 0..10 {
            let count = labels(500, 1).iter().filter(|&&label| label == class).count();
            assert!((25..=75).contains(&count), "class {class}: {count}"); // deviation: 6
        }
    }

    #[test]
    fn no_more_than_there_are() {
        let whole = Source::default().open(Split::Validation).unwrap();
        for count in [2000, 5000] {
            assert!(Arc::ptr_eq(&Subset::draw(whole.clone(), count, 0), &whole));
        }
    }
}
