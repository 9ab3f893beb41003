//! Products of FP32 on tensor cores, as products of bfloat16 over six times as many k, or, unless they are to be exact, three times: [planes.cu](planes.cu).

use std::sync::Arc;

use fp8_kernels::{DType, Result};

use super::Tail;
use super::lines::{Divisor, Lines, Source};
use super::plain::{Factor, Product};
use crate::accumulation::Accumulation;
use crate::device::Device;
use crate::kernels::{Grid, source};
use crate::memory::DeviceMemory;
use crate::operand::Operand;

pub(crate) static PLANES: crate::kernels::Source = source!("gemm/planes.cu");

/// `PRODUCTS` of planes.cu.
fn products(accumulation: Accumulation) -> (usize, &'static str) {
    match accumulation {
        Accumulation::Ordered | Accumulation::Exact => (6, "6"),
        Accumulation::Promoted | Accumulation::Fast => (3, "3"),
    }
}

/// Computes the product, unless its factors are not of FP32.
pub(crate) fn compute<A: Lines, B: Lines>(
    device: &Arc<Device>,
    product: &Product<A, B>,
    tail: &Tail,
    c: Operand,
) -> Result<bool> {
    let is_fp32 = [product.a.operand, product.b.operand].iter().all(|factor| factor.dtype == Some(DType::F32));
    if !is_fp32 || device.accumulation == Accumulation::Ordered {
        return Ok(false);
    }
    let &Product { rows, columns, k, output_rows, .. } = product;
    // Neighbours in memory, of factors along k.
    let run = match product.a.lines.source() {
        Source::Windows(patches) => patches.channels.divisor(),
        _ => k,
    };
    let (a, _left) = split(device, &product.a, [rows, k], run, 0)?;
    let (b, _right) = split(device, &product.b, [columns, k], run, 1)?;
    let (products, _) = products(device.accumulation);
    Product { rows, columns, k: products * k, a, b, output_rows, careful: true }.compute(device, tail, c)?;
    Ok(true)
}

/// The planes of a factor, and where they are: of each run along k one after the other, or, where lines lie across k, one tensor after the other.
fn split<L: Lines>(
    device: &Arc<Device>,
    factor: &Factor<L>,
    [lines, k]: [usize; 2],
    run: usize,
    side: u32,
) -> Result<(Factor<L>, DeviceMemory)> {
    let len = factor.lines.elements(lines, k);
    let row = if factor.along_k { run } else { len };
    let together = if row.is_multiple_of(8) { 8 } else { 1 };
    let (products, name) = products(device.accumulation);
    let planes = DeviceMemory::new(device, products * len * DType::Bf16.size())?;
    let whole = ("SPLIT_WHOLE", if together == 8 { "1" } else { "0" });
    let kernel = device.kernel(&PLANES, "split", &[whole, ("PRODUCTS", name)])?;
    let runs = len / together;
    let (count, runs_of_row) = (runs as u32, Divisor::new(row / together));
    device.launch(&kernel, Grid::over(runs), &[&factor.operand, &count, &runs_of_row, &side, &planes])?;
    let operand = Operand { dtype: Some(DType::Bf16), address: planes.address() };
    let lines = factor.lines.repeated(products, factor.along_k);
    Ok((Factor { lines, operand, along_k: factor.along_k }, planes))
}
