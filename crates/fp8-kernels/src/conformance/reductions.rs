//! Reductions to a number, and over rows.

use super::Case;
use super::inputs::{Inputs, store};
use crate::{Backend, Buffer, DType, Result};

pub(super) fn cases() -> Vec<Case> {
    let lens = [0, 1, 15, 17, 32_768, 100_003];
    let types = [DType::F32, DType::E5M2, DType::F16];
    let numbers = lens.into_iter().flat_map(|len| types.map(|dtype| (len, dtype)));
    let mut cases: Vec<Case> =
        numbers.flat_map(|(len, dtype)| [false, true].map(|special| to_a_number(len, dtype, special))).collect();
    cases.push(Case::new("sums of squares", sums_of_squares));
    for (n, (rows, columns)) in [(1, 1), (0, 3), (5000, 7), (3, 40_000), (777, 64), (1, 0)].into_iter().enumerate() {
        cases.push(Case::new(format!("sum_rows {rows} x {columns}"), move |backend| {
            let (inputs, store) = (Inputs(backend), store(n));
            let dy = inputs.float(DType::E5M2, 1, rows * columns)?;
            let mut db = inputs.output(store.dtype, columns)?;
            backend.sum_rows(rows, columns, &dy, &store, &mut db)?;
            Ok(vec![db])
        }));
    }
    cases
}

fn to_a_number(len: usize, dtype: DType, special: bool) -> Case {
    Case::new(format!("reductions {dtype} {len} special {special}"), move |backend| {
        let inputs = Inputs(backend);
        let x = if special { inputs.special(dtype, 3, len) } else { inputs.float(dtype, 3, len) }?;
        let sum = if dtype == DType::F32 { backend.sum(&x)? } else { 0.0 };
        let floats = [backend.amax(&x)?, sum, backend.sum_squares(&x, 4.0)?];
        let counts = [backend.count_non_finite(&x)?, backend.count_zero(&x)?].map(|count| count as u32);
        let bits: Vec<u32> = floats.map(f32::to_bits).into_iter().chain(counts).collect();
        Ok(vec![inputs.numbers(&bits)?])
    })
}

/// Of tensors of several types together, none and special ones among them.
fn sums_of_squares(backend: &dyn Backend) -> Result<Vec<Buffer>> {
    let inputs = Inputs(backend);
    let types = [DType::E5M2, DType::F32, DType::F16, DType::E4M3];
    let lens = [0, 1, 1024, 32_768, 32_769, 1_300_007, 33, 65_536];
    let tensor = |(seed, len): (u32, usize)| {
        let dtype = types[seed as usize % 4 * usize::from(seed < 16)];
        Ok((if seed % 8 == 6 { inputs.special(dtype, seed, len) } else { inputs.float(dtype, seed, len) }?, seed))
    };
    let tensors = (0..24).zip(lens.into_iter().cycle()).map(tensor).collect::<Result<Vec<_>>>()?;
    let scaled: Vec<_> = tensors.iter().map(|(x, seed)| (x, [1.0, 3.0][*seed as usize / 3 % 2])).collect();
    let bits: Vec<u32> = backend.sums_of_squares(&scaled)?.into_iter().map(f32::to_bits).collect();
    Ok(vec![inputs.numbers(&bits)?])
}
