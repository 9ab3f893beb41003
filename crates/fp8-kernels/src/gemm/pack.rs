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

/// Lines across k that are decoded together; a multiple of every unit's.
const TOGETHER: usize = 16;

/// Room that packing needs.
pub(super) struct PackScratch {
    parts: Box<[Scratch; TOGETHER]>,
    /// Lines of codes, and the same turned.
    lines: Box<[u8]>,
    turned: Box<[u8]>,
}

/// Bytes of lines that are turned at once, to stay in the first-level cache; [`ALIGN`] lines of 192 elements at least.
const TURNED: usize = 24 << 10;

/// How many lines further on the codes are that are asked for, of lines along k and across; where these are decoded together, those of the next
/// [`TOGETHER`] are.
const AHEAD: usize = 3;
const ACROSS_AHEAD: usize = 12;

impl PackScratch {
    pub fn new() -> Self {
        Self { parts: Box::new([[0; _]; TOGETHER]), lines: vec![0; TURNED].into(), turned: vec![0; TURNED].into() }
    }
}

/// A part of some lines.
struct Piece<'a> {
    factor: Factor<'a>,
    lines: Range<usize>,
    part: Range<usize>,
}

impl PackScratch {
    /// `count` lines turned, of which those behind the last are zeros: to lines `pitch` bytes apart, where `together` codes stay together.
    fn turned(&mut self, isa: Isa, piece: &Piece<'_>, count: usize, together: usize, pitch: usize) -> &[u8] {
        let Self { parts, lines: room, turned } = self;
        let &Piece { factor, ref lines, ref part } = piece;
        let size = factor.dtype.size();
        let blocks = [count * size * together, part.len() * size].iter().all(|bytes| bytes.is_multiple_of(ALIGN));
        let from = match factor.lines.matrix() {
            Some((bytes, pitch)) if blocks && lines.len() == count => {
                lines.clone().for_each(|line| factor.lines.ask(line, part.start, part.len()));
                Matrix { bytes: &bytes[lines.start * pitch + part.start * size..], pitch }
            }
            _ => piece.copied(count, &mut parts[0], room),
        };
        let mut to = Matrix { bytes: &mut **turned, pitch };
        turn(isa, size * together, &from, &mut to, [count, part.len().div_ceil(together)]);
        turned
    }
}

impl Piece<'_> {
    /// `count` lines of it in `room`, of which those behind the last are zeros.
    fn copied<'r>(&self, count: usize, scratch: &mut Scratch, room: &'r mut [u8]) -> Matrix<&'r [u8]> {
        let Self { factor, lines, part } = self;
        let pitch = (part.len() * factor.dtype.size()).next_multiple_of(ALIGN);
        let ahead = if factor.along_k { AHEAD } else { ACROSS_AHEAD };
        let mut rest = lines.clone();
        for to in room.chunks_exact_mut(pitch).take(count) {
            let Some(line) = rest.next() else {
                to.fill(0);
                continue;
            };
            factor.lines.ask(line + ahead, part.start, part.len());
            let codes = factor.lines.part(line, part.start, part.len(), scratch);
            let (whole, missing) = to.split_at_mut(codes.len());
            whole.copy_from_slice(codes);
            missing.fill(0);
        }
        Matrix { bytes: room, pitch }
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
        let apart = [codes.len(), units.len()];
        (self.kernel.decode_lines)(self.isa, factor.dtype, k.len(), codes, units, apart);
    }

    fn rows_from_across(&mut self, factor: Factor<'_>, rows: Range<usize>, k: Range<usize>, out: &mut [u32]) {
        let (stride, size) = (self.kernel.stride(), factor.dtype.size());
        let pitch = (rows.len() * size).next_multiple_of(ALIGN);
        let step = (TURNED / pitch.max(1)).min(BLOCK) / ALIGN * ALIGN;
        for first in k.clone().step_by(step) {
            let some = first..k.end.min(first + step);
            let pitch = (some.len() * size).next_multiple_of(ALIGN);
            let piece = Piece { factor, lines: some.clone(), part: rows.clone() };
            let codes = self.scratch.turned(self.isa, &piece, some.len(), 1, pitch);
            let units = &mut out[(first - k.start) / self.kernel.per_unit..];
            let lines = &codes[..rows.len() * pitch];
            (self.kernel.decode_lines)(self.isa, factor.dtype, some.len(), lines, units, [pitch, stride]);
        }
    }

    fn panel_from_lines(&mut self, factor: Factor<'_>, lines: Range<usize>, k: &Range<usize>, out: &mut [u32]) {
        let (width, per_unit, size) = (self.kernel.columns, self.kernel.per_unit, factor.dtype.size());
        let step = (TURNED / (width * size)).min(BLOCK) / ALIGN * ALIGN;
        for first in k.clone().step_by(step) {
            let some = first..k.end.min(first + step);
            let units = some.len().div_ceil(per_unit);
            let piece = Piece { factor, lines: lines.clone(), part: some.clone() };
            let codes = self.scratch.turned(self.isa, &piece, width, per_unit, width * per_unit * size);
            let out = &mut out[(first - k.start) / per_unit * width..][..units * width];
            let len = units * width * per_unit;
            (self.kernel.decode_lines)(
                self.isa,
                factor.dtype,
                len,
                &codes[..len * size],
                out,
                [len * size, units * width],
            );
        }
    }

    fn panels_from_across(&mut self, factor: Factor<'_>, columns: Range<usize>, k: Range<usize>, out: &mut [u32]) {
        let width = self.kernel.columns;
        let units = &mut out[..columns.len().div_ceil(width) * width * self.kernel.stride()];
        for first in k.clone().step_by(TOGETHER) {
            let some = first..k.end.min(first + TOGETHER);
            let mut lines: [&[u8]; TOGETHER] = [&[]; _];
            for ((line, scratch), codes) in some.clone().zip(self.scratch.parts.iter_mut()).zip(&mut lines) {
                factor.lines.ask(line + TOGETHER, columns.start, columns.len());
                *codes = factor.lines.part(line, columns.start, columns.len(), scratch);
            }
            let units = &mut units[(first - k.start) / self.kernel.per_unit * width..];
            let panels = Panels { units, width, distance: width * self.kernel.stride() };
            (self.kernel.decode_across)(self.isa, factor.dtype, &lines[..some.len()], panels);
        }
    }
}
