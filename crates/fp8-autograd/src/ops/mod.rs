//! Differentiable operations, one file each: forward, backward, test.

mod activation;
mod batch_norm;
mod convolution;
mod cross_entropy;
mod linear;
mod lstm;
mod pooling;
mod reshape;

pub use batch_norm::BatchNormLayer;
pub use cross_entropy::Loss;
pub use lstm::{LstmCarry, LstmLayer};

use crate::{Error, Result};

/// A [`Error::Shape`].
fn mismatch<T>(op: &'static str, reason: impl Into<String>) -> Result<T> {
    Err(Error::Shape { op, reason: reason.into() })
}

/// N, H, W, C of an image tensor.
fn image_shape(op: &'static str, shape: &[usize]) -> Result<[usize; 4]> {
    <[usize; 4]>::try_from(shape).or_else(|_| mismatch(op, format!("images (N, H, W, C) are wanted, not {shape:?}")))
}
