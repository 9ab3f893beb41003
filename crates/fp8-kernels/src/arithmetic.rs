//! Steps that several kernels share, on f32 in the L1 cache. A NaN that they make is the canonical one.

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

    /// x = x / divisor.
    pub(crate) fn divide(divisor: f32, x: &mut [f32]) {
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
