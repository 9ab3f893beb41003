//! Layer normalisation and attention by products: arguments checked, then the kernels.

use super::{CpuBackend, Op, op};
use crate::attention::{self, Gradients, Operands};
use crate::layer_norm::{self, Backward};
use crate::{
    Attention, AttentionBackward, AttentionGradients, AttentionOperands, Buffer, DType, LayerNorm, LayerNormBackward,
    LayerNormForward, LayerNormGradients, Result, Store,
};

pub(super) fn layer_norm(
    cpu: &CpuBackend,
    norm: &LayerNorm,
    arguments: &LayerNormForward<'_>,
    y: &mut Buffer,
) -> Result<()> {
    let op = op("layer_norm");
    let len = op.layer_norm(norm)?;
    let inputs = [
        op.float("x", arguments.x, len)?,
        op.exactly("gamma", arguments.gamma, DType::F32, norm.width)?,
        op.exactly("beta", arguments.beta, DType::F32, norm.width)?,
    ];
    let y = op.output("y", y, &arguments.store, len)?;
    cpu.run(|isa| layer_norm::forward(isa, norm, inputs, &arguments.store, y));
    Ok(())
}

pub(super) fn layer_norm_backward(
    cpu: &CpuBackend,
    norm: &LayerNorm,
    arguments: &LayerNormBackward<'_>,
    gradients: LayerNormGradients<'_>,
) -> Result<()> {
    let op = op("layer_norm_backward");
    let len = op.layer_norm(norm)?;
    let backward = Backward {
        x: op.float("x", arguments.x, len)?,
        gamma: op.exactly("gamma", arguments.gamma, DType::F32, norm.width)?,
        dy: op.float("dy", arguments.dy, len)?,
        residual: op.optional("residual", arguments.residual, len)?,
    };
    let outputs = [
        op.output("dx", gradients.dx, &arguments.store, len)?,
        op.exactly_mut("dgamma", gradients.dgamma, DType::F32, norm.width)?,
        op.exactly_mut("dbeta", gradients.dbeta, DType::F32, norm.width)?,
    ];
    cpu.run(|isa| layer_norm::backward(isa, norm, &backward, &arguments.store, outputs));
    Ok(())
}

fn attention_operands<'a>(
    op: Op,
    [q, k]: [usize; 2],
    operands: &AttentionOperands<'a>,
    lengths: Option<&'a [u32]>,
) -> Result<Operands<'a>> {
    Ok(Operands {
        q: op.float("q", operands.q, q)?,
        k: op.float("k", operands.k, k)?,
        values: op.float("values", operands.values, k)?,
        lengths,
    })
}

pub(super) fn attention(
    cpu: &CpuBackend,
    shape: &Attention,
    operands: &AttentionOperands<'_>,
    store: &Store,
    y: &mut Buffer,
) -> Result<()> {
    let op = op("attention");
    let lens = op.attention(shape)?;
    let lengths = op.key_lengths(operands.lengths, shape.batch, shape.keys)?;
    let operands = attention_operands(op, lens, operands, lengths.as_deref())?;
    let y = op.output("y", y, store, lens[0])?;
    cpu.run(|isa| attention::forward(isa, shape, &operands, store, y));
    Ok(())
}

pub(super) fn attention_backward(
    cpu: &CpuBackend,
    shape: &Attention,
    arguments: &AttentionBackward<'_>,
    gradients: AttentionGradients<'_>,
) -> Result<()> {
    let op = op("attention_backward");
    let lens @ [q, k] = op.attention(shape)?;
    let lengths = op.key_lengths(arguments.operands.lengths, shape.batch, shape.keys)?;
    let operands = attention_operands(op, lens, &arguments.operands, lengths.as_deref())?;
    let dy = op.float("dy", arguments.dy, q)?;
    let ([dq_store, dk_store, dvalues_store], [dq_more, dk_more, dvalues_more]) =
        (&arguments.stores, arguments.residuals);
    let gradients = Gradients {
        outputs: [
            op.output("dq", gradients.dq, dq_store, q)?,
            op.output("dk", gradients.dk, dk_store, k)?,
            op.output("dvalues", gradients.dvalues, dvalues_store, k)?,
        ],
        stores: arguments.stores,
        residuals: [
            op.optional("residual of dq", dq_more, q)?,
            op.optional("residual of dk", dk_more, k)?,
            op.optional("residual of dvalues", dvalues_more, k)?,
        ],
    };
    cpu.run(|isa| attention::backward(isa, shape, &operands, dy, gradients));
    Ok(())
}
