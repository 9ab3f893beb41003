//! Reductions to one number, and over rows.
//!
//! Order of sums (docs/numerics.md, section 6). Chunks are cut by the shape alone, and threads take them:
//!
//! ```text
//! one number
//!     elements   0 … 32,767   32,768 … 65,535   …
//!     chunks          0               1         …     FP32: 16 lanes, then their tree (crate::lanes)
//!     result          0       +       1      +  …     FP64: ascending
//!
//! each column, all in FP64
//!     rows       0 … 31   32 … 63   …   992 … 1023   1024 … 1055   …
//!     chunks        0        1      …       31            32       …     rows, ascending
//!     groups        └─────── 0 ─────────────┘             └── 1 ── …     32 chunks, as a tree
//!     sums       0: groups 0, 32, 64, …   1: groups 1, 33, …   … 31      ascending
//!     result     the 32 sums, as a tree
//! ```
//!
//! Trees of 32 add i + 16 to i, then i + 8, + 4, + 2, + 1; what is missing counts as zero.

use std::ops::Range;

use rayon::prelude::*;

use crate::arithmetic::divide;
use crate::blocks::{CHUNK, cut, each_of, each_row, fold};
use crate::isa::Isa;
use crate::lanes::{self, Lanes, each_lane};
use crate::math::canonical;
use crate::{DType, Store, View, ViewMut, codec, per_isa};

/// Largest |x|; NaN if any element is; 0 when empty.
pub fn amax(isa: Isa, x: View<'_>) -> f32 {
    // |x| orders like its bits, and NaN is above all.
    let chunks = fold(isa, [Some(x)], CHUNK, || 0, |_, most: &mut u32, [x]| *most = (*most).max(most_bits(isa, x)));
    let most = f32::from_bits(chunks.into_iter().max().unwrap_or(0));
    if most.is_nan() { f32::NAN } else { most }
}

/// How many elements are Inf or NaN.
pub fn count_non_finite(isa: Isa, x: View<'_>) -> usize {
    count(isa, x, non_finite)
}

/// How many elements are zero.
pub fn count_zero(isa: Isa, x: View<'_>) -> usize {
    count(isa, x, zeros)
}

fn count(isa: Isa, x: View<'_>, body: impl Fn(Isa, &[f32]) -> u32 + Sync) -> usize {
    fold(isa, [Some(x)], CHUNK, || 0, |_, count, [x]| *count += body(isa, x) as usize).into_iter().sum()
}

/// The sum.
pub fn sum(isa: Isa, x: View<'_>) -> f32 {
    total(fold(isa, [Some(x)], CHUNK, Lanes::default, |_, sums, [x]| add_lanes(isa, sums, x)))
}

/// The sum of F32 elements on the host: to the bit that of [`Backend::sum`](crate::Backend::sum).
pub fn sum_of(bytes: &[u8]) -> f32 {
    sum(Isa::Scalar, View { dtype: DType::F32, bytes })
}

/// The sum of the squares of x / x_scale.
pub fn sum_squares(isa: Isa, x: View<'_>, x_scale: f32) -> f32 {
    total(fold(isa, [Some(x)], CHUNK, Lanes::default, |_, sums, [x]| {
        divide(isa, x_scale, x);
        square(isa, x);
        add_lanes(isa, sums, x);
    }))
}

/// db (columns) = store(sum over rows of dy (rows, columns)).
pub fn sum_rows(isa: Isa, columns: usize, dy: View<'_>, store: &Store, db: ViewMut<'_>) {
    let sums = column_sums(isa, columns, [Some(dy)], |channel, [sums], [dy]| add_rows(isa, channel, dy, sums));
    let [sums] = sums.map(|sums| sums.into_iter().map(|sum| canonical(sum as f32)).collect::<Vec<_>>());
    codec::encode(isa, store, 0, &sums, db.bytes);
}

/// Rows of a chunk of column sums.
pub(crate) const ROWS_OF_CHUNK: usize = 32;
/// Chunks of a group, and sums of groups that are added as a tree.
const WAYS: usize = 32;

