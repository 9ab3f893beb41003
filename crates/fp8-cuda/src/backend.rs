//! [`CudaBackend`].

use std::sync::Arc;

use fp8_kernels::{Buffer, DType, Memory, Result, Store};

use crate::cache::Cache;
use crate::device::Device;
use crate::elementwise;
use crate::error::Error;
use crate::memory::DeviceMemory;
use crate::operand::numbers_of;

/// One NVIDIA GPU. Operations are started in the order of the calls and computed in it; [`CudaBackend::download`] and what returns a number wait.
#[derive(Debug)]
pub struct CudaBackend {
    device: Arc<Device>,
}

impl CudaBackend {
    /// Card `ordinal`, as the driver counts them, with the user's cache of compiled kernels ([`Cache::of_user`]).
    ///
    /// # Errors
    /// Where there is no driver, no such card, or the card is older than the kernels' oldest (compute capability 8.0).
    pub fn new(ordinal: usize) -> std::result::Result<Self, Error> {
        Self::with(ordinal, Cache::of_user())
    }

    /// The same with another cache.
    ///
    /// # Errors
    /// As [`CudaBackend::new`].
    pub fn with(ordinal: usize, cache: Cache) -> std::result::Result<Self, Error> {
        Ok(Self { device: Device::open(ordinal, cache)? })
    }

    /// Compute capability of the card.
    pub fn capability(&self) -> (u32, u32) {
        self.device.capability
    }

    /// Multiprocessors of the card.
    pub fn multiprocessors(&self) -> u32 {
        self.device.multiprocessors
    }

    /// Waits until all has been computed.
    ///
    /// # Errors
    /// Where a kernel failed.
    pub fn synchronize(&self) -> Result<()> {
        self.device.synchronize()
    }
}

impl CudaBackend {
    /// As [`fp8_kernels::Backend::name`].
    pub fn name(&self) -> String {
        self.device.name.clone()
    }

    /// As [`fp8_kernels::Backend::alloc`].
    ///
    /// # Errors
    /// As there.
    pub fn alloc(&self, dtype: DType, len: usize) -> Result<Buffer> {
        let memory = DeviceMemory::new(&self.device, len.saturating_mul(dtype.size()))?;
        Ok(Buffer::new(dtype, len, Box::new(memory)))
    }

    /// As [`fp8_kernels::Backend::upload`].
    ///
    /// # Errors
    /// As there.
    pub fn upload(&self, bytes: &[u8], buffer: &mut Buffer) -> Result<()> {
        let (op, dtype, len) = (self.device.op("upload"), buffer.dtype(), buffer.len());
        op.require(bytes.len() == buffer.bytes(), || format!("{} bytes for {buffer:?}", bytes.len()))?;
        op.exactly_mut("buffer", buffer, dtype, len)?;
        match buffer.storage_mut().as_any_mut().downcast_mut::<DeviceMemory>() {
            Some(memory) => {
                memory.numbers = (dtype == DType::U32).then(|| numbers_of(bytes));
                memory.write(bytes)
            }
            None => unreachable!("checked above"),
        }
    }

    /// As [`fp8_kernels::Backend::download`].
    ///
    /// # Errors
    /// As there.
    pub fn download(&self, buffer: &Buffer, bytes: &mut [u8]) -> Result<()> {
        let op = self.device.op("download");
        op.require(bytes.len() == buffer.bytes(), || format!("{buffer:?} into {} bytes", bytes.len()))?;
        op.exactly("buffer", buffer, buffer.dtype(), buffer.len())?;
        match buffer.storage().as_any().downcast_ref::<DeviceMemory>() {
            Some(memory) => memory.read(bytes),
            None => unreachable!("checked above"),
        }
    }

    /// As [`fp8_kernels::Backend::memory`].
    pub fn memory(&self) -> Memory {
        self.device.memory.memory()
    }

    /// As [`fp8_kernels::Backend::reset_peak`].
    pub fn reset_peak(&self) {
        self.device.memory.reset_peak();
    }

    /// As [`fp8_kernels::Backend::cast`].
    ///
    /// # Errors
    /// As there.
    pub fn cast(&self, x: &Buffer, x_scale: f32, store: &Store, y: &mut Buffer) -> Result<()> {
        elementwise::cast(&self.device, x, x_scale, store, y)
    }
}
