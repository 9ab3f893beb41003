//! What the tests of this crate share.

mod reference;

use std::sync::Arc;

use fp8_kernels::{Backend, CpuBackend};

/// One of each kind: every test runs on all.
pub fn backends() -> Vec<Arc<dyn Backend>> {
    vec![Arc::new(reference::Reference::default()), Arc::new(CpuBackend::new().expect("a CPU"))]
}

/// Numbers in -1..1 that look random.
pub fn numbers(seed: u32, len: usize) -> Vec<f32> {
    let stream = fp8_core::Stream { seed: 7, step: 0, id: seed };
    (0..len).map(|i| stream.draw(i as u64, 24) as f32 / (1 << 23) as f32 - 1.0).collect()
}
