//! Products on Hopper's tensor cores: [hopper.cu](hopper.cu).

use std::sync::Arc;

use cudarc::driver::sys;
use fp8_kernels::{DType, Result};

use super::Tail;
use super::lines::{Divisor, Lines, Patches, Source};
use super::plain::{Factor, Product};
use crate::accumulation::Accumulation;
use crate::device::Device;
use crate::kernels::{Argument, Grid, source};
use crate::memory::DeviceMemory;
use crate::operand::Operand;

pub(crate) static HOPPER: crate::kernels::Source = source!("gemm/hopper.cu");
pub(crate) static PACK: crate::kernels::Source = source!("gemm/pack.cu");

/// Rows of a tile; lines and k of a block that packs.
const TILE_M: usize = 128;
const PACKED: usize = 64;
/// Shared memory of a block that stages may take: all, but what the kernel has besides, and what moves them to a boundary.
const ROOM: usize = (227 << 10) - (21 << 10) - 1024;
const MOST_STAGES: usize = 8;

/// How a product is cut up.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plan {
    /// Columns of a tile.
    tile_n: usize,
    /// Bytes of k of a stage.
    depth: usize,
    /// Blocks that share what they read of B.
    cluster: usize,
}

/// `SUMS` of hopper.cu.
fn sums(accumulation: Accumulation, dtype: DType) -> &'static str {
    match accumulation {
        // Tensor cores sum products of wider types in FP32.
        _ if dtype.size() > 1 => "0",
        Accumulation::Ordered | Accumulation::Exact => "1",
        Accumulation::Promoted => "2",
        Accumulation::Fast => "0",
    }
}

impl Plan {
    /// None: the product is none of Hopper's.
    fn of<A: Lines, B: Lines>(device: &Device, product: &Product<A, B>) -> Option<Self> {
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
        let widest = if sums(device.accumulation, a) == "1" { 128 } else { 256 };
        let tile_n = [256, 128, 64].into_iter().filter(|&tile_n| tile_n <= widest).min_by_key(|&tile_n| {
            let tiles = product.rows.div_ceil(TILE_M) * product.columns.div_ceil(tile_n);
            // Narrower tiles read A more often.
            tiles.div_ceil(device.multiprocessors as usize) * (tile_n + 24)
        })?;
        let tiles = product.rows.div_ceil(TILE_M) * product.columns.div_ceil(tile_n);
        let cluster = if tile_n > 64 && tiles >= device.multiprocessors as usize { 2 } else { 1 };
        Some(Self { tile_n, depth, cluster })
    }

    /// Bytes of a stage, and how many there are.
    fn stages(&self) -> (usize, usize) {
        let bytes = (TILE_M + self.tile_n) * self.depth;
        (bytes, (ROOM / bytes).min(MOST_STAGES))
    }
}

/// `Shape` of hopper.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Shape {
    size: [u32; 4],
    window_x: Divisor,
    grid: [Divisor; 2],
    step: i32,
    corner: [i32; 2],
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Shape {}

/// A tensor as bulk copies see it.
struct Map(sys::CUtensorMap);

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Map {}

/// Computes the product, unless it is none of Hopper's.
pub(crate) fn compute<A: Lines, B: Lines>(
    device: &Arc<Device>,
    product: &Product<A, B>,
    tail: &Tail,
    c: Operand,
) -> Result<bool> {
    let Some(plan) = Plan::of(device, product) else { return Ok(false) };
    let Product { rows, columns, k, .. } = *product;
    let (a, b) = (Along::k_of(device, &product.a, rows, k)?, Along::k_of(device, &product.b, columns, k)?);
    let dtype = product.a.operand.dtype.unwrap_or(DType::F32);
    let k_block = plan.depth / dtype.size();
    let (map_a, shape) = match product.a.lines.source() {
        Source::Windows(patches) => {
            let shape = Shape {
                size: [rows, columns, k / k_block, patches.channels.divisor() / k_block].map(|size| size as u32),
                window_x: patches.window_x,
                grid: patches.grid,
                step: patches.step,
                corner: patches.corner,
            };
            (windows(device, patches, product.a.operand, rows, plan.depth)?, shape)
        }
        _ => {
            let size = [rows, columns, k.div_ceil(k_block), 1].map(|size| size as u32);
            let (one, grid) = (Divisor::new(1), [Divisor::new(1); 2]);
            let shape = Shape { size, window_x: one, grid, step: 1, corner: [0; 2] };
            (a.map(device, rows, plan.depth, TILE_M)?, shape)
        }
    };
    let map_b = b.map(device, columns, plan.depth, plan.tile_n / plan.cluster)?;
    let kernel = device.kernel(&HOPPER, "hopper", &defines(device, &plan, product, tail, c))?;
    let (bytes, stages) = plan.stages();
    let tiles = rows.div_ceil(TILE_M).next_multiple_of(plan.cluster) * columns.div_ceil(plan.tile_n);
    let together = device.multiprocessors as usize / plan.cluster * plan.cluster;
    let grid =
        Grid { blocks: [tiles.min(together) as u32, 1, 1], threads: 384, shared: (stages * bytes + 1024) as u32 };
    device.launch(&kernel, grid, &[&map_a, &map_b, &shape, &product.output_rows, &tail.argument(), &c])?;
    Ok(true)
}

