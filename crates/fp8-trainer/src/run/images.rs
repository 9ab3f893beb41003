//! Classification of images.

use fp8_autograd::{Graph, Loss, Parameters, Var};
use fp8_data::{Batch, Loader, Normalization, Options, Split};
use fp8_kernels::{Backend, Buffer};
use fp8_models::{ResNet, ResNetConfig};

use crate::config::{self, Config, FieldError};
use crate::error::UNNAMED;
use crate::metrics::Counted;
use crate::state::State;
use crate::task::{Keepsake, Network, Task};
use crate::{Error, Result};

/// What a network must fit besides its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels of the images.
    pub channels: usize,
    /// Number of classes.
    pub classes: usize,
}

/// The network of a configuration.
pub fn network(model: &config::Model, shape: Shape, seed: u64, parameters: &mut Parameters) -> Result<ResNet> {
    Ok(ResNet::new(&outline(model, shape), parameters, seed)?)
}

/// What it is like, without values.
pub const fn outline(model: &config::Model, shape: Shape) -> ResNetConfig {
    ResNetConfig {
        channels: shape.channels,
        width: model.width,
        zero_init_residual: model.zero_init_residual,
        ..ResNetConfig::new(model.architecture, model.stem, shape.classes)
    }
}

/// Images with their classes.
pub struct ImageBatch {
    /// N, H, W, C.
    pub shape: [usize; 4],
    pub pixels: Pixels,
    /// (N).
    pub labels: Vec<u32>,
    /// Images that belong here and could not be read: their place in the data set, and why.
    pub skipped: Vec<(usize, fp8_data::Error)>,
}

/// What images hold.
pub enum Pixels {
    /// Bytes, and how they are normalised.
    Bytes(Vec<u8>, Normalization),
    /// The same on the device.
    Staged(Buffer, Normalization),
    /// Values as the network reads them.
    Values(Vec<f32>),
}

impl From<Batch> for ImageBatch {
    fn from(Batch { images, normalization, shape, labels, skipped, .. }: Batch) -> Self {
        Self { shape, pixels: Pixels::Bytes(images, normalization), labels, skipped }
    }
}

impl Network for ResNet {
    type Batch = ImageBatch;

    fn stage(batch: ImageBatch, backend: &dyn Backend) -> Result<ImageBatch> {
        let pixels = match batch.pixels {
            Pixels::Bytes(bytes, normalization) => {
                Pixels::Staged(fp8_autograd::upload_u8(backend, &bytes)?, normalization)
            }
            other => other,
        };
        Ok(ImageBatch { pixels, ..batch })
    }

    fn logits(&self, graph: &mut Graph<'_>, batch: &ImageBatch) -> fp8_models::Result<Var> {
        let tables = |normalization: &Normalization| normalization.tables(batch.shape[3]);
        let images = match &batch.pixels {
            Pixels::Bytes(bytes, normalization) => {
                let bytes = fp8_autograd::upload_u8(&**graph.backend(), bytes)?;
                graph.input_bytes(&batch.shape, &bytes, &tables(normalization))?
            }
            Pixels::Staged(bytes, normalization) => graph.input_bytes(&batch.shape, bytes, &tables(normalization))?,
            Pixels::Values(values) => graph.input(&batch.shape, values)?,
        };
        self.forward(graph, &images)
    }

    fn targets(batch: &ImageBatch) -> &[u32] {
        &batch.labels
    }

    fn loss(&self, graph: &mut Graph<'_>, batch: &ImageBatch, smoothing: f32) -> Result<(Loss, Counted)> {
        let logits = self.logits(graph, batch)?;
        let loss = graph.cross_entropy(&logits, &batch.labels, smoothing)?;
        let counted = Counted::images(logits.tensor().to_f32_later(&**graph.backend())?, &batch.labels);
        Ok((loss, counted))
    }
}

/// The training and the validation images of a run.
pub struct Images {
    config: config::Images,
    training: Loader,
    validation: Loader,
}

impl Images {
    /// Opens both parts of the data set.
    ///
    /// # Errors
    /// [`Error::Data`] names the file; [`Error::Config`] when they cannot be trained on.
    pub fn open(config: &Config, own: &config::Images) -> Result<Self> {
        let workers = own.loader.workers;
        let training = Options::training(config.training.batch, config.seed, workers);
        let validation = Options::validation(config.training.validation_batch, workers);
        let loader = |split, options: Options, transform| {
            let transform = own.data.transform(transform, Some(own.loader.size));
            let options = Options { unreadable: own.loader.unreadable, ..options };
            Loader::new(own.dataset(split)?, transform, options)
        };
        let augmentation = if own.loader.augment { Split::Training } else { Split::Validation };
        let images = Self {
            config: own.clone(),
            training: loader(Split::Training, training, augmentation)?,
            validation: loader(Split::Validation, validation, Split::Validation)?,
        };
        images.check(config)?;
        Ok(images)
    }

    fn check(&self, config: &Config) -> Result<()> {
        let invalid = |field: &str, reason: String| {
            let source = FieldError::Invalid { field: field.into(), reason };
            Err(Error::Config { origin: UNNAMED.into(), source })
        };
        let [training, validation] = [&self.training, &self.validation].map(Loader::dataset);
        if self.batches() == 0 {
            let (batch, images) = (config.training.batch, training.len());
            return invalid(
                "training.batch",
                format!("is {batch}, of training images there {} {images}", if images == 1 { "is" } else { "are" }),
            );
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

    fn shape(&self) -> Shape {
        let dataset = self.training.dataset();
        Shape { channels: dataset.channels(), classes: dataset.classes().len() }
    }
}

impl Task for Images {
    type Network = ResNet;

    fn network(&self, config: &Config, parameters: &mut Parameters) -> Result<ResNet> {
        network(&self.config.model, self.shape(), config.seed, parameters)
    }

    fn batches(&self) -> u64 {
        self.training.batches() as u64
    }

    fn training(&self, epoch: u32, first: u64) -> Result<impl Iterator<Item = fp8_data::Result<ImageBatch>>> {
        Ok(self.training.epoch(epoch, first as usize)?.map(|batch| batch.map(ImageBatch::from)))
    }

    fn validation_batches(&self) -> u64 {
        self.validation.batches() as u64
    }

    fn validation(&self) -> Result<impl Iterator<Item = fp8_data::Result<ImageBatch>>> {
        Ok(self.validation.epoch(0, 0)?.map(|batch| batch.map(ImageBatch::from)))
    }

    fn left_out(batch: &ImageBatch) -> u64 {
        for (index, error) in &batch.skipped {
            tracing::warn!(index, error = error as &dyn std::error::Error, "an image is left out");
        }
        batch.skipped.len() as u64
    }

    fn bleu(&self, _: &Config, _: &State<ResNet>) -> Result<Option<f64>> {
        Ok(None)
    }

    fn keepsake(&self) -> Option<Keepsake<'_>> {
        None
    }
}
