//! What the tests of this crate share.

#[path = "../../../fp8-autograd/tests/common/reference.rs"]
mod reference;

use std::sync::Arc;

use fp8_kernels::Backend;

/// The backend.
pub fn backend() -> Arc<dyn Backend> {
    Arc::new(reference::Reference::default())
}
