//! Convolutions and their gradients: products of windows of images, as on the CPU (`fp8_kernels::conv`).

use std::sync::Arc;

use fp8_kernels::{Activation, Buffer, Conv2d, DType, Epilogue, Result};

use crate::accumulation::Accumulation;
use crate::device::Device;
use crate::gemm::{Dense, Divisor, Factor, PatchElements, Patches, Product, Rows, Tail, Taps};
use crate::operand::Operand;

/// As [`fp8_kernels::Backend::conv2d`].
pub(crate) fn forward(
    device: &Arc<Device>,
    conv: &Conv2d,
    x: &Buffer,
    w: &Buffer,
    epilogue: &Epilogue<'_>,
    y: &mut Buffer,
) -> Result<()> {
    let op = device.op("conv2d");
    let [x_len, w_len, y_len] = op.conv2d(conv)?;
    let (x, w) = (op.float("x", x, x_len)?, op.float("w", w, w_len)?);
    let tail = Tail::new(op, epilogue, y_len, conv.out_channels)?;
    let y = op.output("y", y, &epilogue.store, y_len)?;
    let k = window_len(conv);
    let product = Product {
        rows: pixels(conv),
        columns: conv.out_channels,
        k,
        a: Factor { lines: windows(conv), operand: x, along_k: true },
        b: Factor { lines: Dense::rows(k), operand: w, along_k: true },
        output_rows: Rows::in_order(),
        careful: false,
    };
    product.compute(device, &tail, y)
}

/// As [`fp8_kernels::Backend::conv2d_backward_weight`].
pub(crate) fn backward_weight(
    device: &Arc<Device>,
    conv: &Conv2d,
    x: &Buffer,
    dy: &Buffer,
    epilogue: &Epilogue<'_>,
    dw: &mut Buffer,
) -> Result<()> {
    let op = device.op("conv2d_backward_weight");
    op.require(epilogue.bias.is_none() && epilogue.activation == Activation::None, || {
        "a weight gradient takes neither bias nor activation".into()
    })?;
    let [x_len, w_len, y_len] = op.conv2d(conv)?;
    let (x, dy) = (op.float("x", x, x_len)?, op.float("dy", dy, y_len)?);
    let tail = Tail::new(op, epilogue, w_len, conv.in_channels)?;
    let dw = op.output("dw", dw, &epilogue.store, w_len)?;
    let product = Product {
        rows: conv.out_channels,
        columns: window_len(conv),
        k: pixels(conv),
        a: Factor { lines: Dense::columns(conv.out_channels), operand: dy, along_k: false },
        b: Factor { lines: PatchElements(windows(conv)), operand: x, along_k: false },
        output_rows: Rows::in_order(),
        careful: false,
    };
    product.compute(device, &tail, dw)
}

/// As [`fp8_kernels::Backend::conv2d_backward_data`]: a product for each phase of the stride, whose pixels see the same taps of the kernel.
pub(crate) fn backward_data(
    device: &Arc<Device>,
    conv: &Conv2d,
    dy: &Buffer,
    w: &Buffer,
    epilogue: &Epilogue<'_>,
    dx: &mut Buffer,
) -> Result<()> {
    let op = device.op("conv2d_backward_data");
    let [x_len, w_len, y_len] = op.conv2d(conv)?;
    let (dy, w) = (op.float("dy", dy, y_len)?, op.float("w", w, w_len)?);
    let tail = Tail::new(op, epilogue, x_len, conv.in_channels)?;
    let dx = op.output("dx", dx, &epilogue.store, x_len)?;
    let phases = |axis| Phase::all(conv, axis).collect::<Vec<_>>();
    let [vertical, horizontal] = [0, 1].map(phases);
    let all = || vertical.iter().flat_map(|down| horizontal.iter().map(move |across| [down, across]));
    let is_reached = |phases: &[&Phase; 2]| phases.iter().all(|phase| phase.taps > 0);
    // Pixels that no tap reaches have what there is without a product: all of dx gets that first, at the speed of copies.
    let is_filled = !all().all(|phases| is_reached(&phases)) && fill(device, &tail, dx, x_len)?;
    for phases in all().filter(|phases| !is_filled || is_reached(phases)) {
        phase(device, conv, phases, [dy, w], &tail, dx)?;
    }
    Ok(())
}

