//! Additive attention (Bahdanau, Cho and Bengio 2015), its vector optionally normalised (Wu et al. 2016), time-major.
//!
//! ```text
//! s_tk = u . tanh(q_t + k_k + bias),   p_t = softmax over the keys of the sequence (s_t),   y_t = store( sum_k p_tk values_k )
//! ```
//!
//! with u = v, or gain v / |v|. Scores and probabilities are FP32 and exist for one query at a time; the backward pass computes them again.

#[cfg(test)]
mod tests;

use rayon::prelude::*;

use crate::arithmetic::{add, lanes_dot, multiply};
use crate::blocks::floats;
use crate::isa::Isa;
use crate::math::{exp, tanh};
use crate::reduce::store_floats;
use crate::{AdditiveAttention, Store, View, ViewMut, codec, per_isa};

/// What both passes read.
#[derive(Clone, Copy)]
pub struct Operands<'a> {
    /// (queries, batch, width).
    pub q: View<'a>,
    /// (keys, batch, width).
    pub k: View<'a>,
    /// (keys, batch, value_width).
    pub values: View<'a>,
    /// FP32 (width).
    pub v: View<'a>,
    /// FP32 (1).
    pub gain: Option<View<'a>>,
    /// FP32 (width).
    pub bias: Option<View<'a>>,
    /// Keys of each sequence; absent: all.
    pub lengths: Option<&'a [u32]>,
}

