//! Softmax cross-entropy: the end of a graph.

use std::sync::Arc;

use fp8_kernels::{Buffer, CrossEntropy, DType};

use super::mismatch;
use crate::graph::Backward;
use crate::output::f32_buffer;
use crate::{Graph, Result, Var};

/// A loss, from which [`Graph::backward`] starts.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Mean over the rows.
    pub value: f32,
    logits: Var,
    targets: Arc<Buffer>,
    spec: CrossEntropy,
}

impl Graph<'_> {
    /// The mean over rows of -sum_c target_c log softmax(logits)_c, logits (rows, classes), in FP32; the target of a row
    /// is (1 - smoothing) at its class plus smoothing / classes everywhere.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] unless there is one target, below the number of classes, for each row.
    pub fn cross_entropy(&self, logits: &Var, targets: &[u32], smoothing: f32) -> Result<Loss> {
        const OP: &str = "cross_entropy";
        let &[rows, classes] = logits.shape() else {
            return mismatch(OP, format!("logits (rows, classes) are wanted, not {:?}", logits.shape()));
        };
        if targets.len() != rows || rows == 0 {
            return mismatch(OP, format!("{} targets for {rows} rows", targets.len()));
        }
        if !(0.0..1.0).contains(&smoothing) {
            return mismatch(OP, format!("label smoothing must lie in 0..1, not {smoothing}"));
        }
        if let Some(row) = targets.iter().position(|&target| target as usize >= classes) {
            return mismatch(OP, format!("row {row} has target {}, there are {classes} classes", targets[row]));
        }
        let backend = &**self.backend();
        let spec = CrossEntropy { rows, classes, smoothing };
        let bytes: Vec<u8> = targets.iter().flat_map(|target| target.to_le_bytes()).collect();
        let mut targets = backend.alloc(DType::U32, rows)?;
        backend.upload(&bytes, &mut targets)?;
        let logits = Var { tensor: logits.tensor.unscaled(backend)?, ..logits.clone() };
        let mut losses = f32_buffer(backend, rows)?;
        backend.cross_entropy(&spec, &logits.tensor.buffer, &targets, &mut losses)?;
        let value = backend.sum(&losses)? / rows as f32;
        Ok(Loss { value, logits, targets: targets.into(), spec })
    }
}

impl Loss {
    /// Starts a backward pass: the error of the logits, times the loss scale.
    pub(crate) fn backward(&self, pass: &mut Backward<'_>) -> Result<()> {
        let factor = pass.step().loss_scale / self.spec.rows as f32;
        let (logits, backend) = (&self.logits, pass.backend());
        let mut error = pass.open_error_alone(logits.id, logits.shape())?;
        let (codes, targets) = (&logits.tensor.buffer, &self.targets);
        backend.cross_entropy_backward(&self.spec, codes, targets, factor, &error.store, &mut error.buffer)?;
        pass.close_error(logits.id, error)
    }
}
