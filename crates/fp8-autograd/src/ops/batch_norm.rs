//! Batch normalisation, with the residual addition and the ReLU that follow it in residual networks.

use fp8_kernels::{BatchNorm, BatchNormBackward, BatchNormForward, BatchNormGradients, BatchStatistics, Store};

use super::mismatch;
use crate::gradients::StatisticsUpdate;
use crate::graph::{Backward, Node, VarId};
use crate::output::f32_buffer;
use crate::{Graph, ParameterId, Result, Role, StatisticsId, Tensor, Var};

/// One batch-norm layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormLayer {
    /// Scale.
    pub gamma: ParameterId,
    /// Shift.
    pub beta: ParameterId,
    /// Running mean and variance.
    pub statistics: StatisticsId,
    /// Added to the variance; PyTorch's default is 1e-5.
    pub epsilon: f32,
    /// Share of the batch in the running statistics; PyTorch's default is 0.1.
    pub momentum: f32,
}

impl Graph<'_> {
    /// y = relu?(gamma * (x - mean) / sqrt(variance + epsilon) + beta + residual), over the last axis of x: rounded once.
    /// Mean and variance are the batch's in training, the running ones in evaluation.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for channels or a residual that differ, and for a training batch of one value per channel.
    pub fn batch_norm(&mut self, x: &Var, layer: &BatchNormLayer, residual: Option<&Var>, relu: bool) -> Result<Var> {
        let backend = self.backend().clone();
        let parameters = self.parameters();
        let name = parameters.get(layer.gamma).layer().to_string();
        let (gamma, beta) = (parameters.get(layer.gamma).working(), parameters.get(layer.beta).working());
        let norm = shape(&x.tensor, &gamma, layer.epsilon, self.step().training)?;
        if let Some(residual) = residual
            && residual.shape() != x.shape()
        {
            return mismatch("batch_norm", format!("residual {:?}, input {:?}", residual.shape(), x.shape()));
        }
        // Rounded values are normalised: of a scaled tensor, the values themselves.
        let input = x.tensor.unscaled(&*backend)?;
        let addend = residual.map(|residual| residual.tensor.unscaled(&*backend)).transpose()?;
        let batch = self.statistics_of(&norm, &input, layer)?;
        let running = self.parameters().statistics(layer.statistics);
        let statistics = match &batch {
            Some([mean, variance]) => BatchStatistics { mean: &mean.buffer, variance: &variance.buffer },
            None => BatchStatistics { mean: &running.mean, variance: &running.variance },
        };
        let (maker, mut y) = self.open(&name, Role::Activation, x.tensor.shape.clone())?;
        let arguments = BatchNormForward {
            x: &input.buffer,
            statistics,
            gamma: &gamma.buffer,
            beta: &beta.buffer,
            residual: addend.as_ref().map(|addend| &*addend.buffer),
            relu,
            store: y.store,
        };
        backend.batch_norm(&norm, &arguments, &mut y.buffer)?;
        let Some(batch) = batch else { return self.record(maker, y, |_| unreachable!("evaluation records nothing")) };
        // The residual gets an error of its own, even where it is the input.
        let residual = match residual {
            Some(residual) if residual.id == x.id => Some(self.reshape(residual, residual.shape())?.id),
            other => other.map(|residual| residual.id),
        };
        let (x, layer) = (x.clone(), *layer);
        self.record(maker, y, |y| {
            Box::new(Normalisation { norm, x, batch, gamma, layer, y: relu.then(|| y.clone()), residual })
        })
    }

    /// Mean and variance of a training batch, noted for the running ones.
    fn statistics_of(&mut self, norm: &BatchNorm, x: &Tensor, layer: &BatchNormLayer) -> Result<Option<[Tensor; 2]>> {
        if !self.step().training {
            return Ok(None);
        }
        let backend = self.backend().clone();
        let (mut mean, mut variance) = (f32_buffer(&*backend, norm.channels)?, f32_buffer(&*backend, norm.channels)?);
        backend.batch_norm_statistics(norm, &x.buffer, &mut mean, &mut variance)?;
        let [mean, variance] = [mean, variance].map(|buffer| Tensor::new(vec![norm.channels], buffer));
        let (id, momentum) = (layer.statistics, layer.momentum);
        self.keep_statistics(StatisticsUpdate {
            id,
            norm: *norm,
            momentum,
            mean: mean.clone(),
            variance: variance.clone(),
        });
        Ok(Some([mean, variance]))
    }
}

fn shape(x: &Tensor, gamma: &Tensor, epsilon: f32, training: bool) -> Result<BatchNorm> {
    const OP: &str = "batch_norm";
    let channels = gamma.len();
    if x.shape.last() != Some(&channels) {
        return mismatch(OP, format!("{channels} channels, input {:?}", x.shape));
    }
    let rows = x.len() / channels;
    if training && rows < 2 {
        return mismatch(OP, format!("training needs more than one value per channel, input {:?}", x.shape));
    }
    Ok(BatchNorm { rows, channels, epsilon })
}

struct Normalisation {
    norm: BatchNorm,
    x: Var,
    /// Mean and variance.
    batch: [Tensor; 2],
    gamma: Tensor,
    layer: BatchNormLayer,
    /// The output, where a ReLU followed.
    y: Option<Tensor>,
    residual: Option<VarId>,
}

impl Node for Normalisation {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let backend = pass.backend();
        let shape = &self.x.tensor.shape;
        let (x, dy) = (self.x.tensor.unscaled(&*backend)?, dy.unscaled(&*backend)?);
        let y = self.y.as_ref().map(|y| y.unscaled(&*backend)).transpose()?;
        let mut dx = pass.open_error_alone(self.x.id, shape)?;
        let (mut residual, arrived) = match self.residual {
            Some(var) => {
                let (output, arrived) = pass.open_error(var, shape)?;
                (Some((var, output)), arrived)
            }
            None => (None, None),
        };
        let mut dgamma = pass.open_gradient_alone(self.layer.gamma)?;
        let mut dbeta = pass.open_gradient_alone(self.layer.beta)?;
        let [mean, variance] = &self.batch;
        let arguments = BatchNormBackward {
            x: &x.buffer,
            statistics: BatchStatistics { mean: &mean.buffer, variance: &variance.buffer },
            gamma: &self.gamma.buffer,
            y: y.as_ref().map(|y| &*y.buffer),
            dy: &dy.buffer,
            dx_store: dx.store,
            residual_error: arrived.as_ref().map(|error| &*error.buffer),
            dresidual_store: residual.as_ref().map_or(Store::F32, |(_, output)| output.store),
        };
        let gradients = BatchNormGradients {
            dx: &mut dx.buffer,
            dgamma: &mut dgamma.buffer,
            dbeta: &mut dbeta.buffer,
            dresidual: residual.as_mut().map(|(_, output)| &mut output.buffer),
        };
        backend.batch_norm_backward(&self.norm, &arguments, gradients)?;
        pass.close_gradient(self.layer.gamma, dgamma)?;
        pass.close_gradient(self.layer.beta, dbeta)?;
        if let Some((var, output)) = residual {
            pass.close_error(var, output)?;
        }
        pass.close_error(self.x.id, dx)
    }
}
