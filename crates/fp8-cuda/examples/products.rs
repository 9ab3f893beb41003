//! Speed and error of products on a card: `cargo run --release -p fp8-cuda --example products [CARD [SHAPE]]`; a shape as in the output, or a part of it.

mod timing;

use fp8_core::{Rounding, Stream};
use fp8_cuda::{Accumulation, CudaBackend};
use fp8_kernels::{Backend, Buffer, Conv2d, DType, Epilogue, Gemm, Layout, Result, Store};
use timing::seconds;

fn values(gpu: &CudaBackend, dtype: DType, len: usize, seed: u32) -> Result<Buffer> {
    let uniform = |i: u32| (i.wrapping_mul(0x9E37_79B9) ^ seed).wrapping_mul(0x85EB_CA6B) as f32 / (1_u64 << 32) as f32;
    let bytes: Vec<u8> =
        (0..len as u32).flat_map(|i| (uniform(2 * i) + uniform(2 * i + 1) - 1.0).to_le_bytes()).collect();
    let mut wide = gpu.alloc(DType::F32, len)?;
    gpu.upload(&bytes, &mut wide)?;
    let mut narrow = gpu.alloc(dtype, len)?;
    gpu.cast(&wide, 1.0, &Store::nearest(dtype), &mut narrow)?;
    Ok(narrow)
}

