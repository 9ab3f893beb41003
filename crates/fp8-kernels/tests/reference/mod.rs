//! What ml_dtypes makes of every f32: digests written by `tools/reference/casts.py`.

use fp8_kernels::isa::Isa;
use fp8_kernels::{DType, Store, codec};
use sha2::{Digest, Sha256};

/// The 8-bit types.
pub const TYPES: [DType; 5] = [DType::E5M2, DType::E4M3, DType::E5M2Fnuz, DType::E4M3Fnuz, DType::E3M4];

/// The digests of a line of the fixture: of the line `subset`, or of the 16 chunks of values whose topmost byte begins with a
/// hexadecimal digit.
pub fn expected(dtype: DType, line: &str) -> Vec<&'static str> {
    let prefix = format!("{dtype} {line} ");
    let digests = include_str!("../fixtures/casts.txt").lines().find_map(|line| line.strip_prefix(&prefix));
    digests.expect("the fixture has every format and chunk").split(' ').collect()
}

/// Of our codes of `x`, to nearest even.
pub fn digest(isa: Isa, dtype: DType, x: &[f32]) -> String {
    let mut codes = vec![0; x.len()];
    codec::encode(isa, &Store::nearest(dtype), 0, x, &mut codes);
    Sha256::digest(codes)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
