//! Attention on tensor cores, where sums may have any order and operands are exact in 16 bits; nothing of the size of queries times keys is in memory:
//! [tiles.cuh](tiles.cuh).
//!
//! Against the formulas, with sums of FP32: exponentials and logarithms to some 1e-6; probabilities and errors of scores to 2^-17 of themselves (2^-23 where an
//! operand is binary16: then errors of scores are binary16's, which end at 65504 and, below 2^-14, have fewer bits).

use std::sync::Arc;

use fp8_kernels::{Attention, DType, Result, Store};

use super::{Operands, Shape};
use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::kernels::{Argument, Grid, Source, source};
use crate::memory::DeviceMemory;
use crate::operand::Operand;

pub(crate) static TILED: Source = source!("attention/tiled.cu");
pub(crate) static TILED_QUERIES: Source = source!("attention/tiled_queries.cu");
pub(crate) static TILED_KEYS: Source = source!("attention/tiled_keys.cu");

/// Threads of a block, lines of its result, and the widest head.
pub(super) const THREADS: u32 = 128;
pub(super) const LINES: usize = 64;
const WIDEST: usize = 128;

/// What is added to a gradient, how the sum is stored, and where.
pub(super) type Output<'a> = (Operand, &'a Store, Operand);

/// The kernels for these types and this width.
pub(super) struct Tiled<'a> {
    device: &'a Arc<Device>,
    attention: &'a Attention,
    shape: Shape,
    operands: &'a Operands,
    dy: Operand,
    half: &'static str,
    width: String,
}

/// The type of 16 bits that has all values of these, if there is one.
pub(super) fn half(operands: &[Operand]) -> Option<&'static str> {
    let any = |dtype| operands.iter().any(|operand| operand.dtype == Some(dtype));
    match (any(DType::F32), any(DType::F16), any(DType::Bf16)) {
        (true, ..) | (_, true, true) => None,
        (_, true, _) => Some("F16"),
        _ => Some("Bf16"),
    }
}

/// Bytes of tiles of so many lines in all.
pub(super) fn tiles(lines: usize, width: usize) -> usize {
    2 * lines * (width.next_multiple_of(16) + 8)
}

impl<'a> Tiled<'a> {
    /// None where something rules them out: the order of sums, a type, or the width.
    pub fn new(device: &'a Arc<Device>, attention: &'a Attention, operands: &'a Operands, dy: Operand) -> Option<Self> {
        let width = attention.head_width;
        let half = half(&[operands.q, operands.k, operands.values, dy])?;
        let fits = width.is_multiple_of(8) && width <= WIDEST && attention.queries > 0;
        (fits && !device.accumulation.is_ordered()).then(|| Self {
            device,
            attention,
            shape: Shape::new(attention, operands.lengths, 0, attention.batch * attention.heads),
            operands,
            dy,
            half,
            width: width.to_string(),
        })
    }

    /// Starts a kernel over blocks of `steps`, with tiles of so many lines and further bytes of shared memory.
    fn start(
        &self,
        (source, name): (&Source, &'static str),
        defines: &[(&'static str, &str)],
        (steps, lines, further): (usize, usize, usize),
        arguments: &[&dyn Argument],
    ) -> Result<()> {
        let Operands { q, k, values, .. } = self.operands;
        let types = [("QUERY", q.type_name()), ("KEY", k.type_name()), ("VALUE", values.type_name())];
        let width = [("HALF", self.half), ("WIDTH", &*self.width)];
        let kernel = self.device.kernel(source, name, &[&types[..], &width, defines].concat())?;
        let blocks =
            [self.attention.batch * self.attention.heads, steps.div_ceil(LINES), 1].map(|blocks| blocks as u32);
        let shared = (tiles(lines, self.attention.head_width) + further) as u32;
        let grid = Grid { blocks, threads: THREADS, shared };
        let inputs: [&dyn Argument; 4] = [&self.shape, q, k, values];
        self.device.launch(&kernel, grid, &[&inputs, arguments].concat())
    }

    pub fn forward(&self, store: &Store, y: Operand) -> Result<()> {
        let defines = [("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
        let size = (self.attention.queries, 3 * LINES, 0);
        self.start((&TILED, "forward"), &defines, size, &[&StoreArgument::from(store), &y])
    }

    /// dq, dk and dvalues.
    pub fn backward(&self, [of_q, of_k, of_values]: [Output<'_>; 3]) -> Result<()> {
        let Attention { queries, keys, batch, heads, .. } = *self.attention;
        let fewer = if self.attention.head_width > 64 { LINES / 2 } else { LINES };
        let moments = DeviceMemory::new(self.device, 8 * batch * heads * queries)?;
        let lines = 2 * (LINES + fewer);

        let (residual, store, dq) = of_q;
        let dy = ("DY", self.dy.type_name());
        let first = [dy, ("R", residual.type_name()), ("Y", dq.type_name()), ("Y_ROUNDING", rounding_name(store))];
        let argument = StoreArgument::from(store);
        let arguments: [&dyn Argument; 5] = [&self.dy, &moments, &residual, &argument, &dq];
        self.start((&TILED_QUERIES, "query_errors"), &first, (queries, lines, 0), &arguments)?;

        let (residual, store, dk) = of_k;
        let first = [dy, ("R", residual.type_name()), ("Y", dk.type_name()), ("Y_ROUNDING", rounding_name(store))];
        let (more, value_store, dvalues) = of_values;
        let rounding = rounding_name(value_store);
        let second = [("VR", more.type_name()), ("VY", dvalues.type_name()), ("VY_ROUNDING", rounding)];
        let [of_k, of_values] = [store, value_store].map(StoreArgument::from);
        let arguments: [&dyn Argument; 8] = [&self.dy, &moments, &residual, &of_k, &dk, &more, &of_values, &dvalues];
        let defines = [&first[..], &second].concat();
        self.start((&TILED_KEYS, "key_errors"), &defines, (keys, lines, 8 * fewer), &arguments)
    }
}
