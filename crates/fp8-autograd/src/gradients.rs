//! What a backward pass leaves.

use fp8_kernels::{Backend, BatchNorm};

use crate::layout::channels_first;
use crate::{Array, Error, ParameterId, Parameters, Result, StatisticsId, Tensor};

/// The gradients of all parameters, times the loss scale, and the batch statistics to blend into the running ones.
#[derive(Clone, Debug)]
pub struct Gradients {
    loss_scale: f32,
    gradients: Vec<Gradient>,
    statistics: Vec<StatisticsUpdate>,
}

/// What has arrived of a parameter's gradient.
#[derive(Clone, Debug, Default)]
struct Gradient {
    sum: Option<Tensor>,
    contributions: u32,
}

/// Statistics of one batch norm and batch, F32 (channels).
#[derive(Clone, Debug)]
pub(crate) struct StatisticsUpdate {
    pub id: StatisticsId,
    pub norm: BatchNorm,
    pub momentum: f32,
    pub mean: Tensor,
    pub variance: Tensor,
}

impl Gradients {
    pub(crate) fn new(parameters: usize, loss_scale: f32, statistics: Vec<StatisticsUpdate>) -> Self {
        Self { loss_scale, gradients: vec![Gradient::default(); parameters], statistics }
    }

    pub(crate) fn take(&mut self, id: ParameterId) -> (Option<Tensor>, u32) {
        let gradient = &mut self.gradients[id.index()];
        (gradient.sum.take(), gradient.contributions)
    }

    pub(crate) fn put(&mut self, id: ParameterId, sum: Tensor) {
        let gradient = &mut self.gradients[id.index()];
        gradient.contributions += 1;
        gradient.sum = Some(sum);
    }

    pub(crate) fn statistics(&self) -> &[StatisticsUpdate] {
        &self.statistics
    }

    /// The gradient of a parameter, times the loss scale and the tensor's own; `None` where the loss does not depend on it.
    pub fn get(&self, id: ParameterId) -> Option<&Tensor> {
        self.gradients[id.index()].sum.as_ref()
    }

    /// What the loss was multiplied by.
    pub fn loss_scale(&self) -> f32 {
        self.loss_scale
    }

    /// What codes of the gradient are multiplied by to be gradients of the loss itself.
    pub(crate) fn unscale(&self, gradient: &Tensor) -> f32 {
        1.0 / (self.loss_scale * gradient.scale)
    }

    /// Names of the gradients with Inf or NaN.
    pub fn overflowed(&self, parameters: &Parameters) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (id, parameter) in parameters.iter() {
            if let Some(gradient) = self.get(id)
                && parameters.backend().count_non_finite(&gradient.buffer)? > 0
            {
                names.push(parameter.name.clone());
            }
        }
        Ok(names)
    }

    /// The L2 norm of all gradients together, un-scaled.
    pub fn norm(&self, parameters: &Parameters) -> Result<f32> {
        let mut sum = 0.0_f64;
        for tensor in self.gradients.iter().filter_map(|gradient| gradient.sum.as_ref()) {
            sum += f64::from(parameters.backend().sum_squares(&tensor.buffer, tensor.scale)?);
        }
        Ok((sum.sqrt() / f64::from(self.loss_scale)) as f32)
    }

    /// The un-scaled gradients by the parameters' names, in the layout of state dicts.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a parameter that has none.
    pub fn arrays(&self, parameters: &Parameters) -> Result<Vec<Array>> {
        let backend: &dyn Backend = &**parameters.backend();
        let array = |(id, parameter): (ParameterId, &crate::Parameter)| {
            let gradient = self.get(id).ok_or_else(|| Error::Parameter {
                name: parameter.name.clone(),
                reason: "the loss does not depend on it".into(),
            })?;
            let values: Vec<f32> = gradient.to_f32(backend)?.iter().map(|value| value / self.loss_scale).collect();
            let (shape, values) = channels_first(&gradient.shape, &values);
            Ok(Array { name: parameter.name.clone(), shape, values: values.into() })
        };
        parameters.iter().map(array).collect()
    }
}
