//! Speed of batch normalisation on a card, in the shapes of ResNet-50 at 224 x 224, batch 256: `cargo run --release -p fp8-cuda --example norms [CARD]`.

mod timing;

use std::error::Error;

use fp8_core::{Rounding, Stream};
use fp8_cuda::{Accumulation, CudaBackend};
use fp8_kernels::{
    Backend, BatchNorm, BatchNormBackward, BatchNormForward, BatchNormGradients, BatchStatistics, Buffer, DType,
    Result, Store,
};
use timing::seconds;

/// Pixels of a batch, and channels.
const SHAPES: [[usize; 2]; 6] =
    [[3_211_264, 64], [802_816, 64], [802_816, 256], [200_704, 512], [50_176, 1024], [12_544, 2048]];

fn filled(gpu: &CudaBackend, dtype: DType, values: &[f32]) -> Result<Buffer> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut wide = gpu.alloc(DType::F32, values.len())?;
    gpu.upload(&bytes, &mut wide)?;
    let mut narrow = gpu.alloc(dtype, values.len())?;
    gpu.cast(&wide, 1.0, &Store::nearest(dtype), &mut narrow)?;
    Ok(narrow)
}

/// Prints how long a call takes, and how fast it goes over so many elements of a byte.
fn report(gpu: &CudaBackend, name: &str, elements: usize, work: impl FnMut() -> Result<()>) -> Result<()> {
    let seconds = seconds(gpu, work)?;
    print!(" {name} {:.0} us ({:.2} TB/s)", 1e6 * seconds, 1e-12 * elements as f64 / seconds);
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let card = std::env::args().nth(1).map_or(Ok(0), |card| card.parse())?;
    let gpu = match CudaBackend::new(card, Accumulation::default()) {
        Ok(gpu) => gpu,
        Err(reason) => {
            println!("nothing to measure: {reason}");
            return Ok(());
        }
    };
    println!("{}", gpu.name());
    let random = Stream { seed: 1, step: 2, id: 3 };
    let store = Store { rounding: Rounding::STOCHASTIC, random, ..Store::nearest(DType::E5M2) };
    for [rows, channels] in SHAPES {
        print!("  {rows} x {channels}:");
        let len = rows * channels;
        let noise: Vec<f32> = (0..len as u32).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 8) as f32 / 8e6 - 1.0).collect();
        let (x, dy) = (filled(&gpu, DType::E5M2, &noise)?, filled(&gpu, DType::E5M2, &noise)?);
        let [mut y, mut dx, mut dresidual] =
            [gpu.alloc(DType::E5M2, len)?, gpu.alloc(DType::E5M2, len)?, gpu.alloc(DType::E5M2, len)?];
        let line = |value| filled(&gpu, DType::F32, &vec![value; channels]);
        let [mut mean, mut variance, gamma, beta] = [line(0.0)?, line(1.0)?, line(1.0)?, line(0.0)?];
        let [mut dgamma, mut dbeta] = [line(0.0)?, line(0.0)?];
        let norm = BatchNorm { rows, channels, epsilon: 1e-5 };
        report(&gpu, "statistics", len, || gpu.batch_norm_statistics(&norm, &x, &mut mean, &mut variance))?;
        let statistics = BatchStatistics { mean: &mean, variance: &variance };
        for residual in [None, Some(&dy)] {
            let with = if residual.is_some() { ", with a residual" } else { "" };
            let forward =
                BatchNormForward { x: &x, statistics, gamma: &gamma, beta: &beta, residual, relu: true, store };
            let streams = 2 + usize::from(residual.is_some());
            report(&gpu, &format!("forward{with}"), streams * len, || gpu.batch_norm(&norm, &forward, &mut y))?;
            let backward = BatchNormBackward {
                x: &x,
                statistics,
                gamma: &gamma,
                y: Some(&y),
                dy: &dy,
                dx_store: store,
                residual_error: None,
                dresidual_store: store,
            };
            report(&gpu, &format!("backward{with}"), (5 + streams) * len, || {
                let dresidual = residual.is_some().then_some(&mut dresidual);
                let gradients = BatchNormGradients { dx: &mut dx, dgamma: &mut dgamma, dbeta: &mut dbeta, dresidual };
                gpu.batch_norm_backward(&norm, &backward, gradients)
            })?;
        }
        println!();
    }
    Ok(())
}
