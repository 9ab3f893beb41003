//! The 8-bit formats as types.

use core::cmp::Ordering;
use core::num::FpCategory;

use half::{bf16, f16};

use crate::traits::{compare, numbers};
use crate::{Format, Overflow, Rounding, Specials, decode, encode};

/// A type over the codes of one format.
macro_rules! float8 {
    ($(#[$meta:meta])* $name:ident = $format:expr) => {
        $(#[$meta])*
        ///
        /// One byte. Comparison is that of the values (`NaN != NaN`, `0 == -0` where both exist). There is no
        /// arithmetic: convert to f32, compute, and round once.
        #[derive(Clone, Copy, Default)]
        #[repr(transparent)]
        pub struct $name(u8);

        impl $name {
            /// The descriptor.
            pub const FORMAT: Format = $format;
            /// Zero.
            pub const ZERO: Self = Self(0);
            /// One.
            pub const ONE: Self = Self::from_f64(1.0);
            /// The largest finite value.
            pub const MAX: Self = Self(Self::FORMAT.max_code() as u8);
            /// The most negative finite value.
            pub const MIN: Self = Self::MAX.negate();
            /// The smallest positive normal value.
            pub const MIN_POSITIVE: Self = Self(1 << Self::FORMAT.mantissa_bits);
            /// The smallest positive value.
            pub const MIN_POSITIVE_SUBNORMAL: Self = Self(1);
            /// The distance from 1 to the next larger value.
            pub const EPSILON: Self = Self::from_f64(Self::ONE.next_up().to_f64() - 1.0);
            /// The canonical NaN.
            pub const NAN: Self = Self(Self::FORMAT.nan_code() as u8);

            /// The value with this code.
            pub const fn from_bits(code: u8) -> Self {
                Self(code)
            }

            /// The code.
            pub const fn to_bits(self) -> u8 {
                self.0
            }

            /// `x` rounded once; see [`encode`] for `random`.
            pub const fn round(x: f64, rounding: Rounding, overflow: Overflow, random: u32) -> Self {
                Self(encode(Self::FORMAT, x, rounding, overflow, random) as u8)
            }

            /// To nearest, ties to even; overflow to infinity (NaN where there is none).
            pub const fn from_f64(x: f64) -> Self {
                Self::round(x, Rounding::NearestEven, Overflow::Infinity, 0)
            }

            /// As [`Self::from_f64`].
            pub const fn from_f32(x: f32) -> Self {
                Self::from_f64(x as f64)
            }

            /// As [`Self::from_f64`].
            pub const fn from_f16(x: f16) -> Self {
                Self::from_f64(x.to_f64_const())
            }

            /// As [`Self::from_f64`].
            pub const fn from_bf16(x: bf16) -> Self {
                Self::from_f64(x.to_f64_const())
            }

            /// The exact value.
            pub const fn to_f64(self) -> f64 {
                decode(Self::FORMAT, self.0 as u16)
            }

            /// The exact value.
            pub const fn to_f32(self) -> f32 {
                self.to_f64() as f32
            }

            /// The exact value.
            pub const fn to_f16(self) -> f16 {
                f16::from_bits(encode(Format::F16, self.to_f64(), Rounding::NearestEven, Overflow::Infinity, 0))
            }

            /// The exact value.
            pub const fn to_bf16(self) -> bf16 {
                bf16::from_bits(encode(Format::BF16, self.to_f64(), Rounding::NearestEven, Overflow::Infinity, 0))
            }

            /// Zero, subnormal, normal, infinite or NaN.
            pub const fn classify(self) -> FpCategory {
                Self::FORMAT.classify(self.0 as u16)
            }

            /// Whether this is NaN.
            pub const fn is_nan(self) -> bool {
                matches!(self.classify(), FpCategory::Nan)
            }

            /// Whether this is an infinity.
            pub const fn is_infinite(self) -> bool {
                matches!(self.classify(), FpCategory::Infinite)
            }

            /// Whether this is neither an infinity nor NaN.
            pub const fn is_finite(self) -> bool {
                !self.is_nan() && !self.is_infinite()
            }

            /// Whether this is subnormal.
            pub const fn is_subnormal(self) -> bool {
                matches!(self.classify(), FpCategory::Subnormal)
            }

            /// Whether the sign bit is set: of negative zero and of a negative NaN too.
            pub const fn is_sign_negative(self) -> bool {
                self.0 & 0x80 != 0
            }

            /// Without its sign.
            pub const fn abs(self) -> Self {
                if self.is_sign_negative() { self.negate() } else { self }
            }

            /// With the other sign; a zero or NaN without a sign stays as it is.
            pub const fn negate(self) -> Self {
                Self(Self::FORMAT.negate(self.0 as u16) as u8)
            }

            /// The least value above; see [`Format::next_up`].
            pub const fn next_up(self) -> Self {
                Self(Self::FORMAT.next_up(self.0 as u16) as u8)
            }

            /// The greatest value below; see [`Format::next_up`].
            pub const fn next_down(self) -> Self {
                Self(Self::FORMAT.next_down(self.0 as u16) as u8)
            }

            /// The total order of IEEE 754-2008, section 5.10: negative NaNs, negative values, -0, +0, positive values,
            /// positive NaNs. A NaN without a sign comes first.
            pub const fn total_cmp(&self, other: &Self) -> Ordering {
                compare(self.place(), other.place())
            }

            /// The place in the total order.
            const fn place(self) -> i16 {
                let code = self.0 as i8;
                match Self::FORMAT.specials {
                    Specials::Fnuz if self.is_nan() => i16::MIN,
                    // Negative codes grow away from zero: their magnitudes are turned round.
                    _ => (code ^ ((code >> 7) as u8 >> 1) as i8) as i16,
                }
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.to_f32() == other.to_f32()
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                self.to_f32().partial_cmp(&other.to_f32())
            }
        }

        impl core::ops::Neg for $name {
            type Output = Self;

            fn neg(self) -> Self {
                self.negate()
            }
        }

        impl From<$name> for f16 {
            fn from(x: $name) -> f16 {
                x.to_f16()
            }
        }

        impl From<$name> for bf16 {
            fn from(x: $name) -> bf16 {
                x.to_bf16()
            }
        }

        numbers!($name, Self::FORMAT.name);
    };
}

/// Infinities, where the format has them.
macro_rules! infinities {
    ($($name:ident),+) => {$(
        impl $name {
            /// Positive infinity.
            pub const INFINITY: Self = Self::MAX.next_up();
            /// Negative infinity.
            pub const NEG_INFINITY: Self = Self::MIN.next_down();
        }
    )+};
}

float8! {
    /// E5M2: the upper byte of an IEEE binary16. Largest finite 57344, smallest normal 2^-14, smallest subnormal 2^-16.
    E5M2 = Format::E5M2
}
float8! {
    /// E4M3 as in OCP OFP8: no infinity. Largest finite 448, smallest normal 2^-6, smallest subnormal 2^-9.
    E4M3 = Format::E4M3
}
float8! {
    /// E5M2 "fnuz": no infinity, no negative zero. Largest finite 57344, smallest normal 2^-15, smallest subnormal 2^-17.
    E5M2Fnuz = Format::E5M2_FNUZ
}
float8! {
    /// E4M3 "fnuz": no infinity, no negative zero. Largest finite 240, smallest normal 2^-7, smallest subnormal 2^-10.
    E4M3Fnuz = Format::E4M3_FNUZ
}
float8! {
    /// E3M4, IEEE-like. Largest finite 15.5, smallest normal 2^-2, smallest subnormal 2^-6.
    E3M4 = Format::E3M4
}
infinities!(E5M2, E3M4);
