//! Differentiable operations, one file each: forward, backward, test.

mod activation;
mod additive_attention;
mod append;
mod attention;
mod batch_norm;
mod columns;
mod convolution;
mod cross_entropy;
mod dropout;
mod embedding;
mod layer_norm;
mod linear;
mod lstm;
mod pooling;
mod reshape;
mod select;

pub use additive_attention::AdditiveAttentionLayer;
pub use attention::AttentionHeads;
pub use batch_norm::BatchNormLayer;
pub use cross_entropy::Loss;
pub use embedding::EmbeddingLayer;
pub use layer_norm::LayerNormLayer;
pub use lstm::{LstmCarry, LstmLayer};

use std::sync::Arc;

use fp8_kernels::Buffer;

use crate::tensor::upload_u32;
use crate::{Error, Graph, Result};

/// A [`Error::Shape`].
fn mismatch<T>(op: &'static str, reason: impl Into<String>) -> Result<T> {
    Err(Error::Shape { op, reason: reason.into() })
}

/// 1 / (a b), of scales: their product may be past what f32 holds.
fn unscaling(a: f32, b: f32) -> f32 {
    1.0 / a / b
}

/// Whether a window fits into an axis with `padding` on both sides.
fn fits(window: usize, size: usize, padding: usize) -> bool {
    size.saturating_add(padding.saturating_mul(2)) >= window
}

/// N, H, W, C of an image tensor.
fn image_shape(op: &'static str, shape: &[usize]) -> Result<[usize; 4]> {
    <[usize; 4]>::try_from(shape).or_else(|_| mismatch(op, format!("images (N, H, W, C) are wanted, not {shape:?}")))
}

/// The lengths of the sequences of a batch, on the device.
fn lengths_buffer(graph: &Graph<'_>, op: &'static str, lengths: &[u32], batch: usize) -> Result<Arc<Buffer>> {
    if lengths.len() != batch {
        return mismatch(op, format!("{} lengths for {batch} sequences", lengths.len()));
    }
    Ok(Arc::new(upload_u32(&**graph.backend(), lengths)?))
}
