//! Tiles without particular instructions.

use std::array::from_fn;

use super::f32_units;
use super::kernel::{BLOCK, Kernel, nothing};
use super::tile::{tiles, vector};

vector! {
    /// Four sums of products that need no rounding: multiplying and then adding is the same as a fused multiply-add,
    /// which is slow where the CPU has none.
    Exact: [[f32; 4]; 4], units: [f32; 4],
    zero: [0.0; 4],
    load: |from| from.cast::<[f32; 4]>().read(),
    store: |to, sums| to.cast::<[f32; 4]>().write(sums),
    add: |a, b| from_fn(|i| a[i] + b[i]),
    read: |from| from.cast::<[f32; 4]>().read(),
    broadcast: |unit| [f32::from_bits(unit); 4],
    multiply_add: |sums, a, b| from_fn(|i| a[i] * b[i] + sums[i]),
}

vector! {
    /// Four sums of any products.
    Fused: [[f32; 4]; 4], units: [f32; 4],
    zero: [0.0; 4],
    load: |from| from.cast::<[f32; 4]>().read(),
    store: |to, sums| to.cast::<[f32; 4]>().write(sums),
    add: |a, b| from_fn(|i| a[i] + b[i]),
    read: |from| from.cast::<[f32; 4]>().read(),
    broadcast: |unit| [f32::from_bits(unit); 4],
    multiply_add: |sums, a, b| from_fn(|i| a[i].mul_add(b[i], sums[i])),
}

/// For operands of 8 bits, whose products are exact in f32.
pub(super) static EXACT: Kernel = Kernel {
    per_unit: 1,
    columns: 16,
    tiles: tiles!(#[inline(never)] Exact, columns: 4, stride: BLOCK, singles: true, asks: false, rows: 2, 1),
    even: 1,
    decode_lines: f32_units::lines,
    decode_across: f32_units::across,
    around: [nothing; 2],
};

/// For all others.
pub(super) static FUSED: Kernel = Kernel {
    tiles: tiles!(#[inline(never)] Fused, columns: 4, stride: BLOCK, singles: true, asks: false, rows: 2, 1),
    ..EXACT
};
