//! A kernel that fails on a card is told, and so is whatever comes after it; nothing hangs. Where there is no card, this says so and ends.

use fp8_kernels::{Backend, DType};

use crate::accumulation::Accumulation;
use crate::backend::CudaBackend;
use crate::cache::Cache;
use crate::device::Device;
use crate::kernels::{Grid, Source};

const FAILS: Source =
    Source { name: "fails.cu", text: "extern \"C\" __global__ void fails() { asm volatile(\"trap;\"); }" };

#[test]
fn a_kernel_that_fails_is_told_and_what_comes_after_fails_too() {
    let device = match Device::open(0, Accumulation::Ordered, Cache::of_user(), None) {
        Ok(device) => device,
        Err(reason) => return eprintln!("nothing was tested: {reason}"),
    };
    let gpu = CudaBackend::on(device.clone());
    let mut before = gpu.alloc(DType::U8, 3).unwrap();
    gpu.upload(&[1, 2, 3], &mut before).unwrap();
    let kernel = device.kernel(&FAILS, "fails", &[]).unwrap();
    device.launch(&kernel, Grid::over(1), &[]).unwrap();
    let told = gpu.synchronize().unwrap_err().to_string();
    assert!(told.contains("the last started was fails") && told.contains("FP8_CUDA_WAIT=1"), "{told}");
    assert!(told.starts_with(&format!("{}: computing", gpu.name())), "{told}");
    // The driver keeps the card from this program from here on, and says so each time.
    assert!(gpu.download(&before, &mut [0; 3]).is_err());
    assert!(device.launch(&kernel, Grid::over(1), &[]).is_err());
    assert!(gpu.synchronize().is_err());
}
