//! Tables: what kernels that work on many tensors at once read of each, in one upload.

use std::sync::Arc;

use fp8_kernels::Result;

use crate::device::Device;
use crate::kernels::Argument;
use crate::memory::DeviceMemory;

/// Rows on the card.
pub(crate) struct Tables<const N: usize> {
    /// Where each table begins.
    pub begins: [u64; N],
    /// Kernels that were started while it was alive may read it.
    _memory: DeviceMemory,
}

/// The bytes of rows.
pub(crate) fn bytes<T: Argument>(rows: &[T]) -> &[u8] {
    // SAFETY: arguments are laid out as C structs of numbers and addresses, without gaps.
    unsafe { std::slice::from_raw_parts(rows.as_ptr().cast(), size_of_val(rows)) }
}

impl<const N: usize> Tables<N> {
    pub fn new(device: &Arc<Device>, tables: [&[u8]; N]) -> Result<Self> {
        let mut all = Vec::with_capacity(tables.iter().map(|table| table.len() + 15).sum());
        let begins = tables.map(|table| {
            let begin = all.len();
            all.extend_from_slice(table);
            all.resize(all.len().next_multiple_of(16), 0);
            begin as u64
        });
        let mut memory = DeviceMemory::new(device, all.len())?;
        memory.write(&all)?;
        Ok(Self { begins: begins.map(|begin| memory.address() + begin), _memory: memory })
    }
}
