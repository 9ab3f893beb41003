//! Products of matrices of codes: tasks, and what one of them does.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cut::Cut;
use super::epilogue::{Output, finish};
use super::factors::Factors;
use super::kernel::{BLOCK, Kernel};
use super::pack::{Factor, Packer};
use super::packed::{PackedFactor, Side};
use super::room::{FactorRoom, Held, Parts, ROOM, ROWS_AT_ONCE, Room, padded};
use super::tile::{FAR, Target};
use super::windows::{self, Image, Windows};
use crate::EpilogueView;
use crate::isa::Isa;
use crate::tasks;

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
    ///
    /// A factor that several tasks need is packed once, before them, where it is not too large.
    pub fn compute(&self, isa: Isa, output: &Output<'_>) {
        self.compute_by(isa, &self.cut(isa, false), None, output);
    }

    /// How it is cut for the threads of the current pool. `has_b`: B has been packed before.
    pub(super) fn cut(&self, isa: Isa, has_b: bool) -> Cut {
        let kernel = Kernel::of(isa, self.a.dtype, self.b.dtype);
        let overlaps = self.in_place(kernel).map(|windows| windows.map(|windows| windows.shape().overlap));
        Cut::new(kernel, [self.rows, self.columns, self.k], overlaps, has_b, rayon::current_num_threads())
    }

    /// Computes it by a cut, and by a B that has been packed before, if there is one.
    pub(super) fn compute_by(&self, isa: Isa, cut: &Cut, packed_b: Option<&PackedFactor<'_>>, output: &Output<'_>) {
        let kernel = Kernel::of(isa, self.a.dtype, self.b.dtype);
        let in_place = self.in_place(kernel);
        let [mut room_a, mut room_b] = [FactorRoom::take(), FactorRoom::take()];
        let [shares_a, shares_b] = cut.shared;
        let (a, b) = if shares_a || shares_b {
            rayon::join(
                || shares_a.then(|| PackedFactor::new(isa, kernel, Side::A, self.a, [self.rows, self.k], &mut room_a)),
                || {
                    shares_b
                        .then(|| PackedFactor::new(isa, kernel, Side::B, self.b, [self.columns, self.k], &mut room_b))
                },
            )
        } else {
            (None, None)
        };
        let b = packed_b.or(b.as_ref());
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        tasks::each(cut.tasks(), |task| {
            let [rows, columns] = cut.task(task);
            let task = Task {
                product: self,
                number,
                keeps_b: cut.keeps_b,
                isa,
                kernel,
                rows,
                columns,
                in_place,
                packed: [a.as_ref(), b],
            };
            ROOM.with_borrow_mut(|room| task.compute(room, output));
        });
    }

    /// The lines of A and of B as windows, where they are read in place: of one of them at most.
    fn in_place(&self, kernel: &Kernel) -> [Option<&dyn Windows>; 2] {
        let rows = self.a.lines.windows().filter(|windows| self.a.along_k && windows::suit_rows(*windows, kernel));
        let units =
            self.b.lines.windows().filter(|windows| !self.b.along_k && windows::suit_units(*windows, kernel, self.k));
        if rows.is_some() { [rows, None] } else { [None, units] }
    }
}

/// The number of the next product.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A part of C that one thread computes.
struct Task<'a> {
    product: &'a Product<'a>,
    /// That of the product.
    number: u64,
    /// Whether the next task may find its columns of B packed.
    keeps_b: bool,
    isa: Isa,
    kernel: &'a Kernel,
    rows: Range<usize>,
    columns: Range<usize>,
    /// A and B, where they are read in place.
    in_place: [Option<&'a dyn Windows>; 2],
    /// A and B, where tasks share them.
    packed: [Option<&'a PackedFactor<'a>>; 2],
}

