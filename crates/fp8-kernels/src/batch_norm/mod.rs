//! Batch normalisation over the rows of (rows, channels), with the residual add and ReLU that follow it in ResNets.

use crate::arithmetic::{add, mask, relu};
use crate::blocks::{each_row, floats, map};
use crate::elementwise::relu_backward;
use crate::isa::Isa;
use crate::math::canonical;
use crate::reduce::{add_rows, add_rows_and_squares, column_sums, store_floats};
use crate::{BatchNorm, Store, View, ViewMut, per_isa};

/// Mean and variance of one batch, FP32 (channels).
#[derive(Clone, Copy)]
pub struct Statistics<'a> {
    /// Mean.
    pub mean: View<'a>,
    /// Biased variance.
    pub variance: View<'a>,
}

/// mean = sum x / rows; variance = (sum x^2 - (sum x)^2 / rows) / rows. In FP64 the squares are exact, and what cancels is far below FP32.
pub fn statistics(isa: Isa, norm: &BatchNorm, x: View<'_>, mean: ViewMut<'_>, variance: ViewMut<'_>) {
    let [sums, squares] = column_sums(isa, norm.channels, [Some(x)], |channel, [sums, squares], [x]| {
        add_rows_and_squares(isa, channel, x, sums, squares);
    });
    let rows = norm.rows as f64;
    let spread = |(sum, squares): (&f64, &f64)| {
        let variance = (squares - sum * sum / rows) / rows;
        if variance < 0.0 { 0.0 } else { variance as f32 }
    };
    store_floats(&sums.iter().map(|sum| (sum / rows) as f32).collect::<Vec<_>>(), mean);
    store_floats(&sums.iter().zip(&squares).map(spread).collect::<Vec<_>>(), variance);
}

/// running = (1 - momentum) running + momentum batch, for the mean and rows / (rows - 1) times the variance.
pub fn update_running(
    isa: Isa,
    norm: &BatchNorm,
    momentum: f32,
    batch: Statistics<'_>,
    running_mean: ViewMut<'_>,
    running_variance: ViewMut<'_>,
) {
    let unbiased = norm.rows as f32 / (norm.rows as f32 - 1.0).max(1.0);
    for (running, batch, factor) in [(running_mean, batch.mean, 1.0), (running_variance, batch.variance, unbiased)] {
        let old = floats(isa, View { dtype: running.dtype, bytes: running.bytes });
        let new = floats(isa, batch);
        let blend = |(old, new): (&f32, &f32)| (1.0 - momentum) * old + momentum * (factor * new);
        store_floats(&old.iter().zip(&new).map(blend).collect::<Vec<_>>(), running);
    }
}

/// Inputs of [`forward`].
pub struct Forward<'a> {
    /// (rows, channels).
    pub x: View<'a>,
    /// Of the batch or running.
    pub statistics: Statistics<'a>,
    /// FP32 (channels).
    pub gamma: View<'a>,
    /// FP32 (channels).
    pub beta: View<'a>,
    /// Added before the ReLU; of x's shape.
    pub residual: Option<View<'a>>,
    /// Whether a ReLU follows.
    pub relu: bool,
}

/// y = store(relu?((x - mean) (gamma / sqrt(variance + epsilon)) + beta + residual)).
pub fn forward(isa: Isa, norm: &BatchNorm, arguments: &Forward<'_>, store: &Store, y: ViewMut<'_>) {
    let [mean, gamma, beta] =
        [arguments.statistics.mean, arguments.gamma, arguments.beta].map(|view| floats(isa, view));
    let inverse = inverse_deviation(isa, norm, arguments.statistics.variance);
    let factor: Vec<f32> = gamma.iter().zip(&inverse).map(|(gamma, inverse)| gamma * inverse).collect();
    map(isa, [Some(arguments.x), arguments.residual], store, y, |first, [x, residual]| {
        normalise(isa, first % norm.channels, x, &mean, &factor, &beta);
        add(isa, x, residual);
        if arguments.relu {
            relu(isa, x);
        }
    });
}

/// Inputs of [`backward`].
pub struct Backward<'a> {
    /// The input of the forward pass.
    pub x: View<'a>,
    /// Of the batch.
    pub statistics: Statistics<'a>,
    /// FP32 (channels).
    pub gamma: View<'a>,
    /// The output of the forward pass, where a ReLU followed.
    pub y: Option<View<'a>>,
    /// Error of the output.
    pub dy: View<'a>,
    /// How dx is stored.
    pub dx_store: Store,
    /// The error of other uses of the residual.
    pub residual_error: Option<View<'a>>,
    /// How the residual's error is stored.
    pub dresidual_store: Store,
}

