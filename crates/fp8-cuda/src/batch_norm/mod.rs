//! Batch normalisation, as `fp8_kernels::batch_norm`.

use std::sync::Arc;

use fp8_kernels::{
    BatchNorm, BatchNormBackward, BatchNormForward, BatchNormGradients, BatchStatistics, Buffer, DType, Result,
};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::elementwise::{eights, masked};
use crate::kernels::{Grid, Source, source};
use crate::memory::DeviceMemory;
use crate::operand::{Op, Operand};
use crate::reduce::Chunks;

pub(crate) static STATISTICS: Source = source!("batch_norm/statistics.cu");
pub(crate) static FORWARD: Source = source!("batch_norm/batch_norm.cu");
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
    let chunks = Chunks::new(norm.rows, norm.channels);
    let parts = DeviceMemory::new(device, 8 * chunks.parts())?;
    let kernel = |name| device.kernel(&STATISTICS, name, &[("X", x.type_name())]);
    let (over_parts, over_channels) = (Grid::over(chunks.parts()), Grid::over(norm.channels));
    let average = kernel("average")?;
    device.launch(&*kernel("sums")?, over_parts, &[&chunks, &x, &parts])?;
    device.launch(&average, over_channels, &[&chunks, &parts, &mean])?;
    device.launch(&*kernel("squares")?, over_parts, &[&chunks, &x, &mean, &parts])?;
    device.launch(&average, over_channels, &[&chunks, &parts, &variance])
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
    let kernel = device.kernel(&STATISTICS, "blend", &[("X", "F32")])?;
    for ((batch, running), factor) in batch.iter().zip(&running).zip([1.0, unbiased]) {
        let channels = norm.channels as u32;
        device.launch(&kernel, Grid::over(norm.channels), &[&momentum, &factor, batch, running, &channels])?;
    }
    Ok(())
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
    let inputs = [("X", x.type_name()), ("R", residual.type_name())];
    let outputs = [("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&FORWARD, "batch_norm", &[inputs, outputs].concat())?;
    let (relu, channels, store) = (u32::from(arguments.relu), channels as u32, StoreArgument::from(store));
    device.launch(
        &kernel,
        eights(len),
        &[&x, &mean, &variance, &gamma, &beta, &norm.epsilon, &residual, &relu, &channels, &store, &y, &(len as u64)],
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
    let store = &arguments.dresidual_store;
    let dresidual = gradients.dresidual.map(|dresidual| op.output("dresidual", dresidual, store, len)).transpose()?;

    let inputs = [("DY", dy.type_name()), ("X", x.type_name()), ("Y", y.type_name())];
    let outputs = [("DX", dx.type_name()), ("DX_ROUNDING", rounding_name(&arguments.dx_store))];
    let kernel = |name| device.kernel(&BACKWARD, name, &[&inputs[..], &outputs].concat());
    let chunks = Chunks::new(norm.rows, channels);
    let parts = DeviceMemory::new(device, 2 * 8 * chunks.parts())?;
    let lines = DeviceMemory::new(device, 3 * 4 * channels)?;
    device.launch(&*kernel("sums")?, Grid::over(chunks.parts()), &[&chunks, &dy, &x, &y, &mean, &parts])?;
    device.launch(
        &*kernel("lines")?,
        Grid::over(channels),
        &[&chunks, &parts, &variance, &gamma, &norm.epsilon, &dgamma, &dbeta, &lines],
    )?;
    let (dx_store, channels) = (StoreArgument::from(&arguments.dx_store), channels as u32);
    device.launch(
        &*kernel("backward")?,
        eights(len),
        &[&dy, &x, &y, &mean, &lines, &channels, &dx_store, &dx, &(len as u64)],
    )?;
    match dresidual {
        Some(dresidual) => masked(device, len, [y, dy, residual_error], store, dresidual),
        None => Ok(()),
    }
}