/// All columns of a task over a block of k.
enum Columns<'a> {
    Packed(&'a [u32]),
    InPlace(Image<'a>),
}

impl Task<'_> {
    fn compute(&self, room: &mut Room, output: &Output<'_>) {
        let (kernel, product) = (self.kernel, self.product);
        let (rows, width) = (self.rows.len(), self.width());
        let panels = width * kernel.stride();
        let next = Held { product: self.number, columns: self.columns.clone() };
        let held = room.hold(self.keeps_b.then_some(next));
        let Parts { a, b, sums, scratch } = room.parts([rows, width], self.units());
        let mut packer = Packer { isa: self.isa, kernel, scratch };
        let (rows_in_place, a) = match self.in_place[0] {
            Some(windows) => {
                (Some(Image::new(self.isa, kernel, product.a.dtype, windows, self.rows.clone(), a)), &mut [][..])
            }
            None => (None, a),
        };
        let [enter, leave] = kernel.around;
        // SAFETY: the kernel is of this CPU.
        unsafe { enter() };
        for (block, k) in (0..product.k).step_by(BLOCK).enumerate() {
            let k = k..product.k.min(k + BLOCK);
            let b = match (self.in_place[1], self.packed[1]) {
                (Some(windows), _) => {
                    Columns::InPlace(Image::new(self.isa, kernel, product.b.dtype, windows, k.clone(), b))
                }
                (None, Some(packed)) => Columns::Packed(packed.part(block, self.columns.start)),
                (None, None) => {
                    let b = &mut b[if self.keeps_b { block * panels } else { 0 }..][..panels];
                    if !held {
                        packer.columns(product.b, self.columns.clone(), k.clone(), b);
                    }
                    Columns::Packed(b)
                }
            };
            for (first, sums) in self.rows.clone().step_by(ROWS_AT_ONCE).zip(sums.chunks_mut(ROWS_AT_ONCE * width)) {
                let some = first..self.rows.end.min(first + ROWS_AT_ONCE);
                let factors = match (&rows_in_place, &b) {
                    (Some(image), Columns::Packed(b)) => Factors::RowsInPlace(image, b),
                    (_, b) => {
                        let a = match self.packed[0] {
                            Some(packed) => packed.part(block, first),
                            None => {
                                packer.rows(product.a, some.clone(), k.clone(), a);
                                &*a
                            }
                        };
                        match b {
                            Columns::Packed(b) => Factors::Packed(a, b),
                            Columns::InPlace(image) => Factors::UnitsInPlace(a, image),
                        }
                    }
                };
                self.multiply(block, &some, factors, sums, output);
                if k.end == product.k {
                    self.store(some, sums, output);
                }
            }
        }
        // SAFETY: as above.
        unsafe { leave() };
        if product.k == 0 {
            sums[..rows * width].fill(0.0);
            self.store(self.rows.clone(), sums, output);
        }
    }

    /// Units of A and B that it packs or decodes at a time.
    fn units(&self) -> [usize; 2] {
        let of = |i: usize, packed: usize, in_place: &mut dyn Iterator<Item = Range<usize>>| match self.in_place[i] {
            Some(windows) => in_place.map(|lines| windows::units(windows, self.kernel, &lines)).max().unwrap_or(0),
            None if self.packed[i].is_some() => 0,
            None => packed * self.kernel.stride(),
        };
        let rows = padded(self.rows.len().min(ROWS_AT_ONCE));
        let k = self.product.k;
        let columns = if self.keeps_b { k.div_ceil(BLOCK) * self.width() } else { self.width() };
        let mut blocks = (0..k).step_by(BLOCK).map(|first| first..k.min(first + BLOCK));
        [of(0, rows, &mut std::iter::once(self.rows.clone())), of(1, columns, &mut blocks)]
    }

    /// Columns of its sums, some of which may lie behind the last.
    fn width(&self) -> usize {
        self.columns.len().next_multiple_of(self.kernel.columns)
    }

    /// sums (rows, width) = or += A B of one block of k.
    fn multiply(&self, block: usize, rows: &Range<usize>, factors: Factors<'_>, sums: &mut [f32], output: &Output<'_>) {
        let (kernel, width) = (self.kernel, self.width());
        let k = BLOCK.min(self.product.k - block * BLOCK);
        let is_last = block * BLOCK + k == self.product.k;
        let addresses = factors.addresses(kernel, block, k, rows);
        let panels = width / kernel.columns;
        let mut ahead = self.ahead(block, rows);
        for p in 0..panels {
            let column = p * kernel.columns;
            if ahead.panels && p + 1 < panels {
                ahead.parts[0] = factors.panel(kernel, p + 1);
            }
            let mut row = 0;
            while row < rows.len() {
                let tile = kernel.tile(rows.len() - row);
                let c = &mut sums[row * width + column..];
                assert!(c.len() >= (tile.rows - 1) * width + kernel.columns, "room for a tile");
                if is_last {
                    self.ask(rows.start + row..rows.end.min(rows.start + row + tile.rows), column, output);
                }
                let far = ahead.next(FAR * addresses.units, factors.panel(kernel, p));
                let to = Target { at: c.as_mut_ptr(), stride: width, first: block == 0 };
                let place = [row, p, self.columns.start + column];
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
            output.ask(self.first(row) + columns.start, columns.len());
        }
    }

    /// Where in the output a row of this task begins.
    fn first(&self, row: usize) -> usize {
        let row = self.product.output_row.map_or(row, |output_row| output_row(row));
        row * self.product.columns + self.columns.start
    }

    /// What is needed after these rows of a block of k, of factors that are packed: the next panels of B, where the block is new, the
    /// next rows of A, and the first panel of the next block.
    fn ahead(&self, block: usize, rows: &Range<usize>) -> Ahead<'_> {
        let (stride, all) = (self.kernel.stride(), &self.rows);
        let last_rows = rows.end == all.end;
        let (next, first) = if last_rows { (block + 1, all.start) } else { (block, rows.end) };
        let there = next * BLOCK < self.product.k;
        let a = self.packed[0]
            .filter(|_| there)
            .map(|packed| &packed.part(next, first)[..ROWS_AT_ONCE.min(all.end - first) * stride]);
        let b = self.packed[1]
            .filter(|_| there && last_rows)
            .map(|packed| &packed.part(next, self.columns.start)[..self.kernel.columns * stride]);
        Ahead {
            panels: self.packed[1].is_some() && rows.start == all.start,
            parts: [&[], a.unwrap_or_default(), b.unwrap_or_default()],
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
            unsafe { finish(self.isa, product.epilogue, product.columns, self.first(row), sums, output) };
        }
    }
}

/// Sums that pass the epilogue together, where rows are whole: they stay in the first-level cache.
const SUMS_AT_ONCE: usize = 4096;

/// Units that are needed soon.
struct Ahead<'a> {
    /// Whether the panels of B are among them.
    panels: bool,
    /// The next panel of B, and what comes after all panels.
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
