//! AVX2 and FMA: tiles of 6 by 16.

use std::arch::x86_64::*;

use super::f32_units;
use super::kernel::{BLOCK, Kernel, nothing};
use super::tile::{tiles, vector};

vector! {
    /// 8 sums, one f32 a unit.
    Sums: [__m256; 8], units: __m256,
    zero: _mm256_setzero_ps(),
    load: |from| _mm256_loadu_ps(from),
    store: |to, sums| _mm256_storeu_ps(to, sums),
    add: |a, b| _mm256_add_ps(a, b),
    read: |from| _mm256_loadu_ps(from.cast()),
    broadcast: |unit| _mm256_set1_ps(f32::from_bits(unit)),
    multiply_add: |sums, a, b| _mm256_fmadd_ps(a, b, sums),
}

pub(super) static KERNEL: Kernel = Kernel {
    per_unit: 1,
    columns: 16,
    tiles: tiles!(#[target_feature(enable = "avx2,fma")] Sums, columns: 2, stride: BLOCK, singles: true, asks: false, rows: 6, 4, 2),
    even: 1,
    decode_lines: f32_units::lines,
    decode_across: f32_units::across,
    around: [nothing; 2],
};
