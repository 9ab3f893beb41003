//! Images made by arithmetic: the data set that needs no download.
//!
//! Ten classes of shapes and textures, each image in its own colours, place, size and rotation, over a background with clutter and noise.
//! Image `i` of a part is a function of the seed, the part and `i` alone: the same bytes on every machine.

pub mod language;
mod picture;
mod shape;

use serde::{Deserialize, Serialize};

use crate::random::{Purpose, Random};
use crate::{Dataset, Error, Example, Image, Normalization, Result, Split};
use shape::Shape;

/// How many images, and how large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Images for training; default 20,000.
    pub training: usize,
    /// Images for validation; default 2,000.
    pub validation: usize,
    /// Rows and columns; default 32.
    pub size: usize,
    /// Seed of the images; default 0. Another seed gives another set of the same kind.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { training: 20_000, validation: 2_000, size: 32, seed: 0 }
    }
}

/// One part of the generated set. Nothing is stored: an image is drawn when it is asked for.
pub struct Generated {
    description: String,
    classes: Vec<String>,
    options: Options,
    split: Split,
}

impl Generated {
    /// The part `split` of the set.
    pub fn new(options: Options, split: Split) -> Result<Self> {
        if !(8..=1024).contains(&options.size) {
            let expected = "generated images have 8 to 1024 rows and columns";
            return Err(Error::Option { option: "size", value: options.size.to_string(), expected });
        }
        let description = format!("generated shapes {split} (size {}, seed {})", options.size, options.seed);
        let classes = Shape::ALL.iter().map(|shape| shape.name()).collect();
        Ok(Self { description, classes, options, split })
    }
}

impl Dataset for Generated {
    fn description(&self) -> &str {
        &self.description
    }

    fn len(&self) -> usize {
        match self.split {
            Split::Training => self.options.training,
            Split::Validation => self.options.validation,
        }
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn channels(&self) -> usize {
        3
    }

    fn normalization(&self) -> Normalization {
        Normalization { mean: [0.319, 0.349, 0.309], deviation: [0.227, 0.246, 0.217] }
    }

    /// The classes take turns: the label is `index % 10`.
    fn get(&self, index: usize) -> Result<Example> {
        assert!(index < self.len(), "example {index} of {}", self.len());
        let purpose = match self.split {
            Split::Training => Purpose::GeneratedTraining,
            Split::Validation => Purpose::GeneratedValidation,
        };
        let mut random = Random::new(self.options.seed, purpose, 0, index as u64);
        let label = index % Shape::ALL.len();
        let size = self.options.size;
        let pixels = picture::draw(Shape::ALL[label], size, &mut random);
        Ok(Example { image: Image { height: size, width: size, channels: 3, pixels }, label: label as u32 })
    }
}
