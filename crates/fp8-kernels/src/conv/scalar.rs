//! The oracle: convolution and its gradients by their definitions, with the order of sums of [`crate::gemm`].

use crate::Conv2d;
use crate::gemm::scalar::sum;

/// An image (N, height, width, channels) that is zero outside.
struct Image<'a> {
    values: &'a [f32],
    height: usize,
    width: usize,
    channels: usize,
}

impl Image<'_> {
    fn at(&self, image: usize, y: isize, x: isize, channel: usize) -> f32 {
        if !(0..self.height as isize).contains(&y) || !(0..self.width as isize).contains(&x) {
            return 0.0;
        }
        self.values[((image * self.height + y as usize) * self.width + x as usize) * self.channels + channel]
    }
}

/// Indices of element `i` of an array of these sizes, row-major.
fn indices<const N: usize>(mut i: usize, sizes: [usize; N]) -> [usize; N] {
    let mut indices = [0; N];
    for (index, size) in indices.iter_mut().zip(sizes).rev() {
        (*index, i) = (i % size, i / size);
    }
    indices
}

fn input<'a>(conv: &Conv2d, x: &'a [f32]) -> Image<'a> {
    Image { values: x, height: conv.input[0], width: conv.input[1], channels: conv.in_channels }
}

/// y; k = (KH, KW, I).
pub(super) fn forward(conv: &Conv2d, x: &[f32], w: &[f32]) -> Vec<f32> {
    let ([oh, ow], [kh, kw], x) = (conv.output(), conv.kernel, input(conv, x));
    let (length, stride, padding) = (kh * kw * conv.in_channels, conv.stride as isize, conv.padding as isize);
    let element = |i: usize| {
        let [n, oy, ox, o] = indices(i, [conv.batch, oh, ow, conv.out_channels]);
        sum(length, |l| {
            let [ky, kx, c] = indices(l, [kh, kw, conv.in_channels]);
            let (y, x_at) =
                (oy as isize * stride + ky as isize - padding, ox as isize * stride + kx as isize - padding);
            (x.at(n, y, x_at, c), w[o * length + l])
        })
    };
    (0..conv.output_len()).map(element).collect()
}

/// dw; k = (N, OH, OW).
pub(super) fn backward_weight(conv: &Conv2d, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let ([oh, ow], [kh, kw], x) = (conv.output(), conv.kernel, input(conv, x));
    let (stride, padding) = (conv.stride as isize, conv.padding as isize);
    let element = |i: usize| {
        let [o, ky, kx, c] = indices(i, [conv.out_channels, kh, kw, conv.in_channels]);
        sum(conv.batch * oh * ow, |l| {
            let [n, oy, ox] = indices(l, [conv.batch, oh, ow]);
            let (y, x_at) =
                (oy as isize * stride + ky as isize - padding, ox as isize * stride + kx as isize - padding);
            (dy[l * conv.out_channels + o], x.at(n, y, x_at, c))
        })
    };
    (0..conv.weight_len()).map(element).collect()
}

/// dx; k = (pixels of dy under the kernel: down, across, inside dy or not; O).
pub(super) fn backward_data(conv: &Conv2d, dy: &[f32], w: &[f32]) -> Vec<f32> {
    let ([height, width], [kh, kw]) = (conv.output(), conv.kernel);
    let dy = Image { values: dy, height, width, channels: conv.out_channels };
    // (pixel of dy, element of the kernel) that meet at a pixel of dx, by ascending pixel.
    let meeting = |at: usize, kernel: usize| -> Vec<(isize, usize)> {
        let at = (at + conv.padding) as isize;
        let pairs = (0..kernel).rev().map(|k| (at - k as isize, k));
        pairs
            .filter(|(o, _)| o.rem_euclid(conv.stride as isize) == 0)
            .map(|(o, k)| (o / conv.stride as isize, k))
            .collect()
    };
    let element = |i: usize| {
        let [n, y, x, c] = indices(i, [conv.batch, conv.input[0], conv.input[1], conv.in_channels]);
        let (down, across) = (meeting(y, kh), meeting(x, kw));
        sum(down.len() * across.len() * conv.out_channels, |l| {
            let [v, h, o] = indices(l, [down.len(), across.len(), conv.out_channels]);
            let ((oy, ky), (ox, kx)) = (down[v], across[h]);
            (dy.at(n, oy, ox, o), w[((o * kh + ky) * kw + kx) * conv.in_channels + c])
        })
    };
    (0..conv.input_len()).map(element).collect()
}
