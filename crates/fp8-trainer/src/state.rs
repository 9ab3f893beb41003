//! A network in training: one step forward, backward and update; one batch evaluated.

use std::sync::Arc;

use fp8_autograd::{Exempt, Flushed, Gradients, Graph, Loss, LossScaler, Optimizer, Parameters, Step};
use fp8_kernels::Backend;

use crate::checkpoint::{Checkpoint, Progress};
use crate::config::Diagnostics;
use crate::metrics::{Counted, Tally};
use crate::task::Network;
use crate::{Config, Error, Result, exempt};

/// A network, its optimiser and its loss scaler.
pub struct State<N> {
    pub parameters: Parameters,
    network: N,
    optimizer: Optimizer,
    pub scaler: LossScaler,
    seed: u64,
    label_smoothing: f32,
    diagnostics: Diagnostics,
    /// Layers that the configuration itself exempts, until it has been told which of them there are not.
    exempt: Option<Exempt>,
}

/// What a training step found.
pub struct Outcome {
    /// Mean over the batch.
    pub loss: f32,
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
    /// What rounding flushed to zero, where it was counted.
    pub flushed: Vec<Flushed>,
}

impl<N: Network> State<N> {
    /// With the parameters that `network` adds, in the precision of the configuration's recipe.
    pub fn new(
        config: &Config,
        backend: Arc<dyn Backend>,
        network: impl FnOnce(&mut Parameters) -> Result<N>,
    ) -> Result<Self> {
        let mut parameters = Parameters::new(backend, config.recipe.recipe().clone());
        let network = network(&mut parameters)?;
        let mut optimizer = Optimizer::new(config.optimizer.clone());
        optimizer.decay_weights_only = config.training.decay_weights_only;
        optimizer.clip_norm = config.training.clip_norm;
        let scaler = LossScaler::new(config.loss_scaling.clone())?;
        let (seed, label_smoothing) = (config.seed, config.training.label_smoothing);
        let diagnostics = config.diagnostics.clone();
        let exempt = Some(config.recipe.own_exempt());
        Ok(Self { parameters, network, optimizer, scaler, seed, label_smoothing, diagnostics, exempt })
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.scaler.steps()
    }

    /// What the next loss is multiplied by.
    pub fn loss_scale(&self) -> f32 {
        self.scaler.scale()
    }

    /// One step. When the loss or a gradient is not finite, nothing is updated but the loss scaler. `forward` is given the label smoothing; what it
    /// reads besides the loss is returned. `meanwhile` is what the host has to do while the device is at the backward pass.
    pub fn step<R>(
        &mut self,
        learning_rate: f32,
        forward: impl FnOnce(&N, &mut Graph<'_>, f32) -> Result<(Loss, R)>,
        meanwhile: impl FnOnce(),
    ) -> Result<(Outcome, R)> {
        let number = self.steps();
        // The counter of the random bits has 32 bits: after 2^32 steps they come again.
        let loss_scale = self.loss_scale();
        let factor = if self.diagnostics.overflows(number) { f32::INFINITY } else { loss_scale };
        let step = Step::training(self.seed, number as u32, factor)
            .with_count_flushed(self.diagnostics.counts_flushed(number) && factor.is_finite());
        let failed = |source| Error::Step { step: number, source };
        let mut graph = Graph::new(&self.parameters, step);
        let (loss, read) =
            forward(&self.network, &mut graph, self.label_smoothing).map_err(|error| in_step(number, error))?;
        if let Some(exempt) = self.exempt.take() {
            let unmatched = exempt::unmatched(&exempt, &graph.layers());
            unmatched.iter().for_each(|unmatched| tracing::warn!("recipe: exempt.layers: {unmatched}"));
        }
        let mut outcome = Outcome {
            loss: f32::NAN,
            gradients: None,
            overflowed: vec!["loss".into()],
            gradient_norm: f32::INFINITY,
            loss_scale,
            scale_moved: false,
            flushed: Vec::new(),
        };
        let gradients = graph.backward(&loss).map_err(failed)?;
        meanwhile();
        outcome.loss = loss.value().map_err(failed)?;
        if outcome.loss.is_finite() {
            let report = self.optimizer.step(&mut self.parameters, &gradients, learning_rate, &step).map_err(failed)?;
            outcome.flushed = gradients.flushed().to_vec();
            outcome.gradients = Some(gradients);
            (outcome.overflowed, outcome.gradient_norm) = (report.overflowed, report.gradient_norm);
        }
        let event = self.scaler.update(outcome.overflowed.clone());
        outcome.scale_moved = event.before != event.after;
        Ok((outcome, read))
    }

    /// What is counted of all batches, by their mean loss without label smoothing and with running statistics. `done` is told how many are done, and may
    /// end it: then there is nothing. The device has the next batch before it is asked for the numbers of the one before.
    pub fn evaluate(
        &self,
        batches: impl Iterator<Item = Result<N::Batch>>,
        mut done: impl FnMut(u64) -> bool,
    ) -> Result<Option<Tally>> {
        let (mut tally, mut under_way) = (Tally::default(), None);
        let finish = |(loss, counted): (Loss, Counted)| counted.tally(loss.value()?);
        for (number, batch) in (1..).zip(batches) {
            let mut graph = Graph::new(&self.parameters, Step::evaluation(self.seed));
            if let Some(before) = under_way.replace(self.network.loss(&mut graph, &batch?, 0.0)?) {
                tally += finish(before)?;
            }
            if !done(number) {
                return Ok(None);
            }
        }
        if let Some(last) = under_way {
            tally += finish(last)?;
        }
        Ok(Some(tally))
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

/// A forward pass fails by its operations only.
fn in_step(step: u64, error: Error) -> Error {
    let source = match error {
        Error::Autograd(source) | Error::Model(fp8_models::Error::Autograd(source)) => source,
        Error::Model(other) => fp8_autograd::Error::State(other.to_string()),
        other => return other,
    };
    Error::Step { step, source }
}
