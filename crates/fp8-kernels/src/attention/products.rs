//! Small matrix products in FP32 that stay in the cache.

use crate::per_isa;

/// Columns of B and C come in multiples of this.
pub(super) const LANES: usize = 16;

/// Rows of C that are computed together.
const TOGETHER: usize = 4;

/// A (rows, k) of C += A B: its element (row, i) stands at `row * steps[0] + i * steps[1]`.
pub(super) struct Factor<'a> {
    pub values: &'a [f32],
    pub steps: [usize; 2],
}

/// A matrix whose rows begin `stride` elements after each other.
pub(super) struct Rows<'a> {
    pub values: &'a [f32],
    pub stride: usize,
}

per_isa! {
    /// C (rows, columns) += A (rows, k) B (k, columns): each element by itself, k ascending, every product and sum rounded; `size` is rows,
    /// columns, k, and columns a multiple of [`LANES`].
    pub(super) fn add_product(size: [usize; 3], a: &Factor<'_>, b: &Rows<'_>, c: &mut [f32], stride: usize) {
        let [rows, columns, k] = size;
        let mut column = 0;
        while column < columns {
            let pair = columns - column >= 2 * LANES;
            let mut row = 0;
            while row < rows {
                let together = rows - row >= TOGETHER;
                let at = [row, column, k];
                match (together, pair) {
                    (true, true) => tile::<TOGETHER, { 2 * LANES }>(at, a, b, c, stride),
                    (true, false) => tile::<TOGETHER, LANES>(at, a, b, c, stride),
                    (false, true) => tile::<1, { 2 * LANES }>(at, a, b, c, stride),
                    (false, false) => tile::<1, LANES>(at, a, b, c, stride),
                }
                row += if together { TOGETHER } else { 1 };
            }
            column += if pair { 2 * LANES } else { LANES };
        }
    }
}

/// `R` rows and `N` columns of it, in registers.
#[inline(always)]
fn tile<const R: usize, const N: usize>(
    [row, column, k]: [usize; 3],
    a: &Factor<'_>,
    b: &Rows<'_>,
    c: &mut [f32],
    stride: usize,
) {
    let mut sums = [[0.0_f32; N]; R];
    for (r, sums) in sums.iter_mut().enumerate() {
        sums.copy_from_slice(&c[(row + r) * stride + column..][..N]);
    }
    for i in 0..k {
        let line = &b.values[i * b.stride + column..][..N];
        for (r, sums) in sums.iter_mut().enumerate() {
            let factor = a.values[(row + r) * a.steps[0] + i * a.steps[1]];
            for (sum, x) in sums.iter_mut().zip(line) {
                *sum += factor * x;
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        c[(row + r) * stride + column..][..N].copy_from_slice(sums);
    }
}
