//! The generic scalar conversions: the oracle of every faster path.

use crate::{Format, Overflow, Rounding, Specials};

/// The code of `x` in `format`, rounded once from the exact value.
///
/// `random` is used by [`Rounding::Stochastic`] alone and must lie in `0..2^bits`. NaN stays NaN (sign kept where the
/// format's NaN has one, payload canonical); zeros keep their sign where the format has a negative zero.
pub const fn encode(format: Format, x: f64, rounding: Rounding, overflow: Overflow, random: u32) -> u16 {
    let bits = x.to_bits();
    let negative = bits >> 63 != 0;
    if x.is_nan() {
        return with_sign(format, format.nan_code(), negative);
    }
    if x.is_infinite() {
        return with_sign(format, overflowed(format, overflow), negative);
    }
    // |x| = significand * 2^(exponent - 52), exactly.
    let field = ((bits >> 52) & 0x7FF) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let (significand, exponent) = if field == 0 { (fraction, -1022) } else { (fraction | 1 << 52, field - 1023) };
    if significand == 0 {
        return with_sign(format, 0, negative);
    }
    // One unit of the code is 2^(scale - mantissa_bits); the neighbours of |x| are the integers around |x| / unit.
    let scale = if exponent > format.min_exponent() { exponent } else { format.min_exponent() };
    let shift = (52 - format.mantissa_bits as i32 + (scale - exponent)) as u32;
    let (floor, rest) = split(significand, shift);
    let up = rounds_up(rounding, negative, floor, rest, shift, random);
    let magnitude = (((scale - format.min_exponent()) as u64) << format.mantissa_bits) + floor + up as u64;
    if magnitude <= format.max_code() as u64 {
        return with_sign(format, magnitude as u16, negative);
    }
    let code = match (rounding, negative) {
        (Rounding::TowardZero, _) | (Rounding::TowardPositive, true) | (Rounding::TowardNegative, false) => {
            format.max_code()
        }
        _ => overflowed(format, overflow),
    };
    with_sign(format, code, negative)
}

/// The exact value of `code`.
pub const fn decode(format: Format, code: u16) -> f64 {
    let negative = code & format.sign_mask() != 0;
    let magnitude = code & (format.sign_mask() - 1);
    let sign = if negative { -1.0 } else { 1.0 };
    if let Specials::Fnuz = format.specials
        && code == format.nan_code()
    {
        return f64::NAN;
    }
    if magnitude > format.max_code() {
        return match format.infinity_code() {
            Some(infinity) if magnitude == infinity => sign * f64::INFINITY,
            _ => f64::NAN.copysign(sign),
        };
    }
    let field = (magnitude >> format.mantissa_bits) as i32;
    let fraction = (magnitude & ((1 << format.mantissa_bits) - 1)) as u64;
    let (significand, exponent) = if field == 0 {
        (fraction, format.min_exponent())
    } else {
        (fraction | 1 << format.mantissa_bits, field - format.bias)
    };
    sign * significand as f64 * power_of_two(exponent - format.mantissa_bits as i32)
}

/// 2^exponent for exponents of normal f64 values.
const fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// Integer part of `significand / 2^shift`, and what is left (in units of 2^-shift).
const fn split(significand: u64, shift: u32) -> (u64, u64) {
    if shift >= 64 { (0, significand) } else { (significand >> shift, significand & ((1 << shift) - 1)) }
}

const fn rounds_up(rounding: Rounding, negative: bool, floor: u64, rest: u64, shift: u32, random: u32) -> bool {
    // 2 * rest against 2^shift, without overflow: rest < 2^53.
    let (twice, one) = (rest * 2, if shift < 64 { 1 << shift } else { u64::MAX });
    match rounding {
        Rounding::NearestEven => twice > one || (twice == one && floor % 2 == 1),
        Rounding::NearestAway => twice >= one,
        Rounding::TowardZero => false,
        Rounding::TowardPositive => rest != 0 && !negative,
        Rounding::TowardNegative => rest != 0 && negative,
        Rounding::Stochastic { bits } => {
            if shift > 64 + bits as u32 {
                return false; // floor(f * 2^bits) is 0
            }
            let position = ((rest as u128) << bits) >> shift;
            position + random as u128 >= 1 << bits
        }
    }
}

const fn overflowed(format: Format, overflow: Overflow) -> u16 {
    match (overflow, format.infinity_code()) {
        (Overflow::Saturate, _) => format.max_code(),
        (Overflow::Infinity, Some(infinity)) => infinity,
        (Overflow::Infinity, None) => format.nan_code(),
    }
}

const fn with_sign(format: Format, magnitude: u16, negative: bool) -> u16 {
    match format.specials {
        // One zero, one NaN: neither has a sign.
        Specials::Fnuz if magnitude == 0 || magnitude == format.nan_code() => magnitude,
        _ if negative => magnitude | format.sign_mask(),
        _ => magnitude,
    }
}
