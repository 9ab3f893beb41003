//! Softmax cross-entropy with label smoothing, row by row.

use rayon::prelude::*;

use crate::arithmetic::multiply;
use crate::isa::Isa;
use crate::reduce::store_floats;
use crate::{CrossEntropy, Store, View, ViewMut, codec, math};

/// losses (rows): -sum_c target_c log softmax(logits)_c, with target = (1 - smoothing) one-hot + smoothing / classes.
pub fn forward(isa: Isa, spec: &CrossEntropy, logits: View<'_>, targets: &[u32], losses: ViewMut<'_>) {
    let losses_of: Vec<f32> = (0..spec.rows)
        .into_par_iter()
        .map(|row| {
            let (shifted, total) = shifted_row(isa, spec, logits, row);
            let log_total = math::ln(total);
            let hit = log_total - shifted[targets[row] as usize];
            let all: f64 = shifted.iter().map(|x| f64::from(log_total - x)).sum();
            let smoothing = f64::from(spec.smoothing);
            // Without smoothing not even an infinite loss of another class takes part.
            let spread = if spec.smoothing == 0.0 { 0.0 } else { smoothing / spec.classes as f64 * all };
            ((1.0 - smoothing) * f64::from(hit) + spread) as f32
        })
        .collect();
    store_floats(&losses_of, losses);
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
    let row_bytes = spec.classes * dlogits.dtype.size();
    dlogits.bytes.par_chunks_mut(row_bytes.max(1)).enumerate().for_each(|(row, out)| {
        let (mut errors, total) = shifted_row(isa, spec, logits, row);
        math::exp(isa, &mut errors);
        for error in &mut errors {
            *error = *error / total - spec.smoothing / spec.classes as f32;
        }
        errors[targets[row] as usize] -= 1.0 - spec.smoothing;
        multiply(isa, factor, &mut errors);
        codec::encode(isa, store, (row * spec.classes) as u64, &errors, out);
    });
}

/// x - max x, and the sum of e^(x - max x), of one row.
fn shifted_row(isa: Isa, spec: &CrossEntropy, logits: View<'_>, row: usize) -> (Vec<f32>, f32) {
    let mut shifted = vec![0.0; spec.classes];
    codec::decode(isa, logits.dtype, logits.part(row * spec.classes, spec.classes).bytes, &mut shifted);
    let most = shifted.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    shifted.iter_mut().for_each(|x| *x -= most);
    let mut powers = shifted.clone();
    math::exp(isa, &mut powers);
    let total = powers.iter().map(|power| f64::from(*power)).sum::<f64>() as f32;
    (shifted, total)
}
