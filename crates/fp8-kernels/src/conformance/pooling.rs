//! Pooling.

use super::Case;
use super::inputs::{Inputs, store};
use crate::{DType, Pool2d};

pub(super) fn cases() -> Vec<Case> {
    let pool =
        |batch, input, channels, kernel, stride, padding| Pool2d { batch, input, channels, kernel, stride, padding };
    let pools = [
        pool(2, [8, 8], 16, 3, 2, 1),
        pool(1, [7, 9], 3, 2, 2, 0),
        pool(3, [5, 6], 5, 3, 1, 1),
        pool(1, [4, 4], 1, 5, 4, 2),
    ];
    let mut cases = Vec::new();
    for (n, pool) in pools.into_iter().enumerate() {
        for dtype in [DType::E5M2, DType::F32] {
            cases.push(Case::new(format!("max_pool {pool:?} {dtype}"), move |backend| {
                let inputs = Inputs(backend);
                let ([oh, ow], [h, w]) = (pool.output(), pool.input);
                let (x_len, y_len) = (pool.batch * h * w * pool.channels, pool.batch * oh * ow * pool.channels);
                let x = inputs.special(dtype, 1, x_len)?;
                let (y_store, dx_store) = (store(n), store(n + 1));
                let (mut y, mut index) = (inputs.output(y_store.dtype, y_len)?, inputs.output(DType::U8, y_len)?);
                backend.max_pool(&pool, &x, &y_store, &mut y, &mut index)?;
                let (dy, mut dx) = (inputs.float(DType::E5M2, 2, y_len)?, inputs.output(dx_store.dtype, x_len)?);
                backend.max_pool_backward(&pool, &dy, &index, &dx_store, &mut dx)?;
                Ok(vec![y, index, dx])
            }));
        }
    }
    for (n, shape) in [[2, 49, 64], [1, 1, 1], [3, 100, 7]].into_iter().enumerate() {
        cases.push(Case::new(format!("global_average_pool {shape:?}"), move |backend| {
            let (inputs, [batch, pixels, channels]) = (Inputs(backend), shape);
            let x = inputs.float(DType::E5M2, 1, batch * pixels * channels)?;
            let (y_store, dx_store) = (store(n), store(n + 1));
            let mut y = inputs.output(y_store.dtype, batch * channels)?;
            backend.global_average_pool(shape, &x, &y_store, &mut y)?;
            let mut dx = inputs.output(dx_store.dtype, batch * pixels * channels)?;
            backend.global_average_pool_backward(shape, &y, &dx_store, &mut dx)?;
            Ok(vec![y, dx])
        }));
    }
    cases
}
