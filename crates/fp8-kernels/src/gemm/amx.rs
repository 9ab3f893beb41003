//! AMX: tiles of 32 by 32 by inline assembly, on the packed units of [`super::avx512_bf16`].
//!
//! `tdpbf16ps` multiplies 16 rows by 16 columns over 32 k. It sums upper and lower halves apart, flushes subnormals and is
//! free in its order, so results differ from the other kernels in the last bits: by no more than any order of FP32 sums may,
//! k 2^-24 sum |a b|. Hence it runs only where `FP8_ISA=amx` asks for it.
//!
//! The eight tile registers, of 1 KiB each. A step is 16 units of k: the registers of A and B are loaded, and each of C takes the products of
//! the A beside it and the B above it.
//!
//! ```text
//!                                           B, 16 units of k:    tmm6             tmm7
//!                                                                columns 0..16    columns 16..32
//!     A, 16 units of k:    tmm4  rows 0..16                   C  tmm0             tmm1
//!                          tmm5  rows 16..32                  C  tmm2             tmm3
//! ```
//!
//! | registers | a row (64 bytes) is | 16 rows are |
//! |---|---|---|
//! | 0 to 3: C | 16 sums of neighbouring columns | rows of C |
//! | 4, 5: A | 16 units of a row of A: 32 k | rows of A |
//! | 6, 7: B | a unit of each of 16 columns: 2 k | units of k |
//!
//! At the end of k may be fewer units: then rows of A are shorter and B has fewer rows ([`Shape`]).

use std::arch::asm;

use super::avx512_bf16;
use super::kernel::{BLOCK, Kernel};
use super::tile::{FAR, Run, Target, Tile};

const STRIDE: usize = BLOCK / 2;
const COLUMNS: usize = 32;
/// Units of k, and rows, that one instruction takes.
const UNITS: usize = 16;
const ROWS: usize = 16;

pub(super) static KERNEL: Kernel = Kernel {
    tiles: &[Tile { rows: 2 * ROWS, packed, rows_apart, units_apart: None }],
    even: ROWS,
    around: [configure, release],
    ..avx512_bf16::KERNEL
};

