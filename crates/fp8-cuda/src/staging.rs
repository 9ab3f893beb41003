//! Page-locked memory of the host: bytes that travel between host and card while both go on with what they do.
//!
//! The card copies from and to such memory by itself. A block is used again once the copy that used it last has ended, which an event tells.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{DriverError, result, sys};
use fp8_kernels::{Later, Result};

use crate::device::Device;
use crate::error::Context;

/// Bytes of the largest block; what is larger travels in pieces.
pub(crate) const PIECE: usize = 16 << 20;
/// Bytes of the smallest.
const SMALLEST: usize = 4 << 10;
/// Bytes of all blocks together, after which the host waits for those in use.
const MOST: usize = 256 << 20;

/// The blocks of a card.
#[derive(Default)]
pub(crate) struct Staging {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By size, those given back longest ago first.
    free: BTreeMap<usize, VecDeque<PageLockedBlock>>,
    /// Bytes of all blocks, those in use too.
    bytes: usize,
}

/// Page-locked memory, and the event of the copy that used it last.
struct PageLockedBlock {
    memory: *mut u8,
    size: usize,
    event: sys::CUevent,
}

// SAFETY: it is owned, and the driver's functions on it may be called from any thread.
unsafe impl Send for PageLockedBlock {}

impl PageLockedBlock {
    /// Of a size; `None` where the system has no more memory to lock.
    fn new(size: usize) -> std::result::Result<Option<Self>, DriverError> {
        // SAFETY: plain calls; the memory is given back by `free`.
        let memory = match unsafe { result::malloc_host(size, 0) } {
            Ok(memory) => memory.cast(),
            Err(DriverError(sys::cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)?;
        Ok(Some(Self { memory, size, event }))
    }

    /// Whether the copy has ended.
    fn is_idle(&self) -> std::result::Result<bool, DriverError> {
        // SAFETY: the event is alive.
        match unsafe { result::event::query(self.event) } {
            Ok(()) => Ok(true),
            Err(DriverError(sys::cudaError_enum::CUDA_ERROR_NOT_READY)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for the copy.
    fn wait(&self) -> std::result::Result<(), DriverError> {
        // SAFETY: the event is alive.
        unsafe { result::event::synchronize(self.event) }
    }

    /// After the copy, in the order of the stream.
    fn used(&self, device: &Device) -> std::result::Result<(), DriverError> {
        // SAFETY: event and stream are alive.
        unsafe { result::event::record(self.event, device.stream.cu_stream()) }
    }

    /// The first `len` bytes.
    fn bytes(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= self.size, "bytes of a block");
        // SAFETY: the memory has this size; the borrow is that of the only owner.
        unsafe { std::slice::from_raw_parts_mut(self.memory, len) }
    }
}

impl Staging {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of at least `len` bytes that no copy uses; `None` where there is no memory for it.
    fn take(&self, len: usize) -> std::result::Result<Option<PageLockedBlock>, DriverError> {
        let size = len.next_power_of_two().max(SMALLEST);
        let mut state = self.state();
        if let Some(oldest) = state.free.get(&size).and_then(|blocks| blocks.front())
            && (state.bytes + size > MOST || oldest.is_idle()?)
        {
            let block = state.free.get_mut(&size).and_then(VecDeque::pop_front);
            drop(state);
            return block.map(|block| block.wait().map(|()| block)).transpose();
        }
        if state.bytes + size > MOST {
            return Ok(None);
        }
        let block = PageLockedBlock::new(size)?;
        state.bytes += if block.is_some() { size } else { 0 };
        Ok(block)
    }

    fn give_back(&self, block: PageLockedBlock) {
        self.state().free.entry(block.size).or_default().push_back(block);
    }

    /// Copies `bytes` to `address` when what was started before has ended; returns as soon as `bytes` have been read. False where there is no memory for it.
    pub fn write(&self, device: &Device, address: u64, bytes: &[u8]) -> std::result::Result<bool, DriverError> {
        for (at, piece) in bytes.chunks(PIECE).enumerate() {
            let Some(mut block) = self.take(piece.len())? else { return Ok(false) };
            let staged = block.bytes(piece.len());
            staged.copy_from_slice(piece);
            let to = address + (at * PIECE) as u64;
            // SAFETY: both have this length, and the block is used for nothing else before its event.
            let copied = unsafe { result::memcpy_htod_async(to, staged, device.stream.cu_stream()) };
            let copied = copied.and_then(|()| block.used(device));
            self.give_back(block);
            copied?;
        }
        Ok(true)
    }

    /// Gives all blocks back to the system.
    pub fn free(&self) {
        for block in self.state().free.iter_mut().flat_map(|(_, blocks)| blocks.drain(..)) {
            // SAFETY: nobody has the block; the device has been waited for. An error has no one to be told to.
            unsafe {
                let _ = result::free_host(block.memory.cast::<c_void>());
                let _ = result::event::destroy(block.event);
            }
        }
    }
}

/// Bytes on their way from a card.
struct Arriving {
    device: Arc<Device>,
    block: Option<PageLockedBlock>,
    len: usize,
}

/// Copies `len` bytes from `address` as what was started so far leaves them; `None` where there is no memory for it.
pub(crate) fn read_later(device: &Arc<Device>, address: u64, len: usize) -> Result<Option<Box<dyn Later>>> {
    let copying = || format!("copying {len} bytes from the card");
    let Some(mut block) = device.told(device.staging.take(len).context(copying))? else { return Ok(None) };
    // SAFETY: both have this length, and the block is used for nothing else before its event.
    let copied = unsafe { result::memcpy_dtoh_async(block.bytes(len), address, device.stream.cu_stream()) };
    let copied = copied.and_then(|()| block.used(device));
    let arriving = Arriving { device: device.clone(), block: Some(block), len };
    device.told(copied.context(copying))?;
    Ok(Some(Box::new(arriving)))
}

impl Later for Arriving {
    fn bytes(mut self: Box<Self>) -> Result<Vec<u8>> {
        let Some(block) = &mut self.block else { return Ok(Vec::new()) };
        self.device.bind()?;
        let waited = block.wait().context(|| self.device.computing());
        self.device.told(waited)?;
        Ok(block.bytes(self.len).to_vec())
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.device.staging.give_back(block);
        }
    }
}
