//! AVX-512: tiles of 6 by 64.

use std::arch::x86_64::*;

use super::f32_units;
use super::kernel::{BLOCK, Kernel, nothing};
use super::tile::{tiles, vector};

vector! {
    /// 16 sums, one f32 a unit.
    Sums: [__m512; 16], units: __m512,
    zero: _mm512_setzero_ps(),
    load: |from| _mm512_loadu_ps(from),
    store: |to, sums| _mm512_storeu_ps(to, sums),
    add: |a, b| _mm512_add_ps(a, b),
    read: |from| _mm512_loadu_ps(from.cast()),
    broadcast: |unit| _mm512_set1_ps(f32::from_bits(unit)),
    multiply_add: |sums, a, b| _mm512_fmadd_ps(a, b, sums),
}

pub(super) static KERNEL: Kernel = Kernel {
    per_unit: 1,
    columns: 64,
    tiles: tiles!(#[target_feature(enable = "avx512f")] Sums, columns: 4, stride: BLOCK, singles: true, asks: true, rows: 6, 4, 2, 1),
    even: 1,
    decode_lines: f32_units::lines,
    decode_across: f32_units::across,
    around: [nothing; 2],
};
