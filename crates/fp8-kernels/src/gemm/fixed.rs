//! Products of several A with one B, which is packed once.

use std::cell::Cell;

use super::cut::Cut;
use super::epilogue::Output;
use super::kernel::Kernel;
use super::lines::Dense;
use super::pack::Factor;
use super::packed::{PackedFactor, Side};
use super::product::Product;
use super::room::FactorRoom;
use crate::isa::Isa;
use crate::{DType, EpilogueView, View, ViewMut};

/// B (k, n), of which each column (n, k) or each row (k, n) lies in one piece.
#[derive(Clone, Copy)]
pub(crate) struct Second<'a> {
    pub view: View<'a>,
    pub n: usize,
    pub k: usize,
    /// Whether columns do.
    pub along_k: bool,
}

impl<'a> Second<'a> {
    fn lines(&self) -> Dense<'a> {
        Dense { view: self.view, len: if self.along_k { self.k } else { self.n } }
    }

    fn factor<'l>(&self, lines: &'l Dense<'a>) -> Factor<'l> {
        Factor { lines, dtype: self.view.dtype, along_k: self.along_k }
    }
}

/// A [`Second`] packed for products with A of one type.
pub(crate) struct FixedB<'a> {
    isa: Isa,
    b: Second<'a>,
    a: DType,
    /// Unless it is too large to be kept.
    packed: Option<PackedFactor<'a>>,
    /// How the last product was cut, which had so many rows.
    cut: Cell<Option<(usize, Cut)>>,
}

impl<'a> FixedB<'a> {
    /// Packs it, into `room`, on the threads of the current rayon pool.
    pub fn new(isa: Isa, a: DType, b: Second<'a>, room: &'a mut FactorRoom) -> Self {
        let kernel = Kernel::of(isa, a, b.view.dtype);
        let size = [b.n, b.k];
        let packed = PackedFactor::fits(kernel, size)
            .then(|| PackedFactor::new(isa, kernel, Side::B, b.factor(&b.lines()), size, room));
        Self { isa, b, a, packed, cut: Cell::new(None) }
    }

    /// C (rows, n) = epilogue(A B), of A (rows, k), to the bit of [`super::gemm`]. For an A of another type B is packed anew.
    pub fn product(&self, rows: usize, a: View<'_>, epilogue: &EpilogueView<'_>, c: ViewMut<'_>) {
        let Second { n, k, .. } = self.b;
        let (a_lines, b_lines) = (Dense { view: a, len: k }, self.b.lines());
        let product = Product {
            rows,
            columns: n,
            k,
            a: Factor { lines: &a_lines, dtype: a.dtype, along_k: true },
            b: self.b.factor(&b_lines),
            epilogue,
            output_row: None,
        };
        match self.packed.as_ref().filter(|_| a.dtype == self.a) {
            Some(b) => product.compute_by(self.isa, &self.cut(&product), Some(b), &Output::new(c)),
            None => product.compute(self.isa, &Output::new(c)),
        }
    }

    /// How a product of packed B is cut: as the one before, where that had as many rows, as finding out takes long beside a small product.
    fn cut(&self, product: &Product<'_>) -> Cut {
        match self.cut.get() {
            Some((rows, cut)) if rows == product.rows => cut,
            _ => {
                let cut = product.cut(self.isa, true);
                self.cut.set(Some((product.rows, cut)));
                cut
            }
        }
    }
}
