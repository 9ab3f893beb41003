//! Arguments of the operations on sequences of tokens.

use fp8_core::Stream;

use crate::{Buffer, Store};

/// Inputs of [`crate::Backend::embedding`].
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingForward<'a> {
    /// U32 (rows), each below `entries`.
    pub tokens: &'a Buffer,
    /// (entries, width).
    pub w: &'a Buffer,
    /// Factor of the entries: undoes the scale of `w`, and more where a model asks for it.
    pub factor: f32,
    /// FP32 (positions, width), added.
    pub positions: Option<&'a Buffer>,
    /// How y is stored.
    pub store: Store,
}

/// Inputs of [`crate::Backend::embedding_backward`].
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingBackward<'a> {
    /// U32 (rows), each below `entries`.
    pub tokens: &'a Buffer,
    /// (rows, width).
    pub dy: &'a Buffer,
    /// Factor of the sums.
    pub factor: f32,
    /// (entries, width), added.
    pub residual: Option<&'a Buffer>,
    /// How dw is stored.
    pub store: Store,
}

/// Inputs of [`crate::Backend::dropout`].
#[derive(Clone, Copy, Debug)]
pub struct Dropout<'a> {
    /// Any shape.
    pub x: &'a Buffer,
    /// Share of the elements that become zero, in 0..1.
    pub share: f32,
    /// Which: element `i` by its draw of 16 bits.
    pub mask: Stream,
    /// Of x's shape, added.
    pub residual: Option<&'a Buffer>,
    /// How y is stored.
    pub store: Store,
}

/// What additive attention reads, forward and backward alike.
#[derive(Clone, Copy, Debug)]
pub struct AdditiveOperands<'a> {
    /// Projected queries (queries, batch, width).
    pub q: &'a Buffer,
    /// Projected keys (keys, batch, width).
    pub k: &'a Buffer,
    /// What is averaged: (keys, batch, value_width).
    pub values: &'a Buffer,
    /// FP32 (width).
    pub v: &'a Buffer,
    /// FP32 (1): the norm that v is brought to; absent: v as it is.
    pub gain: Option<&'a Buffer>,
    /// FP32 (width), added to query and key; absent: nothing.
    pub bias: Option<&'a Buffer>,
    /// U32 (batch): keys of each sequence, 1 to `keys`; absent: all.
    pub lengths: Option<&'a Buffer>,
}

/// Inputs of [`crate::Backend::additive_attention_backward`].
#[derive(Clone, Copy, Debug)]
pub struct AdditiveBackward<'a> {
    /// Those of the forward pass.
    pub operands: AdditiveOperands<'a>,
    /// Error of y (queries, batch, value_width).
    pub dy: &'a Buffer,
    /// How dq, dk and dvalues are stored.
    pub stores: [Store; 3],
    /// Errors of q, k and values from their other uses, added before these are stored.
    pub residuals: [Option<&'a Buffer>; 3],
}

/// Outputs of [`crate::Backend::additive_attention_backward`].
#[derive(Debug)]
pub struct AdditiveGradients<'a> {
    /// (queries, batch, width).
    pub dq: &'a mut Buffer,
    /// (keys, batch, width).
    pub dk: &'a mut Buffer,
    /// (keys, batch, value_width).
    pub dvalues: &'a mut Buffer,
    /// FP32 (width).
    pub dv: &'a mut Buffer,
    /// FP32 (1), where there is a gain.
    pub dgain: Option<&'a mut Buffer>,
    /// FP32 (width), where there is a bias.
    pub dbias: Option<&'a mut Buffer>,
}
