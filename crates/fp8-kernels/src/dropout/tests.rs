use fp8_core::Stream;

use super::dropout;
use crate::testing::{Codes, encoded, numbers, on_every_path, stores, values};
use crate::{DType, Store, ViewMut};

const MASK: Stream = Stream { seed: 9, step: 8, id: 7 };

fn run(x: &Codes, share: f32, residual: Option<&Codes>, store: &Store) -> Vec<u8> {
    on_every_path(|isa| {
        let mut y = vec![0xaa; x.view().len() * store.dtype.size()];
        let out = ViewMut { dtype: store.dtype, bytes: &mut y };
        dropout(isa, x.view(), share, &MASK, residual.map(Codes::view), store, out);
        y
    })
}

#[test]
fn the_mask_is_the_stream_s() {
    let x = Codes::new(DType::F16, &numbers(1, 70_001));
    let residual = Codes::new(DType::E5M2, &numbers(2, 70_001));
    for store in stores() {
        for share in [0.0, 0.1, 0.5] {
            let kept = |i: usize| f64::from(MASK.draw(i as u64, 16)) >= (f64::from(share) * 65536.0).round();
            let element = |(i, (x, residual)): (usize, (&f32, &f32))| {
                (if kept(i) { 1.0 / (1.0 - share) * x } else { 0.0 }) + residual
            };
            let (a, b) = (x.values(), residual.values());
            let expected: Vec<f32> = a.iter().zip(&b).enumerate().map(element).collect();
            assert!(run(&x, share, Some(&residual), &store) == encoded(&store, &expected), "{share}, {store:?}");
        }
    }
}

/// Of so many elements a share within five standard deviations is dropped, and the mean stays.
#[test]
fn the_share_is_kept_on_average() {
    let len = 1 << 18;
    let ones = Codes::new(DType::F32, &vec![1.0; len]);
    for share in [0.1_f32, 0.3, 0.9] {
        let y = values(DType::F32, &run(&ones, share, None, &Store::F32));
        let dropped = y.iter().filter(|y| **y == 0.0).count() as f64 / len as f64;
        let deviation = (f64::from(share) * f64::from(1.0 - share) / len as f64).sqrt();
        assert!((dropped - f64::from(share)).abs() < 5.0 * deviation, "{share}: {dropped}");
        let mean = y.iter().map(|y| f64::from(*y)).sum::<f64>() / len as f64;
        assert!((mean - 1.0).abs() < 5.0 * deviation / f64::from(1.0 - share), "{share}: {mean}");
    }
}
