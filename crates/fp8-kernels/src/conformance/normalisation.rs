//! Batch and layer normalisation, cross-entropy.

use super::Case;
use super::inputs::{Inputs, store};
use crate::{
    BatchNorm, BatchNormBackward, BatchNormForward, BatchNormGradients, BatchStatistics, CrossEntropy, DType,
    LayerNorm, LayerNormBackward, LayerNormForward, LayerNormGradients, LinearCrossEntropy, LogitsError,
};

pub(super) fn cases() -> Vec<Case> {
    let types = [DType::E5M2, DType::F16, DType::F32];
    let mut cases = Vec::new();
    for (n, (rows, width)) in [(2, 1), (300, 64), (5, 40_000), (10_007, 3), (999, 16)].into_iter().enumerate() {
        for dtype in types {
            cases.push(batch_norm(n, rows, width, dtype));
            cases.push(layer_norm(n, rows, width, dtype));
        }
    }
    for (n, (rows, classes)) in [(1, 1), (33, 10), (7, 1000), (5, 3001)].into_iter().enumerate() {
        for smoothing in [0.0, 0.1] {
            cases.push(cross_entropy(n, rows, classes, smoothing));
            cases.push(linear_cross_entropy(n, rows, classes, smoothing));
        }
    }
    cases
}

fn batch_norm(n: usize, rows: usize, channels: usize, dtype: DType) -> Case {
    Case::new(format!("batch_norm {rows} x {channels} {dtype}"), move |backend| {
        let (inputs, len) = (Inputs(backend), rows * channels);
        let norm = BatchNorm { rows, channels, epsilon: 1e-5 };
        let floats = |seed| inputs.float(DType::F32, seed, channels);
        let (x, dy) = (inputs.float(dtype, 1, len)?, inputs.float(DType::E5M2, 2, len)?);
        let (gamma, beta, residual) = (floats(3)?, floats(4)?, inputs.float(DType::E5M2, 5, len)?);
        let residual = n.is_multiple_of(2).then_some(&residual);
        let [mut mean, mut variance] = [inputs.output(DType::F32, channels)?, inputs.output(DType::F32, channels)?];
        backend.batch_norm_statistics(&norm, &x, &mut mean, &mut variance)?;
        let statistics = BatchStatistics { mean: &mean, variance: &variance };
        let [mut running_mean, mut running_variance] = [floats(6)?, inputs.positive(DType::F32, 7, channels)?];
        backend.batch_norm_update_running(&norm, 0.1, statistics, &mut running_mean, &mut running_variance)?;
        let (y_store, relu) = (store(n), n.is_multiple_of(2));
        let mut y = inputs.output(y_store.dtype, len)?;
        let forward =
            BatchNormForward { x: &x, statistics, gamma: &gamma, beta: &beta, residual, relu, store: y_store };
        backend.batch_norm(&norm, &forward, &mut y)?;
        let (dx_store, dresidual_store) = (store(n + 1), store(n + 2));
        let backward = BatchNormBackward {
            x: &x,
            statistics,
            gamma: &gamma,
            y: relu.then_some(&y),
            dy: &dy,
            dx_store,
            residual_error: residual,
            dresidual_store,
        };
        let [mut dgamma, mut dbeta] = [inputs.output(DType::F32, channels)?, inputs.output(DType::F32, channels)?];
        let (mut dx, mut dresidual) = (inputs.output(dx_store.dtype, len)?, inputs.output(dresidual_store.dtype, len)?);
        let gradients =
            BatchNormGradients { dx: &mut dx, dgamma: &mut dgamma, dbeta: &mut dbeta, dresidual: Some(&mut dresidual) };
        backend.batch_norm_backward(&norm, &backward, gradients)?;
        Ok(vec![mean, variance, running_mean, running_variance, y, dx, dgamma, dbeta, dresidual])
    })
}

