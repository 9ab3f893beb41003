//! Against the formula in f64, row by row.

use super::{Gradient, Operands, backward, forward, linear, rows_at_a_time};
use crate::gemm::gemm;
use crate::testing::{Codes, numbers, on_every_path, stores, values};
use crate::{CrossEntropy, DType, Store, View, ViewMut};

fn losses(spec: &CrossEntropy, logits: View<'_>, targets: &[u32]) -> Vec<f32> {
    let bytes = on_every_path(|isa| {
        let mut bytes = vec![0xAA; spec.rows * 4];
        forward(isa, spec, logits, targets, ViewMut { dtype: DType::F32, bytes: &mut bytes });
        bytes
    });
    values(DType::F32, &bytes)
}

fn errors(spec: &CrossEntropy, logits: View<'_>, targets: &[u32], factor: f32, store: &Store) -> Vec<u8> {
    on_every_path(|isa| {
        let mut bytes = vec![0xAA; spec.rows * spec.classes * store.dtype.size()];
        let dlogits = ViewMut { dtype: store.dtype, bytes: &mut bytes };
        backward(isa, spec, logits, targets, factor, store, dlogits);
        bytes
    })
}

fn targets(spec: &CrossEntropy) -> Vec<u32> {
    (0..spec.rows).map(|row| (row * 7 % spec.classes) as u32).collect()
}

/// log softmax of a row, and its targets.
fn oracle(spec: &CrossEntropy, logits: &[f32], target: u32) -> (Vec<f64>, Vec<f64>) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|x| f64::from(x - most).exp()).sum();
    let smoothing = f64::from(spec.smoothing);
    let share = |class: usize| if class == target as usize { 1.0 - smoothing } else { 0.0 };
    let target = |class| share(class) + smoothing / spec.classes as f64;
    (
        logits.iter().map(|x| f64::from(*x) - f64::from(most) - total.ln()).collect(),
        (0..spec.classes).map(target).collect(),
    )
}

/// Shapes with full and partial lanes, one class, many rows, and more classes than a chunk has elements.
const SHAPES: [[usize; 2]; 7] = [[1, 1], [3, 10], [5, 16], [4, 33], [3300, 10], [2, 1000], [2, 33_000]];

#[test]
fn losses_and_errors_are_those_of_the_formula() {
    for [rows, classes] in SHAPES {
        for (smoothing, dtype) in [(0.0, DType::F32), (0.1, DType::F16), (0.25, DType::E5M2)] {
            let spec = CrossEntropy { rows, classes, smoothing };
            let logits = numbers(1, rows * classes).iter().map(|x| 6.0 * x).collect::<Vec<_>>();
            let logits = Codes::new(dtype, &logits);
            let (targets, x) = (targets(&spec), logits.values());
            let losses = losses(&spec, logits.view(), &targets);
            let errors = values(DType::F32, &errors(&spec, logits.view(), &targets, 128.0, &Store::F32));
            for row in 0..rows {
                let span = row * classes..(row + 1) * classes;
                let (logs, shares) = oracle(&spec, &x[span.clone()], targets[row]);
                let exact: f64 = -logs.iter().zip(&shares).map(|(log, share)| log * share).sum::<f64>();
                let loss = f64::from(losses[row]);
                assert!((loss - exact).abs() <= 3e-7 * (1.0 + exact), "{spec:?} {row}: {loss} not {exact}");
                for ((log, share), error) in logs.iter().zip(shares).zip(&errors[span]) {
                    let exact = 128.0 * (log.exp() - share);
                    assert!((f64::from(*error) - exact).abs() <= 128.0 * 3e-7, "{spec:?} {row}: {error} not {exact}");
                }
            }
        }
    }
}

#[test]
fn errors_are_stored_as_asked() {
    let spec = CrossEntropy { rows: 70, classes: 611, smoothing: 0.1 };
    let logits = Codes::new(DType::E4M3, &numbers(2, spec.rows * spec.classes));
    let targets = targets(&spec);
    let exact = values(DType::F32, &errors(&spec, logits.view(), &targets, 64.0, &Store::F32));
    for store in stores() {
        let found = errors(&spec, logits.view(), &targets, 64.0, &store);
        assert!(found == crate::testing::encoded(&store, &exact), "{store:?}");
    }
}

#[test]
fn logits_without_bound() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let loss = |smoothing, logits: [f32; 3]| {
        let spec = CrossEntropy { rows: 1, classes: 3, smoothing };
        losses(&spec, View { dtype: DType::F32, bytes: &logits.map(f32::to_le_bytes).concat() }, &[1])[0]
    };
    // As torch.nn.functional.cross_entropy.
    assert_eq!(loss(0.0, [-inf, 0.0, 0.0]), std::f32::consts::LN_2);
    assert_eq!(loss(0.0, [0.0, -inf, 0.0]), inf);
    assert_eq!(loss(0.1, [-inf, 0.0, 0.0]), inf);
    assert_eq!(loss(0.0, [-3e38, 3e38, 0.0]), 0.0);
    assert_eq!(loss(0.0, [3e38, -3e38, 0.0]), inf);
    for logits in [[nan, 0.0, 0.0], [0.0, -nan, 1.0], [inf, 0.0, 0.0], [inf, inf, 0.0], [-inf; 3]] {
        for smoothing in [0.0, 0.1] {
            assert_eq!(loss(smoothing, logits).to_bits(), nan.to_bits(), "{logits:?}");
        }
        let spec = CrossEntropy { rows: 1, classes: 3, smoothing: 0.0 };
        let view = View { dtype: DType::F32, bytes: &logits.map(f32::to_le_bytes).concat() };
        let errors = values(DType::F32, &errors(&spec, view, &[1], 2.0, &Store::F32));
        assert!(errors.iter().all(|error| error.to_bits() == nan.to_bits()), "{logits:?}: {errors:?}");
    }
}

