//! Convolutions of images of few channels, such as the first of a network: what a window has in a row of pixels lies beside each other in memory, and becomes the
//! channels of images whose windows are one pixel wide ([narrow.cu](narrow.cu)). Whole blocks of channels are what tensor cores are fed with.

use std::sync::Arc;

use fp8_kernels::{DType, Result, Store};

use super::Tail;
use super::lines::{Dense, Divisor, Lines, PatchElements, Patches, Source};
use super::plain::{Factor, Product};
use crate::accumulation::Accumulation;
use crate::device::Device;
use crate::kernels::{Argument, Grid, source};
use crate::memory::DeviceMemory;
use crate::operand::Operand;

pub(crate) static NARROW: crate::kernels::Source = source!("gemm/narrow.cu");

/// Bytes of k that copies take at once; lines across k.
const DEPTH: usize = 64;
const LINES: usize = 64;

/// `Unfolding` of narrow.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Unfolding {
    len: u32,
    positions: u32,
    count: u32,
    step: i32,
    first: i32,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Unfolding {}

/// A row of a window of few channels.
struct Narrow {
    patches: Patches,
    /// Rows of a window.
    rows: usize,
    /// Elements of one, and of the run that it becomes.
    count: usize,
    run: usize,
}

impl Narrow {
    /// None: channels come in whole blocks already.
    fn new(patches: Patches, window: usize, block: usize) -> Option<Self> {
        let channels = patches.channels.divisor();
        let count = patches.window_x.divisor() * channels;
        let is_narrow = !channels.is_multiple_of(block) && window > 0;
        is_narrow.then(|| Self { patches, rows: window / count, count, run: count.next_multiple_of(block) })
    }

    /// The images with a run for each window across, and their windows.
    fn images(&self, device: &Arc<Device>, images: Operand, len: usize) -> Result<(Patches, Operand, DeviceMemory)> {
        let Patches { channels, width, step: [down, across], corner: [top, left], grid, .. } = self.patches;
        let (line, channels) = (width as usize * channels.divisor(), channels.divisor() as i32);
        let unfolding = Unfolding {
            len: line as u32,
            positions: grid[1].divisor() as u32,
            count: self.count as u32,
            step: across * channels,
            first: left * channels,
        };
        let (operand, memory) = self.unfold(device, images, len / line, unfolding)?;
        let patches = Patches {
            window_x: Divisor::new(1),
            channels: Divisor::new(self.run),
            width: grid[1].divisor() as i32,
            step: [down, 1],
            corner: [top, 0],
            ..self.patches
        };
        Ok((patches, operand, memory))
    }

    /// Rows of weights as runs.
    fn weights(&self, device: &Arc<Device>, weights: Operand, lines: usize) -> Result<(Operand, DeviceMemory)> {
        let count = self.count as u32;
        self.unfold(
            device,
            weights,
            lines * self.rows,
            Unfolding { len: count, positions: 1, count, step: 0, first: 0 },
        )
    }

    fn unfold(
        &self,
        device: &Arc<Device>,
        x: Operand,
        lines: usize,
        unfolding: Unfolding,
    ) -> Result<(Operand, DeviceMemory)> {
        let positions = unfolding.positions as usize;
        let eights = lines * positions * self.run / 8;
        let y = DeviceMemory::new(device, 8 * eights * x.dtype.map_or(1, DType::size))?;
        let defines = [("X", x.type_name()), ("Y", "F32"), ("Y_ROUNDING", "RNE"), ("R", "None")];
        let kernel = device.kernel(&NARROW, "unfold", &defines)?;
        let divisors = [self.run / 8, positions].map(Divisor::new);
        let arguments: [&dyn Argument; 6] = [&x, &(eights as u32), &unfolding, &divisors[0], &divisors[1], &y];
        device.launch(&kernel, Grid::over(eights), &arguments)?;
        Ok((Operand { address: y.address(), ..x }, y))
    }
}

/// Computes the product, unless it is none of windows of few channels.
pub(crate) fn compute<A: Lines, B: Lines>(
    device: &Arc<Device>,
    product: &Product<A, B>,
    tail: &Tail,
    c: Operand,
) -> Result<bool> {
    if device.accumulation == Accumulation::Ordered {
        return Ok(false);
    }
    let size = product.a.operand.dtype.map_or(1, DType::size);
    match (product.a.lines.source(), product.b.lines.source()) {
        (Source::Windows(patches), Source::Matrix) if product.b.along_k => {
            let Some(narrow) = Narrow::new(*patches, product.k, DEPTH / size) else { return Ok(false) };
            forward(device, product, &narrow, tail, c)?;
        }
        (Source::Matrix, Source::WindowElements(patches)) if !product.a.along_k => {
            let Some(narrow) = Narrow::new(*patches, product.columns, LINES) else { return Ok(false) };
            backward(device, product, &narrow, tail, c)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// A is windows, B weights.
fn forward<A: Lines, B: Lines>(
    device: &Arc<Device>,
    product: &Product<A, B>,
    narrow: &Narrow,
    tail: &Tail,
    c: Operand,
) -> Result<()> {
    let &Product { rows, columns, k, output_rows, careful, .. } = product;
    let len = product.a.lines.elements(rows, k);
    let (patches, images, _images) = narrow.images(device, product.a.operand, len)?;
    let (weights, _weights) = narrow.weights(device, product.b.operand, columns)?;
    let k = narrow.rows * narrow.run;
    let a = Factor { lines: patches, operand: images, along_k: true };
    let b = Factor { lines: Dense::rows(k), operand: weights, along_k: true };
    Product { rows, columns, k, a, b, output_rows, careful }.compute(device, tail, c)
}

/// A is errors, B the elements of windows.
fn backward<A: Lines, B: Lines>(
    device: &Arc<Device>,
    product: &Product<A, B>,
    narrow: &Narrow,
    tail: &Tail,
    c: Operand,
) -> Result<()> {
    let &Product { rows, columns, k, a, output_rows, careful, .. } = product;
    let len = product.b.lines.elements(columns, k);
    let (patches, images, _images) = narrow.images(device, product.b.operand, len)?;
    let b = Factor { lines: PatchElements(patches), operand: images, along_k: false };
    let wide = narrow.rows * narrow.run;
    let sums = DeviceMemory::new(device, 4 * rows * wide)?;
    let none = Operand::default();
    let sum = Tail { alpha: 1.0, bias: none, residual: none, relu: false, store: Store::F32 };
    let to = Operand { dtype: Some(DType::F32), address: sums.address() };
    Product { rows, columns: wide, k, a, b, output_rows, careful }.compute(device, &sum, to)?;

    let [residual, result, rounding] = tail.defines(c);
    let kernel = device.kernel(&NARROW, "fold", &[("X", "F32"), result, rounding, residual])?;
    let (len, count) = (rows * columns, Divisor::new(narrow.count));
    let [run, columns] = [narrow.run, columns].map(|number| number as u32);
    device.launch(&kernel, Grid::over(len), &[&sums, &(len as u32), &count, &run, &columns, &tail.argument(), &c])
}
