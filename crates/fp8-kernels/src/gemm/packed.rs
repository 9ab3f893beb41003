//! Factors that are packed once, by all threads, for the tasks or the products that share them.

use std::ops::Range;

use super::kernel::{BLOCK, Kernel};
use super::pack::{Factor, Packer};
use super::room::{FactorRoom, ROOM};
use crate::isa::Isa;
use crate::tasks;

/// Most units of a factor that is packed whole: 96 MiB.
const MOST: usize = 24 << 20;

/// Units of so many lines, packed for all blocks of k.
pub(super) fn units(kernel: &Kernel, lines: usize, k: usize) -> usize {
    k.div_ceil(BLOCK).saturating_mul(lines).saturating_mul(kernel.stride())
}

/// The same of a whole factor, in whole pieces.
fn packed_units(kernel: &Kernel, lines: usize, k: usize) -> usize {
    units(kernel, lines.next_multiple_of(PIECE), k)
}

/// Lines that a thread packs at a time: so many, or a third of that where there are too few pieces for all threads to end together. Both are
/// multiples of every panel's.
const PIECE: usize = 192;
const SMALL_PIECE: usize = PIECE / 3;
/// Pieces for each thread that suffice.
const PIECES: usize = 4;

/// Rows of a packed A that a tile may read behind the last one.
const BEHIND: usize = 32;

/// A whole factor: block after block of k, in each all its lines.
pub(super) struct PackedFactor<'a> {
    units: &'a [u32],
    /// Units of a block, and of a line.
    block: usize,
    line: usize,
}

/// How one factor is packed: rows of A one by one, columns of B in panels.
#[derive(Clone, Copy)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    /// Packs lines of a block of k.
    pub fn pack(
        self,
        packer: &mut Packer<'_>,
        factor: Factor<'_>,
        lines: Range<usize>,
        k: Range<usize>,
        out: &mut [u32],
    ) {
        match self {
            Self::A => packer.rows(factor, lines, k, out),
            Self::B => packer.columns(factor, lines, k, out),
        }
    }
}

impl<'a> PackedFactor<'a> {
    /// Whether a factor of so many lines over k is small enough.
    pub fn fits(kernel: &Kernel, [lines, k]: [usize; 2]) -> bool {
        packed_units(kernel, lines, k) <= MOST
    }

    /// Packs `lines` lines over `k`.
    pub fn new(
        isa: Isa,
        kernel: &Kernel,
        side: Side,
        factor: Factor<'_>,
        [lines, k]: [usize; 2],
        room: &'a mut FactorRoom,
    ) -> Self {
        let line = kernel.stride();
        let block = packed_units(kernel, lines, 1);
        let all = room.units(packed_units(kernel, lines, k) + BEHIND * line);
        let blocks = k.div_ceil(BLOCK);
        let suffice = lines.div_ceil(PIECE) * blocks >= PIECES * rayon::current_num_threads();
        let size = if suffice { PIECE } else { SMALL_PIECE };
        let pieces = lines.next_multiple_of(PIECE) / size;
        tasks::each_of(all.chunks_mut(size * line).take(blocks * pieces), |i, out| {
            let (first, piece) = (i / pieces * BLOCK, i % pieces * size);
            let some = piece..lines.min(piece + size);
            if some.is_empty() {
                return;
            }
            ROOM.with_borrow_mut(|room| {
                let mut packer = Packer { isa, kernel, scratch: &mut room.scratch };
                side.pack(&mut packer, factor, some, first..k.min(first + BLOCK), out);
            });
        });
        Self { units: all, block, line }
    }

    /// Lines from `line` on, of a block of k.
    pub fn part(&self, block: usize, line: usize) -> &[u32] {
        &self.units[block * self.block + line * self.line..]
    }
}
