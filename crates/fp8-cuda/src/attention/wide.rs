//! Attention on tensor cores for heads wider than those of [`tiled`](super::tiled), under the same conditions and as close to the formulas. Scores are in memory, as
//! FP32: a kernel multiplies lines, one makes shares or errors of the products, one adds up the lines that these weigh.

use std::sync::Arc;

use fp8_kernels::{Attention, Result, Store};

use super::tiled::{LINES, Output, THREADS, half, tiles};
use super::{Operands, Shape, each, scores};
use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::kernels::{Argument, Grid, Kernel, Source, source};
use crate::memory::DeviceMemory;
use crate::operand::Operand;

pub(crate) static WIDE_PRODUCTS: Source = source!("attention/wide_products.cu");
pub(crate) static WIDE_ROWS: Source = source!("attention/wide_rows.cu");
pub(crate) static WIDE_SUMS: Source = source!("attention/wide_sums.cu");

/// Columns of a tile, `WIDTH` of tiles.cuh; threads that a row of scores has, those of lanes.cuh.
const COLUMNS: usize = 128;
const LANES: usize = 16;

/// A grid of blocks of each task that have two tiles each, or the sums of one in FP32.
fn grid(some: &Shape, [across, down]: [usize; 2]) -> Grid {
    Grid {
        blocks: [some.tasks, across as u32, down as u32],
        threads: THREADS,
        shared: tiles(2 * LINES, COLUMNS) as u32,
    }
}

/// The kernels for these types.
pub(super) struct Wide<'a> {
    device: &'a Arc<Device>,
    attention: &'a Attention,
    operands: &'a Operands,
    dy: Operand,
    half: &'static str,
}

impl<'a> Wide<'a> {
    /// None where something rules them out: the order of sums, a type, or the width.
    pub fn new(device: &'a Arc<Device>, attention: &'a Attention, operands: &'a Operands, dy: Operand) -> Option<Self> {
        let half = half(&[operands.q, operands.k, operands.values, dy])?;
        let fits = attention.head_width.is_multiple_of(8) && !device.accumulation.is_ordered();
        fits.then_some(Self { device, attention, operands, dy, half })
    }

    pub fn forward(&self, store: &Store, y: Operand) -> Result<()> {
        let Operands { values, lengths, .. } = *self.operands;
        each(self.attention, lengths, 1, |some, _| {
            let shares = self.shares(some)?;
            self.sum("over_keys", some, &shares, values, (Operand::default(), store, y))
        })
    }

    /// dq, dk and dvalues.
    pub fn backward(&self, [of_q, of_k, of_values]: [Output<'_>; 3]) -> Result<()> {
        let Operands { q, k, values, lengths } = *self.operands;
        each(self.attention, lengths, 2, |some, _| {
            let shares = self.shares(some)?;
            let errors = self.products(some, [self.dy, values])?;
            self.rows("errors", some, &[&shares, &errors])?;
            self.sum("over_queries", some, &shares, self.dy, of_values)?;
            self.sum("over_keys", some, &errors, k, of_q)?;
            self.sum("over_queries", some, &errors, q, of_k)
        })
    }

    /// A kernel on tiles.
    fn kernel(&self, source: &Source, name: &'static str, types: &[(&'static str, &str)]) -> Result<Arc<Kernel>> {
        let width = COLUMNS.to_string();
        self.device.kernel(source, name, &[types, &[("HALF", self.half), ("WIDTH", &*width)]].concat())
    }

    fn shares(&self, some: &Shape) -> Result<DeviceMemory> {
        let Operands { q, k, .. } = *self.operands;
        let shares = self.products(some, [q, k])?;
        self.rows("shares", some, &[&shares])?;
        Ok(shares)
    }

    /// Products of lines of a and b, as scores of keys that are seen.
    fn products(&self, some: &Shape, [a, b]: [Operand; 2]) -> Result<DeviceMemory> {
        let scores = scores(self.device, self.attention, some.tasks as usize)?;
        let kernel = self.kernel(&WIDE_PRODUCTS, "products", &[("A", a.type_name()), ("B", b.type_name())])?;
        let [across, down] = [self.attention.queries, self.attention.keys].map(|steps| steps.div_ceil(LINES));
        self.device.launch(&kernel, grid(some, [across, down]), &[some, &a, &b, &scores])?;
        Ok(scores)
    }

    /// Starts `shares` or `errors`.
    fn rows(&self, name: &'static str, some: &Shape, scores: &[&dyn Argument]) -> Result<()> {
        let kernel = self.device.kernel(&WIDE_ROWS, name, &[])?;
        let grid = Grid::over(LANES * some.tasks as usize * self.attention.queries);
        self.device.launch(&kernel, grid, &[&[some as &dyn Argument], scores].concat())
    }

    /// Starts `over_keys` or `over_queries`: y = store(sum of scores x, plus residual).
    fn sum(
        &self,
        name: &'static str,
        some: &Shape,
        scores: &DeviceMemory,
        x: Operand,
        (residual, store, y): Output<'_>,
    ) -> Result<()> {
        let inputs = [("X", x.type_name()), ("R", residual.type_name())];
        let outputs = [("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
        let kernel = self.kernel(&WIDE_SUMS, name, &[inputs, outputs].concat())?;
        let Attention { queries, keys, head_width, .. } = *self.attention;
        let steps = if name == "over_keys" { queries } else { keys };
        let grid = grid(some, [head_width.div_ceil(COLUMNS), steps.div_ceil(LINES)]);
        let arguments: [&dyn Argument; 6] = [some, scores, &x, &residual, &StoreArgument::from(store), &y];
        self.device.launch(&kernel, grid, &arguments)
    }
}
