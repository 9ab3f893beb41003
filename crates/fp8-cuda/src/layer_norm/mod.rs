//! Layer normalisation, as `fp8_kernels::layer_norm`.

use std::sync::Arc;

use fp8_kernels::{Buffer, DType, LayerNorm, LayerNormBackward, LayerNormForward, LayerNormGradients, Result};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::elementwise::aligned;
use crate::kernels::{Argument, Grid, Source, source};
use crate::memory::DeviceMemory;
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

/// Threads for the rows of a matrix, 16 each, and whether shared memory has room for `lines` lines of FP32 of each row of a block.
fn rows(device: &Device, norm: &LayerNorm, lines: usize) -> (Grid, (&'static str, &'static str)) {
    let pitch = norm.width.next_multiple_of(32) + 16;
    let bytes = |threads: u32| threads as usize / LANES * lines * pitch * size_of::<f32>();
    let few = if bytes(128) <= 64 << 10 { 128 } else { 32 };
    let (threads, staged) = if bytes(few) <= device.shared as usize { (few, true) } else { (Grid::THREADS, false) };
    let blocks = [(norm.rows * LANES).div_ceil(threads as usize) as u32, 1, 1];
    let shared = if staged { bytes(threads) as u32 } else { 0 };
    (Grid { blocks, threads, shared }, ("STAGED", if staged { "1" } else { "0" }))
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
    let (grid, staged) = rows(device, norm, 1);
    let inputs = [("X", x.type_name()), ("DY", "None"), ("R", "None"), aligned(norm.width), staged];
    let outputs = [("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&LAYER_NORM, "layer_norm", &[&inputs[..], &outputs].concat())?;
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
    let (grid, staged) = rows(device, norm, 2);
    let types = [("X", x.type_name()), ("DY", dy.type_name()), ("R", residual.type_name())];
    let inputs = [types[0], types[1], types[2], aligned(norm.width), staged];
    let outputs = [("Y", dx.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = |name| device.kernel(&LAYER_NORM, name, &[&inputs[..], &outputs].concat());
    let size = Columns::new(norm.rows, norm.width);
    let moments = DeviceMemory::new(device, 8 * norm.rows)?;
    let parts = DeviceMemory::new(device, 2 * 8 * size.parts())?;
    let store = StoreArgument::from(store);
    device.launch(
        &*kernel("backward")?,
        grid,
        &[&Norm::from(norm), &x, &gamma, &dy, &residual, &moments, &store, &dx],
    )?;
    device.launch(&*kernel("sums")?, size.parts_grid(device), &[&size, &x, &dy, &moments, &parts])?;
    device.launch(&*kernel("totals")?, size.totals_grid(), &[&size, &parts, &dgamma, &dbeta])
}
