//! Products on Hopper's tensor cores: [hopper.cu](hopper.cu).

use std::sync::Arc;

use fp8_kernels::{DType, Result};

use super::lines::{Lines, Source, Windows};
use super::maps::Map;
use super::plain::{Factor, Product};
use super::{Tail, sums};
use crate::accumulation::Accumulation;
use crate::codec::rounding_name;
use crate::device::Device;
use crate::kernels::{Argument, Grid, source};
use crate::memory::DeviceMemory;
use crate::operand::Operand;

pub(crate) static HOPPER: crate::kernels::Source = source!("gemm/hopper.cu");
pub(crate) static PACK: crate::kernels::Source = source!("gemm/pack.cu");

/// Rows of a tile; lines and k of a block that packs.
const TILE_M: usize = 128;
const PACKED: usize = 64;
/// Shared memory of a multiprocessor; what a block has besides its stages: what the kernel declares, what the system takes, and what moves stages to a boundary.
const ROOM: usize = 228 << 10;
const BESIDES: usize = 1024 + 1024 + 512;
const MOST_STAGES: usize = 8;
/// Stages of A alone that a block has at least, where B stays: so many are on their way at a time.
const LEAST_STAGES: usize = 4;

/// Columns of a tile, how many of its blocks share a multiprocessor, and, roughly, how many clocks it takes: for 128 bytes of k, and to store.
struct Tile {
    n: usize,
    resident: usize,
    multiply: usize,
    store: usize,
}

const TILES: [Tile; 3] = [
    Tile { n: 256, resident: 1, multiply: 1180, store: 2000 },
    Tile { n: 128, resident: 1, multiply: 640, store: 1000 },
    Tile { n: 64, resident: 2, multiply: 640, store: 700 },
];

/// How a product is cut up.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plan {
    /// Columns of a tile.
    tile_n: usize,
    /// Bytes of k of a stage.
    depth: usize,
    /// Blocks that share what they read of B.
    cluster: usize,
    /// Blocks that share a multiprocessor.
    resident: usize,
    /// Columns beside each other that a thread has.
    run: usize,
    /// Stages of B that stay in shared memory: all of them, or none.
    kept: usize,
}

/// `RUN` of hopper.cu: 16 bytes of the result, or 8 columns, where a row has whole fours of them and the codec is short, else a pair.
fn run(columns: usize, tail: &Tail, c: Operand) -> usize {
    let is_byte = c.dtype.is_some_and(|dtype| dtype.size() == 1);
    match rounding_name(&tail.store) {
        "RNE" | "SR" if is_byte && columns.is_multiple_of(64) => 16,
        "RNE" | "SR" if columns.is_multiple_of(32) => 8,
        _ => 2,
    }
}

impl Plan {
    /// None: the product is none of Hopper's.
    fn of<A: Lines, B: Lines>(device: &Device, product: &Product<A, B>, tail: &Tail, c: Operand) -> Option<Self> {
        let (a, b) = (product.a.operand.dtype?, product.b.operand.dtype?);
        let is_multiplied = match (a, b) {
            (DType::E5M2 | DType::E4M3, DType::E5M2 | DType::E4M3)
            | (DType::F16, DType::F16)
            | (DType::Bf16, DType::Bf16) => true,
            // In TF32.
            (DType::F32, DType::F32) => device.accumulation == Accumulation::Fast,
            _ => false,
        };
        let is_hopper = device.capability.0 == 9 && device.accumulation != Accumulation::Ordered;
        if !is_hopper || !is_multiplied || product.k == 0 || !product.columns.is_multiple_of(8) {
            return None;
        }
        let depth = match (product.a.lines.source(), product.b.lines.source()) {
            (Source::Matrix, Source::Matrix) => 128,
            (Source::Windows(patches), Source::Matrix) => {
                let channels = patches.channels.divisor() * a.size();
                [128, 64].into_iter().find(|depth| channels.is_multiple_of(*depth))?
            }
            _ => return None,
        };
        // What is added product by product has two sums on the way, and no registers for more.
        let is_exact = sums(device.accumulation, a, product.careful, product.k) == "1";
        let (m, n, cards) = (product.rows.div_ceil(TILE_M), product.columns, device.multiprocessors as usize);
        let depths = (product.k * a.size()).div_ceil(128);
        let tiles = |tile_n: usize| m * n.div_ceil(tile_n);
        let resident = |tile: &Tile| if is_exact { 1 } else { tile.resident };
        let time = |tile: &Tile| {
            let [multiply, store] = [depths * tile.multiply, tile.store];
            let of_card = tiles(tile.n).div_ceil(cards);
            match resident(tile) {
                1 => of_card * (multiply + store),
                _ => of_card * multiply.max(store) + multiply.min(store),
            }
        };
        let fits = |tile: &&Tile| !is_exact || tile.n <= 128;
        let tile = TILES.iter().filter(fits).min_by_key(|tile| time(tile))?;
        let run = run(product.columns, tail, c);
        let alone = Self { tile_n: tile.n, depth, cluster: 1, resident: resident(tile), run, kept: 0 };
        let k_blocks = product.k.div_ceil(depth / a.size());
        let keeping = Self { kept: k_blocks, ..alone };
        let rounds = |plan: &Self| tiles(tile.n).div_ceil(plan.blocks(device, n).max(1));
        if rounds(&alone) > 1 && rounds(&keeping) == rounds(&alone) && keeping.stages().1 >= LEAST_STAGES {
            return Some(keeping);
        }
        // Of short products more is lost by waiting for each other than is read twice.
        let is_shared = tile.n > 64 && tiles(tile.n) >= cards && !alone.is_short(k_blocks);
        Some(Self { cluster: if is_shared { 2 } else { 1 }, ..alone })
    }

