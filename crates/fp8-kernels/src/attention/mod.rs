//! Multi-head attention by scaled products (Vaswani et al. 2017), time-major. Of each sequence and head, with d the head's width,
//!
//! ```text
//! s_tk = q_t . k_k / sqrt(d),   p_t = softmax over the keys that t sees (s_t),   y_t = store( sum_k p_tk values_k )
//! ```
//!
//! Query t sees the keys of its sequence and, where attention is causal, those up to t + keys - queries. Scores and probabilities are FP32 and
//! exist for [`BLOCK`] queries at a time; the backward pass computes them again, with the same bits, from the operands, which are all that is kept.

mod products;
#[cfg(test)]
mod tests;

use std::ops::Range;

use rayon::prelude::*;

use self::products::{Factor, LANES, Rows, add_product};
use crate::arithmetic::{add, lanes_dot, lanes_total, multiply};
use crate::isa::Isa;
use crate::math::exp;
use crate::{Attention, Store, View, ViewMut, codec, per_isa};

/// Queries whose scores exist together.
pub const BLOCK: usize = 32;

/// What both passes read.
#[derive(Clone, Copy)]
pub struct Operands<'a> {
    /// (queries, batch, width).
    pub q: View<'a>,
    /// (keys, batch, width).
    pub k: View<'a>,
    /// (keys, batch, width).
    pub values: View<'a>,
    /// Keys of each sequence; absent: all.
    pub lengths: Option<&'a [u32]>,
}

/// Where gradients go, and what is added to them: dq, dk, dvalues.
pub struct Gradients<'a> {
    /// Of the shapes of q, k and values.
    pub outputs: [ViewMut<'a>; 3],
    /// How they are stored.
    pub stores: [Store; 3],
    /// Their errors from other uses.
    pub residuals: [Option<View<'a>>; 3],
}

/// y (queries, batch, width).
pub fn forward(isa: Isa, shape: &Attention, operands: &Operands<'_>, store: &Store, y: ViewMut<'_>) {
    let heads: Vec<Vec<f32>> =
        tasks(shape).map(|index| Head::new(isa, shape, operands, index).contexts(operands)).collect();
    encode(isa, shape, &heads, None, store, y);
}

/// The gradients, given that of y: with ds_tk = p_tk (dy_t . values_k - sum_l p_tl dy_t . values_l) / sqrt(d),
///
/// ```text
/// dvalues_k = sum_t p_tk dy_t,   dq_t = sum_k ds_tk k_k,   dk_k = sum_t ds_tk q_t
/// ```
///
/// in FP32, t and k ascending.
pub fn backward(isa: Isa, shape: &Attention, operands: &Operands<'_>, dy: View<'_>, gradients: Gradients<'_>) {
    let heads: Vec<[Vec<f32>; 3]> =
        tasks(shape).map(|index| Head::new(isa, shape, operands, index).gradients(operands, dy)).collect();
    let mut parts = [(); 3].map(|()| Vec::with_capacity(heads.len()));
    for head in heads {
        parts.iter_mut().zip(head).for_each(|(parts, part)| parts.push(part));
    }
    let Gradients { outputs, stores, residuals } = gradients;
    for (((parts, out), store), residual) in parts.iter().zip(outputs).zip(&stores).zip(residuals) {
        encode(isa, shape, parts, residual, store, out);
    }
}

/// A head of a sequence each.
fn tasks(shape: &Attention) -> impl IndexedParallelIterator<Item = usize> {
    (0..shape.batch * shape.heads).into_par_iter()
}

/// One head of one sequence.
struct Head<'a> {
    isa: Isa,
    shape: &'a Attention,
    row: usize,
    /// Its first column.
    column: usize,
    /// Keys of the sequence.
    keys: usize,
    /// Its width and `keys`, with room for whole lanes.
    wide: usize,
    across: usize,
    scale: f32,
    /// (queries, wide).
    q: Vec<f32>,
    /// (head_width, across).
    k_columns: Vec<f32>,
}

