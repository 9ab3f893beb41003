//! Memory of a card: taken and given back in the order of its stream, and counted.

use std::any::Any;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY;
use cudarc::driver::{DriverError, result};
use fp8_kernels::{Error, Memory, Result, Storage};

use crate::device::Device;
use crate::error::Context;
use crate::kernels::Argument;

/// What buffers hold.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    memory: Mutex<Memory>,
}

impl Accounts {
    pub fn memory(&self) -> Memory {
        *self.state()
    }

    pub fn reset_peak(&self) {
        let mut memory = self.state();
        memory.peak = memory.held;
    }

    fn take(&self, bytes: usize) {
        let mut memory = self.state();
        memory.held += bytes;
        memory.peak = memory.peak.max(memory.held);
    }

    fn give_back(&self, bytes: usize) {
        self.state().held -= bytes;
    }

    fn state(&self) -> MutexGuard<'_, Memory> {
        // Nothing in here can panic halfway.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes on a card, on a boundary of 256.
pub(crate) struct DeviceMemory {
    device: Arc<Device>,
    /// 0 where there are no bytes.
    address: u64,
    bytes: usize,
    /// What was uploaded into memory of integers: they are checked before a kernel follows them.
    pub numbers: Option<Vec<u32>>,
}

impl DeviceMemory {
    /// `bytes` whose contents mean nothing.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], after what is free in the pool has been given back to the system and asked for again.
    pub fn new(device: &Arc<Device>, bytes: usize) -> Result<Self> {
        device.bind()?;
        let take = || match bytes {
            0 => Ok(0),
            // SAFETY: the stream is open.
            _ => unsafe { result::malloc_async(device.stream.cu_stream(), bytes) },
        };
        let address = match take() {
            Err(DriverError(CUDA_ERROR_OUT_OF_MEMORY)) => {
                device.synchronize()?;
                device.told(trim(device).context(|| "giving back memory".into()))?;
                take()
            }
            taken => taken,
        };
        let address = match address {
            Ok(address) => address,
            Err(DriverError(CUDA_ERROR_OUT_OF_MEMORY)) => {
                let held = device.memory.memory().held;
                return Err(Error::OutOfMemory { backend: device.name.clone(), bytes, held });
            }
            Err(error) => return device.told(Err(error).context(|| format!("taking {bytes} bytes"))),
        };
        device.memory.take(bytes);
        Ok(Self { device: device.clone(), address, bytes, numbers: None })
    }

    /// `bytes` of zeros.
    ///
    /// # Errors
    /// As [`DeviceMemory::new`].
    pub fn zeros(device: &Arc<Device>, bytes: usize) -> Result<Self> {
        let memory = Self::new(device, bytes)?;
        if bytes > 0 {
            // SAFETY: the memory has this length; the stream is open.
            let cleared = unsafe { result::memset_d8_async(memory.address, 0, bytes, device.stream.cu_stream()) };
            device.told(cleared.context(|| format!("clearing {bytes} bytes")))?;
        }
        Ok(memory)
    }

    /// Where the bytes are, on the card.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Whether the memory is that of `device`.
    pub fn is_of(&self, device: &Device) -> bool {
        std::ptr::eq(&*self.device, device)
    }

    /// Copies in.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        assert_eq!(bytes.len(), self.bytes, "bytes for memory");
        let device = &self.device;
        device.bind()?;
        if self.bytes > 0 {
            // SAFETY: both have this length; the driver has read memory that is not page-locked when it returns.
            let copied = unsafe { result::memcpy_htod_async(self.address, bytes, device.stream.cu_stream()) };
            device.told(copied.context(|| format!("copying {} bytes to the card", bytes.len())))?;
        }
        Ok(())
    }

    /// Copies out, when all has been computed.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn read(&self, bytes: &mut [u8]) -> Result<()> {
        assert_eq!(bytes.len(), self.bytes, "memory for bytes");
        let device = &self.device;
        device.bind()?;
        if self.bytes > 0 {
            let len = bytes.len();
            // SAFETY: both have this length, and the copy has ended before `bytes` is given back.
            let copied = unsafe { result::memcpy_dtoh_async(bytes, self.address, device.stream.cu_stream()) };
            device.told(copied.context(|| format!("copying {len} bytes from the card")))?;
        }
        device.synchronize()
    }
}

/// Gives what is free in the pool back to the system.
fn trim(device: &Device) -> std::result::Result<(), DriverError> {
    // SAFETY: the pool is that of an open device.
    unsafe { result::mem_pool::trim_to(result::device::get_default_mem_pool(device.context.cu_device())?, 0) }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        self.device.memory.give_back(self.bytes);
        if self.address != 0 && self.device.context.bind_to_thread().is_ok() {
            // SAFETY: taken by `new`; kernels that use it were started before on the same stream.
            let freed = unsafe { result::free_async(self.address, self.device.stream.cu_stream()) };
            if let Err(error) = freed {
                tracing::warn!("{}: memory could not be given back: {error:?}", self.device.name);
            }
        }
    }
}

// SAFETY: a kernel takes a pointer of 64 bits.
unsafe impl Argument for DeviceMemory {
    fn value(&self) -> *const c_void {
        (&raw const self.address).cast()
    }

    fn bytes(&self) -> usize {
        size_of::<u64>()
    }
}

impl Storage for DeviceMemory {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
