//! Reductions to a number, and over rows.

use super::Case;
use super::inputs::{Inputs, store};
use crate::DType;

pub(super) fn cases() -> Vec<Case> {
    let lens = [0, 1, 15, 17, 32_768, 100_003];
    let types = [DType::F32, DType::E5M2, DType::F16];
    let numbers = lens.into_iter().flat_map(|len| types.map(|dtype| (len, dtype)));
    let mut cases: Vec<Case> =
        numbers.flat_map(|(len, dtype)| [false, true].map(|special| to_a_number(len, dtype, special))).collect();
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
