//! Products of matrices of codes, cut into tasks.

use std::sync::atomic::{AtomicU64, Ordering};

use super::cut::Cut;
use super::epilogue::Output;
use super::kernel::Kernel;
use super::pack::Factor;
use super::packed::{PackedFactor, Side};
use super::room::{FactorRoom, ROOM};
use super::task::{Source, Task};
use super::windows::{self, Windows};
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
        let [mut room_a, mut room_b] = [FactorRoom::take(), FactorRoom::take()];
        let [a, b] = self.packed(isa, kernel, cut.shared, [&mut room_a, &mut room_b]);
        let sources = self.sources(kernel, [a.as_ref(), packed_b.or(b.as_ref())]);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        tasks::each(cut.tasks(), |index| {
            let [rows, columns] = cut.task(index);
            let task = Task { product: self, number, isa, kernel, rows, columns, sources, keeps_b: cut.keeps_b };
            ROOM.with_borrow_mut(|room| task.compute(room, output));
        });
    }

    /// A and B, packed once for all tasks where they share them.
    fn packed<'r>(
        &self,
        isa: Isa,
        kernel: &Kernel,
        [shares_a, shares_b]: [bool; 2],
        [room_a, room_b]: [&'r mut FactorRoom; 2],
    ) -> [Option<PackedFactor<'r>>; 2] {
        if !shares_a && !shares_b {
            return [None, None];
        }
        let [size_a, size_b] = [[self.rows, self.k], [self.columns, self.k]];
        let (a, b) = rayon::join(
            || shares_a.then(|| PackedFactor::new(isa, kernel, Side::A, self.a, size_a, room_a)),
            || shares_b.then(|| PackedFactor::new(isa, kernel, Side::B, self.b, size_b, room_b)),
        );
        [a, b]
    }

    /// Where tasks find A and B, of which these are packed.
    fn sources<'s>(&'s self, kernel: &Kernel, packed: [Option<&'s PackedFactor<'s>>; 2]) -> [Source<'s>; 2] {
        let in_place = self.in_place(kernel);
        [0, 1].map(|i| match (in_place[i], packed[i]) {
            (Some(windows), _) => Source::InPlace(windows),
            (None, Some(packed)) => Source::Shared(packed),
            (None, None) => Source::Own,
        })
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
