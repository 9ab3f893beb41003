//! Steps that several kernels share, on f32 in the L1 cache. A NaN that they make is the canonical one.

use crate::isa::Isa;
use crate::lanes::{each_lane, tree};
use crate::math::canonical;
use crate::per_isa;

per_isa! {
    /// x += y.
    pub(crate) fn add(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x = canonical(*x + y);
        }
    }

    /// x = factor x.
    pub(crate) fn multiply(factor: f32, x: &mut [f32]) {
        for x in x {
            *x = canonical(factor * *x);
        }
    }

    fn quotients(divisor: f32, x: &mut [f32]) {
        for x in x {
            *x = canonical(*x / divisor);
        }
    }

    /// x = max(x, 0); NaN stays NaN, as in PyTorch (`f32::max` would give 0), and so does the sign of zero.
    pub(crate) fn relu(x: &mut [f32]) {
        for x in x {
            *x = if *x < 0.0 { 0.0 } else { *x };
        }
    }

    /// dy = dy where y > 0, else 0.
    pub(crate) fn mask(dy: &mut [f32], y: &[f32]) {
        for (dy, y) in dy.iter_mut().zip(y) {
            *dy = if *y > 0.0 { *dy } else { 0.0 };
        }
    }
}

/// x = x / divisor: a product, where the inverse of the divisor is exact.
pub(crate) fn divide(isa: Isa, divisor: f32, x: &mut [f32]) {
    let inverse = 1.0 / divisor;
    let is_power_of_two = |x: f32| x.is_normal() && x.to_bits() << 9 == 0;
    if is_power_of_two(divisor) && is_power_of_two(inverse) {
        multiply(isa, inverse, x);
    } else {
        quotients(isa, divisor, x);
    }
}

/// sum of a b: 16 interleaved sums, ascending, added as a tree.
#[inline(always)]
pub(crate) fn lanes_dot(a: &[f32], b: &[f32]) -> f32 {
    let (mut lanes, (a, a_rest), (b, b_rest)) = ([0.0; 16], a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane += a * b;
    }
    canonical(tree(lanes))
}

/// The sum of `term` of each element, in the same order.
#[inline(always)]
pub(crate) fn lanes_total(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; 16];
    each_lane(&mut lanes, x, |lane, x| *lane += term(x));
    canonical(tree(lanes))
}
