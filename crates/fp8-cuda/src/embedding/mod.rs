//! Rows of a table by their numbers.

use std::borrow::Cow;
use std::sync::Arc;

use fp8_kernels::embedding::by_token;
use fp8_kernels::{Buffer, DType, Embedding, EmbeddingBackward, EmbeddingForward, Result};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::elementwise::{aligned, spots};
use crate::kernels::{Source, source};
use crate::memory::DeviceMemory;
use crate::operand::Op;

pub(crate) static FORWARD: Source = source!("embedding/embedding.cu");
pub(crate) static BACKWARD: Source = source!("embedding/backward.cu");

/// Tokens, and the elements of y and of the table.
fn lens<'a>(op: Op<'_>, embedding: &Embedding, tokens: &'a Buffer) -> Result<(Cow<'a, [u32]>, usize, usize)> {
    let &Embedding { rows, entries, width, .. } = embedding;
    let (y, w) = (op.len(&[rows, width])?, op.len(&[entries, width])?);
    Ok((op.numbers("tokens", tokens, rows, |token| token < entries, || format!("below {entries}"))?, y, w))
}

/// As [`fp8_kernels::Backend::embedding`].
pub(crate) fn forward(
    device: &Arc<Device>,
    shape: &Embedding,
    arguments: &EmbeddingForward<'_>,
    y: &mut Buffer,
) -> Result<()> {
    let (op, store) = (device.op("embedding"), &arguments.store);
    let (_, len, w_len) = lens(op, shape, arguments.tokens)?;
    let tokens = op.exactly("tokens", arguments.tokens, DType::U32, shape.rows)?;
    let w = op.float("w", arguments.w, w_len)?;
    let positions = match arguments.positions {
        Some(positions) => {
            op.require(shape.positions > 0 && shape.repeat > 0, || "positions: none, or repeated no times".into())?;
            op.exactly("positions", positions, DType::F32, op.len(&[shape.positions, shape.width])?)?
        }
        None => Default::default(),
    };
    let y = op.output("y", y, store, len)?;
    let outputs = [("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let defines = [("W", w.type_name()), outputs[0], outputs[1], aligned(shape.width)];
    let kernel = device.kernel(&FORWARD, "embedding", &defines)?;
    let [width, repeat, count] = [shape.width, shape.repeat, shape.positions].map(|size| size as u32);
    let store = StoreArgument::from(store);
    device.launch(
        &kernel,
        spots(shape.rows, 1, shape.width),
        &[&tokens, &w, &arguments.factor, &positions, &width, &repeat, &count, &store, &y],
    )
}

/// As [`fp8_kernels::Backend::embedding_backward`].
pub(crate) fn backward(
    device: &Arc<Device>,
    shape: &Embedding,
    arguments: &EmbeddingBackward<'_>,
    dw: &mut Buffer,
) -> Result<()> {
    let (op, store) = (device.op("embedding_backward"), &arguments.store);
    let (tokens, y_len, len) = lens(op, shape, arguments.tokens)?;
    let dy = op.float("dy", arguments.dy, y_len)?;
    let residual = op.optional("residual", arguments.residual, len)?.unwrap_or_default();
    let dw = op.output("dw", dw, store, len)?;
    let (starts, rows) = by_token(shape, &tokens);
    let [starts, rows] = [starts, rows].map(|numbers| uploaded(device, &numbers));
    let (starts, rows) = (starts?, rows?);
    let inputs = [("DY", dy.type_name()), ("R", residual.type_name()), aligned(shape.width)];
    let outputs = [("DW", dw.type_name()), ("DW_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&BACKWARD, "embedding_backward", &[&inputs[..], &outputs].concat())?;
    let (width, store) = (shape.width as u32, StoreArgument::from(store));
    device.launch(
        &kernel,
        spots(shape.entries, 1, shape.width),
        &[&starts, &rows, &dy, &arguments.factor, &residual, &width, &store, &dw],
    )
}

fn uploaded(device: &Arc<Device>, numbers: &[usize]) -> Result<DeviceMemory> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| (*number as u32).to_le_bytes()).collect();
    let mut memory = DeviceMemory::new(device, bytes.len())?;
    memory.write(&bytes)?;
    Ok(memory)
}
