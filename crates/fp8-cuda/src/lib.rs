//! The [`Backend`](fp8_kernels::Backend) of fp8-kernels on NVIDIA GPUs of compute capability 8.0 and later.
//!
//! Nothing of CUDA is needed to build. The driver is loaded when a card is opened; kernels are CUDA C++ beside their launchers, compiled by NVRTC for
//! the card and the types in use when first started, and kept on disk ([`Cache`]). What is missing is told by an [`Error`] that says where it was
//! looked for.
//!
//! ```
//! use fp8_cuda::{Accumulation, CudaBackend};
//! use fp8_kernels::{Backend, DType, Store};
//!
//! match CudaBackend::new(0, Accumulation::default()) {
//!     Ok(gpu) => {
//!         let mut wide = gpu.alloc(DType::F32, 2)?;
//!         gpu.upload(&[1.0_f32.to_le_bytes(), 1.1_f32.to_le_bytes()].concat(), &mut wide)?;
//!         let mut narrow = gpu.alloc(DType::E5M2, 2)?;
//!         gpu.cast(&wide, 1.0, &Store::nearest(DType::E5M2), &mut narrow)?;
//!         let mut codes = [0; 2];
//!         gpu.download(&narrow, &mut codes)?;
//!         assert_eq!(codes, [0x3c, 0x3c]);
//!     }
//!     Err(reason) => println!("no GPU: {reason}"),
//! }
//! # Ok::<(), fp8_kernels::Error>(())
//! ```
//!
//! Environment: `FP8_NVRTC` names the compiler's library, `FP8_CUDA_CACHE` the folder of compiled kernels; `FP8_CUDA_WAIT=1` waits for each kernel, so that
//! one that fails is told by its name; `FP8_CUDA_CAPABILITY=8.9` takes the kernels that a card of that compute capability gets, where the card is newer.

mod accumulation;
mod additive_attention;
mod attention;
mod backend;
mod batch_norm;
pub mod cache;
mod codec;
mod columns;
mod conv;
mod cross_entropy;
mod device;
mod driver;
mod elementwise;
mod embedding;
pub mod error;
mod gemm;
mod kernels;
mod layer_norm;
mod lstm;
mod memory;
pub mod nvrtc;
mod operand;
mod pool;
mod reduce;
mod staging;
mod table;
#[cfg(test)]
mod tests;
mod update;

pub use accumulation::Accumulation;
pub use backend::CudaBackend;
pub use cache::Cache;
pub use error::Error;
