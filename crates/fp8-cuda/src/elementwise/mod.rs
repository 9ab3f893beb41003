//! Operations whose element y_i is a function of the elements i of the inputs. A thread computes eight.

use std::sync::Arc;

use fp8_kernels::{Buffer, Dropout, Result, Store};

use crate::codec::{StoreArgument, StreamArgument, rounding_name};
use crate::device::Device;
use crate::kernels::{Grid, Source, source};
use crate::operand::Operand;

pub(crate) static CAST: Source = source!("elementwise/cast.cu");
pub(crate) static ADD: Source = source!("elementwise/add.cu");
pub(crate) static RELU_BACKWARD: Source = source!("elementwise/relu_backward.cu");
pub(crate) static DROPOUT: Source = source!("elementwise/dropout.cu");

/// Eights that a thread of cast.cu has.
const CASTS_AT_ONCE: usize = 2;

/// Threads for `len` elements, eight each.
pub(crate) fn eights(len: usize) -> Grid {
    Grid::over(len.div_ceil(8))
}

/// y = store(x / x_scale).
pub(crate) fn cast(device: &Arc<Device>, x: &Buffer, x_scale: f32, store: &Store, y: &mut Buffer) -> Result<()> {
    let (op, len) = (device.op("cast"), x.len());
    let (x, y) = (op.float("x", x, y.len())?, op.output("y", y, store, len)?);
    let defines = [("X", x.type_name()), ("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&CAST, "cast", &defines)?;
    let grid = Grid::over(len.div_ceil(8 * CASTS_AT_ONCE));
    device.launch(&kernel, grid, &[&x, &x_scale, &StoreArgument::from(store), &y, &(len as u64)])
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
    let defines =
        [("A", a.type_name()), ("B", b.type_name()), ("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&ADD, "add", &defines)?;
    let store = StoreArgument::from(store);
    device.launch(&kernel, eights(len), &[&a, &b, &u32::from(relu), &store, &y, &(len as u64)])
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
    masked(device, len, [y, dy, residual], store, dx)
}

/// The same over operands that have been checked; y and residual may be absent.
pub(crate) fn masked(
    device: &Arc<Device>,
    len: usize,
    [y, dy, residual]: [Operand; 3],
    store: &Store,
    dx: Operand,
) -> Result<()> {
    let inputs = [("Y", y.type_name()), ("DY", dy.type_name()), ("R", residual.type_name())];
    let outputs = [("DX", dx.type_name()), ("DX_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&RELU_BACKWARD, "relu_backward", &[&inputs[..], &outputs].concat())?;
    device.launch(&kernel, eights(len), &[&y, &dy, &residual, &StoreArgument::from(store), &dx, &(len as u64)])
}

/// As [`fp8_kernels::Backend::dropout`].
pub(crate) fn dropout(device: &Arc<Device>, arguments: &Dropout<'_>, y: &mut Buffer) -> Result<()> {
    let (op, len, &Dropout { share, ref store, .. }) = (device.op("dropout"), arguments.x.len(), arguments);
    op.require((0.0..1.0).contains(&share), || format!("the share must lie in 0..1, not {share}"))?;
    let x = op.float("x", arguments.x, y.len())?;
    let residual = op.optional("residual", arguments.residual, len)?.unwrap_or_default();
    let y = op.output("y", y, store, len)?;
    let inputs = [("X", x.type_name()), ("R", residual.type_name())];
    let outputs = [("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&DROPOUT, "dropout", &[inputs, outputs].concat())?;
    let (threshold, factor) = ((share * 65536.0).round() as u32, 1.0 / (1.0 - share));
    let (mask, store) = (StreamArgument::from(&arguments.mask), StoreArgument::from(store));
    device.launch(&kernel, eights(len), &[&x, &threshold, &factor, &mask, &residual, &store, &y, &(len as u64)])
}
