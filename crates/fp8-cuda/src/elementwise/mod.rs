//! Operations whose element y_i is a function of the elements i of the inputs. A thread computes some eights.

use std::sync::Arc;

use fp8_kernels::{Buffer, DType, Dropout, Result, Store};

use crate::codec::{StoreArgument, StreamArgument, rounding_name};
use crate::device::Device;
use crate::kernels::{Argument, Grid, Source, source};
use crate::operand::Operand;

pub(crate) static CAST: Source = source!("elementwise/cast.cu");
pub(crate) static LOOK_UP: Source = source!("elementwise/look_up.cu");
pub(crate) static ADD: Source = source!("elementwise/add.cu");
pub(crate) static RELU_BACKWARD: Source = source!("elementwise/relu_backward.cu");
pub(crate) static DROPOUT: Source = source!("elementwise/dropout.cu");

/// Threads for `len` elements, eight each.
pub(crate) fn eights(len: usize) -> Grid {
    Grid::over(len.div_ceil(8))
}

/// Eights that a thread has at once, so that all of its loads are under way together: as many bytes whatever the type.
fn at_once(x: Operand, len: usize) -> ((&'static str, &'static str), Grid) {
    let (name, count) = if x.dtype.is_some_and(|dtype| dtype.size() > 2) { ("2", 2) } else { ("4", 4) };
    (("AT_ONCE", name), Grid::over(len.div_ceil(8 * count)))
}

/// Whether rows are multiples of eight elements.
pub(crate) fn aligned(columns: usize) -> (&'static str, &'static str) {
    ("ALIGNED", if columns.is_multiple_of(8) { "1" } else { "0" })
}

/// `Rows` of octets.cuh: a matrix whose threads have eight columns of some rows.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Rows {
    rows: u32,
    columns: u32,
    width: u32,
    rows_of_thread: u32,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Rows {}

impl Rows {
    /// Rows of a thread, at least.
    const FEWEST: u32 = 4;

    /// Of (rows, columns), and its threads: as many rows of each as leave some blocks for every multiprocessor.
    pub fn new(device: &Device, rows: usize, columns: usize) -> (Self, Grid) {
        let (rows, columns) = (rows as u32, columns as u32);
        let octets = columns.div_ceil(8);
        let width = octets.clamp(1, Grid::THREADS);
        let (down, across) = (Grid::THREADS / width, octets.div_ceil(width));
        let blocks = |rows_of_thread: u32| rows.div_ceil(down * rows_of_thread);
        let enough = |rows_of_thread: &u32| blocks(*rows_of_thread) * across >= 8 * device.multiprocessors;
        let rows_of_thread = [8, 4, 2].map(|times| times * Self::FEWEST).into_iter().find(enough);
        let rows_of_thread = rows_of_thread.unwrap_or(Self::FEWEST);
        let grid = Grid { blocks: [blocks(rows_of_thread), across, 1], threads: width * down, shared: 0 };
        (Self { rows, columns, width, rows_of_thread }, grid)
    }
}

/// Blocks for the eights of channels of `lines` lines of `width` pixels (`each_spot` of octets.cuh): of as many threads as leave few idle.
pub(crate) fn spots(lines: usize, width: usize, channels: usize) -> Grid {
    let count = (width * channels.div_ceil(8)) as u32;
    let blocks = count.div_ceil(Grid::THREADS).max(1);
    let threads = count.div_ceil(blocks).next_multiple_of(32).max(32);
    Grid { blocks: [lines as u32, blocks.min(65_535), 1], threads, shared: 0 }
}

/// y = store(x / x_scale).
pub(crate) fn cast(device: &Arc<Device>, x: &Buffer, x_scale: f32, store: &Store, y: &mut Buffer) -> Result<()> {
    let (op, len) = (device.op("cast"), x.len());
    let (x, y) = (op.float("x", x, y.len())?, op.output("y", y, store, len)?);
    convert(device, [x, y], len, x_scale, store)
}

