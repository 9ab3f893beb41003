use super::*;
use crate::DType;
use crate::testing::{OwnedEpilogue, codes, epilogues, finish, in_pools, values, view_mut};

/// Batch, input, I, O, kernel, stride, padding.
type Shape = (usize, [usize; 2], usize, usize, [usize; 2], usize, usize);

/// What ResNets have, and worse.
const SHAPES: [Shape; 15] = [
    (2, [6, 6], 3, 16, [3, 3], 1, 1),
    (1, [14, 14], 3, 8, [7, 7], 2, 3),
    (2, [5, 7], 70, 33, [3, 3], 1, 1),
    (3, [8, 6], 20, 40, [3, 3], 2, 1),
    (2, [7, 7], 16, 24, [1, 1], 2, 0),
    (1, [4, 4], 5, 7, [1, 1], 1, 0),
    (2, [9, 8], 4, 3, [2, 3], 3, 2),
    (1, [3, 3], 2, 2, [3, 3], 1, 4),
    (26, [5, 5], 3, 2, [5, 5], 1, 2),
    // Read in place: also with windows that begin or end outside, and images that no window has all of.
    (3, [5, 16], 32, 32, [3, 3], 1, 1),
    (2, [9, 7], 64, 96, [3, 3], 2, 1),
    (2, [6, 5], 32, 64, [2, 3], 1, 2),
    (1, [2, 3], 96, 32, [5, 5], 1, 4),
    (2, [12, 11], 32, 70, [4, 4], 3, 0),
    (3, [14, 16], 64, 33, [3, 3], 1, 1),
];

const OPERANDS: [(DType, DType); 4] =
    [(DType::E5M2, DType::E5M2), (DType::E5M2, DType::E4M3), (DType::F16, DType::F16), (DType::F32, DType::F32)];

fn shapes() -> impl Iterator<Item = Conv2d> {
    SHAPES.into_iter().map(|(batch, input, in_channels, out_channels, kernel, stride, padding)| Conv2d {
        batch,
        input,
        in_channels,
        out_channels,
        kernel,
        stride,
        padding,
    })
}

type Kernel = fn(Isa, &Conv2d, View<'_>, View<'_>, &EpilogueView<'_>, ViewMut<'_>);

/// `kernel` on codes of `lens` elements against the sums of `oracle`, for every type, epilogue, instruction set and number of threads.
fn check(
    conv: &Conv2d,
    lens: [usize; 2],
    columns: usize,
    kernel: Kernel,
    oracle: fn(&Conv2d, &[f32], &[f32]) -> Vec<f32>,
    epilogues: impl Fn(usize) -> Vec<OwnedEpilogue>,
) {
    for (a_type, b_type) in OPERANDS {
        let (a, b) = (codes(1, a_type, lens[0]), codes(2, b_type, lens[1]));
        let sums = oracle(conv, &values(a_type, &a), &values(b_type, &b));
        for epilogue in epilogues(sums.len()) {
            let expected = finish(&epilogue, columns, &sums);
            in_pools(|isa, threads| {
                let mut out = vec![0xaa; expected.len()];
                let (a, b) = (View { dtype: a_type, bytes: &a }, View { dtype: b_type, bytes: &b });
                kernel(isa, conv, a, b, &epilogue.view(), view_mut(&epilogue, &mut out));
                assert!(out == expected, "{isa}, {threads} threads: {conv:?} of {a_type} and {b_type}, {epilogue:?}");
            });
        }
    }
}

#[test]
fn forward_equals_the_oracle() {
    for conv in shapes() {
        let (lens, columns) = ([conv.input_len(), conv.weight_len()], conv.out_channels);
        check(&conv, lens, columns, forward, scalar::forward, |len| epilogues(columns, len).into());
    }
}

#[test]
fn data_gradient_equals_the_oracle() {
    for conv in shapes() {
        let (lens, columns) = ([conv.output_len(), conv.weight_len()], conv.in_channels);
        check(&conv, lens, columns, backward_data, scalar::backward_data, |len| epilogues(columns, len).into());
    }
}

