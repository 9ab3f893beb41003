//! Tensors: shared device memory with a shape and a scale.

use std::sync::Arc;

use fp8_kernels::{Backend, Buffer, DType, Later, Store};
use half::{bf16, f16};

use crate::Result;

/// Dense, row-major elements; the value of an element is its code's value divided by `scale`.
///
/// Cloning shares the memory.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Sizes, outermost first; channels last for images.
    pub shape: Vec<usize>,
    /// The codes.
    pub buffer: Arc<Buffer>,
    /// What the values were multiplied by before they were rounded: a power of two, 1 unless the recipe scales.
    pub scale: f32,
}

impl Tensor {
    /// The tensor of `buffer`, unscaled.
    pub fn new(shape: Vec<usize>, buffer: Buffer) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), buffer.len());
        Self { shape, buffer: Arc::new(buffer), scale: 1.0 }
    }

    /// An F32 tensor of host values.
    pub fn from_f32(backend: &dyn Backend, shape: Vec<usize>, values: &[f32]) -> Result<Self> {
        Ok(Self::new(shape, upload_f32(backend, values)?))
    }

    /// The values on the host, un-scaled.
    pub fn to_f32(&self, backend: &dyn Backend) -> Result<Vec<f32>> {
        Ok(unscaled(download_f32(backend, &self.buffer)?, self.scale))
    }

    /// The same as they are now, without waiting for them.
    pub fn to_f32_later(&self, backend: &dyn Backend) -> Result<LaterValues> {
        let bytes = backend.download_later(&self.buffer)?;
        Ok(LaterValues { bytes, dtype: self.buffer.dtype(), scale: self.scale })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// This tensor if it is unscaled, else its values as F32: for operations that know no scales.
    pub fn unscaled(&self, backend: &dyn Backend) -> Result<Self> {
        if self.scale == 1.0 {
            return Ok(self.clone());
        }
        let mut values = backend.alloc(DType::F32, self.len())?;
        backend.cast(&self.buffer, self.scale, &Store::F32, &mut values)?;
        Ok(Self::new(self.shape.clone(), values))
    }
}

/// Values of a [`Tensor`] that its device may still be computing.
pub struct LaterValues {
    bytes: Box<dyn Later>,
    dtype: DType,
    scale: f32,
}

impl LaterValues {
    /// The values, un-scaled; waits for them.
    pub fn values(self) -> Result<Vec<f32>> {
        Ok(unscaled(decoded(self.dtype, &self.bytes.bytes()?)?, self.scale))
    }
}

fn unscaled(mut values: Vec<f32>, scale: f32) -> Vec<f32> {
    if scale != 1.0 {
        values.iter_mut().for_each(|value| *value /= scale);
    }
    values
}

/// A new F32 buffer with these values.
pub fn upload_f32(backend: &dyn Backend, values: &[f32]) -> Result<Buffer> {
    upload(backend, DType::F32, values.iter().map(|value| value.to_le_bytes()))
}

/// A new floating buffer of zeros.
pub fn zeros(backend: &dyn Backend, dtype: DType, len: usize) -> Result<Buffer> {
    let mut buffer = backend.alloc(dtype, len)?;
    backend.upload(&vec![0; buffer.bytes()], &mut buffer)?;
    Ok(buffer)
}

/// A new U32 buffer with these numbers.
pub fn upload_u32(backend: &dyn Backend, numbers: &[u32]) -> Result<Buffer> {
    upload(backend, DType::U32, numbers.iter().map(|number| number.to_le_bytes()))
}

/// A new U8 buffer with these bytes.
pub fn upload_u8(backend: &dyn Backend, bytes: &[u8]) -> Result<Buffer> {
    let mut buffer = backend.alloc(DType::U8, bytes.len())?;
    backend.upload(bytes, &mut buffer)?;
    Ok(buffer)
}

/// Words of whole arrays are collected as one copy; single bytes are not.
fn upload(backend: &dyn Backend, dtype: DType, words: impl ExactSizeIterator<Item = [u8; 4]>) -> Result<Buffer> {
    let mut buffer = backend.alloc(dtype, words.len())?;
    backend.upload(words.collect::<Vec<_>>().as_flattened(), &mut buffer)?;
    Ok(buffer)
}

/// The values of a floating buffer on the host, exactly.
pub fn download_f32(backend: &dyn Backend, buffer: &Buffer) -> Result<Vec<f32>> {
    decoded(buffer.dtype(), &download(backend, buffer)?)
}

/// The values of codes of a floating type.
fn decoded(dtype: DType, bytes: &[u8]) -> Result<Vec<f32>> {
    let words = || bytes.chunks_exact(2).map(|code| u16::from_le_bytes([code[0], code[1]]));
    Ok(match dtype {
        DType::F32 => {
            bytes.chunks_exact(4).map(|code| f32::from_le_bytes([code[0], code[1], code[2], code[3]])).collect()
        }
        DType::F16 => words().map(|code| f16::from_bits(code).to_f32()).collect(),
        DType::Bf16 => words().map(|code| bf16::from_bits(code).to_f32()).collect(),
        dtype => match dtype.format() {
            Some(format) => bytes.iter().map(|&code| fp8_core::decode(format, code.into()) as f32).collect(),
            None => {
                let op = "download_f32";
                return Err(fp8_kernels::Error::Type { op, what: "buffer", found: dtype }.into());
            }
        },
    })
}

/// The bytes of a buffer on the host.
pub fn download(backend: &dyn Backend, buffer: &Buffer) -> Result<Vec<u8>> {
    let mut bytes = vec![0; buffer.bytes()];
    backend.download(buffer, &mut bytes)?;
    Ok(bytes)
}