    /// Whether storing is no small part of a product of so many stages, of which B is not kept.
    fn is_short(&self, k_blocks: usize) -> bool {
        k_blocks <= 2 * Self { kept: 0, ..*self }.stages().1
    }

    /// Stages by which the second group that multiplies is behind where a tile begins: where storing takes some of the time, but not by drawing random bits, which
    /// takes more than multiplying and then waits for turns.
    fn lag(&self, k_blocks: usize, tail: &Tail) -> usize {
        let takes_turns = self.is_short(k_blocks) && rounding_name(&tail.store) != "SR";
        if takes_turns { k_blocks.min(self.stages().1).div_ceil(2) } else { 0 }
    }

    /// Bytes of a stage, and how many there are.
    fn stages(&self) -> (usize, usize) {
        let b_bytes = self.tile_n * self.depth;
        let bytes = TILE_M * self.depth + if self.kept > 0 { 0 } else { b_bytes };
        let room = (ROOM / self.resident).saturating_sub(self.kept * b_bytes);
        // What passes from registers to memory by pairs: of eight warps, 16 rows of so many floats.
        let stored = if self.run == 2 { 8 * 16 * 4 * (if self.tile_n == 64 { 64 } else { 32 } + 8) } else { 0 };
        (bytes, (room.saturating_sub(stored + BESIDES) / bytes).min(MOST_STAGES))
    }

    /// Blocks that the card has at a time: whole clusters, or where B stays, whole rows of tiles.
    fn blocks(&self, device: &Device, columns: usize) -> usize {
        let whole = if self.kept > 0 { columns.div_ceil(self.tile_n) } else { self.cluster };
        device.multiprocessors as usize * self.resident / whole * whole
    }

    /// Bytes of shared memory for factors, with what moves stages to a boundary.
    fn shared(&self) -> usize {
        let (bytes, stages) = self.stages();
        stages * bytes + self.kept * self.tile_n * self.depth + 1024
    }
}

/// `Shape` of hopper.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Shape {
    size: [u32; 3],
    lag: u32,
    windows: Windows,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Shape {}

/// Computes the product, unless it is none of Hopper's.
pub(crate) fn compute<A: Lines, B: Lines>(
    device: &Arc<Device>,
    product: &Product<A, B>,
    tail: &Tail,
    c: Operand,
) -> Result<bool> {
    let Some(plan) = Plan::of(device, product, tail, c) else { return Ok(false) };
    let Product { rows, columns, k, .. } = *product;
    let (a, b) = (Along::k_of(device, &product.a, rows, k)?, Along::k_of(device, &product.b, columns, k)?);
    let dtype = product.a.operand.dtype.unwrap_or(DType::F32);
    let k_block = plan.depth / dtype.size();
    let source = product.a.lines.source();
    let k_blocks = k.div_ceil(k_block);
    let size = [rows, columns, k_blocks].map(|size| size as u32);
    let shape = Shape { size, lag: plan.lag(k_blocks, tail) as u32, windows: Windows::of(source, k_block) };
    let map_a = match source {
        Source::Windows(patches) => {
            Map::of_windows(device, patches, product.a.operand, rows, [k_block, TILE_M], Some(plan.depth))?
        }
        _ => a.map(device, rows, plan.depth, TILE_M, 2)?,
    };
    let map_b = b.map(device, columns, plan.depth, plan.tile_n / plan.cluster, plan.run)?;
    let kernel = device.kernel(&HOPPER, "hopper", &defines(device, &plan, product, tail, c))?;
    let tiles = rows.div_ceil(TILE_M).next_multiple_of(plan.cluster) * columns.div_ceil(plan.tile_n);
    let blocks = tiles.min(plan.blocks(device, columns));
    let grid = Grid { blocks: [blocks as u32, 1, 1], threads: 384, shared: plan.shared() as u32 };
    device.launch(&kernel, grid, &[&map_a, &map_b, &shape, &product.output_rows, &tail.argument(), &c])?;
    Ok(true)
}

