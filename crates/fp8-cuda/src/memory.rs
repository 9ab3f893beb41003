//! Memory of a card: taken and given back in the order of its stream, and counted.

use std::any::Any;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY;
use cudarc::driver::{DriverError, result};
use fp8_kernels::{Error, Later, Memory, Result, Storage};

use crate::device::Device;
use crate::error::Context;
use crate::kernels::Argument;
use crate::staging::{PIECE, read_later};

/// Bytes that the driver takes from any memory without waiting for what was started before: 64 KiB, with some left for itself.
const SMALL: usize = 32 << 10;

/// What buffers hold, and what dropped ones have left for the next of their size.
///
/// All work runs on one stream, so memory may be used again at once: what still reads it was started before. The driver's own pool would do the same for ten
/// times the time of the host.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    memory: Memory,
    /// Addresses by [`room`].
    free: HashMap<usize, Vec<u64>>,
}

/// Bytes that are taken for a buffer of `bytes`: an eighth more at most, so that buffers of almost the same size serve each other.
fn room(bytes: usize) -> usize {
    // What no card has must not overflow.
    let step = (bytes.min(1 << 60).next_power_of_two() / 16).max(512);
    bytes.checked_next_multiple_of(step).unwrap_or(bytes)
}

impl Accounts {
    pub fn memory(&self) -> Memory {
        self.state().memory
    }

    pub fn reset_peak(&self) {
        let memory = &mut self.state().memory;
        memory.peak = memory.held;
    }

    /// Memory that was left, if there is any; it is counted.
    fn again(&self, bytes: usize) -> Option<u64> {
        let mut state = self.state();
        let address = state.free.get_mut(&room(bytes))?.pop()?;
        state.take(bytes);
        Some(address)
    }

    fn take(&self, bytes: usize) {
        self.state().take(bytes);
    }

    fn give_back(&self, address: u64, bytes: usize) {
        let mut state = self.state();
        state.memory.held -= bytes;
        if address != 0 {
            state.free.entry(room(bytes)).or_default().push(address);
        }
    }

    /// Gives what was left back to the driver.
    pub fn free(&self, device: &Device) -> std::result::Result<(), DriverError> {
        let free = std::mem::take(&mut self.state().free);
        // SAFETY: taken by `DeviceMemory::new`; kernels that use it were started before on the same stream.
        free.into_values()
            .flatten()
            .try_for_each(|address| unsafe { result::free_async(address, device.stream.cu_stream()) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, bytes: usize) {
        self.memory.held += bytes;
        self.memory.peak = self.memory.peak.max(self.memory.held);
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
    /// [`Error::OutOfMemory`], after what is free here and in the driver's pool has been given back to the system and asked for again.
    pub fn new(device: &Arc<Device>, bytes: usize) -> Result<Self> {
        if let Some(address) = device.memory.again(bytes) {
            return Ok(Self { device: device.clone(), address, bytes, numbers: None });
        }
        device.bind()?;
        let take = || match bytes {
            0 => Ok(0),
            // SAFETY: the stream is open.
            _ => unsafe { result::malloc_async(device.stream.cu_stream(), room(bytes)) },
        };
        let address = match take() {
            Err(DriverError(CUDA_ERROR_OUT_OF_MEMORY)) => {
                device.told(device.memory.free(device).context(|| "giving back memory".into()))?;
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
        // SAFETY: the memory has this length.
        unsafe { device.clear(memory.address, bytes) }?;
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

    /// Copies in; `bytes` have been read when this returns, and the card copies them when what was started before has ended.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        assert_eq!(bytes.len(), self.bytes, "bytes for memory");
        let device = &self.device;
        device.bind()?;
        let copying = || format!("copying {} bytes to the card", bytes.len());
        // The driver does not wait for what is small: it keeps it itself.
        let staged =
            bytes.len() > SMALL && device.told(device.staging.write(device, self.address, bytes).context(copying))?;
        if self.bytes > 0 && !staged {
            // SAFETY: both have this length; the driver has read memory that is not page-locked when it returns.
            let copied = unsafe { result::memcpy_htod_async(self.address, bytes, device.stream.cu_stream()) };
            device.told(copied.context(copying))?;
        }
        Ok(())
    }

    /// The bytes as what was started so far leaves them; waits when they are asked for.
    pub fn read_later(&self) -> Result<Box<dyn Later>> {
        self.device.bind()?;
        if self.bytes > 0
            && self.bytes <= PIECE
            && let Some(later) = read_later(&self.device, self.address, self.bytes)?
        {
            return Ok(later);
        }
        let mut bytes = vec![0; self.bytes];
        self.read(&mut bytes)?;
        Ok(Box::new(bytes))
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

impl Device {
    /// Zeros at an address, when what was started before has ended.
    ///
    /// # Safety
    /// `bytes` from there on are memory of this card.
    pub unsafe fn clear(&self, address: u64, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: as the caller says; the stream is open.
        let cleared = unsafe { result::memset_d8_async(address, 0, bytes, self.stream.cu_stream()) };
        self.told(cleared.context(|| format!("clearing {bytes} bytes")))
    }

    /// Copies on the card, when what was started before has ended.
    ///
    /// # Safety
    /// `bytes` from both addresses on are memory of this card, and not the same.
    pub unsafe fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<()> {
        self.bind()?;
        // SAFETY: as the caller says; the stream is open.
        let copied = unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream.cu_stream()) };
        self.told(copied.context(|| format!("copying {bytes} bytes on the card")))
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        self.device.memory.give_back(self.address, self.bytes);
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

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn rooms_are_at_most_an_eighth_larger() {
        for bytes in (1..1 << 16).chain((1 << 20..1 << 28).step_by(999_983)) {
            let room = room(bytes);
            assert!(
                room >= bytes && room.is_multiple_of(512) && (room - bytes < 512 || (room - bytes) * 8 <= bytes),
                "{bytes}: {room}"
            );
        }
    }
}
