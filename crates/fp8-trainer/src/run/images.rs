//! The images of a run.

use fp8_data::{Batches, Loader, Options, Split};

use crate::config::{Config, FieldError};
use crate::state::Shape;
use crate::{Error, Result};

/// The training and the validation images of a run.
pub struct Images {
    training: Loader,
    validation: Loader,
}

impl Images {
    /// Opens both parts of the data set.
    ///
    /// # Errors
    /// [`Error::Data`] names the file; [`Error::Config`] when they cannot be trained on.
    pub fn open(config: &Config) -> Result<Self> {
        let workers = config.loader.workers;
        let training = Options::training(config.training.batch, config.seed, workers);
        let validation = Options::validation(config.training.validation_batch, workers);
        let loader = |split, options: Options, transform| {
            let transform = config.data.transform(transform, Some(config.loader.size));
            let options = Options { unreadable: config.loader.unreadable, ..options };
            Loader::new(config.dataset(split)?, transform, options)
        };
        let augmentation = if config.loader.augment { Split::Training } else { Split::Validation };
        let images = Self {
            training: loader(Split::Training, training, augmentation)?,
            validation: loader(Split::Validation, validation, Split::Validation)?,
        };
        images.check(config)?;
        Ok(images)
    }

    fn check(&self, config: &Config) -> Result<()> {
        let invalid = |field: &str, reason: String| {
            let source = FieldError::Invalid { field: field.into(), reason };
            Err(Error::Config { origin: "configuration".into(), source })
        };
        let [training, validation] = [&self.training, &self.validation].map(Loader::dataset);
        if self.batches() == 0 {
            let (batch, images) = (config.training.batch, training.len());
            return invalid("training.batch", format!("is {batch}, there are {images} training images"));
        }
        if validation.is_empty() {
            return invalid("data", "there are no validation images".into());
        }
        if training.classes() != validation.classes() {
            let [training, validation] = [training, validation].map(|part| part.classes().len());
            let reason = format!("{training} classes in training, others ({validation}) in validation");
            return invalid("data", reason);
        }
        Ok(())
    }

    /// What the network must fit.
    pub fn shape(&self) -> Shape {
        let dataset = self.training.dataset();
        Shape { channels: dataset.channels(), classes: dataset.classes().len() }
    }

    /// Training batches of an epoch.
    pub fn batches(&self) -> u64 {
        self.training.batches() as u64
    }

    /// Validation batches.
    pub fn validation_batches(&self) -> u64 {
        self.validation.batches() as u64
    }

    /// The training batches of an epoch (from 0) from `first` on.
    pub fn training(&self, epoch: u32, first: u64) -> Result<Batches> {
        Ok(self.training.epoch(epoch, first as usize)?)
    }

    /// The validation batches.
    pub fn validation(&self) -> Result<Batches> {
        Ok(self.validation.epoch(0, 0)?)
    }
}
