//! Against plain loops over windows.

use super::{global_average, global_average_backward, max, max_backward};
use crate::isa::Isa;
use crate::testing::{Codes, codes, encoded, numbers, numbers_and_specials, on_every_path, stores, values};
use crate::{DType, Pool2d, Store, View, ViewMut};

/// Calls `f` with the indices of y and x, and the place in the window, of each element under a window, in their order.
fn each_element(pool: &Pool2d, mut f: impl FnMut(usize, usize, u8)) {
    let ([oh, ow], [h, w]) = (pool.output(), pool.input);
    for (n, oy) in (0..pool.batch).flat_map(|n| (0..oh).map(move |oy| (n, oy))) {
        for (ox, k) in (0..ow).flat_map(|ox| (0..pool.kernel * pool.kernel).map(move |k| (ox, k))) {
            let (y, x) = (oy * pool.stride + k / pool.kernel, ox * pool.stride + k % pool.kernel);
            let on_input = |at: usize, len: usize| at >= pool.padding && at - pool.padding < len;
            if on_input(y, h) && on_input(x, w) {
                let pixel = (n * h + y - pool.padding) * w + x - pool.padding;
                let output = (n * oh + oy) * ow + ox;
                (0..pool.channels).for_each(|c| f(output * pool.channels + c, pixel * pool.channels + c, k as u8));
            }
        }
    }
}

fn max_oracle(pool: &Pool2d, x: &[f32]) -> (Vec<f32>, Vec<u8>) {
    let len = pool.batch * pool.output().iter().product::<usize>() * pool.channels;
    let mut best: Vec<Option<(f32, u8)>> = vec![None; len];
    each_element(pool, |y, i, place| {
        let wins = best[y].is_none_or(|(most, _)| x[i] > most || (x[i].is_nan() && !most.is_nan()));
        if wins {
            best[y] = Some((x[i], place));
        }
    });
    best.into_iter().map(|best| best.expect("no window lies on padding alone")).unzip()
}

fn backward_oracle(pool: &Pool2d, dy: &[f32], index: &[u8]) -> Vec<f32> {
    let mut sums = vec![0.0_f32; pool.batch * pool.input[0] * pool.input[1] * pool.channels];
    each_element(pool, |y, x, place| {
        if index[y] == place {
            sums[x] += dy[y];
        }
    });
    sums.into_iter().map(|sum| if sum.is_nan() { f32::NAN } else { sum }).collect()
}

fn pools() -> Vec<Pool2d> {
    let pool = |batch, input, channels, [kernel, stride, padding]: [usize; 3]| Pool2d {
        batch,
        input,
        channels,
        kernel,
        stride,
        padding,
    };
    vec![
        pool(2, [12, 10], 64, [3, 2, 1]),
        pool(1, [7, 9], 17, [3, 2, 1]),
        pool(3, [5, 5], 1, [2, 2, 0]),
        pool(1, [6, 7], 5, [3, 1, 1]),
        pool(2, [1, 1], 3, [5, 3, 2]),
        pool(1, [1, 4], 2, [5, 1, 2]),
        pool(1, [9, 8], 3, [2, 4, 1]),
        pool(1, [16, 17], 2, [15, 1, 7]),
        pool(0, [4, 4], 3, [2, 2, 0]),
        pool(2, [4, 4], 0, [2, 2, 0]),
    ]
}

fn forward(isa: Isa, pool: &Pool2d, x: View<'_>, store: &Store) -> (Vec<u8>, Vec<u8>) {
    let len = pool.batch * pool.output().iter().product::<usize>() * pool.channels;
    let (mut y, mut index) = (vec![0xAA; len * store.dtype.size()], vec![0xAA; len]);
    max(isa, pool, x, store, ViewMut { dtype: store.dtype, bytes: &mut y }, &mut index);
    (y, index)
}

#[test]
fn maxima_and_their_errors() {
    for (pool, store) in pools().into_iter().flat_map(|pool| stores().map(|store| (pool, store))) {
        let len = pool.batch * pool.input[0] * pool.input[1] * pool.channels;
        for x in [Codes::new(DType::E5M2, &numbers(1, len)), Codes::new(DType::F32, &numbers_and_specials(2, len))] {
            let (most, places) = max_oracle(&pool, &x.values());
            let y = on_every_path(|isa| forward(isa, &pool, x.view(), &store).0);
            let index = on_every_path(|isa| forward(isa, &pool, x.view(), &store).1);
            assert!(y == encoded(&store, &most), "{pool:?} {store:?}");
            assert_eq!(index, places, "{pool:?}");

            for dy in [numbers(3, most.len()), numbers_and_specials(4, most.len())] {
                let dy = Codes::new(DType::E5M2, &dy);
                let dx = on_every_path(|isa| {
                    let mut dx = vec![0xAA; len * store.dtype.size()];
                    let view = ViewMut { dtype: store.dtype, bytes: &mut dx };
                    max_backward(isa, &pool, dy.view(), &index, &store, view);
                    dx
                });
                assert!(dx == encoded(&store, &backward_oracle(&pool, &dy.values(), &index)), "{pool:?} {store:?}");
            }
        }
    }
}

/// An index is written even where nothing exceeds minus infinity; equals are decided by the first.
#[test]
fn places_of_equal_maxima() {
    let pool = Pool2d { batch: 1, input: [4, 4], channels: 1, kernel: 3, stride: 2, padding: 1 };
    for value in [f32::NEG_INFINITY, 1.0, f32::NAN] {
        let x = Codes::new(DType::E5M2, &[value; 16]);
        let index = on_every_path(|isa| forward(isa, &pool, x.view(), &Store::F32).1);
        assert_eq!(index, [4, 3, 1, 0], "{value}");
    }
}

#[test]
fn averages() {
    for [n, pixels, c] in [[3, 16, 40], [1, 1, 7], [2, 49, 513], [0, 4, 3], [2, 5, 0]] {
        let shape = [n, pixels, c];
        let x = Codes::new(DType::E5M2, &numbers(5, n * pixels * c));
        let (numbers, codes) = (x.values(), codes(6, DType::F16, n * c));
        let sum = |i: usize| (0..pixels).map(|pixel| numbers[(i / c * pixels + pixel) * c + i % c]).sum::<f32>();
        let means: Vec<f32> = (0..n * c).map(|i| sum(i) / pixels as f32).collect();
        let dy = values(DType::F16, &codes);
        let error = |i: usize| dy[i / (pixels * c) * c + i % c] / pixels as f32;
        let errors: Vec<f32> = (0..n * pixels * c).map(error).collect();
        for store in stores() {
            let y = on_every_path(|isa| {
                let mut y = vec![0xAA; n * c * store.dtype.size()];
                global_average(isa, shape, x.view(), &store, ViewMut { dtype: store.dtype, bytes: &mut y });
                y
            });
            assert!(y == encoded(&store, &means), "{shape:?} {store:?}");
            let dx = on_every_path(|isa| {
                let mut dx = vec![0xAA; n * pixels * c * store.dtype.size()];
                let view = ViewMut { dtype: store.dtype, bytes: &mut dx };
                global_average_backward(isa, shape, View { dtype: DType::F16, bytes: &codes }, &store, view);
                dx
            });
            assert!(dx == encoded(&store, &errors), "{shape:?} {store:?}");
        }
    }
}
