//! A classifier's loss: arguments checked, then [`crate::cross_entropy::linear`].

use super::{CpuBackend, op};
use crate::cross_entropy::{self, Gradient, Operands, rows_at_a_time};
use crate::{Backend, Buffer, CrossEntropy, DType, LinearCrossEntropy, LogitsError, Result};

pub(super) fn linear_cross_entropy(
    cpu: &CpuBackend,
    spec: &CrossEntropy,
    arguments: &LinearCrossEntropy<'_>,
    losses: &mut Buffer,
    error: Option<LogitsError<'_>>,
) -> Result<()> {
    let op = op("linear_cross_entropy");
    let &LinearCrossEntropy { inputs, alpha, .. } = arguments;
    let len = op.len(&[spec.rows, spec.classes])?;
    let operands = Operands {
        inputs,
        x: op.float("x", arguments.x, op.len(&[spec.rows, inputs])?)?,
        w: op.float("w", arguments.w, op.len(&[spec.classes, inputs])?)?,
        bias: arguments.bias.map(|bias| op.exactly("bias", bias, DType::F32, spec.classes)).transpose()?,
        alpha,
    };
    let targets = op.classes(spec, arguments.targets)?;
    let losses = op.exactly_mut("losses", losses, DType::F32, spec.rows)?;
    let gradient = match error {
        Some(LogitsError { factor, store, dlogits }) => {
            Some(Gradient { factor, store, dlogits: op.output("dlogits", dlogits, &store, len)? })
        }
        None => None,
    };
    let some = rows_at_a_time(spec) * spec.classes;
    let mut room = cpu.alloc(DType::F32, some)?;
    let room = op.exactly_mut("logits", &mut room, DType::F32, some)?.floats().expect("aligned F32");
    cpu.run(|isa| cross_entropy::linear(isa, spec, &operands, &targets, room, losses, gradient));
    Ok(())
}
