//! Additive attention, as `fp8_kernels::additive_attention`.

use std::sync::Arc;

use fp8_kernels::{
    AdditiveAttention, AdditiveBackward, AdditiveGradients, AdditiveOperands, Buffer, DType, Result, Store,
};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::kernels::{Argument, Grid, Source, source};
use crate::memory::DeviceMemory;
use crate::operand::{Op, Operand};
use crate::reduce::ONE;

pub(crate) static SCORES: Source = source!("additive_attention/scores.cu");
pub(crate) static SUMS: Source = source!("additive_attention/sums.cu");

/// `Shape` of additive.cuh.
#[derive(Clone, Copy)]
#[repr(C)]
struct Shape {
    sizes: [u32; 6],
    lengths: u64,
    bias: u64,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Shape {}

/// What both passes read.
struct Pass<'a> {
    device: &'a Arc<Device>,
    spec: &'a AdditiveAttention,
    shape: Shape,
    q: Operand,
    k: Operand,
    values: Operand,
    v: Operand,
    gain: Operand,
    /// u, FP32 (width).
    unit: DeviceMemory,
    /// |v|, FP64.
    norm: DeviceMemory,
}

impl<'a> Pass<'a> {
    fn new(
        device: &'a Arc<Device>,
        op: Op<'_>,
        spec: &'a AdditiveAttention,
        operands: &AdditiveOperands<'_>,
    ) -> Result<Self> {
        let [q, k, values, _] = op.additive_attention(spec)?;
        op.key_lengths(operands.lengths, spec.batch, spec.keys)?;
        let optional = |what, buffer: Option<&Buffer>, dtype, len| {
            buffer.map(|buffer| op.exactly(what, buffer, dtype, len)).transpose().map(Option::unwrap_or_default)
        };
        let lengths = optional("lengths", operands.lengths, DType::U32, spec.batch)?;
        let bias = optional("bias", operands.bias, DType::F32, spec.width)?;
        let sizes = [spec.queries, spec.keys, spec.batch, spec.width, spec.value_width, 0].map(|size| size as u32);
        Ok(Self {
            device,
            spec,
            shape: Shape { sizes, lengths: lengths.address, bias: bias.address },
            q: op.float("q", operands.q, q)?,
            k: op.float("k", operands.k, k)?,
            values: op.float("values", operands.values, values)?,
            v: op.exactly("v", operands.v, DType::F32, spec.width)?,
            gain: optional("gain", operands.gain, DType::F32, 1)?,
            unit: DeviceMemory::new(device, 4 * spec.width)?,
            norm: DeviceMemory::new(device, 8)?,
        })
    }

    /// The probabilities (queries, batch, keys).
    fn shares(&self) -> Result<DeviceMemory> {
        let shares = self.scores()?;
        let width = self.spec.width as u32;
        self.start_scores("vector", ONE, None, &[&self.v, &self.gain, &width, &self.unit, &self.norm])?;
        self.start_scores("shares", self.queries(), None, &[&self.shape, &self.q, &self.k, &self.unit, &shares])?;
        Ok(shares)
    }

    fn scores(&self) -> Result<DeviceMemory> {
        DeviceMemory::new(self.device, 4 * self.spec.queries * self.spec.batch * self.spec.keys)
    }

    /// A block for each query.
    fn queries(&self) -> Grid {
        Grid::blocks([self.spec.queries as u32, self.spec.batch as u32, 1])
    }

    fn start_scores(
        &self,
        name: &'static str,
        grid: Grid,
        dy: Option<Operand>,
        arguments: &[&dyn Argument],
    ) -> Result<()> {
        let (dy, values) = (dy.unwrap_or_default(), if dy.is_some() { self.values } else { Operand::default() });
        let types = [("Q", self.q.type_name()), ("K", self.k.type_name())];
        let errors = [("DY", dy.type_name()), ("V", values.type_name())];
        let kernel = self.device.kernel(&SCORES, name, &[types, errors].concat())?;
        self.device.launch(&kernel, grid, arguments)
    }

    /// Starts a kernel over the elements of (steps, batch, width): from `inputs`, to y = store(its sums, plus residual).
    fn start_sums(
        &self,
        name: &'static str,
        [steps, width]: [usize; 2],
        x: Operand,
        inputs: &[&dyn Argument],
        output: Option<(Operand, &Store, Operand)>,
    ) -> Result<()> {
        let (residual, store, y) = output.unwrap_or((Operand::default(), &Store::F32, Operand::default()));
        let types = [("Q", self.q.type_name()), ("K", self.k.type_name()), ("X", x.type_name())];
        let y_type = if output.is_some() { y.type_name() } else { "F32" };
        let outputs = [("R", residual.type_name()), ("Y", y_type), ("Y_ROUNDING", rounding_name(store))];
        let kernel = self.device.kernel(&SUMS, name, &[types, outputs].concat())?;
        let Grid { blocks: [blocks, ..], .. } = Grid::over(self.spec.batch * width);
        let grid = Grid::blocks([blocks, steps as u32, 1]);
        let argument = StoreArgument::from(store);
        let outputs: [&dyn Argument; 3] = [&residual, &argument, &y];
        let outputs = if output.is_some() { &outputs[..] } else { &[] };
        self.device.launch(&kernel, grid, &[&[&self.shape as &dyn Argument], inputs, outputs].concat())
    }
}