fn layer_norm(n: usize, rows: usize, width: usize, dtype: DType) -> Case {
    Case::new(format!("layer_norm {rows} x {width} {dtype}"), move |backend| {
        let (inputs, len) = (Inputs(backend), rows * width);
        let norm = LayerNorm { rows, width, epsilon: 1e-5 };
        let (x, dy) = (inputs.float(dtype, 1, len)?, inputs.float(DType::E5M2, 2, len)?);
        let (gamma, beta) = (inputs.float(DType::F32, 3, width)?, inputs.float(DType::F32, 4, width)?);
        let residual = inputs.float(DType::F16, 5, len)?;
        let (y_store, dx_store) = (store(n), store(n + 1));
        let mut y = inputs.output(y_store.dtype, len)?;
        let forward = LayerNormForward { x: &x, gamma: &gamma, beta: &beta, store: y_store };
        backend.layer_norm(&norm, &forward, &mut y)?;
        let residual = n.is_multiple_of(2).then_some(&residual);
        let backward = LayerNormBackward { x: &x, gamma: &gamma, dy: &dy, residual, store: dx_store };
        let mut dx = inputs.output(dx_store.dtype, len)?;
        let [mut dgamma, mut dbeta] = [inputs.output(DType::F32, width)?, inputs.output(DType::F32, width)?];
        let gradients = LayerNormGradients { dx: &mut dx, dgamma: &mut dgamma, dbeta: &mut dbeta };
        backend.layer_norm_backward(&norm, &backward, gradients)?;
        Ok(vec![y, dx, dgamma, dbeta])
    })
}

fn cross_entropy(n: usize, rows: usize, classes: usize, smoothing: f32) -> Case {
    Case::new(format!("cross_entropy {rows} x {classes} smoothing {smoothing}"), move |backend| {
        let (inputs, len) = (Inputs(backend), rows * classes);
        let spec = CrossEntropy { rows, classes, smoothing };
        let logits = if n == 1 { inputs.special(DType::F32, 1, len)? } else { inputs.float(DType::F16, 1, len)? };
        let targets: Vec<u32> = (0..rows as u32)
            .map(|row| if row % 4 == 3 { CrossEntropy::IGNORED } else { row * 7 % classes as u32 })
            .collect();
        let targets = inputs.numbers(&targets)?;
        let (mut losses, store) = (inputs.output(DType::F32, rows)?, store(n));
        backend.cross_entropy(&spec, &logits, &targets, &mut losses)?;
        let mut dlogits = inputs.output(store.dtype, len)?;
        backend.cross_entropy_backward(&spec, &logits, &targets, 0.37, &store, &mut dlogits)?;
        Ok(vec![losses, dlogits])
    })
}

fn linear_cross_entropy(n: usize, rows: usize, classes: usize, smoothing: f32) -> Case {
    Case::new(format!("linear_cross_entropy {rows} x {classes} smoothing {smoothing}"), move |backend| {
        let (inputs, columns, store) = (Inputs(backend), 19, store(n));
        let spec = CrossEntropy { rows, classes, smoothing };
        let targets: Vec<u32> = (0..rows as u32).map(|row| row * 5 % classes as u32).collect();
        let arguments = LinearCrossEntropy {
            inputs: columns,
            x: &inputs.float(DType::E5M2, 1, rows * columns)?,
            w: &inputs.float(DType::E5M2, 2, classes * columns)?,
            bias: Some(&inputs.float(DType::F32, 3, classes)?),
            alpha: 0.25,
            targets: &inputs.numbers(&targets)?,
        };
        let (mut losses, mut dlogits) = (inputs.output(DType::F32, rows)?, inputs.output(store.dtype, rows * classes)?);
        let error = LogitsError { factor: 0.37, store, dlogits: &mut dlogits };
        backend.linear_cross_entropy(&spec, &arguments, &mut losses, Some(error))?;
        Ok(vec![losses, dlogits])
    })
}
