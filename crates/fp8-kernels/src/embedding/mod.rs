//! Rows of a table by their numbers.

#[cfg(test)]
mod tests;

use rayon::prelude::*;

use crate::arithmetic::{add, multiply};
use crate::blocks::CHUNK;
use crate::isa::Isa;
use crate::{Embedding, Store, View, ViewMut, codec};

/// Inputs of [`forward`].
pub struct Forward<'a> {
    /// Each below `entries`.
    pub tokens: &'a [u32],
    /// (entries, width).
    pub w: View<'a>,
    /// Factor of the entries.
    pub factor: f32,
    /// FP32 (positions, width).
    pub positions: Option<View<'a>>,
}

/// Inputs of [`backward`].
pub struct Backward<'a> {
    /// Each below `entries`.
    pub tokens: &'a [u32],
    /// (rows, width).
    pub dy: View<'a>,
    /// Factor of the sums.
    pub factor: f32,
    /// (entries, width).
    pub residual: Option<View<'a>>,
}

/// y (rows, width) = `store(factor w[token] + positions[row / repeat % positions])`.
pub fn forward(isa: Isa, embedding: &Embedding, arguments: &Forward<'_>, store: &Store, y: ViewMut<'_>) {
    let &Forward { tokens, w, factor, positions } = arguments;
    let (width, rows, size) = (embedding.width, rows_at_once(embedding), y.dtype.size());
    y.bytes.par_chunks_mut((rows * width * size).max(1)).enumerate().for_each(|(chunk, y)| {
        let (mut line, mut position) = (vec![0.0; width], vec![0.0; width]);
        for (row, y) in (chunk * rows..).zip(y.chunks_mut(width * size)) {
            decode(isa, w, tokens[row] as usize * width, &mut line);
            multiply(isa, factor, &mut line);
            if let Some(positions) = positions {
                decode(isa, positions, row / embedding.repeat % embedding.positions * width, &mut position);
                add(isa, &mut line, &position);
            }
            codec::encode(isa, store, (row * width) as u64, &line, y);
        }
    });
}

/// dw (entries, width) = store(factor * sum of the dy of rows with that token + residual): FP32, ascending rows; the padding's sum is zero.
pub fn backward(isa: Isa, embedding: &Embedding, arguments: &Backward<'_>, store: &Store, dw: ViewMut<'_>) {
    let &Backward { tokens, dy, factor, residual } = arguments;
    let (width, entries, size) = (embedding.width, rows_at_once(embedding), dw.dtype.size());
    let (starts, rows) = by_token(embedding, tokens);
    dw.bytes.par_chunks_mut((entries * width * size).max(1)).enumerate().for_each(|(chunk, dw)| {
        let (mut sum, mut line) = (vec![0.0; width], vec![0.0; width]);
        for (entry, dw) in (chunk * entries..).zip(dw.chunks_mut(width * size)) {
            sum.fill(0.0);
            for row in &rows[starts[entry]..starts[entry + 1]] {
                decode(isa, dy, row * width, &mut line);
                add(isa, &mut sum, &line);
            }
            multiply(isa, factor, &mut sum);
            if let Some(residual) = residual {
                decode(isa, residual, entry * width, &mut line);
                add(isa, &mut sum, &line);
            }
            codec::encode(isa, store, (entry * width) as u64, &sum, dw);
        }
    });
}

/// Where the rows of each token begin, and the rows: ascending, one token's after the other's; those of the padding are left out.
pub fn by_token(embedding: &Embedding, tokens: &[u32]) -> (Vec<usize>, Vec<usize>) {
    let counted = |token: u32| Some(token) != embedding.padding;
    let mut starts = vec![0; embedding.entries + 1];
    for token in tokens.iter().filter(|token| counted(**token)) {
        starts[*token as usize + 1] += 1;
    }
    for entry in 0..embedding.entries {
        starts[entry + 1] += starts[entry];
    }
    let (mut next, mut rows) = (starts.clone(), vec![0; starts[embedding.entries]]);
    for (row, token) in tokens.iter().enumerate().filter(|(_, token)| counted(**token)) {
        rows[next[*token as usize]] = row;
        next[*token as usize] += 1;
    }
    (starts, rows)
}

/// Rows that one thread takes at a time.
fn rows_at_once(embedding: &Embedding) -> usize {
    (CHUNK / 4 / embedding.width.max(1)).max(1)
}

fn decode(isa: Isa, view: View<'_>, first: usize, out: &mut [f32]) {
    codec::decode(isa, view.dtype, view.part(first, out.len()).bytes, out);
}
