use super::*;
use crate::testing::{codes, epilogues, finish, in_pool, in_pools, values, view_mut};
use crate::{DType, Gemm, Layout, Store};

const OPERANDS: [(DType, DType); 7] = [
    (DType::E5M2, DType::E5M2),
    (DType::E4M3, DType::E5M2),
    (DType::E5M2Fnuz, DType::E4M3Fnuz),
    (DType::E3M4, DType::E3M4),
    (DType::F16, DType::E5M2),
    (DType::Bf16, DType::Bf16),
    (DType::F32, DType::F32),
];

/// Rows, columns and k around the sizes of tiles, of units and of blocks.
const SHAPES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [5, 17, 2],
    [13, 33, 31],
    [97, 40, 575],
    [12, 32, 576],
    [6, 16, 577],
    [3, 50, 1300],
    [2, 3, 0],
    [0, 3, 4],
];

#[test]
fn products_equal_the_oracle() {
    for (a_type, b_type) in OPERANDS {
        for ([m, n, k], layout) in
            SHAPES.into_iter().flat_map(|shape| [Layout::NN, Layout::NT, Layout::TN].map(|l| (shape, l)))
        {
            let shape = Gemm { m, n, k, layout };
            let (a, b) = (codes(1, a_type, m * k), codes(2, b_type, k * n));
            let sums = scalar::gemm(&shape, &values(a_type, &a), &values(b_type, &b));
            for epilogue in epilogues(n, m * n) {
                let expected = finish(&epilogue, n, &sums);
                in_pools(|isa, threads| {
                    let mut c = vec![0xaa; expected.len()];
                    let (a, b) = (View { dtype: a_type, bytes: &a }, View { dtype: b_type, bytes: &b });
                    gemm(isa, &shape, a, b, &epilogue.view(), view_mut(&epilogue, &mut c));
                    assert!(
                        c == expected,
                        "{isa}, {threads} threads: {shape:?} of {a_type} and {b_type}, {epilogue:?}"
                    );
                });
            }
        }
    }
}

/// So large that tasks share what is packed; of many threads each packs for itself, and keeps columns of B from task to task.
#[test]
fn shared_factors_change_nothing() {
    let [m, n, k] = [400, 410, 1250];
    for (dtype, layout) in [(DType::E5M2, Layout::NT), (DType::E4M3, Layout::NN), (DType::F32, Layout::TN)] {
        let shape = Gemm { m, n, k, layout };
        let [a, b, other] = [(1, m * k), (2, k * n), (3, k * n)].map(|(seed, len)| codes(seed, dtype, len));
        let sums = scalar::gemm(&shape, &values(dtype, &a), &values(dtype, &b));
        let epilogue = &epilogues(n, m * n)[1];
        let expected = finish(epilogue, n, &sums);
        let check = |isa, threads| {
            let kernel = kernel::Kernel::of(isa, dtype, dtype);
            let cut = cut::Cut::new(kernel, [m, n, k], [None; 2], false, threads);
            let (shares, keeps) = (cut.shared.contains(&true), cut.keeps_b);
            assert!(
                threads < 3 || (shares, keeps) == (threads == 3, threads > 3),
                "{isa}, {threads} threads: {shares}, {keeps}"
            );
            let mut c = vec![0xaa; expected.len()];
            // After another B.
            for bytes in [&other, &b] {
                let (a, b) = (View { dtype, bytes: &a }, View { dtype, bytes });
                gemm(isa, &shape, a, b, &epilogue.view(), view_mut(epilogue, &mut c));
            }
            assert!(c == expected, "{isa}, {threads} threads: {shape:?} of {dtype}");
        };
        in_pools(check);
        in_pool(6, check);
        in_pool(16, check);
    }
}

/// B packed once, for A of its type and of another, of few rows and of many.
#[test]
fn a_fixed_factor_changes_nothing() {
    for (n, k, along_k) in [(50, 700, true), (130, 31, false), (17, 1200, false), (9, 0, true)] {
        let dtype = DType::E5M2;
        let b = codes(2, dtype, k * n);
        in_pools(|isa, threads| {
            let mut room = FactorRoom::take();
            let second = Second { view: View { dtype, bytes: &b }, n, k, along_k };
            let fixed = FixedB::new(isa, dtype, second, &mut room);
            for (a_type, m) in [(dtype, 1), (dtype, 40), (DType::F16, 7), (dtype, 200)] {
                let shape = Gemm { m, n, k, layout: if along_k { Layout::NT } else { Layout::NN } };
                let a = codes(1, a_type, m * k);
                let epilogue = &epilogues(n, m * n)[1];
                let expected = finish(epilogue, n, &scalar::gemm(&shape, &values(a_type, &a), &values(dtype, &b)));
                let mut c = vec![0xaa; expected.len()];
                fixed.product(m, View { dtype: a_type, bytes: &a }, &epilogue.view(), view_mut(epilogue, &mut c));
                assert!(c == expected, "{isa}, {threads} threads: {shape:?} of {a_type}");
            }
        });
    }
}