/// Makes dx the residual, or zero where there is none. False: the epilogue is more than that, or zeros are to have the CPU's signs.
fn fill(device: &Arc<Device>, tail: &Tail, dx: Operand, len: usize) -> Result<bool> {
    let is_residual = tail.residual.dtype.is_none_or(|dtype| Some(dtype) == dx.dtype);
    if device.accumulation == Accumulation::Ordered || tail.bias.dtype.is_some() || tail.relu || !is_residual {
        return Ok(false);
    }
    let bytes = len * dx.dtype.map_or(0, DType::size);
    // SAFETY: both have this length, and outputs are no inputs.
    unsafe {
        match tail.residual.dtype {
            Some(_) => device.copy(tail.residual.address, dx.address, bytes)?,
            None => device.clear(dx.address, bytes)?,
        }
    }
    Ok(true)
}

fn phase(
    device: &Arc<Device>,
    conv: &Conv2d,
    phases: [&Phase; 2],
    [dy, w]: [Operand; 2],
    tail: &Tail,
    dx: Operand,
) -> Result<()> {
    let [height, width] = conv.output();
    let [down, across] = phases.map(|phase| phase.taps);
    let (grid, first) = (phases.map(|phase| phase.pixels), phases.map(|phase| phase.first));
    let patches = Patches {
        grid: grid.map(Divisor::new),
        window_x: Divisor::new(across),
        channels: Divisor::new(conv.out_channels),
        height: height as i32,
        width: width as i32,
        step: [1; 2],
        corner: phases.map(|phase| phase.corner),
    };
    let taps = Taps {
        window_x: Divisor::new(across),
        channels: Divisor::new(conv.out_channels),
        last: phases.map(|phase| phase.last as u32),
        step: conv.stride as u32,
        kernel: conv.kernel.map(|size| size as u32),
        inputs: conv.in_channels as u32,
    };
    let product = Product {
        rows: conv.batch * grid[0] * grid[1],
        columns: conv.in_channels,
        k: down * across * conv.out_channels,
        a: Factor { lines: patches, operand: dy, along_k: true },
        b: Factor { lines: taps, operand: w, along_k: false },
        output_rows: match conv.stride {
            1 => Rows::in_order(),
            stride => Rows::of_pixels(grid, conv.input, stride, first),
        },
        careful: false,
    };
    product.compute(device, tail, dx)
}

/// Pixels of y.
fn pixels(conv: &Conv2d) -> usize {
    let [height, width] = conv.output();
    conv.batch * height * width
}

/// Elements of the window of a pixel of y.
fn window_len(conv: &Conv2d) -> usize {
    conv.kernel[0] * conv.kernel[1] * conv.in_channels
}

/// The windows of x.
fn windows(conv: &Conv2d) -> Patches {
    let ([height, width], padding) = (conv.input, conv.padding as i32);
    Patches {
        grid: conv.output().map(Divisor::new),
        window_x: Divisor::new(conv.kernel[1]),
        channels: Divisor::new(conv.in_channels),
        height: height as i32,
        width: width as i32,
        step: [conv.stride as i32; 2],
        corner: [-padding; 2],
    }
}

/// Pixels of one axis of dx with the same remainder by the stride.
struct Phase {
    /// The first of them.
    first: usize,
    /// How many there are.
    pixels: usize,
    /// Taps of the kernel that reach them: the last, and how many, a stride apart.
    last: usize,
    taps: usize,
    /// Pixel of dy that the last tap brings to the first pixel of dx.
    corner: i32,
}

impl Phase {
    fn all(conv: &Conv2d, axis: usize) -> impl Iterator<Item = Self> {
        let (stride, input, kernel) = (conv.stride, conv.input[axis], conv.kernel[axis]);
        (0..stride.min(input)).map(move |first| {
            let lowest = (first + conv.padding) % stride;
            let taps = kernel.saturating_sub(lowest).div_ceil(stride);
            let last = if taps == 0 { 0 } else { lowest + (taps - 1) * stride };
            let reach = (first + conv.padding) as i32 - last as i32;
            let pixels = (input - first).div_ceil(stride);
            Self { first, pixels, last, taps, corner: reach.div_euclid(stride as i32) }
        })
    }
}
