//! Some rows of A and some columns of B over a block of k, packed or in place, and one tile of them.

use std::ops::Range;

use super::kernel::Kernel;
use super::tile::{Run, Target, Tile};
use super::windows::Image;

/// Rows of A and columns of B.
#[derive(Clone, Copy)]
pub(super) enum Factors<'a> {
    Packed(&'a [u32], &'a [u32]),
    /// A as rows of an image.
    RowsInPlace(&'a Image<'a>, &'a [u32]),
    /// B as units of an image.
    UnitsInPlace(&'a [u32], &'a Image<'a>),
}

/// Units of a block of k that are multiplied before the next tile.
pub(super) struct Part {
    pub units: Range<usize>,
    /// Of what is read in place: how it lies.
    runs: Vec<Run>,
    rows: Vec<*const u32>,
}

impl Factors<'_> {
    /// All units of a block, `k` elements long.
    pub fn parts(&self, kernel: &Kernel, block: usize, k: usize, rows: &Range<usize>) -> Vec<Part> {
        let units = k.div_ceil(kernel.per_unit);
        let firsts = (0..units).step_by(kernel.units_at_once);
        firsts.map(|first| self.part(block, first..units.min(first + kernel.units_at_once), rows)).collect()
    }

    fn part(&self, block: usize, units: Range<usize>, rows: &Range<usize>) -> Part {
        match self {
            Self::Packed(..) => Part { units, runs: Vec::new(), rows: Vec::new() },
            Self::RowsInPlace(image, _) => {
                let (runs, rows) = image.rows(block, units.clone(), rows.clone());
                Part { units, runs, rows }
            }
            Self::UnitsInPlace(_, image) => {
                debug_assert!(units.start == 0, "kernels of single units multiply whole blocks");
                Part { units, runs: image.units(), rows: Vec::new() }
            }
        }
    }

    /// Panel `p` of B; nothing where it is not packed.
    pub fn panel(&self, kernel: &Kernel, p: usize) -> &[u32] {
        let size = kernel.columns * kernel.stride();
        match self {
            Self::Packed(_, b) | Self::RowsInPlace(_, b) => &b[p * size..][..size],
            Self::UnitsInPlace(..) => &[],
        }
    }

    /// Multiplies one part of a tile: rows from `row` on, and panel `p`, of which the first column is `column`.
    ///
    /// # Safety
    /// The kernel is of this CPU, and `to` is room for the tile.
    pub unsafe fn multiply(
        &self,
        kernel: &Kernel,
        tile: &Tile,
        part: &Part,
        [row, p, column]: [usize; 3],
        to: Target,
        far: *const u32,
    ) {
        let Part { units, runs, rows } = part;
        let a = |all: &[u32]| all[row * kernel.stride()..][..tile.rows * kernel.stride()][units.start..].as_ptr();
        let b = || self.panel(kernel, p)[units.start * kernel.columns..][..units.len() * kernel.columns].as_ptr();
        // SAFETY: A has the tile's rows, and B the units of all columns; `Image` promises that for what lies in place.
        unsafe {
            match self {
                Self::Packed(all, _) => (tile.packed)(units.len(), a(all), b(), to, far),
                Self::RowsInPlace(..) => (tile.rows_apart)(runs, &rows[row..][..tile.rows], b(), to, far),
                Self::UnitsInPlace(all, image) => {
                    let Some(units_apart) = tile.units_apart else { unreachable!("its units are single elements") };
                    units_apart(runs, a(all), image.columns(column), image.distance(), to, far);
                }
            }
        }
    }
}
