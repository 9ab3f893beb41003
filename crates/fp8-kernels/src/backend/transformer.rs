//! Arguments of layer normalisation and of attention by products.

use crate::{Buffer, Store};

/// Inputs of [`crate::Backend::layer_norm`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNormForward<'a> {
    /// (rows, width).
    pub x: &'a Buffer,
    /// FP32 (width).
    pub gamma: &'a Buffer,
    /// FP32 (width).
    pub beta: &'a Buffer,
    /// How y is stored.
    pub store: Store,
}

/// Inputs of [`crate::Backend::layer_norm_backward`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNormBackward<'a> {
    /// The saved input: mean and deviation are computed from it again.
    pub x: &'a Buffer,
    /// FP32 (width).
    pub gamma: &'a Buffer,
    /// Error of the output.
    pub dy: &'a Buffer,
    /// The error of other uses of x, added before dx is stored.
    pub residual: Option<&'a Buffer>,
    /// How dx is stored.
    pub store: Store,
}

/// Outputs of [`crate::Backend::layer_norm_backward`].
#[derive(Debug)]
pub struct LayerNormGradients<'a> {
    /// (rows, width).
    pub dx: &'a mut Buffer,
    /// FP32 (width).
    pub dgamma: &'a mut Buffer,
    /// FP32 (width).
    pub dbeta: &'a mut Buffer,
}

/// What attention reads, forward and backward alike; a head's columns stand side by side.
#[derive(Clone, Copy, Debug)]
pub struct AttentionOperands<'a> {
    /// Projected queries (queries, batch, heads head_width).
    pub q: &'a Buffer,
    /// Projected keys (keys, batch, heads head_width).
    pub k: &'a Buffer,
    /// Projected values (keys, batch, heads head_width).
    pub values: &'a Buffer,
    /// U32 (batch): keys of each sequence, 1 to `keys`; absent: all.
    pub lengths: Option<&'a Buffer>,
}

/// Inputs of [`crate::Backend::attention_backward`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionBackward<'a> {
    /// Those of the forward pass.
    pub operands: AttentionOperands<'a>,
    /// Error of y (queries, batch, heads head_width).
    pub dy: &'a Buffer,
    /// How dq, dk and dvalues are stored.
    pub stores: [Store; 3],
    /// Errors of q, k and values from their other uses, added before these are stored.
    pub residuals: [Option<&'a Buffer>; 3],
}

/// Outputs of [`crate::Backend::attention_backward`].
#[derive(Debug)]
pub struct AttentionGradients<'a> {
    /// Of q's shape.
    pub dq: &'a mut Buffer,
    /// Of k's shape.
    pub dk: &'a mut Buffer,
    /// Of the values' shape.
    pub dvalues: &'a mut Buffer,
}
