//! Layer normalisation.

use fp8_kernels::{LayerNorm, LayerNormBackward, LayerNormForward, LayerNormGradients};

use super::mismatch;
use crate::graph::{Backward, Node};
use crate::{Graph, ParameterId, Result, Role, Tensor, Var};

/// One layer normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormLayer {
    /// Scale.
    pub gamma: ParameterId,
    /// Shift.
    pub beta: ParameterId,
    /// Added to the variance; PyTorch's default is 1e-5.
    pub epsilon: f32,
}

impl Graph<'_> {
    /// y = Q(gamma (x - mean) / sqrt(variance + epsilon) + beta), over the last axis of x. Kept for the backward pass: x alone.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for a scale or a shift of another size.
    pub fn layer_norm(&mut self, x: &Var, layer: &LayerNormLayer) -> Result<Var> {
        let parameters = self.parameters();
        let name = parameters.get(layer.gamma).layer().to_string();
        let (gamma, beta) = (parameters.get(layer.gamma).working(), parameters.get(layer.beta).working());
        let width = gamma.len();
        if x.shape().last() != Some(&width) || beta.len() != width {
            let sizes = format!("scale {:?}, shift {:?}, input {:?}", gamma.shape, beta.shape, x.shape());
            return mismatch("layer_norm", sizes);
        }
        let norm = LayerNorm { rows: x.tensor.len() / width, width, epsilon: layer.epsilon };
        let backend = self.backend().clone();
        let input = x.tensor.unscaled(&*backend)?;
        let (maker, mut y) = self.open(&name, Role::Activation, x.tensor.shape.clone())?;
        let arguments = LayerNormForward { x: &input.buffer, gamma: &gamma.buffer, beta: &beta.buffer, store: y.store };
        backend.layer_norm(&norm, &arguments, &mut y.buffer)?;
        let (x, layer) = (x.clone(), *layer);
        self.record(maker, y, |_| Box::new(Normalised { norm, x, gamma, layer }))
    }
}

struct Normalised {
    norm: LayerNorm,
    x: Var,
    gamma: Tensor,
    layer: LayerNormLayer,
}

impl Node for Normalised {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let Self { norm, x, gamma, layer } = *self;
        let backend = pass.backend();
        let (input, dy) = (x.tensor.unscaled(&*backend)?, dy.unscaled(&*backend)?);
        let (mut dx, arrived) = pass.open_error(x.id, x.shape())?;
        let mut dgamma = pass.open_gradient_alone(layer.gamma)?;
        let mut dbeta = pass.open_gradient_alone(layer.beta)?;
        let arguments = LayerNormBackward {
            x: &input.buffer,
            gamma: &gamma.buffer,
            dy: &dy.buffer,
            residual: arrived.as_ref().map(|error| &*error.buffer),
            store: dx.store,
        };
        let gradients = LayerNormGradients { dx: &mut dx.buffer, dgamma: &mut dgamma.buffer, dbeta: &mut dbeta.buffer };
        backend.layer_norm_backward(&norm, &arguments, gradients)?;
        pass.close_gradient(layer.gamma, dgamma)?;
        pass.close_gradient(layer.beta, dbeta)?;
        pass.close_error(x.id, dx)
    }
}
