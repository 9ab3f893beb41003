//! What differs between instruction sets and operand types, as a table of functions.

use crate::DType;
use crate::gemm::tile::Tile;
use crate::isa::Isa;

/// Elements of k in a block: sums run inside blocks, and blocks are added in order (docs/numerics.md).
pub const BLOCK: usize = 576;

/// Lines of so many codes of consecutive k, one for each row or column, to units; what is missing of the last unit is zero. Lines of codes, in bytes, and
/// those of units are so far apart.
pub(super) type DecodeLines = fn(Isa, DType, usize, &[u8], &mut [u32], [usize; 2]);

/// Lines of codes of consecutive rows or columns, one for each k, to units; what is missing of the last unit is zero.
pub(super) type DecodeAcross = fn(Isa, DType, &[&[u8]], Panels<'_>);

/// Where units of consecutive columns go: `width` of them one after the other, then those of the next unit of k; the next columns
/// `distance` further on.
pub(super) struct Panels<'a> {
    pub units: &'a mut [u32],
    /// A multiple of 16.
    pub width: usize,
    pub distance: usize,
}

/// How products are computed.
pub(super) struct Kernel {
    /// Elements of k in a unit.
    pub per_unit: usize,
    /// Columns of a tile; a multiple of 16.
    pub columns: usize,
    /// The tallest first.
    pub tiles: &'static [Tile],
    /// How many rows of A together, from the first of a tile on, have to be at even distances where they are not packed.
    pub even: usize,
    pub decode_lines: DecodeLines,
    pub decode_across: DecodeAcross,
    /// What a thread does before and after tiles.
    pub around: [Around; 2],
}

/// A change of the state of the CPU.
///
/// # Safety
/// The CPU has the kernel's instruction set.
pub(super) type Around = unsafe fn();

/// No change.
///
/// # Safety
/// None is needed.
pub(super) unsafe fn nothing() {}

impl Kernel {
    /// Units in a block of k: the distance of packed rows of A.
    pub const fn stride(&self) -> usize {
        BLOCK / self.per_unit
    }

    /// Height of the tallest tile.
    pub const fn rows(&self) -> usize {
        self.tiles[0].rows
    }

    /// The next tile of the fewest that cover `rows`: of these even the last is as tall as may be, as a low one waits for B.
    pub fn tile(&self, rows: usize) -> &Tile {
        let height = rows.div_ceil(rows.div_ceil(self.rows()).max(1));
        self.tiles.iter().rev().find(|tile| tile.rows >= height).unwrap_or(&self.tiles[0])
    }

    /// The fastest kernel of an instruction set for these operands that keeps the order of sums (except AMX).
    pub fn of(isa: Isa, a: DType, b: DType) -> &'static Self {
        let eight_bits = a.size() == 1 && b.size() == 1;
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx if eight_bits => &super::amx::KERNEL,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if eight_bits && super::avx512_bf16::usable(isa) => &super::avx512_bf16::KERNEL,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Amx => &super::avx512::KERNEL,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &super::avx2::KERNEL,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &super::neon::KERNEL,
            _ if eight_bits => &super::portable::EXACT,
            _ => &super::portable::FUSED,
        }
    }
}
