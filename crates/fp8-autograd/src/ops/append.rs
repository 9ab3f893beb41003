//! Steps after steps, as decoding remembers them.

use fp8_kernels::{Backend, Store};

use super::mismatch;
use crate::{Graph, Result, Tensor, Var};

impl Tensor {
    /// x (steps, …), then y (further steps, …): the same codes, or their values as FP32 where scales or types differ.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for rows of another shape.
    pub fn append(&self, backend: &dyn Backend, other: &Self) -> Result<Self> {
        let (Some((steps, row)), Some((more, other_row))) = (self.shape.split_first(), other.shape.split_first())
        else {
            return mismatch("append", "a single number has no rows");
        };
        if row != other_row {
            return mismatch("append", format!("{:?} after {:?}", other.shape, self.shape));
        }
        let dtype = self.buffer.dtype();
        let alike = self.scale == other.scale && dtype == other.buffer.dtype();
        // Nearest rounding to the type that they have changes no value.
        let (x, y, scale, store) = if alike {
            (self.clone(), other.clone(), self.scale, Store::nearest(dtype))
        } else {
            (self.unscaled(backend)?, other.unscaled(backend)?, 1.0, Store::F32)
        };
        let mut both = backend.alloc(store.dtype, x.len() + y.len())?;
        backend.join_columns(1, &[(&x.buffer, x.len()), (&y.buffer, y.len())], &store, &mut both)?;
        Ok(Self { scale, ..Self::new([&[steps + more], row].concat(), both) })
    }
}

impl Graph<'_> {
    /// [`Tensor::append`]. For evaluation: nothing is kept.
    ///
    /// # Errors
    /// As [`Tensor::append`]; [`crate::Error::Shape`] in training.
    pub fn append(&mut self, x: &Var, y: &Var) -> Result<Var> {
        if self.step().training {
            return mismatch("append", "it has no backward pass");
        }
        let tensor = x.tensor.append(&**self.backend(), &y.tensor)?;
        Ok(self.constant(tensor))
    }
}

#[cfg(test)]
mod tests {
    use fp8_kernels::{CpuBackend, DType};

    use super::*;

    #[test]
    fn steps_follow_each_other() {
        let backend = CpuBackend::new().unwrap();
        let tensor = |shape: &[usize], scale: f32, values: &[f32]| {
            let wide = Tensor::from_f32(&backend, shape.to_vec(), values).unwrap();
            let store = Store { scale, ..Store::nearest(DType::E5M2) };
            let mut codes = backend.alloc(DType::E5M2, values.len()).unwrap();
            backend.cast(&wide.buffer, 1.0, &store, &mut codes).unwrap();
            Tensor { scale, ..Tensor::new(shape.to_vec(), codes) }
        };
        let (x, y) = (tensor(&[1, 2, 1], 4.0, &[1.0, -2.0]), tensor(&[2, 2, 1], 4.0, &[0.5, 3.0, f32::INFINITY, 0.0]));
        let expected = [1.0, -2.0, 0.5, 3.0, f32::INFINITY, 0.0];
        for (y, dtype) in [(y, DType::E5M2), (tensor(&[2, 2, 1], 2.0, &expected[2..]), DType::F32)] {
            let both = x.append(&backend, &y).unwrap();
            assert_eq!((&both.shape[..], both.buffer.dtype()), (&[3, 2, 1][..], dtype));
            assert_eq!(both.to_f32(&backend).unwrap(), expected);
        }
        // Values that the other's type or scale has no code for.
        let (one, small) = (tensor(&[1, 1], 1.0, &[1.0]), 1.25 / (1 << 18) as f32);
        let wide = Tensor::from_f32(&backend, vec![1, 1], &[small]).unwrap();
        for other in [tensor(&[1, 1], 1024.0, &[small]), wide] {
            assert_eq!(one.append(&backend, &other).unwrap().to_f32(&backend).unwrap(), [1.0, small]);
            assert_eq!(other.append(&backend, &one).unwrap().to_f32(&backend).unwrap(), [small, 1.0]);
        }
        assert!(x.append(&backend, &tensor(&[1, 1, 2], 4.0, &[0.0; 2])).is_err());
        assert!(Tensor { shape: vec![], ..x.clone() }.append(&backend, &x).is_err());
    }
}
