//! Reductions to one number, and over rows, in the order of the CPU's sums (docs/numerics.md, section 6).

use std::sync::Arc;

use fp8_kernels::{Buffer, DType, Result, Store};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::elementwise::aligned;
use crate::kernels::{Argument, Grid, Source, source};
use crate::memory::DeviceMemory;
use crate::operand::Operand;

pub(crate) static REDUCE: Source = source!("reduce/reduce.cu");
pub(crate) static SUM_ROWS: Source = source!("reduce/sum_rows.cu");

/// Elements of a chunk.
pub(crate) const CHUNK: usize = 32_768;
/// Threads that sum a chunk.
pub(crate) const LANES: usize = 16;

/// `Columns` of columns.cuh: a matrix whose rows are summed.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Columns {
    rows: u32,
    columns: u32,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Columns {}

impl Columns {
    /// Rows of a chunk, chunks of a group.
    const CHUNK: u32 = 32;
    const CHUNKS: u32 = 32;
    /// Threads that share the groups of a column, and columns of a block of them.
    const LANES: u32 = 32;
    const WIDTH: u32 = 8;

    /// Of (rows, columns).
    pub fn new(rows: usize, columns: usize) -> Self {
        Self { rows: rows as u32, columns: columns as u32 }
    }

    fn groups(&self) -> u32 {
        self.rows.div_ceil(Self::CHUNK * Self::CHUNKS)
    }

    /// Sums of one group and one column each, FP64.
    pub fn parts(&self) -> usize {
        self.groups() as usize * self.columns as usize
    }

    /// Whether eight elements may be read at once.
    pub fn aligned(&self) -> (&'static str, &'static str) {
        aligned(self.columns as usize)
    }

    /// Threads that make the parts.
    pub fn parts_grid(&self, device: &Device) -> Grid {
        let octets = self.columns.div_ceil(8);
        let blocks = |width: u32| [self.groups(), octets.div_ceil(width), 1];
        // A block of a quarter of a line of memory at least, of half of one where that makes work for all.
        let wide = blocks(8)[..2].iter().product::<u32>() >= 2 * device.multiprocessors;
        let width = octets.clamp(1, if wide { 8 } else { 4 });
        Grid { blocks: blocks(width), threads: width * Self::CHUNKS, shared: 0 }
    }

    /// Threads that make the totals of parts.
    pub fn totals_grid(&self) -> Grid {
        Grid { blocks: [self.columns.div_ceil(Self::WIDTH), 1, 1], threads: Self::WIDTH * Self::LANES, shared: 0 }
    }
}

/// Blocks that together go over `len` elements.
fn sweep(device: &Device, len: usize) -> Grid {
    let Grid { blocks: [blocks, ..], .. } = Grid::over(len.div_ceil(8));
    Grid::blocks([blocks.min(8 * device.multiprocessors), 1, 1])
}

/// Largest |x|; NaN if any element is; 0 when empty.
pub(crate) fn amax(device: &Arc<Device>, x: &Buffer) -> Result<f32> {
    let (len, x) = (x.len(), device.op("amax").float("x", x, x.len())?);
    let most = zeros(device, 4)?;
    let kernel = device.kernel(&REDUCE, "amax", &[("X", x.type_name())])?;
    device.launch(&kernel, sweep(device, len), &[&x, &most, &(len as u64)])?;
    let most = f32::from_bits(u32::from_le_bytes(read(&most)?));
    Ok(if most.is_nan() { f32::NAN } else { most })
}

/// How many elements are Inf or NaN, and how many are zero.
pub(crate) fn counts(device: &Arc<Device>, name: &'static str, x: &Buffer) -> Result<[usize; 2]> {
    let (len, x) = (x.len(), device.op(name).float("x", x, x.len())?);
    let counts = zeros(device, 16)?;
    let kernel = device.kernel(&REDUCE, "count", &[("X", x.type_name())])?;
    device.launch(&kernel, sweep(device, len), &[&x, &counts, &(len as u64)])?;
    let bytes: [u8; 16] = read(&counts)?;
    let [non_finite, zero] =
        [0, 8].map(|at| bytes[at..at + 8].iter().rev().fold(0, |count, byte| count << 8 | usize::from(*byte)));
    Ok([non_finite, zero])
}

/// The sum.
pub(crate) fn sum(device: &Arc<Device>, x: &Buffer) -> Result<f32> {
    let (len, x) = (x.len(), device.op("sum").exactly("x", x, DType::F32, x.len())?);
    total(device, len, x, None)
}

/// The sum of the squares of x / x_scale.
pub(crate) fn sum_squares(device: &Arc<Device>, x: &Buffer, x_scale: f32) -> Result<f32> {
    let (len, x) = (x.len(), device.op("sum_squares").float("x", x, x.len())?);
    total(device, len, x, Some(x_scale))
}

fn total(device: &Arc<Device>, len: usize, x: Operand, squares: Option<f32>) -> Result<f32> {
    let chunks = len.div_ceil(CHUNK);
    let (parts, result) = (DeviceMemory::new(device, 4 * chunks)?, DeviceMemory::new(device, 4)?);
    let kernel = device.kernel(&REDUCE, "chunk_sums", &[("X", x.type_name())])?;
    let (flag, scale) = (u32::from(squares.is_some()), squares.unwrap_or(1.0));
    device.launch(&kernel, Grid::over(chunks * LANES), &[&x, &flag, &scale, &parts, &(len as u64)])?;
    let kernel = device.kernel(&REDUCE, "total", &[("X", x.type_name())])?;
    device.launch(&kernel, ONE, &[&parts, &(chunks as u32), &result])?;
    read(&result).map(f32::from_le_bytes)
}

/// One thread.
pub(crate) const ONE: Grid = Grid { blocks: [1; 3], threads: 1, shared: 0 };

/// Memory of zeros.
fn zeros(device: &Arc<Device>, bytes: usize) -> Result<DeviceMemory> {
    let mut memory = DeviceMemory::new(device, bytes)?;
    memory.write(&vec![0; bytes])?;
    Ok(memory)
}

fn read<const N: usize>(memory: &DeviceMemory) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    memory.read(&mut bytes)?;
    Ok(bytes)
}

/// db (columns) = store(sum over rows of dy (rows, columns)).
pub(crate) fn sum_rows(
    device: &Arc<Device>,
    rows: usize,
    columns: usize,
    dy: &Buffer,
    store: &Store,
    db: &mut Buffer,
) -> Result<()> {
    let op = device.op("sum_rows");
    let (dy, db) = (op.float("dy", dy, op.len(&[rows, columns])?)?, op.output("db", db, store, columns)?);
    let size = Columns::new(rows, columns);
    let parts = DeviceMemory::new(device, 8 * size.parts())?;
    let types = [("X", dy.type_name()), ("Y", db.type_name()), ("Y_ROUNDING", rounding_name(store)), size.aligned()];
    let kernel = |name| device.kernel(&SUM_ROWS, name, &types);
    device.launch(&*kernel("row_parts")?, size.parts_grid(device), &[&size, &dy, &parts])?;
    device.launch(&*kernel("sum_rows")?, size.totals_grid(), &[&size, &parts, &StoreArgument::from(store), &db])
}
