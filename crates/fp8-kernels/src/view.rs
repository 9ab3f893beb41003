//! Host memory as the kernels see it: a type and bytes.

use crate::{Activation, DType, Store};

/// Elements of one type in host memory; `bytes.len()` is a multiple of the element's size.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Element type.
    pub dtype: DType,
    /// Little-endian elements.
    pub bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// Number of elements.
    pub fn len(self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether there are no elements.
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Floats.
    pub(crate) fn of_floats(floats: &'a [f32]) -> Self {
        const { assert!(cfg!(target_endian = "little"), "elements of views are little-endian") };
        // SAFETY: the same memory.
        let bytes = unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), size_of_val(floats)) };
        Self { dtype: DType::F32, bytes }
    }

    /// `len` elements from `first` on.
    ///
    /// # Panics
    /// If the view ends before.
    pub fn part(self, first: usize, len: usize) -> Self {
        let size = self.dtype.size();
        Self { dtype: self.dtype, bytes: &self.bytes[first * size..(first + len) * size] }
    }

    /// The elements themselves, where they are f32 and lie as this CPU reads them.
    pub fn floats(self) -> Option<&'a [f32]> {
        if self.dtype != DType::F32 || cfg!(target_endian = "big") {
            return None;
        }
        // SAFETY: every bit pattern is an f32; `align_to` sees to alignment.
        let (before, floats, after) = unsafe { self.bytes.align_to() };
        (before.is_empty() && after.is_empty()).then_some(floats)
    }
}

/// Elements of one type in host memory, to be written.
#[derive(Debug)]
pub struct ViewMut<'a> {
    /// Element type.
    pub dtype: DType,
    /// Little-endian elements.
    pub bytes: &'a mut [u8],
}

impl<'a> ViewMut<'a> {
    /// Floats.
    pub(crate) fn of_floats(floats: &'a mut [f32]) -> Self {
        const { assert!(cfg!(target_endian = "little"), "elements of views are little-endian") };
        // SAFETY: the same memory, of which every byte may have any value.
        let bytes = unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), size_of_val(floats)) };
        Self { dtype: DType::F32, bytes }
    }

    /// The elements themselves, as [`View::floats`] gives them.
    pub fn floats(self) -> Option<&'a mut [f32]> {
        if self.dtype != DType::F32 || cfg!(target_endian = "big") {
            return None;
        }
        // SAFETY: every bit pattern is an f32; `align_to_mut` sees to alignment.
        let (before, floats, after) = unsafe { self.bytes.align_to_mut() };
        (before.is_empty() && after.is_empty()).then_some(floats)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// An [`Epilogue`](crate::Epilogue) over host memory.
#[derive(Clone, Copy, Debug)]
pub struct EpilogueView<'a> {
    /// Factor of the sum.
    pub alpha: f32,
    /// F32, one per output column (channel).
    pub bias: Option<View<'a>>,
    /// Of the output's shape.
    pub residual: Option<View<'a>>,
    /// Applied last.
    pub activation: Activation,
    /// How the result is stored.
    pub store: Store,
}