/// What `ldtilecfg` reads: the sizes of the tile registers.
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shape {
    /// For steps of so many units.
    const fn new(units: u8) -> Self {
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        let mut tile = 0;
        while tile < 8 {
            let (is_a, is_b) = (tile == 4 || tile == 5, tile == 6 || tile == 7);
            row_bytes[tile] = if is_a { 4 * units as u16 } else { 64 };
            rows[tile] = if is_b { units } else { 16 };
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

/// [`super::tile::PackedFn`] of 32 by 32.
///
/// # Safety
/// AMX, configured; memory as the type says.
unsafe fn packed(units: usize, a: *const u32, b: *const u32, c: Target, far: *const u32) {
    let (whole, rest) = (units - units % UNITS, units % UNITS);
    // SAFETY: the caller's promises; what is left of k stands behind the whole steps.
    unsafe {
        let a = A { rows: [a, a.add(ROWS * STRIDE)], stride: STRIDE };
        if whole > 0 {
            multiply(&[Run { a: 0, b: 0, units: whole }], a, b, c, far);
        }
        if rest > 0 {
            Shape::new(rest as u8).load();
            let run = Run { a: whole, b: 0, units: rest };
            let (b, c) = (b.add(whole * COLUMNS), Target { first: c.first && whole == 0, ..c });
            multiply(&[run], a, b, c, far.wrapping_add(FAR * whole));
            WHOLE.load();
        }
    }
}

/// [`super::tile::RowsApartFn`] of 32 by 32, of runs of whole steps, and twice 16 rows at even distances.
///
/// # Safety
/// AMX, configured; memory as the type says.
unsafe fn rows_apart(runs: &[Run], a: &[*const u32], b: *const u32, c: Target, far: *const u32) {
    debug_assert!(runs.iter().all(|run| run.units.is_multiple_of(UNITS)), "whole steps");
    // SAFETY: the caller's promises; the rows are of one image.
    unsafe {
        let stride = a[1].offset_from(a[0]) as usize;
        debug_assert!(a[..ROWS].iter().enumerate().all(|(i, row)| *row == a[0].add(i * stride)), "even distances");
        multiply(runs, A { rows: [a[0], a[ROWS]], stride }, b, c, far);
    }
}

/// Twice 16 rows of A, each `stride` units after the one before.
#[derive(Clone, Copy)]
struct A {
    rows: [*const u32; 2],
    stride: usize,
}

/// C = or += A B over the runs, in steps of the units of the shape, of which each has one at least; asks for [`FAR`] units for each of them.
///
/// # Safety
/// As for [`rows_apart`].
unsafe fn multiply(runs: &[Run], a: A, b: *const u32, c: Target, far: *const u32) {
    const { assert!(FAR * UNITS * size_of::<u32>() == 8 * 64, "lines that each step asks for") };
    if runs.is_empty() {
        return;
    }
    // SAFETY: all memory that is touched lies in the runs, in the tile's rows of A and C and in the panel of B.
    unsafe {
        asm!(
            // C: zeros at first, else from memory, its lower rows from `at`.
            "mov {at}, {c_stride}",
            "shl {at}, 4",
            "add {at}, {c}",
            "test {steps:e}, {steps:e}",
            "jz 2f",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "jmp 3f",
            "2:",
            "tileloadd tmm0, [{c} + {c_stride}]",
            "tileloadd tmm1, [{c} + {c_stride} + 64]",
            "tileloadd tmm2, [{at} + {c_stride}]",
            "tileloadd tmm3, [{at} + {c_stride} + 64]",
            "3:",
            // Each run: to where it begins from where the one before has ended (`at`, in bytes), and its steps.
            "xor {at:e}, {at:e}",
            "4:",
            "mov {steps}, [{runs}]",
            "shl {steps}, 2",
            "sub {steps}, {at}",
            "add {a}, {steps}",
            "add {a_low}, {steps}",
            "add {at}, {steps}",
            "mov {steps}, [{runs} + 16]",
            "lea {at}, [{at} + 4 * {steps}]",
            "shr {steps}, 4",
            "jnz 5f",
            // Less than a whole step of a smaller shape.
            "inc {steps}",
            // Each step: what is asked for, A and B, four products, and on to the next 16 units.
            "5:",
            "prefetcht1 [{far}]",
            "prefetcht1 [{far} + 64]",
            "prefetcht1 [{far} + 128]",
            "prefetcht1 [{far} + 192]",
            "prefetcht1 [{far} + 256]",
            "prefetcht1 [{far} + 320]",
            "prefetcht1 [{far} + 384]",
            "prefetcht1 [{far} + 448]",
            "add {far}, 512",
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
            "jnz 5b",
            "add {runs}, 24",
            "dec {count}",
            "jnz 4b",
            // C to memory.
            "mov {at}, {c_stride}",
            "shl {at}, 4",
            "add {at}, {c}",
            "tilestored [{c} + {c_stride}], tmm0",
            "tilestored [{c} + {c_stride} + 64], tmm1",
            "tilestored [{at} + {c_stride}], tmm2",
            "tilestored [{at} + {c_stride} + 64], tmm3",
            steps = inout(reg) usize::from(c.first) => _,
            at = out(reg) _,
            runs = inout(reg) runs.as_ptr() => _,
            count = inout(reg) runs.len() => _,
            a = inout(reg) a.rows[0] => _,
            a_low = inout(reg) a.rows[1] => _,
            a_stride = in(reg) 4 * a.stride,
            b = inout(reg) b => _,
            b_stride = in(reg) 4 * COLUMNS,
            c = in(reg) c.at,
            far = inout(reg) far => _,
            c_stride = in(reg) 4 * c.stride,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
