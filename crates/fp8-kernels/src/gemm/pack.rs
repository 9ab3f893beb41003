//! From codes to what tiles read: rows of A one after the other, columns of B in panels.

use std::ops::Range;

use super::kernel::{BLOCK, Kernel, Panels};
use super::lines::{Lines, Scratch};
use super::turn::{ALIGN, Matrix, turn};
use crate::DType;
use crate::isa::Isa;

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
    /// Lines of codes, and the same turned.
    lines: Box<[u8]>,
    turned: Box<[u8]>,
}

/// Bytes of lines that are turned at once, to stay in the first-level cache; [`ALIGN`] lines of 192 elements at least.
const TURNED: usize = 24 << 10;

/// How many lines further on the codes are that are asked for, of lines along k and across.
const AHEAD: usize = 3;
const ACROSS_AHEAD: usize = 12;

impl PackScratch {
    pub fn new() -> Self {
        Self { parts: [[0; _]; 2], lines: vec![0; TURNED].into(), turned: vec![0; TURNED].into() }
    }
}

/// Packs factors for one kernel.
pub(super) struct Packer<'a> {
    pub isa: Isa,
    pub kernel: &'a Kernel,
    pub scratch: &'a mut PackScratch,
}

impl Packer<'_> {
    /// Row `i` of `rows` to `out[i * kernel.stride()..]`.
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
    /// `kernel.columns * kernel.stride()` apart. What stands for columns missing in the last panel is not specified.
    pub fn columns(&mut self, factor: Factor<'_>, columns: Range<usize>, k: Range<usize>, out: &mut [u32]) {
        let width = self.kernel.columns;
        if factor.along_k {
            let panels = out.chunks_exact_mut(width * self.kernel.stride());
            for (panel, first) in panels.zip(columns.clone().step_by(width)) {
                self.panel_from_lines(factor, first..columns.end.min(first + width), &k, panel);
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
        let (stride, per_unit, size) = (self.kernel.stride(), self.kernel.per_unit, factor.dtype.size());
        let pitch = (rows.len() * size).next_multiple_of(ALIGN);
        let step = (TURNED / pitch.max(1)).min(BLOCK) / ALIGN * ALIGN;
        for first in k.clone().step_by(step) {
            let some = first..k.end.min(first + step);
            for (line, to) in some.clone().zip(self.scratch.lines.chunks_exact_mut(pitch)) {
                factor.lines.ask(line + ACROSS_AHEAD, rows.start, rows.len());
                let codes = factor.lines.part(line, rows.start, rows.len(), &mut self.scratch.parts[0]);
                to[..codes.len()].copy_from_slice(codes);
            }
            let turned_pitch = (some.len() * size).next_multiple_of(ALIGN);
            self.turn(size, [pitch, turned_pitch], [some.len(), rows.len()]);
            let at = (first - k.start) / per_unit;
            for (codes, units) in
                self.scratch.turned.chunks_exact(turned_pitch).zip(out.chunks_mut(stride)).take(rows.len())
            {
                let units = &mut units[at..][..some.len().div_ceil(per_unit)];
                (self.kernel.decode_line)(self.isa, factor.dtype, &codes[..some.len() * size], units);
            }
        }
    }

    fn panel_from_lines(&mut self, factor: Factor<'_>, lines: Range<usize>, k: &Range<usize>, out: &mut [u32]) {
        let (width, per_unit, size) = (self.kernel.columns, self.kernel.per_unit, factor.dtype.size());
        let step = (TURNED / (width * size)).min(BLOCK) / ALIGN * ALIGN;
        for first in k.clone().step_by(step) {
            let some = first..k.end.min(first + step);
            let pitch = (some.len() * size).next_multiple_of(ALIGN);
            let mut rest = lines.clone();
            for to in self.scratch.lines.chunks_exact_mut(pitch).take(width) {
                let Some(line) = rest.next() else {
                    to.fill(0);
                    continue;
                };
                factor.lines.ask(line + AHEAD, some.start, some.len());
                let codes = factor.lines.part(line, some.start, some.len(), &mut self.scratch.parts[0]);
                let (whole, missing) = to.split_at_mut(codes.len());
                whole.copy_from_slice(codes);
                missing.fill(0);
            }
            let (units, together) = (some.len().div_ceil(per_unit), size * per_unit);
            self.turn(together, [pitch, width * together], [width, units]);
            let (codes, at) = (&self.scratch.turned[..units * width * together], (first - k.start) / per_unit * width);
            (self.kernel.decode_line)(self.isa, factor.dtype, codes, &mut out[at..][..units * width]);
        }
    }

    /// The lines of the scratch, turned.
    fn turn(&mut self, size: usize, [pitch, turned_pitch]: [usize; 2], lines_and_len: [usize; 2]) {
        let from = Matrix { bytes: &*self.scratch.lines, pitch };
        let mut to = Matrix { bytes: &mut *self.scratch.turned, pitch: turned_pitch };
        turn(self.isa, size, &from, &mut to, lines_and_len);
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
