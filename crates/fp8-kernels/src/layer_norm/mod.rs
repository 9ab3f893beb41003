//! Layer normalisation (Ba, Kiros and Hinton 2016) of each row of (rows, width).
//!
//! With n = (x - mean) / sqrt(variance + epsilon), mean and biased variance those of the row, and g = gamma dy:
//!
//! ```text
//! y  = store( gamma n + beta )
//! dx = store( (g - mean(g) - n mean(g n)) / sqrt(variance + epsilon) + residual ),   dgamma = sum dy n,   dbeta = sum dy
//! ```
//!
//! Means over a row are FP32: 16 interleaved sums, added as a tree. Sums over rows are FP64, in the order of [`crate::reduce`].
//! Nothing but x is kept: the backward pass computes mean and variance again, with the same bits.

#[cfg(test)]
mod tests;

use rayon::prelude::*;

use crate::arithmetic::{add, lanes_dot, lanes_total};
use crate::blocks::{CHUNK, floats};
use crate::isa::Isa;
use crate::math::canonical;
use crate::reduce::{ROWS_OF_CHUNK, over_chunks, store_floats};
use crate::{LayerNorm, Store, View, ViewMut, codec, per_isa};

/// y (rows, width).
pub fn forward(isa: Isa, norm: &LayerNorm, inputs: [View<'_>; 3], store: &Store, y: ViewMut<'_>) {
    let [x, gamma, beta] = inputs;
    let lines = [gamma, beta].map(|view| floats(isa, view));
    let bytes = norm.width * y.dtype.size();
    y.bytes.par_chunks_mut(rows_of_a_chunk(norm) * bytes).enumerate().for_each(|(chunk, y)| {
        let mut row = vec![0.0; norm.width];
        for (i, y) in y.chunks_exact_mut(bytes).enumerate() {
            let first = (chunk * rows_of_a_chunk(norm) + i) * norm.width;
            codec::decode(isa, x.dtype, x.part(first, norm.width).bytes, &mut row);
            normalise(isa, norm.epsilon, &mut row, &lines);
            codec::encode(isa, store, first as u64, &row, y);
        }
    });
}

/// Inputs of [`backward`].
#[derive(Clone, Copy)]
pub struct Backward<'a> {
    /// (rows, width).
    pub x: View<'a>,
    /// FP32 (width).
    pub gamma: View<'a>,
    /// (rows, width).
    pub dy: View<'a>,
    /// Added to dx.
    pub residual: Option<View<'a>>,
}

/// dx (rows, width), then dgamma and dbeta, FP32 (width).
pub fn backward(isa: Isa, norm: &LayerNorm, arguments: &Backward<'_>, store: &Store, outputs: [ViewMut<'_>; 3]) {
    let &Backward { x, dy, residual, .. } = arguments;
    let gamma = floats(isa, arguments.gamma);
    let [dx, dgamma, dbeta] = outputs;
    let bytes = norm.width * dx.dtype.size();
    let chunks = dx.bytes.par_chunks_mut(ROWS_OF_CHUNK * bytes).enumerate().map(|(chunk, dx)| {
        let mut sums = [(); 2].map(|()| vec![0.0_f64; norm.width]);
        let mut rows = [(); 3].map(|()| vec![0.0; norm.width]);
        for (i, dx) in dx.chunks_exact_mut(bytes).enumerate() {
            let first = (chunk * ROWS_OF_CHUNK + i) * norm.width;
            for (view, row) in [Some(x), Some(dy), residual].into_iter().zip(&mut rows) {
                if let Some(view) = view {
                    codec::decode(isa, view.dtype, view.part(first, norm.width).bytes, row);
                }
            }
            let [x, dy, addend] = &mut rows;
            errors(isa, norm.epsilon, x, dy, &gamma, &mut sums);
            if residual.is_some() {
                add(isa, dy, addend);
            }
            codec::encode(isa, store, first as u64, dy, dx);
        }
        sums
    });
    let sums = over_chunks(norm.width, chunks.collect());
    for (sums, out) in sums.into_iter().zip([dgamma, dbeta]) {
        store_floats(&sums.into_iter().map(|sum| sum as f32).collect::<Vec<_>>(), out);
    }
}

fn rows_of_a_chunk(norm: &LayerNorm) -> usize {
    (CHUNK / norm.width).max(1)
}

/// Mean, and 1 / sqrt(variance + epsilon).
#[inline(always)]
fn moments(epsilon: f32, x: &[f32]) -> (f32, f32) {
    let width = x.len() as f32;
    let mean = lanes_total(x, |x| x) / width;
    let variance = lanes_total(x, |x| (x - mean) * (x - mean)) / width;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

per_isa! {
    fn normalise(epsilon: f32, x: &mut [f32], lines: &[Vec<f32>; 2]) {
        let (mean, inverse) = moments(epsilon, x);
        let [gamma, beta] = lines;
        for ((x, gamma), beta) in x.iter_mut().zip(gamma).zip(beta) {
            *x = canonical((*x - mean) * inverse * gamma + beta);
        }
    }

    /// From x and dy to dx in dy's place; x becomes n.
    fn errors(epsilon: f32, x: &mut [f32], dy: &mut [f32], gamma: &[f32], sums: &mut [Vec<f64>; 2]) {
        let (mean, inverse) = moments(epsilon, x);
        let [dgamma, dbeta] = sums;
        for (((x, dy), gamma), (dgamma, dbeta)) in
            x.iter_mut().zip(dy.iter_mut()).zip(gamma).zip(dgamma.iter_mut().zip(dbeta))
        {
            *x = (*x - mean) * inverse;
            *dgamma += f64::from(*dy * *x);
            *dbeta += f64::from(*dy);
            *dy *= gamma;
        }
        let width = x.len() as f32;
        let (along, average) = (lanes_dot(dy, x) / width, lanes_total(dy, |dy| dy) / width);
        for (dy, x) in dy.iter_mut().zip(x) {
            *dy = canonical((*dy - average - *x * along) * inverse);
        }
    }
}
