//! Fixtures of PyTorch's results: tensors that both sides make from a hash, and what is kept of the others.

use fp8_autograd::{Array, Values};
use fp8_core::Stream;
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Tensor {
    /// L2 norm, then 8 projections.
    pub sketch: [f64; 9],
}

/// The finaliser of MurmurHash3 over FNV-1a of the name plus a Weyl sequence.
fn hash(name: u32, index: usize) -> u32 {
    let mut x = (index as u32).wrapping_mul(0x9E37_79B9).wrapping_add(name);
    for (shift, factor) in [(16, 0x85EB_CA6B), (13, 0xC2B2_AE35), (16, 1)] {
        x = (x ^ (x >> shift)).wrapping_mul(factor);
    }
    x
}

/// offset + limit u, u uniform on [-1, 1) in steps of 2^-23.
pub fn uniform(name: &str, len: usize, limit: f64, offset: f64) -> Vec<f32> {
    let name = Stream::id(name);
    let unit = |index| f64::from(hash(name, index) >> 8) / f64::from(1 << 23) - 1.0;
    (0..len).map(|index| (offset + limit * unit(index)) as f32).collect()
}

/// The estimated L2 norm of the difference to the fixture's tensor, relative to its norm.
pub fn difference(name: &str, values: &[f64], expected: &Tensor) -> f64 {
    let seed = Stream::id(&format!("signs of {name}"));
    let mut projections = [0.0; 8];
    for (index, value) in values.iter().enumerate() {
        let signs = hash(seed, index);
        for (j, projection) in projections.iter_mut().enumerate() {
            *projection += if signs >> j & 1 == 1 { -value } else { *value };
        }
    }
    let squares = projections.iter().zip(&expected.sketch[1..]).map(|(found, expected)| (found - expected).powi(2));
    (squares.sum::<f64>() / 8.0).sqrt() / expected.sketch[0].max(1e-30)
}

/// Its floats.
pub fn numbers(array: &Array) -> &[f32] {
    match &array.values {
        Values::F32(values) => values,
        Values::I64(_) => panic!("{} holds counters", array.name),
    }
}
