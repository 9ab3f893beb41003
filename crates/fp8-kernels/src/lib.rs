//! The vocabulary of operations and their CPU kernels.
//!
//! [`Backend`] is the one seam between devices: buffers are opaque, shapes and precision are plain structs
//! ([`Conv2d`], [`Gemm`], [`Store`], …). [`CpuBackend`] implements it over host memory; its kernels, on slices and with the
//! instruction set as an argument, stand in the modules named after them. No tensors here, no tape, no layers.
//!
//! A matrix product of E5M2 by E5M2, summed in FP32 and stored as E5M2 with a ReLU:
//!
//! ```
//! use fp8_kernels::{Activation, Backend, CpuBackend, DType, Epilogue, Gemm, Layout, Store};
//!
//! let cpu = CpuBackend::new()?;
//! let codes = |values: &[f32]| -> fp8_kernels::Result<_> {
//!     let mut wide = cpu.alloc(DType::F32, values.len())?;
//!     cpu.upload(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>(), &mut wide)?;
//!     let mut narrow = cpu.alloc(DType::E5M2, values.len())?;
//!     cpu.cast(&wide, 1.0, &Store::nearest(DType::E5M2), &mut narrow)?;
//!     Ok(narrow)
//! };
//! let (a, b) = (codes(&[1.0, 2.0, -3.0, 0.5])?, codes(&[1.0, 0.0, 0.0, 1.5])?);
//! let mut c = cpu.alloc(DType::E5M2, 4)?;
//!
//! let gemm = Gemm { m: 2, n: 2, k: 2, layout: Layout::NN };
//! let epilogue = Epilogue { activation: Activation::Relu, ..Epilogue::store(Store::nearest(DType::E5M2)) };
//! cpu.gemm(&gemm, &a, &b, &epilogue, &mut c)?;
//!
//! let mut bytes = [0; 4];
//! cpu.download(&c, &mut bytes)?;
//! assert_eq!(bytes.map(|code| fp8_core::E5M2::from_bits(code).to_f32()), [1.0, 3.0, 0.0, 0.75]);
//! # Ok::<(), fp8_kernels::Error>(())
//! ```

pub mod additive_attention;
mod arithmetic;
pub mod attention;
pub mod backend;
pub mod batch_norm;
mod blocks;
pub mod buffer;
pub mod check;
pub mod codec;
pub mod columns;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod conv;
pub mod cpu;
pub mod cross_entropy;
pub mod dropout;
pub mod dtype;
pub mod elementwise;
pub mod embedding;
pub mod error;
pub mod gemm;
pub mod isa;
mod lanes;
pub mod layer_norm;
pub mod lstm;
pub mod math;
pub mod pool;
mod prefetch;
pub mod reduce;
pub mod spec;
mod tasks;
#[cfg(test)]
mod testing;
pub mod update;
pub mod view;

pub use backend::{
    AdditiveBackward, AdditiveGradients, AdditiveOperands, AttentionBackward, AttentionGradients, AttentionOperands,
    Backend, BatchNormBackward, BatchNormForward, BatchNormGradients, BatchStatistics, Dropout, EmbeddingBackward,
    EmbeddingForward, Later, LayerNormBackward, LayerNormForward, LayerNormGradients, LinearCrossEntropy, LogitsError,
    LstmBackward, LstmForward, LstmOperands, LstmState, Memory, ParameterUpdate,
};
pub use buffer::{Buffer, Storage};
pub use cpu::CpuBackend;
pub use dtype::DType;
pub use error::{Error, Result};
pub use spec::{
    Activation, AdditiveAttention, Attention, BatchNorm, Conv2d, CrossEntropy, Embedding, Epilogue, Gemm, LayerNorm,
    Layout, Lstm, Pool2d, Store, UpdateRule,
};
pub use view::{EpilogueView, View, ViewMut};
