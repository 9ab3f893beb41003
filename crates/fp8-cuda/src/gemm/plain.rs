//! Products of any types and kinds of lines, with the bits of the CPU: [plain.cu](plain.cu).

use std::sync::Arc;

use fp8_kernels::Result;

use super::Tail;
use super::lines::{Lines, Rows};
use super::parts;
use crate::device::Device;
use crate::kernels::{Argument, Grid, Source, source};
use crate::operand::Operand;

pub(crate) static PLAIN: Source = source!("gemm/plain.cu");

/// Elements of a block of threads, both ways; k of one block of sums.
const TILE: usize = 64;
const BLOCK: usize = fp8_kernels::gemm::BLOCK;

/// A factor of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Factor<L> {
    pub lines: L,
    pub operand: Operand,
    /// Whether neighbours in memory are neighbours along k.
    pub along_k: bool,
}

impl<L: Lines> Factor<L> {
    /// Whether eight neighbours in the direction of memory, of `lines` lines of `k`, lie beside each other, on a boundary of eight.
    pub fn is_whole(&self, lines: usize, k: usize) -> bool {
        self.lines.run(if self.along_k { k } else { lines }).is_multiple_of(8)
    }
}

/// C (rows, columns) = A B over k.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<A, B> {
    pub rows: usize,
    pub columns: usize,
    pub k: usize,
    pub a: Factor<A>,
    pub b: Factor<B>,
    pub output_rows: Rows,
    /// Whether sums are to be as good as FP32's, which those that tensor cores make of many products are not.
    pub careful: bool,
}

/// `Size` of plain.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Size([u32; 5]);

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Size {}

impl<A: Lines, B: Lines> Product<A, B> {
    /// C = epilogue(A B), in the CPU's order of sums.
    pub fn in_order(&self, device: &Arc<Device>, tail: &Tail, c: Operand) -> Result<()> {
        let tiles = self.rows.div_ceil(TILE) * self.columns.div_ceil(TILE);
        let blocks = self.k.div_ceil(BLOCK);
        // Blocks of sums side by side where there are too few tiles to keep the card busy. The order of sums, and so every bit, is the same.
        if blocks > 1 && tiles < 2 * device.multiprocessors as usize {
            self.in_parts(device, tail, c, blocks)
        } else {
            self.whole(device, tail, c)
        }
    }

    fn size(&self) -> Size {
        let &Self { rows, columns, k, ref a, ref b, .. } = self;
        Size([rows as u32, columns as u32, k as u32, a.along_k.into(), b.along_k.into()])
    }

    fn defines(&self, tail: &Tail, c: Operand) -> [(&'static str, &'static str); 7] {
        let [r, y, rounding] = tail.defines(c);
        let (a, b) = (self.a.operand.type_name(), self.b.operand.type_name());
        [("A", a), ("B", b), ("LINES_A", A::NAME), ("LINES_B", B::NAME), r, y, rounding]
    }

    fn grid(&self, depth: usize) -> Grid {
        Grid::blocks([self.columns.div_ceil(TILE) as u32, self.rows.div_ceil(TILE) as u32, depth as u32])
    }

    fn whole(&self, device: &Arc<Device>, tail: &Tail, c: Operand) -> Result<()> {
        let kernel = device.kernel(&PLAIN, "whole", &self.defines(tail, c))?;
        let (size, Self { a, b, output_rows, .. }) = (self.size(), self);
        let arguments: [&dyn Argument; 8] =
            [&size, &a.lines, &a.operand, &b.lines, &b.operand, output_rows, &tail.argument(), &c];
        device.launch(&kernel, self.grid(1), &arguments)
    }

    fn in_parts(&self, device: &Arc<Device>, tail: &Tail, c: Operand, blocks: usize) -> Result<()> {
        let kernel = device.kernel(&PLAIN, "parts", &self.defines(tail, c))?;
        let (size, Self { a, b, output_rows, .. }) = (self.size(), self);
        parts::sum(device, [self.rows, self.columns], blocks, output_rows, tail, c, |room, first, count| {
            let first = first as u32;
            let arguments: [&dyn Argument; 7] = [&size, &a.lines, &a.operand, &b.lines, &b.operand, &first, room];
            device.launch(&kernel, self.grid(count), &arguments)
        })
    }
}
