//! Data for training. Pairs of sentences are in [`text`]; the rest is about images with labels: readers of the usual data sets, a generated one that
//! needs no files, augmentation, and batches prefetched by worker threads.
//!
//! A [`Source`] says where examples come from and opens a [`Dataset`]; a [`Transform`] says what becomes of an image; a [`Loader`] makes batches of
//! bytes, `(N, H, W, C)`, normalised where they are used. Batches depend on the seed, the epoch and the batch alone, whatever the number of threads, so an epoch can be
//! entered anywhere.
//!
//! ```
//! use fp8_data::{Loader, Options, Source, Split};
//!
//! let source = Source::default(); // generated images
//! let dataset = source.open(Split::Training)?;
//! assert_eq!(dataset.classes()[4], "star");
//!
//! let transform = source.transform(Split::Training, None);
//! let loader = Loader::new(dataset, transform, Options::training(64, 1, 2))?;
//! let mut batches = loader.epoch(0, 0)?;
//! let batch = batches.next().expect("20,000 images make more than one batch")?;
//! assert_eq!(batch.shape, [64, 32, 32, 3]);
//!
//! // The third batch of the sixth epoch, as if the run had never stopped.
//! let resumed = loader.epoch(5, 2)?.next().expect("a batch")?;
//! assert_eq!(resumed.number, 2);
//! # Ok::<(), fp8_data::Error>(())
//! ```

pub mod cifar;
mod dataset;
mod error;
pub mod folder;
pub mod generated;
pub mod idx;
mod jpeg;
mod loader;
pub mod random;
mod source;
mod subset;
pub mod text;
mod transform;

pub use dataset::{Dataset, Example, Image, Normalization, Split};
pub use error::{Error, Result};
pub use loader::{Batch, Batches, Loader, Options, Order, Remainder, Unreadable};
pub use source::Source;
pub use subset::Subset;
pub use transform::{Crop, Transform, Transformer};
