//! Q nodes: where a result in FP32 becomes a tensor of its role's format.

use fp8_core::Stream;
use fp8_kernels::{Backend, Buffer, DType, Store};

use crate::{Result, RoleFormat, Scaling, Tensor};

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
    format: RoleFormat,
    random: Stream,
    addend: Option<Tensor>,
}

impl Output {
    /// Memory for a tensor of `shape`; `addend`, of the same shape and unscaled, is added before rounding.
    pub fn open(
        backend: &dyn Backend,
        format: RoleFormat,
        random: Stream,
        shape: Vec<usize>,
        addend: Option<Tensor>,
    ) -> Result<Self> {
        let direct = format.scaling == Scaling::None && addend.is_none();
        let store = if direct { format.store(random, 1.0) } else { Store::F32 };
        let buffer = backend.alloc(store.dtype, shape.iter().product())?;
        Ok(Self { store, buffer, shape, format, random, addend })
    }

    /// The same, with an addend.
    pub fn plus(self, backend: &dyn Backend, addend: Option<Tensor>) -> Result<Self> {
        Self::open(backend, self.format, self.random, self.shape, addend)
    }

    /// The finished tensor.
    pub fn close(self, backend: &dyn Backend) -> Result<Tensor> {
        let Self { mut buffer, shape, format, random, addend, .. } = self;
        if let Some(addend) = addend {
            let store = match format.scaling {
                Scaling::None => format.store(random, 1.0),
                Scaling::Current => Store::F32,
            };
            let mut sum = backend.alloc(store.dtype, buffer.len())?;
            backend.add(&buffer, Some(&addend.buffer), false, &store, &mut sum)?;
            buffer = sum;
        }
        match format.scaling {
            Scaling::None => Ok(Tensor::new(shape, buffer)),
            Scaling::Current => scaled(backend, &format, random, shape, &buffer),
        }
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
