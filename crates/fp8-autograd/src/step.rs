//! What is the same for all operations of one step.

use fp8_core::Stream;
use serde::{Deserialize, Serialize};

/// One training step, or one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the step.
    pub step: u32,
    /// What the loss is multiplied by before errors are computed.
    pub loss_scale: f32,
    /// Whether statistics are the batch's and a backward pass will follow; otherwise nothing is kept for one.
    pub training: bool,
}

impl Step {
    /// A training step.
    pub const fn training(seed: u64, step: u32, loss_scale: f32) -> Self {
        Self { seed, step, loss_scale, training: true }
    }

    /// An evaluation.
    pub const fn evaluation(seed: u64) -> Self {
        Self { seed, step: 0, loss_scale: 1.0, training: false }
    }

    /// The random bits of the Q node of this name, e.g. `layer1.0.conv1/error`.
    pub(crate) fn random(&self, node: &str) -> Stream {
        Stream { seed: self.seed, step: self.step, id: Stream::id(node) }
    }
}
