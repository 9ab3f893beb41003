//! Tiles without particular instructions.

use super::f32_units;
use super::kernel::{BLOCK, Kernel};
use super::tile::{Vector, tiles};

/// Four sums; EXACT says that products need no rounding, so that multiplying and then adding is the same as a fused
/// multiply-add, which is slow where the CPU has none.
#[derive(Clone, Copy)]
struct Portable<const EXACT: bool>([f32; 4]);

impl<const EXACT: bool> Vector for Portable<EXACT> {
    const LANES: usize = 4;
    type Units = [f32; 4];

    // SAFETY (all): the caller has the memory that the trait asks for.
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { from.cast::<[f32; 4]>().read() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 4]>().write(self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    unsafe fn units(from: *const u32) -> [f32; 4] {
        unsafe { from.cast::<[f32; 4]>().read() }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const u32) -> [f32; 4] {
        [unsafe { from.cast::<f32>().read() }; 4]
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: [f32; 4], b: [f32; 4]) -> Self {
        Self(std::array::from_fn(|i| if EXACT { a[i] * b[i] + self.0[i] } else { a[i].mul_add(b[i], self.0[i]) }))
    }
}

/// For operands of 8 bits, whose products are exact in f32.
pub(super) static EXACT: Kernel = Kernel {
    per_unit: 1,
    columns: 16,
    tiles: tiles!(#[inline(never)] Portable<true>, columns: 4, stride: BLOCK, rows: 2, 1),
    decode_line: f32_units::line,
    decode_across: f32_units::across,
    transpose: f32_units::transpose,
};

/// For all others.
pub(super) static FUSED: Kernel =
    Kernel { tiles: tiles!(#[inline(never)] Portable<false>, columns: 4, stride: BLOCK, rows: 2, 1), ..EXACT };
