//! AVX2 and FMA: tiles of 6 by 16.

use std::arch::x86_64::*;

use super::f32_units;
use super::kernel::{BLOCK, Kernel};
use super::tile::{Vector, tiles};

/// 8 sums, one f32 a unit.
#[derive(Clone, Copy)]
struct Sums(__m256);

impl Vector for Sums {
    const LANES: usize = 8;
    type Units = __m256;

    // SAFETY (all): the caller has AVX2 and FMA, and the memory that the trait asks for.
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self(unsafe { _mm256_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn units(from: *const u32) -> __m256 {
        unsafe { _mm256_loadu_ps(from.cast()) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const u32) -> __m256 {
        unsafe { _mm256_broadcast_ss(&*from.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: __m256, b: __m256) -> Self {
        Self(unsafe { _mm256_fmadd_ps(a, b, self.0) })
    }
}

pub(super) static KERNEL: Kernel = Kernel {
    per_unit: 1,
    columns: 16,
    tiles: tiles!(#[target_feature(enable = "avx2,fma")] Sums, columns: 2, stride: BLOCK, rows: 6, 4, 2),
    decode_line: f32_units::line,
    decode_across: f32_units::across,
    transpose: f32_units::transpose,
};
