//! What arguments must be, checked before anything is written.

use super::memory::HostMemory;
use crate::{Buffer, DType, Error, Result, Store, View, ViewMut};

/// The arguments of one operation.
#[derive(Clone, Copy)]
pub(super) struct Op {
    /// Its name, as in messages.
    pub name: &'static str,
}

impl Op {
    /// A floating operand of `len` elements.
    pub fn float<'a>(self, what: &'static str, buffer: &'a Buffer, len: usize) -> Result<View<'a>> {
        self.typed(what, buffer, len, DType::is_float)
    }

    /// A floating operand that may be absent.
    pub fn optional<'a>(self, what: &'static str, buffer: Option<&'a Buffer>, len: usize) -> Result<Option<View<'a>>> {
        buffer.map(|buffer| self.float(what, buffer, len)).transpose()
    }

    /// An operand of one type.
    pub fn exactly<'a>(self, what: &'static str, buffer: &'a Buffer, dtype: DType, len: usize) -> Result<View<'a>> {
        self.typed(what, buffer, len, |found| found == dtype)
    }

    /// An output of one type.
    pub fn exactly_mut<'a>(
        self,
        what: &'static str,
        buffer: &'a mut Buffer,
        dtype: DType,
        len: usize,
    ) -> Result<ViewMut<'a>> {
        self.typed(what, buffer, len, |found| found == dtype)?;
        let dtype = buffer.dtype();
        match buffer.storage_mut().as_any_mut().downcast_mut::<HostMemory>() {
            Some(memory) => Ok(ViewMut { dtype, bytes: memory.bytes_mut() }),
            None => Err(self.elsewhere(what)),
        }
    }

    /// An output stored as `store` says.
    pub fn output<'a>(
        self,
        what: &'static str,
        buffer: &'a mut Buffer,
        store: &Store,
        len: usize,
    ) -> Result<ViewMut<'a>> {
        if !store.dtype.is_float() {
            return Err(Error::Type { op: self.name, what, found: store.dtype });
        }
        self.exactly_mut(what, buffer, store.dtype, len)
    }

    /// The product of the sizes of a shape; sums and offsets of it must not overflow either.
    pub fn len(self, sizes: &[usize]) -> Result<usize> {
        let product = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        product
            .filter(|len| *len <= u32::MAX as usize)
            .ok_or_else(|| self.shape(format!("{sizes:?} has too many elements")))
    }

    /// A shape that makes no sense unless `holds`.
    pub fn require(self, holds: bool, reason: impl FnOnce() -> String) -> Result<()> {
        if holds { Ok(()) } else { Err(self.shape(reason())) }
    }

    pub fn shape(self, reason: String) -> Error {
        Error::Shape { op: self.name, reason }
    }

    fn typed<'a>(
        self,
        what: &'static str,
        buffer: &'a Buffer,
        len: usize,
        takes: impl Fn(DType) -> bool,
    ) -> Result<View<'a>> {
        let dtype = buffer.dtype();
        if !takes(dtype) {
            return Err(Error::Type { op: self.name, what, found: dtype });
        }
        if buffer.len() != len {
            return Err(Error::Length { op: self.name, what, expected: len, found: buffer.len() });
        }
        match buffer.storage().as_any().downcast_ref::<HostMemory>() {
            Some(memory) => Ok(View { dtype, bytes: memory.bytes() }),
            None => Err(self.elsewhere(what)),
        }
    }

    fn elsewhere(self, what: &'static str) -> Error {
        Error::Device { op: self.name, what, backend: "cpu".into() }
    }
}
