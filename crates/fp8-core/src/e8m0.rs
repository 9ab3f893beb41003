//! E8M0: the scales of the OCP MX formats.

use core::cmp::Ordering;

use crate::traits::{compare, numbers};
use crate::{Format, Overflow, Rounding, Specials, decode, encode};

/// A power of two: code `c` is `2^(c - 127)`, `0xFF` is NaN. No sign, no zero, no infinity
/// (OCP Microscaling Formats 1.0, section 5.4.1).
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct E8M0(u8);

impl E8M0 {
    /// 2^0.
    pub const ONE: Self = Self(127);
    /// 2^127.
    pub const MAX: Self = Self(254);
    /// 2^-127.
    pub const MIN: Self = Self(0);
    /// The smallest positive value, 2^-127: [`Self::MIN`], as all values are positive and normal.
    pub const MIN_POSITIVE: Self = Self::MIN;
    /// NaN.
    pub const NAN: Self = Self(255);

    /// The value with this code.
    pub const fn from_bits(code: u8) -> Self {
        Self(code)
    }

    /// The code.
    pub const fn to_bits(self) -> u8 {
        self.0
    }

    /// `x` rounded once to a power of two.
    ///
    /// A tie lies at 1.5 times a power of two and goes up in both nearest roundings, for the significand 1 is odd. What is below 2^-127, zero
    /// included, becomes 2^-127 in every rounding; negative numbers and NaN become NaN. Past 2^127 the overflow policy
    /// decides as for [`encode`], NaN standing for infinity.
    pub const fn round(x: f64, rounding: Rounding, overflow: Overflow, random: u32) -> Self {
        if x.is_nan() || x < 0.0 {
            return Self::NAN;
        }
        if x <= Self::MIN.to_f64() {
            return Self::MIN;
        }
        Self((encode(POWERS, x, rounding, overflow, random) as u8).wrapping_sub(1))
    }

    /// The greatest power of two not above `x`, as the MX specification makes scales; saturates.
    pub const fn floor(x: f32) -> Self {
        Self::round(x as f64, Rounding::TowardZero, Overflow::Saturate, 0)
    }

    /// The least power of two not below `x`; saturates.
    pub const fn ceil(x: f32) -> Self {
        Self::round(x as f64, Rounding::TowardPositive, Overflow::Saturate, 0)
    }

    /// The nearest power of two, ties (1.5 times a power of two) upward, as [`Self::round`] to nearest: what is below 2^-127, zero
    /// included, becomes 2^-127; negative numbers, NaN, and what rounds past 2^127 (from 1.5 * 2^127 on) become NaN.
    pub const fn from_f64(x: f64) -> Self {
        Self::round(x, Rounding::NearestEven, Overflow::Infinity, 0)
    }

    /// As [`Self::from_f64`].
    pub const fn from_f32(x: f32) -> Self {
        Self::from_f64(x as f64)
    }

    /// The exact value.
    pub const fn to_f64(self) -> f64 {
        decode(POWERS, self.0 as u16 + 1)
    }

    /// The exact value; the smallest is subnormal in f32.
    pub const fn to_f32(self) -> f32 {
        self.to_f64() as f32
    }

    /// Whether this is NaN.
    pub const fn is_nan(self) -> bool {
        self.0 == Self::NAN.0
    }

    /// The order of the values, NaN last.
    pub const fn total_cmp(&self, other: &Self) -> Ordering {
        compare(self.0 as i16, other.0 as i16)
    }
}

/// The powers of two as a format without mantissa: its zero, and its NaN, are one code below and above those of E8M0.
const POWERS: Format = Format { name: "e8m0", exponent_bits: 8, mantissa_bits: 0, bias: 128, specials: Specials::Fnuz };

/// One: the scale that changes nothing.
impl Default for E8M0 {
    fn default() -> Self {
        Self::ONE
    }
}

impl PartialEq for E8M0 {
    fn eq(&self, other: &Self) -> bool {
        !self.is_nan() && self.0 == other.0
    }
}

impl PartialOrd for E8M0 {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self.is_nan() || other.is_nan() { None } else { Some(self.0.cmp(&other.0)) }
    }
}

numbers!(E8M0, POWERS.name);