impl<'a> Head<'a> {
    fn new(isa: Isa, shape: &'a Attention, operands: &Operands<'_>, index: usize) -> Self {
        let (row, column) = (index / shape.heads, index % shape.heads * shape.head_width);
        let keys = operands.lengths.map_or(shape.keys, |lengths| lengths[row] as usize);
        let mut head = Self {
            isa,
            shape,
            row,
            column,
            keys,
            wide: shape.head_width.next_multiple_of(LANES),
            across: keys.next_multiple_of(LANES),
            scale: 1.0 / (shape.head_width as f32).sqrt(),
            q: Vec::new(),
            k_columns: Vec::new(),
        };
        head.q = head.rows(operands.q, shape.queries);
        head.k_columns = head.columns(operands.k);
        head
    }

    /// (steps, wide) of (steps, batch, width).
    fn rows(&self, x: View<'_>, steps: usize) -> Vec<f32> {
        let mut out = vec![0.0; steps * self.wide];
        for (t, line) in out.chunks_exact_mut(self.wide).enumerate() {
            self.line(x, t, &mut line[..self.shape.head_width]);
        }
        out
    }

    /// (head_width, across) of (keys, batch, width).
    fn columns(&self, x: View<'_>) -> Vec<f32> {
        let (mut out, mut line) = (vec![0.0; self.shape.head_width * self.across], vec![0.0; self.shape.head_width]);
        for t in 0..self.keys {
            self.line(x, t, &mut line);
            for (value, column) in line.iter().zip(out.chunks_exact_mut(self.across)) {
                column[t] = *value;
            }
        }
        out
    }

    fn line(&self, x: View<'_>, t: usize, out: &mut [f32]) {
        let first = (t * self.shape.batch + self.row) * self.shape.width() + self.column;
        codec::decode(self.isa, x.dtype, x.part(first, out.len()).bytes, out);
    }

    /// How many keys query `t` sees.
    fn seen(&self, t: usize) -> usize {
        let Attention { queries, keys, causal, .. } = *self.shape;
        if causal { self.keys.min(t + 1 + keys - queries) } else { self.keys }
    }

    /// Queries, and how many keys the last of them sees.
    fn blocks(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        let queries = self.shape.queries;
        (0..queries).step_by(BLOCK).map(move |first| {
            let block = first..queries.min(first + BLOCK);
            let seen = self.seen(block.end - 1);
            (block, seen)
        })
    }

    /// left (block, wide) right (head_width, across), to `out` (block, across): as many columns as are `seen`.
    fn scores(&self, left: &[f32], right: &[f32], block: &Range<usize>, seen: usize, out: &mut [f32]) {
        let out = &mut out[..block.len() * self.across];
        out.fill(0.0);
        let a = Factor { values: &left[block.start * self.wide..], steps: [self.wide, 1] };
        let size = [block.len(), seen.next_multiple_of(LANES), self.shape.head_width];
        add_product(self.isa, size, &a, &Rows { values: right, stride: self.across }, out, self.across);
    }

    /// The probabilities (block, across), 0 for keys that are not seen.
    fn shares(&self, block: &Range<usize>, seen: usize, shares: &mut [f32]) {
        self.scores(&self.q, &self.k_columns, block, seen, shares);
        for (t, shares) in block.clone().zip(shares.chunks_exact_mut(self.across)) {
            let (seen, unseen) = shares.split_at_mut(self.seen(t));
            softmax(self.isa, self.scale, seen);
            unseen.fill(0.0);
        }
    }

    /// out (block, wide) += shares (block, across) right (keys, wide).
    fn average(&self, shares: &[f32], right: &[f32], block: &Range<usize>, seen: usize, out: &mut [f32]) {
        let a = Factor { values: shares, steps: [self.across, 1] };
        let out = &mut out[block.start * self.wide..block.end * self.wide];
        let right = Rows { values: right, stride: self.wide };
        add_product(self.isa, [block.len(), self.wide, seen], &a, &right, out, self.wide);
    }

    /// out (keys, wide) += shares^T (seen, block) left (block, wide).
    fn gather(&self, shares: &[f32], left: &[f32], block: &Range<usize>, seen: usize, out: &mut [f32]) {
        let a = Factor { values: shares, steps: [1, self.across] };
        let left = Rows { values: &left[block.start * self.wide..], stride: self.wide };
        add_product(self.isa, [seen, self.wide, block.len()], &a, &left, out, self.wide);
    }