#[test]
fn no_rows() {
    let spec = CrossEntropy { rows: 0, classes: 10, smoothing: 0.1 };
    let none = View { dtype: DType::E5M2, bytes: &[] };
    assert!(losses(&spec, none, &[]).is_empty());
    assert!(errors(&spec, none, &[], 1.0, &Store::F32).is_empty());
}

#[test]
fn ignored_rows_have_no_loss_and_no_error() {
    let spec = CrossEntropy { rows: 3, classes: 20, smoothing: 0.1 };
    let mut x = numbers(1, 60);
    x[25] = f32::NAN; // in a row that does not count
    let logits = Codes::new(DType::F32, &x);
    let (all, some) = ([4, 9, 19], [4, CrossEntropy::IGNORED, 19]);
    let [a, b] = [&all, &some].map(|targets| losses(&spec, logits.view(), targets));
    assert_eq!((b[0], b[1], b[2]), (a[0], 0.0, a[2]));
    let [a, b] =
        [&all, &some].map(|targets| values(DType::F32, &errors(&spec, logits.view(), targets, 2.0, &Store::F32)));
    assert!(b[20..40].iter().all(|error| *error == 0.0));
    assert_eq!((&b[..20], &b[40..]), (&a[..20], &a[40..]));
}

/// More classes than logits exist at a time, and a layer without inputs, whose logits are its biases.
#[test]
fn very_many_classes_and_no_inputs() {
    for (rows, classes, inputs) in [(2, (1 << 20) + 1, 1), (3, 5, 0)] {
        let spec = CrossEntropy { rows, classes, smoothing: 0.0 };
        let [x, w] = [rows, classes].map(|lines| Codes::new(DType::E5M2, &vec![0.0; lines * inputs]));
        let bias = Codes::new(DType::F32, &numbers(3, classes));
        let operands = Operands { inputs, x: x.view(), w: w.view(), bias: Some(bias.view()), alpha: 1.0 };
        let logits = Codes::new(DType::F32, &numbers(3, classes).repeat(rows));
        let targets = vec![1; rows];
        let expected = losses(&spec, logits.view(), &targets);
        let mut room = vec![9.0; rows_at_a_time(&spec) * classes];
        let mut found = vec![0xAA; rows * 4];
        let out = ViewMut { dtype: DType::F32, bytes: &mut found };
        linear(crate::isa::Isa::available()[0], &spec, &operands, &targets, &mut room, out, None);
        assert_eq!(values(DType::F32, &found), expected);
    }
}

/// Logits that exist some rows at a time, the last ones fewer, have the bits of those that exist all at once.
#[test]
fn logits_of_a_linear_layer_need_not_exist() {
    let (rows, classes, inputs) = (75, 40_001, 3);
    let spec = CrossEntropy { rows, classes, smoothing: 0.1 };
    assert!(rows_at_a_time(&spec) == 32 && rows % 32 != 0);
    let [x, w] = [rows, classes].map(|lines| Codes::new(DType::E5M2, &numbers(lines as u32, lines * inputs)));
    let bias = Codes::new(DType::F32, &numbers(3, classes));
    let operands = Operands { inputs, x: x.view(), w: w.view(), bias: Some(bias.view()), alpha: 0.5 };
    let mut targets = targets(&spec);
    targets[40] = CrossEntropy::IGNORED;
    let mut logits = vec![0; rows * classes * 4];
    let product = crate::Gemm { m: rows, n: classes, k: inputs, layout: crate::Layout::NT };
    let epilogue = crate::EpilogueView {
        alpha: 0.5,
        bias: operands.bias,
        residual: None,
        activation: crate::Activation::None,
        store: Store::F32,
    };
    let isa = crate::isa::Isa::available()[0];
    let out = ViewMut { dtype: DType::F32, bytes: &mut logits };
    gemm(isa, &product, operands.x, operands.w, &epilogue, out);
    let logits = View { dtype: DType::F32, bytes: &logits };
    let store = stores()[1];
    let mut expected = vec![0; rows * 4];
    forward(isa, &spec, logits, &targets, ViewMut { dtype: DType::F32, bytes: &mut expected });
    for store in [None, Some(store)] {
        let mut error = vec![0; store.map_or(0, |store: Store| rows * classes * store.dtype.size())];
        if let Some(store) = &store {
            let dlogits = ViewMut { dtype: store.dtype, bytes: &mut error };
            backward(isa, &spec, logits, &targets, 64.0, store, dlogits);
        }
        let found = on_every_path(|isa| {
            let (mut losses, mut found) = (vec![0xAA; rows * 4], vec![0xAA; error.len()]);
            let mut room = vec![9.0; 32 * classes];
            let gradient = store.map(|store| Gradient {
                factor: 64.0,
                store,
                dlogits: ViewMut { dtype: store.dtype, bytes: &mut found },
            });
            let out = ViewMut { dtype: DType::F32, bytes: &mut losses };
            linear(isa, &spec, &operands, &targets, &mut room, out, gradient);
            [losses, found].concat()
        });
        assert!(found == [&expected[..], &error].concat(), "{store:?}");
    }
}
