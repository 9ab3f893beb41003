//! The operations on sequences of tokens: arguments checked, then the kernels.

use std::borrow::Cow;

use super::{CpuBackend, Op, op};
use crate::additive_attention::{self, Gradients, Operands};
use crate::{
    AdditiveAttention, AdditiveBackward, AdditiveGradients, AdditiveOperands, Buffer, DType, Dropout, Embedding,
    EmbeddingBackward, EmbeddingForward, Result, Store, columns, dropout, embedding,
};

/// Tokens, and the elements of y and of the table.
fn embedding_operands<'a>(op: Op, embedding: &Embedding, tokens: &'a Buffer) -> Result<(Cow<'a, [u32]>, usize, usize)> {
    let &Embedding { rows, entries, width, .. } = embedding;
    let (y, w) = (op.len(&[rows, width])?, op.len(&[entries, width])?);
    let tokens = op.numbers("tokens", tokens, rows, |token| token < entries, || format!("below {entries}"))?;
    Ok((tokens, y, w))
}

pub(super) fn embedding(
    cpu: &CpuBackend,
    shape: &Embedding,
    arguments: &EmbeddingForward<'_>,
    y: &mut Buffer,
) -> Result<()> {
    let op = op("embedding");
    let (tokens, y_len, w_len) = embedding_operands(op, shape, arguments.tokens)?;
    let w = op.float("w", arguments.w, w_len)?;
    let positions = match arguments.positions {
        Some(positions) => {
            op.require(shape.positions > 0 && shape.repeat > 0, || "positions: none, or repeated no times".into())?;
            Some(op.exactly("positions", positions, DType::F32, op.len(&[shape.positions, shape.width])?)?)
        }
        None => None,
    };
    let y = op.output("y", y, &arguments.store, y_len)?;
    let forward = embedding::Forward { tokens: &tokens, w, factor: arguments.factor, positions };
    cpu.run(|isa| embedding::forward(isa, shape, &forward, &arguments.store, y));
    Ok(())
}

pub(super) fn embedding_backward(
    cpu: &CpuBackend,
    shape: &Embedding,
    arguments: &EmbeddingBackward<'_>,
    dw: &mut Buffer,
) -> Result<()> {
    let op = op("embedding_backward");
    let (tokens, y_len, w_len) = embedding_operands(op, shape, arguments.tokens)?;
    let dy = op.float("dy", arguments.dy, y_len)?;
    let residual = op.optional("residual", arguments.residual, w_len)?;
    let dw = op.output("dw", dw, &arguments.store, w_len)?;
    let backward = embedding::Backward { tokens: &tokens, dy, factor: arguments.factor, residual };
    cpu.run(|isa| embedding::backward(isa, shape, &backward, &arguments.store, dw));
    Ok(())
}

pub(super) fn dropout(cpu: &CpuBackend, arguments: &Dropout<'_>, y: &mut Buffer) -> Result<()> {
    let (op, len) = (op("dropout"), arguments.x.len());
    op.require((0.0..1.0).contains(&arguments.share), || {
        format!("the share must lie in 0..1, not {}", arguments.share)
    })?;
    let x = op.float("x", arguments.x, y.len())?;
    let residual = op.optional("residual", arguments.residual, len)?;
    let y = op.output("y", y, &arguments.store, len)?;
    cpu.run(|isa| dropout::dropout(isa, x, arguments.share, &arguments.mask, residual, &arguments.store, y));
    Ok(())
}

pub(super) fn join_columns(
    cpu: &CpuBackend,
    rows: usize,
    parts: &[(&Buffer, usize)],
    store: &Store,
    y: &mut Buffer,
) -> Result<()> {
    let op = op("join_columns");
    let width = parts.iter().try_fold(0_usize, |sum, (_, width)| sum.checked_add(*width));
    let width = width.ok_or_else(|| op.shape("too many columns".into()))?;
    let y = op.output("y", y, store, op.len(&[rows, width])?)?;
    let views: Vec<_> = parts
        .iter()
        .map(|(part, width)| Ok((op.float("part", part, op.len(&[rows, *width])?)?, *width)))
        .collect::<Result<_>>()?;
    cpu.run(|isa| columns::join(isa, rows, &views, store, y));
    Ok(())
}

