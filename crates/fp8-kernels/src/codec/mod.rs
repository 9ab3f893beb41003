//! Slices of floating-point codes, to and from f32: the only place that knows how elements lie in memory.
//!
//! Other kernels compute in f32 on blocks of a few hundred elements that stay in the L1 cache, and call [`decode`] and
//! [`encode`] at both ends; so none of them is written or compiled per element type.

use fp8_core::Format;

use crate::isa::Isa;
use crate::{DType, Store};

/// out = the exact values of `bytes`, which holds `out.len()` elements of `dtype` (little-endian).
///
/// # Panics
/// Where `dtype` is not floating, or the lengths disagree.
pub fn decode(_isa: Isa, dtype: DType, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(bytes.len(), out.len() * dtype.size(), "decode: bytes");
    match dtype.format() {
        None => decode_f32(dtype, bytes, out),
        Some(format) if dtype.size() == 1 => {
            for (out, byte) in out.iter_mut().zip(bytes) {
                *out = fp8_core::decode(format, u16::from(*byte)) as f32;
            }
        }
        Some(format) => {
            for (out, code) in out.iter_mut().zip(bytes.as_chunks().0) {
                *out = fp8_core::decode(format, u16::from_le_bytes(*code)) as f32;
            }
        }
    }
}

/// out = the codes of `store.scale * x`, rounded once as `store` says; `out` holds `x.len()` elements of `store.dtype`
/// (little-endian). Under stochastic rounding element `i` takes draw `first_index + i` of `store.random`.
///
/// # Panics
/// Where `store.dtype` is not floating, or the lengths disagree.
pub fn encode(_isa: Isa, store: &Store, first_index: u64, x: &[f32], out: &mut [u8]) {
    assert_eq!(out.len(), x.len() * store.dtype.size(), "encode: bytes");
    let codes = |format: Format| {
        x.iter().zip(first_index..).map(move |(x, index)| {
            let random = match store.rounding {
                fp8_core::Rounding::Stochastic { bits } => store.random.draw(index, bits),
                _ => 0,
            };
            fp8_core::encode(format, f64::from(store.scale * x), store.rounding, store.overflow, random)
        })
    };
    match store.dtype.format() {
        None => encode_f32(store, x, out),
        Some(format) if store.dtype.size() == 1 => {
            for (out, code) in out.iter_mut().zip(codes(format)) {
                *out = code as u8;
            }
        }
        Some(format) => {
            for (out, code) in out.as_chunks_mut().0.iter_mut().zip(codes(format)) {
                *out = code.to_le_bytes();
            }
        }
    }
}

fn decode_f32(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(dtype, DType::F32, "decode: not a floating type");
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = f32::from_le_bytes(*bytes);
    }
}

fn encode_f32(store: &Store, x: &[f32], out: &mut [u8]) {
    assert_eq!(store.dtype, DType::F32, "encode: not a floating type");
    for (out, x) in out.as_chunks_mut().0.iter_mut().zip(x) {
        *out = (store.scale * x).to_le_bytes();
    }
}
