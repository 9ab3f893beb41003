//! Reductions to one number, and over rows.
//!
//! Order of sums (docs/numerics.md, section 6): chunks of a number of elements that depends on the shape alone; inside a
//! chunk a single number is 16 interleaved FP32 sums, added as a tree, and a column is one FP64 sum, ascending; over chunks FP64,
//! ascending.

use crate::arithmetic::divide;
use crate::blocks::{CHUNK, fold, rows as cut};
use crate::isa::Isa;
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

/// SUMS sums over the rows of inputs (rows, columns): `body` adds a block, whose first element is of the column given, to the
/// sums so far.
pub(crate) fn column_sums<const N: usize, const SUMS: usize>(
    isa: Isa,
    columns: usize,
    inputs: [Option<View<'_>>; N],
    body: impl Fn(usize, &mut [Vec<f64>; SUMS], [&mut [f32]; N]) + Sync,
) -> [Vec<f64>; SUMS] {
    let start = || [(); SUMS].map(|()| vec![0.0; columns]);
    let chunk = columns * (CHUNK / columns.max(1)).max(1);
    let chunks = fold(isa, inputs, chunk.max(1), start, |at, sums, blocks| body(at % columns, sums, blocks));
    let mut totals = [(); SUMS].map(|()| vec![0.0; columns]);
    for chunk in &chunks {
        for (totals, sums) in totals.iter_mut().zip(chunk) {
            totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
    }
    totals
}

type Lanes = [f32; 16];

/// Sums of chunks as a tree over their lanes, then in FP64.
fn total(chunks: Vec<Lanes>) -> f32 {
    let tree = |mut lanes: Lanes| {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
        }
        f64::from(lanes[0])
    };
    canonical(chunks.into_iter().map(tree).sum::<f64>() as f32)
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

    fn add_lanes(sums: &mut Lanes, x: &[f32]) {
        let (lines, rest) = x.as_chunks::<16>();
        for line in lines {
            for (sum, x) in sums.iter_mut().zip(line) {
                *sum += x;
            }
        }
        for (sum, x) in sums.iter_mut().zip(rest) {
            *sum += x;
        }
    }

    pub(crate) fn add_rows(channel: usize, x: &[f32], sums: &mut [f64]) {
        for (elements, channels) in cut(channel, x.len(), sums.len()) {
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
