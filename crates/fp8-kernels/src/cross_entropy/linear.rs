//! The loss of a linear layer's logits, some rows at a time.

use super::{Gradient, of_rows};
use crate::gemm::{FactorRoom, FixedB, Second};
use crate::isa::Isa;
use crate::{Activation, CrossEntropy, EpilogueView, Store, View, ViewMut};

/// What gives the logits alpha x w^T + bias.
#[derive(Clone, Copy)]
pub struct Operands<'a> {
    /// Columns of x.
    pub inputs: usize,
    /// (rows, inputs).
    pub x: View<'a>,
    /// (classes, inputs).
    pub w: View<'a>,
    /// F32 (classes).
    pub bias: Option<View<'a>>,
    /// Factor of the products.
    pub alpha: f32,
}

/// Logits that exist at a time, about: 4 MiB, which stay in caches; of very many classes 32 rows.
const MOST_LOGITS: usize = 1 << 20;

/// Rows of logits that exist at a time.
pub fn rows_at_a_time(spec: &CrossEntropy) -> usize {
    (MOST_LOGITS / spec.classes.max(1)).max(1).next_multiple_of(32).min(spec.rows)
}

/// Losses (rows), and the error of the logits where it is asked for; `room` is for the F32 logits of [`rows_at_a_time`].
pub fn linear(
    isa: Isa,
    spec: &CrossEntropy,
    operands: &Operands<'_>,
    targets: &[u32],
    room: &mut [f32],
    losses: ViewMut<'_>,
    mut gradient: Option<Gradient<'_>>,
) {
    let &Operands { inputs, x, w, bias, alpha } = operands;
    let &CrossEntropy { rows, classes, .. } = spec;
    let (residual, activation) = (None, Activation::None);
    let epilogue = EpilogueView { alpha, bias, residual, activation, store: Store::F32 };
    let mut packed = FactorRoom::take();
    let w = FixedB::new(isa, x.dtype, Second { view: w, n: classes, k: inputs, along_k: true }, &mut packed);
    let step = rows_at_a_time(spec).max(1);
    for (first, losses) in (0..rows).step_by(step).zip(losses.bytes.chunks_mut(step * size_of::<f32>())) {
        let count = step.min(rows - first);
        let logits = &mut room[..count * classes];
        w.product(count, x.part(first * inputs, count * inputs), &epilogue, ViewMut::of_floats(logits));
        let gradient = gradient.as_mut().map(|Gradient { factor, store, dlogits }| {
            let row = classes * store.dtype.size();
            let bytes = &mut dlogits.bytes[first * row..(first + count) * row];
            Gradient { factor: *factor, store: *store, dlogits: ViewMut { dtype: store.dtype, bytes } }
        });
        of_rows(isa, spec, first, logits, &targets[first..first + count], losses, gradient);
    }
}
