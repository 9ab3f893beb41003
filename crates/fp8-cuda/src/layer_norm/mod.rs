//! Layer normalisation, as `fp8_kernels::layer_norm`.

use std::sync::Arc;

use fp8_kernels::{Buffer, DType, LayerNorm, LayerNormBackward, LayerNormForward, LayerNormGradients, Result};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::kernels::{Argument, Grid, Source, source};
use crate::memory::DeviceMemory;
use crate::elementwise::aligned;
use crate::reduce::{Columns, LANES};

pub(crate) static LAYER_NORM: Source = source!("layer_norm/layer_norm.cu");

/// `Norm` of layer_norm.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Norm {
    rows: u32,
    width: u32,
    epsilon: f32,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Norm {}

impl From<&LayerNorm> for Norm {
    fn from(&LayerNorm { rows, width, epsilon }: &LayerNorm) -> Self {
        Self { rows: rows as u32, width: width as u32, epsilon }
    }
}

/// As [`fp8_kernels::Backend::layer_norm`].
pub(crate) fn forward(
    device: &Arc<Device>,
    norm: &LayerNorm,
    arguments: &LayerNormForward<'_>,
    y: &mut Buffer,
) -> Result<()> {
    let (op, store) = (device.op("layer_norm"), &arguments.store);
    let len = op.layer_norm(norm)?;
    let x = op.float("x", arguments.x, len)?;
    let gamma = op.exactly("gamma", arguments.gamma, DType::F32, norm.width)?;
    let beta = op.exactly("beta", arguments.beta, DType::F32, norm.width)?;
    let y = op.output("y", y, store, len)?;
    let inputs = [("X", x.type_name()), ("DY", "None"), ("R", "None"), aligned(norm.width)];
    let outputs = [("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&LAYER_NORM, "layer_norm", &[&inputs[..], &outputs].concat())?;
    let grid = Grid::over(norm.rows * LANES);
    device.launch(&kernel, grid, &[&Norm::from(norm), &x, &gamma, &beta, &StoreArgument::from(store), &y])
}

/// As [`fp8_kernels::Backend::layer_norm_backward`].
pub(crate) fn backward(
    device: &Arc<Device>,
    norm: &LayerNorm,
    arguments: &LayerNormBackward<'_>,
    gradients: LayerNormGradients<'_>,
) -> Result<()> {
    let (op, store) = (device.op("layer_norm_backward"), &arguments.store);
    let len = op.layer_norm(norm)?;
    let (x, dy) = (op.float("x", arguments.x, len)?, op.float("dy", arguments.dy, len)?);
    let gamma = op.exactly("gamma", arguments.gamma, DType::F32, norm.width)?;
    let residual = op.optional("residual", arguments.residual, len)?.unwrap_or_default();
    let dx = op.output("dx", gradients.dx, store, len)?;
    let dgamma = op.exactly_mut("dgamma", gradients.dgamma, DType::F32, norm.width)?;
    let dbeta = op.exactly_mut("dbeta", gradients.dbeta, DType::F32, norm.width)?;
    let inputs = [("X", x.type_name()), ("DY", dy.type_name()), ("R", residual.type_name()), aligned(norm.width)];
    let outputs = [("Y", dx.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = |name| device.kernel(&LAYER_NORM, name, &[&inputs[..], &outputs].concat());
    let size = Columns::new(norm.rows, norm.width);
    let moments = DeviceMemory::new(device, 8 * norm.rows)?;
    let parts = DeviceMemory::new(device, 2 * 8 * size.parts())?;
    let store = StoreArgument::from(store);
    device.launch(
        &*kernel("backward")?,
        Grid::over(norm.rows * LANES),
        &[&Norm::from(norm), &x, &gamma, &dy, &residual, &moments, &store, &dx],
    )?;
    device.launch(&*kernel("sums")?, size.parts_grid(device), &[&size, &x, &dy, &moments, &parts])?;
    device.launch(&*kernel("totals")?, size.totals_grid(), &[&size, &parts, &dgamma, &dbeta])
}
