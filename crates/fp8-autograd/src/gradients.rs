//! What a backward pass leaves.

use fp8_kernels::{Backend, BatchNorm};

use crate::flushed::{self, Flushed, Zeros};
use crate::layout::channels_first;
use crate::{Array, Error, ParameterId, Parameters, Result, Role, StatisticsId, StepReport, Tensor};

/// The gradients of all parameters, times the loss scale and summed over micro-batches, and the batch statistics to blend
/// into the running ones.
#[derive(Clone, Debug)]
pub struct Gradients {
    loss_scale: f32,
    micro_batches: u32,
    gradients: Vec<Gradient>,
    statistics: Vec<StatisticsUpdate>,
    flushed: Vec<Flushed>,
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
    pub(crate) fn new(parameters: usize, loss_scale: f32) -> Self {
        let gradients = vec![Gradient::default(); parameters];
        Self { loss_scale, micro_batches: 0, gradients, statistics: Vec::new(), flushed: Vec::new() }
    }

    /// Makes ready for the gradients of one more micro-batch.
    pub(crate) fn begin(
        &mut self,
        parameters: usize,
        loss_scale: f32,
        statistics: Vec<StatisticsUpdate>,
    ) -> Result<()> {
        if parameters != self.gradients.len() || loss_scale != self.loss_scale {
            let (found, scale) = (self.gradients.len(), self.loss_scale);
            return Err(Error::State(format!(
                "gradients of {found} parameters times {scale} to add to, not of {parameters} parameters times {loss_scale}"
            )));
        }
        self.micro_batches += 1;
        self.statistics.extend(statistics);
        Ok(())
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

    pub(crate) fn count_flushed(&mut self, layer: &str, role: Role, zeros: Option<Zeros>) {
        if let Some(zeros) = zeros {
            flushed::add(&mut self.flushed, layer, role, zeros);
        }
    }

    /// What rounding has flushed to zero, layer by layer, where the step was to count it ([`crate::Step::with_count_flushed`]); nothing else.
    pub fn flushed(&self) -> &[Flushed] {
        &self.flushed
    }

    pub(crate) fn statistics(&self) -> &[StatisticsUpdate] {
        &self.statistics
    }

    /// The gradient of a parameter, times the loss scale and the tensor's own, summed over micro-batches; `None` where the
    /// loss does not depend on it.
    pub fn get(&self, id: ParameterId) -> Option<&Tensor> {
        self.gradients[id.index()].sum.as_ref()
    }

    /// What the loss was multiplied by.
    pub fn loss_scale(&self) -> f32 {
        self.loss_scale
    }

    /// Parts of the batch that went in.
    pub fn micro_batches(&self) -> u32 {
        self.micro_batches
    }

    /// What the values of a tensor here are divided by to be gradients of the loss, whose mean over micro-batches counts.
    fn factor(&self) -> f32 {
        self.loss_scale * self.micro_batches as f32
    }

    /// What codes of the gradient are multiplied by to be gradients of the loss itself.
    pub(crate) fn unscale(&self, gradient: &Tensor) -> f32 {
        1.0 / self.factor() / gradient.scale
    }

    /// Their norm, and which overflowed: one pass over each.
    pub fn report(&self, parameters: &Parameters) -> Result<StepReport> {
        let backend = parameters.backend();
        let with_gradient = |(id, parameter)| Some((parameter, self.get(id)?));
        let all: Vec<(&crate::Parameter, &Tensor)> = parameters.iter().filter_map(with_gradient).collect();
        let tensors: Vec<_> = all.iter().map(|(_, gradient)| (&*gradient.buffer, gradient.scale)).collect();
        let (mut sum, mut overflowed) = (0.0_f64, Vec::new());
        for ((parameter, gradient), squares) in all.into_iter().zip(backend.sums_of_squares(&tensors)?) {
            // Squares of finite numbers can overflow, too.
            if !squares.is_finite() && backend.count_non_finite(&gradient.buffer)? > 0 {
                overflowed.push(parameter.name.clone());
            }
            sum += f64::from(squares);
        }
        Ok(StepReport { overflowed, gradient_norm: (sum.sqrt() / f64::from(self.factor())) as f32 })
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
            let values: Vec<f32> = gradient.to_f32(backend)?.iter().map(|value| value / self.factor()).collect();
            let (shape, values) = channels_first(&gradient.shape, &values);
            Ok(Array { name: parameter.name.clone(), shape, values: values.into() })
        };
        parameters.iter().map(array).collect()
    }
}
