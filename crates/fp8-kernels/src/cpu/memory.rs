//! Host memory of the CPU backend: aligned, and counted.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Memory, Storage};

/// Bytes held now and at most.
#[derive(Debug, Default)]
pub(super) struct Count {
    held: AtomicUsize,
    peak: AtomicUsize,
}

impl Count {
    pub fn memory(&self) -> Memory {
        Memory { held: self.held.load(Ordering::Relaxed), peak: self.peak.load(Ordering::Relaxed) }
    }

    pub fn reset_peak(&self) {
        self.peak.store(self.held.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn add(&self, bytes: usize) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(held, Ordering::Relaxed);
    }
}

/// Zeroed bytes on a boundary of 64.
pub(super) struct HostMemory {
    bytes: NonNull<u8>,
    layout: Layout,
    count: Arc<Count>,
}

// SAFETY: the memory is owned, and reached through `&self` for reading and `&mut self` for writing only.
unsafe impl Send for HostMemory {}
// SAFETY: as above.
unsafe impl Sync for HostMemory {}

impl HostMemory {
    /// `None` where the system has not that much.
    pub fn new(len: usize, count: &Arc<Count>) -> Option<Self> {
        let layout = Layout::from_size_align(len, 64).ok()?;
        let bytes = if len == 0 {
            NonNull::without_provenance(std::num::NonZero::new(64)?)
        } else {
            // SAFETY: the layout is not empty.
            NonNull::new(unsafe { alloc_zeroed(layout) })?
        };
        count.add(len);
        Some(Self { bytes, layout, count: count.clone() })
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with this length, initialised, and borrowed with `self`.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr(), self.layout.size()) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.as_ptr(), self.layout.size()) }
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        self.count.held.fetch_sub(self.layout.size(), Ordering::Relaxed);
        if self.layout.size() > 0 {
            // SAFETY: allocated by `new` with this layout.
            unsafe { dealloc(self.bytes.as_ptr(), self.layout) };
        }
    }
}

impl Storage for HostMemory {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
