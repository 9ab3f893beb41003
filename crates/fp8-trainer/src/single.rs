//! One training step on weights and a batch from files, for comparing with any other framework; and weights evaluated.

use std::path::Path;
use std::sync::Arc;

use fp8_autograd::{Array, ScalerState, layout};
use fp8_kernels::Backend;
use fp8_models::state_dict;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::metrics::{Score, Tally};
use crate::run::Images;
use crate::state::{Batch, Shape, State};
use crate::{Config, Error, Event, Result, files};

/// The files of a step: safetensors.
#[derive(Clone, Copy, Debug)]
pub struct StepFiles<'a> {
    /// A state dict: the weights before.
    pub weights: &'a Path,
    /// `input`, F32 (N, C, H, W), normalised; `target`, I64 (N).
    pub batch: &'a Path,
    /// Is written: `loss` (), `logits` (N, classes), `grad.NAME` (un-scaled), `param.NAME` (the master after the update) and
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
/// [`Error::Weights`] lists the tensors that differ from the model's; [`Error::Content`] names what is wrong with the batch.
pub fn step(config: &Config, backend: Arc<dyn Backend>, files: &StepFiles<'_>, number: u32) -> Result<StepSummary> {
    let weights = files::read(files.weights)?;
    let mut state = State::new(config, shape_of(&weights), backend)?;
    load(&mut state, files.weights, &weights)?;
    state.scaler.resume(ScalerState { step: number.into(), ..state.scaler.state() });
    let batch = HostBatch::read(files.batch)?;
    let outcome = state.step(batch.view(), config.training.learning_rate as f32)?;
    let Some(gradients) = &outcome.gradients else {
        let reason = format!("the loss is {}: activations overflow", outcome.loss);
        return Err(Error::Diverged { step: number.into(), reason });
    };
    let rows = batch.shape[0];
    let f32 = |name: &str, shape, values: Vec<f32>| Array { name: name.into(), shape, values: values.into() };
    let mut arrays = vec![
        f32("loss", Vec::new(), vec![outcome.loss]),
        f32("logits", vec![rows, outcome.logits.len() / rows], outcome.logits),
    ];
    arrays.extend(gradients.arrays(&state.parameters)?.into_iter().map(|array| prefixed("grad", array)));
    for (index, array) in state.parameters.arrays()?.into_iter().enumerate() {
        arrays.push(prefixed(if index < state.parameters.len() { "param" } else { "buffer" }, array));
    }
    files::write(files.output, &state_dict::write(&arrays)?)?;
    Ok(StepSummary { loss: outcome.loss, overflowed: outcome.overflowed })
}

/// Loss and accuracy of a state dict on the configuration's validation images, in the recipe's precision.
///
/// # Errors
/// As [`step`], and [`Error::Data`].
pub fn evaluate(
    config: &Config,
    backend: Arc<dyn Backend>,
    weights: &Path,
    observer: &mut dyn FnMut(&Event<'_>),
) -> Result<Score> {
    let bytes = files::read(weights)?;
    let images = Images::open(config)?;
    let mut state = State::new(config, images.shape(), backend)?;
    load(&mut state, weights, &bytes)?;
    let mut tally = Tally::default();
    for (done, batch) in (1..).zip(images.validation()?) {
        let batch = batch?;
        let (loss, logits) = state.evaluate((&batch).into())?;
        tally.add(loss, &logits, &batch.labels);
        observer(&Event::Validation { done, of: images.validation_batches() });
    }
    Ok(tally.score())
}

fn load(state: &mut State, path: &Path, bytes: &[u8]) -> Result<()> {
    let weights = |source| Error::Weights { path: path.into(), source };
    state_dict::load(&mut state.parameters, bytes).map_err(weights)
}

fn prefixed(prefix: &str, array: Array) -> Array {
    Array { name: format!("{prefix}.{}", array.name), ..array }
}

/// Channels and classes that a ResNet's state dict was made for; three and ten where it does not tell, and then loading
/// says what is missing.
fn shape_of(weights: &[u8]) -> Shape {
    let axis = |name: &str, axis: usize| {
        let file = SafeTensors::deserialize(weights).ok()?;
        file.tensor(name).ok()?.shape().get(axis).copied().filter(|&size| size > 0)
    };
    Shape { channels: axis("conv1.weight", 1).unwrap_or(3), classes: axis("fc.weight", 0).unwrap_or(10) }
}

/// A batch on the host.
struct HostBatch {
    shape: [usize; 4],
    images: Vec<f32>,
    targets: Vec<u32>,
}

impl HostBatch {
    fn view(&self) -> Batch<'_> {
        Batch { shape: &self.shape, images: &self.images, targets: &self.targets }
    }

    fn read(path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::content(path, reason);
        let bytes = files::read(path)?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| wrong(format!("not a valid safetensors file ({} bytes): {error}", bytes.len())))?;
        let tensor = |name: &str, dtype: Dtype, axes: usize| {
            let tensor = file.tensor(name).map_err(|_| wrong(format!("has no tensor {name:?}")))?;
            match tensor.dtype() == dtype && tensor.shape().len() == axes {
                true => Ok(tensor),
                false => Err(wrong(format!(
                    "{name:?} is {:?} {:?}; {dtype:?} of {axes} axes is wanted",
                    tensor.dtype(),
                    tensor.shape()
                ))),
            }
        };
        let (shape, images) = images(&tensor("input", Dtype::F32, 4)?).map_err(wrong)?;
        let targets = targets(&tensor("target", Dtype::I64, 1)?).map_err(wrong)?;
        match targets.len() == shape[0] && shape.iter().all(|&size| size > 0) {
            true => Ok(Self { shape, images, targets }),
            false => Err(wrong(format!("\"input\" is {:?}, \"target\" [{}]", shape_first(shape), targets.len()))),
        }
    }
}

/// (N, C, H, W) again, for messages.
fn shape_first([n, h, w, c]: [usize; 4]) -> [usize; 4] {
    [n, c, h, w]
}

/// (N, H, W, C) and the numbers, which are finite.
fn images(tensor: &TensorView<'_>) -> std::result::Result<([usize; 4], Vec<f32>), String> {
    let values: Vec<f32> = tensor.data().as_chunks().0.iter().map(|&code| f32::from_le_bytes(code)).collect();
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!("\"input\": element {index} is {}", values[index]));
    }
    let (shape, values) = layout::channels_last(tensor.shape(), &values);
    let shape = shape.try_into().map_err(|shape: Vec<usize>| format!("\"input\" has {} axes", shape.len()))?;
    Ok((shape, values))
}

fn targets(tensor: &TensorView<'_>) -> std::result::Result<Vec<u32>, String> {
    let classes = tensor.data().as_chunks().0.iter().map(|&code| i64::from_le_bytes(code));
    let class = |(row, class): (usize, i64)| {
        u32::try_from(class).map_err(|_| format!("\"target\": row {row} is {class}, which is no class"))
    };
    classes.enumerate().map(class).collect()
}
