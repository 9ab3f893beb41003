//! C (m, n) = A B over k, for operands of any floating type.
//!
//! Codes are packed block by block of k into 32-bit units (one f32, or two bf16 where the CPU multiplies pairs of them), multiplied in
//! tiles of registers, and the sums stored through the epilogue; FP8 is decoded there and nowhere else. Convolutions
//! are the same products of other lines ([`crate::conv`]).
//!
//! | file | |
//! |---|---|
//! | `scalar` | the oracle: the order of sums, in plain loops |
//! | `product`, `cut` | a product, and into which tasks it is cut |
//! | `task` | what one of them does, step by step |
//! | `lines`, `turn`, `pack`, `packed` | from codes in memory to packed units, in a task or once for all |
//! | `windows` | windows of images, decoded as images and read in place |
//! | `factors` | what a tile multiplies, packed or in place |
//! | `fixed` | B of several products, packed once |
//! | `room` | memory for that, kept |
//! | `kernel` | the table of what differs between instruction sets |
//! | `tile` | the innermost loops, once for all |
//! | `portable`, `avx2`, `avx512`, `avx512_bf16`, `amx`, `neon` | registers |
//! | `epilogue` | from sums to stored codes |

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
mod cut;
mod epilogue;
mod f32_units;
mod factors;
mod fixed;
mod kernel;
mod lines;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod packed;
mod portable;
mod product;
mod room;
#[cfg(test)]
pub(crate) mod scalar;
mod task;
#[cfg(test)]
mod tests;
mod tile;
mod turn;
mod windows;

pub(crate) use epilogue::Output;
pub(crate) use fixed::{FixedB, Second};
pub use kernel::BLOCK;
pub(crate) use lines::{Dense, Lines, Scratch};
pub(crate) use pack::Factor;
pub(crate) use product::Product;
pub(crate) use room::FactorRoom;
pub(crate) use windows::{ALIGN, Shape, Windows};

use crate::isa::Isa;
use crate::{EpilogueView, Gemm, Layout, View, ViewMut};

/// C = epilogue(A B), on the threads of the current rayon pool. Sums in FP32, in the order of docs/numerics.md, section 5: the
/// same bits for any number of threads and, whatever the operands' types, any instruction set. Only AMX has an order of its
/// own, for operands of 8 bits.
pub fn gemm(isa: Isa, gemm: &Gemm, a: View<'_>, b: View<'_>, epilogue: &EpilogueView<'_>, c: ViewMut<'_>) {
    let &Gemm { m, n, k, layout } = gemm;
    let a_along_k = layout != Layout::TN;
    let b_along_k = layout == Layout::NT;
    let a_lines = Dense { view: a, len: if a_along_k { k } else { m } };
    let b_lines = Dense { view: b, len: if b_along_k { k } else { n } };
    let product = Product {
        rows: m,
        columns: n,
        k,
        a: Factor { lines: &a_lines, dtype: a.dtype, along_k: a_along_k },
        b: Factor { lines: &b_lines, dtype: b.dtype, along_k: b_along_k },
        epilogue,
        output_row: None,
    };
    product.compute(isa, &Output::new(c));
}
