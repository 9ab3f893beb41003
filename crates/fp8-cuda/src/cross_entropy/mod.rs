//! Softmax cross-entropy, as `fp8_kernels::cross_entropy`.

use std::sync::Arc;

use fp8_kernels::{Buffer, CrossEntropy, DType, Result, Store};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::kernels::{Argument, Grid, Source, source};
use crate::reduce::LANES;

pub(crate) static CROSS_ENTROPY: Source = source!("cross_entropy/cross_entropy.cu");

/// `Spec` of cross_entropy.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Spec {
    rows: u32,
    classes: u32,
    smoothing: f32,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Spec {}

impl From<&CrossEntropy> for Spec {
    fn from(&CrossEntropy { rows, classes, smoothing }: &CrossEntropy) -> Self {
        Self { rows: rows as u32, classes: classes as u32, smoothing }
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
    let defines = [("X", logits.type_name()), ("Y", "F32"), ("Y_ROUNDING", "RNE")];
    let kernel = device.kernel(&CROSS_ENTROPY, "cross_entropy", &defines)?;
    device.launch(&kernel, Grid::over(spec.rows * LANES), &[&Spec::from(spec), &logits, &targets, &losses])
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
    let defines = [("X", logits.type_name()), ("Y", dlogits.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&CROSS_ENTROPY, "backward", &defines)?;
    let (spec_argument, store) = (Spec::from(spec), StoreArgument::from(store));
    let grid = Grid::over(spec.rows * LANES);
    device.launch(&kernel, grid, &[&spec_argument, &logits, &targets, &factor, &store, &dlogits])
}
