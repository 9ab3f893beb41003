//! Multi-head attention by scaled products, as `fp8_kernels::attention`: with the CPU's sums, of scores in memory; or, where sums may have any order, on tensor
//! cores ([`tiled`], and [`wide`] for wider heads).

mod tiled;
mod wide;

use std::sync::Arc;

use fp8_kernels::attention::BLOCK;
use fp8_kernels::{Attention, AttentionBackward, AttentionGradients, AttentionOperands, Buffer, DType, Result, Store};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::kernels::{Argument, Grid, Source, source};
use crate::memory::DeviceMemory;
use crate::operand::{Op, Operand};

use self::tiled::Tiled;
#[cfg(test)]
pub(crate) use self::tiled::{TILED, TILED_KEYS, TILED_QUERIES};
use self::wide::Wide;
#[cfg(test)]
pub(crate) use self::wide::{WIDE_PRODUCTS, WIDE_ROWS, WIDE_SUMS};

pub(crate) static SCORES: Source = source!("attention/scores.cu");
pub(crate) static SUMS: Source = source!("attention/sums.cu");

/// Bytes of scores that exist at once.
const ROOM: usize = 256 << 20;
/// Tasks at once, at most: blocks of a grid.
const MOST: usize = 65_535;

/// `Shape` of attention.cuh.
#[derive(Clone, Copy)]
#[repr(C)]
struct Shape {
    sizes: [u32; 6],
    first_task: u32,
    tasks: u32,
    scale: f32,
    lengths: u64,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Shape {}

impl Shape {
    fn new(shape: &Attention, lengths: Operand, first: usize, tasks: usize) -> Self {
        let &Attention { queries, keys, batch, heads, head_width, causal } = shape;
        let sizes = [queries, keys, batch, heads, head_width, usize::from(causal)].map(|size| size as u32);
        let scale = 1.0 / (head_width as f32).sqrt();
        Self { sizes, first_task: first as u32, tasks: tasks as u32, scale, lengths: lengths.address }
    }
}

/// q, k, values, and the lengths.
struct Operands {
    q: Operand,
    k: Operand,
    values: Operand,
    lengths: Operand,
}

impl Operands {
    fn new(op: Op<'_>, shape: &Attention, operands: &AttentionOperands<'_>) -> Result<Self> {
        let [q, k] = op.attention(shape)?;
        op.key_lengths(operands.lengths, shape.batch, shape.keys)?;
        let lengths = operands.lengths.map(|lengths| op.exactly("lengths", lengths, DType::U32, shape.batch));
        Ok(Self {
            q: op.float("q", operands.q, q)?,
            k: op.float("k", operands.k, k)?,
            values: op.float("values", operands.values, k)?,
            lengths: lengths.transpose()?.unwrap_or_default(),
        })
    }
}

/// Calls `body` with the shape of some tasks after the others; `kinds` of scores exist at once.
fn each(
    shape: &Attention,
    lengths: Operand,
    kinds: usize,
    mut body: impl FnMut(&Shape, usize) -> Result<()>,
) -> Result<()> {
    let &Attention { queries, keys, batch, heads, .. } = shape;
    if queries == 0 {
        return Ok(());
    }
    let together = (ROOM / (4 * kinds * queries * keys.max(1))).clamp(1, MOST);
    for first in (0..batch * heads).step_by(together) {
        let tasks = together.min(batch * heads - first);
        body(&Shape::new(shape, lengths, first, tasks), tasks)?;
    }
    Ok(())
}

/// A grid over the elements of `steps` steps of each task.
fn elements(shape: &Attention, steps: usize, tasks: usize) -> Grid {
    let Grid { blocks: [blocks, ..], .. } = Grid::over(steps * shape.head_width);
    Grid::blocks([blocks, tasks as u32, 1])
}

/// Scores of some tasks.
fn scores(device: &Arc<Device>, shape: &Attention, tasks: usize) -> Result<DeviceMemory> {
    DeviceMemory::new(device, 4 * tasks * shape.queries * shape.keys)
}

/// Starts `shares` or `errors` for factors a and b.
fn score(
    device: &Arc<Device>,
    name: &'static str,
    shape: &Attention,
    some: &Shape,
    [a, b]: [Operand; 2],
    scores: &[&dyn Argument],
) -> Result<()> {
    let kernel = device.kernel(&SCORES, name, &[("A", a.type_name()), ("B", b.type_name())])?;
    let grid = Grid::blocks([shape.queries.div_ceil(BLOCK) as u32, some.tasks, 1]);
    device.launch(&kernel, grid, &[&[some as &dyn Argument, &a, &b], scores].concat())
}

/// Starts `over_keys` or `over_queries`: y = store(sum of scores x, plus residual).
fn sum(
    device: &Arc<Device>,
    name: &'static str,
    (some, grid): (&Shape, Grid),
    scores: &DeviceMemory,
    [x, residual, y]: [Operand; 3],
    store: &Store,
) -> Result<()> {
    let inputs = [("X", x.type_name()), ("R", residual.type_name())];
    let outputs = [("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&SUMS, name, &[inputs, outputs].concat())?;
    device.launch(&kernel, grid, &[some, scores, &x, &residual, &StoreArgument::from(store), &y])
}

/// As [`fp8_kernels::Backend::attention`].
pub(crate) fn forward(
    device: &Arc<Device>,
    shape: &Attention,
    operands: &AttentionOperands<'_>,
    store: &Store,
    y: &mut Buffer,
) -> Result<()> {
    let op = device.op("attention");
    let [len, _] = op.attention(shape)?;
    let operands = Operands::new(op, shape, operands)?;
    let y = op.output("y", y, store, len)?;
    if let Some(tiled) = Tiled::new(device, shape, &operands, Operand::default()) {
        return tiled.forward(store, y);
    }
    if let Some(wide) = Wide::new(device, shape, &operands, Operand::default()) {
        return wide.forward(store, y);
    }
    let Operands { q, k, values, lengths } = operands;
    each(shape, lengths, 1, |some, tasks| {
        let shares = scores(device, shape, tasks)?;
        score(device, "shares", shape, some, [q, k], &[&shares])?;
        let grid = elements(shape, shape.queries, tasks);
        sum(device, "over_keys", (some, grid), &shares, [values, Operand::default(), y], store)
    })
}

/// As [`fp8_kernels::Backend::attention_backward`].
pub(crate) fn backward(
    device: &Arc<Device>,
    shape: &Attention,
    arguments: &AttentionBackward<'_>,
    gradients: AttentionGradients<'_>,
) -> Result<()> {
    let op = device.op("attention_backward");
    let [q_len, k_len] = op.attention(shape)?;
    let operands = Operands::new(op, shape, &arguments.operands)?;
    let dy = op.float("dy", arguments.dy, q_len)?;
    let ([dq_store, dk_store, dvalues_store], [dq_more, dk_more, dvalues_more]) =
        (&arguments.stores, arguments.residuals);
    let dq = op.output("dq", gradients.dq, dq_store, q_len)?;
    let dk = op.output("dk", gradients.dk, dk_store, k_len)?;
    let dvalues = op.output("dvalues", gradients.dvalues, dvalues_store, k_len)?;
    let dq_more = op.optional("residual of dq", dq_more, q_len)?.unwrap_or_default();
    let dk_more = op.optional("residual of dk", dk_more, k_len)?.unwrap_or_default();
    let dvalues_more = op.optional("residual of dvalues", dvalues_more, k_len)?.unwrap_or_default();
    let outputs = [(dq_more, dq_store, dq), (dk_more, dk_store, dk), (dvalues_more, dvalues_store, dvalues)];
    if let Some(tiled) = Tiled::new(device, shape, &operands, dy) {
        return tiled.backward(outputs);
    }
    if let Some(wide) = Wide::new(device, shape, &operands, dy) {
        return wide.backward(outputs);
    }
    let Operands { q, k, values, lengths } = operands;
    each(shape, lengths, 2, |some, tasks| {
        let (shares, errors) = (scores(device, shape, tasks)?, scores(device, shape, tasks)?);
        score(device, "shares", shape, some, [q, k], &[&shares])?;
        score(device, "errors", shape, some, [dy, values], &[&shares, &errors])?;
        let [of_queries, of_keys] = [shape.queries, shape.keys].map(|steps| (some, elements(shape, steps, tasks)));
        sum(device, "over_queries", of_keys, &shares, [dy, dvalues_more, dvalues], dvalues_store)?;
        sum(device, "over_keys", of_queries, &errors, [k, dq_more, dq], dq_store)?;
        sum(device, "over_queries", of_keys, &errors, [q, dk_more, dk], dk_store)
    })
}
