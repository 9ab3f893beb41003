//! What the tests of this crate share.

#[path = "../../../fp8-autograd/tests/common/reference/mod.rs"]
mod reference;

use std::sync::Arc;

use fp8_kernels::{Backend, CpuBackend};

/// The CPU.
pub fn backend() -> Arc<dyn Backend> {
    Arc::new(CpuBackend::new().expect("a CPU"))
}

/// Plain loops that sum in FP64.
#[allow(dead_code, reason = "only the comparison with PyTorch asks for it")]
pub fn reference() -> Arc<dyn Backend> {
    Arc::new(reference::Reference::default())
}
