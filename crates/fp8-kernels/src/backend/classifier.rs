//! Arguments of a classifier's loss.

use crate::{Buffer, Store};

/// Inputs of [`crate::Backend::linear_cross_entropy`].
#[derive(Clone, Copy, Debug)]
pub struct LinearCrossEntropy<'a> {
    /// Columns of x.
    pub inputs: usize,
    /// (rows, inputs).
    pub x: &'a Buffer,
    /// (classes, inputs).
    pub w: &'a Buffer,
    /// F32 (classes); absent: zeros.
    pub bias: Option<&'a Buffer>,
    /// Factor of the products: it undoes the scales of x and w.
    pub alpha: f32,
    /// U32 (rows), each below `classes` or [`crate::CrossEntropy::IGNORED`].
    pub targets: &'a Buffer,
}

/// Where [`crate::Backend::linear_cross_entropy`] leaves the error of the logits.
#[derive(Debug)]
pub struct LogitsError<'a> {
    /// Its factor.
    pub factor: f32,
    /// How it is stored.
    pub store: Store,
    /// (rows, classes).
    pub dlogits: &'a mut Buffer,
}
