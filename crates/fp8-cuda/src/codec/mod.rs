//! Element types and stores in the kernels' terms: [codec.cuh](codec.cuh), [philox.cuh](philox.cuh).

use fp8_core::{Overflow, Rounding, Stream};
use fp8_kernels::{DType, Store};

use crate::kernels::Argument;

/// The type of codec.cuh; `None`: that of an operand that is not there.
pub(crate) fn type_name(dtype: Option<DType>) -> &'static str {
    match dtype {
        None => "None",
        Some(DType::F32) => "F32",
        Some(DType::F16) => "F16",
        Some(DType::Bf16) => "Bf16",
        Some(DType::E5M2) => "E5M2",
        Some(DType::E4M3) => "E4M3",
        Some(DType::E5M2Fnuz) => "E5M2Fnuz",
        Some(DType::E4M3Fnuz) => "E4M3Fnuz",
        Some(DType::E3M4) => "E3M4",
        Some(DType::U32) => "u32",
        Some(DType::U8) => "u8",
    }
}

/// The rounding of codec.cuh. FP32 is stored as it is.
pub(crate) fn rounding_name(store: &Store) -> &'static str {
    match store.rounding {
        _ if store.dtype == DType::F32 => "RNE",
        Rounding::NearestEven => "RNE",
        Rounding::NearestAway => "RNA",
        Rounding::TowardZero => "RTZ",
        Rounding::TowardPositive => "RTP",
        Rounding::TowardNegative => "RTN",
        Rounding::Stochastic { bits: 0..=16 } => "SR",
        Rounding::Stochastic { .. } => "SR_WIDE",
    }
}

/// `Stream` of philox.cuh.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct StreamArgument {
    keys: [u32; 20],
    step: u32,
    id: u32,
}

impl From<&Stream> for StreamArgument {
    fn from(&Stream { seed, step, id }: &Stream) -> Self {
        // Philox adds these to its two keys from round to round.
        let (halves, steps) = ([seed as u32, (seed >> 32) as u32], [0x9E37_79B9_u32, 0xBB67_AE85]);
        let key = |i: usize| halves[i % 2].wrapping_add(steps[i % 2].wrapping_mul(i as u32 / 2));
        Self { keys: std::array::from_fn(key), step, id }
    }
}

/// `Store` of codec.cuh: what of a store is not compiled in.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct StoreArgument {
    random: StreamArgument,
    scale: f32,
    random_bits: u32,
    saturate: u32,
    draw_mask: u32,
    reciprocal: f32,
}

impl From<&Store> for StoreArgument {
    fn from(store: &Store) -> Self {
        let (random_bits, is_whole): (u32, _) = match store.rounding {
            Rounding::Stochastic { bits } => (bits.into(), bits == 16),
            _ => (0, true),
        };
        let draw_mask = (0xFFFF_0000_u32 >> random_bits.min(16) & 0xFFFF) * 0x0001_0001;
        let saturate = store.overflow == Overflow::Saturate;
        let is_power_of_two = store.scale.to_bits() << 9 == 0 && (1e-6..1e6).contains(&store.scale);
        let reciprocal = if is_power_of_two && is_whole { 1.0 / store.scale } else { 0.0 };
        let (random, scale) = ((&store.random).into(), store.scale);
        Self { random, scale, random_bits, saturate: saturate.into(), draw_mask, reciprocal }
    }
}

// SAFETY: the layouts are those of the C structs.
unsafe impl Argument for StreamArgument {}
// SAFETY: as above.
unsafe impl Argument for StoreArgument {}