    /// (queries, wide).
    fn contexts(&self, operands: &Operands<'_>) -> Vec<f32> {
        let values = self.rows(operands.values, self.keys);
        let (mut y, mut shares) = (vec![0.0; self.q.len()], self.room());
        for (block, seen) in self.blocks() {
            self.shares(&block, seen, &mut shares);
            self.average(&shares, &values, &block, seen, &mut y);
        }
        y
    }

    /// dq (queries, wide), dk and dvalues (keys, wide), zero past the end of the sequence.
    fn gradients(&self, operands: &Operands<'_>, dy: View<'_>) -> [Vec<f32>; 3] {
        let k = self.rows(operands.k, self.keys);
        let (value_columns, dy) = (self.columns(operands.values), self.rows(dy, self.shape.queries));
        let [mut dq, mut dk, mut dvalues] =
            [self.shape.queries, self.shape.keys, self.shape.keys].map(|steps| vec![0.0; steps * self.wide]);
        let (mut shares, mut errors) = (self.room(), self.room());
        for (block, seen) in self.blocks() {
            self.shares(&block, seen, &mut shares);
            self.gather(&shares, &dy, &block, seen, &mut dvalues);
            self.scores(&dy, &value_columns, &block, seen, &mut errors);
            let rows = shares.chunks_exact(self.across).zip(errors.chunks_exact_mut(self.across));
            for (t, (shares, errors)) in block.clone().zip(rows) {
                let (errors, unseen) = errors.split_at_mut(self.seen(t));
                score_errors(self.isa, self.scale, &shares[..errors.len()], errors);
                unseen.fill(0.0);
            }
            self.average(&errors, &k, &block, seen, &mut dq);
            self.gather(&errors, &self.q, &block, seen, &mut dk);
        }
        [dq, dk, dvalues]
    }

    fn room(&self) -> Vec<f32> {
        vec![0.0; BLOCK.min(self.shape.queries) * self.across]
    }
}

/// out (steps, batch, width) = store(the heads' (steps, wide) side by side, plus residual).
fn encode(
    isa: Isa,
    shape: &Attention,
    heads: &[Vec<f32>],
    residual: Option<View<'_>>,
    store: &Store,
    out: ViewMut<'_>,
) {
    let (width, wide) = (shape.width(), shape.head_width.next_multiple_of(LANES));
    let bytes = width * out.dtype.size();
    out.bytes.par_chunks_mut((shape.batch * bytes).max(1)).enumerate().for_each(|(t, out)| {
        let (mut line, mut addend) = (vec![0.0; width], vec![0.0; width]);
        for (row, (out, heads)) in out.chunks_exact_mut(bytes).zip(heads.chunks_exact(shape.heads)).enumerate() {
            for (part, head) in line.chunks_exact_mut(shape.head_width).zip(heads) {
                part.copy_from_slice(&head[t * wide..][..shape.head_width]);
            }
            let first = (t * shape.batch + row) * width;
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

per_isa! {
    /// x = softmax(scale x).
    fn softmax(scale: f32, x: &mut [f32]) {
        let mut most = [f32::NEG_INFINITY; LANES];
        for line in x.chunks_mut(LANES) {
            for (x, most) in line.iter_mut().zip(&mut most) {
                *x *= scale;
                *most = if *x > *most { *x } else { *most };
            }
        }
        let most = most.into_iter().fold(f32::NEG_INFINITY, |most, x| if x > most { x } else { most });
        for x in x.iter_mut() {
            *x = exp(*x - most);
        }
        let total = lanes_total(x, |x| x);
        for x in x {
            *x /= total;
        }
    }

    /// From dy . values to ds, given the probabilities.
    fn score_errors(scale: f32, shares: &[f32], errors: &mut [f32]) {
        let mean = lanes_dot(shares, errors);
        for (error, share) in errors.iter_mut().zip(shares) {
            *error = share * (*error - mean) * scale;
        }
    }
}
