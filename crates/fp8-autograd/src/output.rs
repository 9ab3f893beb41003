//! Q nodes: where a result in FP32 becomes a tensor of its role's format.

use fp8_core::Stream;
use fp8_kernels::{Backend, Buffer, DType, Store};

use crate::flushed::Zeros;
use crate::{Result, RoleFormat, Scaling, Tensor};

/// How a result becomes a tensor.
#[derive(Clone, Copy)]
pub(crate) struct QNode {
    pub format: RoleFormat,
    pub random: Stream,
    /// Whether the kernel writes F32 even where it could round, so that zeros are counted before and after.
    pub counted: bool,
}

/// A tensor being made: a kernel writes `buffer` by `store`, then [`Output::close`] finishes it.
///
/// Without scaling the kernel itself writes the final codes. A scale that depends on the result, or an addend that the
/// kernel cannot take, makes it write F32 first; rounding still happens once.
pub(crate) struct Output {
    /// For the kernel.
    pub store: Store,
    /// For the kernel.
    pub buffer: Buffer,
    shape: Vec<usize>,
    node: QNode,
    addend: Option<Tensor>,
}

impl Output {
    /// Memory for a tensor of `shape`; `addend`, of the same shape and unscaled, is added before rounding.
    pub fn open(backend: &dyn Backend, node: QNode, shape: Vec<usize>, addend: Option<Tensor>) -> Result<Self> {
        let store = if addend.is_none() { node.store() } else { Store::F32 };
        let buffer = backend.alloc(store.dtype, shape.iter().product())?;
        Ok(Self { store, buffer, shape, node, addend })
    }

    /// The same, with an addend.
    pub fn plus(self, backend: &dyn Backend, addend: Option<Tensor>) -> Result<Self> {
        Self::open(backend, self.node, self.shape, addend)
    }

    /// The finished tensor.
    pub fn close(self, backend: &dyn Backend) -> Result<Tensor> {
        Ok(self.close_counting(backend)?.0)
    }

    /// The finished tensor, and of a counted one its zeros.
    pub fn close_counting(self, backend: &dyn Backend) -> Result<(Tensor, Option<Zeros>)> {
        let Self { mut buffer, shape, node, addend, .. } = self;
        if let Some(addend) = addend {
            let store = node.store();
            let mut sum = backend.alloc(store.dtype, buffer.len())?;
            backend.add(&buffer, Some(&addend.buffer), false, &store, &mut sum)?;
            buffer = sum;
        }
        if node.is_direct() {
            return Ok((Tensor::new(shape, buffer), None));
        }
        let tensor = quantised(backend, &node.format, node.random, shape, &buffer)?;
        let zeros = match node.counted {
            true => Some(Zeros::between(backend, &buffer, &tensor.buffer)?),
            false => None,
        };
        Ok((tensor, zeros))
    }
}

impl QNode {
    /// Whether kernels themselves write the final codes.
    fn is_direct(&self) -> bool {
        self.format.scaling == Scaling::None && !self.counted
    }

    /// What kernels write.
    fn store(&self) -> Store {
        if self.is_direct() { self.format.store(self.random, 1.0) } else { Store::F32 }
    }
}

/// `values` rounded once by `format`, with the scale that they ask for.
pub(crate) fn quantised(
    backend: &dyn Backend,
    format: &RoleFormat,
    random: Stream,
    shape: Vec<usize>,
    values: &Buffer,
) -> Result<Tensor> {
    match format.scaling {
        Scaling::None => {
            let mut codes = backend.alloc(format.dtype, values.len())?;
            backend.cast(values, 1.0, &format.store(random, 1.0), &mut codes)?;
            Ok(Tensor::new(shape, codes))
        }
        Scaling::Current => scaled(backend, format, random, shape, values),
    }
}

fn scaled(
    backend: &dyn Backend,
    format: &RoleFormat,
    random: Stream,
    shape: Vec<usize>,
    values: &Buffer,
) -> Result<Tensor> {
    let scale = format.current_scale(backend.amax(values)?);
    let mut codes = backend.alloc(format.dtype, values.len())?;
    backend.cast(values, 1.0, &format.store(random, scale), &mut codes)?;
    Ok(Tensor { scale, ..Tensor::new(shape, codes) })
}

/// An F32 buffer without contents that matter.
pub(crate) fn f32_buffer(backend: &dyn Backend, len: usize) -> Result<Buffer> {
    Ok(backend.alloc(DType::F32, len)?)
}