/// Outputs of [`backward`].
pub struct Gradients<'a> {
    /// (rows, channels).
    pub dx: ViewMut<'a>,
    /// FP32 (channels).
    pub dgamma: ViewMut<'a>,
    /// FP32 (channels).
    pub dbeta: ViewMut<'a>,
    /// Error of the residual, where there was one.
    pub dresidual: Option<ViewMut<'a>>,
}

/// With n = (x - mean) / sqrt(variance + epsilon), and dy masked by y > 0:
/// dbeta = sum dy; dgamma = sum dy n; dx = store(gamma / sqrt(variance + epsilon) (dy - dbeta / rows - n dgamma / rows));
/// dresidual = store(dy + residual_error).
pub fn backward(isa: Isa, norm: &BatchNorm, arguments: &Backward<'_>, gradients: Gradients<'_>) {
    let &Backward { x, y, dy, .. } = arguments;
    let [mean, gamma] = [arguments.statistics.mean, arguments.gamma].map(|view| floats(isa, view));
    let inverse = inverse_deviation(isa, norm, arguments.statistics.variance);
    let inputs = [Some(dy), Some(x), y];
    let [errors, moments] = column_sums(isa, norm.channels, inputs, |channel, [errors, moments], [dy, x, y]| {
        mask(isa, dy, y);
        add_rows(isa, channel, dy, errors);
        add_moments(isa, channel, dy, x, &mean, moments);
    });
    // dx = a dy + b (x - mean) + c, per channel.
    let mut lines = [(); 3].map(|()| Vec::with_capacity(norm.channels));
    let (mut dgamma, mut dbeta) = (Vec::new(), Vec::new());
    for channel in 0..norm.channels {
        let (inverse, rows) = (f64::from(inverse[channel]), norm.rows as f64);
        let a = f64::from(gamma[channel]) * inverse;
        dgamma.push((moments[channel] * inverse) as f32);
        dbeta.push(errors[channel] as f32);
        for (line, value) in
            lines.iter_mut().zip([a, -a * inverse * inverse * moments[channel] / rows, -a * errors[channel] / rows])
        {
            line.push(value as f32);
        }
    }
    map(isa, inputs, &arguments.dx_store, gradients.dx, |first, [dy, x, y]| {
        mask(isa, dy, y);
        input_error(isa, first % norm.channels, dy, x, &mean, &lines);
    });
    store_floats(&dgamma, gradients.dgamma);
    store_floats(&dbeta, gradients.dbeta);
    if let Some(dresidual) = gradients.dresidual {
        relu_backward(isa, y, dy, arguments.residual_error, &arguments.dresidual_store, dresidual);
    }
}

/// 1 / sqrt(variance + epsilon), correctly rounded steps in FP32.
fn inverse_deviation(isa: Isa, norm: &BatchNorm, variance: View<'_>) -> Vec<f32> {
    floats(isa, variance).into_iter().map(|variance| 1.0 / (variance + norm.epsilon).sqrt()).collect()
}

per_isa! {
    fn add_moments(channel: usize, dy: &[f32], x: &[f32], mean: &[f32], sums: &mut [f64]) {
        for (elements, channels) in each_row(channel, x.len(), sums.len()) {
            let products = dy[elements.clone()].iter().zip(&x[elements]);
            for (((dy, x), mean), sum) in products.zip(&mean[channels.clone()]).zip(&mut sums[channels]) {
                *sum += f64::from(dy * (x - mean));
            }
        }
    }

    fn normalise(channel: usize, x: &mut [f32], mean: &[f32], factor: &[f32], beta: &[f32]) {
        for (elements, channels) in each_row(channel, x.len(), mean.len()) {
            let lines = mean[channels.clone()].iter().zip(&factor[channels.clone()]).zip(&beta[channels]);
            for (x, ((mean, factor), beta)) in x[elements].iter_mut().zip(lines) {
                *x = canonical((*x - mean) * factor + beta);
            }
        }
    }

    fn input_error(channel: usize, dy: &mut [f32], x: &[f32], mean: &[f32], lines: &[Vec<f32>; 3]) {
        for (elements, channels) in each_row(channel, x.len(), mean.len()) {
            let [a, b, c] = lines.each_ref().map(|line| &line[channels.clone()]);
            let (dy, x, mean) = (&mut dy[elements.clone()], &x[elements], &mean[channels]);
            for ((((dy, x), mean), a), (b, c)) in dy.iter_mut().zip(x).zip(mean).zip(a).zip(b.iter().zip(c)) {
                *dy = canonical(a * *dy + b * (x - mean) + c);
            }
        }
    }
}

#[cfg(test)]
mod tests;
