//! A task of a product: some rows and columns of C, which one thread computes.
//!
//! ```text
//! for each block of 576 k
//!     B: all columns of the task                 packed in panels as wide as a tile, or decoded as images, or shared
//!     for some rows at a time, 96 at most
//!         A: these rows                          packed, or read in images decoded before, or shared
//!         for each panel, for each tile of rows
//!             sums = A B over the block; += after the first block
//!         after the last block: sums through the epilogue, to the output
//! ```
//!
//! So some rows of A and a panel of B are in the caches of a core while tiles read them, and sums are read and written once a block.
//!
//! For example C (200, 64) over k = 1000 of 8-bit codes, all of it as one task by AVX-512 BF16: a unit is two k, a tile 12 rows by 32 columns.
//!
//! | block | B, packed | A, packed | tiles | |
//! |---|---|---|---|---|
//! | k 0..576: 288 units | 2 panels of 288 x 32 units | rows 0..96, of 288 units each | for each panel 8 | sums = A B |
//! | | | rows 96..192 | for each panel 8 | sums = A B |
//! | | | rows 192..200 | for each panel 1, of 8 rows | sums = A B |
//! | k 576..1000: 212 units | 2 panels of 212 x 32 units | rows 0..96, of 212 units each | for each panel 8 | sums += A B; 96 rows of C are stored |
//! | | | rows 96..192 | for each panel 8 | sums += A B; 96 rows are stored |
//! | | | rows 192..200 | for each panel 1, of 8 rows | sums += A B; 8 rows are stored |

use std::ops::Range;

use super::epilogue::{Output, finish};
use super::factors::Factors;
use super::kernel::{BLOCK, Kernel};
use super::pack::Packer;
use super::packed::PackedFactor;
use super::product::Product;
use super::room::{Held, Parts, ROWS_AT_ONCE, Room, padded};
use super::tile::{FAR, Target};
use super::windows::{self, Image, Windows};
use crate::isa::Isa;

/// A part of C that one thread computes.
pub(super) struct Task<'a> {
    pub product: &'a Product<'a>,
    /// That of the product.
    pub number: u64,
    pub isa: Isa,
    pub kernel: &'a Kernel,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Where it finds A and B.
    pub sources: [Source<'a>; 2],
    /// Whether the next task may find its columns of B packed.
    pub keeps_b: bool,
}

/// Where a task finds a factor.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// Packed before, for all tasks.
    Shared(&'a PackedFactor<'a>),
    /// In images, which it decodes: tiles read the windows there.
    InPlace(&'a dyn Windows),
    /// It packs the factor itself, block after block.
    Own,
}

impl<'a> Source<'a> {
    fn shared(self) -> Option<&'a PackedFactor<'a>> {
        match self {
            Self::Shared(packed) => Some(packed),
            Self::InPlace(_) | Self::Own => None,
        }
    }
}

/// A block of k.
struct KBlock {
    number: usize,
    k: Range<usize>,
    is_last: bool,
}

impl KBlock {
    /// Those of all k.
    fn all(k: usize) -> impl Iterator<Item = Self> {
        (0..k).step_by(BLOCK).enumerate().map(move |(number, first)| {
            let end = k.min(first + BLOCK);
            Self { number, k: first..end, is_last: end == k }
        })
    }
}

