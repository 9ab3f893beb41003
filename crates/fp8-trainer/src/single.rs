//! One training step on weights and a batch from files, for comparing with any other framework; and weights evaluated.

mod batch;

use std::path::Path;
use std::sync::Arc;

use fp8_autograd::{Array, Graph, ScalerState};
use fp8_kernels::Backend;
use fp8_models::{Mismatch, state_dict};
use safetensors::SafeTensors;

use self::batch::BatchFile;
use crate::config;
use crate::metrics::Score;
use crate::run::images::{self, Images, Shape};
use crate::run::translation::Translation;
use crate::sequence::SequenceNetwork;
use crate::state::State;
use crate::task::{Keepsake, Network, Task};
use crate::{Config, Error, Event, Result, files};

/// The files of a step: safetensors.
#[derive(Clone, Copy, Debug)]
pub struct StepFiles<'a> {
    /// A state dict: the weights before.
    pub weights: &'a Path,
    /// Of images: `input`, F32 (N, C, H, W), normalised; `target`, I64 (N). Of translation: `source`, I64 (N, S), each sentence with EOS (2) at its
    /// end; `target`, I64 (N, T + 1), each with BOS (1) before it and EOS after it; both filled up with PAD (0). The decoder reads the target but for
    /// its last column, and is to say it but for the first.
    pub batch: &'a Path,
    /// Is written: `loss` (), `logits` (N, classes), or (T, N, vocabulary) of translation; `grad.NAME` (un-scaled), `param.NAME` (the master after the update) and
    /// `buffer.NAME` (running statistics), F32; counters I64. Names and shapes as in the state dict.
    pub output: &'a Path,
}

/// What a step found.
#[derive(Clone, Debug, PartialEq)]
pub struct StepSummary {
    /// Mean over the batch.
    pub loss: f32,
    /// Names of the gradients with Inf or NaN; when there are any, nothing was updated.
    pub overflowed: Vec<String>,
}

/// Makes exactly one training step: the configuration's recipe, loss scale, label smoothing and optimiser (before its first
/// update), with `training.learning_rate` as it stands, without schedule and warm-up. The random bits of stochastic
/// rounding are those of the configuration's seed and of step `number`. Channels and classes are those of the weights.
///
/// # Errors
/// [`Error::Weights`] lists the tensors that differ from the model's; [`Error::Content`] names what is wrong with the batch, [`Error::Batch`] what
/// cannot be computed of it.
pub fn step(config: &Config, backend: Arc<dyn Backend>, files: &StepFiles<'_>, number: u32) -> Result<StepSummary> {
    let weights = files::read(files.weights)?;
    match &config.task {
        config::Task::Images(own) => {
            let shape = shape_of(&own.model, files.weights, &weights)?;
            let network = |parameters: &mut _| images::network(&own.model, shape, config.seed, parameters);
            let state = State::new(config, backend, network)?;
            step_of(config, state, files, &weights, number, |file| batch::images(file, shape))
        }
        config::Task::Translation(own) => {
            let expected = [own.loader.vocabulary, own.model.width()];
            let vocabulary = axis(files.weights, &weights, "embedder.weight", 0, &expected)?;
            let network = |parameters: &mut _| SequenceNetwork::new(&own.model, vocabulary, config.seed, parameters);
            let state = State::new(config, backend, network)?;
            step_of(config, state, files, &weights, number, |file| batch::tokens(file, vocabulary))
        }
    }
}

fn step_of<N: Network>(
    config: &Config,
    mut state: State<N>,
    files: &StepFiles<'_>,
    weights: &[u8],
    number: u32,
    batch: impl FnOnce(&BatchFile<'_>) -> std::result::Result<N::Batch, String>,
) -> Result<StepSummary> {
    load(&mut state, files.weights, weights)?;
    state.scaler.resume(ScalerState { step: number.into(), ..state.scaler.state() });
    let bytes = files::read(files.batch)?;
    let batch = BatchFile::parse(&bytes).and_then(|file| batch(&file));
    let batch = batch.map_err(|reason| Error::content(files.batch, reason))?;
    let backend = state.parameters.backend().clone();
    let forward = |network: &N, graph: &mut Graph<'_>, smoothing| {
        let logits = network.logits(graph, &batch)?;
        let loss = graph.cross_entropy(&logits, N::targets(&batch), smoothing)?;
        Ok((loss, (logits.shape().to_vec(), logits.tensor().to_f32(&*backend)?)))
    };
    let of_batch = |error| match error {
        Error::Step { source, .. } => Error::Batch { path: files.batch.into(), source },
        other => other,
    };
    let step = state.step(config.training.learning_rate as f32, forward, || ());
    let (outcome, (shape, logits)) = step.map_err(of_batch)?;
    let Some(gradients) = &outcome.gradients else {
        let reason = format!("the loss is {}: activations overflow", outcome.loss);
        return Err(Error::Diverged { step: number.into(), reason });
    };
    let f32 = |name: &str, shape, values: Vec<f32>| Array { name: name.into(), shape, values: values.into() };
    let mut arrays = vec![f32("loss", Vec::new(), vec![outcome.loss]), f32("logits", shape, logits)];
    arrays.extend(gradients.arrays(&state.parameters)?.into_iter().map(|array| prefixed("grad", array)));
    for (index, array) in state.parameters.arrays()?.into_iter().enumerate() {
        arrays.push(prefixed(if index < state.parameters.len() { "param" } else { "buffer" }, array));
    }
    files::write(files.output, &state_dict::write(&arrays)?)?;
    Ok(StepSummary { loss: outcome.loss, overflowed: outcome.overflowed })
}

