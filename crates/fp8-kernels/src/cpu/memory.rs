//! Host memory of the CPU backend: aligned, counted, and kept for the next buffer of the same size when one is dropped.
//!
//! A training step takes and drops the same sizes again and again. New memory from the system would have to be cleared by it,
//! page by page, each time.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::check::Place;
use crate::{Buffer, Memory, Result, Storage, View, ViewMut};

/// What buffers of one backend hold, and what they have left.
#[derive(Debug, Default)]
pub(super) struct Pool {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    memory: Memory,
    /// The most bytes ever held.
    most: usize,
    /// By length.
    free: BTreeMap<usize, Vec<MemoryBlock>>,
    free_bytes: usize,
}

impl Pool {
    pub fn memory(&self) -> Memory {
        self.state().memory
    }

    pub fn reset_peak(&self) {
        let memory = &mut self.state().memory;
        memory.peak = memory.held;
    }

    /// `len` bytes on a boundary of 64, initialised but with contents that mean nothing. `None` where the system has not that
    /// much.
    pub fn take(self: &Arc<Self>, len: usize) -> Option<HostMemory> {
        let mut state = self.state();
        let found = state.free.get_mut(&len).and_then(Vec::pop);
        let block = match found {
            Some(block) => {
                state.free_bytes -= len;
                block
            }
            None => MemoryBlock::new(len)?,
        };
        state.memory.held += len;
        state.memory.peak = state.memory.peak.max(state.memory.held);
        state.most = state.most.max(state.memory.held);
        state.trim();
        Some(HostMemory { block, pool: self.clone() })
    }

    fn give_back(&self, block: MemoryBlock) {
        let mut state = self.state();
        state.memory.held -= block.len;
        state.free_bytes += block.len;
        state.free.entry(block.len).or_default().push(block);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives free blocks back to the system, the largest first, until held and free ones together are at most a quarter more
    /// than ever were held: not all sizes are wanted most at the same time.
    fn trim(&mut self) {
        while self.memory.held + self.free_bytes > self.most + self.most / 4 {
            let Some(mut entry) = self.free.last_entry() else { return };
            match entry.get_mut().pop() {
                Some(block) => self.free_bytes -= block.len,
                None => drop(entry.remove()),
            }
        }
    }
}

/// Memory of the system.
#[derive(Debug)]
struct MemoryBlock {
    allocation: NonNull<u8>,
    /// From `allocation` to the boundary.
    start: usize,
    len: usize,
}

// SAFETY: the memory is owned, and reached through `&self` for reading and `&mut self` for writing only.
unsafe impl Send for MemoryBlock {}
// SAFETY: as above.
unsafe impl Sync for MemoryBlock {}

const ALIGNMENT: usize = 64;

impl MemoryBlock {
    const EMPTY: Self = Self { allocation: NonNull::dangling(), start: 0, len: 0 };

    fn new(len: usize) -> Option<Self> {
        if len == 0 {
            return Some(Self::EMPTY);
        }
        // Not aligned by the allocator, which would then clear the pages itself, and not in the threads that use them.
        // SAFETY: the layout is not empty.
        let allocation = NonNull::new(unsafe { alloc_zeroed(Self::layout(len)?) })?;
        let start = allocation.align_offset(ALIGNMENT);
        Some(Self { allocation, start, len })
    }

    fn layout(len: usize) -> Option<Layout> {
        Layout::from_size_align(len.checked_add(ALIGNMENT)?, 1).ok()
    }
}

impl Drop for MemoryBlock {
    fn drop(&mut self) {
        if let (1.., Some(layout)) = (self.len, Self::layout(self.len)) {
            // SAFETY: allocated by `new` with this layout.
            unsafe { dealloc(self.allocation.as_ptr(), layout) };
        }
    }
}

/// Bytes of one buffer.
pub(super) struct HostMemory {
    block: MemoryBlock,
    pool: Arc<Pool>,
}

impl HostMemory {
    pub fn bytes(&self) -> &[u8] {
        let MemoryBlock { allocation, start, len } = self.block;
        // SAFETY: allocated with this length after the start, initialised, and borrowed with `self`.
        unsafe { std::slice::from_raw_parts(allocation.as_ptr().add(start), len) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let MemoryBlock { allocation, start, len } = self.block;
        // SAFETY: as above, and exclusively.
        unsafe { std::slice::from_raw_parts_mut(allocation.as_ptr().add(start), len) }
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::replace(&mut self.block, MemoryBlock::EMPTY));
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

/// The place of the CPU's buffers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host;

impl Place for Host {
    type Input<'a> = View<'a>;
    type Output<'a> = ViewMut<'a>;

    fn backend(self) -> String {
        "cpu".into()
    }

    fn input<'a>(self, buffer: &'a Buffer) -> Option<View<'a>> {
        let memory: &HostMemory = buffer.storage().as_any().downcast_ref()?;
        Some(View { dtype: buffer.dtype(), bytes: memory.bytes() })
    }

    fn output<'a>(self, buffer: &'a mut Buffer) -> Option<ViewMut<'a>> {
        let dtype = buffer.dtype();
        let memory: &mut HostMemory = buffer.storage_mut().as_any_mut().downcast_mut()?;
        Some(ViewMut { dtype, bytes: memory.bytes_mut() })
    }

    fn numbers<'a>(self, buffer: &'a Buffer) -> Result<Cow<'a, [u32]>> {
        let bytes = self.input(buffer).map_or(&[][..], |view| view.bytes);
        Ok(bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(memory: &HostMemory) -> *const u8 {
        memory.bytes().as_ptr()
    }

    #[test]
    fn what_is_dropped_is_taken_again() {
        let pool = Arc::new(Pool::default());
        let [mut a, b, c] = [100, 100, 99].map(|len| pool.take(len).unwrap());
        assert!([&a, &b, &c].into_iter().all(|memory| (place(memory) as usize).is_multiple_of(ALIGNMENT)));
        a.bytes_mut().fill(7);
        let places = [place(&a), place(&c)];
        drop((a, c));
        assert_eq!(pool.memory(), Memory { held: 100, peak: 299 });
        let [c, a] = [99, 100].map(|len| pool.take(len).unwrap());
        assert_eq!([place(&a), place(&c)], places);
        drop((a, b, c));
        assert_eq!(pool.memory(), Memory { held: 0, peak: 299 });
        pool.reset_peak();
        assert_eq!(pool.memory(), Memory::default());
    }

    #[test]
    fn free_memory_is_bounded_by_what_was_held() {
        let pool = Arc::new(Pool::default());
        for len in 1..300 {
            drop((pool.take(len).unwrap(), pool.take(1000 - len).unwrap()));
            let state = pool.state();
            assert_eq!(state.most, 1000);
            assert!(state.free_bytes <= 1250, "{} bytes free", state.free_bytes);
            assert_eq!(state.free_bytes, state.free.iter().map(|(len, blocks)| len * blocks.len()).sum::<usize>());
        }
    }

    #[test]
    fn nothing_and_too_much() {
        let pool = Arc::new(Pool::default());
        assert!(pool.take(0).unwrap().bytes().is_empty());
        for len in [usize::MAX, isize::MAX as usize, 1 << 60] {
            assert!(pool.take(len).is_none());
        }
        assert_eq!(pool.memory(), Memory::default());
    }
}
