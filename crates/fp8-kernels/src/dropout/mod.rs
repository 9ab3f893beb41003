//! Dropout (Srivastava et al. 2014) whose mask is computed, never stored.

#[cfg(test)]
mod tests;

use fp8_core::Stream;

use crate::arithmetic::add;
use crate::blocks::{BLOCK, map};
use crate::codec::draws16;
use crate::isa::Isa;
use crate::math::canonical;
use crate::{Store, View, ViewMut, per_isa};

/// y = store((draw_i >= round(65536 share) ? x / (1 - share) : 0) + residual), with the 16-bit draw of element `i` of `mask`.
pub fn dropout(
    isa: Isa,
    x: View<'_>,
    share: f32,
    mask: &Stream,
    residual: Option<View<'_>>,
    store: &Store,
    y: ViewMut<'_>,
) {
    let (threshold, factor) = ((share * 65536.0).round() as u32, 1.0 / (1.0 - share));
    map(isa, [Some(x), residual], store, y, |first, [x, residual]| {
        let mut draws = [0; BLOCK];
        draws16(isa, mask, first as u64, &mut draws[..x.len()]);
        keep(isa, threshold, factor, &draws, x);
        add(isa, x, residual);
    });
}

per_isa! {
    fn keep(threshold: u32, factor: f32, draws: &[u16], x: &mut [f32]) {
        for (x, draw) in x.iter_mut().zip(draws) {
            *x = canonical(if u32::from(*draw) >= threshold { factor * *x } else { 0.0 });
        }
    }
}
