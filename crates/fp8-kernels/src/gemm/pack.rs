//! From codes to what tiles read: rows of A one after the other, columns of B in panels.

use std::ops::Range;

use super::kernel::{BLOCK, Kernel, Panels};
use super::lines::{Lines, Scratch};
use crate::isa::Isa;
use crate::{DType, prefetch};

/// One factor of a product.
#[derive(Clone, Copy)]
pub(crate) struct Factor<'a> {
    /// Its lines.
    pub lines: &'a dyn Lines,
    /// Type of their elements.
    pub dtype: DType,
    /// Whether a line runs along k (one per row of A, column of B) or across (one per k).
    pub along_k: bool,
}

/// Room that packing needs.
pub(super) struct PackScratch {
    parts: [Scratch; 2],
    /// 16 lines of units, [`MOST_UNITS`] each.
    units: Box<[u32]>,
}

/// The most units of a line that are transposed at once: a block along k, or rows across.
const MOST_UNITS: usize = if BLOCK > super::lines::LONGEST { BLOCK } else { super::lines::LONGEST };

/// How many lines further on the codes are that are asked for, of lines along k and across.
const AHEAD: usize = 3;
const ACROSS_AHEAD: usize = 12;

impl PackScratch {
    pub fn new() -> Self {
        Self { parts: [[0; _]; 2], units: vec![0; 16 * MOST_UNITS].into() }
    }
}

/// Packs factors for one kernel.
pub(super) struct Packer<'a> {
    pub isa: Isa,
    pub kernel: &'a Kernel,
    pub scratch: &'a mut PackScratch,
}

impl Packer<'_> {
    /// Row `i` of `rows` to `out[i * kernel.stride()..]`; the room of up to 15 rows more is scribbled upon.
    pub fn rows(&mut self, factor: Factor<'_>, rows: Range<usize>, k: Range<usize>, out: &mut [u32]) {
        if factor.along_k {
            for (row, units) in rows.zip(out.chunks_exact_mut(self.kernel.stride())) {
                self.line(factor, row, &k, units);
            }
        } else {
            self.rows_from_across(factor, rows, k, out);
        }
    }

    /// Columns to panels of `kernel.columns`: unit `u` of a panel's columns to `panel[u * kernel.columns..]`; panels are
    /// `kernel.columns * kernel.stride()` apart. Columns missing in the last panel are left as they were.
    pub fn columns(&mut self, factor: Factor<'_>, columns: Range<usize>, k: Range<usize>, out: &mut [u32]) {
        let width = self.kernel.columns;
        let panels = out.chunks_exact_mut(width * self.kernel.stride());
        if factor.along_k {
            for (panel, first) in panels.zip(columns.clone().step_by(width)) {
                for at in (0..width).step_by(16).take_while(|at| first + at < columns.end) {
                    self.panel_from_lines(factor, first + at..columns.end.min(first + at + 16), &k, &mut panel[at..]);
                }
            }
        } else {
            self.panels_from_across(factor, columns, k, out);
        }
    }

    fn line(&mut self, factor: Factor<'_>, line: usize, k: &Range<usize>, units: &mut [u32]) {
        factor.lines.ask(line + AHEAD, k.start, k.len());
        let codes = factor.lines.part(line, k.start, k.len(), &mut self.scratch.parts[0]);
        (self.kernel.decode_line)(self.isa, factor.dtype, codes, &mut units[..k.len().div_ceil(self.kernel.per_unit)]);
    }

    /// Units of lines `line .. line + per_unit`, of which those from `end` on are missing.
    fn across(&mut self, factor: Factor<'_>, line: usize, end: usize, part: &Range<usize>, panels: Panels<'_>) {
        let [first, second] = &mut self.scratch.parts;
        (0..self.kernel.per_unit).for_each(|i| factor.lines.ask(line + ACROSS_AHEAD + i, part.start, part.len()));
        let first = factor.lines.part(line, part.start, part.len(), first);
        let pair = self.kernel.per_unit == 2 && line + 1 < end;
        let second = pair.then(|| factor.lines.part(line + 1, part.start, part.len(), second));
        (self.kernel.decode_across)(self.isa, factor.dtype, first, second, panels);
    }

    fn rows_from_across(&mut self, factor: Factor<'_>, rows: Range<usize>, k: Range<usize>, out: &mut [u32]) {
        let (stride, per_unit, count) = (self.kernel.stride(), self.kernel.per_unit, rows.len());
        let mut block = std::mem::take(&mut self.scratch.units);
        for (i, line) in k.clone().step_by(16 * per_unit).enumerate() {
            let lines = (line..k.end.min(line + 16 * per_unit)).step_by(per_unit);
            for (units, line) in block.chunks_exact_mut(MOST_UNITS).zip(lines) {
                self.across(factor, line, k.end, &rows, Panels { units, width: MOST_UNITS, distance: MOST_UNITS });
            }
            for row in (0..count).step_by(16) {
                let (from, to) = (&block[row..], &mut out[row * stride + 16 * i..]);
                assert!(to.len() >= 15 * stride + 16, "room for 16 rows");
                (0..16).for_each(|i| prefetch::to_first_level(to.as_ptr().wrapping_add(i * stride + 16), 16));
                // SAFETY: 16 rows of 16 units in both; the kernel is of this CPU.
                unsafe { (self.kernel.transpose)(from.as_ptr(), MOST_UNITS, to.as_mut_ptr(), stride) };
            }
        }
        self.scratch.units = block;
    }

    fn panel_from_lines(&mut self, factor: Factor<'_>, lines: Range<usize>, k: &Range<usize>, out: &mut [u32]) {
        let width = self.kernel.columns;
        let mut block = std::mem::take(&mut self.scratch.units);
        for (units, line) in block.chunks_exact_mut(MOST_UNITS).zip(lines) {
            self.line(factor, line, k, units);
        }
        for unit in (0..k.len().div_ceil(self.kernel.per_unit)).step_by(16) {
            let (from, to) = (&block[unit..], &mut out[unit * width..]);
            assert!(to.len() >= 15 * width + 16, "room for 16 units");
            (16..32).for_each(|i| prefetch::to_first_level(to.as_ptr().wrapping_add(i * width), 16));
            // SAFETY: 16 rows of 16 units in both; the kernel is of this CPU.
            unsafe { (self.kernel.transpose)(from.as_ptr(), MOST_UNITS, to.as_mut_ptr(), width) };
        }
        self.scratch.units = block;
    }

    fn panels_from_across(&mut self, factor: Factor<'_>, columns: Range<usize>, k: Range<usize>, out: &mut [u32]) {
        let (width, per_unit) = (self.kernel.columns, self.kernel.per_unit);
        let panel = width * self.kernel.stride();
        for (unit, line) in k.clone().step_by(per_unit).enumerate() {
            let panels = Panels { units: &mut out[unit * width..], width, distance: panel };
            self.across(factor, line, k.end, &columns, panels);
        }
    }
}