pub(super) fn columns(
    cpu: &CpuBackend,
    [rows, total]: [usize; 2],
    [first, count]: [usize; 2],
    [x, residual]: [Option<&Buffer>; 2],
    store: &Store,
    y: &mut Buffer,
) -> Result<()> {
    let op = op("columns");
    op.require(first.checked_add(count).is_some_and(|end| end <= total), || {
        format!("columns {first} and {count} more, of {total}")
    })?;
    let x = op.optional("x", x, op.len(&[rows, total])?)?;
    let len = op.len(&[rows, count])?;
    let residual = op.optional("residual", residual, len)?;
    let y = op.output("y", y, store, len)?;
    if let Some(x) = x {
        cpu.run(|isa| columns::part(isa, [rows, total], [first, count], x, residual, store, y));
    }
    Ok(())
}

fn attention_operands<'a>(
    op: Op,
    shape: &AdditiveAttention,
    operands: &AdditiveOperands<'a>,
    lengths: Option<&'a [u32]>,
) -> Result<Operands<'a>> {
    let [q, k, values, _] = op.additive_attention(shape)?;
    let exactly = |what, buffer: Option<&'a Buffer>, len| {
        buffer.map(|buffer| op.exactly(what, buffer, DType::F32, len)).transpose()
    };
    Ok(Operands {
        q: op.float("q", operands.q, q)?,
        k: op.float("k", operands.k, k)?,
        values: op.float("values", operands.values, values)?,
        v: op.exactly("v", operands.v, DType::F32, shape.width)?,
        gain: exactly("gain", operands.gain, 1)?,
        bias: exactly("bias", operands.bias, shape.width)?,
        lengths,
    })
}

pub(super) fn additive_attention(
    cpu: &CpuBackend,
    shape: &AdditiveAttention,
    operands: &AdditiveOperands<'_>,
    store: &Store,
    y: &mut Buffer,
) -> Result<()> {
    let op = op("additive_attention");
    let [.., y_len] = op.additive_attention(shape)?;
    let lengths = op.key_lengths(operands.lengths, shape.batch, shape.keys)?;
    let operands = attention_operands(op, shape, operands, lengths.as_deref())?;
    let y = op.output("y", y, store, y_len)?;
    cpu.run(|isa| additive_attention::forward(isa, shape, &operands, store, y));
    Ok(())
}

pub(super) fn additive_attention_backward(
    cpu: &CpuBackend,
    shape: &AdditiveAttention,
    arguments: &AdditiveBackward<'_>,
    gradients: AdditiveGradients<'_>,
) -> Result<()> {
    let op = op("additive_attention_backward");
    let [q, k, values, y] = op.additive_attention(shape)?;
    let lengths = op.key_lengths(arguments.operands.lengths, shape.batch, shape.keys)?;
    let operands = attention_operands(op, shape, &arguments.operands, lengths.as_deref())?;
    op.require(gradients.dgain.is_none() || operands.gain.is_some(), || "dgain: there is no gain".into())?;
    let dy = op.float("dy", arguments.dy, y)?;
    let ([dq_store, dk_store, dvalues_store], [dq_more, dk_more, dvalues_more]) =
        (&arguments.stores, arguments.residuals);
    let gradients = Gradients {
        outputs: [
            op.output("dq", gradients.dq, dq_store, q)?,
            op.output("dk", gradients.dk, dk_store, k)?,
            op.output("dvalues", gradients.dvalues, dvalues_store, values)?,
        ],
        stores: arguments.stores,
        residuals: [
            op.optional("residual of dq", dq_more, q)?,
            op.optional("residual of dk", dk_more, k)?,
            op.optional("residual of dvalues", dvalues_more, values)?,
        ],
        dv: op.exactly_mut("dv", gradients.dv, DType::F32, shape.width)?,
        dgain: gradients.dgain.map(|dgain| op.exactly_mut("dgain", dgain, DType::F32, 1)).transpose()?,
        dbias: gradients.dbias.map(|dbias| op.exactly_mut("dbias", dbias, DType::F32, shape.width)).transpose()?,
    };
    cpu.run(|isa| additive_attention::backward(isa, shape, &operands, dy, gradients));
    Ok(())
}
