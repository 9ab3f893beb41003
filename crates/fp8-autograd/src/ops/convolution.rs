//! 2-D convolution.

use fp8_kernels::{Conv2d, Epilogue};

use super::{fits, image_shape, mismatch, unscaling};
use crate::graph::{Backward, Node, VarId};
use crate::{Graph, ParameterId, Result, Role, Tensor, Var};

impl Graph<'_> {
    /// y (N, OH, OW, O) = x (N, H, W, I) * weight (O, KH, KW, I), in the layer that the weight belongs to.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for channels that differ, and a window larger than the padded input.
    pub fn conv2d(&mut self, x: &Var, weight: ParameterId, stride: usize, padding: usize) -> Result<Var> {
        let parameter = self.parameters().get(weight);
        let (layer, w) = (parameter.layer().to_string(), parameter.working());
        let conv = shape(&x.tensor, &w, stride, padding)?;
        let [oh, ow] = conv.output();
        let backend = self.backend().clone();
        let (maker, mut y) = self.open(&layer, Role::Activation, vec![conv.batch, oh, ow, conv.out_channels])?;
        let epilogue = Epilogue { alpha: unscaling(x.tensor.scale, w.scale), ..Epilogue::store(y.store) };
        backend.conv2d(&conv, &x.tensor.buffer, &w.buffer, &epilogue, &mut y.buffer)?;
        self.record(maker, y, |_| Box::new(Convolution { conv, x: x.clone(), weight, w }))
    }
}

fn shape(x: &Tensor, w: &Tensor, stride: usize, padding: usize) -> Result<Conv2d> {
    const OP: &str = "conv2d";
    let [batch, h, width, in_channels] = image_shape(OP, &x.shape)?;
    let [out_channels, kh, kw, weight_channels] = image_shape(OP, &w.shape)?;
    if weight_channels != in_channels {
        return mismatch(OP, format!("weight for {weight_channels} channels, input with {in_channels}"));
    }
    if stride == 0 || !fits(kh, h, padding) || !fits(kw, width, padding) {
        return mismatch(OP, format!("window {kh} x {kw}, stride {stride}, padding {padding} over {h} x {width}"));
    }
    Ok(Conv2d { batch, input: [h, width], in_channels, out_channels, kernel: [kh, kw], stride, padding })
}

struct Convolution {
    conv: Conv2d,
    x: Var,
    weight: ParameterId,
    w: Tensor,
}

impl Node for Convolution {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let Self { conv, x, weight, w } = *self;
        let backend = pass.backend();
        let (mut dw, arrived) = pass.open_gradient(weight)?;
        let epilogue = Epilogue {
            alpha: unscaling(x.tensor.scale, dy.scale),
            residual: arrived.as_ref().map(|gradient| &*gradient.buffer),
            ..Epilogue::store(dw.store)
        };
        backend.conv2d_backward_weight(&conv, &x.tensor.buffer, &dy.buffer, &epilogue, &mut dw.buffer)?;
        pass.close_gradient(weight, dw)?;
        let (id, shape) = (x.id, x.tensor.shape.clone());
        drop(x); // its memory may be what the error now takes
        data(conv, id, &shape, &w, &dy, pass)
    }
}

/// The error of the input.
fn data(conv: Conv2d, x: VarId, shape: &[usize], w: &Tensor, dy: &Tensor, pass: &mut Backward<'_>) -> Result<()> {
    if !pass.wants_error(x) {
        return Ok(());
    }
    let (mut dx, arrived) = pass.open_error(x, shape)?;
    let epilogue = Epilogue {
        alpha: unscaling(w.scale, dy.scale),
        residual: arrived.as_ref().map(|error| &*error.buffer),
        ..Epilogue::store(dx.store)
    };
    pass.backend().conv2d_backward_data(&conv, &dy.buffer, &w.buffer, &epilogue, &mut dx.buffer)?;
    pass.close_error(x, dx)
}
