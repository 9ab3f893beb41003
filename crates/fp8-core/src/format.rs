//! Descriptors of the formats.

use core::num::FpCategory;

use crate::UnknownName;

/// How a format spends its topmost codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Specials {
    /// IEEE 754: exponent of all ones holds the infinities and the NaNs.
    Ieee,
    /// OCP "fn": no infinity; NaN is `S.1…1.1…1` alone.
    Fn,
    /// "fnuz": no infinity, no negative zero; the code of negative zero is the only NaN.
    Fnuz,
}

/// A binary floating-point format of at most 16 bits, with a sign bit and gradual underflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    /// Name as printed and as parsed, e.g. `e5m2`.
    pub name: &'static str,
    /// Bits of the exponent field.
    pub exponent_bits: u32,
    /// Bits of the mantissa field (without the hidden bit).
    pub mantissa_bits: u32,
    /// Exponent bias.
    pub bias: i32,
    /// Use of the topmost codes.
    pub specials: Specials,
}

impl Format {
    /// FP8 E5M2: the upper byte of an IEEE binary16 (paper, section 3; OCP OFP8).
    pub const E5M2: Self = Self::new("e5m2", 5, 2, 15, Specials::Ieee);
    /// FP8 E4M3 as in OCP OFP8 ("fn").
    pub const E4M3: Self = Self::new("e4m3", 4, 3, 7, Specials::Fn);
    /// FP8 E5M2 "fnuz".
    pub const E5M2_FNUZ: Self = Self::new("e5m2fnuz", 5, 2, 16, Specials::Fnuz);
    /// FP8 E4M3 "fnuz".
    pub const E4M3_FNUZ: Self = Self::new("e4m3fnuz", 4, 3, 8, Specials::Fnuz);
    /// FP8 E3M4, IEEE-like.
    pub const E3M4: Self = Self::new("e3m4", 3, 4, 3, Specials::Ieee);
    /// IEEE binary16.
    pub const F16: Self = Self::new("f16", 5, 10, 15, Specials::Ieee);
    /// bfloat16.
    pub const BF16: Self = Self::new("bf16", 8, 7, 127, Specials::Ieee);

    /// The 8-bit formats with a sign, in the order in which tables print them.
    pub const FP8: [Self; 5] = [Self::E5M2, Self::E4M3, Self::E5M2_FNUZ, Self::E4M3_FNUZ, Self::E3M4];

    /// Every format: [`Format::FP8`], binary16 and bfloat16.
    pub const ALL: [Self; 7] =
        [Self::E5M2, Self::E4M3, Self::E5M2_FNUZ, Self::E4M3_FNUZ, Self::E3M4, Self::F16, Self::BF16];

    const fn new(name: &'static str, exponent_bits: u32, mantissa_bits: u32, bias: i32, specials: Specials) -> Self {
        Self { name, exponent_bits, mantissa_bits, bias, specials }
    }

    /// Bits of a code: 8 or 16.
    pub const fn bits(&self) -> u32 {
        1 + self.exponent_bits + self.mantissa_bits
    }

    /// The sign bit.
    pub const fn sign_mask(&self) -> u16 {
        1 << (self.bits() - 1)
    }

    /// Code of the largest finite value.
    pub const fn max_code(&self) -> u16 {
        let magnitude = self.sign_mask() - 1;
        match self.specials {
            Specials::Ieee => magnitude - (1 << self.mantissa_bits),
            Specials::Fn => magnitude - 1,
            Specials::Fnuz => magnitude,
        }
    }

    /// Code of positive infinity, where the format has one.
    pub const fn infinity_code(&self) -> Option<u16> {
        match self.specials {
            Specials::Ieee => Some(self.max_code() + 1),
            Specials::Fn | Specials::Fnuz => None,
        }
    }

    /// Code of the canonical NaN (positive where NaNs have a sign): quiet, payload zero.
    pub const fn nan_code(&self) -> u16 {
        match self.specials {
            Specials::Ieee => self.max_code() + 1 + (1 << (self.mantissa_bits - 1)),
            Specials::Fn => self.sign_mask() - 1,
            Specials::Fnuz => self.sign_mask(),
        }
    }

    /// Exponent of the smallest normal value: 2 to this power.
    pub const fn min_exponent(&self) -> i32 {
        1 - self.bias
    }
}

/// What a code stands for.
impl Format {
    /// `code` without its sign: its place among the non-negative codes.
    const fn magnitude(&self, code: u16) -> u16 {
        code & (self.sign_mask() - 1)
    }

    const fn is_negative(&self, code: u16) -> bool {
        code & self.sign_mask() != 0
    }

    /// Whether `code` is zero, subnormal, normal, infinite or NaN.
    pub const fn classify(&self, code: u16) -> FpCategory {
        let magnitude = self.magnitude(code);
        if magnitude > self.max_code() {
            return match self.infinity_code() {
                Some(infinity) if magnitude == infinity => FpCategory::Infinite,
                _ => FpCategory::Nan,
            };
        }
        match (magnitude, self.specials) {
            (0, Specials::Fnuz) if self.is_negative(code) => FpCategory::Nan,
            (0, _) => FpCategory::Zero,
            _ if magnitude < 1 << self.mantissa_bits => FpCategory::Subnormal,
            _ => FpCategory::Normal,
        }
    }

    /// The code of the negated value. A zero or NaN without a sign stays as it is.
    pub const fn negate(&self, code: u16) -> u16 {
        match self.specials {
            Specials::Fnuz if self.magnitude(code) == 0 => code,
            _ => code ^ self.sign_mask(),
        }
    }

    /// The code of the least value above, as f32's `next_up`: both zeros give the smallest positive value. Infinity (the
    /// largest finite value, where there is none) and NaN stay as they are.
    pub const fn next_up(&self, code: u16) -> u16 {
        let top = match self.infinity_code() {
            Some(infinity) => infinity,
            None => self.max_code(),
        };
        match self.classify(code) {
            FpCategory::Nan => code,
            FpCategory::Zero => 1,
            // The negative value nearest to zero is followed by negative zero, where there is one.
            _ if self.is_negative(code) => match (self.magnitude(code), self.specials) {
                (1, Specials::Fnuz) => 0,
                _ => code - 1,
            },
            _ if code == top => code,
            _ => code + 1,
        }
    }

    /// The code of the greatest value below: the mirror image of [`Format::next_up`].
    pub const fn next_down(&self, code: u16) -> u16 {
        self.negate(self.next_up(self.negate(code)))
    }
}

impl core::fmt::Display for Format {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name)
    }
}

impl core::str::FromStr for Format {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|format| format.name == name)
            .ok_or(UnknownName { what: "format", choices: "e5m2, e4m3, e5m2fnuz, e4m3fnuz, e3m4, f16, bf16" })
    }
}