fn defines<A: Lines, B: Lines>(
    device: &Device,
    plan: &Plan,
    product: &Product<A, B>,
    tail: &Tail,
    c: Operand,
) -> [(&'static str, &'static str); 11] {
    let number = |number: usize| NUMBERS.iter().find(|(known, _)| *known == number).map_or("", |(_, text)| text);
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
        ("STAGES", number(plan.stages().1)),
        ("SUMS", sums(device.accumulation, product.a.operand.dtype.unwrap_or(DType::F32))),
    ]
}

/// What numbers of a plan are called.
const NUMBERS: [(usize, &str); 12] = [
    (1, "1"),
    (2, "2"),
    (3, "3"),
    (4, "4"),
    (5, "5"),
    (6, "6"),
    (7, "7"),
    (8, "8"),
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
        let pitch = k.next_multiple_of(16 / size);
        let packed = DeviceMemory::new(device, lines * pitch * size)?;
        let kernel =
            device.kernel(&PACK, "pack", &[("A", factor.operand.type_name()), ("LINES", L::NAME)])?;
        let grid = Grid::blocks([pitch.div_ceil(PACKED) as u32, lines.div_ceil(PACKED) as u32, 1]);
        let (count, k_len, along_k) = (lines as u32, k as u32, u32::from(factor.along_k));
        let arguments: [&dyn Argument; 7] =
            [&factor.lines, &factor.operand, &count, &k_len, &along_k, &(pitch as u32), &packed];
        device.launch(&kernel, grid, &arguments)?;
        let operand = Operand { address: packed.address(), ..factor.operand };
        Ok(Self { operand, pitch, k, _packed: Some(packed) })
    }

    /// For copies of `lines_of_box` lines by `depth` bytes.
    fn map(&self, device: &Device, lines: usize, depth: usize, lines_of_box: usize) -> Result<Map> {
        let size = self.operand.dtype.map_or(1, DType::size);
        let dims = [self.k as u64, lines as u64];
        let strides = [(self.pitch * size) as u64];
        let (box_dims, steps) = ([(depth / size) as u32, lines_of_box as u32], [1_u32; 2]);
        let mut map = Map(sys::CUtensorMap { opaque: [0; 16] });
        // SAFETY: all arrays have the rank's length; the driver checks what is in them.
        let status = unsafe {
            sys::cuTensorMapEncodeTiled(
                &mut map.0,
                element(self.operand.dtype),
                2,
                self.operand.address as *mut _,
                dims.as_ptr(),
                strides.as_ptr(),
                box_dims.as_ptr(),
                steps.as_ptr(),
                sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                swizzle(depth),
                sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        made(device, map, status, || format!("a matrix {dims:?}, boxes of {box_dims:?}"))
    }
}

/// For copies of windows: [`TILE_M`] pixels by `depth` bytes of channels of one tap.
fn windows(device: &Device, patches: &Patches, operand: Operand, pixels: usize, depth: usize) -> Result<Map> {
    let size = operand.dtype.map_or(1, DType::size);
    let [grid_y, grid_x] = patches.grid.map(|grid| grid.divisor());
    let channels = patches.channels.divisor();
    let (height, width) = (patches.height as usize, patches.width as usize);
    let dims = [channels, width, height, pixels / (grid_y * grid_x)].map(|dim| dim as u64);
    let strides = [channels * size, width * channels * size, height * width * channels * size].map(|at| at as u64);
    let [corner_y, corner_x] = patches.corner;
    let last = |corner: i32, grid: usize, size: i32| corner + (grid as i32 - 1) * patches.step + 1 - size;
    let lower = [corner_x, corner_y];
    let upper = [last(corner_x, grid_x, patches.width), last(corner_y, grid_y, patches.height)];
    let steps = [1, patches.step as u32, patches.step as u32, 1];
    let mut map = Map(sys::CUtensorMap { opaque: [0; 16] });
    // SAFETY: all arrays have the rank's length; the driver checks what is in them.
    let status = unsafe {
        sys::cuTensorMapEncodeIm2col(
            &mut map.0,
            element(operand.dtype),
            4,
            operand.address as *mut _,
            dims.as_ptr(),
            strides.as_ptr(),
            lower.as_ptr(),
            upper.as_ptr(),
            (depth / size) as u32,
            TILE_M as u32,
            steps.as_ptr(),
            sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            swizzle(depth),
            sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    };
    made(device, map, status, || format!("images {dims:?}, corners {lower:?} and {upper:?}, steps {steps:?}"))
}

fn made(device: &Device, map: Map, status: sys::CUresult, what: impl Fn() -> String) -> Result<Map> {
    match status {
        sys::CUresult::CUDA_SUCCESS => Ok(map),
        status => Err(device.failed(format!("the driver describes no copies of {}: {status:?}", what()))),
    }
}

fn element(dtype: Option<DType>) -> sys::CUtensorMapDataType {
    use sys::CUtensorMapDataType as Type;
    match dtype {
        Some(DType::F32) => Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        Some(DType::F16) => Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        Some(DType::Bf16) => Type::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        _ => Type::CU_TENSOR_MAP_DATA_TYPE_UINT8,
    }
}

fn swizzle(depth: usize) -> sys::CUtensorMapSwizzle {
    match depth {
        128 => sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
        _ => sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_64B,
    }
}
