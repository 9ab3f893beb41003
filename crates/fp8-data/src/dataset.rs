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
