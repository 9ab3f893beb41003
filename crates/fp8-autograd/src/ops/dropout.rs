//! Dropout, of whose mask nothing is stored.

use fp8_core::Stream;
use fp8_kernels::Dropout;

use super::mismatch;
use crate::graph::{Backward, Node, VarId};
use crate::{Graph, Result, Role, Tensor, Var};

impl Graph<'_> {
    /// y = Q((kept ? x / (1 - share) : 0) + residual), by the layer of this name; in evaluation Q(x + residual), or x itself where there
    /// is no residual. Which elements are kept depends on seed, step and name alone.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for a residual of another shape, and a share outside of 0..1.
    pub fn dropout(&mut self, layer: &str, x: &Var, share: f32, residual: Option<&Var>) -> Result<Var> {
        const OP: &str = "dropout";
        if !(0.0..1.0).contains(&share) {
            return mismatch(OP, format!("the share must lie in 0..1, not {share}"));
        }
        let share = if self.step().training { share } else { 0.0 };
        match residual {
            Some(residual) if residual.shape() != x.shape() => {
                return mismatch(OP, format!("residual {:?}, input {:?}", residual.shape(), x.shape()));
            }
            None if share == 0.0 => return Ok(x.clone()),
            _ => {}
        }
        let backend = self.backend().clone();
        let input = x.tensor.unscaled(&*backend)?;
        let addend = residual.map(|residual| residual.tensor.unscaled(&*backend)).transpose()?;
        let (maker, mut y) = self.open(layer, Role::Activation, x.tensor.shape.clone())?;
        let mask = self.step().random(&maker.inner("mask").name);
        let arguments = Dropout {
            x: &input.buffer,
            share,
            mask,
            residual: addend.as_ref().map(|addend| &*addend.buffer),
            store: y.store,
        };
        backend.dropout(&arguments, &mut y.buffer)?;
        let (x, residual) = (x.id, residual.map(|residual| residual.id));
        self.record(maker, y, |_| Box::new(Masked { x, share, mask, residual }))
    }
}

struct Masked {
    x: VarId,
    share: f32,
    mask: Stream,
    residual: Option<VarId>,
}

impl Node for Masked {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let backend = pass.backend();
        let values = dy.unscaled(&*backend)?;
        if pass.wants_error(self.x) {
            let (mut dx, arrived) = pass.open_error(self.x, &dy.shape)?;
            let arguments = Dropout {
                x: &values.buffer,
                share: self.share,
                mask: self.mask,
                residual: arrived.as_ref().map(|error| &*error.buffer),
                store: dx.store,
            };
            backend.dropout(&arguments, &mut dx.buffer)?;
            pass.close_error(self.x, dx)?;
        }
        match self.residual {
            Some(residual) if pass.wants_error(residual) => pass.pass_error(residual, dy),
            _ => Ok(()),
        }
    }
}
