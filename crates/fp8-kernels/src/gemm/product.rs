//! Products of matrices of codes: how they are cut into tasks, and a task.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::epilogue::{Output, finish};
use super::kernel::{BLOCK, Kernel};
use super::pack::{Factor, PackScratch, Packer};
use crate::EpilogueView;
use crate::isa::Isa;

/// C (rows, columns) = epilogue(A B) over k.
pub(crate) struct Product<'a> {
    pub rows: usize,
    pub columns: usize,
    pub k: usize,
    pub a: Factor<'a>,
    pub b: Factor<'a>,
    pub epilogue: &'a EpilogueView<'a>,
    /// The row of the output that a row of C is; `None`: the same.
    pub output_row: Option<&'a (dyn Fn(usize) -> usize + Sync)>,
}

impl Product<'_> {
    /// Computes it on the threads of the current pool. How it is cut has no influence on the result.
    pub fn compute(&self, isa: Isa, output: &Output<'_>) {
        let kernel = Kernel::of(isa, self.a.dtype, self.b.dtype);
        let cut = Cut::new(kernel, self, rayon::current_num_threads());
        (0..cut.tasks()).into_par_iter().with_max_len(1).for_each(|task| {
            let (rows, columns) = cut.task(task);
            ROOM.with_borrow_mut(|room| self.task(isa, kernel, rows, columns, room, output));
        });
    }

    fn task(
        &self,
        isa: Isa,
        kernel: &Kernel,
        rows: Range<usize>,
        columns: Range<usize>,
        room: &mut Room,
        output: &Output<'_>,
    ) {
        let width = columns.len().next_multiple_of(kernel.columns);
        room.reserve(kernel, rows.len(), width);
        let (a, b, sums) = (units(&mut room.a), units(&mut room.b), floats(&mut room.sums));
        let mut packer = Packer { isa, kernel, scratch: &mut room.scratch };
        for k in (0..self.k).step_by(BLOCK) {
            let block = k..self.k.min(k + BLOCK);
            packer.columns(self.b, columns.clone(), block.clone(), b);
            for (first, sums) in rows.clone().step_by(ROWS_AT_ONCE).zip(sums.chunks_mut(ROWS_AT_ONCE * width)) {
                let some = first..rows.end.min(first + ROWS_AT_ONCE);
                packer.rows(self.a, some.clone(), block.clone(), a);
                multiply(kernel, block.len(), a, b, sums, some.len(), width, k == 0);
            }
        }
        if self.k == 0 {
            sums[..rows.len() * width].fill(0.0);
        }
        self.store(isa, rows, columns, width, sums, output);
    }

    fn store(
        &self,
        isa: Isa,
        rows: Range<usize>,
        columns: Range<usize>,
        width: usize,
        sums: &mut [f32],
        output: &Output<'_>,
    ) {
        let whole = width == self.columns && self.output_row.is_none();
        let (step, length) = if whole { (rows.len(), rows.len() * width) } else { (1, columns.len()) };
        for (row, sums) in rows.step_by(step).zip(sums.chunks_mut(step * width)) {
            let first = self.output_row.map_or(row, |output_row| output_row(row)) * self.columns + columns.start;
            // SAFETY: tasks have different rows or columns, and different rows of C are different rows of the output.
            unsafe { finish(isa, self.epilogue, self.columns, first, &mut sums[..length], output) };
        }
    }
}

/// sums (rows, width) = or += A B of one block of k.
#[allow(clippy::too_many_arguments)]
fn multiply(kernel: &Kernel, k: usize, a: &[u32], b: &[u32], sums: &mut [f32], rows: usize, width: usize, first: bool) {
    let (stride, units) = (kernel.stride(), k.div_ceil(kernel.per_unit));
    for (p, panel) in b.chunks_exact(kernel.columns * stride).enumerate().take(width / kernel.columns) {
        let mut row = 0;
        while row < rows {
            let (height, tile) = kernel.tile(rows - row);
            let (a, c) = (&a[row * stride..][..height * stride], &mut sums[row * width + p * kernel.columns..]);
            assert!(c.len() >= (height - 1) * width + kernel.columns, "room for a tile");
            // SAFETY: the kernel is of this CPU; A has `height` rows, B a panel, and C room for the tile.
            unsafe { tile(units, a.as_ptr(), panel.as_ptr(), c.as_mut_ptr(), width, first) };
            row += height;
        }
    }
}

