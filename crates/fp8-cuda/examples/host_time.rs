//! What the host spends on the card's behalf: starting a kernel, taking and giving back memory, sending bytes while the card is busy, asking for bytes.
//!
//! `cargo run --release -p fp8-cuda --example host_time`

use std::error::Error;
use std::time::Instant;

use fp8_cuda::{Accumulation, CudaBackend};
use fp8_kernels::{Backend, DType, Store};

/// Bytes of 256 images of 224 x 224.
const IMAGES: usize = 256 * 224 * 224 * 3;

fn main() -> Result<(), Box<dyn Error>> {
    let gpu = match CudaBackend::new(0, Accumulation::default()) {
        Ok(gpu) => gpu,
        Err(reason) => {
            println!("nothing to measure: {reason}");
            return Ok(());
        }
    };
    println!("{}", gpu.name());
    let x = gpu.alloc(DType::F32, 1 << 10)?;
    let mut y = gpu.alloc(DType::E5M2, 1 << 10)?;
    let store = Store::nearest(DType::E5M2);
    let mut start_a_kernel = || gpu.cast(&x, 1.0, &store, &mut y);
    start_a_kernel()?;
    gpu.synchronize()?;
    // Fewer than the driver keeps in a queue: none waits for the card.
    let times = (0..50).map(|_| {
        let start = Instant::now();
        (0..500).try_for_each(|_| start_a_kernel())?;
        let time = start.elapsed().as_secs_f64() / 500.0;
        gpu.synchronize()?;
        Ok(time)
    });
    println!("starting a kernel: {:.2} us", 1e6 * median(times)?);

    let times = (0..50).map(|_| {
        let start = Instant::now();
        (0..500).try_for_each(|_| gpu.alloc(DType::U8, 1 << 20).map(drop))?;
        Ok(start.elapsed().as_secs_f64() / 500.0)
    });
    println!("taking 1 MiB and giving it back: {:.2} us", 1e6 * median(times)?);

    let bytes = vec![1; IMAGES];
    let mut images = gpu.alloc(DType::U8, IMAGES)?;
    let (wide, mut narrow) = (gpu.alloc(DType::F32, 1 << 30)?, gpu.alloc(DType::E5M2, 1 << 30)?);
    gpu.cast(&wide, 1.0, &store, &mut narrow)?;
    gpu.upload(&bytes, &mut images)?;
    gpu.synchronize()?;
    // Some ten milliseconds of kernels, then bytes.
    let mut busy = |with: bool| {
        let start = Instant::now();
        (0..6).try_for_each(|_| gpu.cast(&wide, 1.0, &store, &mut narrow))?;
        let (started, mut sent) = (Instant::now(), 0.0);
        if with {
            gpu.upload(&bytes, &mut images)?;
            sent = started.elapsed().as_secs_f64();
        }
        gpu.synchronize()?;
        Ok::<_, fp8_kernels::Error>([sent, start.elapsed().as_secs_f64()])
    };
    let alone: Vec<[f64; 2]> = (0..10).map(|_| busy(false)).collect::<Result<_, _>>()?;
    let both: Vec<[f64; 2]> = (0..10).map(|_| busy(true)).collect::<Result<_, _>>()?;
    let of = |all: &[[f64; 2]], which: usize| 1e3 * median(all.iter().map(|times| Ok(times[which]))).unwrap_or(0.0);
    println!(
        "{} MB sent behind kernels: the host is back after {:.2} ms; kernels {:.2} ms, with the bytes {:.2} ms",
        IMAGES / 1_000_000,
        of(&both, 0),
        of(&alone, 1),
        of(&both, 1)
    );

    let numbers = gpu.alloc(DType::F32, 256)?;
    let times = (0..50).map(|_| {
        gpu.cast(&wide, 1.0, &store, &mut narrow)?;
        let start = Instant::now();
        let later = gpu.download_later(&numbers)?;
        let time = start.elapsed().as_secs_f64();
        later.bytes()?;
        Ok(time)
    });
    println!("asking for bytes behind a kernel: {:.2} us", 1e6 * median(times)?);
    Ok(())
}

fn median(times: impl Iterator<Item = fp8_kernels::Result<f64>>) -> fp8_kernels::Result<f64> {
    let mut times = times.collect::<fp8_kernels::Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied().unwrap_or(0.0))
}
