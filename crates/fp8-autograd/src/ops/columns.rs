//! Columns beside each other.

use super::mismatch;
use crate::graph::{Backward, Node, VarId};
use crate::{Graph, Result, Role, Tensor, Var};

impl Graph<'_> {
    /// The parts side by side along the last axis, by the layer of this name.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where other axes differ, and for no parts.
    pub fn join_columns(&mut self, layer: &str, parts: &[&Var]) -> Result<Var> {
        let shapes = || parts.iter().map(|part| part.shape()).collect::<Vec<_>>();
        let Some([outer @ .., _]) = parts.first().map(|first| first.shape()) else {
            return mismatch("join_columns", format!("parts {:?}", shapes()));
        };
        let width = |part: &&Var| match part.shape() {
            [others @ .., width] if others == outer => Some(*width),
            _ => None,
        };
        let Some(widths) = parts.iter().map(width).collect::<Option<Vec<_>>>() else {
            return mismatch("join_columns", format!("parts {:?}", shapes()));
        };
        let backend = self.backend().clone();
        let tensors = parts.iter().map(|part| part.tensor.unscaled(&*backend)).collect::<Result<Vec<_>>>()?;
        let (rows, total) = (outer.iter().product(), widths.iter().sum());
        let (maker, mut y) = self.open(layer, Role::Activation, [outer, &[total]].concat())?;
        let buffers: Vec<_> = tensors.iter().map(|tensor| &*tensor.buffer).zip(widths.iter().copied()).collect();
        backend.join_columns(rows, &buffers, &y.store, &mut y.buffer)?;
        let parts = parts.iter().map(|part| (part.id, part.shape().to_vec())).collect();
        self.record(maker, y, |_| Box::new(Joined { parts, size: [rows, total] }))
    }
}

struct Joined {
    parts: Vec<(VarId, Vec<usize>)>,
    size: [usize; 2],
}

impl Node for Joined {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let backend = pass.backend();
        let dy = dy.unscaled(&*backend)?;
        let mut first = 0;
        for (part, shape) in self.parts {
            let count = shape.last().copied().unwrap_or_default();
            if pass.wants_error(part) {
                let (mut dx, arrived) = pass.open_error(part, &shape)?;
                let arrived = arrived.as_ref().map(|error| &*error.buffer);
                backend.columns(self.size, [first, count], &dy.buffer, arrived, &dx.store, &mut dx.buffer)?;
                pass.close_error(part, dx)?;
            }
            first += count;
        }
        Ok(())
    }
}