fn defines<A: Lines, B: Lines>(
    device: &Device,
    plan: &Plan,
    product: &Product<A, B>,
    tail: &Tail,
    c: Operand,
) -> [(&'static str, &'static str); 14] {
    let images = if matches!(product.a.lines.source(), Source::Windows(_)) { "1" } else { "0" };
    let [r, y, rounding] = tail.defines(c);
    [
        ("A", product.a.operand.type_name()),
        ("B", product.b.operand.type_name()),
        r,
        y,
        rounding,
        ("IMAGES", images),
        ("TILE_N", number(plan.tile_n)),
        ("DEPTH", number(plan.depth)),
        ("CLUSTER", number(plan.cluster)),
        ("RESIDENT", number(plan.resident)),
        ("STAGES", number(plan.stages().1)),
        ("KEPT", if plan.kept > 0 { "1" } else { "0" }),
        ("RUN", number(plan.run)),
        ("SUMS", sums(device.accumulation, product.a.operand.dtype.unwrap_or(DType::F32), product.careful, product.k)),
    ]
}

/// A number of a plan as a macro takes it.
pub(crate) fn number(number: usize) -> &'static str {
    NUMBERS.iter().find(|(known, _)| *known == number).map_or("", |(_, text)| text)
}

const NUMBERS: [(usize, &str); 14] = [
    (0, "0"),
    (1, "1"),
    (2, "2"),
    (3, "3"),
    (4, "4"),
    (5, "5"),
    (6, "6"),
    (7, "7"),
    (8, "8"),
    (16, "16"),
    (64, "64"),
    (128, "128"),
    (256, "256"),
    (512, "512"),
];

/// Lines along k, at a distance of whole 16 bytes.
struct Along {
    operand: Operand,
    /// Elements from line to line.
    pitch: usize,
    /// Elements of k.
    k: usize,
    /// Where they are, if they had to be packed.
    _packed: Option<DeviceMemory>,
}

impl Along {
    /// The lines of a factor: as they are, or packed.
    fn k_of<L: Lines>(device: &Arc<Device>, factor: &Factor<L>, lines: usize, k: usize) -> Result<Self> {
        let size = factor.operand.dtype.map_or(1, DType::size);
        let fits = factor.along_k && (k * size).is_multiple_of(16);
        if fits || matches!(factor.lines.source(), Source::Windows(_)) {
            return Ok(Self { operand: factor.operand, pitch: k, k, _packed: None });
        }
        let pitch = k.next_multiple_of(16);
        let whole = if factor.is_whole(lines, k) { "1" } else { "0" };
        let packed = DeviceMemory::new(device, lines * pitch * size)?;
        let kernel = device.kernel(
            &PACK,
            "pack",
            &[("A", factor.operand.type_name()), ("LINES", L::NAME), ("A_WHOLE", whole)],
        )?;
        let grid = Grid::blocks([pitch.div_ceil(PACKED) as u32, lines.div_ceil(PACKED) as u32, 1]);
        let (count, k_len, along_k) = (lines as u32, k as u32, u32::from(factor.along_k));
        let arguments: [&dyn Argument; 7] =
            [&factor.lines, &factor.operand, &count, &k_len, &along_k, &(pitch as u32), &packed];
        device.launch(&kernel, grid, &arguments)?;
        let operand = Operand { address: packed.address(), ..factor.operand };
        Ok(Self { operand, pitch, k, _packed: Some(packed) })
    }

    /// For copies of `lines_of_box` lines by `depth` bytes, in the order that makes runs of so many columns, or their own where those are pairs.
    fn map(&self, device: &Device, lines: usize, depth: usize, lines_of_box: usize, run: usize) -> Result<Map> {
        let size = self.operand.dtype.map_or(1, DType::size);
        let (lines, box_size) = ([self.k, lines], [depth / size, lines_of_box]);
        if run == 2 {
            return Map::of_matrix(device, self.operand, lines, self.pitch, box_size, Some(depth));
        }
        Map::of_runs(device, self.operand, lines, self.pitch, box_size, Some(depth), run)
    }
}
