//! All 2^32 values of FP32 to every format by nearest-even, on a card and on the CPU: `cargo run --release -p fp8-cuda --example all_casts [CARD]`.

use std::time::Instant;

use fp8_cuda::{Accumulation, CudaBackend};
use fp8_kernels::{Backend, CpuBackend, conformance};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let card = std::env::args().nth(1).map_or(Ok(0), |card| card.parse())?;
    let (gpu, cpu, start) = (CudaBackend::new(card, Accumulation::Ordered)?, CpuBackend::new()?, Instant::now());
    let wrong = conformance::all_inputs(&gpu, &cpu, 26)?;
    println!("{} against {}: {:.0} s", gpu.name(), cpu.name(), start.elapsed().as_secs_f64());
    if !wrong.is_empty() {
        return Err(wrong.join("\n").into());
    }
    println!("all bytes are the same");
    Ok(())
}
