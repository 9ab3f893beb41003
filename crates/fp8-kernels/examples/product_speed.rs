//! Speed of matrix products and of ResNet-18's convolutions (CIFAR stem, batch 64) in E5M2, on all threads:
//! `cargo run --release -p fp8-kernels --example product_speed [f32]`.

use std::time::Instant;

use fp8_kernels::isa::{self, Isa};
use fp8_kernels::{Activation, Conv2d, DType, EpilogueView, Gemm, Layout, Store, View, ViewMut, conv, gemm};

/// Speeds of a build for tests say nothing: there it is enough that all of it runs.
const MEASURES: bool = !cfg!(debug_assertions);

fn main() -> fp8_kernels::Result<()> {
    let dtype = if std::env::args().any(|arg| arg == "f32") { DType::F32 } else { DType::E5M2 };
    let isa = isa::select()?;
    println!("{isa}, {} threads, {dtype}", rayon::current_num_threads());
    let (sizes, batch): (&[usize], usize) = if MEASURES { (&[1024, 2048, 4096], 64) } else { (&[256], 2) };
    for &size in sizes {
        for layout in [Layout::NN, Layout::NT, Layout::TN] {
            gemm_speed(isa, dtype, &Gemm { m: size, n: size, k: size, layout });
        }
    }
    println!("{:<34} {:>9} {:>9} {:>9}  GFLOP/s", "convolution", "forward", "data", "weight");
    let mut total = 0.0;
    for (count, conv) in resnet18(batch) {
        total += count as f64 * conv_speed(isa, dtype, &conv);
    }
    println!("all convolutions of a step: {:.1} ms, {:.1} images/s", total * 1e3, batch as f64 / total);
    Ok(())
}

fn resnet18(batch: usize) -> Vec<(usize, Conv2d)> {
    let conv = |size: usize, in_channels, out_channels, kernel: usize, stride| Conv2d {
        batch,
        input: [size; 2],
        in_channels,
        out_channels,
        kernel: [kernel; 2],
        stride,
        padding: kernel / 2,
    };
    let mut all = vec![(1, conv(32, 3, 64, 3, 1)), (4, conv(32, 64, 64, 3, 1))];
    for (size, channels) in [(32, 128), (16, 256), (8, 512)] {
        all.push((1, conv(size, channels / 2, channels, 3, 2)));
        all.push((1, conv(size, channels / 2, channels, 1, 2)));
        all.push((3, conv(size / 2, channels, channels, 3, 1)));
    }
    all
}

fn gemm_speed(isa: Isa, dtype: DType, shape: &Gemm) {
    let [a, b] = [codes(dtype, shape.m * shape.k), codes(dtype, shape.k * shape.n)];
    let mut c = vec![0; 4 * shape.m * shape.n];
    let seconds = best(|| {
        let (a, b) = (View { dtype, bytes: &a }, View { dtype, bytes: &b });
        gemm::gemm(isa, shape, a, b, &plain(DType::F32), ViewMut { dtype: DType::F32, bytes: &mut c });
    });
    let flop = 2.0 * (shape.m * shape.n * shape.k) as f64;
    println!("{:?} {:>4}: {:6.0} GFLOP/s", shape.layout, shape.m, flop / seconds / 1e9);
}

fn conv_speed(isa: Isa, dtype: DType, shape: &Conv2d) -> f64 {
    let [x, w, y] = [shape.input_len(), shape.weight_len(), shape.output_len()].map(|len| codes(dtype, len));
    let [mut dx, mut dw, mut out] = [x.clone(), w.clone(), y.clone()];
    let view = |bytes| View { dtype, bytes };
    let store = plain(dtype);
    let times = [
        best(|| conv::forward(isa, shape, view(&x), view(&w), &store, ViewMut { dtype, bytes: &mut out })),
        best(|| conv::backward_data(isa, shape, view(&y), view(&w), &store, ViewMut { dtype, bytes: &mut dx })),
        best(|| conv::backward_weight(isa, shape, view(&x), view(&y), &store, ViewMut { dtype, bytes: &mut dw })),
    ];
    let flop = 2.0 * (shape.output_len() * shape.kernel[0] * shape.kernel[1] * shape.in_channels) as f64;
    let name = format!(
        "{0}x{0} {1} to {2}, {3}x{3}, stride {4}",
        shape.input[0], shape.in_channels, shape.out_channels, shape.kernel[0], shape.stride
    );
    let [forward, data, weight] = times.map(|seconds| flop / seconds / 1e9);
    println!("{name:<34} {forward:>9.0} {data:>9.0} {weight:>9.0}");
    times.iter().sum()
}

fn plain(dtype: DType) -> EpilogueView<'static> {
    EpilogueView { alpha: 1.0, bias: None, residual: None, activation: Activation::None, store: Store::nearest(dtype) }
}

/// Pseudo-random codes around one.
fn codes(dtype: DType, len: usize) -> Vec<u8> {
    let values = (0..len as u32).map(|i| i.wrapping_mul(2_654_435_761) >> 24).map(|i| (i as f32 - 127.5) / 64.0);
    let values: Vec<f32> = values.collect();
    let mut bytes = vec![0; len * dtype.size()];
    fp8_kernels::codec::encode(Isa::available()[0], &Store::nearest(dtype), 0, &values, &mut bytes);
    bytes
}

fn best(mut work: impl FnMut()) -> f64 {
    work();
    (0..5)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::MAX, f64::min)
}
