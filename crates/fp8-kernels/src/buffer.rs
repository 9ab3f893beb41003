//! Opaque device memory.

use std::any::Any;

use crate::DType;

/// Memory of one device. Only the backend that made it looks inside.
pub trait Storage: Any + Send + Sync {
    /// For the backend's downcast.
    fn as_any(&self) -> &dyn Any;
    /// For the backend's downcast.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// `len` elements of one type in the memory of one device. Freed, and taken off the backend's count, on drop.
pub struct Buffer {
    dtype: DType,
    len: usize,
    storage: Box<dyn Storage>,
}

impl Buffer {
    /// Wraps memory of `len * dtype.size()` bytes; called by backends.
    pub fn new(dtype: DType, len: usize, storage: Box<dyn Storage>) -> Self {
        Self { dtype, len, storage }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.len * self.dtype.size()
    }

    /// The device memory, for the backend that made it.
    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// The device memory, for the backend that made it.
    pub fn storage_mut(&mut self) -> &mut dyn Storage {
        &mut *self.storage
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} x {})", self.len, self.dtype)
    }
}
