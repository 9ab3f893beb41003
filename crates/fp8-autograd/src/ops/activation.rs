//! Addition and the ReLU.

use super::mismatch;
use crate::graph::{Backward, Node, VarId};
use crate::{Graph, Result, Role, Tensor, Var};

impl Graph<'_> {
    /// y = max(x, 0), by the layer of this name.
    pub fn relu(&mut self, layer: &str, x: &Var) -> Result<Var> {
        self.sum(layer, x, None, true)
    }

    /// y = relu?(a + b), by the layer of this name.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for shapes that differ.
    pub fn add(&mut self, layer: &str, a: &Var, b: &Var, relu: bool) -> Result<Var> {
        if a.shape() != b.shape() {
            return mismatch("add", format!("{:?} and {:?}", a.shape(), b.shape()));
        }
        self.sum(layer, a, Some(b), relu)
    }

    fn sum(&mut self, layer: &str, a: &Var, b: Option<&Var>, relu: bool) -> Result<Var> {
        let backend = self.backend().clone();
        let left = a.tensor.unscaled(&*backend)?;
        let right = b.map(|b| b.tensor.unscaled(&*backend)).transpose()?;
        let (maker, mut y) = self.open(layer, Role::Activation, a.tensor.shape.clone())?;
        backend.add(&left.buffer, right.as_ref().map(|b| &*b.buffer), relu, &y.store, &mut y.buffer)?;
        let inputs = [a.id].into_iter().chain(b.map(|b| b.id)).collect();
        self.record(maker, y, |y| Box::new(Sum { inputs, y: relu.then(|| y.clone()) }))
    }
}

struct Sum {
    inputs: Vec<VarId>,
    /// The output, where a ReLU followed.
    y: Option<Tensor>,
}

impl Node for Sum {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let backend = pass.backend();
        let dy = dy.unscaled(&*backend)?;
        let y = self.y.as_ref().map(|y| y.unscaled(&*backend)).transpose()?;
        for input in self.inputs {
            if !pass.wants_error(input) {
                continue;
            }
            let (mut dx, arrived) = pass.open_error(input, &dy.shape)?;
            let arrived = arrived.as_ref().map(|error| &*error.buffer);
            match &y {
                Some(y) => backend.relu_backward(&y.buffer, &dy.buffer, arrived, &dx.store, &mut dx.buffer)?,
                None => backend.add(&dy.buffer, arrived, false, &dx.store, &mut dx.buffer)?,
            }
            pass.close_error(input, dx)?;
        }
        Ok(())
    }
}
