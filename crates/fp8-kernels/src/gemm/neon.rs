//! Advanced SIMD: tiles of 6 by 16.

use std::arch::aarch64::*;

use super::f32_units;
use super::kernel::{BLOCK, Kernel};
use super::tile::{Vector, tiles};

/// 4 sums, one f32 a unit.
#[derive(Clone, Copy)]
struct Sums(float32x4_t);

impl Vector for Sums {
    const LANES: usize = 4;
    type Units = float32x4_t;

    // SAFETY (all): Advanced SIMD is part of AArch64; the caller has the memory that the trait asks for.
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self(unsafe { vdupq_n_f32(0.0) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { vst1q_f32(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn units(from: *const u32) -> float32x4_t {
        unsafe { vld1q_f32(from.cast()) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const u32) -> float32x4_t {
        unsafe { vdupq_n_f32(from.cast::<f32>().read()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: float32x4_t, b: float32x4_t) -> Self {
        Self(unsafe { vfmaq_f32(self.0, a, b) })
    }
}

pub(super) static KERNEL: Kernel = Kernel {
    per_unit: 1,
    columns: 16,
    tiles: tiles!(#[inline(never)] Sums, columns: 4, stride: BLOCK, rows: 6, 4, 2, 1),
    decode_line: f32_units::line,
    decode_across: f32_units::across,
    transpose: f32_units::transpose,
};
