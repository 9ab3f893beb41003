//! Softmax cross-entropy: the end of a graph.

use std::sync::Arc;

use fp8_kernels::{Buffer, CrossEntropy};

use super::mismatch;
use crate::graph::Backward;
use crate::output::f32_buffer;
use crate::tensor::upload_u32;
use crate::{Graph, Result, Var};

/// A loss, from which [`Graph::backward`] starts.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Mean over the rows that count; 0 where none does.
    pub value: f32,
    /// Rows that count.
    pub rows: usize,
    logits: Var,
    targets: Arc<Buffer>,
    spec: CrossEntropy,
}

impl Graph<'_> {
    /// The mean over rows of -sum_c target_c log softmax(logits)_c, logits (…, classes), in FP32; the target of a row
    /// is (1 - smoothing) at its class plus smoothing / classes everywhere. Rows with the target [`CrossEntropy::IGNORED`] do not count.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] unless there is one target, below the number of classes or ignored, for each row.
    pub fn cross_entropy(&self, logits: &Var, targets: &[u32], smoothing: f32) -> Result<Loss> {
        const OP: &str = "cross_entropy";
        let Some((&classes, outer)) = logits.shape().split_last() else {
            return mismatch(OP, "logits (rows, classes) are wanted, not a single number");
        };
        let rows: usize = outer.iter().product();
        if targets.len() != rows || rows == 0 {
            return mismatch(OP, format!("{} targets for {rows} rows", targets.len()));
        }
        if !(0.0..1.0).contains(&smoothing) {
            return mismatch(OP, format!("label smoothing must lie in 0..1, not {smoothing}"));
        }
        if let Some(row) =
            targets.iter().position(|&target| target as usize >= classes && target != CrossEntropy::IGNORED)
        {
            return mismatch(OP, format!("row {row} has target {}, there are {classes} classes", targets[row]));
        }
        let backend = &**self.backend();
        let spec = CrossEntropy { rows, classes, smoothing };
        let counted = targets.iter().filter(|&&target| target != CrossEntropy::IGNORED).count();
        let targets = upload_u32(backend, targets)?;
        let logits = Var { tensor: logits.tensor.unscaled(backend)?, ..logits.clone() };
        let mut losses = f32_buffer(backend, rows)?;
        backend.cross_entropy(&spec, &logits.tensor.buffer, &targets, &mut losses)?;
        let value = backend.sum(&losses)? / counted.max(1) as f32;
        Ok(Loss { value, rows: counted, logits, targets: targets.into(), spec })
    }
}

impl Loss {
    /// Starts a backward pass: the error of the logits, times the loss scale.
    pub(crate) fn backward(&self, pass: &mut Backward<'_>) -> Result<()> {
        let factor = pass.step().loss_scale / self.rows.max(1) as f32;
        let (logits, backend) = (&self.logits, pass.backend());
        let mut error = pass.open_error_alone(logits.id, logits.shape())?;
        let (codes, targets) = (&logits.tensor.buffer, &self.targets);
        backend.cross_entropy_backward(&self.spec, codes, targets, factor, &error.store, &mut error.buffer)?;
        pass.close_error(logits.id, error)
    }
}