/// Where gradients go, and what is added to those that have a store.
pub struct Gradients<'a> {
    /// dq, dk, dvalues.
    pub outputs: [ViewMut<'a>; 3],
    /// How these are stored.
    pub stores: [Store; 3],
    /// Their errors from other uses.
    pub residuals: [Option<View<'a>>; 3],
    /// FP32 (width).
    pub dv: ViewMut<'a>,
    /// FP32 (1).
    pub dgain: Option<ViewMut<'a>>,
    /// FP32 (width).
    pub dbias: Option<ViewMut<'a>>,
}

/// y (queries, batch, value_width).
pub fn forward(isa: Isa, shape: &AdditiveAttention, operands: &Operands<'_>, store: &Store, y: ViewMut<'_>) {
    let vector = Vector::new(isa, operands);
    let contexts: Vec<Vec<f32>> = (0..shape.batch)
        .into_par_iter()
        .map(|row| {
            let sequence = Sequence::new(isa, shape, operands, row);
            let mut contexts = vec![0.0; shape.queries * shape.value_width];
            let mut squashed = vec![0.0; sequence.k.len()];
            for (t, context) in contexts.chunks_exact_mut(shape.value_width.max(1)).enumerate() {
                let shares = sequence.shares(isa, shape, t, &vector.unit, &mut squashed);
                for (share, value) in shares.iter().zip(sequence.values.chunks_exact(shape.value_width.max(1))) {
                    add_scaled(isa, *share, value, context);
                }
            }
            contexts
        })
        .collect();
    encode(isa, shape.batch, shape.value_width, &contexts, None, store, y);
}

/// The gradients, given that of y: with ds_tk = p_tk (dy_t . values_k - sum_l p_tl dy_t . values_l) and e = ds u (1 - tanh^2),
///
/// ```text
/// dvalues_k = sum_t p_tk dy_t,   dq_t = sum_k e_tk,   dk_k = sum_t e_tk,   dbias = sum e,   du = sum ds tanh
/// ```
///
/// in FP32, t and then k ascending; over sequences in FP64, ascending.
pub fn backward(isa: Isa, shape: &AdditiveAttention, operands: &Operands<'_>, dy: View<'_>, gradients: Gradients<'_>) {
    let vector = Vector::new(isa, operands);
    let sequences: Vec<[Vec<f32>; 4]> = (0..shape.batch)
        .into_par_iter()
        .map(|row| {
            let errors = gather(isa, dy, [shape.queries, shape.batch, shape.value_width], row);
            Sequence::new(isa, shape, operands, row).backward(isa, shape, &vector.unit, &errors)
        })
        .collect();
    let Gradients { outputs, stores, residuals, dv, dgain, dbias } = gradients;
    let mut sums = [(); 2].map(|()| vec![0.0_f64; shape.width]);
    for [dq, _, _, du] in &sequences {
        let [biases, vector] = &mut sums;
        for (sum, line) in biases.iter_mut().zip(column_sums(isa, shape.width, dq)) {
            *sum += f64::from(line);
        }
        vector.iter_mut().zip(du).for_each(|(sum, du)| *sum += f64::from(*du));
    }
    let [biases, du] = sums;
    let (dv_values, gain) = vector.gradient(&du);
    store_floats(&dv_values, dv);
    if let Some(dgain) = dgain {
        store_floats(&[gain], dgain);
    }
    if let Some(dbias) = dbias {
        store_floats(&biases.iter().map(|sum| *sum as f32).collect::<Vec<_>>(), dbias);
    }
    let mut parts = [(); 3].map(|()| Vec::with_capacity(shape.batch));
    for [dq, dk, dvalues, _] in sequences {
        parts.iter_mut().zip([dq, dk, dvalues]).for_each(|(parts, part)| parts.push(part));
    }
    let widths = [shape.width, shape.width, shape.value_width];
    for ((((parts, width), out), store), residual) in parts.iter().zip(widths).zip(outputs).zip(stores).zip(residuals) {
        encode(isa, shape.batch, width, parts, residual, &store, out);
    }
}

/// The vector that scores, and what it comes from.
struct Vector {
    /// u.
    unit: Vec<f32>,
    v: Vec<f32>,
    /// gain and |v|, where there is a gain.
    scale: Option<[f64; 2]>,
}

impl Vector {
    fn new(isa: Isa, operands: &Operands<'_>) -> Self {
        let v = floats(isa, operands.v);
        let norm = || v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let scale = operands.gain.map(|gain| [f64::from(floats(isa, gain)[0]), norm()]);
        let unit = match scale {
            Some([gain, norm]) => v.iter().map(|v| (gain * f64::from(*v) / norm) as f32).collect(),
            None => v.clone(),
        };
        Self { unit, v, scale }
    }

    /// Gradients of v and of the gain from that of u.
    fn gradient(&self, du: &[f64]) -> (Vec<f32>, f32) {
        let Some([gain, norm]) = self.scale else { return (du.iter().map(|du| *du as f32).collect(), 0.0) };
        let along = self.v.iter().zip(du).map(|(v, du)| f64::from(*v) * du).sum::<f64>() / norm;
        let across = |(v, du): (&f32, &f64)| (gain / norm * (du - f64::from(*v) * along / norm)) as f32;
        (self.v.iter().zip(du).map(across).collect(), along as f32)
    }
}

/// One sequence of the batch, decoded.
struct Sequence {
    /// Queries with the bias.
    q: Vec<f32>,
    /// Only keys that are there.
    k: Vec<f32>,
    values: Vec<f32>,
}

impl Sequence {
    fn new(isa: Isa, shape: &AdditiveAttention, operands: &Operands<'_>, row: usize) -> Self {
        let &AdditiveAttention { queries, keys, batch, width, value_width } = shape;
        let keys = operands.lengths.map_or(keys, |lengths| lengths[row] as usize);
        let mut q = gather(isa, operands.q, [queries, batch, width], row);
        if let Some(bias) = operands.bias {
            let bias = floats(isa, bias);
            q.chunks_exact_mut(width.max(1)).for_each(|q| add(isa, q, &bias));
        }
        let k = gather(isa, operands.k, [keys, batch, width], row);
        Self { q, k, values: gather(isa, operands.values, [keys, batch, value_width], row) }
    }

    /// The probabilities of the keys for query `t`; tanh of query and key to `squashed`.
    fn shares(&self, isa: Isa, shape: &AdditiveAttention, t: usize, unit: &[f32], squashed: &mut [f32]) -> Vec<f32> {
        let (width, q) = (shape.width.max(1), &self.q[t * shape.width..][..shape.width]);
        let keys = self.k.chunks_exact(width).zip(squashed.chunks_exact_mut(width));
        let mut shares: Vec<f32> = keys.map(|(k, squashed)| score(isa, q, k, unit, squashed)).collect();
        let most = shares.iter().copied().fold(f32::NEG_INFINITY, |most, s| if s > most { s } else { most });
        exps(isa, most, &mut shares);
        let total = shares.iter().sum::<f32>();
        shares.iter_mut().for_each(|share| *share /= total);
        shares
    }

    /// dq, dk, dvalues and du.
    fn backward(&self, isa: Isa, shape: &AdditiveAttention, unit: &[f32], dy: &[f32]) -> [Vec<f32>; 4] {
        let &AdditiveAttention { keys, width, value_width, .. } = shape;
        let mut dq = vec![0.0; self.q.len()];
        // Of all keys: those past the end of the sequence have no error.
        let (mut dk, mut dvalues) = (vec![0.0; keys * width], vec![0.0; keys * value_width]);
        let (mut du, mut squashed) = (vec![0.0; width], vec![0.0; self.k.len()]);
        for t in 0..shape.queries {
            let shares = self.shares(isa, shape, t, unit, &mut squashed);
            let (dy, dq) = (&dy[t * value_width..][..value_width], &mut dq[t * width..][..width]);
            let values = self.values.chunks_exact(value_width.max(1));
            let along: Vec<f32> = values.map(|value| dot(isa, dy, value)).collect();
            let mean = shares.iter().zip(&along).fold(0.0, |sum, (share, along)| sum + share * along);
            for (key, (share, along)) in shares.iter().zip(&along).enumerate() {
                add_scaled(isa, *share, dy, &mut dvalues[key * value_width..][..value_width]);
                let squashed = &squashed[key * width..][..width];
                let ds = share * (along - mean);
                score_errors(isa, ds, unit, squashed, dq, &mut dk[key * width..][..width], &mut du);
            }
        }
        [dq, dk, dvalues, du]
    }
}

/// Row `row` of each step of (steps, batch, width), together.
fn gather(isa: Isa, x: View<'_>, [steps, batch, width]: [usize; 3], row: usize) -> Vec<f32> {
    let mut out = vec![0.0; steps * width];
    for (t, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
        codec::decode(isa, x.dtype, x.part((t * batch + row) * width, width).bytes, out);
    }
    out
}

/// out (steps, batch, width) = store(each sequence's (steps, width), plus residual).
fn encode(
    isa: Isa,
    batch: usize,
    width: usize,
    sequences: &[Vec<f32>],
    residual: Option<View<'_>>,
    store: &Store,
    out: ViewMut<'_>,
) {
    let bytes = width * out.dtype.size();
    out.bytes.par_chunks_mut((batch * bytes).max(1)).enumerate().for_each(|(t, out)| {
        let mut addend = vec![0.0; width];
        for (row, (out, sequence)) in out.chunks_mut(bytes.max(1)).zip(sequences).enumerate() {
            let (first, mut line) = ((t * batch + row) * width, sequence[t * width..][..width].to_vec());
            match residual {
                Some(residual) => {
                    codec::decode(isa, residual.dtype, residual.part(first, width).bytes, &mut addend);
                    add(isa, &mut line, &addend);
                }
                None => multiply(isa, 1.0, &mut line),
            }
            codec::encode(isa, store, first as u64, &line, out);
        }
    });
}

/// Sums over rows, ascending.
fn column_sums(isa: Isa, width: usize, x: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    x.chunks_exact(width.max(1)).for_each(|line| add(isa, &mut sums, line));
    sums
}

per_isa! {
    /// squashed = tanh(q + k); its product with u: 16 interleaved sums, added as a tree.
    fn score(q: &[f32], k: &[f32], unit: &[f32], squashed: &mut [f32]) -> f32 {
        for ((squashed, q), k) in squashed.iter_mut().zip(q).zip(k) {
            *squashed = tanh(q + k);
        }
        lanes_dot(unit, squashed)
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        lanes_dot(a, b)
    }

    /// x = e^(x - most).
    fn exps(most: f32, x: &mut [f32]) {
        for x in x {
            *x = exp(*x - most);
        }
    }

    /// sum += factor x.
    fn add_scaled(factor: f32, x: &[f32], sum: &mut [f32]) {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += factor * x;
        }
    }

    fn score_errors(ds: f32, unit: &[f32], squashed: &[f32], dq: &mut [f32], dk: &mut [f32], du: &mut [f32]) {
        let sums = dq.iter_mut().zip(dk).zip(du);
        for (((dq, dk), du), (unit, t)) in sums.zip(unit.iter().zip(squashed)) {
            let error = ds * unit * (1.0 - t * t);
            *dq += error;
            *dk += error;
            *du += ds * t;
        }
    }
}
