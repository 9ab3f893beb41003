//! Pooling of (N, H, W, C).

use std::ops::Range;

use rayon::prelude::*;

use crate::arithmetic::{add, divide};
use crate::blocks::floats;
use crate::isa::Isa;
use crate::{Pool2d, Store, View, ViewMut, codec, per_isa};

/// y = store(max over the window), and the place in the window (row-major, the first of equals) of each. A NaN is larger
/// than all, as in PyTorch.
pub fn max(isa: Isa, pool: &Pool2d, x: View<'_>, store: &Store, y: ViewMut<'_>, index: &mut [u8]) {
    let ([oh, ow], [h, w], c) = (pool.output(), pool.input, pool.channels);
    let row = (ow * c).max(1);
    let rows = y.bytes.par_chunks_mut(row * y.dtype.size()).zip(index.par_chunks_mut(row));
    rows.enumerate().for_each(|(line, (y, index))| {
        let (image, oy) = (line / oh, line % oh);
        let mut best = vec![f32::NEG_INFINITY; ow * c];
        for (ky, iy) in window(pool, oy, h) {
            let x = floats(isa, x.part((image * h + iy) * w * c, w * c));
            for ox in 0..ow {
                for (kx, ix) in window(pool, ox, w) {
                    let (at, place) = (ox * c..(ox + 1) * c, (ky * pool.kernel + kx) as u8);
                    larger(isa, place, &x[ix * c..(ix + 1) * c], &mut best[at.clone()], &mut index[at]);
                }
            }
        }
        codec::encode(isa, store, (line * ow * c) as u64, &best, y);
    });
}

/// dx = store(sum of the dy whose maximum stood there, in ascending order of y).
pub fn max_backward(isa: Isa, pool: &Pool2d, dy: View<'_>, index: &[u8], store: &Store, dx: ViewMut<'_>) {
    let ([oh, ow], [h, w], c) = (pool.output(), pool.input, pool.channels);
    let row = (w * c).max(1);
    dx.bytes.par_chunks_mut(row * dx.dtype.size()).enumerate().for_each(|(line, dx)| {
        let (image, iy) = (line / h, line % h);
        let mut sums = vec![0.0; w * c];
        for oy in reaching(pool, iy, oh) {
            let ky = iy + pool.padding - oy * pool.stride;
            let from = (image * oh + oy) * ow * c;
            let dy = floats(isa, dy.part(from, ow * c));
            for ox in 0..ow {
                let at = ox * c..(ox + 1) * c;
                for (kx, ix) in window(pool, ox, w) {
                    let place = (ky * pool.kernel + kx) as u8;
                    let index = &index[from..][at.clone()];
                    add_where(isa, place, index, &dy[at.clone()], &mut sums[ix * c..(ix + 1) * c]);
                }
            }
        }
        codec::encode(isa, store, (line * w * c) as u64, &sums, dx);
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

/// Places in the window of output `o` that lie on the input, and where: (place, input).
fn window(pool: &Pool2d, o: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let corner = o * pool.stride;
    let padding = pool.padding;
    (0..pool.kernel)
        .map(move |k| (k, corner + k))
        .filter_map(move |(k, at)| at.checked_sub(padding).filter(|at| *at < len).map(|at| (k, at)))
}

/// Outputs whose window covers input `i`.
fn reaching(pool: &Pool2d, i: usize, len: usize) -> Range<usize> {
    let at = i + pool.padding;
    let first = (at + 1).saturating_sub(pool.kernel).div_ceil(pool.stride);
    first..(at / pool.stride + 1).min(len)
}

per_isa! {
    fn larger(place: u8, x: &[f32], best: &mut [f32], index: &mut [u8]) {
        for ((x, best), index) in x.iter().zip(best).zip(index) {
            let wins = (*x > *best) | (x.is_nan() & !best.is_nan());
            *best = if wins { *x } else { *best };
            *index = if wins { place } else { *index };
        }
    }

    fn add_where(place: u8, index: &[u8], dy: &[f32], sums: &mut [f32]) {
        for ((sum, dy), index) in sums.iter_mut().zip(dy).zip(index) {
            *sum += if *index == place { *dy } else { 0.0 };
        }
    }
}