/// SUMS sums over the rows of inputs (rows, columns): `body` adds a block, whose first element is of the column given, to the
/// sums so far.
pub(crate) fn column_sums<const N: usize, const SUMS: usize>(
    isa: Isa,
    columns: usize,
    inputs: [Option<View<'_>>; N],
    body: impl Fn(usize, &mut [Vec<f64>; SUMS], [&mut [f32]; N]) + Sync,
) -> [Vec<f64>; SUMS] {
    let len = inputs[0].map_or(0, View::len);
    let chunk = (ROWS_OF_CHUNK * columns).max(1);
    let (chunks, groups) = (len.div_ceil(chunk), len.div_ceil(WAYS * chunk));
    // Threads share a group where there are few.
    let together = if groups >= 2 * rayon::current_num_threads() { WAYS } else { 1 };
    let groups = (0..groups).into_par_iter().map(|group| {
        let of_group = (group * WAYS..chunks.min((group + 1) * WAYS)).into_par_iter().with_min_len(together);
        let sums = of_group.map(|index| {
            let mut sums = [(); SUMS].map(|()| vec![0.0; columns]);
            let rows = index * ROWS_OF_CHUNK..len.min((index + 1) * chunk) / columns;
            each_of(isa, inputs, strips(rows, columns), |at, blocks| body(at % columns, &mut sums, blocks));
            sums
        });
        tree(sums.collect())
    });
    over_groups(columns, groups.flatten_iter().collect())
}

/// Rows in blocks: where they are long one strip of columns after the other, whose sums stay in the first-level cache.
fn strips(rows: Range<usize>, columns: usize) -> impl Iterator<Item = Range<usize>> {
    const STRIP: usize = 2048;
    let (step, whole) = if columns > STRIP { (1, STRIP) } else { (rows.len().max(1), columns) };
    (0..columns).step_by(whole.max(1)).flat_map(move |first| {
        let width = whole.min(columns - first);
        rows.clone().step_by(step).flat_map(move |row| {
            let start = row * columns + first;
            cut(start..start + step * width)
        })
    })
}

/// The same from the sums of all chunks.
pub(crate) fn over_chunks<const SUMS: usize>(columns: usize, mut chunks: Vec<[Vec<f64>; SUMS]>) -> [Vec<f64>; SUMS] {
    let mut groups = Vec::new();
    while !chunks.is_empty() {
        groups.extend(tree(chunks.drain(..WAYS.min(chunks.len())).collect()));
    }
    over_groups(columns, groups)
}

fn over_groups<const SUMS: usize>(columns: usize, mut groups: Vec<[Vec<f64>; SUMS]>) -> [Vec<f64>; SUMS] {
    let later = groups.split_off(WAYS.min(groups.len()));
    for (i, group) in later.iter().enumerate() {
        add_sums(&mut groups[i % WAYS], group);
    }
    tree(groups).unwrap_or_else(|| [(); SUMS].map(|()| vec![0.0; columns]))
}

/// i with i + 16, + 8, + 4, + 2, + 1; what is missing counts as zero.
fn tree<const SUMS: usize>(mut sums: Vec<[Vec<f64>; SUMS]>) -> Option<[Vec<f64>; SUMS]> {
    for half in [16, 8, 4, 2, 1] {
        let upper = sums.split_off(half.min(sums.len()));
        sums.iter_mut().zip(&upper).for_each(|(sums, more)| add_sums(sums, more));
    }
    sums.pop()
}

fn add_sums<const SUMS: usize>(sums: &mut [Vec<f64>; SUMS], more: &[Vec<f64>; SUMS]) {
    for (sums, more) in sums.iter_mut().zip(more) {
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }
}

/// Sums of chunks as a tree over their lanes, then in FP64.
fn total(chunks: Vec<Lanes<f32>>) -> f32 {
    canonical(chunks.into_iter().map(|lanes| f64::from(lanes::tree(lanes))).sum::<f64>() as f32)
}

per_isa! {
    fn most_bits(x: &[f32]) -> u32 {
        x.iter().fold(0, |most, x| most.max(x.to_bits() & 0x7fff_ffff))
    }

    fn non_finite(x: &[f32]) -> u32 {
        x.iter().map(|x| u32::from(x.to_bits() & 0x7f80_0000 == 0x7f80_0000)).sum()
    }

    fn zeros(x: &[f32]) -> u32 {
        x.iter().map(|x| u32::from(*x == 0.0)).sum()
    }

    fn square(x: &mut [f32]) {
        for x in x {
            *x *= *x;
        }
    }

    fn add_lanes(sums: &mut Lanes<f32>, x: &[f32]) {
        each_lane(sums, x, |sum, x| *sum += x);
    }

    pub(crate) fn add_rows_and_squares(channel: usize, x: &[f32], sums: &mut [f64], squares: &mut [f64]) {
        for (elements, channels) in each_row(channel, x.len(), sums.len()) {
            let sums = sums[channels.clone()].iter_mut().zip(&mut squares[channels]);
            for (x, (sum, square)) in x[elements].iter().zip(sums) {
                let x = f64::from(*x);
                *sum += x;
                *square += x * x;
            }
        }
    }

    pub(crate) fn add_rows(channel: usize, x: &[f32], sums: &mut [f64]) {
        for (elements, channels) in each_row(channel, x.len(), sums.len()) {
            for (x, sum) in x[elements].iter().zip(&mut sums[channels]) {
                *sum += f64::from(*x);
            }
        }
    }
}

/// Writes FP32 results; one NaN for all.
pub(crate) fn store_floats(values: &[f32], out: ViewMut<'_>) {
    debug_assert_eq!(out.dtype, DType::F32);
    for (out, value) in out.bytes.as_chunks_mut().0.iter_mut().zip(values) {
        *out = canonical(*value).to_le_bytes();
    }
}

#[cfg(test)]
mod tests;
