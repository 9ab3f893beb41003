//! Against the formulas in FP64, and equal bytes on every path.

use super::{Backward, Forward, Gradients, Statistics, backward, forward, statistics};
use crate::testing::{Codes, numbers, on_every_path, values};
use crate::{BatchNorm, DType, Store, View, ViewMut};

fn out(bytes: &mut [u8]) -> ViewMut<'_> {
    ViewMut { dtype: DType::F32, bytes }
}

/// Every `found` within 1e-4 of `exact`, relative to the largest of them.
fn close(what: &str, found: &[u8], exact: &[f64]) {
    let found = values(DType::F32, found);
    assert_eq!(found.len(), exact.len(), "{what}");
    let largest = exact.iter().fold(1e-3_f64, |most, x| most.max(x.abs()));
    for (i, (found, exact)) in found.iter().zip(exact).enumerate() {
        assert!((f64::from(*found) - exact).abs() <= 1e-4 * largest, "{what} {i}: {found}, exactly {exact}");
    }
}

/// One batch: statistics, output and all gradients, with residual and ReLU.
fn check(rows: usize, channels: usize, dtype: DType) {
    let norm = BatchNorm { rows, channels, epsilon: 1e-5 };
    let len = rows * channels;
    let [x, dy, residual, other] = [1, 2, 3, 4].map(|seed| Codes::new(dtype, &numbers(seed, len)));
    let [gamma, beta] = [5, 6].map(|seed| Codes::new(DType::F32, &numbers(seed, channels)));
    let sizes = [channels, channels, len, len, channels, channels, len];
    let all = on_every_path(|isa| {
        let [mut mean, mut variance, mut y, mut dx, mut dgamma, mut dbeta, mut dresidual] =
            sizes.map(|len| vec![0xAA; 4 * len]);
        statistics(isa, &norm, x.view(), out(&mut mean), out(&mut variance));
        let [mean_view, variance_view] = [&mean, &variance].map(|bytes| View { dtype: DType::F32, bytes });
        let batch = || Statistics { mean: mean_view, variance: variance_view };
        let arguments = Forward {
            x: x.view(),
            statistics: batch(),
            gamma: gamma.view(),
            beta: beta.view(),
            residual: Some(residual.view()),
            relu: true,
        };
        forward(isa, &norm, &arguments, &Store::F32, out(&mut y));
        let arguments = Backward {
            x: x.view(),
            statistics: batch(),
            gamma: gamma.view(),
            y: Some(View { dtype: DType::F32, bytes: &y }),
            dy: dy.view(),
            dx_store: Store::F32,
            residual_error: Some(other.view()),
            dresidual_store: Store::F32,
        };
        let gradients = Gradients {
            dx: out(&mut dx),
            dgamma: out(&mut dgamma),
            dbeta: out(&mut dbeta),
            dresidual: Some(out(&mut dresidual)),
        };
        backward(isa, &norm, &arguments, gradients);
        [mean, variance, y, dx, dgamma, dbeta, dresidual].concat()
    });
    let mut rest = &all[..];
    let found = sizes.map(|len| rest.split_off(..4 * len).unwrap());

    let wide = |codes: &Codes| codes.values().into_iter().map(f64::from).collect::<Vec<_>>();
    let [x, dy, residual, other, gamma, beta] = [&x, &dy, &residual, &other, &gamma, &beta].map(wide);
    let over_rows = |value: &dyn Fn(usize) -> f64| -> Vec<f64> {
        (0..channels).map(|c| (0..rows).map(|row| value(row * channels + c)).sum()).collect()
    };
    let n = rows as f64;
    let mean: Vec<f64> = over_rows(&|i| x[i]).iter().map(|sum| sum / n).collect();
    let square = |i: usize| (x[i] - mean[i % channels]).powi(2);
    let variance: Vec<f64> = over_rows(&square).iter().map(|sum| sum / n).collect();
    let deviation: Vec<f64> = variance.iter().map(|variance| (variance + f64::from(norm.epsilon)).sqrt()).collect();
    let normal = |i: usize| (x[i] - mean[i % channels]) / deviation[i % channels];
    let y: Vec<f64> =
        (0..len).map(|i| (normal(i) * gamma[i % channels] + beta[i % channels] + residual[i]).max(0.0)).collect();
    // The mask is that of the output as stored, so that no sum on the edge of the ReLU tells the two apart.
    let stored = values(DType::F32, found[2]);
    let error = |i: usize| if stored[i] > 0.0 { dy[i] } else { 0.0 };
    let (dgamma, dbeta) = (over_rows(&|i| error(i) * normal(i)), over_rows(&error));
    let dx = |i: usize| {
        let c = i % channels;
        gamma[c] / deviation[c] * (error(i) - dbeta[c] / n - normal(i) * dgamma[c] / n)
    };
    let dx: Vec<f64> = (0..len).map(dx).collect();
    let dresidual: Vec<f64> = (0..len).map(|i| error(i) + other[i]).collect();
    let names = ["mean", "variance", "y", "dx", "dgamma", "dbeta", "dresidual"];
    for ((what, found), exact) in names.into_iter().zip(found).zip([mean, variance, y, dx, dgamma, dbeta, dresidual]) {
        close(&format!("{what} of {rows} x {channels} {dtype}"), found, &exact);
    }
}

#[test]
fn statistics_outputs_and_gradients() {
    for dtype in [DType::E5M2, DType::E4M3, DType::Bf16, DType::F32] {
        for (rows, channels) in [(2, 1), (7, 3), (37, 64), (70_001, 1), (300, 513)] {
            check(rows, channels, dtype);
        }
    }
}
