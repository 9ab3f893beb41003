//! Against the formulas, one element at a time.

use super::{add, cast, relu_backward};
use crate::isa::Isa;
use crate::testing::{Codes, encoded, numbers, numbers_and_specials, on_every_path, stores, values};
use crate::{DType, Store, View, ViewMut};

/// Nothing, parts of a vector, around a block, more than a chunk.
const LENGTHS: [usize; 6] = [0, 1, 67, 512, 1025, 70_001];

fn check(
    store: &Store,
    exact: impl Iterator<Item = f32>,
    what: &str,
    kernel: impl Fn(Isa, &Store, ViewMut<'_>) + Sync,
) {
    let exact: Vec<f32> = exact.collect();
    let found = on_every_path(|isa| {
        let mut bytes = vec![0xAA; exact.len() * store.dtype.size()];
        kernel(isa, store, ViewMut { dtype: store.dtype, bytes: &mut bytes });
        bytes
    });
    assert!(found == encoded(store, &exact), "{what} of {} by {store:?}", exact.len());
}

/// One NaN for all.
fn number(x: f32) -> f32 {
    if x.is_nan() { f32::NAN } else { x }
}

#[test]
fn sums() {
    for (len, store) in LENGTHS.into_iter().flat_map(|len| stores().map(|store| (len, store))) {
        let a = Codes::new(DType::E5M2, &numbers_and_specials(1, len));
        for b in [DType::E4M3, DType::F16, DType::F32].map(|dtype| Codes::new(dtype, &numbers_and_specials(2, len))) {
            let sums = || a.values().into_iter().zip(b.values()).map(|(a, b)| number(a + b));
            check(&store, sums(), "a + b", |isa, store, y| add(isa, a.view(), Some(b.view()), false, store, y));
            let rectified = sums().map(|sum| if sum < 0.0 { 0.0 } else { sum });
            check(&store, rectified, "relu(a + b)", |isa, store, y| add(isa, a.view(), Some(b.view()), true, store, y));
        }
        let rectified = a.values().into_iter().map(|a| if a < 0.0 { 0.0 } else { a });
        check(&store, rectified, "relu(a)", |isa, store, y| add(isa, a.view(), None, true, store, y));
    }
}

#[test]
fn relu_keeps_nan() {
    let x = View { dtype: DType::F32, bytes: &[f32::NAN, -1.0, -0.0, 2.0].map(f32::to_le_bytes).concat() };
    let bytes = on_every_path(|isa| {
        let mut y = vec![0; 16];
        add(isa, x, None, true, &Store::F32, ViewMut { dtype: DType::F32, bytes: &mut y });
        y
    });
    let y = values(DType::F32, &bytes);
    assert!(y[0].is_nan());
    assert_eq!(y[1..], [0.0, 0.0, 2.0]);
}

#[test]
fn errors_of_the_relu() {
    for (len, store) in LENGTHS.into_iter().flat_map(|len| stores().map(|store| (len, store))) {
        let [y, dy, residual] = [(DType::E5M2, 3), (DType::E5M2, 4), (DType::F16, 5)]
            .map(|(dtype, seed)| Codes::new(dtype, &numbers_and_specials(seed, len)));
        let masked = || y.values().into_iter().zip(dy.values()).map(|(y, dy)| if y > 0.0 { dy } else { 0.0 });
        check(&store, masked(), "relu_backward", |isa, store, dx| {
            relu_backward(isa, Some(y.view()), dy.view(), None, store, dx);
        });
        let sums = masked().zip(residual.values()).map(|(dy, residual)| number(dy + residual));
        check(&store, sums, "relu_backward + residual", |isa, store, dx| {
            relu_backward(isa, Some(y.view()), dy.view(), Some(residual.view()), store, dx);
        });
    }
}

#[test]
fn casts() {
    for (len, store) in LENGTHS.into_iter().flat_map(|len| stores().map(|store| (len, store))) {
        for x in [DType::E5M2, DType::Bf16, DType::F32].map(|dtype| Codes::new(dtype, &numbers(6, len))) {
            for scale in [1.0, 3.0] {
                let exact = x.values().into_iter().map(|x| x / scale);
                check(&store, exact, "cast", |isa, store, y| cast(isa, x.view(), scale, store, y));
            }
        }
    }
}
