//! Pooling.

use fp8_kernels::{DType, Pool2d};

use super::{fits, image_shape, mismatch};
use crate::graph::{Backward, Node, VarId};
use crate::{Graph, Result, Role, Tensor, Var};

impl Graph<'_> {
    /// y (N, OH, OW, C) = the largest in each window of x (N, H, W, C), by the layer of this name.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for a window larger than the padded input.
    pub fn max_pool(&mut self, layer: &str, x: &Var, kernel: usize, stride: usize, padding: usize) -> Result<Var> {
        const OP: &str = "max_pool";
        let [batch, h, w, channels] = image_shape(OP, x.shape())?;
        if stride == 0 || kernel == 0 || !fits(kernel, h, padding) || !fits(kernel, w, padding) {
            return mismatch(OP, format!("window {kernel}, stride {stride}, padding {padding} over {h} x {w}"));
        }
        let pool = Pool2d { batch, input: [h, w], channels, kernel, stride, padding };
        let [oh, ow] = pool.output();
        let backend = self.backend().clone();
        let input = x.tensor.unscaled(&*backend)?;
        let (maker, mut y) = self.open(layer, Role::Activation, vec![batch, oh, ow, channels])?;
        let mut index = backend.alloc(DType::U8, batch * oh * ow * channels)?;
        backend.max_pool(&pool, &input.buffer, &y.store, &mut y.buffer, &mut index)?;
        let (x, shape) = (x.id, x.tensor.shape.clone());
        let index = Tensor::new(vec![batch, oh, ow, channels], index);
        self.record(maker, y, |_| Box::new(MaxPool { pool, x, shape, index }))
    }

    /// y (N, C) = the mean over the pixels of x (N, H, W, C), by the layer of this name.
    pub fn global_average_pool(&mut self, layer: &str, x: &Var) -> Result<Var> {
        let [n, h, w, c] = image_shape("global_average_pool", x.shape())?;
        let backend = self.backend().clone();
        let input = x.tensor.unscaled(&*backend)?;
        let (maker, mut y) = self.open(layer, Role::Activation, vec![n, c])?;
        backend.global_average_pool([n, h * w, c], &input.buffer, &y.store, &mut y.buffer)?;
        let (x, shape) = (x.id, [n, h, w, c]);
        self.record(maker, y, |_| Box::new(GlobalAveragePool { x, shape }))
    }
}

struct MaxPool {
    pool: Pool2d,
    x: VarId,
    shape: Vec<usize>,
    /// Where in its window each maximum stood.
    index: Tensor,
}

impl Node for MaxPool {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        if !pass.wants_error(self.x) {
            return Ok(());
        }
        let backend = pass.backend();
        let dy = dy.unscaled(&*backend)?;
        let mut dx = pass.open_error_alone(self.x, &self.shape)?;
        backend.max_pool_backward(&self.pool, &dy.buffer, &self.index.buffer, &dx.store, &mut dx.buffer)?;
        pass.close_error(self.x, dx)
    }
}

struct GlobalAveragePool {
    x: VarId,
    /// N, H, W, C.
    shape: [usize; 4],
}

impl Node for GlobalAveragePool {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        if !pass.wants_error(self.x) {
            return Ok(());
        }
        let backend = pass.backend();
        let dy = dy.unscaled(&*backend)?;
        let [n, h, w, c] = self.shape;
        let mut dx = pass.open_error_alone(self.x, &self.shape)?;
        backend.global_average_pool_backward([n, h * w, c], &dy.buffer, &dx.store, &mut dx.buffer)?;
        pass.close_error(self.x, dx)
    }
}
