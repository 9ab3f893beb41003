//! The vocabulary of operations and their CPU kernels.
//!
//! [`Backend`] is the one seam between devices: buffers are opaque, shapes and precision are plain structs
//! ([`Conv2d`], [`Gemm`], [`Store`], …). [`CpuBackend`] implements it over host memory. No tensors here, no tape, no layers.

pub mod backend;
pub mod buffer;
pub mod codec;
pub mod conv;
pub mod dtype;
pub mod error;
pub mod gemm;
pub mod isa;
pub mod spec;
pub mod view;

pub use backend::{
    Backend, BatchNormBackward, BatchNormForward, BatchNormGradients, BatchStatistics, Memory, ParameterUpdate,
};
pub use buffer::{Buffer, Storage};
pub use dtype::DType;
pub use error::{Error, Result};
pub use spec::{Activation, BatchNorm, Conv2d, CrossEntropy, Epilogue, Gemm, Layout, Pool2d, Store, UpdateRule};
pub use view::{EpilogueView, View, ViewMut};
