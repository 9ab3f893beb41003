//! What tasks differ in: networks, batches, what is measured. All else of a run is common to them.

use fp8_autograd::{Graph, Loss, Parameters, Var};
use fp8_kernels::Backend;

use crate::metrics::Counted;
use crate::state::State;
use crate::{Config, Result};

/// A network and the batches that it learns from.
pub trait Network {
    /// What it is given at once.
    type Batch;

    /// Sends to the device what of a batch is large: it travels while the device is at something else.
    ///
    /// # Errors
    /// Where the device has no memory for it.
    fn stage(batch: Self::Batch, _: &dyn Backend) -> Result<Self::Batch> {
        Ok(batch)
    }

    /// Logits (…, classes) of a batch.
    fn logits(&self, graph: &mut Graph<'_>, batch: &Self::Batch) -> fp8_models::Result<Var>;

    /// The class of each row of the logits, or [`IGNORED`](fp8_kernels::CrossEntropy::IGNORED).
    fn targets(batch: &Self::Batch) -> &[u32];

    /// The mean loss of a batch with this label smoothing, and what is counted.
    fn loss(&self, graph: &mut Graph<'_>, batch: &Self::Batch, smoothing: f32) -> Result<(Loss, Counted)>;
}

/// The batch of a task's network.
pub type BatchOf<T> = <<T as Task>::Network as Network>::Batch;

/// What is learned, from which data.
pub trait Task {
    /// What learns it.
    type Network: Network;

    /// The network of the configuration, its parameters added to `parameters`.
    fn network(&self, config: &Config, parameters: &mut Parameters) -> Result<Self::Network>;

    /// Training batches of an epoch.
    fn batches(&self) -> u64;

    /// The training batches of an epoch (from 0) from `first` on.
    fn training(&self, epoch: u32, first: u64) -> Result<impl Iterator<Item = fp8_data::Result<BatchOf<Self>>>>;

    /// Validation batches.
    fn validation_batches(&self) -> u64;

    /// The validation batches.
    fn validation(&self) -> Result<impl Iterator<Item = fp8_data::Result<BatchOf<Self>>>>;

    /// Examples that belong to a batch and are not in it; each kind is logged.
    fn left_out(batch: &BatchOf<Self>) -> u64;

    /// BLEU of the network's translations of the validation sentences, where that is what it does.
    fn bleu(&self, config: &Config, state: &State<Self::Network>) -> Result<Option<f64>>;

    /// What is kept beside the weights, and which weights belong to: name, content, SHA-256.
    fn keepsake(&self) -> Option<Keepsake<'_>>;
}

/// A file that weights are of no use without.
#[derive(Clone, Copy, Debug)]
pub struct Keepsake<'a> {
    /// Its name in the run's folder.
    pub name: &'static str,
    /// What is in it.
    pub content: &'a str,
    /// SHA-256, hexadecimal.
    pub digest: &'a str,
}
