//! C = epilogue(A B).

mod across;
mod hopper;
mod lines;
mod maps;
mod mma;
mod narrow;
mod parts;
mod plain;
mod planes;

use std::sync::Arc;

use fp8_kernels::{Activation, Buffer, DType, Epilogue, Gemm, Layout, Result};

#[cfg(test)]
pub(crate) use across::ACROSS;
#[cfg(test)]
pub(crate) use hopper::{HOPPER, PACK};
use lines::Lines;
pub(crate) use lines::{Dense, Divisor, PatchElements, Patches, Rows, Taps};
#[cfg(test)]
pub(crate) use mma::MMA;
#[cfg(test)]
pub(crate) use narrow::NARROW;
#[cfg(test)]
pub(crate) use parts::PARTS;
#[cfg(test)]
pub(crate) use plain::PLAIN;
pub(crate) use plain::{Factor, Product};
#[cfg(test)]
pub(crate) use planes::PLANES;

use crate::accumulation::Accumulation;
use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::kernels::Argument;
use crate::operand::{Op, Operand};

/// An epilogue over memory of the card.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    pub alpha: f32,
    pub bias: Operand,
    pub residual: Operand,
    pub relu: bool,
    pub store: fp8_kernels::Store,
}

impl Tail {
    /// The epilogue of an output of `len` elements in rows of `columns`.
    pub fn new(op: Op<'_>, epilogue: &Epilogue<'_>, len: usize, columns: usize) -> Result<Self> {
        let bias = epilogue.bias.map(|bias| op.exactly("bias", bias, DType::F32, columns)).transpose()?;
        Ok(Self {
            alpha: epilogue.alpha,
            bias: bias.unwrap_or_default(),
            residual: op.optional("residual", epilogue.residual, len)?.unwrap_or_default(),
            relu: epilogue.activation == Activation::Relu,
            store: epilogue.store,
        })
    }

    /// `Epilogue` of epilogue.cuh.
    pub fn argument(&self) -> TailArgument {
        let &Self { alpha, bias, residual, relu, ref store } = self;
        TailArgument { alpha, relu: relu.into(), bias: bias.address, residual: residual.address, store: store.into() }
    }

    /// What is compiled in: types of residual and output, rounding.
    pub fn defines(&self, y: Operand) -> [(&'static str, &'static str); 3] {
        [("R", self.residual.type_name()), ("Y", y.type_name()), ("Y_ROUNDING", rounding_name(&self.store))]
    }
}

/// `Epilogue` of epilogue.cuh.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct TailArgument {
    alpha: f32,
    relu: u32,
    bias: u64,
    residual: u64,
    store: StoreArgument,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for TailArgument {}

impl<A: Lines, B: Lines> Product<A, B> {
    /// C = epilogue(A B), by the fastest kernel that sums as the card was asked to.
    pub fn compute(&self, device: &Arc<Device>, tail: &Tail, c: Operand) -> Result<()> {
        let is_computed = across::compute(device, self, tail, c)?
            || hopper::compute(device, self, tail, c)?
            || planes::compute(device, self, tail, c)?
            || narrow::compute(device, self, tail, c)?
            || mma::compute(device, self, tail, c)?;
        if is_computed { Ok(()) } else { self.in_order(device, tail, c) }
    }
}

/// Elements of k that tensor cores sum before the sum is promoted.
const PROMOTED: usize = 128;

/// `SUMS` of hopper.cu and mma.cu, for so many products of codes of that type: 0: the tensor cores' own; 1: an FP32 register's, of each instruction; 2: of some together.
fn sums(accumulation: Accumulation, dtype: DType, careful: bool, k: usize) -> &'static str {
    match accumulation {
        _ if careful => "2",
        // Tensor cores sum products of wider types in FP32.
        _ if dtype.size() > 1 => "0",
        Accumulation::Ordered | Accumulation::Exact => "1",
        // One sum needs no other to be added to.
        Accumulation::Promoted if k <= PROMOTED => "0",
        Accumulation::Promoted => "2",
        Accumulation::Fast => "0",
    }
}

/// As [`fp8_kernels::Backend::gemm`].
pub(crate) fn gemm(
    device: &Arc<Device>,
    gemm: &Gemm,
    a: &Buffer,
    b: &Buffer,
    epilogue: &Epilogue<'_>,
    c: &mut Buffer,
) -> Result<()> {
    let (op, &Gemm { m, n, k, .. }) = (device.op("gemm"), gemm);
    let (a, b) = (op.float("a", a, op.len(&[m, k])?)?, op.float("b", b, op.len(&[k, n])?)?);
    let len = op.len(&[m, n])?;
    let tail = Tail::new(op, epilogue, len, n)?;
    let c = op.output("c", c, &epilogue.store, len)?;
    multiply(device, gemm, a, b, &tail, c)
}

/// The same over operands that have been checked.
pub(crate) fn multiply(
    device: &Arc<Device>,
    gemm: &Gemm,
    a: Operand,
    b: Operand,
    tail: &Tail,
    c: Operand,
) -> Result<()> {
    let &Gemm { m, n, k, layout } = gemm;
    let dense = |along_k, lines| if along_k { Dense::rows(k) } else { Dense::columns(lines) };
    let (a_along_k, b_along_k) = (layout != Layout::TN, layout == Layout::NT);
    let product = Product {
        rows: m,
        columns: n,
        k,
        a: Factor { lines: dense(a_along_k, m), operand: a, along_k: a_along_k },
        b: Factor { lines: dense(b_along_k, n), operand: b, along_k: b_along_k },
        output_rows: Rows::in_order(),
        careful: false,
    };
    product.compute(device, tail, c)
}
