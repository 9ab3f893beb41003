//! Pooling of (N, H, W, C).

use std::sync::Arc;

use fp8_kernels::{Buffer, DType, Pool2d, Result, Store};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::elementwise::{aligned, spots};
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
    // Small windows are read a row at a time.
    let size = ["0", "1", "2", "3", "4"].get(pool.kernel).copied().unwrap_or("0");
    let outputs = [("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let defines = [("X", x.type_name()), outputs[0], outputs[1], ("KERNEL", size), aligned(pool.channels)];
    let kernel = device.kernel(&MAX, "max_pool", &defines)?;
    let (store, [height, width]) = (StoreArgument::from(store), pool.output());
    let grid = spots(pool.batch * height, width, pool.channels);
    device.launch(&kernel, grid, &[&Pool::from(pool), &x, &store, &y, &index])
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
    let outputs = [("DX", dx.type_name()), ("DX_ROUNDING", rounding_name(store))];
    let defines = [("DY", dy.type_name()), outputs[0], outputs[1], aligned(pool.channels)];
    let kernel = device.kernel(&MAX_BACKWARD, "max_pool_backward", &defines)?;
    let (store, [height, width]) = (StoreArgument::from(store), pool.input);
    let grid = spots(pool.batch * height, width, pool.channels);
    device.launch(&kernel, grid, &[&Pool::from(pool), &dy, &index, &store, &dx])
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
    let x = op.float("x", x, op.len(&shape)?)?;
    let y = op.output("y", y, store, op.len(&[n, c])?)?;
    let defines = [("X", x.type_name()), ("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store)), aligned(c)];
    let kernel = device.kernel(&AVERAGE, "average", &defines)?;
    let ([images, pixels, channels], store) = (shape.map(|size| size as u32), StoreArgument::from(store));
    // Small blocks: every multiprocessor has some.
    let Grid { blocks: [_, blocks, _], threads, .. } = spots(1, n, c);
    let grid = Grid { blocks: [1, (blocks * threads.div_ceil(64)).min(65_535), 1], threads: 64, shared: 0 };
    device.launch(&kernel, grid, &[&x, &images, &pixels, &channels, &store, &y])
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
    let defines = [("DY", dy.type_name()), ("DX", dx.type_name()), ("DX_ROUNDING", rounding_name(store)), aligned(c)];
    let kernel = device.kernel(&AVERAGE_BACKWARD, "average_backward", &defines)?;
    let (grid, store) = (spots(pixels.div_ceil(7), n, c), StoreArgument::from(store));
    let [images, pixels, channels] = shape.map(|size| size as u32);
    device.launch(&kernel, grid, &[&dy, &images, &pixels, &channels, &store, &dx])
}
