//! Packing for kernels whose units are f32.

use super::kernel::Panels;
use crate::isa::Isa;
use crate::{DType, codec, per_isa};

/// [`super::kernel::DecodeLines`]: one element a unit.
pub(super) fn lines(isa: Isa, dtype: DType, len: usize, codes: &[u8], units: &mut [u32], [pitch, stride]: [usize; 2]) {
    let codes = codes.chunks(pitch).map(|line| &line[..len * dtype.size()]);
    codec::decode_each(isa, dtype, codes.zip(floats(units).chunks_mut(stride).map(|line| &mut line[..len])));
}

/// [`super::kernel::DecodeAcross`]: one element a unit.
pub(super) fn across(isa: Isa, dtype: DType, lines: &[&[u8]], Panels { units, width, distance }: Panels<'_>) {
    let (size, len) = (dtype.size(), lines.first().map_or(0, |line| line.len()));
    if width < WIDE && len > width * size {
        for (unit, line) in lines.iter().enumerate() {
            dealt(isa, dtype, line, Panels { units: &mut units[unit * width..], width, distance });
        }
        return;
    }
    for (at, panel) in (0..len).step_by(width * size).zip(floats(units).chunks_mut(distance)) {
        let part = at..len.min(at + width * size);
        let outs = panel.chunks_mut(width).map(|out| &mut out[..part.len() / size]);
        codec::decode_each(isa, dtype, lines.iter().map(|line| &line[part.clone()]).zip(outs));
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
