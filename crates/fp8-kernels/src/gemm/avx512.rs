//! AVX-512: tiles of 6 by 64, and the transposition of units.

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
    tiles: tiles!(#[target_feature(enable = "avx512f")] Sums, columns: 4, stride: BLOCK, asks: true, rows: 6, 4, 2, 1),
    units_at_once: BLOCK,
    decode_line: f32_units::line,
    decode_across: f32_units::across,
    transpose,
    around: [nothing; 2],
};

/// [`super::kernel::Transpose`] in registers: pairs of units, pairs of pairs, then the 128-bit quarters.
///
/// # Safety
/// AVX-512 F; 16 rows of 16 units at both pointers, at their strides.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn transpose(from: *const u32, from_stride: usize, to: *mut u32, to_stride: usize) {
    // SAFETY: within the caller's 16 rows of 16.
    let rows: [__m512i; 16] = std::array::from_fn(|i| unsafe { _mm512_loadu_si512(from.add(i * from_stride).cast()) });
    // Quarter q of pairs[2i + h] holds columns 4q + 2h and 4q + 2h + 1 of rows 2i, 2i + 1.
    let pairs: [__m512i; 16] = std::array::from_fn(|i| {
        let (a, b) = (rows[i & !1], rows[i | 1]);
        if i % 2 == 0 { _mm512_unpacklo_epi32(a, b) } else { _mm512_unpackhi_epi32(a, b) }
    });
    // Quarter q of fours[4i + c] holds column 4q + c of rows 4i .. 4i + 4.
    let fours: [__m512i; 16] = std::array::from_fn(|i| {
        let (a, b) = (pairs[(i & !3) + (i & 2) / 2], pairs[(i & !3) + 2 + (i & 2) / 2]);
        if i % 2 == 0 { _mm512_unpacklo_epi64(a, b) } else { _mm512_unpackhi_epi64(a, b) }
    });
    for c in 0..4 {
        let (a, b, d, e) = (fours[c], fours[4 + c], fours[8 + c], fours[12 + c]);
        let (low, high) = (_mm512_shuffle_i32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_i32x4::<0b10_00_10_00>(d, e));
        let (odd_low, odd_high) =
            (_mm512_shuffle_i32x4::<0b11_01_11_01>(a, b), _mm512_shuffle_i32x4::<0b11_01_11_01>(d, e));
        let columns = [
            _mm512_shuffle_i32x4::<0b10_00_10_00>(low, high),
            _mm512_shuffle_i32x4::<0b10_00_10_00>(odd_low, odd_high),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(low, high),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(odd_low, odd_high),
        ];
        for (q, column) in columns.into_iter().enumerate() {
            // SAFETY: row 4q + c of the caller's 16.
            unsafe { _mm512_storeu_si512(to.add((4 * q + c) * to_stride).cast(), column) };
        }
    }
}
