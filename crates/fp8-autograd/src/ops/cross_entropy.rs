//! Softmax cross-entropy: the end of a graph.

use std::sync::{Arc, Mutex, PoisonError};

use fp8_kernels::reduce::sum_of;
use fp8_kernels::{Backend, Buffer, CrossEntropy, Gemm, Later, LinearCrossEntropy, LogitsError};

use super::linear::{self, Linear};
use super::{mismatch, unscaling};
use crate::graph::{Backward, VarId};
use crate::output::f32_buffer;
use crate::tensor::upload_u32;
use crate::{Error, Graph, ParameterId, Result, Role, RoleFormat, Tensor, Var};

/// A loss, from which [`Graph::backward`] starts.
#[derive(Clone, Debug)]
pub struct Loss {
    mean: Arc<Mutex<Mean>>,
    /// Rows that count.
    pub rows: usize,
    start: Start,
}

/// The mean over the rows that count.
enum Mean {
    /// Losses of the rows, F32, which the device may still be computing.
    Waiting(Box<dyn Later>),
    /// It was asked for.
    Known(f32),
    /// The device could not compute it.
    Failed,
}

impl std::fmt::Debug for Mean {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Waiting(_) => f.write_str("Waiting"),
            Self::Known(value) => write!(f, "Known({value})"),
            Self::Failed => f.write_str("Failed"),
        }
    }
}

/// Where a backward pass starts.
#[derive(Clone, Debug)]
enum Start {
    /// At the logits, whose error is still to be computed.
    Logits { logits: Var, targets: Arc<Buffer>, spec: CrossEntropy },
    /// At an error that the graph has, of logits that do not exist; absent in evaluation.
    Error(Option<VarId>),
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
        let (spec, counted) = check(OP, rows, classes, targets, smoothing)?;
        let backend = &**self.backend();
        let targets = upload_u32(backend, targets)?;
        let logits = Var { tensor: logits.tensor.unscaled(backend)?, ..logits.clone() };
        let mut losses = f32_buffer(backend, rows)?;
        backend.cross_entropy(&spec, &logits.tensor.buffer, &targets, &mut losses)?;
        Loss::new(backend, &losses, counted, Start::Logits { logits, targets: targets.into(), spec })
    }

    /// [`Graph::cross_entropy`] of [`Graph::linear`] to [`Role::Logits`], to the bit; but only some rows of the logits exist at a time, and in
    /// training their error is computed at once.
    ///
    /// # Errors
    /// As of both.
    pub fn linear_cross_entropy(
        &mut self,
        x: &Var,
        weight: ParameterId,
        bias: Option<ParameterId>,
        targets: &[u32],
        smoothing: f32,
    ) -> Result<Loss> {
        let parameter = self.parameters().get(weight);
        let (layer, w) = (parameter.layer().to_string(), parameter.working());
        if *self.recipe().format(Role::Logits, &layer) != RoleFormat::F32 || self.step().count_flushed {
            // Logits that are rounded, and zeros that are counted before rounding, have to exist.
            let logits = self.linear(x, weight, bias, Role::Logits)?;
            return self.cross_entropy(&logits, targets, smoothing);
        }
        let b = bias.map(|id| self.parameters().get(id).working());
        let gemm = linear::shape(&x.tensor, &w)?;
        let Gemm { m: rows, n: classes, k: inputs, .. } = gemm;
        let (spec, counted) = check("linear_cross_entropy", rows, classes, targets, smoothing)?;
        let backend = self.backend().clone();
        let (mut losses, targets) = (f32_buffer(&*backend, rows)?, upload_u32(&*backend, targets)?);
        let (maker, mut error) = self.open_start(&layer, vec![rows, classes])?;
        let arguments = LinearCrossEntropy {
            inputs,
            x: &x.tensor.buffer,
            w: &w.buffer,
            bias: b.as_ref().map(|bias| &*bias.buffer),
            alpha: unscaling(x.tensor.scale, w.scale),
            targets: &targets,
        };
        let factor = self.step().loss_scale / counted.max(1) as f32;
        let out = error.as_mut().map(|error| LogitsError { factor, store: error.store, dlogits: &mut error.buffer });
        backend.linear_cross_entropy(&spec, &arguments, &mut losses, out)?;
        let node = Box::new(Linear { gemm, x: x.clone(), weight, w, bias, y: None });
        let start = error.map(|error| self.record_start(maker, error, node)).transpose()?;
        Loss::new(&*backend, &losses, counted, Start::Error(start))
    }
}

/// The operation, and the rows that count.
fn check(
    op: &'static str,
    rows: usize,
    classes: usize,
    targets: &[u32],
    smoothing: f32,
) -> Result<(CrossEntropy, usize)> {
    if targets.len() != rows || rows == 0 {
        return mismatch(op, format!("{} targets for {rows} rows", targets.len()));
    }
    if !(0.0..1.0).contains(&smoothing) {
        return mismatch(op, format!("label smoothing must lie in 0..1, not {smoothing}"));
    }
    if let Some(row) = targets.iter().position(|&target| target as usize >= classes && target != CrossEntropy::IGNORED)
    {
        return mismatch(op, format!("row {row} has target {}, there are {classes} classes", targets[row]));
    }
    let counted = targets.iter().filter(|&&target| target != CrossEntropy::IGNORED).count();
    Ok((CrossEntropy { rows, classes, smoothing }, counted))
}

impl Loss {
    fn new(backend: &dyn Backend, losses: &Buffer, rows: usize, start: Start) -> Result<Self> {
        let mean = Mean::Waiting(backend.download_later(losses)?);
        Ok(Self { mean: Arc::new(mean.into()), rows, start })
    }

    /// Mean over the rows that count; 0 where none does. Waits for the device, but not for what it does after it.
    ///
    /// # Errors
    /// Where the device has failed.
    pub fn value(&self) -> Result<f32> {
        let mut mean = self.mean.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *mean, Mean::Failed) {
            Mean::Waiting(losses) => *mean = Mean::Known(sum_of(&losses.bytes()?) / self.rows.max(1) as f32),
            other => *mean = other,
        }
        match *mean {
            Mean::Known(value) => Ok(value),
            _ => Err(Error::State("the loss could not be computed".into())),
        }
    }

    /// Starts a backward pass: the error of the logits, times the loss scale. `starts` are those of the graph.
    pub(crate) fn backward(&self, mut starts: Vec<(VarId, Tensor)>, pass: &mut Backward<'_>) -> Result<()> {
        match &self.start {
            Start::Error(None) => Ok(()),
            Start::Error(Some(start)) => match starts.iter().position(|(id, _)| id == start) {
                Some(at) => pass.pass_error(*start, starts.swap_remove(at).1),
                None => Err(Error::State("the loss is of another graph".into())),
            },
            Start::Logits { logits, targets, spec } => {
                let (factor, backend) = (pass.step().loss_scale / self.rows.max(1) as f32, pass.backend());
                let mut error = pass.open_error_alone(logits.id, logits.shape())?;
                let codes = &logits.tensor.buffer;
                backend.cross_entropy_backward(spec, codes, targets, factor, &error.store, &mut error.buffer)?;
                pass.close_error(logits.id, error)
            }
        }
    }
}
