//! Softmax cross-entropy with label smoothing, row by row; of logits in memory, or of those that a linear layer gives
//! ([`linear`]), of which only some rows exist at a time.

mod linear;
#[cfg(test)]
mod tests;

pub use linear::{Operands, linear, rows_at_a_time};

use rayon::prelude::*;

use crate::arithmetic::multiply;
use crate::blocks::CHUNK;
use crate::isa::Isa;
use crate::{CrossEntropy, Store, View, ViewMut, codec, math, per_isa};

/// losses (rows): -sum_c target_c log softmax(logits)_c, 0 for a target that is ignored, with target = (1 - smoothing) one-hot + smoothing / classes; sums in
/// FP64.
///
/// NaN or +infinity among the logits of a row makes its loss NaN; -infinity is a probability of zero, whose loss is infinite
/// where it is the target or there is smoothing.
pub fn forward(isa: Isa, spec: &CrossEntropy, logits: View<'_>, targets: &[u32], losses: ViewMut<'_>) {
    from_row(isa, spec, 0, logits, targets, losses.bytes, None);
}

/// Where the error of logits goes.
pub struct Gradient<'a> {
    /// Its factor.
    pub factor: f32,
    /// How it is stored.
    pub store: Store,
    /// (rows, classes).
    pub dlogits: ViewMut<'a>,
}

/// Losses, and errors where they are asked for, of logits whose first row is row `first` of all.
fn from_row(
    isa: Isa,
    spec: &CrossEntropy,
    first: usize,
    logits: View<'_>,
    targets: &[u32],
    losses: &mut [u8],
    gradient: Option<Gradient<'_>>,
) {
    let (rows, classes) = (rows_at_once(spec), spec.classes);
    let (rule, mut errors) = match gradient {
        Some(Gradient { factor, store, dlogits }) => (Some((factor, store)), dlogits.bytes),
        None => (None, &mut [][..]),
    };
    let row_bytes = rule.map_or(0, |(_, store)| classes * store.dtype.size());
    let mut chunks = Vec::with_capacity(targets.len().div_ceil(rows));
    for losses in losses.chunks_mut(rows * size_of::<f32>()) {
        let (here, after) = errors.split_at_mut(losses.len() / size_of::<f32>() * row_bytes);
        chunks.push((losses, here));
        errors = after;
    }
    chunks.into_par_iter().enumerate().for_each(|(chunk, (losses, errors))| {
        let mut row = vec![0.0; classes];
        for (i, loss) in losses.as_chunks_mut().0.iter_mut().enumerate() {
            let at = chunk * rows + i;
            codec::decode(isa, logits.dtype, logits.part(at * classes, classes).bytes, &mut row);
            let total = shift(isa, &mut row);
            let counts = targets[at] != CrossEntropy::IGNORED;
            *loss = if counts { row_loss(isa, spec, &row, total, targets[at] as usize) } else { 0.0 }.to_le_bytes();
            if let Some((factor, store)) = &rule {
                to_error(isa, spec, total, targets[at], *factor, &mut row);
                codec::encode(
                    isa,
                    store,
                    ((first + at) * classes) as u64,
                    &row,
                    &mut errors[i * row_bytes..][..row_bytes],
                );
            }
        }
    });
}

/// dlogits = store(factor (softmax(logits) - target)).
pub fn backward(
    isa: Isa,
    spec: &CrossEntropy,
    logits: View<'_>,
    targets: &[u32],
    factor: f32,
    store: &Store,
    dlogits: ViewMut<'_>,
) {
    let (rows, row_bytes) = (rows_at_once(spec), spec.classes * dlogits.dtype.size());
    dlogits.bytes.par_chunks_mut((rows * row_bytes).max(1)).enumerate().for_each(|(chunk, out)| {
        let mut row = vec![0.0; spec.classes];
        for (i, out) in out.chunks_mut(row_bytes).enumerate() {
            let i = chunk * rows + i;
            codec::decode(isa, logits.dtype, logits.part(i * spec.classes, spec.classes).bytes, &mut row);
            let total = shift(isa, &mut row);
            to_error(isa, spec, total, targets[i], factor, &mut row);
            codec::encode(isa, store, (i * spec.classes) as u64, &row, out);
        }
    });
}

/// From a row of x - max x, given the sum of e^(x - max x), to its error.
fn to_error(isa: Isa, spec: &CrossEntropy, total: f32, target: u32, factor: f32, row: &mut [f32]) {
    softmax_less(isa, total, spec.smoothing / spec.classes as f32, row);
    match row.get_mut(target as usize) {
        Some(target) => *target -= 1.0 - spec.smoothing,
        None => row.fill(0.0),
    }
    multiply(isa, factor, row);
}

/// Rows that one thread takes at a time.
fn rows_at_once(spec: &CrossEntropy) -> usize {
    (CHUNK / spec.classes.max(1)).max(1)
}

/// The loss of a row of x - max x, given the sum of e^(x - max x).
fn row_loss(isa: Isa, spec: &CrossEntropy, row: &[f32], total: f32, target: usize) -> f32 {
    let log_total = f64::from(math::ln(total));
    let hit = log_total - f64::from(row[target]);
    // Without smoothing not even an infinite loss of another class takes part.
    let loss = if spec.smoothing == 0.0 {
        hit
    } else {
        let smoothing = f64::from(spec.smoothing);
        let mean = log_total - sum(isa, row) / spec.classes as f64;
        (1.0 - smoothing) * hit + smoothing * mean
    };
    math::canonical(loss as f32)
}

/// Sums side by side, which take the elements in turn; added as a tree at the end.
type Lanes<T> = [T; 16];

#[inline(always)]
fn tree(mut lanes: Lanes<f64>) -> f64 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

/// Calls `f` with each lane and its next element.
#[inline(always)]
fn each_lane<T>(lanes: &mut Lanes<T>, x: &[f32], mut f: impl FnMut(&mut T, f32)) {
    let (lines, rest) = x.as_chunks::<16>();
    for line in lines {
        for (lane, x) in lanes.iter_mut().zip(line) {
            f(lane, *x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        f(lane, *x);
    }
}

per_isa! {
    /// x = x - max x; the sum of e^x.
    fn shift(x: &mut [f32]) -> f32 {
        let mut most = [f32::NEG_INFINITY; 16];
        // NaN is passed over here and comes back in the sum.
        each_lane(&mut most, x, |most, x| *most = if x > *most { x } else { *most });
        let most = most.into_iter().fold(f32::NEG_INFINITY, |most, x| if x > most { x } else { most });
        for x in x.iter_mut() {
            *x -= most;
        }
        let mut sums = [0.0; 16];
        each_lane(&mut sums, x, |sum, x| *sum += f64::from(math::exp(x)));
        tree(sums) as f32
    }

    fn sum(x: &[f32]) -> f64 {
        let mut sums = [0.0; 16];
        each_lane(&mut sums, x, |sum, x| *sum += f64::from(x));
        tree(sums)
    }

    /// x = e^x / total - less.
    fn softmax_less(total: f32, less: f32, x: &mut [f32]) {
        for x in x {
            *x = math::exp(*x) / total - less;
        }
    }
}
