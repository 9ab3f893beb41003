//! Every path against the scalar oracle of fp8-core.

use fp8_core::{Overflow, Rounding, Stream};

use super::{decode, encode};
use crate::isa::Isa;
use crate::{DType, Store};

const NARROW: [DType; 7] =
    [DType::E5M2, DType::E4M3, DType::E5M2Fnuz, DType::E4M3Fnuz, DType::E3M4, DType::F16, DType::Bf16];

const ROUNDINGS: [Rounding; 10] = [
    Rounding::NearestEven,
    Rounding::NearestAway,
    Rounding::TowardZero,
    Rounding::TowardPositive,
    Rounding::TowardNegative,
    Rounding::Stochastic { bits: 1 },
    Rounding::Stochastic { bits: 7 },
    Rounding::STOCHASTIC,
    Rounding::Stochastic { bits: 23 },
    Rounding::Stochastic { bits: 32 },
];

/// For every code: its value, the midpoint above it and their f32 neighbours; the ends of f32; a stride through all of it.
fn boundaries(dtype: DType) -> Vec<f32> {
    let format = dtype.format().unwrap();
    let mut magnitudes = vec![0, 1, 2, 0x007F_FFFF, 0x0080_0000, 0x7F7F_FFFF, 0x7F80_0000, 0x7F80_0001, 0x7FFF_FFFF];
    let step = if format.bits() == 8 { 1 } else { 61 };
    for code in (0..=format.max_code()).step_by(step) {
        let (low, high) = (fp8_core::decode(format, code), fp8_core::decode(format, code + 1));
        let next = if high.is_finite() && high > low { high } else { low + low };
        for x in [low, (low + next) / 2.0, low * 0.75 + next * 0.25, next] {
            let bits = (x as f32).to_bits();
            magnitudes.extend([bits.saturating_sub(1), bits, bits + 1]);
        }
    }
    magnitudes.extend((0..=0x7F80_0000).step_by(1_000_003));
    magnitudes.iter().flat_map(|&bits| [bits, bits | 1 << 31]).map(f32::from_bits).collect()
}

fn oracle(store: &Store, first_index: u64, x: &[f32]) -> Vec<u8> {
    let format = store.dtype.format().unwrap();
    let code = |(x, index): (&f32, u64)| {
        let random = match store.rounding {
            Rounding::Stochastic { bits } => store.random.draw(index, bits),
            _ => 0,
        };
        fp8_core::encode(format, f64::from(store.scale * x), store.rounding, store.overflow, random)
    };
    x.iter()
        .zip(first_index..)
        .map(code)
        .flat_map(|code| code.to_le_bytes().into_iter().take(store.dtype.size()))
        .collect()
}

fn check_encode(store: &Store, first_index: u64, x: &[f32]) {
    let expected = oracle(store, first_index, x);
    for isa in Isa::available() {
        let mut found = vec![0xAA; expected.len()];
        encode(isa, store, first_index, x, &mut found);
        let size = store.dtype.size();
        let wrong = found.chunks(size).zip(expected.chunks(size)).position(|(a, b)| a != b);
        if let Some(i) = wrong {
            let (found, expected) = (&found[i * size..][..size], &expected[i * size..][..size]);
            panic!("{isa} {store:?}: {:e} ({:#x}) gave {found:x?}, not {expected:x?}", x[i], x[i].to_bits());
        }
    }
}

#[test]
fn encode_equals_the_oracle() {
    for dtype in NARROW {
        let x = boundaries(dtype);
        for rounding in ROUNDINGS {
            for overflow in [Overflow::Infinity, Overflow::Saturate] {
                let random = Stream { seed: 0x0123_4567_89AB_CDEF, step: 7, id: 9 };
                check_encode(&Store { dtype, rounding, overflow, scale: 1.0, random }, 5, &x);
            }
        }
    }
}

#[test]
fn encode_scales_first() {
    let x: Vec<f32> = (0..1000).map(|i| (i as f32 - 500.0) * 0.37).collect();
    for dtype in NARROW {
        for scale in [0.25, 3.0, 1e6] {
            check_encode(&Store { scale, ..Store::nearest(dtype) }, 0, &x);
        }
    }
}

/// Any length from any index is a window of the same stream.
#[test]
fn draws_depend_on_the_index_alone() {
    let random = Stream { seed: 42, step: 1, id: 2 };
    let store = Store { rounding: Rounding::STOCHASTIC, random, ..Store::nearest(DType::E5M2) };
    let x: Vec<f32> = (0..1100).map(|i| 1.0 + i as f32 / 1100.0).collect();
    for first_index in [0, 1, 7, 8, 4093, (1 << 35) - 5, u64::MAX - 2000] {
        for len in [0, 1, 3, 8, 17, 511, 512, 513, 1100] {
            check_encode(&store, first_index, &x[..len]);
        }
    }
}

#[test]
fn decode_equals_the_oracle() {
    for dtype in NARROW {
        let format = dtype.format().unwrap();
        let codes: Vec<u16> = (0..=u16::MAX >> (16 - format.bits())).collect();
        let bytes: Vec<u8> = codes.iter().flat_map(|code| code.to_le_bytes().into_iter().take(dtype.size())).collect();
        for isa in Isa::available() {
            let mut found = vec![0.0; codes.len()];
            decode(isa, dtype, &bytes, &mut found);
            for (code, found) in codes.iter().zip(found) {
                let expected = fp8_core::decode(format, *code) as f32;
                assert_eq!(found.to_bits(), expected.to_bits(), "{isa} {dtype} {code:#x}: {found} {expected}");
            }
        }
    }
}

#[test]
fn f32_is_copied() {
    let x = [0.0, -0.0, 1.5, f32::INFINITY, f32::MIN_POSITIVE / 8.0];
    for isa in Isa::available() {
        let (mut bytes, mut back) = ([0; 20], [9.0; 5]);
        encode(isa, &Store::F32, 0, &x, &mut bytes);
        decode(isa, DType::F32, &bytes, &mut back);
        assert_eq!(x.map(f32::to_bits), back.map(f32::to_bits));
    }
}
