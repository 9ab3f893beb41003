//! How elementwise kernels run: chunks in parallel, in each of them blocks of f32 that stay in the L1 cache.
//!
//! Codes are decoded at the start of a block and encoded at its end, so that no kernel knows element types. What a chunk and a
//! block are depends on shapes alone, never on threads: sums over chunks have one order.

use std::ops::Range;

use rayon::prelude::*;

use crate::isa::Isa;
use crate::{Store, View, ViewMut, codec};

/// Elements of a block.
pub(crate) const BLOCK: usize = 512;

/// Elements of a chunk.
pub(crate) const CHUNK: usize = 64 * BLOCK;

/// The inputs of a kernel in one block; absent ones are empty.
pub(crate) type Blocks<'a, const N: usize> = [&'a mut [f32]; N];

/// y = store(body(inputs)): `body` is called with the index of the first element of a block and leaves its result in the
/// first input.
pub(crate) fn map<const N: usize>(
    isa: Isa,
    inputs: [Option<View<'_>>; N],
    store: &Store,
    y: ViewMut<'_>,
    body: impl Fn(usize, Blocks<'_, N>) + Sync,
) {
    let size = y.dtype.size();
    y.bytes.par_chunks_mut(CHUNK * size).enumerate().for_each(|(chunk, y)| {
        let first = chunk * CHUNK;
        each_block(isa, inputs, first..first + y.len() / size, |at, mut blocks| {
            body(at, blocks.each_mut().map(|block| &mut **block));
            let out = &mut y[(at - first) * size..][..blocks[0].len() * size];
            codec::encode(isa, store, at as u64, blocks[0], out);
        });
    });
}

/// Results of `body` for each chunk of `range` elements, in order; `body` is called with the index of the first element of a block
/// and what the chunk has so far.
pub(crate) fn fold<T: Send, const N: usize>(
    isa: Isa,
    inputs: [Option<View<'_>>; N],
    chunk: usize,
    start: impl Fn() -> T + Sync,
    body: impl Fn(usize, &mut T, Blocks<'_, N>) + Sync,
) -> Vec<T> {
    let len = inputs[0].map_or(0, View::len);
    (0..len.div_ceil(chunk))
        .into_par_iter()
        .map(|index| {
            let mut result = start();
            let range = index * chunk..len.min((index + 1) * chunk);
            each_block(isa, inputs, range, |at, blocks| body(at, &mut result, blocks));
            result
        })
        .collect()
}

/// Calls `body` with the index of the first element of each block of `range`, and the block.
pub(crate) fn each_block<const N: usize>(
    isa: Isa,
    inputs: [Option<View<'_>>; N],
    range: Range<usize>,
    body: impl FnMut(usize, Blocks<'_, N>),
) {
    each_of(isa, inputs, cut(range), body);
}

/// The same for these blocks, none of which is longer than [`BLOCK`].
pub(crate) fn each_of<const N: usize>(
    isa: Isa,
    inputs: [Option<View<'_>>; N],
    blocks: impl Iterator<Item = Range<usize>>,
    mut body: impl FnMut(usize, Blocks<'_, N>),
) {
    let mut room = [[0.0; BLOCK]; N];
    for Range { start, end } in blocks {
        let len = end - start;
        let mut blocks = room.each_mut().map(|block| &mut block[..len]);
        for (block, input) in blocks.iter_mut().zip(inputs) {
            match input {
                Some(input) => codec::decode(isa, input.dtype, input.part(start, len).bytes, block),
                None => *block = &mut [],
            }
        }
        body(start, blocks);
    }
}

/// A range in blocks.
pub(crate) fn cut(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(BLOCK).map(move |at| at..range.end.min(at + BLOCK))
}

/// Cuts elements from `first` on, of rows of `channels`, at the ends of rows: (elements, their channels).
#[inline(always)]
pub(crate) fn each_row(
    first: usize,
    len: usize,
    channels: usize,
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let channel = (first + at) % channels;
        let count = (channels - channel).min(len - at);
        at += count;
        (count > 0).then_some((at - count..at, channel..channel + count))
    })
}

/// A whole view as f32.
pub(crate) fn floats(isa: Isa, view: View<'_>) -> Vec<f32> {
    let mut floats = vec![0.0; view.len()];
    codec::decode(isa, view.dtype, view.bytes, &mut floats);
    floats
}
