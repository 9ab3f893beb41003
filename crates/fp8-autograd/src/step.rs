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
    /// Which part of the step's batch, when it is computed in parts whose gradients add up: 0, 1, …
    pub micro_batch: u32,
    /// Whether statistics are the batch's and a backward pass will follow; otherwise nothing is kept for one.
    pub training: bool,
    /// Whether a backward pass counts what its roundings flush to zero: [`crate::Gradients::flushed`]. It changes no bit of what is computed, but takes
    /// time and memory.
    pub count_flushed: bool,
}

impl Step {
    /// A training step.
    pub const fn training(seed: u64, step: u32, loss_scale: f32) -> Self {
        Self { seed, step, loss_scale, micro_batch: 0, training: true, count_flushed: false }
    }

    /// An evaluation.
    pub const fn evaluation(seed: u64) -> Self {
        Self { training: false, ..Self::training(seed, 0, 1.0) }
    }

    /// This step's part `micro_batch`, with random bits of its own.
    pub const fn with_micro_batch(self, micro_batch: u32) -> Self {
        Self { micro_batch, ..self }
    }

    /// This step, counting what is flushed to zero where `count` says so.
    pub const fn with_count_flushed(self, count: bool) -> Self {
        Self { count_flushed: count, ..self }
    }

    /// The random bits of the Q node of this name, e.g. `layer1.0.conv1/error`.
    pub(crate) fn random(&self, node: &str) -> Stream {
        let id = match self.micro_batch {
            0 => Stream::id(node),
            part => Stream::id(&format!("{node}#{part}")),
        };
        Stream { seed: self.seed, step: self.step, id }
    }
}
