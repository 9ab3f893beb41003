//! Gradients of weights on Hopper's tensor cores: products of factors whose lines lie across k, [across.cu](across.cu).

use std::sync::Arc;

use fp8_kernels::{DType, Result};

use super::Tail;
use super::hopper::number;
use super::lines::{Lines, Source, Windows};
use super::maps::Map;
use super::parts;
use super::plain::Product;
use crate::accumulation::Accumulation;
use crate::device::Device;
use crate::kernels::{Argument, Grid, source};
use crate::operand::Operand;

pub(crate) static ACROSS: crate::kernels::Source = source!("gemm/across.cu");

/// Lines of a block, and k of a step.
const LINES: usize = 64;
const STEP: usize = 64;
/// Shared memory that stages may take.
const ROOM: usize = (227 << 10) - 2048;
/// Steps whose products tensor cores may sum where sums are to be as good as FP32's.
const CAREFUL: usize = 32;
/// Clocks of a block but for its steps, and of a step for each line of a tile; bytes of parts that the card writes and reads again in a clock.
const OVERHEAD: usize = 12_000;
const CLOCKS_OF_LINE: usize = 6;
const BYTES_OF_CLOCK: usize = 1500;

/// How a product is cut up.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plan {
    tile: [usize; 2],
    parts: usize,
    /// Stages of what is multiplied, and of what is copied and has to be widened first.
    stages: usize,
    copied: usize,
}

/// The type that tensor cores multiply, of factors that lie across k.
fn narrow(a: DType, b: DType) -> Option<DType> {
    let is_widened = |dtype| matches!(dtype, DType::E5M2 | DType::E4M3);
    match (a, b) {
        (DType::F16, DType::F16) => Some(DType::F16),
        (DType::Bf16, DType::Bf16) => Some(DType::Bf16),
        (a, b) if is_widened(a) && is_widened(b) => Some(DType::F16),
        _ => None,
    }
}

impl Plan {
    /// For factors of `size` bytes, in parts of at most `longest` steps as far as there is room.
    fn new(device: &Device, [rows, columns]: [usize; 2], steps: usize, size: usize, longest: usize) -> Self {
        let cards = device.multiprocessors as usize;
        let tile_m = if rows <= 64 { 64 } else { 128 };
        let widths = if tile_m == 64 { [256, 128].as_slice() } else { &[256, 128, 64] };
        let most = parts::together(rows * columns, steps);
        let plans = widths.iter().flat_map(|&tile_n| {
            let tiles = rows.div_ceil(tile_m) * columns.div_ceil(tile_n);
            let fewest = steps.div_ceil(longest).min(most);
            let widest = (4 * cards).div_ceil(tiles).min(most).max(fewest);
            (fewest..=widest).map(move |parts| {
                let block = steps.div_ceil(parts) * CLOCKS_OF_LINE * (tile_n + 64) + OVERHEAD;
                let sum = 8 * rows * columns * parts / BYTES_OF_CLOCK;
                ((tiles * parts).div_ceil(cards) * block + sum, tile_n, parts)
            })
        });
        let (_, tile_n, parts) = plans.min().unwrap_or((0, 128, 1));
        let parts = steps.div_ceil(steps.div_ceil(parts));
        let elements = (tile_m + tile_n) * STEP;
        let (stages, copied) = match size {
            1 => (2, ((ROOM - 2 * 2 * elements) / elements).min(6)),
            _ => ((ROOM / (size * elements)).min(6), 0),
        };
        Self { tile: [tile_m, tile_n], parts, stages, copied }
    }
}

/// Whether 8-bit factors are better laid along k first, and multiplied as they are: seconds, roughly, of products, of copies and of what is written in between.
fn is_faster_packed([rows, columns, k]: [usize; 3], parts: usize) -> bool {
    let [rows, columns, k, parts] = [rows, columns, k, parts].map(|number| number as f64);
    let flop = 2.0 * rows * columns * k;
    let across = flop / 450e12 + 8.0 * rows * columns * parts / 2.5e12;
    let packed = flop / 1000e12 + (rows + columns) * k / 0.38e12;
    packed < across
}

/// `Shape` of across.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Shape {
    size: [u32; 4],
    windows: Windows,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Shape {}

/// Computes the product, unless it is none of this kernel's.
pub(crate) fn compute<A: Lines, B: Lines>(
    device: &Arc<Device>,
    product: &Product<A, B>,
    tail: &Tail,
    c: Operand,
) -> Result<bool> {
    let (Some(a), Some(b)) = (product.a.operand.dtype, product.b.operand.dtype) else { return Ok(false) };
    let Some(narrow) = narrow(a, b) else { return Ok(false) };
    let &Product { rows, columns, k, ref output_rows, .. } = product;
    let size = a.size();
    let is_whole = |lines: usize| (lines * size).is_multiple_of(16);
    let fits = match product.b.lines.source() {
        Source::Matrix => is_whole(columns),
        Source::WindowElements(patches) => patches.channels.divisor().is_multiple_of(LINES),
        Source::Windows(_) => false,
    };
    let is_hopper = device.capability.0 == 9 && device.accumulation != Accumulation::Ordered;
    let is_across = !product.a.along_k && !product.b.along_k;
    if !is_hopper || !is_across || !fits || !is_whole(rows) || !columns.is_multiple_of(8) || k == 0 {
        return Ok(false);
    }
    let steps = k.div_ceil(STEP);
    let plan = Plan::new(device, [rows, columns], steps, size, if product.careful { CAREFUL } else { steps });
    let is_matrix = matches!(product.b.lines.source(), Source::Matrix);
    if is_matrix && size == 1 && is_faster_packed([rows, columns, k], plan.parts) {
        return Ok(false);
    }
    let swizzle = (size == 2).then_some(128);
    let map_a = Map::of_matrix(device, product.a.operand, [rows, k], rows, [LINES, STEP], swizzle)?;
    let source = product.b.lines.source();
    let sizes = [rows, columns, steps, steps.div_ceil(plan.parts)].map(|size| size as u32);
    let shape = Shape { size: sizes, windows: Windows::of(source, LINES) };
    let map_b = match source {
        Source::WindowElements(patches) => {
            Map::of_windows(device, patches, product.b.operand, k, [LINES, STEP], swizzle)?
        }
        _ => Map::of_matrix(device, product.b.operand, [columns, k], columns, [LINES, STEP], swizzle)?,
    };
    let images = if is_matrix { "0" } else { "1" };
    let [tile_m, tile_n] = plan.tile;
    let defines = [
        ("A", product.a.operand.type_name()),
        ("B", product.b.operand.type_name()),
        ("NARROW", crate::codec::type_name(Some(narrow))),
        ("IMAGES", images),
        ("TILE_M", number(tile_m)),
        ("TILE_N", number(tile_n)),
        ("STAGES", number(plan.stages)),
        ("COPIED", number(plan.copied)),
    ];
    let kernel = device.kernel(&ACROSS, "across", &defines)?;
    let stage = (tile_m + tile_n) * STEP;
    let shared = stage * (2 * plan.stages + size * plan.copied) + 1024;
    parts::sum(device, [rows, columns], plan.parts, output_rows, tail, c, |room, _, count| {
        let blocks = [rows.div_ceil(tile_m), columns.div_ceil(tile_n), count].map(|blocks| blocks as u32);
        let grid = Grid { blocks, threads: 384, shared: shared as u32 };
        device.launch(&kernel, grid, &[&map_a, &map_b, &shape, room])
    })?;
    Ok(true)
}
