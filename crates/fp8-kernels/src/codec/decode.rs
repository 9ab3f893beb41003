//! Codes to f32, exactly.

use fp8_core::{Format, Specials};

#[cfg(target_arch = "x86_64")]
use super::{half, lookup};
use crate::isa::Isa;
use crate::{DType, per_isa};

/// out = the exact values of `bytes`, which holds `out.len()` elements of `dtype` (little-endian).
///
/// NaN becomes the canonical quiet NaN, its sign kept where the format's NaN has one.
///
/// # Panics
/// Where `dtype` is not floating, or the lengths disagree.
pub fn decode(isa: Isa, dtype: DType, bytes: &[u8], out: &mut [f32]) {
    decode_each(isa, dtype, std::iter::once((bytes, out)));
}

/// The same, piece by piece: tables are read once for all of them.
///
/// # Panics
/// As [`decode`].
pub(crate) fn decode_each<'a>(isa: Isa, dtype: DType, pieces: impl Iterator<Item = (&'a [u8], &'a mut [f32])>) {
    assert!(dtype.is_float(), "decode: {dtype} is not floating");
    #[cfg(target_arch = "x86_64")]
    if dtype.size() == 1 && matches!(isa, Isa::Avx512 | Isa::Amx) {
        // SAFETY: a value of `Isa` exists only where the CPU has that instruction set.
        return unsafe { lookup::decode_each(dtype, pieces) };
    }
    for (bytes, out) in pieces {
        decode_piece(isa, dtype, bytes, out);
    }
}

fn decode_piece(isa: Isa, dtype: DType, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(bytes.len(), out.len() * dtype.size(), "decode: bytes of {} elements of {dtype}", out.len());
    match dtype.format().map(|format| (format, dtype.size())) {
        None => decode_f32(bytes, out),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a value of `Isa` exists only where the CPU has that instruction set.
        Some(_) if matches!(isa, Isa::Avx512 | Isa::Amx) && dtype == DType::F16 => unsafe {
            half::decode_f16_by_16(bytes.as_chunks().0, out)
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Some(_) if isa == Isa::Avx2 && dtype == DType::E5M2 => unsafe { half::decode_e5m2(bytes, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Some(_) if isa == Isa::Avx2 && dtype == DType::F16 => unsafe { half::decode_f16(bytes.as_chunks().0, out) },
        Some((format, 1)) => decode_8(isa, &Source::new(format), bytes, out),
        Some((format, _)) => decode_16(isa, &Source::new(format), bytes.as_chunks().0, out),
    }
}

fn decode_f32(bytes: &[u8], out: &mut [f32]) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = f32::from_le_bytes(*bytes);
    }
}

/// A format in terms of the bits of f32.
struct Source {
    /// Sign bit of a code.
    sign: u32,
    /// From the mantissa of a code to that of f32.
    shift: u32,
    /// Added to a shifted code: the difference of the biases.
    rebias: u32,
    /// Magnitudes below are subnormal: multiples of `unit`.
    normal: u32,
    /// The smallest subnormal value.
    unit: f32,
    /// Magnitudes from here on are infinity (this one, where the format has it) or NaN.
    special: u32,
    /// f32 bits of `special`.
    first_special: u32,
    /// The code of the only NaN, where that is negative zero.
    negative_zero: u32,
}

const INFINITY: u32 = f32::INFINITY.to_bits();
const NAN: u32 = f32::NAN.to_bits();
/// A number that no code has.
const NO_CODE: u32 = u32::MAX;

impl Source {
    #[inline]
    fn new(format: Format) -> Self {
        let fnuz = matches!(format.specials, Specials::Fnuz);
        // Subnormals of bf16 are those of f32.
        let like_f32 = format.bias == 127;
        let unit_exponent = (127 + format.min_exponent() - format.mantissa_bits as i32) as u32;
        Self {
            sign: u32::from(format.sign_mask()),
            shift: 23 - format.mantissa_bits,
            rebias: ((127 - format.bias) as u32) << 23,
            normal: if like_f32 { 0 } else { 1 << format.mantissa_bits },
            unit: if like_f32 { 0.0 } else { f32::from_bits(unit_exponent << 23) },
            special: u32::from(format.max_code()) + 1,
            first_special: if format.infinity_code().is_some() { INFINITY } else { NAN },
            negative_zero: if fnuz { u32::from(format.sign_mask()) } else { NO_CODE },
        }
    }

    #[inline(always)]
    fn value(&self, code: u32) -> f32 {
        let magnitude = code & (self.sign - 1);
        let mut bits = (magnitude << self.shift) + self.rebias;
        if magnitude < self.normal {
            bits = (magnitude as i32 as f32 * self.unit).to_bits();
        }
        if magnitude >= self.special {
            bits = if magnitude == self.special { self.first_special } else { NAN };
        }
        bits |= if code & self.sign != 0 { 1 << 31 } else { 0 };
        f32::from_bits(if code == self.negative_zero { NAN } else { bits })
    }
}

per_isa! {
    fn decode_8(source: &Source, codes: &[u8], out: &mut [f32]) {
        for (out, code) in out.iter_mut().zip(codes) {
            *out = source.value(u32::from(*code));
        }
    }

    fn decode_16(source: &Source, codes: &[[u8; 2]], out: &mut [f32]) {
        for (out, code) in out.iter_mut().zip(codes) {
            *out = source.value(u32::from(u16::from_le_bytes(*code)));
        }
    }
}
