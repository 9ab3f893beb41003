//! Time of casts from FP32 on a card: `cargo run --release -p fp8-cuda --example casts [CARD]`.

use std::time::Instant;

use fp8_core::{Rounding, Stream};
use fp8_cuda::{Accumulation, CudaBackend};
use fp8_kernels::{Backend, DType, Store};

const LEN: usize = 1 << 28;
const TIMES: u32 = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let card = std::env::args().nth(1).map_or(Ok(0), |card| card.parse())?;
    let gpu = match CudaBackend::new(card, Accumulation::Ordered) {
        Ok(gpu) => gpu,
        Err(reason) => {
            println!("nothing to measure: {reason}");
            return Ok(());
        }
    };
    println!("{}, {} multiprocessors", gpu.name(), gpu.multiprocessors());
    let mut x = gpu.alloc(DType::F32, LEN)?;
    let values: Vec<u8> =
        (0..LEN as u32).flat_map(|i| (i.wrapping_mul(0x9E37_79B9) & 0x3FFF_FFFF).to_le_bytes()).collect();
    gpu.upload(&values, &mut x)?;
    let random = Stream { seed: 1, step: 2, id: 3 };
    let stochastic = Store { rounding: Rounding::STOCHASTIC, random, ..Store::nearest(DType::E5M2) };
    for store in
        [Store::F32, Store::nearest(DType::E5M2), stochastic, Store::nearest(DType::E4M3), Store::nearest(DType::F16)]
    {
        let mut y = gpu.alloc(store.dtype, LEN)?;
        gpu.cast(&x, 1.0, &store, &mut y)?;
        gpu.synchronize()?;
        let start = Instant::now();
        for _ in 0..TIMES {
            gpu.cast(&x, 1.0, &store, &mut y)?;
        }
        gpu.synchronize()?;
        let seconds = start.elapsed().as_secs_f64() / f64::from(TIMES);
        let bytes = (x.bytes() + y.bytes()) as f64;
        println!(
            "f32 to {} by {}: {:.2} ms, {:.2} TB/s",
            store.dtype,
            store.rounding,
            1e3 * seconds,
            bytes / seconds / 1e12
        );
    }
    Ok(())
}
