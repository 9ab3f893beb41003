//! Other sizes for the same elements.

use super::mismatch;
use crate::graph::{Backward, Node, VarId};
use crate::{Graph, Result, Tensor, Var};

impl Graph<'_> {
    /// x with other sizes: the memory is shared, and so is the error's.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] unless there are as many elements.
    pub fn reshape(&mut self, x: &Var, shape: &[usize]) -> Result<Var> {
        if shape.iter().product::<usize>() != x.tensor.len() {
            return mismatch("reshape", format!("{:?} to {shape:?}", x.shape()));
        }
        let tensor = Tensor { shape: shape.to_vec(), ..x.tensor.clone() };
        let (id, shape) = (x.id, x.shape().to_vec());
        Ok(self.alias(x, "reshaped", tensor, || Box::new(Reshaped { x: id, shape })))
    }
}

struct Reshaped {
    x: VarId,
    shape: Vec<usize>,
}

impl Node for Reshaped {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        pass.pass_error(self.x, Tensor { shape: self.shape, ..dy })
    }
}
