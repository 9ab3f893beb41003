//! AVX2 and FMA: tiles of 6 by 16, and the transposition of units.

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
    tiles: tiles!(#[target_feature(enable = "avx2,fma")] Sums, columns: 2, stride: BLOCK, asks: false, rows: 6, 4, 2),
    units_at_once: BLOCK,
    decode_line: f32_units::line,
    decode_across: f32_units::across,
    transpose,
    around: [nothing; 2],
};

/// [`super::kernel::Transpose`], 8 by 8 units in registers at a time: pairs of units, pairs of pairs, then the 128-bit halves.
///
/// # Safety
/// AVX2; 16 rows of 16 units at both pointers, at their strides.
#[target_feature(enable = "avx2")]
unsafe fn transpose(from: *const u32, from_stride: usize, to: *mut u32, to_stride: usize) {
    for (row, column) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
        // SAFETY: 8 of the caller's rows, and of the units in them.
        let (from, to) = unsafe { (from.add(row * from_stride + column), to.add(column * to_stride + row)) };
        // SAFETY: as above.
        let rows: [__m256i; 8] =
            std::array::from_fn(|i| unsafe { _mm256_loadu_si256(from.add(i * from_stride).cast()) });
        // Half h of pairs[2i + u] holds columns 4h + 2u and 4h + 2u + 1 of rows 2i, 2i + 1.
        let pairs: [__m256i; 8] = std::array::from_fn(|i| {
            let (a, b) = (rows[i & !1], rows[i | 1]);
            if i % 2 == 0 { _mm256_unpacklo_epi32(a, b) } else { _mm256_unpackhi_epi32(a, b) }
        });
        // Half h of fours[4i + c] holds column 4h + c of rows 4i .. 4i + 4.
        let fours: [__m256i; 8] = std::array::from_fn(|i| {
            let (a, b) = (pairs[(i & !3) + (i & 2) / 2], pairs[(i & !3) + 2 + (i & 2) / 2]);
            if i % 2 == 0 { _mm256_unpacklo_epi64(a, b) } else { _mm256_unpackhi_epi64(a, b) }
        });
        for c in 0..4 {
            let (upper, lower) = (fours[c], fours[4 + c]);
            let columns =
                [_mm256_permute2x128_si256::<0x20>(upper, lower), _mm256_permute2x128_si256::<0x31>(upper, lower)];
            for (h, column) in columns.into_iter().enumerate() {
                // SAFETY: row 4h + c of the caller's.
                unsafe { _mm256_storeu_si256(to.add((4 * h + c) * to_stride).cast(), column) };
            }
        }
    }
}
