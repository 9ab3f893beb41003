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

/// Where the units of a block of k are, for some rows of A.
pub(super) struct Addresses {
    /// Units of the block.
    pub units: usize,
    /// Their runs, of what is read in place.
    runs: Vec<Run>,
    /// The beginning of each row that is read in place.
    rows: Vec<*const u32>,
}

impl Factors<'_> {
    /// Where block `block`, `k` elements long, is, for some rows.
    pub fn addresses(&self, kernel: &Kernel, block: usize, k: usize, rows: &Range<usize>) -> Addresses {
        let units = k.div_ceil(kernel.per_unit);
        let (runs, rows) = match self {
            Self::Packed(..) => (Vec::new(), Vec::new()),
            Self::RowsInPlace(image, _) => image.rows(block, units, rows.clone()),
            Self::UnitsInPlace(_, image) => (image.units(), Vec::new()),
        };
        Addresses { units, runs, rows }
    }

    /// Panel `p` of B; nothing where it is not packed.
    pub fn panel(&self, kernel: &Kernel, p: usize) -> &[u32] {
        let size = kernel.columns * kernel.stride();
        match self {
            Self::Packed(_, b) | Self::RowsInPlace(_, b) => &b[p * size..][..size],
            Self::UnitsInPlace(..) => &[],
        }
    }

    /// Multiplies a block of a tile: rows from `row` on, and panel `p`, of which the first column is `column`.
    ///
    /// # Safety
    /// The kernel is of this CPU, and `to` is room for the tile.
    pub unsafe fn multiply(
        &self,
        kernel: &Kernel,
        tile: &Tile,
        addresses: &Addresses,
        [row, p, column]: [usize; 3],
        to: Target,
        far: *const u32,
    ) {
        let Addresses { units, runs, rows } = addresses;
        let a = |all: &[u32]| all[row * kernel.stride()..][..tile.rows * kernel.stride()].as_ptr();
        let b = || self.panel(kernel, p)[..units * kernel.columns].as_ptr();
        // SAFETY: A has the tile's rows, and B the units of all columns; `Image` promises that for what lies in place.
        unsafe {
            match self {
                Self::Packed(all, _) => (tile.packed)(*units, a(all), b(), to, far),
                Self::RowsInPlace(..) => (tile.rows_apart)(runs, &rows[row..][..tile.rows], b(), to, far),
                Self::UnitsInPlace(all, image) => {
                    let Some(units_apart) = tile.units_apart else { unreachable!("its units are single elements") };
                    units_apart(runs, a(all), image.columns(column), image.distance(), to, far);
                }
            }
        }
    }
}
