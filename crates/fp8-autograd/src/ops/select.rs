//! Rows by their numbers, as decoding goes on from some hypotheses and not from others.

use fp8_kernels::{Backend, Embedding, EmbeddingForward, Store};

use super::mismatch;
use crate::tensor::upload_u32;
use crate::{Graph, LstmCarry, Result, Tensor, Var};

impl Tensor {
    /// y (rows, …), y_i = x_{rows_i}: the same codes.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where x is a single number, [`crate::Error::Kernel`] for a row that it does not have.
    pub fn select(&self, backend: &dyn Backend, rows: &[u32]) -> Result<Self> {
        let Some((&entries, rest)) = self.shape.split_first() else {
            return mismatch("select", "a single number has no rows");
        };
        let width = rest.iter().product();
        let embedding = Embedding { rows: rows.len(), entries, width, positions: 0, repeat: 1, padding: None };
        let mut y = backend.alloc(self.buffer.dtype(), rows.len() * width)?;
        let tokens = upload_u32(backend, rows)?;
        // Nearest rounding to the type that they have changes no value.
        let store = Store::nearest(self.buffer.dtype());
        let arguments = EmbeddingForward { tokens: &tokens, w: &self.buffer, factor: 1.0, positions: None, store };
        backend.embedding(&embedding, &arguments, &mut y)?;
        Ok(Self { scale: self.scale, ..Self::new([&[rows.len()], rest].concat(), y) })
    }
}

impl LstmCarry {
    /// The state of these rows of the batch.
    ///
    /// # Errors
    /// [`crate::Error::Kernel`] for a row that there is not.
    pub fn select(&self, backend: &dyn Backend, rows: &[u32]) -> Result<Self> {
        Ok(Self { h: self.h.select(backend, rows)?, c: self.c.select(backend, rows)? })
    }
}

impl Graph<'_> {
    /// [`Tensor::select`] along the first axis. For evaluation: nothing is kept.
    ///
    /// # Errors
    /// As [`Tensor::select`]; [`crate::Error::Shape`] in training.
    pub fn select(&mut self, x: &Var, rows: &[u32]) -> Result<Var> {
        if self.step().training {
            return mismatch("select", "it has no backward pass");
        }
        let tensor = x.tensor.select(&**self.backend(), rows)?;
        Ok(self.constant(tensor))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fp8_kernels::{CpuBackend, DType};

    use super::*;

    #[test]
    fn rows_are_the_same_codes() {
        let backend = Arc::new(CpuBackend::new().unwrap());
        let wide = Tensor::from_f32(&*backend, vec![3, 2], &[1.0, -2.0, 0.5, 3.0, f32::INFINITY, 0.0]).unwrap();
        let mut codes = backend.alloc(DType::E5M2, 6).unwrap();
        backend.cast(&wide.buffer, 1.0, &Store::nearest(DType::E5M2), &mut codes).unwrap();
        let x = Tensor { scale: 4.0, ..Tensor::new(vec![3, 2, 1], codes) };
        let y = x.select(&*backend, &[2, 0, 2, 1]).unwrap();
        assert_eq!((&y.shape[..], y.scale, y.buffer.dtype()), (&[4, 2, 1][..], 4.0, DType::E5M2));
        let expected = [f32::INFINITY, 0.0, 0.25, -0.5, f32::INFINITY, 0.0, 0.125, 0.75];
        assert_eq!(y.to_f32(&*backend).unwrap(), expected);
        assert!(x.select(&*backend, &[3]).is_err());
        assert!(Tensor { shape: vec![], ..x }.select(&*backend, &[0]).is_err());
    }
}
