//! Matrix products and convolutions.

use super::Case;
use super::inputs::{Inputs, store};
use crate::{Activation, Backend, Buffer, Conv2d, DType, Epilogue, Gemm, Layout, Result, Store};

const PAIRS: [[DType; 2]; 5] = [
    [DType::E5M2, DType::E5M2],
    [DType::E4M3, DType::E5M2],
    [DType::F16, DType::E5M2],
    [DType::F32, DType::F32],
    [DType::Bf16, DType::Bf16],
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let sizes = [[1, 1, 1], [3, 5, 0], [17, 33, 70], [64, 128, 576], [130, 65, 1300], [8, 8, 40_000], [5, 1000, 577]];
    for (n, [m, n_columns, k]) in sizes.into_iter().enumerate() {
        for layout in [Layout::NN, Layout::NT, Layout::TN] {
            for (i, types) in PAIRS.into_iter().enumerate() {
                let gemm = Gemm { m, n: n_columns, k, layout };
                cases.push(Case::new(format!("gemm {layout:?} {m}x{n_columns}x{k} {types:?}"), move |backend| {
                    let inputs = Inputs(backend);
                    let (a, b) = (inputs.float(types[0], 1, m * k)?, inputs.float(types[1], 2, k * n_columns)?);
                    let tail = Tail { n: n + i, columns: n_columns, full: true };
                    tail.output(backend, m * n_columns, |epilogue, c| backend.gemm(&gemm, &a, &b, epilogue, c))
                }));
            }
        }
    }
    for (n, conv) in convolutions().into_iter().enumerate() {
        for (i, types) in PAIRS.into_iter().enumerate() {
            cases.push(convolution(conv, n + i, types));
        }
    }
    cases
}

fn convolutions() -> Vec<Conv2d> {
    let conv = |batch, input, in_channels, out_channels, kernel, stride, padding| Conv2d {
        batch,
        input,
        in_channels,
        out_channels,
        kernel,
        stride,
        padding,
    };
    vec![
        conv(2, [8, 8], 16, 24, [3, 3], 1, 1),
        conv(1, [9, 7], 3, 5, [7, 7], 2, 3),
        conv(3, [8, 10], 8, 8, [1, 1], 2, 0),
        conv(1, [5, 5], 1, 1, [5, 3], 3, 0),
        conv(2, [14, 14], 64, 32, [3, 3], 2, 1),
        conv(1, [4, 4], 4, 6, [2, 2], 3, 1),
    ]
}

/// All three products of a convolution.
fn convolution(conv: Conv2d, n: usize, types: [DType; 2]) -> Case {
    let [x_len, w_len, y_len] = [conv.input_len(), conv.weight_len(), conv.output_len()];
    Case::new(format!("convolution {conv:?} {types:?}"), move |backend| {
        let inputs = Inputs(backend);
        let (x, w) = (inputs.float(types[0], 1, x_len)?, inputs.float(types[1], 2, w_len)?);
        let dy = inputs.float(types[1], 3, y_len)?;
        let mut outputs =
            Tail { n, columns: conv.out_channels, full: true }
                .output(backend, y_len, |epilogue, y| backend.conv2d(&conv, &x, &w, epilogue, y))?;
        outputs.extend(Tail { n: n + 1, columns: conv.in_channels, full: true }.output(
            backend,
            x_len,
            |epilogue, dx| backend.conv2d_backward_data(&conv, &dy, &w, epilogue, dx),
        )?);
        outputs.extend(Tail { n: n + 2, columns: conv.in_channels, full: false }.output(
            backend,
            w_len,
            |epilogue, dw| backend.conv2d_backward_weight(&conv, &x, &dy, epilogue, dw),
        )?);
        Ok(outputs)
    })
}

/// What follows a product: one of some epilogues.
struct Tail {
    n: usize,
    columns: usize,
    /// Whether bias and activation are taken.
    full: bool,
}

impl Tail {
    fn output(
        &self,
        backend: &dyn Backend,
        len: usize,
        product: impl Fn(&Epilogue<'_>, &mut Buffer) -> Result<()>,
    ) -> Result<Vec<Buffer>> {
        let (inputs, store) = (Inputs(backend), store(self.n));
        let (bias, residual) = (inputs.float(DType::F32, 11, self.columns)?, inputs.float(DType::E5M2, 12, len)?);
        let bare = Epilogue::store(Store::F32);
        let dressed = Epilogue {
            alpha: 0.3,
            bias: self.full.then_some(&bias),
            residual: (!self.n.is_multiple_of(3)).then_some(&residual),
            activation: if self.full && self.n % 2 == 1 { Activation::Relu } else { Activation::None },
            store,
        };
        let mut outputs = vec![inputs.output(DType::F32, len)?, inputs.output(store.dtype, len)?];
        product(&bare, &mut outputs[0])?;
        product(&dressed, &mut outputs[1])?;
        Ok(outputs)
    }
}
