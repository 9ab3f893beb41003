//! Columns of matrices beside each other.

use std::sync::Arc;

use fp8_kernels::{Buffer, Result, Store};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::elementwise::eights;
use crate::kernels::{Grid, Source, source};

pub(crate) static JOIN: Source = source!("columns/join.cu");
pub(crate) static COLUMNS: Source = source!("columns/columns.cu");

/// y (rows, sum of widths) = store(the parts (rows, width) side by side).
pub(crate) fn join(
    device: &Arc<Device>,
    rows: usize,
    parts: &[(&Buffer, usize)],
    store: &Store,
    y: &mut Buffer,
) -> Result<()> {
    let op = device.op("join_columns");
    let total = parts.iter().try_fold(0_usize, |sum, (_, width)| sum.checked_add(*width));
    let total = total.ok_or_else(|| op.shape("too many columns".into()))?;
    let y = op.output("y", y, store, op.len(&[rows, total])?)?;
    let parts: Vec<_> = parts
        .iter()
        .map(|(part, width)| Ok((op.float("part", part, op.len(&[rows, *width])?)?, *width)))
        .collect::<Result<_>>()?;
    let (mut first, argument) = (0, StoreArgument::from(store));
    for (x, width) in parts {
        let defines = [("X", x.type_name()), ("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
        let kernel = device.kernel(&JOIN, "join", &defines)?;
        let (len, [columns, at, of]) = (rows * width, [width, first, total].map(|size| size as u32));
        device.launch(&kernel, Grid::over(len), &[&x, &columns, &at, &of, &argument, &y, &(len as u64)])?;
        first += width;
    }
    Ok(())
}

/// y (rows, count) = store(columns first .. first + count of x (rows, total), plus residual).
pub(crate) fn columns(
    device: &Arc<Device>,
    [rows, total]: [usize; 2],
    [first, count]: [usize; 2],
    [x, residual]: [Option<&Buffer>; 2],
    store: &Store,
    y: &mut Buffer,
) -> Result<()> {
    let op = device.op("columns");
    op.require(first.checked_add(count).is_some_and(|end| end <= total), || {
        format!("columns {first} and {count} more, of {total}")
    })?;
    let x = op.optional("x", x, op.len(&[rows, total])?)?.unwrap_or_default();
    let len = op.len(&[rows, count])?;
    let residual = op.optional("residual", residual, len)?.unwrap_or_default();
    let y = op.output("y", y, store, len)?;
    let inputs = [("X", x.type_name()), ("R", residual.type_name())];
    let outputs = [("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&COLUMNS, "columns", &[inputs, outputs].concat())?;
    let ([total, first, count], store) = ([total, first, count].map(|size| size as u32), StoreArgument::from(store));
    device.launch(&kernel, eights(len), &[&x, &total, &first, &count, &residual, &store, &y, &(len as u64)])
}
