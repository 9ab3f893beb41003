//! What a data set is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Result;

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// For training.
    Training,
    /// For validation.
    Validation,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Training => "training",
            Self::Validation => "validation",
        })
    }
}

/// An image of bytes, `(height, width, channels)`.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// `height * width * channels` bytes, row after row, the channels of a pixel together.
    pub pixels: Vec<u8>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}x{}x{})", self.height, self.width, self.channels)
    }
}

/// An image and what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The image.
    pub image: Image,
    /// Its class: an index into [`Dataset::classes`].
    pub label: u32,
}

/// What bytes become for a model: `(byte / 255 - mean) / deviation`, channel by channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Mean of each channel, on the scale of 0 to 1. Grey images have the first alone.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, on the same scale.
    pub deviation: [f32; 3],
}

impl Normalization {
    /// For each of the first `channels`, what each byte becomes.
    ///
    /// # Panics
    /// With more than three.
    pub fn tables(&self, channels: usize) -> Vec<[f32; 256]> {
        let table =
            |(mean, deviation): (&f32, &f32)| std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / deviation);
        self.mean[..channels].iter().zip(&self.deviation).map(table).collect()
    }
}

/// Images with labels, in a fixed order.
///
/// [`get`](Dataset::get) is called by several threads at once and must give the same example for the same index every time.
pub trait Dataset: Send + Sync {
    /// Name, part and origin in one line, for logs and reports.
    fn description(&self) -> &str;

    /// How many examples there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of the classes, by label.
    fn classes(&self) -> &[String];

    /// Channels of every image: 1 or 3.
    fn channels(&self) -> usize;

    /// How its images are normalised.
    fn normalization(&self) -> Normalization;

    /// Example `index`. Panics unless `index < len()`.
    fn get(&self, index: usize) -> Result<Example>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_normalised_by_channel() {
        let normalization = Normalization { mean: [0.5, 0.25, 0.0], deviation: [0.5, 0.25, 1.0] };
        let tables = normalization.tables(3);
        assert_eq!([tables[0][255], tables[1][51], tables[2][51]], [1.0, (51.0 / 255.0 - 0.25) / 0.25, 0.2]);
        assert_eq!(normalization.tables(1), tables[..1]);
    }
}
