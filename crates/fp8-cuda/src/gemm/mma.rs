//! Products on the tensor cores of any card, of any types that 16 bits hold exactly, or of codes as they are: [mma.cu](mma.cu).

use std::sync::Arc;

use fp8_kernels::{DType, Result};

use super::lines::Lines;
use super::parts;
use super::plain::Product;
use super::{Tail, sums};
use crate::accumulation::Accumulation;
use crate::codec::type_name;
use crate::device::Device;
use crate::kernels::{Argument, Grid, Source, source};
use crate::operand::Operand;

pub(crate) static MMA: Source = source!("gemm/mma.cu");

/// Elements of a block of threads, both ways; bytes of a line in a step.
const TILE: usize = 128;
const STEP_BYTES: usize = 64;
/// Fewest steps of a part of k.
const LEAST: usize = 8;

/// `Size` of mma.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Size([u32; 4]);

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Size {}

/// Bytes of the tiles of a block: `TILE_LEN` of mma.cuh, four times.
const SHARED: u32 = 4 * 16 * (8 * (64 + 16) + 32);

/// What factors of these types are multiplied as: a type of 16 bits that holds both, or their own codes. None: there is no such type.
fn multiplied(device: &Device, a: DType, b: DType) -> Option<[DType; 2]> {
    let is = |dtype| a == dtype || b == dtype;
    let is_code = |dtype| matches!(dtype, DType::E5M2 | DType::E4M3);
    match (is(DType::F32), is(DType::Bf16), is(DType::F16)) {
        (true, ..) | (_, true, true) => None,
        (_, true, _) => Some([DType::Bf16; 2]),
        _ if multiplies_codes(device.capability) && is_code(a) && is_code(b) => Some([a, b]),
        _ => Some([DType::F16; 2]),
    }
}

/// Whether a warp's tensor cores multiply codes of 8 bits. Those of Hopper widen them first, and more slowly than we do.
fn multiplies_codes(capability: (u32, u32)) -> bool {
    matches!(capability, (8, 9) | (10.., _))
}

/// Computes the product, unless it is none of these kernels'.
pub(crate) fn compute<A: Lines, B: Lines>(
    device: &Arc<Device>,
    product: &Product<A, B>,
    tail: &Tail,
    c: Operand,
) -> Result<bool> {
    let (Some(a), Some(b)) = (product.a.operand.dtype, product.b.operand.dtype) else { return Ok(false) };
    let is_wanted = device.accumulation != Accumulation::Ordered;
    let Some([left_type, right_type]) = multiplied(device, a, b).filter(|_| is_wanted) else { return Ok(false) };
    let &Product { rows, columns, k, ref output_rows, careful, .. } = product;
    let step = STEP_BYTES / left_type.size();
    let flag = |flag: bool| if flag { "1" } else { "0" };
    let [r, y, rounding] = tail.defines(c);
    let defines = [
        ("A", product.a.operand.type_name()),
        ("B", product.b.operand.type_name()),
        ("LINES_A", A::NAME),
        ("LINES_B", B::NAME),
        ("A_ALONG_K", flag(product.a.along_k)),
        ("B_ALONG_K", flag(product.b.along_k)),
        ("A_WHOLE", flag(product.a.is_whole(rows, k))),
        ("B_WHOLE", flag(product.b.is_whole(columns, k))),
        ("LEFT", type_name(Some(left_type))),
        ("RIGHT", type_name(Some(right_type))),
        ("SUMS", sums(device.accumulation, left_type, careful, k)),
        r,
        y,
        rounding,
    ];
    let (across, down) = (rows.div_ceil(TILE), columns.div_ceil(TILE));
    let grid = |depth: usize| Grid { shared: SHARED, ..Grid::blocks([across as u32, down as u32, depth as u32]) };
    let size = |k: usize, k_of_part: usize| Size([rows, columns, k, k_of_part].map(|size| size as u32));
    let Product { a: left, b: right, .. } = product;
    // Parts of k side by side where there are too few tiles to keep the card busy.
    let wanted = (2 * device.multiprocessors as usize).div_ceil((across * down).max(1));
    let k_of_part = k.div_ceil(wanted).next_multiple_of(step).max(LEAST * step);
    let count = k.div_ceil(k_of_part);
    if count <= 1 {
        let kernel = device.kernel(&MMA, "whole", &defines)?;
        let (size, tail) = (size(k, k), tail.argument());
        let arguments: [&dyn Argument; 8] =
            [&size, &left.lines, &left.operand, &right.lines, &right.operand, output_rows, &tail, &c];
        device.launch(&kernel, grid(1), &arguments)?;
        return Ok(true);
    }
    let count = parts::together(rows * columns, count);
    let k_of_part = k.div_ceil(count).next_multiple_of(step);
    let kernel = device.kernel(&MMA, "parts", &defines)?;
    parts::sum(device, [rows, columns], k.div_ceil(k_of_part), output_rows, tail, c, |room, _, count| {
        let size = size(k, k_of_part);
        let arguments: [&dyn Argument; 6] = [&size, &left.lines, &left.operand, &right.lines, &right.operand, room];
        device.launch(&kernel, grid(count), &arguments)
    })?;
    Ok(true)
}
