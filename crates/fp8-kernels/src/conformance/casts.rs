//! Conversions: all inputs by nearest-even, and many by every mode.

use fp8_core::{Overflow, Rounding, Stream};

use super::downloaded;
use super::inputs::Inputs;
use crate::{Backend, Buffer, DType, Result, Store};

const NARROW: [DType; 7] =
    [DType::E5M2, DType::E4M3, DType::E5M2Fnuz, DType::E4M3Fnuz, DType::E3M4, DType::F16, DType::Bf16];

/// All 2^32 values of FP32, to every format by nearest-even, in parts of `2^bits`: tells of formats whose bytes are not those of `expected`.
///
/// # Errors
/// Those of the backends.
pub fn all_inputs(found: &dyn Backend, expected: &dyn Backend, bits: u32) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for part in 0..1_u32 << (32 - bits) {
        let first = u64::from(part) << bits;
        let bytes: Vec<u8> = (first..first + (1 << bits)).flat_map(|x| (x as u32).to_le_bytes()).collect();
        let stores = NARROW.map(Store::nearest);
        wrong.extend(
            differences(found, expected, &bytes, &stores)?.iter().map(|text| format!("{text} from {first:#x} on")),
        );
    }
    Ok(wrong)
}

/// `len` random bit patterns and every special value, to every format by every rounding, 1 to 32 random bits, and both rules for overflow; by nearest-even and stochastic
/// rounding also scaled.
///
/// # Errors
/// Those of the backends.
pub fn every_mode(found: &dyn Backend, expected: &dyn Backend, len: usize) -> Result<Vec<String>> {
    let (values, random) = (Stream { seed: 7, step: 8, id: 9 }, Stream { seed: u64::MAX - 3, step: 1 << 31, id: 2 });
    let special = [0, 1, 0x007F_FFFF, 0x0080_0000, 0x7F7F_FFFF, 0x7F80_0000, 0x7F80_0001, 0x7FC0_0000, 0x477F_FFFF];
    let between = |x: u32, least: u32, exponents: u32| x & 0x807F_FFFF | (127 + (x >> 23) % exponents - least) << 23;
    // Half of them near the ranges of the formats: exponents from -28 to 18. Of every fourth 64 all are within those: from -28 to 0.
    let value = |i: usize| match (special.get(i / 2), values.draw(i as u64, 32)) {
        (Some(bits), _) => bits | (i as u32 % 2) << 31,
        (None, x) if i / 64 % 4 == 3 => between(x, 28, 29),
        (None, x) if i.is_multiple_of(2) => x,
        (None, x) => between(x, 28, 47),
    };
    let bytes: Vec<u8> = (0..len).flat_map(|i| value(i).to_le_bytes()).collect();
    let fixed = [
        Rounding::NearestEven,
        Rounding::NearestAway,
        Rounding::TowardZero,
        Rounding::TowardPositive,
        Rounding::TowardNegative,
    ];
    let roundings = fixed.into_iter().chain((1..=32).map(|bits| Rounding::Stochastic { bits }));
    let modes =
        roundings.flat_map(|rounding| [Overflow::Infinity, Overflow::Saturate].map(|overflow| (rounding, overflow)));
    let stores = modes
        .flat_map(|(rounding, overflow)| NARROW.map(|dtype| Store { dtype, rounding, overflow, scale: 1.0, random }));
    let scales = [2.0_f32.powi(-27), 2.0_f32.powi(-19), 0.25, 3.0, -1.0, 2.0_f32.powi(19), 2.0_f32.powi(27)];
    let scaled = [Rounding::NearestEven, Rounding::STOCHASTIC].into_iter().flat_map(|rounding| {
        let overflow = Overflow::Infinity;
        scales.into_iter().flat_map(move |scale| NARROW.map(|dtype| Store { dtype, rounding, overflow, scale, random }))
    });
    let stores: Vec<Store> = stores.chain(scaled).collect();
    differences(found, expected, &bytes, &stores)
}

/// Stores by which the two backends do not make the same bytes of the same FP32.
fn differences(found: &dyn Backend, expected: &dyn Backend, x: &[u8], stores: &[Store]) -> Result<Vec<String>> {
    let backends = [found, expected];
    let inputs = backends.map(|backend| Inputs(backend).uploaded(DType::F32, x));
    let [Ok(one), Ok(other)] = inputs else {
        return inputs.into_iter().collect::<Result<Vec<Buffer>>>().map(|_| Vec::new());
    };
    let mut wrong = Vec::new();
    for store in stores {
        let mut outputs = Vec::new();
        for (backend, x) in backends.into_iter().zip([&one, &other]) {
            let mut y = backend.alloc(store.dtype, x.len())?;
            backend.cast(x, 1.0, store, &mut y)?;
            outputs.push(downloaded(backend, &y)?);
        }
        if outputs[0] != outputs[1] {
            let count = outputs[0].iter().zip(&outputs[1]).filter(|(a, b)| a != b).count();
            let at = outputs[0].iter().zip(&outputs[1]).position(|(a, b)| a != b).unwrap_or(0) / store.dtype.size();
            let bits = x.get(4 * at..4 * at + 4).unwrap_or_default();
            wrong.push(format!(
                "{} by {}, {}, scale {:e}: {count} bytes, the first of {bits:02x?}",
                store.dtype, store.rounding, store.overflow, store.scale
            ));
        }
    }
    Ok(wrong)
}
