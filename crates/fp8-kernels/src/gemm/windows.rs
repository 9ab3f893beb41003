//! Lines that overlap, as windows of images do: images are decoded once, with the zeros around them, and tiles read the windows where they lie.
//!
//! Packed one by one, each pixel would be decoded for every window that it is in: nine times for kernels of 3 by 3.

use std::ops::Range;

use super::kernel::{BLOCK, Kernel};
use super::room::padded;
use super::tile::Run;
use crate::DType;
use crate::isa::Isa;

/// Lines that are windows of padded images. A padded image is a number of rows of `pitch` elements, all images one after the other; a window
/// is `runs` pieces of `run` elements in as many consecutive rows, each at the same place of its row.
pub(crate) trait Windows: Sync {
    fn shape(&self) -> Shape;

    /// The element of the padded images with which a line begins; no less than that of the line before.
    fn first(&self, line: usize) -> usize;

    /// A row of the padded images: zeros at its beginning, then codes; behind them zeros again.
    fn row(&self, row: usize) -> (usize, &[u8]);
}

/// Sizes of [`Windows`], in elements: multiples of [`ALIGN`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub pitch: usize,
    pub run: usize,
    pub runs: usize,
    /// From one line to the next.
    pub step: usize,
    /// Lines that are `step` apart, from each multiple of this number on.
    pub even: usize,
    /// Elements of all lines for one of the padded images.
    pub overlap: usize,
}

/// What sizes are multiples of, so that runs are of whole units, and of whole steps of them.
pub(crate) const ALIGN: usize = 32;

/// Most units of the image that belongs to a block of k: it stays in the second-level cache.
const MOST: usize = 1 << 17;

/// Whether a kernel can read rows of A in place.
pub(super) fn suit_rows(windows: &dyn Windows, kernel: &Kernel) -> bool {
    windows.shape().even.is_multiple_of(kernel.even)
}

/// Whether a kernel can read the units of B in place, all columns of a line of k side by side, `k` lines in all.
pub(super) fn suit_units(windows: &dyn Windows, kernel: &Kernel, k: usize) -> bool {
    let can = kernel.tiles[0].units_apart.is_some() && windows.shape().run.is_multiple_of(kernel.columns);
    can && units(windows, kernel, &(0..k.min(BLOCK))) <= MOST
}

/// Padded rows that lines need.
fn rows(windows: &dyn Windows, lines: &Range<usize>) -> Range<usize> {
    let shape = windows.shape();
    if lines.is_empty() {
        return 0..0;
    }
    windows.first(lines.start) / shape.pitch..windows.first(lines.end - 1) / shape.pitch + shape.runs
}

/// Units of what [`Image::new`] decodes.
pub(super) fn units(windows: &dyn Windows, kernel: &Kernel, lines: &Range<usize>) -> usize {
    rows(windows, lines).len() * windows.shape().pitch / kernel.per_unit
}

/// The padded rows that some lines need, decoded.
pub(super) struct Image<'a> {
    windows: &'a dyn Windows,
    shape: Shape,
    kernel: &'a Kernel,
    lines: Range<usize>,
    /// The element of the padded images with which they begin.
    start: usize,
    units: &'a [u32],
}

impl<'a> Image<'a> {
    /// Decodes what `lines` need into `room`, which has [`units`] at least.
    pub fn new(
        isa: Isa,
        kernel: &'a Kernel,
        dtype: DType,
        windows: &'a dyn Windows,
        lines: Range<usize>,
        room: &'a mut [u32],
    ) -> Self {
        let (shape, rows) = (windows.shape(), rows(windows, &lines));
        for (row, room) in rows.clone().zip(room.chunks_exact_mut(shape.pitch / kernel.per_unit)) {
            let (zeros, codes) = windows.row(row);
            let (before, rest) = room.split_at_mut(zeros / kernel.per_unit);
            let (units, after) = rest.split_at_mut(codes.len() / dtype.size() / kernel.per_unit);
            before.fill(0);
            if !codes.is_empty() {
                let apart = [codes.len(), units.len()];
                (kernel.decode_lines)(isa, dtype, codes.len() / dtype.size(), codes, units, apart);
            }
            after.fill(0);
        }
        Self { windows, shape, kernel, lines, start: rows.start * shape.pitch, units: room }
    }

    fn first(&self, line: usize) -> usize {
        (self.windows.first(line) - self.start) / self.kernel.per_unit
    }

    /// As rows of A: in which runs they lie for `units` of a block of k, and where each begins. Behind the last stands the first, as often as a
    /// tile at the end may want.
    ///
    /// # Panics
    /// Where one of them lies outside what has been decoded.
    pub fn rows(&self, block: usize, units: usize, lines: Range<usize>) -> (Vec<Run>, Vec<*const u32>) {
        let runs = self.runs_along(block, units);
        let longest = runs.iter().map(|run| run.a + run.units).max().unwrap_or(0);
        let line = |line| self.units[self.first(line)..][..longest].as_ptr();
        let behind = padded(lines.len()) - lines.len();
        let (some, first) = (lines.clone().map(line), lines.take(1).cycle().map(line));
        (runs, some.chain(first.take(behind)).collect())
    }

    /// Runs of the first `units` of a block of k, which goes along lines.
    fn runs_along(&self, block: usize, units: usize) -> Vec<Run> {
        let Shape { pitch, run: len, .. } = self.shape;
        let Kernel { per_unit, columns, .. } = *self.kernel;
        let (mut unit, mut runs) = (0, Vec::new());
        while unit < units {
            let k = block * BLOCK + unit * per_unit;
            let (run, at) = (k / len, k % len);
            let count = ((len - at) / per_unit).min(units - unit);
            let (a, b) = ((run * pitch + at) / per_unit, unit * columns);
            runs.push(Run { a, b, units: count });
            unit += count;
        }
        runs
    }

    /// As units of B, one for each line: the runs of all of them.
    pub fn units(&self) -> Vec<Run> {
        let (mut line, mut runs) = (self.lines.start, Vec::new());
        while line < self.lines.end {
            let count = (self.shape.even - line % self.shape.even).min(self.lines.end - line);
            runs.push(Run { a: line - self.lines.start, b: self.first(line), units: count });
            line += count;
        }
        runs
    }

    /// From a unit of B to the next in its run.
    pub fn distance(&self) -> usize {
        self.shape.step / self.kernel.per_unit
    }

    /// Where columns from `column` on, as many as a tile has, begin in the units of B.
    ///
    /// # Panics
    /// Where one of the units lies outside what has been decoded.
    pub fn columns(&self, column: usize) -> *const u32 {
        let first = column / self.shape.run * self.shape.pitch + column % self.shape.run;
        let last = self.lines.end.checked_sub(1).map_or(0, |line| self.first(line));
        self.units[first..][..last + self.kernel.columns].as_ptr()
    }
}
