//! Packing for kernels whose units are f32.

use super::kernel::Panels;
use crate::isa::Isa;
use crate::{DType, codec};

/// [`super::kernel::DecodeLine`]: one element a unit.
pub(super) fn line(isa: Isa, dtype: DType, codes: &[u8], units: &mut [u32]) {
    codec::decode(isa, dtype, codes, floats(units));
}

/// [`super::kernel::DecodeAcross`]: one element a unit.
pub(super) fn across(isa: Isa, dtype: DType, codes: &[u8], _: Option<&[u8]>, panels: Panels<'_>) {
    let codes = codes.chunks(panels.width * dtype.size());
    for (codes, units) in codes.zip(panels.units.chunks_mut(panels.distance)) {
        codec::decode(isa, dtype, codes, floats(&mut units[..codes.len() / dtype.size()]));
    }
}

/// [`super::kernel::Transpose`] without particular instructions.
///
/// # Safety
/// 16 rows of 16 units at both pointers, at their strides, that do not overlap.
pub(super) unsafe fn transpose(from: *const u32, from_stride: usize, to: *mut u32, to_stride: usize) {
    for i in 0..16 {
        for j in 0..16 {
            // SAFETY: within the caller's 16 rows of 16.
            unsafe { *to.add(j * to_stride + i) = *from.add(i * from_stride + j) };
        }
    }
}

fn floats(units: &mut [u32]) -> &mut [f32] {
    // SAFETY: the same size and alignment, and every bit pattern is valid in both.
    unsafe { std::slice::from_raw_parts_mut(units.as_mut_ptr().cast(), units.len()) }
}
