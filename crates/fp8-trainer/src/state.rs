//! A network in training: one step forward, backward and update; one batch evaluated.

use std::sync::Arc;

use fp8_autograd::{Gradients, Graph, LossScaler, Optimizer, Parameters, Step};
use fp8_kernels::Backend;
use fp8_models::{ResNet, ResNetConfig};

use crate::checkpoint::{Checkpoint, Progress};
use crate::{Config, Error, Result};

/// Images, normalised, and their classes.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// N, H, W, C.
    pub shape: &'a [usize; 4],
    /// Row-major.
    pub images: &'a [f32],
    /// N.
    pub targets: &'a [u32],
}

impl<'a> From<&'a fp8_data::Batch> for Batch<'a> {
    fn from(batch: &'a fp8_data::Batch) -> Self {
        Self { shape: &batch.shape, images: &batch.images, targets: &batch.labels }
    }
}

/// What the network must fit besides its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels of the images.
    pub channels: usize,
    /// Number of classes.
    pub classes: usize,
}

/// A network, its optimiser and its loss scaler.
pub struct State {
    pub parameters: Parameters,
    network: ResNet,
    optimizer: Optimizer,
    pub scaler: LossScaler,
    seed: u64,
    label_smoothing: f32,
}

/// What a training step found.
pub struct Outcome {
    /// Mean over the batch.
    pub loss: f32,
    /// (N, classes).
    pub logits: Vec<f32>,
    /// Times `loss_scale`; `None` when the loss is not finite.
    pub gradients: Option<Gradients>,
    /// Names of tensors with Inf or NaN: when there are any, nothing was updated.
    pub overflowed: Vec<String>,
    /// L2 norm of all gradients, un-scaled.
    pub gradient_norm: f32,
    /// What the loss was multiplied by.
    pub loss_scale: f32,
    /// Whether the scale is another one now.
    pub scale_moved: bool,
}

impl State {
    /// With the first weights of the configuration's seed.
    pub fn new(config: &Config, shape: Shape, backend: Arc<dyn Backend>) -> Result<Self> {
        let mut parameters = Parameters::new(backend, config.recipe.recipe().clone());
        let network = ResNet::new(
            &ResNetConfig {
                channels: shape.channels,
                width: config.model.width,
                zero_init_residual: config.model.zero_init_residual,
                ..ResNetConfig::new(config.model.architecture, config.model.stem, shape.classes)
            },
            &mut parameters,
            config.seed,
        )?;
        let mut optimizer = Optimizer::new(config.optimizer.clone());
        optimizer.decay_weights_only = config.training.decay_weights_only;
        optimizer.clip_norm = config.training.clip_norm;
        let scaler = LossScaler::new(config.loss_scaling.clone())?;
        let (seed, label_smoothing) = (config.seed, config.training.label_smoothing);
        Ok(Self { parameters, network, optimizer, scaler, seed, label_smoothing })
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.scaler.steps()
    }

    /// What the next loss is multiplied by.
    pub fn loss_scale(&self) -> f32 {
        self.scaler.scale()
    }

    /// One step. When the loss or a gradient is not finite, nothing is updated but the loss scaler.
    pub fn step(&mut self, batch: Batch<'_>, learning_rate: f32) -> Result<Outcome> {
        let number = self.steps();
        self.try_step(batch, learning_rate).map_err(|source| Error::Step { step: number, source })
    }

    fn try_step(&mut self, batch: Batch<'_>, learning_rate: f32) -> fp8_autograd::Result<Outcome> {
        // The counter of the random bits has 32 bits: after 2^32 steps they come again.
        let step = Step::training(self.seed, self.steps() as u32, self.loss_scale());
        let mut graph = Graph::new(&self.parameters, step);
        let images = graph.input(batch.shape, batch.images)?;
        let logits = self.network.forward(&mut graph, &images).map_err(autograd)?;
        drop(images);
        let loss = graph.cross_entropy(&logits, batch.targets, self.label_smoothing)?;
        let logits = logits.tensor().to_f32(&**graph.backend())?;
        let mut outcome = Outcome {
            loss: loss.value,
            logits,
            gradients: None,
            overflowed: vec!["loss".into()],
            gradient_norm: f32::INFINITY,
            loss_scale: step.loss_scale,
            scale_moved: false,
        };
        if loss.value.is_finite() {
            let gradients = graph.backward(&loss)?;
            let report = self.optimizer.step(&mut self.parameters, &gradients, learning_rate, &step)?;
            outcome.gradients = Some(gradients);
            (outcome.overflowed, outcome.gradient_norm) = (report.overflowed, report.gradient_norm);
        }
        let event = self.scaler.update(outcome.overflowed.clone());
        outcome.scale_moved = event.before != event.after;
        Ok(outcome)
    }

    /// Mean loss without label smoothing, and logits (N, classes), with running statistics.
    pub fn evaluate(&self, batch: Batch<'_>) -> Result<(f32, Vec<f32>)> {
        let mut graph = Graph::new(&self.parameters, Step::evaluation(self.seed));
        let images = graph.input(batch.shape, batch.images)?;
        let logits = self.network.forward(&mut graph, &images)?;
        let loss = graph.cross_entropy(&logits, batch.targets, 0.0)?;
        Ok((loss.value, logits.tensor().to_f32(&**graph.backend())?))
    }

    /// Names of the weights with Inf or NaN.
    pub fn damaged_weights(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (_, parameter) in self.parameters.iter() {
            if self.parameters.backend().count_non_finite(parameter.master())? > 0 {
                names.push(parameter.name.clone());
            }
        }
        Ok(names)
    }

    /// Everything that the next step depends on.
    pub fn checkpoint(&self, config: String, progress: Progress) -> Result<Checkpoint> {
        Ok(Checkpoint { config, parameters: self.parameters.state()?, scaler: self.scaler.state(), progress })
    }

    /// Goes on from a checkpoint of the same model and recipe.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.parameters.restore(&checkpoint.parameters)?;
        self.scaler.resume(checkpoint.scaler);
        Ok(())
    }
}

/// A model's forward pass fails by its operations only.
fn autograd(error: fp8_models::Error) -> fp8_autograd::Error {
    match error {
        fp8_models::Error::Autograd(error) => error,
        other => fp8_autograd::Error::State(other.to_string()),
    }
}
