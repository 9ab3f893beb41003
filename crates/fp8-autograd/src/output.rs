//! Q nodes: where a result in FP32 becomes a tensor of its role's format.
//!
//! In the paper's training step (Mellempudi et al. 2019; docs/method.md) precision is lost at the nodes named Q alone, never inside of a dot product:
//!
//! ```text
//! forward     x, w ── products, summed in FP32 ── bias, ReLU, … ── Q ─► y, an activation
//! backward    dy, w ── products, summed in FP32 ── + what has arrived of dx ── Q ─► dx, an error
//!             dy, x ── products, summed in FP32 ── + what has arrived of dw ── Q ─► dw, a gradient
//! ```
//!
//! So each tensor that an operation makes has one node, at the end of the kernel that computes it: there FP32 is rounded once, and not stored
//! ([`Output`] says when it is). The role of the tensor and its layer say to which format ([`crate::Recipe::format`]); the name of the node names
//! the random bits of stochastic rounding. Where errors or gradients of several uses meet there is a node for each partial sum: the first to arrive
//! is a tensor already, and is added before the second is rounded.
//!
//! An operation asks the graph or the backward pass for an [`Output`], has a kernel write it, and gives it back:
//!
//! | tensor | asked for by | name of its node |
//! |---|---|---|
//! | result of a layer | [`crate::Graph::open`] | `LAYER/activation`, `LAYER/logits`; `LAYER/1/activation` the second time |
//! | its error | [`crate::graph::Backward::open_error`] | `LAYER/error`; `LAYER/error/1` the second sum |
//! | error of a tensor inside of an operation | [`crate::graph::Backward::open_inner_error`] | `LAYER/gates/error` |
//! | gradient of a parameter | [`crate::graph::Backward::open_gradient`] | `PARAMETER/gradient`; `PARAMETER/gradient/1` the second sum |
//!
//! Masters, weights and moments are rounded where they are updated (`parameters/mod.rs`).

use fp8_core::Stream;
use fp8_kernels::{Backend, Buffer, DType, Store};

use crate::flushed::Zeros;
use crate::{Result, Role, RoleFormat, Scaling, Step, Tensor};

/// How a result becomes a tensor.
#[derive(Clone, Copy)]
pub(crate) struct QNode {
    format: RoleFormat,
    random: Stream,
    /// Whether the kernel writes F32 even where it could round, so that zeros are counted before and after.
    counted: bool,
}

/// A tensor being made: a kernel writes `buffer` by `store`, then [`Output::close`] finishes it.
///
/// Without scaling the kernel itself writes the final codes. A scale that depends on the result, or an addend that the
/// kernel cannot take, makes it write F32 first; rounding still happens once.
pub(crate) struct Output {
    /// For the kernel.
    pub store: Store,
    /// For the kernel.
    pub buffer: Buffer,
    shape: Vec<usize>,
    node: QNode,
    addend: Option<Tensor>,
}

impl Output {
    /// Memory for a tensor of `shape`; `addend`, of the same shape and unscaled, is added before rounding.
    pub fn open(backend: &dyn Backend, node: QNode, shape: Vec<usize>, addend: Option<Tensor>) -> Result<Self> {
        let store = if addend.is_none() { node.store() } else { Store::F32 };
        let buffer = backend.alloc(store.dtype, shape.iter().product())?;
        Ok(Self { store, buffer, shape, node, addend })
    }

    /// The same, with an addend.
    pub fn plus(self, backend: &dyn Backend, addend: Option<Tensor>) -> Result<Self> {
        Self::open(backend, self.node, self.shape, addend)
    }

    /// The finished tensor.
    pub fn close(self, backend: &dyn Backend) -> Result<Tensor> {
        Ok(self.close_counting(backend)?.0)
    }

    /// The finished tensor, and of a counted one its zeros.
    pub fn close_counting(self, backend: &dyn Backend) -> Result<(Tensor, Option<Zeros>)> {
        let Self { mut buffer, shape, node, addend, .. } = self;
        if let Some(addend) = addend {
            let store = node.store();
            let mut sum = backend.alloc(store.dtype, buffer.len())?;
            backend.add(&buffer, Some(&addend.buffer), false, &store, &mut sum)?;
            buffer = sum;
        }
        if node.is_direct() {
            return Ok((Tensor::new(shape, buffer), None));
        }
        let tensor = node.quantised(backend, shape, &buffer)?;
        let zeros = match node.counted {
            true => Some(Zeros::between(backend, &buffer, &tensor.buffer)?),
            false => None,
        };
        Ok((tensor, zeros))
    }
}

impl QNode {
    /// The node of this name in a step.
    pub fn new(step: &Step, format: RoleFormat, name: &str) -> Self {
        Self { format, random: step.random(name), counted: false }
    }

    /// The same node, where what it flushes to zero is counted, if the step wants that.
    pub fn counting(self, step: &Step) -> Self {
        Self { counted: step.count_flushed, ..self }
    }

    /// The same node without scaling, whatever the recipe says.
    pub fn unscaled(self) -> Self {
        Self { format: RoleFormat { scaling: Scaling::None, ..self.format }, ..self }
    }

    /// `values` rounded once, with the scale that they ask for.
    pub fn quantised(&self, backend: &dyn Backend, shape: Vec<usize>, values: &Buffer) -> Result<Tensor> {
        quantised(backend, &self.format, self.random, shape, values)
    }

    /// Whether kernels themselves write the final codes.
    fn is_direct(&self) -> bool {
        self.format.scaling == Scaling::None && !self.counted
    }

    /// What kernels write.
    fn store(&self) -> Store {
        if self.is_direct() { self.format.store(self.random, 1.0) } else { Store::F32 }
    }
}

/// The name of the Q node of a tensor in a role, or of the `number`th sum or moment that is rounded in its place: each takes random bits of its own.
pub(crate) fn node_name(tensor: &str, role: Role, number: u32) -> String {
    if number == 0 { format!("{tensor}/{role}") } else { format!("{tensor}/{role}/{number}") }
}

/// `values` rounded once by `format`, with the scale that they ask for.
pub(crate) fn quantised(
    backend: &dyn Backend,
    format: &RoleFormat,
    random: Stream,
    shape: Vec<usize>,
    values: &Buffer,
) -> Result<Tensor> {
    match format.scaling {
        Scaling::None => {
            let mut codes = backend.alloc(format.dtype, values.len())?;
            backend.cast(values, 1.0, &format.store(random, 1.0), &mut codes)?;
            Ok(Tensor::new(shape, codes))
        }
        Scaling::Current => scaled(backend, format, random, shape, values),
    }
}

fn scaled(
    backend: &dyn Backend,
    format: &RoleFormat,
    random: Stream,
    shape: Vec<usize>,
    values: &Buffer,
) -> Result<Tensor> {
    let scale = format.current_scale(backend.amax(values)?);
    let mut codes = backend.alloc(format.dtype, values.len())?;
    backend.cast(values, 1.0, &format.store(random, scale), &mut codes)?;
    Ok(Tensor { scale, ..Tensor::new(shape, codes) })
}

/// An F32 buffer without contents that matter.
pub(crate) fn f32_buffer(backend: &dyn Backend, len: usize) -> Result<Buffer> {
    Ok(backend.alloc(DType::F32, len)?)
}
