//! Elementwise operations: y_i is a function of the elements i of the inputs.

#[cfg(test)]
mod tests;

use rayon::prelude::*;

use crate::arithmetic::{add as add_to, divide, mask, relu as relu_of};
use crate::blocks::{BLOCK, CHUNK, map};
use crate::isa::Isa;
use crate::{Store, View, ViewMut, codec, prefetch};

/// How many elements before they are encoded they are asked for: a core that computes what it has waits for memory in between else.
const AHEAD: usize = 2 * BLOCK;

/// y = store(x / x_scale).
pub fn cast(isa: Isa, x: View<'_>, x_scale: f32, store: &Store, y: ViewMut<'_>) {
    match x.floats() {
        Some(x) if x_scale == 1.0 => {
            let size = y.dtype.size();
            let chunks = y.bytes.par_chunks_mut(CHUNK * size).zip(x.par_chunks(CHUNK));
            chunks.enumerate().for_each(|(i, (y, x))| {
                for (j, (y, x)) in y.chunks_mut(BLOCK * size).zip(x.chunks(BLOCK)).enumerate() {
                    prefetch::to_second_level(x.as_ptr().wrapping_add(AHEAD), x.len());
                    codec::encode(isa, store, (i * CHUNK + j * BLOCK) as u64, x, y);
                }
            });
        }
        _ => map(isa, [Some(x)], store, y, |_, [x]| {
            if x_scale != 1.0 {
                divide(isa, x_scale, x);
            }
        }),
    }
}

/// y = store(relu?(a + b)); `b` absent: store(relu?(a)).
pub fn add(isa: Isa, a: View<'_>, b: Option<View<'_>>, relu: bool, store: &Store, y: ViewMut<'_>) {
    map(isa, [Some(a), b], store, y, |_, [a, b]| {
        add_to(isa, a, b);
        if relu {
            relu_of(isa, a);
        }
    });
}

/// dx = store(dy where y > 0, plus residual); `y` absent: all of dy.
pub fn relu_backward(
    isa: Isa,
    y: Option<View<'_>>,
    dy: View<'_>,
    residual: Option<View<'_>>,
    store: &Store,
    dx: ViewMut<'_>,
) {
    map(isa, [Some(dy), y, residual], store, dx, |_, [dy, y, residual]| {
        mask(isa, dy, y);
        add_to(isa, dy, residual);
    });
}
