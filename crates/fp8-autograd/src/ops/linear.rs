//! Fully connected layers.

use std::sync::Arc;

use fp8_kernels::{Activation, Backend, Epilogue, Gemm, Layout, Store};

use super::{mismatch, unscaling};
use crate::graph::{Backward, Node};
use crate::{Graph, ParameterId, Result, Role, Tensor, Var};

impl Graph<'_> {
    /// y (rows, O) = x (rows, I) weight^T + bias, weight (O, I); the leading axes of x together are the rows. `role` is
    /// [`Role::Activation`], or [`Role::Logits`] for the layer that the loss reads.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for sizes that differ.
    pub fn linear(&mut self, x: &Var, weight: ParameterId, bias: Option<ParameterId>, role: Role) -> Result<Var> {
        self.product(x, weight, bias, role, Activation::None)
    }

    /// y (rows, O) = max(x (rows, I) weight^T + bias, 0), rounded once.
    ///
    /// # Errors
    /// As [`Graph::linear`].
    pub fn linear_relu(&mut self, x: &Var, weight: ParameterId, bias: Option<ParameterId>) -> Result<Var> {
        self.product(x, weight, bias, Role::Activation, Activation::Relu)
    }

    fn product(
        &mut self,
        x: &Var,
        weight: ParameterId,
        bias: Option<ParameterId>,
        role: Role,
        activation: Activation,
    ) -> Result<Var> {
        let parameter = self.parameters().get(weight);
        let (layer, w) = (parameter.layer().to_string(), parameter.working());
        let b = bias.map(|id| self.parameters().get(id).working());
        let gemm = shape(&x.tensor, &w)?;
        let mut shape = x.tensor.shape.clone();
        shape.pop();
        shape.push(gemm.n);
        let backend = self.backend().clone();
        let (maker, mut y) = self.open(&layer, role, shape)?;
        let epilogue = Epilogue {
            alpha: unscaling(x.tensor.scale, w.scale),
            bias: b.as_ref().map(|bias| &*bias.buffer),
            activation,
            ..Epilogue::store(y.store)
        };
        backend.gemm(&gemm, &x.tensor.buffer, &w.buffer, &epilogue, &mut y.buffer)?;
        self.record(maker, y, |y| {
            let y = (activation == Activation::Relu).then(|| y.clone());
            Box::new(Linear { gemm, x: x.clone(), weight, w, bias, y })
        })
    }
}

/// The product of a linear layer, if sizes agree.
pub(super) fn shape(x: &Tensor, w: &Tensor) -> Result<Gemm> {
    match (&*x.shape, &*w.shape) {
        ([rows @ .., k], &[n, inputs]) if *k == inputs => {
            Ok(Gemm { m: rows.iter().product(), n, k: inputs, layout: Layout::NT })
        }
        (x, w) => mismatch("linear", format!("input {x:?}, weight {w:?}")),
    }
}

/// A linear layer's way back.
pub(super) struct Linear {
    /// Of the forward pass.
    pub gemm: Gemm,
    pub x: Var,
    pub weight: ParameterId,
    pub w: Tensor,
    pub bias: Option<ParameterId>,
    /// The output, where a ReLU followed.
    pub y: Option<Tensor>,
}

/// The errors where y > 0, else zeros: nothing is rounded.
fn masked(backend: &dyn Backend, y: &Tensor, dy: Tensor) -> Result<Tensor> {
    let dtype = dy.buffer.dtype();
    let mut kept = backend.alloc(dtype, dy.len())?;
    backend.relu_backward(&y.buffer, &dy.buffer, None, &Store::nearest(dtype), &mut kept)?;
    Ok(Tensor { buffer: Arc::new(kept), ..dy })
}

impl Node for Linear {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let Self { gemm: Gemm { m: rows, n: outputs, k: inputs, .. }, x, weight, w, bias, y } = *self;
        let backend = pass.backend();
        let dy = match &y {
            Some(y) => masked(&*backend, y, dy)?,
            None => dy,
        };
        let (mut dw, arrived) = pass.open_gradient(weight)?;
        let epilogue = Epilogue {
            alpha: unscaling(x.tensor.scale, dy.scale),
            residual: arrived.as_ref().map(|gradient| &*gradient.buffer),
            ..Epilogue::store(dw.store)
        };
        let gemm = Gemm { m: outputs, n: inputs, k: rows, layout: Layout::TN };
        backend.gemm(&gemm, &dy.buffer, &x.tensor.buffer, &epilogue, &mut dw.buffer)?;
        pass.close_gradient(weight, dw)?;
        if let Some(bias) = bias {
            let dy = dy.unscaled(&*backend)?;
            let mut db = pass.open_gradient_alone(bias)?;
            backend.sum_rows(rows, outputs, &dy.buffer, &db.store, &mut db.buffer)?;
            pass.close_gradient(bias, db)?;
        }
        if pass.wants_error(x.id) {
            let (mut dx, arrived) = pass.open_error(x.id, &x.tensor.shape)?;
            let epilogue = Epilogue {
                alpha: unscaling(w.scale, dy.scale),
                residual: arrived.as_ref().map(|error| &*error.buffer),
                ..Epilogue::store(dx.store)
            };
            let gemm = Gemm { m: rows, n: inputs, k: outputs, layout: Layout::NN };
            backend.gemm(&gemm, &dy.buffer, &w.buffer, &epilogue, &mut dx.buffer)?;
            pass.close_error(x.id, dx)?;
        }
        Ok(())
    }
}
