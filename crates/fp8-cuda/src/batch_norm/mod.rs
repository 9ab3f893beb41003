//! Batch normalisation, as `fp8_kernels::batch_norm`.

use std::sync::Arc;

use fp8_kernels::{
    BatchNorm, BatchNormBackward, BatchNormForward, BatchNormGradients, BatchStatistics, Buffer, DType, Result,
};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::elementwise::{Rows, aligned};
use crate::kernels::{Grid, Source, source};
use crate::memory::DeviceMemory;
use crate::operand::{Op, Operand};
use crate::reduce::Columns;

pub(crate) static STATISTICS: Source = source!("batch_norm/statistics.cu");
pub(crate) static FORWARD: Source = source!("batch_norm/batch_norm.cu");
pub(crate) static BACKWARD_SUMS: Source = source!("batch_norm/backward_sums.cu");
pub(crate) static BACKWARD: Source = source!("batch_norm/backward.cu");

/// mean and variance.
fn both(op: Op<'_>, batch: &BatchStatistics<'_>, channels: usize) -> Result<[Operand; 2]> {
    Ok([
        op.exactly("mean", batch.mean, DType::F32, channels)?,
        op.exactly("variance", batch.variance, DType::F32, channels)?,
    ])
}

/// As [`fp8_kernels::Backend::batch_norm_statistics`].
pub(crate) fn statistics(
    device: &Arc<Device>,
    norm: &BatchNorm,
    x: &Buffer,
    mean: &mut Buffer,
    variance: &mut Buffer,
) -> Result<()> {
    let op = device.op("batch_norm_statistics");
    op.require(norm.rows > 0, || "the statistics of no rows".into())?;
    let x = op.float("x", x, op.len(&[norm.rows, norm.channels])?)?;
    let mean = op.exactly_mut("mean", mean, DType::F32, norm.channels)?;
    let variance = op.exactly_mut("variance", variance, DType::F32, norm.channels)?;
    let size = Columns::new(norm.rows, norm.channels);
    let parts = DeviceMemory::new(device, 2 * 8 * size.parts())?;
    let kernel = |name| device.kernel(&STATISTICS, name, &[("X", x.type_name()), size.aligned()]);
    device.launch(&*kernel("sums")?, size.parts_grid(device), &[&size, &x, &parts])?;
    device.launch(&*kernel("statistics")?, size.totals_grid(), &[&size, &parts, &mean, &variance])
}

/// As [`fp8_kernels::Backend::batch_norm_update_running`].
pub(crate) fn update_running(
    device: &Arc<Device>,
    norm: &BatchNorm,
    momentum: f32,
    batch: BatchStatistics<'_>,
    running_mean: &mut Buffer,
    running_variance: &mut Buffer,
) -> Result<()> {
    let op = device.op("batch_norm_update_running");
    op.require(norm.rows > 1, || format!("the unbiased variance of {} rows", norm.rows))?;
    let batch = both(op, &batch, norm.channels)?;
    let running = [
        op.exactly_mut("running_mean", running_mean, DType::F32, norm.channels)?,
        op.exactly_mut("running_variance", running_variance, DType::F32, norm.channels)?,
    ];
    let unbiased = norm.rows as f32 / (norm.rows as f32 - 1.0).max(1.0);
    let kernel = device.kernel(&STATISTICS, "blend", &[("X", "F32"), aligned(0)])?;
    let ([mean, variance], [running_mean, running_variance]) = (batch, running);
    device.launch(
        &kernel,
        Grid::over(norm.channels),
        &[&momentum, &unbiased, &mean, &variance, &running_mean, &running_variance, &(norm.channels as u32)],
    )
}

