//! The oracle: the order of sums, in plain loops. Every kernel of matrix products and convolutions makes these bits.

use super::BLOCK;
use crate::{Gemm, Layout};

/// The sum of a(l) b(l) over l below k: inside blocks of [`BLOCK`] by fused multiply-adds in ascending order from zero; block after
/// block.
pub(crate) fn sum(k: usize, factors: impl Fn(usize) -> (f32, f32)) -> f32 {
    let block =
        |first: usize| (first..k.min(first + BLOCK)).map(&factors).fold(0.0_f32, |sum, (a, b)| a.mul_add(b, sum));
    (0..k).step_by(BLOCK).map(block).reduce(|total, sum| total + sum).unwrap_or(0.0)
}

/// The sums of C = A B.
pub(crate) fn gemm(gemm: &Gemm, a: &[f32], b: &[f32]) -> Vec<f32> {
    let &Gemm { m, n, k, layout } = gemm;
    let at = |row: usize, column: usize, l: usize| match layout {
        Layout::NN => (a[row * k + l], b[l * n + column]),
        Layout::NT => (a[row * k + l], b[column * k + l]),
        Layout::TN => (a[l * m + row], b[l * n + column]),
    };
    (0..m * n).map(|i| sum(k, |l| at(i / n, i % n, l))).collect()
}