/// The same of operands of `len` elements.
pub(crate) fn convert(
    device: &Arc<Device>,
    [x, y]: [Operand; 2],
    len: usize,
    x_scale: f32,
    store: &Store,
) -> Result<()> {
    let (at_once, grid) = at_once(x, len);
    let defines = [("X", x.type_name()), ("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store)), at_once];
    let kernel = device.kernel(&CAST, "cast", &defines)?;
    device.launch(&kernel, grid, &[&x, &x_scale, &StoreArgument::from(store), &y, &(len as u64)])
}

/// y (rows, channels) = store(table[channel][x]).
pub(crate) fn look_up(
    device: &Arc<Device>,
    channels: usize,
    x: &Buffer,
    table: &Buffer,
    store: &Store,
    y: &mut Buffer,
) -> Result<()> {
    let (op, len) = (device.op("look_up"), x.len());
    op.require(channels > 0 && len.is_multiple_of(channels), || format!("{channels} channels of {x:?}"))?;
    let x = op.exactly("x", x, DType::U8, len)?;
    let table = op.exactly("table", table, DType::F32, op.len(&[channels, 256])?)?;
    let (y, channels) = (op.output("y", y, store, len)?, channels.to_string());
    let defines = [("CHANNELS", channels.as_str()), ("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&LOOK_UP, "look_up", &defines)?;
    device.launch(&kernel, eights(len), &[&x, &table, &StoreArgument::from(store), &y, &(len as u64)])
}

/// y = store(relu?(a + b)).
pub(crate) fn add(
    device: &Arc<Device>,
    a: &Buffer,
    b: Option<&Buffer>,
    relu: bool,
    store: &Store,
    y: &mut Buffer,
) -> Result<()> {
    let (op, len) = (device.op("add"), a.len());
    let (a, b) = (op.float("a", a, len)?, op.optional("b", b, len)?.unwrap_or_default());
    let y = op.output("y", y, store, len)?;
    let (at_once, grid) = at_once(a, len);
    let (inputs, outputs) = ([("A", a.type_name()), ("B", b.type_name())], [("Y", y.type_name()), at_once]);
    let rounding = [("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&ADD, "add", &[&inputs[..], &outputs, &rounding].concat())?;
    let store = StoreArgument::from(store);
    device.launch(&kernel, grid, &[&a, &b, &u32::from(relu), &store, &y, &(len as u64)])
}

/// dx = store(dy where y > 0, plus residual).
pub(crate) fn relu_backward(
    device: &Arc<Device>,
    y: &Buffer,
    dy: &Buffer,
    residual: Option<&Buffer>,
    store: &Store,
    dx: &mut Buffer,
) -> Result<()> {
    let (op, len) = (device.op("relu_backward"), y.len());
    let (y, dy) = (op.float("y", y, len)?, op.float("dy", dy, len)?);
    let residual = op.optional("residual", residual, len)?.unwrap_or_default();
    let dx = op.output("dx", dx, store, len)?;
    let inputs = [("Y", y.type_name()), ("DY", dy.type_name()), ("R", residual.type_name())];
    let (at_once, grid) = at_once(dy, len);
    let outputs = [("DX", dx.type_name()), ("DX_ROUNDING", rounding_name(store)), at_once];
    let kernel = device.kernel(&RELU_BACKWARD, "relu_backward", &[&inputs[..], &outputs].concat())?;
    device.launch(&kernel, grid, &[&y, &dy, &residual, &StoreArgument::from(store), &dx, &(len as u64)])
}

/// As [`fp8_kernels::Backend::dropout`].
pub(crate) fn dropout(device: &Arc<Device>, arguments: &Dropout<'_>, y: &mut Buffer) -> Result<()> {
    let (op, len, &Dropout { share, ref store, .. }) = (device.op("dropout"), arguments.x.len(), arguments);
    op.require((0.0..1.0).contains(&share), || format!("the share must lie in 0..1, not {share}"))?;
    let x = op.float("x", arguments.x, y.len())?;
    let residual = op.optional("residual", arguments.residual, len)?.unwrap_or_default();
    let y = op.output("y", y, store, len)?;
    let inputs = [("X", x.type_name()), ("R", residual.type_name())];
    let (at_once, grid) = at_once(x, len);
    let outputs = [("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store)), at_once];
    let kernel = device.kernel(&DROPOUT, "dropout", &[&inputs[..], &outputs].concat())?;
    let (threshold, factor) = ((share * 65536.0).round() as u32, 1.0 / (1.0 - share));
    let (mask, store) = (StreamArgument::from(&arguments.mask), StoreArgument::from(store));
    device.launch(&kernel, grid, &[&x, &threshold, &factor, &mask, &residual, &store, &y, &(len as u64)])
}
