//! Against plain loops in the order that docs/numerics.md, section 6, promises: equal bits, on every path.

use super::{amax, count_non_finite, count_zero, sum, sum_rows, sum_squares};
use crate::isa::Isa;
use crate::testing::{Codes, encoded, numbers, numbers_and_specials, on_every_path, stores};
use crate::{DType, ViewMut};

const CHUNK: usize = 32_768;
const LENGTHS: [usize; 7] = [0, 1, 15, 513, CHUNK, CHUNK + 17, 100_003];
const TYPES: [DType; 4] = [DType::E5M2, DType::E4M3, DType::F16, DType::F32];

/// What `kernel` gives on every path.
fn found(kernel: impl Fn(Isa) -> f32 + Sync) -> u32 {
    u32::from_le_bytes(on_every_path(|isa| kernel(isa).to_le_bytes().to_vec()).try_into().unwrap())
}

/// 16 interleaved sums in each chunk, added as a tree; chunks in FP64.
fn tree(x: &[f32]) -> f32 {
    let chunk = |x: &[f32]| {
        let lane = |lane: usize| x.iter().skip(lane).step_by(16).fold(0.0_f32, |sum, x| sum + x);
        let mut lanes: Vec<f32> = (0..16).map(lane).collect();
        while lanes.len() > 1 {
            let (low, high) = lanes.split_at(lanes.len() / 2);
            lanes = low.iter().zip(high).map(|(low, high)| low + high).collect();
        }
        f64::from(lanes[0])
    };
    x.chunks(CHUNK).map(chunk).sum::<f64>() as f32
}

#[test]
fn sums() {
    for (len, dtype) in LENGTHS.into_iter().flat_map(|len| TYPES.map(|dtype| (len, dtype))) {
        let x = Codes::new(dtype, &numbers(1, len));
        assert_eq!(found(|isa| sum(isa, x.view())), tree(&x.values()).to_bits(), "sum of {len} {dtype}");
        // By a division, and by a multiplication that is one.
        for scale in [3.0, 0.25, 1024.0] {
            let squares: Vec<f32> = x.values().iter().map(|x| (x / scale) * (x / scale)).collect();
            let found = found(|isa| sum_squares(isa, x.view(), scale));
            assert_eq!(found, tree(&squares).to_bits(), "squares of {len} {dtype} / {scale}");
        }
    }
}

#[test]
fn counts_and_largest() {
    for (len, dtype) in LENGTHS.into_iter().flat_map(|len| TYPES.map(|dtype| (len, dtype))) {
        for numbers in [numbers(2, len), numbers_and_specials(2, len)] {
            let x = Codes::new(dtype, &numbers);
            let values = x.values();
            let count = |holds: fn(&f32) -> bool| values.iter().filter(|x| holds(x)).count() as f32;
            let what = format!("{len} {dtype}");
            let non_finite = count(|x| !x.is_finite());
            assert_eq!(found(|isa| count_non_finite(isa, x.view()) as f32), non_finite.to_bits(), "{what}");
            assert_eq!(found(|isa| count_zero(isa, x.view()) as f32), count(|x| *x == 0.0).to_bits(), "{what}");
            let wider = |most: f32, x: &f32| if x.is_nan() || most.is_nan() { f32::NAN } else { most.max(x.abs()) };
            let most = values.iter().fold(0.0, wider);
            assert_eq!(found(|isa| amax(isa, x.view())), most.to_bits(), "{what}");
        }
    }
}

/// Chunks of 32 rows, groups of 32 chunks as trees, 32 interleaved sums of groups as a tree.
fn column_sum(x: &[f64]) -> f64 {
    let tree = |mut sums: [f64; 32]| {
        for half in [16, 8, 4, 2, 1] {
            (0..half).for_each(|i| sums[i] += sums[i + half]);
        }
        sums[0]
    };
    let of_chunk = |x: &[f64]| x.iter().fold(0.0, |sum, x| sum + x);
    let of_group = |x: &[f64]| {
        let mut sums = [0.0; 32];
        sums.iter_mut().zip(x.chunks(32)).for_each(|(sum, x)| *sum = of_chunk(x));
        tree(sums)
    };
    let mut sums = [0.0; 32];
    x.chunks(1024).enumerate().for_each(|(i, x)| sums[i % 32] += of_group(x));
    tree(sums)
}

#[test]
fn sums_over_rows() {
    for (rows, columns) in [(0, 3), (1, 1), (70_000, 1), (5, 600), (4_001, 10), (3, 40_000), (70, 3_001), (1_100, 33)] {
        for (dtype, store) in TYPES.into_iter().zip(stores().into_iter().cycle()) {
            let dy = Codes::new(dtype, &numbers(3, rows * columns));
            let values = dy.values();
            let column = |c: usize| values.iter().skip(c).step_by(columns).map(|x| f64::from(*x)).collect::<Vec<_>>();
            let exact: Vec<f32> = (0..columns).map(|c| column_sum(&column(c)) as f32).collect();
            let bytes = on_every_path(|isa| {
                let mut bytes = vec![0xAA; columns * store.dtype.size()];
                sum_rows(isa, columns, dy.view(), &store, ViewMut { dtype: store.dtype, bytes: &mut bytes });
                bytes
            });
            assert!(bytes == encoded(&store, &exact), "{rows} x {columns} {dtype} by {store:?}");
        }
    }
}
