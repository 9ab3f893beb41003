//! Pooling of (N, H, W, C).

#[cfg(test)]
mod tests;

use std::ops::Range;

use rayon::prelude::*;

use crate::arithmetic::{add, divide};
use crate::blocks::floats;
use crate::isa::Isa;
use crate::math::canonical;
use crate::{Pool2d, Store, View, ViewMut, codec, per_isa};

/// y = store(max over the window), and the place in the window (row-major, the first of equals) of each. A NaN is larger
/// than all, as in PyTorch.
pub fn max(isa: Isa, pool: &Pool2d, x: View<'_>, store: &Store, y: ViewMut<'_>, index: &mut [u8]) {
    let ([oh, ow], [h, w], c) = (pool.output(), pool.input, pool.channels);
    let row = (ow * c).max(1);
    let rows = y.bytes.par_chunks_mut(row * y.dtype.size()).zip(index.par_chunks_mut(row));
    let room = || (vec![0.0; w * c], vec![0.0; ow * c]);
    rows.enumerate().for_each_init(room, |(input, best), (line, (y, index))| {
        let (image, oy) = (line / oh, line % oh);
        let on_input: Vec<_> = (0..pool.kernel).filter(|ky| windows(pool, *ky, h, oh).contains(&oy)).collect();
        best.fill(f32::NEG_INFINITY);
        for (ox, index) in index.chunks_mut(c).enumerate() {
            // The first place on the input, which no other need exceed.
            let kx = pool.padding.saturating_sub(ox * pool.stride);
            index.fill((on_input[0] * pool.kernel + kx) as u8);
        }
        for ky in on_input {
            let iy = oy * pool.stride + ky - pool.padding;
            codec::decode(isa, x.dtype, x.part((image * h + iy) * w * c, w * c).bytes, input);
            for kx in 0..pool.kernel {
                let windows = windows(pool, kx, w, ow);
                if windows.is_empty() {
                    continue;
                }
                let first = (windows.start * pool.stride + kx).saturating_sub(pool.padding) * c;
                let (place, outputs) = ((ky * pool.kernel + kx) as u8, windows.start * c..windows.end * c);
                let (best, index) = (&mut best[outputs.clone()], &mut index[outputs]);
                larger(isa, place, pool.stride, c, &input[first..], best, index);
            }
        }
        codec::encode(isa, store, (line * ow * c) as u64, best, y);
    });
}

/// dx = store(sum of the dy whose maximum stood there, in ascending order of y).
pub fn max_backward(isa: Isa, pool: &Pool2d, dy: View<'_>, index: &[u8], store: &Store, dx: ViewMut<'_>) {
    let ([oh, ow], [h, w], c) = (pool.output(), pool.input, pool.channels);
    let row = (w * c).max(1);
    let room = || (vec![0.0; ow * c], vec![0.0; w * c]);
    dx.bytes.par_chunks_mut(row * dx.dtype.size()).enumerate().for_each_init(room, |(errors, sums), (line, dx)| {
        let (image, iy) = (line / h, line % h);
        sums.fill(0.0);
        // Descending places are ascending outputs.
        for ky in (0..pool.kernel).rev() {
            let Some(oy) = output_at(pool, ky, iy, oh) else { continue };
            let from = (image * oh + oy) * ow * c;
            codec::decode(isa, dy.dtype, dy.part(from, ow * c).bytes, errors);
            for kx in (0..pool.kernel).rev() {
                let windows = windows(pool, kx, w, ow);
                if windows.is_empty() {
                    continue;
                }
                let first = (windows.start * pool.stride + kx).saturating_sub(pool.padding) * c;
                let (place, outputs) = ((ky * pool.kernel + kx) as u8, windows.start * c..windows.end * c);
                let index = &index[from..][outputs.clone()];
                add_where(isa, place, pool.stride, c, index, &errors[outputs], &mut sums[first..]);
            }
        }
        codec::encode(isa, store, (line * w * c) as u64, sums, dx);
    });
}

/// y (N, C) = store(mean over the pixels of x (N, pixels, C)), summed in ascending order.
pub fn global_average(isa: Isa, [_, pixels, c]: [usize; 3], x: View<'_>, store: &Store, y: ViewMut<'_>) {
    y.bytes.par_chunks_mut((c * y.dtype.size()).max(1)).enumerate().for_each(|(image, y)| {
        let x = floats(isa, x.part(image * pixels * c, pixels * c));
        let mut sums = vec![0.0; c];
        x.chunks_exact(c).for_each(|x| add(isa, &mut sums, x));
        divide(isa, pixels as f32, &mut sums);
        codec::encode(isa, store, (image * c) as u64, &sums, y);
    });
}

/// dx (N, pixels, C) = store(dy (N, C) / pixels).
pub fn global_average_backward(isa: Isa, [_, pixels, c]: [usize; 3], dy: View<'_>, store: &Store, dx: ViewMut<'_>) {
    dx.bytes.par_chunks_mut((pixels * c * dx.dtype.size()).max(1)).enumerate().for_each(|(image, dx)| {
        let mut error = floats(isa, dy.part(image * c, c));
        divide(isa, pixels as f32, &mut error);
        codec::encode(isa, store, (image * pixels * c) as u64, &error.repeat(pixels), dx);
    });
}

/// The outputs, of `outputs` along one axis, whose window has its place `k` on the input of length `len`.
fn windows(pool: &Pool2d, k: usize, len: usize, outputs: usize) -> Range<usize> {
    let end = (len + pool.padding).saturating_sub(k).div_ceil(pool.stride).min(outputs);
    pool.padding.saturating_sub(k).div_ceil(pool.stride).min(end)..end
}

/// The output whose window has its place `k` at input `i`.
fn output_at(pool: &Pool2d, k: usize, i: usize, outputs: usize) -> Option<usize> {
    let corner = (i + pool.padding).checked_sub(k)?;
    (corner % pool.stride == 0 && corner / pool.stride < outputs).then_some(corner / pool.stride)
}

per_isa! {
    /// Best of each window of `channels` elements so far, and of `x`, of which windows take one pixel in `stride`.
    fn larger(place: u8, stride: usize, channels: usize, x: &[f32], best: &mut [f32], index: &mut [u8]) {
        let outputs = best.chunks_exact_mut(channels).zip(index.chunks_exact_mut(channels));
        for ((best, index), x) in outputs.zip(x.chunks(stride * channels)) {
            for ((best, index), x) in best.iter_mut().zip(index).zip(x) {
                let wins = (*x > *best) | (x.is_nan() & !best.is_nan());
                *best = if wins { *x } else { *best };
                *index = if wins { place } else { *index };
            }
        }
    }

    /// Adds to one pixel in `stride` the dy whose maximum stood at `place`.
    fn add_where(place: u8, stride: usize, channels: usize, index: &[u8], dy: &[f32], sums: &mut [f32]) {
        let errors = dy.chunks_exact(channels).zip(index.chunks_exact(channels));
        for ((dy, index), sums) in errors.zip(sums.chunks_mut(stride * channels)) {
            for ((sum, dy), index) in sums.iter_mut().zip(dy).zip(index) {
                *sum = canonical(*sum + if *index == place { *dy } else { 0.0 });
            }
        }
    }
}
