//! Batches, read and transformed by worker threads ahead of the consumer.

mod queue;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::random::{Purpose, Random};
use crate::transform::Transformer;
use crate::{Dataset, Error, Normalization, Result, Transform};
pub use queue::Batches;

/// What happens to the examples that do not fill a batch at the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remainder {
    /// They are left out of this epoch.
    Drop,
    /// They make a smaller batch. Nothing is padded.
    Keep,
}

/// What happens when an example cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unreadable {
    /// The epoch ends with its error.
    #[default]
    Fail,
    /// The batch is made without it, and [`Batch::skipped`] tells why. A batch without a single readable example is an error all the same.
    Skip,
}

/// In what order an epoch goes through the examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they are in the data set.
    Sequential,
    /// In an order that depends on the seed and the epoch.
    Shuffled,
}

/// How examples become batches.
#[derive(Clone, Debug)]
pub struct Options {
    /// Examples in a batch; at least 1.
    pub batch_size: usize,
    /// Order of the examples.
    pub order: Order,
    /// The end of an epoch.
    pub remainder: Remainder,
    /// Examples that cannot be read.
    pub unreadable: Unreadable,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Threads; at least 1. Batches do not depend on it.
    pub workers: usize,
    /// Batches that are made or ready before the consumer asks for them; at least 1.
    pub prefetch: usize,
}

impl Options {
    /// For training: shuffled, whole batches only.
    pub fn training(batch_size: usize, seed: u64, workers: usize) -> Self {
        Self { order: Order::Shuffled, remainder: Remainder::Drop, seed, ..Self::validation(batch_size, workers) }
    }

    /// For validation: in order, every example.
    pub fn validation(batch_size: usize, workers: usize) -> Self {
        Self {
            batch_size,
            order: Order::Sequential,
            remainder: Remainder::Keep,
            unreadable: Unreadable::Fail,
            seed: 0,
            workers,
            prefetch: 2 * workers,
        }
    }

    fn check(&self) -> Result<()> {
        for (option, value) in [("batch_size", self.batch_size), ("workers", self.workers), ("prefetch", self.prefetch)]
        {
            if value == 0 {
                return Err(Error::Option { option, value: value.to_string(), expected: "it must be at least 1" });
            }
        }
        Ok(())
    }
}

/// What a model is given at once.
#[derive(Debug)]
pub struct Batch {
    /// Number of the batch in its epoch, from 0.
    pub number: usize,
    /// Images, `(N, H, W, C)`, before they are normalised.
    pub images: Vec<u8>,
    /// What is to be done with each channel.
    pub normalization: Normalization,
    /// Their shape: N, H, W, C.
    pub shape: [usize; 4],
    /// Classes, `(N)`.
    pub labels: Vec<u32>,
    /// Where the examples stand in the data set, `(N)`.
    pub indices: Vec<usize>,
    /// Examples that belong here and could not be read: their place in the data set, and why.
    pub skipped: Vec<(usize, Error)>,
}

impl Batch {
    /// The images as a model reads them, `(N, H, W, C)`.
    pub fn values(&self) -> Vec<f32> {
        let tables = self.normalization.tables(self.shape[3]);
        let value = |(byte, table): (&u8, &[f32; 256])| table[usize::from(*byte)];
        self.images.chunks_exact(tables.len().max(1)).flat_map(|pixel| pixel.iter().zip(&tables).map(value)).collect()
    }
}

/// Makes batches of a data set.
///
/// The order of an epoch depends on (seed, epoch) and an example's augmentation on (seed, epoch, its index) alone: not on threads, on batch size or on
/// where an epoch was entered.
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    transform: Transform,
    options: Options,
}

impl Loader {
    /// A loader of `dataset`, whose images go through `transform`.
    pub fn new(dataset: Arc<dyn Dataset>, transform: Transform, options: Options) -> Result<Self> {
        options.check()?;
        Transformer::new(transform, dataset.channels())?;
        Ok(Self { dataset, transform, options })
    }

    /// The data set.
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.dataset
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> usize {
        match self.options.remainder {
            Remainder::Drop => self.dataset.len() / self.options.batch_size,
            Remainder::Keep => self.dataset.len().div_ceil(self.options.batch_size),
        }
    }

    /// The batches of `epoch` from number `first` on: to resume, name the first that has not been used yet.
    ///
    /// Worker threads start here and end with the last batch, with the first error, or when the iterator is dropped.
    pub fn epoch(&self, epoch: u32, first: usize) -> Result<Batches> {
        let len = self.dataset.len();
        let order = match self.options.order {
            Order::Sequential => (0..len).collect(),
            Order::Shuffled => Random::new(self.options.seed, Purpose::Order, epoch, 0).permutation(len),
        };
        let plan = Plan {
            dataset: self.dataset.clone(),
            transform: self.transform,
            options: self.options.clone(),
            order,
            epoch,
            batches: self.batches(),
        };
        Batches::start(plan, first)
    }
}

/// All that the batches of an epoch depend on.
struct Plan {
    dataset: Arc<dyn Dataset>,
    transform: Transform,
    options: Options,
    /// Indices of the examples, in the order of the epoch.
    order: Vec<usize>,
    epoch: u32,
    batches: usize,
}

impl Plan {
    fn transformer(&self) -> Result<Transformer> {
        Transformer::new(self.transform, self.dataset.channels())
    }

    /// Batch `number`, or nothing when `stopped` says that nobody waits for it.
    fn batch(&self, number: usize, transformer: &mut Transformer, stopped: impl Fn() -> bool) -> Option<Result<Batch>> {
        let size = self.options.batch_size;
        let indices = &self.order[number * size..self.order.len().min((number + 1) * size)];
        let image_len = transformer.output_len();
        let mut batch = Batch {
            number,
            images: vec![0; indices.len() * image_len],
            normalization: self.dataset.normalization(),
            shape: [0, self.transform.size, self.transform.size, self.dataset.channels()],
            labels: Vec::with_capacity(indices.len()),
            indices: Vec::with_capacity(indices.len()),
            skipped: Vec::new(),
        };
        for &index in indices {
            if stopped() {
                return None;
            }
            let output = &mut batch.images[batch.labels.len() * image_len..][..image_len];
            match self.example(index, transformer, output) {
                Ok(label) => {
                    batch.labels.push(label);
                    batch.indices.push(index);
                }
                Err(error) if self.options.unreadable == Unreadable::Fail => return Some(Err(error)),
                Err(error) => batch.skipped.push((index, error)),
            }
        }
        if batch.labels.is_empty() {
            return Some(Err(self.empty(batch)));
        }
        batch.shape[0] = batch.labels.len();
        batch.images.truncate(batch.labels.len() * image_len);
        Some(Ok(batch))
    }

    /// Writes an example's image, returns its label.
    fn example(&self, index: usize, transformer: &mut Transformer, output: &mut [u8]) -> Result<u32> {
        let example = self.dataset.get(index)?;
        let mut random = Random::new(self.options.seed, Purpose::Augmentation, self.epoch, index as u64);
        transformer.apply(&example.image, &mut random, output)?;
        Ok(example.label)
    }

    fn empty(&self, mut batch: Batch) -> Error {
        let examples = batch.skipped.len();
        let (_, first) = batch.skipped.swap_remove(0);
        Error::EmptyBatch { epoch: self.epoch, batch: batch.number, examples, source: Box::new(first) }
    }
}