#[test]
fn weight_gradient_equals_the_oracle() {
    for conv in shapes() {
        let lens = [conv.input_len(), conv.output_len()];
        let plain = |len: usize| epilogues(1, len).into_iter().take(1).collect();
        check(&conv, lens, 1, backward_weight, scalar::backward_weight, plain);
    }
}

/// On every instruction set, AMX too, whose sums have an order of their own: read in place or packed, windows make the same sums.
#[test]
fn windows_are_lines_of_a_matrix() {
    let dtype = DType::E5M2;
    for conv in shapes().chain([Conv2d { input: [16, 32], in_channels: 64, ..shapes().last().unwrap() }]) {
        let (x, w) = (codes(1, dtype, conv.input_len()), codes(2, dtype, conv.weight_len()));
        let ([height, width], [kh, kw]) = (conv.output(), conv.kernel);
        let shape = crate::Gemm {
            m: conv.batch * height * width,
            n: conv.out_channels,
            k: kh * kw * conv.in_channels,
            layout: crate::Layout::NT,
        };
        let at = |row: usize, k: usize| {
            let (image, y, x) = (row / (height * width), row / width % height, row % width);
            let (ky, kx, channel) = (k / (kw * conv.in_channels), k / conv.in_channels % kw, k % conv.in_channels);
            let y = (y * conv.stride + ky).checked_sub(conv.padding).filter(|y| *y < conv.input[0])?;
            let x = (x * conv.stride + kx).checked_sub(conv.padding).filter(|x| *x < conv.input[1])?;
            Some(((image * conv.input[0] + y) * conv.input[1] + x) * conv.in_channels + channel)
        };
        let windows: Vec<u8> = (0..shape.m)
            .flat_map(|row| (0..shape.k).map(move |k| (row, k)))
            .map(|(row, k)| at(row, k).map_or(0, |at| x[at]))
            .collect();
        let epilogue = &epilogues(shape.n, shape.m * shape.n)[0];
        let view = |bytes| View { dtype, bytes };
        for isa in Isa::available() {
            let mut found = [vec![0xaa; 4 * shape.m * shape.n], vec![0x55; 4 * shape.m * shape.n]];
            let [matrix, image] = &mut found;
            crate::gemm::gemm(isa, &shape, view(&windows), view(&w), &epilogue.view(), view_mut(epilogue, matrix));
            forward(isa, &conv, view(&x), view(&w), &epilogue.view(), view_mut(epilogue, image));
            assert!(found[0] == found[1], "{isa}: {conv:?}");
        }
    }
}

/// The gradients are those of the forward pass: <y, dy> = <x, dx> = <w, dw> for a product that is linear in both.
#[test]
fn gradients_are_adjoint() {
    for conv in shapes() {
        let [x, w, dy] = [conv.input_len(), conv.weight_len(), conv.output_len()]
            .map(|len| values(DType::F32, &codes(len as u32, DType::F32, len)));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let along_y = dot(&scalar::forward(&conv, &x, &w), &dy);
        let along_x = dot(&scalar::backward_data(&conv, &dy, &w), &x);
        let along_w = dot(&scalar::backward_weight(&conv, &x, &dy), &w);
        let scale = dy.len() as f64;
        assert!((along_y - along_x).abs() < 1e-4 * scale && (along_y - along_w).abs() < 1e-4 * scale, "{conv:?}");
    }
}

/// Without channels of the output every sum is empty.
#[test]
fn no_output_channels() {
    let conv =
        Conv2d { batch: 1, input: [4, 4], in_channels: 3, out_channels: 0, kernel: [3, 3], stride: 1, padding: 1 };
    let nothing = View { dtype: DType::E5M2, bytes: &[] };
    let epilogue = &epilogues(3, conv.input_len())[0];
    in_pools(|isa, _| {
        let mut dx = vec![0xaa; 4 * conv.input_len()];
        backward_data(isa, &conv, nothing, nothing, &epilogue.view(), view_mut(epilogue, &mut dx));
        assert!(dx.iter().all(|byte| *byte == 0));
    });
}
