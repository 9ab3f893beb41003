//! Advanced SIMD: tiles of 6 by 16.

use std::arch::aarch64::*;

use super::f32_units;
use super::kernel::{BLOCK, Kernel, nothing};
use super::tile::{tiles, vector};

vector! {
    /// 4 sums, one f32 a unit.
    Sums: [float32x4_t; 4], units: float32x4_t,
    zero: vdupq_n_f32(0.0),
    load: |from| vld1q_f32(from),
    store: |to, sums| vst1q_f32(to, sums),
    add: |a, b| vaddq_f32(a, b),
    read: |from| vld1q_f32(from.cast()),
    broadcast: |unit| vdupq_n_f32(f32::from_bits(unit)),
    multiply_add: |sums, a, b| vfmaq_f32(sums, a, b),
}

pub(super) static KERNEL: Kernel = Kernel {
    per_unit: 1,
    columns: 16,
    tiles: tiles!(#[inline(never)] Sums, columns: 4, stride: BLOCK, singles: true, asks: false, rows: 6, 4, 2, 1),
    even: 1,
    decode_lines: f32_units::lines,
    decode_across: f32_units::across,
    around: [nothing; 2],
};
