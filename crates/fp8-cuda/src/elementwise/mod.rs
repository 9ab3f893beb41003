//! Operations whose element y_i is a function of the elements i of the inputs. A thread computes eight.

use fp8_kernels::{Buffer, Result, Store};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::kernels::{Grid, Source, source};

static CAST: Source = source!("elementwise/cast.cu");

/// Threads for `len` elements.
fn grid(len: usize) -> Grid {
    Grid::over(len.div_ceil(8))
}

pub(crate) fn cast(device: &Device, x: &Buffer, x_scale: f32, store: &Store, y: &mut Buffer) -> Result<()> {
    let (op, len) = (device.op("cast"), x.len());
    let (x, y) = (op.float("x", x, y.len())?, op.output("y", y, store, len)?);
    let defines = [("X", x.type_name()), ("Y", y.type_name()), ("Y_ROUNDING", rounding_name(store))];
    let kernel = device.kernel(&CAST, "cast", &defines)?;
    device.launch(&kernel, grid(len), &[&x, &x_scale, &StoreArgument::from(store), &y, &(len as u64)])
}

/// Every type in and out, and every rounding.
#[cfg(test)]
pub(crate) fn builds() -> Vec<crate::kernels::Build> {
    let types = ["F32", "F16", "Bf16", "E5M2", "E4M3", "E5M2Fnuz", "E4M3Fnuz", "E3M4"];
    let roundings = ["RNE", "RNA", "RTZ", "RTP", "RTN", "SR", "SR_WIDE"].into_iter().cycle();
    let define = |(dtype, rounding)| vec![("X", dtype), ("Y", dtype), ("Y_ROUNDING", rounding)];
    types
        .into_iter()
        .zip(roundings)
        .map(|pair| crate::kernels::Build { source: &CAST, defines: define(pair) })
        .collect()
}
