//! What ml_dtypes makes of every f32: digests written by `tools/reference/casts.py`.

use fp8_kernels::isa::Isa;
use fp8_kernels::{DType, Store, codec};
use sha2::{Digest, Sha256};

/// The 8-bit types.
pub const TYPES: [DType; 5] = [DType::E5M2, DType::E4M3, DType::E5M2Fnuz, DType::E4M3Fnuz, DType::E3M4];

/// Of ml_dtypes' codes of one chunk: `subset`, or the topmost byte of its values.
pub fn expected(dtype: DType, chunk: &str) -> &'static str {
    let lines = include_str!("../fixtures/casts.txt").lines();
    let prefix = format!("{dtype} {chunk} ");
    lines.filter_map(|line| line.strip_prefix(&prefix)).next().expect("the fixture has every format and chunk")
}

/// Of our codes of `x`, to nearest even.
pub fn digest(isa: Isa, dtype: DType, x: &[f32]) -> String {
    let mut codes = vec![0; x.len()];
    codec::encode(isa, &Store::nearest(dtype), 0, x, &mut codes);
    Sha256::digest(codes)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