/// As [`fp8_kernels::Backend::batch_norm`].
pub(crate) fn forward(
    device: &Arc<Device>,
    norm: &BatchNorm,
    arguments: &BatchNormForward<'_>,
    y: &mut Buffer,
) -> Result<()> {
    let (op, channels, store) = (device.op("batch_norm"), norm.channels, &arguments.store);
    let len = op.len(&[norm.rows, channels])?;
    let x = op.float("x", arguments.x, len)?;
    let [mean, variance] = both(op, &arguments.statistics, channels)?;
    let gamma = op.exactly("gamma", arguments.gamma, DType::F32, channels)?;
    let beta = op.exactly("beta", arguments.beta, DType::F32, channels)?;
    let residual = op.optional("residual", arguments.residual, len)?.unwrap_or_default();
    let y = op.output("y", y, store, len)?;
    let inputs = [("X", x.type_name()), ("R", residual.type_name()), aligned(channels)];
    let outputs = [("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&FORWARD, "batch_norm", &[&inputs[..], &outputs].concat())?;
    let (relu, store) = (u32::from(arguments.relu), StoreArgument::from(store));
    let (size, grid) = Rows::new(device, norm.rows, channels);
    device.launch(
        &kernel,
        grid,
        &[&size, &x, &mean, &variance, &gamma, &beta, &norm.epsilon, &residual, &relu, &store, &y],
    )
}

/// As [`fp8_kernels::Backend::batch_norm_backward`].
pub(crate) fn backward(
    device: &Arc<Device>,
    norm: &BatchNorm,
    arguments: &BatchNormBackward<'_>,
    gradients: BatchNormGradients<'_>,
) -> Result<()> {
    let (op, channels) = (device.op("batch_norm_backward"), norm.channels);
    let len = op.len(&[norm.rows, channels])?;
    let (x, dy) = (op.float("x", arguments.x, len)?, op.float("dy", arguments.dy, len)?);
    let [mean, variance] = both(op, &arguments.statistics, channels)?;
    let gamma = op.exactly("gamma", arguments.gamma, DType::F32, channels)?;
    let y = op.optional("y", arguments.y, len)?.unwrap_or_default();
    let residual_error = op.optional("residual_error", arguments.residual_error, len)?.unwrap_or_default();
    let dx = op.output("dx", gradients.dx, &arguments.dx_store, len)?;
    let dgamma = op.exactly_mut("dgamma", gradients.dgamma, DType::F32, channels)?;
    let dbeta = op.exactly_mut("dbeta", gradients.dbeta, DType::F32, channels)?;
    let stores = [&arguments.dx_store, &arguments.dresidual_store];
    let dresidual =
        gradients.dresidual.map(|dresidual| op.output("dresidual", dresidual, stores[1], len)).transpose()?;
    let dresidual = dresidual.unwrap_or_default();
    let residual_error = if dresidual.dtype.is_some() { residual_error } else { Operand::default() };

    let inputs = [("DY", dy.type_name()), ("X", x.type_name()), ("Y", y.type_name()), aligned(channels)];
    let sums = |name| device.kernel(&BACKWARD_SUMS, name, &inputs);
    let size = Columns::new(norm.rows, channels);
    let parts = DeviceMemory::new(device, 2 * 8 * size.parts())?;
    let lines = DeviceMemory::new(device, 3 * 4 * channels)?;
    device.launch(&*sums("sums")?, size.parts_grid(device), &[&size, &dy, &x, &y, &mean, &parts])?;
    device.launch(
        &*sums("lines")?,
        size.totals_grid(),
        &[&size, &parts, &variance, &gamma, &norm.epsilon, &dgamma, &dbeta, &lines],
    )?;
    // Only where it is written.
    let rounding = if dresidual.dtype.is_some() { rounding_name(stores[1]) } else { "RNE" };
    let residuals = [("R", residual_error.type_name()), ("DR", dresidual.type_name()), ("DR_ROUNDING", rounding)];
    let outputs = [("DX", dx.type_name()), ("DX_ROUNDING", rounding_name(stores[0]))];
    let kernel = device.kernel(&BACKWARD, "backward", &[&inputs[..], &residuals, &outputs].concat())?;
    let ([dx_store, dresidual_store], (size, grid)) =
        (stores.map(StoreArgument::from), Rows::new(device, norm.rows, channels));
    device.launch(
        &kernel,
        grid,
        &[&size, &dy, &x, &y, &residual_error, &mean, &lines, &dx_store, &dx, &dresidual_store, &dresidual],
    )
}
