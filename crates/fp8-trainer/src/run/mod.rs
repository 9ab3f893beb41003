//! Training runs.

mod folder;
pub(crate) mod images;
mod running;
pub(crate) mod translation;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fp8_kernels::Backend;
use serde::{Deserialize, Serialize};

use self::images::Images;
use self::running::Running;
use self::translation::Translation;
use crate::config::Task;
use crate::metrics::{EpochRecord, StepRecord};
use crate::{Config, Result};

/// How a run is carried out. Nothing here changes its result.
pub struct RunOptions<'a> {
    /// The device.
    pub backend: Arc<dyn Backend>,
    /// Where the run's files go; without a folder nothing is written.
    pub folder: Option<PathBuf>,
    /// Whether to go on from the folder's checkpoint, where there is one.
    pub resume: bool,
    /// When this becomes true, the run ends after the step under way, with a checkpoint.
    pub stop: &'a AtomicBool,
    /// Is told what happens.
    pub observer: &'a mut (dyn FnMut(&Event<'_>) + Send),
}

/// What happens in a run.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The run begins, or goes on.
    Start {
        /// Steps done already.
        steps: u64,
        /// Steps of an epoch.
        steps_per_epoch: u64,
        /// Epochs of the whole run.
        epochs: u32,
        /// What is counted: `images`, `tokens`.
        unit: &'static str,
    },
    /// A training step is done.
    Step(&'a StepRecord),
    /// A validation batch is done.
    Validation {
        /// Batches done.
        done: u64,
        /// Batches in all.
        of: u64,
    },
    /// An epoch and its validation are done.
    Epoch(&'a EpochRecord),
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Whether all epochs are done; otherwise the run was stopped.
    pub finished: bool,
    /// Steps done.
    pub steps: u64,
    /// Steps that were skipped, because the loss or a gradient was not finite.
    pub skipped: u64,
    /// Every `log.every_steps`-th step, and those skipped.
    pub curve: Vec<StepRecord>,
    /// The epochs done.
    pub epochs: Vec<EpochRecord>,
    /// Training speed, images or tokens of translations in a second: median over the steps since the run was started or resumed.
    pub per_second: f64,
    /// Most device memory held at once since the run was started or resumed.
    pub peak_bytes: u64,
    /// Time spent, validation included, interruptions not.
    pub seconds: f64,
    /// SHA-256, in hexadecimal, of the weights as a safetensors file.
    pub weights_digest: String,
}

/// Trains as `config` says.
///
/// The result depends on the configuration alone: not on threads, instruction sets, workers, nor on whether the run was
/// stopped and resumed.
///
/// # Errors
/// See [`crate::Error`]. What was written before is whole, and the run can be resumed from its last checkpoint.
pub fn train(config: &Config, options: RunOptions<'_>) -> Result<RunResult> {
    let backend = options.backend.clone();
    backend.within(|| match &config.task {
        Task::Images(own) => Running::start(config, &Images::open(config, own)?, options)?.finish(),
        Task::Translation(own) => Running::start(config, &Translation::open(config, own)?, options)?.finish(),
    })
}
