//! Softmax cross-entropy with label smoothing, row by row; of logits in memory, or of those that a linear layer gives
//! ([`linear`]), of which only some rows exist at a time.

mod linear;
#[cfg(test)]
mod tests;

pub use linear::{Operands, linear, rows_at_a_time};

use crate::blocks::CHUNK;
use crate::isa::Isa;
use crate::lanes::{each_lane, tree};
use crate::{CrossEntropy, Store, View, ViewMut, codec, math, per_isa, tasks};

/// losses (rows): -sum_c target_c log softmax(logits)_c, 0 for a target that is ignored, with target = (1 - smoothing) one-hot + smoothing / classes; sums in
/// FP64.
///
/// NaN or +infinity among the logits of a row makes its loss NaN; -infinity is a probability of zero, whose loss is infinite
/// where it is the target or there is smoothing.
pub fn forward(isa: Isa, spec: &CrossEntropy, logits: View<'_>, targets: &[u32], losses: ViewMut<'_>) {
    let (rows, classes) = (rows_at_once(spec), spec.classes);
    tasks::each_of(losses.bytes.chunks_mut(rows * size_of::<f32>()), |chunk, losses| {
        let mut row = vec![0.0; classes];
        for (at, loss) in (chunk * rows..).zip(losses.as_chunks_mut().0) {
            codec::decode(isa, logits.dtype, logits.part(at * classes, classes).bytes, &mut row);
            *loss = exponentials(isa, spec, targets[at], &mut row).1.to_le_bytes();
        }
    });
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

/// Losses, and errors where they are asked for, of F32 logits whose first row is row `first` of all; the logits are overwritten.
fn of_rows(
    isa: Isa,
    spec: &CrossEntropy,
    first: usize,
    mut logits: &mut [f32],
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
        let count = losses.len() / size_of::<f32>();
        let (of_logits, of_errors) = (logits.split_at_mut(count * classes), errors.split_at_mut(count * row_bytes));
        chunks.push((losses, of_logits.0, of_errors.0));
        (logits, errors) = (of_logits.1, of_errors.1);
    }
    tasks::each_of(chunks, |chunk, (losses, logits, errors)| {
        for (i, loss) in losses.as_chunks_mut().0.iter_mut().enumerate() {
            let row = &mut logits[i * classes..][..classes];
            let (at, target) = (chunk * rows + i, targets[chunk * rows + i]);
            let (total, value) = exponentials(isa, spec, target, row);
            *loss = value.to_le_bytes();
            if let Some((factor, store)) = &rule {
                to_error(isa, spec, total, target, *factor, row);
                let out = &mut errors[i * row_bytes..][..row_bytes];
                codec::encode(isa, store, ((first + at) * classes) as u64, row, out);
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
    tasks::each_of(dlogits.bytes.chunks_mut((rows * row_bytes).max(1)), |chunk, out| {
        let mut row = vec![0.0; spec.classes];
        for (i, out) in out.chunks_mut(row_bytes).enumerate() {
            let i = chunk * rows + i;
            codec::decode(isa, logits.dtype, logits.part(i * spec.classes, spec.classes).bytes, &mut row);
            let (total, _) = exponentials(isa, spec, targets[i], &mut row);
            to_error(isa, spec, total, targets[i], factor, &mut row);
            codec::encode(isa, store, (i * spec.classes) as u64, &row, out);
        }
    });
}

/// A row x becomes e^(x - max x): the sum of them, and the loss.
fn exponentials(isa: Isa, spec: &CrossEntropy, target: u32, row: &mut [f32]) -> (f32, f32) {
    let most = largest(isa, row);
    let hit = row.get(target as usize).map(|x| f64::from(x - most));
    let smoothing = f64::from(spec.smoothing);
    // Without smoothing not even an infinite loss of another class takes part.
    let mean = if smoothing == 0.0 { 0.0 } else { sum_less(isa, most, row) / spec.classes as f64 };
    let total = exponentials_less(isa, most, row);
    let log_total = f64::from(math::ln(total));
    let loss = match hit {
        None => 0.0,
        Some(hit) if smoothing == 0.0 => log_total - hit,
        Some(hit) => (1.0 - smoothing) * (log_total - hit) + smoothing * (log_total - mean),
    };
    (total, math::canonical(loss as f32))
}

/// From a row of e^(x - max x), given their sum, to its error.
fn to_error(isa: Isa, spec: &CrossEntropy, total: f32, target: u32, factor: f32, row: &mut [f32]) {
    let less = spec.smoothing / spec.classes as f32;
    match row.get(target as usize).copied() {
        Some(hit) => {
            softmax_less(isa, [total, less, factor], row);
            row[target as usize] = math::canonical(factor * (hit / total - less - (1.0 - spec.smoothing)));
        }
        None => row.fill(math::canonical(factor * 0.0)),
    }
}

/// Rows that one thread takes at a time.
fn rows_at_once(spec: &CrossEntropy) -> usize {
    (CHUNK / spec.classes.max(1)).max(1)
}

per_isa! {
    /// max x, without NaN, which comes back in the sum.
    fn largest(x: &[f32]) -> f32 {
        let mut most = [f32::NEG_INFINITY; 16];
        each_lane(&mut most, x, |most, x| *most = if x > *most { x } else { *most });
        most.into_iter().fold(f32::NEG_INFINITY, |most, x| if x > most { x } else { most })
    }

    /// The sum of x - most.
    fn sum_less(most: f32, x: &[f32]) -> f64 {
        let mut sums = [0.0; 16];
        each_lane(&mut sums, x, |sum, x| *sum += f64::from(x - most));
        tree(sums)
    }

    /// x = e^(x - most); the sum of them.
    fn exponentials_less(most: f32, x: &mut [f32]) -> f32 {
        let mut sums = [0.0; 16];
        // Two loops, as numbers of 64 bits in the first would halve its width.
        for x in x.chunks_mut(PART) {
            for x in &mut *x {
                *x = math::exp(*x - most);
            }
            each_lane(&mut sums, x, |sum, x| *sum += f64::from(x));
        }
        tree(sums) as f32
    }

    /// x = factor (x / total - less), of [total, less, factor].
    fn softmax_less(numbers: [f32; 3], x: &mut [f32]) {
        let [total, less, factor] = numbers;
        for x in x {
            *x = math::canonical(factor * (*x / total - less));
        }
    }
}

/// Elements that stay in the first-level cache.
const PART: usize = 512;