/// Loss and accuracy, or BLEU, of a state dict on the configuration's validation data, in the recipe's precision.
///
/// # Errors
/// As [`step`], and [`Error::Data`].
pub fn evaluate(
    config: &Config,
    backend: Arc<dyn Backend>,
    weights: &Path,
    observer: &mut (dyn FnMut(&Event<'_>) + Send),
) -> Result<Score> {
    let own = backend.clone();
    backend.within(|| match &config.task {
        config::Task::Images(images) => evaluate_on(config, &Images::open(config, images)?, own, weights, observer),
        config::Task::Translation(texts) => {
            evaluate_on(config, &Translation::open(config, texts)?, own, weights, observer)
        }
    })
}

fn evaluate_on<T: Task>(
    config: &Config,
    task: &T,
    backend: Arc<dyn Backend>,
    weights: &Path,
    observer: &mut dyn FnMut(&Event<'_>),
) -> Result<Score> {
    let bytes = files::read(weights)?;
    if let Some(Keepsake { name, digest, .. }) = task.keepsake() {
        let refused = |source| Error::Weights { path: weights.into(), source };
        let expected = state_dict::metadata(&bytes, name).map_err(refused)?;
        if let Some(expected) = expected.filter(|expected| expected != digest) {
            let source = fp8_data::Error::OtherTokenizer { expected, found: digest.into() };
            return Err(Error::Tokenizer { path: weights.into(), source });
        }
    }
    let mut state = State::new(config, backend, |parameters| task.network(config, parameters))?;
    load(&mut state, weights, &bytes)?;
    let batches = task.validation()?.map(|batch| {
        let batch = batch?;
        T::left_out(&batch);
        Ok(batch)
    });
    let tally = state.evaluate(batches, |done| {
        observer(&Event::Validation { done, of: task.validation_batches() });
        true
    })?;
    let tally = tally.unwrap_or_default();
    Ok(Score { bleu: task.bleu(config, &state)?, ..tally.score() })
}

fn load<N: Network>(state: &mut State<N>, path: &Path, bytes: &[u8]) -> Result<()> {
    let weights = |source| Error::Weights { path: path.into(), source };
    state_dict::load(&mut state.parameters, bytes).map_err(weights)
}

fn prefixed(prefix: &str, array: Array) -> Array {
    Array { name: format!("{prefix}.{}", array.name), ..array }
}

/// The size of an axis of a state dict's tensor, which must be as `expected` otherwise: so a network is no larger than its configuration and the
/// file ask for. Without such a tensor the size is that of `expected`, and then loading says what is missing.
fn axis(path: &Path, weights: &[u8], name: &str, axis: usize, expected: &[usize]) -> Result<usize> {
    let Ok(file) = SafeTensors::deserialize(weights) else { return Ok(expected[axis]) };
    let Ok(tensor) = file.tensor(name) else { return Ok(expected[axis]) };
    let (found, mut expected) = (tensor.shape(), expected.to_vec());
    expected[axis] = found.get(axis).copied().unwrap_or(expected[axis]);
    if found != expected {
        let mismatch = Mismatch { shapes: vec![(name.into(), found.to_vec(), expected)], ..Mismatch::default() };
        return Err(Error::Weights { path: path.into(), source: fp8_models::Error::Mismatch(mismatch) });
    }
    if found.contains(&0) {
        return Err(Error::content(path, format!("{name:?} is {:?} {found:?}: it is empty", tensor.dtype())));
    }
    Ok(expected[axis])
}

/// Channels and classes that a ResNet's state dict was made for; three and ten where it does not tell.
fn shape_of(model: &config::Model, path: &Path, weights: &[u8]) -> Result<Shape> {
    let network = images::outline(model, Shape { channels: 3, classes: 10 });
    let channels = axis(path, weights, "conv1.weight", 1, &network.first_shape())?;
    Ok(Shape { channels, classes: axis(path, weights, "fc.weight", 0, &network.last_shape())? })
}