fn floats(gpu: &CudaBackend, buffer: &Buffer) -> Result<Vec<f32>> {
    let mut bytes = vec![0; buffer.bytes()];
    gpu.download(buffer, &mut bytes)?;
    Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn stores() -> [Store; 3] {
    let random = Stream { seed: 1, step: 2, id: 3 };
    let stochastic = Store { rounding: Rounding::STOCHASTIC, random, ..Store::nearest(DType::E5M2) };
    [stochastic, Store::nearest(DType::E5M2), Store::nearest(DType::Bf16)]
}

fn gemms(gpu: &CudaBackend, wanted: &str) -> Result<()> {
    let shapes = [[8192, 8192, 8192], [4096, 4096, 4096], [16384, 2048, 512], [16384, 512, 2048], [16384, 512, 512]];
    for [m, n, k] in shapes {
        let (a, b) = (values(gpu, DType::E5M2, m * k, 1)?, values(gpu, DType::E5M2, n * k, 2)?);
        for layout in [Layout::NT, Layout::NN, Layout::TN] {
            let gemm = Gemm { m, n, k, layout };
            let shape = format!("gemm {layout:?} {m} x {n} x {k}");
            if !shape.contains(wanted) {
                continue;
            }
            print!("  {shape}, TFLOP/s to");
            for store in stores() {
                let mut c = gpu.alloc(store.dtype, m * n)?;
                let time = seconds(gpu, || gpu.gemm(&gemm, &a, &b, &Epilogue::store(store), &mut c))?;
                print!(" {} {}: {:.0};", store.dtype, store.rounding, 2e-12 * (m * n * k) as f64 / time);
            }
            println!();
        }
    }
    Ok(())
}

/// The convolutions of ResNet-50 at 224 x 224, batch 256, that take longest.
fn convolutions(gpu: &CudaBackend, wanted: &str) -> Result<()> {
    let conv = |side: usize, in_channels, out_channels, kernel: usize, stride| Conv2d {
        batch: 256,
        input: [side; 2],
        in_channels,
        out_channels,
        kernel: [kernel; 2],
        stride,
        padding: kernel / 2,
    };
    let convolutions = [
        conv(56, 64, 64, 3, 1),
        conv(56, 64, 256, 1, 1),
        conv(56, 256, 64, 1, 1),
        conv(56, 128, 128, 3, 2),
        conv(28, 128, 128, 3, 1),
        conv(28, 128, 512, 1, 1),
        conv(14, 256, 256, 3, 1),
        conv(14, 1024, 256, 1, 1),
        conv(14, 256, 1024, 1, 1),
        conv(14, 1024, 2048, 1, 2),
        conv(7, 512, 512, 3, 1),
        conv(7, 2048, 512, 1, 1),
    ];
    for conv in convolutions {
        let Conv2d { input: [side, _], in_channels, out_channels, kernel: [kernel, _], stride, .. } = conv;
        let shape = format!("{side}x{side}, {in_channels} to {out_channels}, {kernel}x{kernel}/{stride}");
        if !shape.contains(wanted) {
            continue;
        }
        let flop = 2e-12 * (conv.output_len() * conv.kernel[0] * conv.kernel[1] * conv.in_channels) as f64;
        let [x, w, dy] = [(conv.input_len(), 1), (conv.weight_len(), 2), (conv.output_len(), 3)]
            .map(|(len, seed)| values(gpu, DType::E5M2, len, seed));
        let (x, w, dy) = (x?, w?, dy?);
        let store = Epilogue::store(stores()[0]);
        let [mut y, mut dx, mut dw] =
            [conv.output_len(), conv.input_len(), conv.weight_len()].map(|len| gpu.alloc(DType::E5M2, len));
        let (y, dx, dw) = (
            y.as_mut().map_err(|e| e.clone())?,
            dx.as_mut().map_err(|e| e.clone())?,
            dw.as_mut().map_err(|e| e.clone())?,
        );
        let others = stores().into_iter().skip(1).map(|store| {
            let mut y = gpu.alloc(store.dtype, conv.output_len())?;
            let time = seconds(gpu, || gpu.conv2d(&conv, &x, &w, &Epilogue::store(store), &mut y))?;
            Ok(format!(", to {} {} {:.0} us", store.dtype, store.rounding, 1e6 * time))
        });
        let others = others.collect::<Result<String>>()?;
        let times = [
            seconds(gpu, || gpu.conv2d(&conv, &x, &w, &store, y))?,
            seconds(gpu, || gpu.conv2d_backward_data(&conv, &dy, &w, &store, dx))?,
            seconds(gpu, || gpu.conv2d_backward_weight(&conv, &x, &dy, &store, dw))?,
        ];
        let [forward, data, weight] = times.map(|time| format!("{:.0} TFLOP/s ({:.0} us)", flop / time, 1e6 * time));
        println!("  {shape}: forward {forward}{others}, data {data}, weight {weight}");
    }
    Ok(())
}

/// Relative error of sums of `k` positive products, against FP64.
fn errors(gpu: &CudaBackend) -> Result<()> {
    print!("  error of positive sums:");
    for k in [512, 2048, 8192, 32_768] {
        let (m, n) = (128, 128);
        let make = |len: usize, seed| -> Result<Buffer> {
            let x = values(gpu, DType::F32, len, seed)?;
            let positive: Vec<u8> = floats(gpu, &x)?.iter().flat_map(|x| x.abs().to_le_bytes()).collect();
            let mut wide = gpu.alloc(DType::F32, len)?;
            gpu.upload(&positive, &mut wide)?;
            let mut narrow = gpu.alloc(DType::E5M2, len)?;
            gpu.cast(&wide, 1.0, &Store::nearest(DType::E5M2), &mut narrow)?;
            Ok(narrow)
        };
        let (a, b) = (make(m * k, 3)?, make(n * k, 4)?);
        let mut c = gpu.alloc(DType::F32, m * n)?;
        gpu.gemm(&Gemm { m, n, k, layout: Layout::NT }, &a, &b, &Epilogue::store(Store::F32), &mut c)?;
        let [mut left, mut right] = [gpu.alloc(DType::F32, m * k)?, gpu.alloc(DType::F32, n * k)?];
        gpu.cast(&a, 1.0, &Store::F32, &mut left)?;
        gpu.cast(&b, 1.0, &Store::F32, &mut right)?;
        let (left, right, found) = (floats(gpu, &left)?, floats(gpu, &right)?, floats(gpu, &c)?);
        let (mut wrong, mut all) = (0.0, 0.0);
        for row in 0..m {
            for column in 0..n {
                let pairs = left[row * k..][..k].iter().zip(&right[column * k..][..k]);
                let exact: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                wrong += (f64::from(found[row * n + column]) - exact).powi(2);
                all += exact * exact;
            }
        }
        print!(" k {k}: {:.1e};", (wrong / all).sqrt());
    }
    println!();
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let card = std::env::args().nth(1).map_or(Ok(0), |card| card.parse())?;
    let wanted = std::env::args().nth(2).unwrap_or_default();
    for accumulation in [Accumulation::Promoted, Accumulation::Exact, Accumulation::Fast] {
        let gpu = match CudaBackend::new(card, accumulation) {
            Ok(gpu) => gpu,
            Err(reason) => {
                println!("nothing to measure: {reason}");
                return Ok(());
            }
        };
        println!("{}", gpu.name());
        if wanted.is_empty() {
            errors(&gpu)?;
        }
        gemms(&gpu, &wanted)?;
        convolutions(&gpu, &wanted)?;
    }
    Ok(())
}
