//! Against the formulas in FP64; the same bytes on every path.

use super::{Backward, backward, forward};
use crate::testing::{Codes, encoded, numbers, on_every_path, stores, values};
use crate::{DType, LayerNorm, Store, ViewMut};

fn out(dtype: DType, bytes: &mut [u8]) -> ViewMut<'_> {
    ViewMut { dtype, bytes }
}

fn close(what: &str, found: &[f32], exact: &[f64]) {
    let largest = exact.iter().fold(1e-3_f64, |most, x| most.max(x.abs()));
    for (i, (found, exact)) in found.iter().zip(exact).enumerate() {
        assert!((f64::from(*found) - exact).abs() <= 2e-5 * largest, "{what} {i}: {found}, exactly {exact}");
    }
}

fn check(rows: usize, width: usize, dtype: DType) {
    let (norm, len) = (LayerNorm { rows, width, epsilon: 1e-5 }, rows * width);
    let [x, dy, other] = [1, 2, 3].map(|seed| Codes::new(dtype, &numbers(seed, len)));
    let [gamma, beta] = [4, 5].map(|seed| Codes::new(DType::F32, &numbers(seed, width)));
    let run = |store: Store| {
        on_every_path(|isa| {
            let size = store.dtype.size();
            let [mut y, mut dx] = [len; 2].map(|len| vec![0xAA; len * size]);
            let [mut dgamma, mut dbeta] = [width; 2].map(|len| vec![0xAA; 4 * len]);
            let inputs = [x.view(), gamma.view(), beta.view()];
            forward(isa, &norm, inputs, &store, out(store.dtype, &mut y));
            let arguments = Backward { x: x.view(), gamma: gamma.view(), dy: dy.view(), residual: Some(other.view()) };
            let sums = [&mut dgamma, &mut dbeta].map(|sums| out(DType::F32, sums));
            let [dgamma_view, dbeta_view] = sums;
            let outputs = [out(store.dtype, &mut dx), dgamma_view, dbeta_view];
            backward(isa, &norm, &arguments, &store, outputs);
            [y, dx, dgamma, dbeta].concat()
        })
    };
    let found = values(DType::F32, &run(Store::F32));

    let wide = |codes: &Codes| codes.values().into_iter().map(f64::from).collect::<Vec<_>>();
    let [x, dy, other, gamma, beta] = [&x, &dy, &other, &gamma, &beta].map(wide);
    let (mut y, mut dx) = (Vec::new(), Vec::new());
    let (mut dgamma, mut dbeta) = (vec![0.0; width], vec![0.0; width]);
    for ((x, dy), other) in x.chunks(width).zip(dy.chunks(width)).zip(other.chunks(width)) {
        let average = |value: &dyn Fn(usize) -> f64| (0..width).map(value).sum::<f64>() / width as f64;
        let mean = average(&|i| x[i]);
        let deviation = (average(&|i| (x[i] - mean).powi(2)) + 1e-5_f32 as f64).sqrt();
        let n = |i: usize| (x[i] - mean) / deviation;
        let g = |i: usize| gamma[i] * dy[i];
        let (level, along) = (average(&g), average(&|i| g(i) * n(i)));
        for i in 0..width {
            y.push(gamma[i] * n(i) + beta[i]);
            dx.push((g(i) - level - n(i) * along) / deviation + other[i]);
            dgamma[i] += dy[i] * n(i);
            dbeta[i] += dy[i];
        }
    }
    let mut rest = &found[..];
    for (what, exact) in [("y", &y), ("dx", &dx), ("dgamma", &dgamma), ("dbeta", &dbeta)] {
        let (own, others) = rest.split_at(exact.len());
        close(&format!("{what} of {rows} x {width} {dtype}"), own, exact);
        rest = others;
    }
    for store in stores() {
        let size = store.dtype.size();
        let bytes = run(store);
        assert!(bytes[..len * size] == encoded(&store, &found[..len]), "y, {store:?}");
        assert!(bytes[len * size..2 * len * size] == encoded(&store, &found[len..2 * len]), "dx, {store:?}");
    }
}

#[test]
fn outputs_and_gradients() {
    for dtype in [DType::E5M2, DType::Bf16, DType::F32] {
        for (rows, width) in [(1, 2), (7, 3), (37, 64), (300, 257), (3, 33_000)] {
            check(rows, width, dtype);
        }
    }
}