/// The rows of A of a task.
enum RowsOfA<'a> {
    /// All of them, over all k.
    InPlace(Image<'a>),
    /// Room for some of them over a block of k; nothing where they are shared.
    Packed(&'a mut [u32]),
}

/// All columns of B of a task, over a block of k.
enum ColumnsOfB<'a> {
    InPlace(Image<'a>),
    Packed(&'a [u32]),
}

impl Task<'_> {
    /// Computes it, block after block of k.
    pub fn compute(&self, room: &mut Room, output: &Output<'_>) {
        let (k, width) = (self.product.k, self.width());
        let next = Held { product: self.number, columns: self.columns.clone() };
        let has_b = room.hold(self.keeps_b.then_some(next));
        let Parts { a, b, sums, scratch } = room.parts([self.rows.len(), width], self.units());
        let mut packer = Packer { isa: self.isa, kernel: self.kernel, scratch };
        let mut a = self.rows_of_a(a);
        let [enter, leave] = self.kernel.around;
        // SAFETY: the kernel is of this CPU.
        unsafe { enter() };
        for block in KBlock::all(k) {
            let b = self.columns_of_b(&block, has_b, &mut packer, b);
            for (rows, sums) in self.some_rows().zip(sums.chunks_mut(ROWS_AT_ONCE * width)) {
                let factors = self.factors(&block, &rows, &mut packer, &mut a, &b);
                self.multiply(&block, &rows, factors, sums, output);
                if block.is_last {
                    self.store(rows, sums, output);
                }
            }
        }
        // SAFETY: as above.
        unsafe { leave() };
        if k == 0 {
            sums[..self.rows.len() * width].fill(0.0);
            self.store(self.rows.clone(), sums, output);
        }
    }

    /// Its rows, some at a time.
    fn some_rows(&self) -> impl Iterator<Item = Range<usize>> {
        let end = self.rows.end;
        self.rows.clone().step_by(ROWS_AT_ONCE).map(move |first| first..end.min(first + ROWS_AT_ONCE))
    }

    /// Columns of its sums, some of which may lie behind the last.
    fn width(&self) -> usize {
        self.columns.len().next_multiple_of(self.kernel.columns)
    }

    /// Units of A and B that it needs room for.
    fn units(&self) -> [usize; 2] {
        let (kernel, k) = (self.kernel, self.product.k);
        let a = match self.sources[0] {
            Source::Shared(_) => 0,
            Source::InPlace(windows) => windows::units(windows, kernel, &self.rows),
            Source::Own => padded(self.rows.len().min(ROWS_AT_ONCE)) * kernel.stride(),
        };
        let b = match self.sources[1] {
            Source::Shared(_) => 0,
            Source::InPlace(windows) => {
                KBlock::all(k).map(|block| windows::units(windows, kernel, &block.k)).max().unwrap_or(0)
            }
            Source::Own if self.keeps_b => k.div_ceil(BLOCK) * self.units_of_b(),
            Source::Own => self.units_of_b(),
        };
        [a, b]
    }

    /// Units of its columns of B over a block of k, packed.
    fn units_of_b(&self) -> usize {
        self.width() * self.kernel.stride()
    }

    fn rows_of_a<'r>(&'r self, room: &'r mut [u32]) -> RowsOfA<'r> {
        match self.sources[0] {
            Source::InPlace(windows) => {
                let (dtype, rows) = (self.product.a.dtype, self.rows.clone());
                RowsOfA::InPlace(Image::new(self.isa, self.kernel, dtype, windows, rows, room))
            }
            Source::Shared(_) | Source::Own => RowsOfA::Packed(room),
        }
    }

    /// `has_b`: the task before has left them in `room`, over all k.
    fn columns_of_b<'r>(
        &'r self,
        block: &KBlock,
        has_b: bool,
        packer: &mut Packer<'_>,
        room: &'r mut [u32],
    ) -> ColumnsOfB<'r> {
        let (b, k) = (self.product.b, block.k.clone());
        match self.sources[1] {
            Source::Shared(packed) => ColumnsOfB::Packed(packed.part(block.number, self.columns.start)),
            Source::InPlace(windows) => {
                ColumnsOfB::InPlace(Image::new(self.isa, self.kernel, b.dtype, windows, k, room))
            }
            Source::Own => {
                let at = if self.keeps_b { block.number * self.units_of_b() } else { 0 };
                let units = &mut room[at..][..self.units_of_b()];
                if !has_b {
                    packer.columns(b, self.columns.clone(), k, units);
                }
                ColumnsOfB::Packed(units)
            }
        }
    }

    /// What tiles multiply: some rows of A and all columns of B, over a block of k.
    fn factors<'r>(
        &'r self,
        block: &KBlock,
        rows: &Range<usize>,
        packer: &mut Packer<'_>,
        a: &'r mut RowsOfA<'_>,
        b: &'r ColumnsOfB<'_>,
    ) -> Factors<'r> {
        let a = match (a, b) {
            (RowsOfA::InPlace(image), ColumnsOfB::Packed(b)) => return Factors::RowsInPlace(image, b),
            (RowsOfA::InPlace(_), ColumnsOfB::InPlace(_)) => unreachable!("one factor at most is read in place"),
            (RowsOfA::Packed(room), _) => self.packed_rows(block, rows, packer, room),
        };
        match b {
            ColumnsOfB::Packed(b) => Factors::Packed(a, b),
            ColumnsOfB::InPlace(image) => Factors::UnitsInPlace(a, image),
        }
    }

    /// Some rows of A over a block of k.
    fn packed_rows<'r>(
        &'r self,
        block: &KBlock,
        rows: &Range<usize>,
        packer: &mut Packer<'_>,
        room: &'r mut [u32],
    ) -> &'r [u32] {
        if let Some(packed) = self.sources[0].shared() {
            return packed.part(block.number, rows.start);
        }
        packer.rows(self.product.a, rows.clone(), block.k.clone(), room);
        room
    }

    /// sums (rows, width) = or += A B of one block of k. Tiles ask for what comes next meanwhile.
    fn multiply(
        &self,
        block: &KBlock,
        rows: &Range<usize>,
        factors: Factors<'_>,
        sums: &mut [f32],
        output: &Output<'_>,
    ) {
        let (kernel, width) = (self.kernel, self.width());
        let addresses = factors.addresses(kernel, block.number, block.k.len(), rows);
        let panels = width / kernel.columns;
        let mut ahead = self.ahead(block, rows);
        for panel in 0..panels {
            let column = panel * kernel.columns;
            if ahead.panels && panel + 1 < panels {
                ahead.parts[0] = factors.panel(kernel, panel + 1);
            }
            let mut row = 0;
            while row < rows.len() {
                let tile = kernel.tile(rows.len() - row);
                let c = &mut sums[row * width + column..];
                assert!(c.len() >= (tile.rows - 1) * width + kernel.columns, "room for a tile");
                if block.is_last {
                    self.ask(rows.start + row..rows.end.min(rows.start + row + tile.rows), column, output);
                }
                let far = ahead.next(FAR * addresses.units, factors.panel(kernel, panel));
                let to = Target { at: c.as_mut_ptr(), stride: width, first: block.number == 0 };
                let place = [row, panel, self.columns.start + column];
                // SAFETY: the kernel is of this CPU, and there is room for the tile.
                unsafe { factors.multiply(kernel, tile, &addresses, place, to, far) };
                row += tile.rows;
            }
        }
    }

    /// Asks for the elements of the output that a tile is.
    fn ask(&self, rows: Range<usize>, column: usize, output: &Output<'_>) {
        let columns = column..self.columns.len().min(column + self.kernel.columns);
        for row in rows {
            output.ask(self.begin(row) + columns.start, columns.len());
        }
    }

    /// Where in the output a row of this task begins.
    fn begin(&self, row: usize) -> usize {
        let row = self.product.output_row.map_or(row, |output_row| output_row(row));
        row * self.product.columns + self.columns.start
    }

    /// Of shared factors, what is needed after these rows of a block.
    fn ahead(&self, block: &KBlock, rows: &Range<usize>) -> Ahead<'_> {
        let (stride, all) = (self.kernel.stride(), &self.rows);
        let last_rows = rows.end == all.end;
        let (next, first) = if last_rows { (block.number + 1, all.start) } else { (block.number, rows.end) };
        let there = !(last_rows && block.is_last);
        let [a, b] = self.sources.map(Source::shared);
        let next_rows =
            a.filter(|_| there).map(|packed| &packed.part(next, first)[..ROWS_AT_ONCE.min(all.end - first) * stride]);
        let next_panel = b
            .filter(|_| there && last_rows)
            .map(|packed| &packed.part(next, self.columns.start)[..self.kernel.columns * stride]);
        Ahead {
            panels: b.is_some() && rows.start == all.start,
            parts: [&[], next_rows.unwrap_or_default(), next_panel.unwrap_or_default()],
        }
    }

    /// Sums of some rows, through the epilogue.
    fn store(&self, rows: Range<usize>, sums: &mut [f32], output: &Output<'_>) {
        let (product, width) = (self.product, self.width());
        let whole = width == product.columns && product.output_row.is_none();
        let step = if whole { (SUMS_AT_ONCE / width).max(1) } else { 1 };
        for row in rows.clone().step_by(step) {
            let length = if whole { step.min(rows.end - row) * width } else { self.columns.len() };
            let sums = &mut sums[(row - rows.start) * width..][..length];
            // SAFETY: tasks have different rows or columns, and different rows of C are different rows of the output.
            unsafe { finish(self.isa, product.epilogue, product.columns, self.begin(row), sums, output) };
        }
    }
}

/// Sums that pass the epilogue together, where rows are whole: they stay in the first-level cache.
const SUMS_AT_ONCE: usize = 4096;

/// Units that are needed soon, which other cores may have packed: each tile asks for some of them.
struct Ahead<'a> {
    /// Whether the panels of B are among them, as these are the first rows that meet them.
    panels: bool,
    /// The next panel of B; then the next rows of A, and the first panel of the next block.
    parts: [&'a [u32]; 3],
}

impl Ahead<'_> {
    /// Where the next ones of them begin, at most `count`; `near`, where none are left.
    fn next(&mut self, count: usize, near: &[u32]) -> *const u32 {
        let Some(part) = self.parts.iter_mut().find(|part| !part.is_empty()) else { return near.as_ptr() };
        let (next, rest) = part.split_at(count.min(part.len()));
        *part = rest;
        next.as_ptr()
    }
}
