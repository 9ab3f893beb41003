//! 2-D convolution and its gradients, channels-last: the products of [`crate::gemm`], with windows of images as lines.
//!
//! | | rows | columns | k, ascending |
//! |---|---|---|---|
//! | forward | pixels of y | O | window of x (KH, KW, I) |
//! | gradient of the data | pixels of dx, those of one phase of the stride at a time | I | window of dy (down, across, O) |
//! | gradient of the weight | O | (KH, KW, I) | pixels of y (N, OH, OW) |
//!
//! Elements of a window outside the image are zeros and take part in the sum like others.

mod patches;
#[cfg(test)]
mod scalar;
#[cfg(test)]
mod tests;

use patches::{Divisor, Patches};

use crate::gemm::{Dense, Factor, Lines, Output, Product, Scratch};
use crate::isa::Isa;
use crate::{Conv2d, EpilogueView, View, ViewMut};

/// y (N, OH, OW, O) = epilogue(x (N, H, W, I) * w (O, KH, KW, I)).
pub fn forward(isa: Isa, conv: &Conv2d, x: View<'_>, w: View<'_>, epilogue: &EpilogueView<'_>, y: ViewMut<'_>) {
    let ([height, width], patches) = (conv.output(), windows(conv, x));
    let weights = Dense { view: w, len: patches.len() };
    let product = Product {
        rows: conv.batch * height * width,
        columns: conv.out_channels,
        k: patches.len(),
        a: Factor { lines: &patches, dtype: x.dtype, along_k: true },
        b: Factor { lines: &weights, dtype: w.dtype, along_k: true },
        epilogue,
        output_row: None,
    };
    product.compute(isa, &Output::new(y));
}

/// dw (O, KH, KW, I) = epilogue(gradient of the weight).
pub fn backward_weight(
    isa: Isa,
    conv: &Conv2d,
    x: View<'_>,
    dy: View<'_>,
    epilogue: &EpilogueView<'_>,
    dw: ViewMut<'_>,
) {
    let ([height, width], patches) = (conv.output(), windows(conv, x));
    let errors = Dense { view: dy, len: conv.out_channels };
    let product = Product {
        rows: conv.out_channels,
        columns: patches.len(),
        k: conv.batch * height * width,
        a: Factor { lines: &errors, dtype: dy.dtype, along_k: false },
        b: Factor { lines: &patches, dtype: x.dtype, along_k: false },
        epilogue,
        output_row: None,
    };
    product.compute(isa, &Output::new(dw));
}

/// dx (N, H, W, I) = epilogue(gradient of the input).
///
/// Pixels whose coordinates leave the same remainder by the stride (a phase) see the same elements of the kernel, at
/// neighbouring pixels of dy: one product per phase.
pub fn backward_data(isa: Isa, conv: &Conv2d, dy: View<'_>, w: View<'_>, epilogue: &EpilogueView<'_>, dx: ViewMut<'_>) {
    let output = Output::new(dx);
    for vertical in Phase::all(conv, 0) {
        for horizontal in Phase::all(conv, 1) {
            phase(isa, conv, [&vertical, &horizontal], dy, w, epilogue, &output);
        }
    }
}

fn phase(
    isa: Isa,
    conv: &Conv2d,
    [vertical, horizontal]: [&Phase; 2],
    dy: View<'_>,
    w: View<'_>,
    epilogue: &EpilogueView<'_>,
    output: &Output<'_>,
) {
    let [height, width] = conv.output();
    let patches = Patches {
        image: dy,
        height,
        width,
        channels: conv.out_channels,
        grid: [vertical.pixels, horizontal.pixels].map(Divisor::new),
        step: 1,
        corner: [vertical.corner, horizontal.corner],
        window: [vertical.taps.len(), horizontal.taps.len()],
    };
    let taps = vertical.taps.iter().flat_map(|ky| horizontal.taps.iter().map(move |kx| ky * conv.kernel[1] + kx));
    let weights = Taps { weight: w, taps: taps.collect(), channels: Divisor::new(conv.out_channels.max(1)), conv };
    let output_row = |row: usize| {
        let (pixel, gx) = (row / horizontal.pixels, row % horizontal.pixels);
        let (image, gy) = (pixel / vertical.pixels, pixel % vertical.pixels);
        let (y, x) = (gy * conv.stride + vertical.first, gx * conv.stride + horizontal.first);
        (image * conv.input[0] + y) * conv.input[1] + x
    };
    let product = Product {
        rows: conv.batch * vertical.pixels * horizontal.pixels,
        columns: conv.in_channels,
        k: patches.len(),
        a: Factor { lines: &patches, dtype: dy.dtype, along_k: true },
        b: Factor { lines: &weights, dtype: w.dtype, along_k: false },
        epilogue,
        output_row: if conv.stride == 1 { None } else { Some(&output_row) },
    };
    product.compute(isa, output);
}

fn windows<'a>(conv: &Conv2d, x: View<'a>) -> Patches<'a> {
    Patches {
        image: x,
        height: conv.input[0],
        width: conv.input[1],
        channels: conv.in_channels,
        grid: conv.output().map(Divisor::new),
        step: conv.stride,
        corner: [-(conv.padding as isize); 2],
        window: conv.kernel,
    }
}

/// Pixels of one axis of dx with the same remainder by the stride.
struct Phase {
    /// The first of them.
    first: usize,
    /// How many there are.
    pixels: usize,
    /// Elements of the kernel that reach them, in ascending order of the pixels of dy: descending.
    taps: Vec<usize>,
    /// Pixel of dy that the first tap brings to the first pixel of dx.
    corner: isize,
}

impl Phase {
    fn all(conv: &Conv2d, axis: usize) -> impl Iterator<Item = Self> {
        let (stride, input, kernel) = (conv.stride, conv.input[axis], conv.kernel[axis]);
        (0..stride.min(input)).map(move |first| {
            let taps: Vec<usize> = ((first + conv.padding) % stride..kernel).step_by(stride).rev().collect();
            let reach = (first + conv.padding) as isize - taps.first().map_or(0, |tap| *tap as isize);
            Self { first, pixels: (input - first).div_ceil(stride), taps, corner: reach.div_euclid(stride as isize) }
        })
    }
}

/// The weight as lines (tap, O) of I elements, for some taps of the kernel.
struct Taps<'a> {
    /// (O, KH, KW, I).
    weight: View<'a>,
    taps: Vec<usize>,
    /// O.
    channels: Divisor,
    conv: &'a Conv2d,
}

impl Lines for Taps<'_> {
    fn part<'a>(&'a self, line: usize, first: usize, len: usize, _: &'a mut Scratch) -> &'a [u8] {
        let (tap, channel) = self.channels.divide(line);
        let [height, width] = self.conv.kernel;
        self.weight.part((channel * height * width + self.taps[tap]) * self.conv.in_channels + first, len).bytes
    }
}
