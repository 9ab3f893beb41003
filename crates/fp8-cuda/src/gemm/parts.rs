//! Sums over parts of k that are made side by side, and then added in ascending order: [parts.cu](parts.cu).

use std::sync::Arc;

use fp8_kernels::Result;

use super::Tail;
use super::lines::Rows;
use crate::device::Device;
use crate::kernels::{Argument, Grid, Source, source};
use crate::memory::DeviceMemory;
use crate::operand::Operand;

pub(crate) static PARTS: Source = source!("gemm/parts.cu");

/// Bytes of parts that exist at once.
const ROOM: usize = 128 << 20;

/// Elements from which on a thread has eight of them.
const WIDE: usize = 1 << 20;

/// How many parts of `len` sums exist at once, of `count`.
pub(crate) fn together(len: usize, count: usize) -> usize {
    (ROOM / (4 * len)).clamp(1, count)
}

/// y = epilogue(sum of `count` parts (rows, columns)), ascending. `make` is told where parts go, F32, which is the first and how many to make.
pub(crate) fn sum(
    device: &Arc<Device>,
    [rows, columns]: [usize; 2],
    count: usize,
    output_rows: &Rows,
    tail: &Tail,
    y: Operand,
    make: impl Fn(&DeviceMemory, usize, usize) -> Result<()>,
) -> Result<()> {
    let (len, together) = (rows * columns, together(rows * columns, count));
    let parts = DeviceMemory::new(device, 4 * len * together)?;
    // Few elements of many parts are for many threads.
    let (run, name) = if columns.is_multiple_of(8) && len >= WIDE { (8, "8") } else { (1, "1") };
    let [residual, result, rounding] = tail.defines(y);
    let defines = [residual, result, rounding, ("SUMMED", name)];
    let finish = device.kernel(&PARTS, "finish", &defines)?;
    let finish = |parts: &DeviceMemory, count: usize| {
        let (runs, count, columns) = (len / run, count as u32, columns as u32);
        let arguments: [&dyn Argument; 7] =
            [parts, &count, &(runs as u64), &columns, output_rows, &tail.argument(), &y];
        device.launch(&finish, Grid::over(runs), &arguments)
    };
    if together == count {
        make(&parts, 0, count)?;
        return finish(&parts, count);
    }
    let totals = DeviceMemory::new(device, 4 * len)?;
    let add = device.kernel(&PARTS, "add_parts", &defines)?;
    for first in (0..count).step_by(together) {
        let more = together.min(count - first);
        make(&parts, first, more)?;
        let is_first = u32::from(first == 0);
        device.launch(&add, Grid::over(len), &[&parts, &(more as u32), &is_first, &totals, &(len as u64)])?;
    }
    finish(&totals, 1)
}
