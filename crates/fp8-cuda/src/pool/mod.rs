//! Pooling of (N, H, W, C).

use std::sync::Arc;

use fp8_kernels::{Buffer, DType, Pool2d, Result, Store};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::elementwise::eights;
use crate::kernels::{Argument, Grid, Source, source};

pub(crate) static MAX: Source = source!("pool/max.cu");
pub(crate) static MAX_BACKWARD: Source = source!("pool/max_backward.cu");
pub(crate) static AVERAGE: Source = source!("pool/average.cu");
pub(crate) static AVERAGE_BACKWARD: Source = source!("pool/average_backward.cu");

/// `Pool` of pool.cuh.
#[derive(Clone, Copy)]
#[repr(C)]
struct Pool([u32; 8]);

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Pool {}

impl From<&Pool2d> for Pool {
    fn from(pool: &Pool2d) -> Self {
        let ([height, width], [oh, ow]) = (pool.input, pool.output());
        Self([height, width, pool.channels, pool.kernel, pool.stride, pool.padding, oh, ow].map(|size| size as u32))
    }
}

/// y = store(max over the window), and where it stood.
pub(crate) fn max(
    device: &Arc<Device>,
    pool: &Pool2d,
    x: &Buffer,
    store: &Store,
    y: &mut Buffer,
    index: &mut Buffer,
) -> Result<()> {
    let op = device.op("max_pool");
    let [x_len, len] = op.pool2d(pool)?;
    let (x, y) = (op.float("x", x, x_len)?, op.output("y", y, store, len)?);
    let index = op.exactly_mut("index", index, DType::U8, len)?;
    let defines = [("X", x.type_name()), ("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&MAX, "max_pool", &defines)?;
    let store = StoreArgument::from(store);
    device.launch(&kernel, eights(len), &[&Pool::from(pool), &x, &store, &y, &index, &(len as u64)])
}

/// dx = store(sum of the dy whose maximum stood there).
pub(crate) fn max_backward(
    device: &Arc<Device>,
    pool: &Pool2d,
    dy: &Buffer,
    index: &Buffer,
    store: &Store,
    dx: &mut Buffer,
) -> Result<()> {
    let op = device.op("max_pool_backward");
    let [len, y_len] = op.pool2d(pool)?;
    let (dy, index) = (op.float("dy", dy, y_len)?, op.exactly("index", index, DType::U8, y_len)?);
    let dx = op.output("dx", dx, store, len)?;
    let defines = [("DY", dy.type_name()), ("DX", dx.type_name()), ("DX_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&MAX_BACKWARD, "max_pool_backward", &defines)?;
    let store = StoreArgument::from(store);
    device.launch(&kernel, eights(len), &[&Pool::from(pool), &dy, &index, &store, &dx, &(len as u64)])
}

/// y (N, C) = store(mean over the pixels of x (N, pixels, C)).
pub(crate) fn average(
    device: &Arc<Device>,
    shape: [usize; 3],
    x: &Buffer,
    store: &Store,
    y: &mut Buffer,
) -> Result<()> {
    let (op, [n, pixels, c]) = (device.op("global_average_pool"), shape);
    op.require(pixels > 0, || "the average of no pixels".into())?;
    let (x, len) = (op.float("x", x, op.len(&shape)?)?, op.len(&[n, c])?);
    let y = op.output("y", y, store, len)?;
    let defines = [("X", x.type_name()), ("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&AVERAGE, "average", &defines)?;
    let store = StoreArgument::from(store);
    device.launch(&kernel, Grid::over(len), &[&x, &(pixels as u32), &(c as u32), &store, &y, &(len as u64)])
}

/// dx (N, pixels, C) = store(dy (N, C) / pixels).
pub(crate) fn average_backward(
    device: &Arc<Device>,
    shape: [usize; 3],
    dy: &Buffer,
    store: &Store,
    dx: &mut Buffer,
) -> Result<()> {
    let (op, [n, pixels, c]) = (device.op("global_average_pool_backward"), shape);
    let (dy, len) = (op.float("dy", dy, op.len(&[n, c])?)?, op.len(&shape)?);
    let dx = op.output("dx", dx, store, len)?;
    let defines = [("DY", dy.type_name()), ("DX", dx.type_name()), ("DX_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&AVERAGE_BACKWARD, "average_backward", &defines)?;
    let store = StoreArgument::from(store);
    device.launch(&kernel, eights(len), &[&dy, &(pixels as u32), &(c as u32), &store, &dx, &(len as u64)])
}