/// Rows of A that are packed at once, to stay in the caches of a core beside a panel of B; a multiple of every tile's.
const ROWS_AT_ONCE: usize = 96;

/// How C is cut into tasks.
struct Cut {
    rows: usize,
    columns: usize,
    /// Rows and columns of a task.
    step: [usize; 2],
}

/// Most columns of a task, and most sums: what a thread keeps.
const MOST_COLUMNS: usize = 576;
const MOST_SUMS: usize = 512 * 512;
/// What packing an element costs, in multiply-adds.
const PACKING: usize = 20;

impl Cut {
    /// The cut whose slowest thread has the least to do.
    fn new(kernel: &Kernel, product: &Product<'_>, threads: usize) -> Self {
        let (rows, columns) = (product.rows.max(1), product.columns.max(1));
        let fewest = columns.div_ceil(MOST_COLUMNS);
        let step = (fewest..=columns.div_ceil(kernel.columns).min(fewest + 4 * threads))
            .flat_map(|across| {
                let width = columns.div_ceil(across).next_multiple_of(kernel.columns);
                let fewest = rows.div_ceil(MOST_SUMS / width);
                (fewest..=rows.div_ceil(kernel.rows()).min(fewest + 4 * threads))
                    .map(move |down| [rows.div_ceil(down).next_multiple_of(kernel.rows()), width])
            })
            .min_by_key(|&[height, width]| {
                let tasks = rows.div_ceil(height) * columns.div_ceil(width);
                tasks.div_ceil(threads) * (height * width + PACKING * (height + width))
            });
        Self { rows: product.rows, columns: product.columns, step: step.unwrap_or([kernel.rows(), kernel.columns]) }
    }

    fn tasks(&self) -> usize {
        self.rows.div_ceil(self.step[0]) * self.columns.div_ceil(self.step[1])
    }

    fn task(&self, index: usize) -> (Range<usize>, Range<usize>) {
        let across = self.columns.div_ceil(self.step[1]);
        let range = |i: usize, step: usize, end: usize| i * step..end.min((i + 1) * step);
        (range(index / across, self.step[0], self.rows), range(index % across, self.step[1], self.columns))
    }
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::new(Room::new());
}

/// Memory of a thread for packed factors and sums, kept from call to call: at most some 4 MB.
struct Room {
    a: Vec<Line>,
    b: Vec<Line>,
    sums: Vec<Line>,
    scratch: PackScratch,
}

/// A line of the cache, so that rows of units are aligned.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

impl Room {
    fn new() -> Self {
        Self { a: Vec::new(), b: Vec::new(), sums: Vec::new(), scratch: PackScratch::new() }
    }

    /// Makes it large enough; rows up to the next multiple of 32, which covers transposition and the tile at the end.
    fn reserve(&mut self, kernel: &Kernel, rows: usize, width: usize) {
        let rows = rows.next_multiple_of(32);
        for (room, units) in [
            (&mut self.a, rows.min(ROWS_AT_ONCE) * kernel.stride()),
            (&mut self.b, width * kernel.stride()),
            (&mut self.sums, rows * width),
        ] {
            let lines = units.div_ceil(16);
            if room.len() < lines {
                room.resize(lines, Line([0; 16]));
            }
        }
    }
}

fn units(lines: &mut [Line]) -> &mut [u32] {
    // SAFETY: a line is 16 units and nothing else.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * 16) }
}

fn floats(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: a line is 64 bytes, and every bit pattern is an f32.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * 16) }
}
