//! What rounding flushes to zero.

use fp8_kernels::{Backend, Buffer};
use serde::{Deserialize, Serialize};

use crate::{Result, Role};

/// Of the errors, or the weight gradients, of a layer in one backward pass: how many were not zero before they were rounded to their format, and
/// how many of those are zero afterwards. Both are counted, not estimated: the kernels write FP32 first.
///
/// Errors inside of an LSTM, which its kernel reads while it writes them, are not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flushed {
    /// The layer.
    pub layer: String,
    /// [`Role::Error`] or [`Role::Gradient`].
    pub role: Role,
    /// Elements that were not zero before.
    pub nonzero: u64,
    /// Elements of those that are zero now.
    pub flushed: u64,
}

/// Zeros of a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zeros {
    nonzero: u64,
    flushed: u64,
}

impl Zeros {
    /// Before and after rounding.
    pub fn between(backend: &dyn Backend, values: &Buffer, codes: &Buffer) -> Result<Self> {
        let (before, after) = (backend.count_zero(values)?, backend.count_zero(codes)?);
        Ok(Self { nonzero: (values.len() - before) as u64, flushed: after.saturating_sub(before) as u64 })
    }
}

/// Adds to the counts of a layer and role.
pub(crate) fn add(counts: &mut Vec<Flushed>, layer: &str, role: Role, zeros: Zeros) {
    match counts.iter_mut().find(|count| count.layer == layer && count.role == role) {
        Some(count) => {
            count.nonzero += zeros.nonzero;
            count.flushed += zeros.flushed;
        }
        None => {
            counts.push(Flushed { layer: layer.into(), role, nonzero: zeros.nonzero, flushed: zeros.flushed });
        }
    }
}
