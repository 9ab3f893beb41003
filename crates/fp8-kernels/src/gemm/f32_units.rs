//! Packing for kernels whose units are f32.

use super::kernel::Panels;
use crate::isa::Isa;
use crate::{DType, codec, per_isa};

/// [`super::kernel::DecodeLine`]: one element a unit.
pub(super) fn line(isa: Isa, dtype: DType, codes: &[u8], units: &mut [u32]) {
    codec::decode(isa, dtype, codes, floats(units));
}

/// [`super::kernel::DecodeAcross`]: one element a unit.
pub(super) fn across(isa: Isa, dtype: DType, codes: &[u8], _: Option<&[u8]>, panels: Panels<'_>) {
    let size = dtype.size();
    if panels.width < WIDE && codes.len() > panels.width * size {
        return dealt(isa, dtype, codes, panels);
    }
    let codes = codes.chunks(panels.width * size);
    for (codes, out) in codes.zip(floats(panels.units).chunks_mut(panels.distance)) {
        codec::decode(isa, dtype, codes, &mut out[..codes.len() / size]);
    }
}

/// Panels of this width are decoded one by one, narrower ones [`PART`] elements at once.
const WIDE: usize = 64;
/// A multiple of every narrow panel's width.
const PART: usize = 192;

/// Decodes elements of several panels and deals them out.
fn dealt(isa: Isa, dtype: DType, codes: &[u8], Panels { units, width, distance }: Panels<'_>) {
    let mut values = [0.0; PART];
    let out = floats(units).chunks_mut(PART / width * distance);
    for (codes, out) in codes.chunks(PART * dtype.size()).zip(out) {
        let values = &mut values[..codes.len() / dtype.size()];
        codec::decode(isa, dtype, codes, values);
        deal(isa, values, width, distance, out);
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

fn floats(units: &mut [u32]) -> &mut [f32] {
    // SAFETY: the same size and alignment, and every bit pattern is valid in both.
    unsafe { std::slice::from_raw_parts_mut(units.as_mut_ptr().cast(), units.len()) }
}
