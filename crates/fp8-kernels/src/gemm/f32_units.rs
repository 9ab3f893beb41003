//! Packing for kernels whose units are f32.

use super::kernel::Panels;
use crate::isa::Isa;
use crate::{DType, codec, per_isa};

/// [`super::kernel::DecodeLine`]: one element a unit.
pub(super) fn line(isa: Isa, dtype: DType, codes: &[u8], units: &mut [u32]) {
    codec::decode(isa, dtype, codes, floats(units));
}

/// Elements of a line that are decoded at once; a multiple of every panel's width.
const PART: usize = 192;

/// [`super::kernel::DecodeAcross`]: one element a unit. Several panels are decoded at once and then dealt out: they are narrow.
pub(super) fn across(isa: Isa, dtype: DType, codes: &[u8], _: Option<&[u8]>, panels: Panels<'_>) {
    let count = codes.len() / dtype.size();
    if count <= panels.width {
        return codec::decode(isa, dtype, codes, floats(&mut panels.units[..count]));
    }
    let mut values = [0.0; PART];
    let distance = PART / panels.width * panels.distance;
    for (codes, out) in codes.chunks(PART * dtype.size()).zip(floats(panels.units).chunks_mut(distance)) {
        let values = &mut values[..codes.len() / dtype.size()];
        codec::decode(isa, dtype, codes, values);
        deal(isa, values, panels.width, panels.distance, out);
    }
}

per_isa! {
    /// `width` values to every `distance`-th place.
    fn deal(values: &[f32], width: usize, distance: usize, out: &mut [f32]) {
        for (values, out) in values.chunks(width).zip(out.chunks_mut(distance)) {
            let (sixteens, rest) = values.as_chunks::<16>();
            for (out, values) in out.as_chunks_mut::<16>().0.iter_mut().zip(sixteens) {
                *out = *values;
            }
            out[16 * sixteens.len()..][..rest.len()].copy_from_slice(rest);
        }
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
