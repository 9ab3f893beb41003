//! Softmax cross-entropy, as `fp8_kernels::cross_entropy`: with the CPU's sums, or, where sums may have any order, a block of threads for each row, whose
//! exponentials and sums, and so the errors, are within 1e-5 of themselves.

use std::sync::Arc;

use fp8_kernels::{Buffer, CrossEntropy, DType, Gemm, Layout, LinearCrossEntropy, LogitsError, Result, Store};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::elementwise::aligned;
use crate::gemm::{Tail, multiply};
use crate::kernels::{Argument, Grid, Source, source};
use crate::memory::DeviceMemory;
use crate::operand::Operand;
use crate::reduce::LANES;

pub(crate) static CROSS_ENTROPY: Source = source!("cross_entropy/cross_entropy.cu");
pub(crate) static ROWS: Source = source!("cross_entropy/rows.cu");

/// Bytes of logits of a linear layer that exist at a time, about: they stay in the second-level cache between the product and their errors.
const ROOM: usize = 32 << 20;
/// What their rows are a multiple of: whole tiles of a product.
const TOGETHER: usize = 128;

/// `Spec` of loss.cuh.
#[derive(Clone, Copy)]
#[repr(C)]
struct Spec {
    rows: u32,
    classes: u32,
    smoothing: f32,
    first: u32,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Spec {}

/// Where the error of logits goes: factor, store, all rows of them.
type Error<'a> = (f32, &'a Store, Operand);

/// What the rows of a launch share.
struct Rows<'a> {
    device: &'a Arc<Device>,
    spec: &'a CrossEntropy,
    /// Of all rows.
    targets: Operand,
}

impl Rows<'_> {
    /// Losses and errors, where they are wanted, of `count` rows of logits from row `first` on.
    fn compute(
        &self,
        [first, count]: [usize; 2],
        logits: Operand,
        losses: Option<Operand>,
        error: Option<Error<'_>>,
    ) -> Result<()> {
        let (device, classes) = (self.device, self.spec.classes);
        let [rows, first] = [count, first].map(|rows| rows as u32);
        let spec = Spec { rows, classes: classes as u32, smoothing: self.spec.smoothing, first };
        let x = ("X", logits.type_name());
        if !device.accumulation.is_ordered() {
            let (factor, store, dlogits) = error.unwrap_or((0.0, &Store::F32, Operand::default()));
            let y = if error.is_some() { dlogits.type_name() } else { "F32" };
            let defines = [x, aligned(classes), ("Y", y), ("Y_ROUNDING", rounding_name(store))];
            let kernel = device.kernel(&ROWS, "rows", &defines)?;
            let threads = (classes.div_ceil(16).next_multiple_of(32)).clamp(32, 512) as u32;
            let grid = Grid { blocks: [rows, 1, 1], threads, shared: 0 };
            let losses = losses.unwrap_or_default();
            let store = StoreArgument::from(store);
            return device.launch(&kernel, grid, &[&spec, &logits, &self.targets, &losses, &factor, &store, &dlogits]);
        }
        let grid = Grid::over(count * LANES);
        if let Some(losses) = losses {
            let kernel = device.kernel(&CROSS_ENTROPY, "cross_entropy", &[x, ("Y", "F32"), ("Y_ROUNDING", "RNE")])?;
            device.launch(&kernel, grid, &[&spec, &logits, &self.targets, &losses])?;
        }
        let Some((factor, store, dlogits)) = error else { return Ok(()) };
        let defines = [x, ("Y", dlogits.type_name()), ("Y_ROUNDING", rounding_name(store))];
        let kernel = device.kernel(&CROSS_ENTROPY, "backward", &defines)?;
        let store = StoreArgument::from(store);
        device.launch(&kernel, grid, &[&spec, &logits, &self.targets, &factor, &store, &dlogits])
    }
}

/// losses (rows).
pub(crate) fn forward(
    device: &Arc<Device>,
    spec: &CrossEntropy,
    logits: &Buffer,
    targets: &Buffer,
    losses: &mut Buffer,
) -> Result<()> {
    let op = device.op("cross_entropy");
    let logits = op.float("logits", logits, op.len(&[spec.rows, spec.classes])?)?;
    op.classes(spec, targets)?;
    let targets = op.exactly("targets", targets, DType::U32, spec.rows)?;
    let losses = op.exactly_mut("losses", losses, DType::F32, spec.rows)?;
    Rows { device, spec, targets }.compute([0, spec.rows], logits, Some(losses), None)
}

/// dlogits = store(factor (softmax(logits) - target)).
pub(crate) fn backward(
    device: &Arc<Device>,
    spec: &CrossEntropy,
    logits: &Buffer,
    targets: &Buffer,
    factor: f32,
    store: &Store,
    dlogits: &mut Buffer,
) -> Result<()> {
    let op = device.op("cross_entropy_backward");
    let len = op.len(&[spec.rows, spec.classes])?;
    let logits = op.float("logits", logits, len)?;
    op.classes(spec, targets)?;
    let targets = op.exactly("targets", targets, DType::U32, spec.rows)?;
    let dlogits = op.output("dlogits", dlogits, store, len)?;
    Rows { device, spec, targets }.compute([0, spec.rows], logits, None, Some((factor, store, dlogits)))
}

/// Losses and errors of the logits alpha x w^T + bias, of which some rows exist at a time.
pub(crate) fn linear(
    device: &Arc<Device>,
    spec: &CrossEntropy,
    arguments: &LinearCrossEntropy<'_>,
    losses: &mut Buffer,
    error: Option<LogitsError<'_>>,
) -> Result<()> {
    let op = device.op("linear_cross_entropy");
    let &LinearCrossEntropy { inputs, alpha, .. } = arguments;
    let &CrossEntropy { rows, classes, .. } = spec;
    let len = op.len(&[rows, classes])?;
    let x = op.float("x", arguments.x, op.len(&[rows, inputs])?)?;
    let w = op.float("w", arguments.w, op.len(&[classes, inputs])?)?;
    let bias = arguments.bias.map(|bias| op.exactly("bias", bias, DType::F32, classes)).transpose()?;
    op.classes(spec, arguments.targets)?;
    let targets = op.exactly("targets", arguments.targets, DType::U32, rows)?;
    let losses = op.exactly_mut("losses", losses, DType::F32, rows)?;
    let output = |LogitsError { factor, store, dlogits }: LogitsError<'_>| {
        Ok((factor, store, op.output("dlogits", dlogits, &store, len)?))
    };
    let error = error.map(output).transpose()?;

    let (bias, residual) = (bias.unwrap_or_default(), Operand::default());
    let tail = Tail { alpha, bias, residual, relu: false, store: Store::F32 };
    let step = (ROOM / (4 * classes.max(1)) / TOGETHER).max(1) * TOGETHER;
    let room = DeviceMemory::new(device, 4 * step.min(rows) * classes)?;
    let logits = Operand { dtype: Some(DType::F32), address: room.address() };
    let all = Rows { device, spec, targets };
    for first in (0..rows).step_by(step) {
        let count = step.min(rows - first);
        let product = Gemm { m: count, n: classes, k: inputs, layout: Layout::NT };
        multiply(device, &product, x.from(first * inputs), w, &tail, logits)?;
        let error = error.as_ref().map(|(factor, store, dlogits)| (*factor, store, *dlogits));
        all.compute([first, count], logits, Some(losses), error)?;
    }
    Ok(())
}
