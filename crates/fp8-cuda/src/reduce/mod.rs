//! Reductions to one number, and over rows, in the order of the CPU's sums (docs/numerics.md, section 6).

use std::sync::Arc;

use fp8_kernels::{Buffer, DType, Result, Store};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::elementwise::aligned;
use crate::kernels::{Argument, Grid, Source, source};
use crate::memory::DeviceMemory;
use crate::operand::Operand;
use crate::table::{self, Tables};

pub(crate) static REDUCE: Source = source!("reduce/reduce.cu");
pub(crate) static SUMS: Source = source!("reduce/sums.cu");
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
        let blocks = |width: u32| self.groups() * octets.div_ceil(width);
        // A block of a quarter of a line of memory at least, of half of one where that makes work for all.
        let wide = blocks(8) >= 2 * device.multiprocessors;
        let width = octets.clamp(1, if wide { 8 } else { 4 });
        Grid { blocks: [blocks(width), 1, 1], threads: width * Self::CHUNKS, shared: 0 }
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
    Ok(totals(device, false, &[(x, len, 1.0)])?[0])
}

/// As [`fp8_kernels::Backend::sums_of_squares`].
pub(crate) fn sums_of_squares(device: &Arc<Device>, tensors: &[(&Buffer, f32)]) -> Result<Vec<f32>> {
    let op = device.op("sum_squares");
    let tensor = |&(x, scale): &(&Buffer, f32)| Ok((op.float("x", x, x.len())?, x.len(), scale));
    totals(device, true, &tensors.iter().map(tensor).collect::<Result<Vec<_>>>()?)
}

/// `Chunk` of sums.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Chunk {
    address: u64,
    len: u32,
    scale: f32,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Chunk {}

/// Sums of all elements, or of the squares of x / scale, of tensors (x, length, scale): chunks of those of a type together, then all.
fn totals(device: &Arc<Device>, squares: bool, tensors: &[(Operand, usize, f32)]) -> Result<Vec<f32>> {
    let mut types: Vec<_> = tensors.iter().map(|(x, ..)| x.type_name()).collect();
    types.sort_unstable();
    types.dedup();
    let (mut chunks, mut begins, mut order, mut launches) = (Vec::new(), vec![0], Vec::new(), Vec::new());
    for name in types {
        let first = chunks.len();
        for (index, &(x, len, scale)) in tensors.iter().enumerate().filter(|(_, (x, ..))| x.type_name() == name) {
            let chunk = |at| Chunk { address: x.from(at).address, len: CHUNK.min(len - at) as u32, scale };
            chunks.extend((0..len).step_by(CHUNK).map(chunk));
            begins.push(chunks.len() as u32);
            order.push(index);
        }
        launches.push((name, first, chunks.len() - first));
    }
    let tables = Tables::new(device, [table::bytes(&chunks), table::bytes(&begins)])?;
    let parts = DeviceMemory::new(device, 4 * chunks.len())?;
    let results = DeviceMemory::new(device, 4 * tensors.len())?;
    let kernel =
        |name, function| device.kernel(&SUMS, function, &[("X", name), ("SQUARES", if squares { "1" } else { "0" })]);
    for (name, first, count) in launches {
        let grid = Grid { blocks: [(count * LANES).div_ceil(32) as u32, 1, 1], threads: 32, shared: 0 };
        let chunks = tables.begins[0] + (first * size_of::<Chunk>()) as u64;
        let parts = parts.address() + 4 * first as u64;
        device.launch(&*kernel(name, "chunk_sums")?, grid, &[&chunks, &(count as u32), &parts])?;
    }
    let grid = Grid::over(32 * tensors.len());
    device.launch(&*kernel("F32", "totals")?, grid, &[&tables.begins[1], &(tensors.len() as u32), &parts, &results])?;
    let mut bytes = vec![0; 4 * tensors.len()];
    results.read(&mut bytes)?;
    let mut totals = vec![0.0; tensors.len()];
    order.iter().zip(bytes.as_chunks().0).for_each(|(&index, total)| totals[index] = f32::from_le_bytes(*total));
    Ok(totals)
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
