//! Arguments of the LSTM operations.

use crate::{Buffer, Store};

/// What an LSTM reads. The four gates stand in the order input, forget, cell, output.
#[derive(Clone, Copy, Debug)]
pub struct LstmOperands<'a> {
    /// (steps, batch, input).
    pub x: &'a Buffer,
    /// (4 hidden, input).
    pub w_input: &'a Buffer,
    /// (4 hidden, hidden).
    pub w_hidden: &'a Buffer,
    /// FP32 (4 hidden) each; their sum is added.
    pub biases: [&'a Buffer; 2],
    /// Factors of the products with `w_input` and with `w_hidden`: they undo the scales of the operands.
    pub factors: [f32; 2],
    /// U32 (batch): the steps of each sequence, at most `steps`; absent: all have all.
    pub lengths: Option<&'a Buffer>,
}

/// State of an LSTM between two steps.
#[derive(Clone, Copy, Debug)]
pub struct LstmState<'a> {
    /// (batch, hidden), unscaled.
    pub h: &'a Buffer,
    /// FP32 (batch, hidden).
    pub c: &'a Buffer,
}

/// Inputs of [`crate::Backend::lstm`].
#[derive(Clone, Copy, Debug)]
pub struct LstmForward<'a> {
    /// Input, weights, lengths.
    pub operands: LstmOperands<'a>,
    /// The state before the first step; absent: zeros.
    /// Where sequences have lengths and the direction is reverse, one that is shorter than the steps begins from zeros instead.
    pub initial: Option<LstmState<'a>>,
    /// How h is stored; unscaled, as later steps read it.
    pub store: Store,
}

/// Inputs of [`crate::Backend::lstm_backward`], for a forward pass that began with zeros.
#[derive(Clone, Copy, Debug)]
pub struct LstmBackward<'a> {
    /// (4 hidden, hidden).
    pub w_hidden: &'a Buffer,
    /// As in the forward pass.
    pub lengths: Option<&'a Buffer>,
    /// What the forward pass left: (steps, batch, 4 hidden).
    pub gates: &'a Buffer,
    /// What the forward pass left: FP32 (segments, batch, hidden).
    pub cells: &'a Buffer,
    /// Error of h, unscaled.
    pub dy: &'a Buffer,
    /// Factor of the products of stored gate errors with `w_hidden`.
    pub error_factor: f32,
    /// How the errors of the gates are stored.
    pub store: Store,
}
