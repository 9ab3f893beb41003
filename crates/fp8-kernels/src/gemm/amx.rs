//! AMX: tiles of 32 by 32 by inline assembly, on the packed units of [`super::avx512_bf16`].
//!
//! `tdpbf16ps` multiplies 16 rows by 16 columns over 32 k. It sums upper and lower halves apart, flushes subnormals and is
//! free in its order, so results differ from the other kernels in the last bits: by no more than any order of FP32 sums may,
//! k 2^-24 sum |a b|. Hence it runs only where `FP8_ISA=amx` asks for it.

use std::arch::asm;

use super::avx512_bf16;
use super::kernel::{BLOCK, Kernel};

const STRIDE: usize = BLOCK / 2;
const COLUMNS: usize = 32;
/// Units of k that one instruction takes.
const UNITS: usize = 16;

/// Half a block of k at a time: then 32 rows of A and a panel of B are in the L1 cache together.
pub(super) static KERNEL: Kernel =
    Kernel { tiles: &[(32, tile)], units_at_once: STRIDE / 2, around: [configure, release], ..avx512_bf16::KERNEL };

/// What `ldtilecfg` reads: tiles 0 to 3 are C, 4 and 5 are A, 6 and 7 are B.
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shape {
    /// For products over `units`.
    const fn new(units: u8) -> Self {
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        let mut tile = 0;
        while tile < 8 {
            row_bytes[tile] = if tile / 2 == 2 { 4 * units as u16 } else { 64 };
            rows[tile] = if tile / 2 == 3 { units } else { 16 };
            tile += 1;
        }
        Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
    }

    /// # Safety
    /// AMX and the permission to use it; until [`release`] this thread uses no other tiles.
    unsafe fn load(&self) {
        // SAFETY: reads the 64 bytes of the shape.
        unsafe { asm!("ldtilecfg [{shape}]", shape = in(reg) self, options(nostack, readonly)) };
    }
}

/// Tiles for whole steps.
static WHOLE: Shape = Shape::new(UNITS as u8);

/// # Safety
/// AMX and the permission to use it.
unsafe fn configure() {
    // SAFETY: the caller's promise; `release` follows.
    unsafe { WHOLE.load() };
}

/// # Safety
/// AMX and the permission to use it.
unsafe fn release() {
    // SAFETY: touches no memory.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// [`super::tile::TileFn`] of 32 by 32.
///
/// # Safety
/// AMX, configured; memory as the type says.
unsafe fn tile(units: usize, a: *const u32, b: *const u32, c: *mut f32, c_stride: usize, first: bool, _: *const u32) {
    let (whole, rest) = (units / UNITS, units % UNITS);
    // SAFETY: the caller's promises; what is left of k stands behind the whole steps.
    unsafe {
        if whole > 0 {
            multiply(whole, a, b, c, c_stride, first);
        }
        if rest > 0 {
            Shape::new(rest as u8).load();
            multiply(1, a.add(whole * UNITS), b.add(whole * UNITS * COLUMNS), c, c_stride, first && whole == 0);
            WHOLE.load();
        }
    }
}

/// C = or += A B over `steps` times the units of the shape, of which there is one at least.
///
/// # Safety
/// As for [`tile`].
unsafe fn multiply(steps: usize, a: *const u32, b: *const u32, c: *mut f32, c_stride: usize, first: bool) {
    // SAFETY: all memory that is touched lies in the tile's rows of A and C and in the panel of B.
    unsafe {
        asm!(
            "test {first:e}, {first:e}",
            "jz 2f",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "jmp 3f",
            "2:",
            "tileloadd tmm0, [{c} + {c_stride}]",
            "tileloadd tmm1, [{c} + {c_stride} + 64]",
            "tileloadd tmm2, [{c_low} + {c_stride}]",
            "tileloadd tmm3, [{c_low} + {c_stride} + 64]",
            "3:",
            "4:",
            "tileloadd tmm4, [{a} + {a_stride}]",
            "tileloadd tmm6, [{b} + {b_stride}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {b_stride} + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{a_low} + {a_stride}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, 64",
            "add {a_low}, 64",
            "add {b}, 2048",
            "dec {steps}",
            "jnz 4b",
            "tilestored [{c} + {c_stride}], tmm0",
            "tilestored [{c} + {c_stride} + 64], tmm1",
            "tilestored [{c_low} + {c_stride}], tmm2",
            "tilestored [{c_low} + {c_stride} + 64], tmm3",
            first = in(reg) u32::from(first),
            steps = inout(reg) steps => _,
            a = inout(reg) a => _,
            a_low = inout(reg) a.add(16 * STRIDE) => _,
            a_stride = in(reg) 4 * STRIDE,
            b = inout(reg) b => _,
            b_stride = in(reg) 4 * COLUMNS,
            c = in(reg) c,
            c_low = in(reg) c.add(16 * c_stride),
            c_stride = in(reg) 4 * c_stride,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