/// As [`fp8_kernels::Backend::additive_attention`].
pub(crate) fn forward(
    device: &Arc<Device>,
    spec: &AdditiveAttention,
    operands: &AdditiveOperands<'_>,
    store: &Store,
    y: &mut Buffer,
) -> Result<()> {
    let op = device.op("additive_attention");
    let [.., len] = op.additive_attention(spec)?;
    let pass = Pass::new(device, op, spec, operands)?;
    let y = op.output("y", y, store, len)?;
    let shares = pass.shares()?;
    let output = Some((Operand::default(), store, y));
    let size = [spec.queries, spec.value_width];
    pass.start_sums("contexts", size, pass.values, &[&shares, &pass.values], output)
}

/// As [`fp8_kernels::Backend::additive_attention_backward`].
pub(crate) fn backward(
    device: &Arc<Device>,
    spec: &AdditiveAttention,
    arguments: &AdditiveBackward<'_>,
    gradients: AdditiveGradients<'_>,
) -> Result<()> {
    let op = device.op("additive_attention_backward");
    let [q_len, k_len, values_len, y_len] = op.additive_attention(spec)?;
    let pass = Pass::new(device, op, spec, &arguments.operands)?;
    let with_gain = arguments.operands.gain.is_some();
    op.require(gradients.dgain.is_none() || with_gain, || "dgain: there is no gain".into())?;
    let dy = op.float("dy", arguments.dy, y_len)?;
    let [dq_store, dk_store, dvalues_store] = &arguments.stores;
    let [dq_more, dk_more, dvalues_more] = arguments.residuals;
    let dq = op.output("dq", gradients.dq, dq_store, q_len)?;
    let dk = op.output("dk", gradients.dk, dk_store, k_len)?;
    let dvalues = op.output("dvalues", gradients.dvalues, dvalues_store, values_len)?;
    let dq_more = op.optional("residual of dq", dq_more, q_len)?.unwrap_or_default();
    let dk_more = op.optional("residual of dk", dk_more, k_len)?.unwrap_or_default();
    let dvalues_more = op.optional("residual of dvalues", dvalues_more, values_len)?.unwrap_or_default();
    let dv = op.exactly_mut("dv", gradients.dv, DType::F32, spec.width)?;
    let dgain = gradients.dgain.map(|dgain| op.exactly_mut("dgain", dgain, DType::F32, 1)).transpose()?;
    let dbias = gradients.dbias.map(|dbias| op.exactly_mut("dbias", dbias, DType::F32, spec.width)).transpose()?;
    let (dgain, dbias) = (dgain.unwrap_or_default(), dbias.unwrap_or_default());

    let (shares, errors) = (pass.shares()?, pass.scores()?);
    let inputs: [&dyn Argument; 5] = [&pass.shape, &dy, &pass.values, &shares, &errors];
    pass.start_scores("errors", pass.queries(), Some(dy), &inputs)?;
    let [of_queries, of_keys] = [spec.queries, spec.keys].map(|steps| [steps, spec.width]);
    let (none, size) = (Operand::default(), [spec.keys, spec.value_width]);
    pass.start_sums("value_errors", size, dy, &[&shares, &dy], Some((dvalues_more, dvalues_store, dvalues)))?;
    let inputs: [&dyn Argument; 4] = [&pass.q, &pass.k, &errors, &pass.unit];
    pass.start_sums("query_errors", of_queries, none, &inputs, Some((dq_more, dq_store, dq)))?;
    pass.start_sums("key_errors", of_keys, none, &inputs, Some((dk_more, dk_store, dk)))?;
    let parts = DeviceMemory::new(device, 2 * 4 * spec.batch * spec.width)?;
    let du = DeviceMemory::new(device, 8 * spec.width)?;
    let inputs: [&dyn Argument; 5] = [&pass.q, &pass.k, &errors, &pass.unit, &parts];
    pass.start_sums("vector_parts", [1, spec.width], none, &inputs, None)?;
    pass.start_sums("vector_totals", [1, spec.width], none, &[&parts, &du, &dbias], None)?;
    let kernel = device.kernel(&SUMS, "vector_errors", &VECTOR_DEFINES)?;
    device.launch(&kernel, ONE, &[&pass.shape, &du, &pass.v, &pass.gain, &pass.norm, &dv, &dgain])
}

/// A kernel that sees FP32 alone.
const VECTOR_DEFINES: [(&str, &str); 6] =
    [("Q", "F32"), ("K", "F32"), ("X", "None"), ("R", "None"), ("Y", "F32"), ("Y_ROUNDING", "RNE")];
