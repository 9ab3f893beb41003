//! What examples that measure share.

use std::time::Instant;

use fp8_cuda::CudaBackend;
use fp8_kernels::Result;

const TIMES: u32 = 20;

/// Seconds of one call, the mean of some.
pub fn seconds(gpu: &CudaBackend, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    for _ in 0..3 {
        work()?;
    }
    gpu.synchronize()?;
    let start = Instant::now();
    for _ in 0..TIMES {
        work()?;
    }
    gpu.synchronize()?;
    Ok(start.elapsed().as_secs_f64() / f64::from(TIMES))
}