#[test]
fn infinities_and_nan_are_the_same_everywhere() {
    let shape = Gemm { m: 3, n: 40, k: 600, layout: Layout::NT };
    for dtype in [DType::E5M2, DType::E4M3, DType::E5M2Fnuz, DType::E3M4] {
        // All codes, specials too: most sums become NaN, some infinite.
        let a: Vec<u8> = (0..shape.m * shape.k).map(|i| (i % 251) as u8 + 5).collect();
        let b: Vec<u8> =
            (0..shape.n * shape.k).map(|i| if (i / shape.k).is_multiple_of(2) { i as u8 } else { 0x3c }).collect();
        let sums = scalar::gemm(&shape, &values(dtype, &a), &values(dtype, &b));
        assert!(sums.iter().any(|sum| sum.is_nan()));
        for epilogue in epilogues(shape.n, sums.len()) {
            let expected = finish(&epilogue, shape.n, &sums);
            in_pools(|isa, threads| {
                let mut c = vec![0; expected.len()];
                let (a, b) = (View { dtype, bytes: &a }, View { dtype, bytes: &b });
                gemm(isa, &shape, a, b, &epilogue.view(), view_mut(&epilogue, &mut c));
                assert!(c == expected, "{isa}, {threads} threads, {dtype}, {epilogue:?}");
            });
        }
    }
}

/// Nought times infinity has the bits of any other NaN.
#[test]
fn a_factor_of_nought_makes_the_same_nan_everywhere() {
    let (a, b) = ([0x7c; 4], [0x3c; 4 * 70]);
    for store in [Store::F32, Store::nearest(DType::E5M2)] {
        let (bias, residual, activation) = (None, None, crate::Activation::None);
        let epilogue = EpilogueView { alpha: 0.0, bias, residual, activation, store };
        in_pools(|isa, threads| {
            let mut c = vec![0; 70 * store.dtype.size()];
            let (a, b) = (View { dtype: DType::E5M2, bytes: &a }, View { dtype: DType::E5M2, bytes: &b });
            let shape = Gemm { m: 1, n: 70, k: 4, layout: Layout::NN };
            gemm(isa, &shape, a, b, &epilogue, ViewMut { dtype: store.dtype, bytes: &mut c });
            let nan = if store == Store::F32 { f32::NAN.to_le_bytes().to_vec() } else { vec![0x7e] };
            assert!(c.chunks(nan.len()).all(|code| code == nan), "{isa}, {threads} threads: {:x?}", &c[..4]);
        });
    }
}

/// AMX sums in an order of its own: within the bound of any order.
#[test]
fn amx_is_within_its_bound() {
    let Some(amx) = Isa::available().into_iter().find(|isa| *isa == Isa::Amx) else { return };
    let dtype = DType::E5M2;
    for [m, n, k] in SHAPES.into_iter().chain([[70, 70, 4000]]) {
        let shape = Gemm { m, n, k, layout: Layout::NT };
        let (a, b) = (codes(1, dtype, m * k), codes(2, dtype, k * n));
        let (x, y) = (values(dtype, &a), values(dtype, &b));
        let sums = scalar::gemm(&shape, &x, &y);
        let absolute = |values: &[f32]| values.iter().map(|value| value.abs()).collect::<Vec<_>>();
        let sizes = scalar::gemm(&shape, &absolute(&x), &absolute(&y));
        let epilogue = &epilogues(n, m * n)[0];
        let mut c = vec![0; 4 * m * n];
        let (a, b) = (View { dtype, bytes: &a }, View { dtype, bytes: &b });
        gemm(amx, &shape, a, b, &epilogue.view(), view_mut(epilogue, &mut c));
        for ((found, sum), size) in values(DType::F32, &c).iter().zip(&sums).zip(&sizes) {
            let bound = 2.0 * k as f32 * f32::EPSILON / 2.0 * size;
            assert!((found - sum).abs() <= bound, "{shape:?}: {found} for {sum}");
        }
    }
}

/// matrixmultiply knows another order of sums: what it finds must be near.
#[test]
fn f32_is_near_matrixmultiply() {
    let [m, n, k] = [70, 90, 1300];
    let (a, b) = (codes(3, DType::F32, m * k), codes(4, DType::F32, k * n));
    let (x, y) = (values(DType::F32, &a), values(DType::F32, &b));
    let mut expected = vec![0.0; m * n];
    // SAFETY: the slices are the matrices that sizes and strides describe.
    unsafe {
        let (k_stride, n_stride) = (k as isize, n as isize);
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            x.as_ptr(),
            k_stride,
            1,
            y.as_ptr(),
            n_stride,
            1,
            0.0,
            expected.as_mut_ptr(),
            n_stride,
            1,
        );
    }
    in_pools(|isa, _| {
        let mut c = vec![0; 4 * m * n];
        let epilogue = &epilogues(n, m * n)[0];
        let (a, b) = (View { dtype: DType::F32, bytes: &a }, View { dtype: DType::F32, bytes: &b });
        gemm(isa, &Gemm { m, n, k, layout: Layout::NN }, a, b, &epilogue.view(), view_mut(epilogue, &mut c));
        for (found, expected) in values(DType::F32, &c).iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-3, "{isa}: {found} for {expected}");
        }
    });
}
