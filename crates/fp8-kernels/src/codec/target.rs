//! f32 to one code, rounded once, in the form that vectorises.
//!
//! Let `2^e` be the larger of the power of two below |x| and the format's smallest normal value. In units of
//! `2^(e - mantissa bits)`, |x| is an exact f32 below `2^(mantissa bits + 1)`; its neighbours in the format are the
//! integers around it, and the code is that integer plus `e`'s share: a carry out of the mantissa goes where it belongs,
//! and subnormals need no case of their own. Formats, roundings and overflow policies differ in numbers only.
//!
//! For example E5M2, which has two mantissa bits and 2^-14 as its smallest normal value, by nearest-even:
//!
//! | x | e | y = abs(x) / 2^(e - 2) | integer | share of e: 4 (e + 14) | code | value | |
//! |---|---|---|---|---|---|---|---|
//! | 0.3 | -2 | 4.8 | 5 | 48 | `35` | 0.3125 | |
//! | -0.47 | -2 | 7.52 | 8 | 48 | `38`, with the sign `b8` | -0.5 | the carry is in the exponent |
//! | 2.5 2^-16 | -14 | 2.5 | 2 | 0 | `02` | 2^-15 | subnormal; a tie goes to the even integer |
//! | 61440 | 15 | 7.5 | 8 | 116 | `7c` | infinity | the largest finite code is `7b` |
//!
//! In f32 the integer of 0.3 is that of y + 2^23 = 8388613: the last bits of `4b000005`. By stochastic rounding with 16 bits y is taken in units of
//! 2^-16: 314572 = 4 * 65536 + 52428, and the draw r, from 0 to 65535, is added. The upper bits of the sum are the integer: 4 (code `34`, 0.25) for
//! r up to 13107, 5 (code `35`) for the 52428 others, which are 80 %.

use fp8_core::{Format, Overflow, Rounding};

use crate::Store;

/// What the roundings differ in. `signs` is all ones where x is negative, else zero.
pub(super) trait Round {
    /// |x| is given in units of 2^-FRACTION_BITS of its last place.
    const FRACTION_BITS: u32;

    /// Stands for all magnitudes past it, as f32 bits.
    const LARGEST: u32;

    /// The integer that y is rounded to, plus what [`Target::base`] takes off again.
    fn integer(target: &Target, y: f32, signs: u32, random: u16) -> u32;

    /// The magnitude to store, given the `code` of |x| on a scale without upper end.
    #[inline(always)]
    fn bound(target: &Target, code: u32, _magnitude: u32, _signs: u32) -> u32 {
        code.min(target.infinity)
    }
}

/// 2^23: its units in the last place are integers, and adding it rounds to nearest even.
const INTEGER: f32 = 8_388_608.0;

/// To nearest, ties to even.
pub(super) struct NearestEven;

impl Round for NearestEven {
    const FRACTION_BITS: u32 = 0;
    const LARGEST: u32 = u32::MAX;

    #[inline(always)]
    fn integer(_: &Target, y: f32, _: u32, _: u16) -> u32 {
        (y + INTEGER).to_bits()
    }
}

/// The other deterministic roundings, which may not treat both signs alike.
pub(super) struct Directed;

impl Round for Directed {
    const FRACTION_BITS: u32 = 0;
    const LARGEST: u32 = u32::MAX;

    #[inline(always)]
    fn integer(target: &Target, y: f32, signs: u32, _: u16) -> u32 {
        let floor = y.floor();
        let up = y - floor >= f32::from_bits(target.threshold.of(signs));
        (floor + if up { 1.0 } else { 0.0 } + INTEGER).to_bits()
    }

    #[inline(always)]
    fn bound(target: &Target, code: u32, magnitude: u32, signs: u32) -> u32 {
        let code = if magnitude == INFINITY { target.infinity } else { code.min(target.overflow.of(signs)) };
        if magnitude == 0 { 0 } else { code }
    }
}

/// With up to 16 random bits.
pub(super) struct Stochastic;

impl Round for Stochastic {
    const FRACTION_BITS: u32 = 16;
    const LARGEST: u32 = f32::MAX.to_bits();

    /// The carry of floor(f 2^16) + r 2^(16 - N), as r has N bits, is that of floor(f 2^N) + r.
    #[inline(always)]
    fn integer(target: &Target, y: f32, _: u32, random: u16) -> u32 {
        // SAFETY: y is finite, as `LARGEST` is, and below 2^(mantissa bits + 1 + 16), at most 2^27.
        let position = unsafe { y.to_int_unchecked::<i32>() } as u32;
        (position + u32::from(random & target.random_mask)) >> 16
    }
}

/// Past the integer below |x|, where rounding goes up.
const fn threshold(rounding: Rounding, negative: bool) -> f32 {
    match (rounding, negative) {
        (Rounding::TowardZero, _) | (Rounding::TowardPositive, true) | (Rounding::TowardNegative, false) => NEVER,
        (Rounding::TowardPositive | Rounding::TowardNegative, _) => f32::MIN_POSITIVE,
        (Rounding::NearestEven | Rounding::NearestAway | Rounding::Stochastic { .. }, _) => 0.5,
    }
}

/// A threshold past every fraction.
const NEVER: f32 = 2.0;

/// A number that depends on the sign of x.
#[derive(Clone, Copy)]
struct BySign {
    positive: u32,
    /// What changes in it where x is negative.
    flips: u32,
}

impl BySign {
    fn new(choose: impl Fn(bool) -> u32) -> Self {
        Self { positive: choose(false), flips: choose(false) ^ choose(true) }
    }

    #[inline(always)]
    fn of(self, signs: u32) -> u32 {
        self.positive ^ (self.flips & signs)
    }
}

/// A format, a rounding and an overflow policy in terms of the bits of f32.
#[derive(Clone, Copy)]
pub(super) struct Target {
    scale: f32,
    /// Mantissa bits of f32 that the format lacks.
    shift: u32,
    /// f32 bits of the smallest normal value.
    normal: u32,
    /// f32 bits of 2^(mantissa bits), plus those of 1: less the bits of 2^e, those of the factor of |x|.
    unit: u32,
    /// `normal`, shifted, and what [`Round::integer`] adds.
    base: u32,
    /// Where past the integer below rounding goes up, as f32 bits (deterministic roundings but nearest-even).
    threshold: BySign,
    /// The bits of a 16-bit draw that are used.
    pub(super) random_mask: u16,
    /// The code of finite values past the largest.
    overflow: BySign,
    /// The code of infinity.
    infinity: u32,
    /// The code of NaN.
    nan: u32,
    /// From the sign bit of f32 to that of a code.
    sign_shift: u32,
    /// Sign bit of a code.
    sign: u32,
}

const INFINITY: u32 = f32::INFINITY.to_bits();
const SMALLEST_NORMAL: u32 = f32::MIN_POSITIVE.to_bits();

impl Target {
    #[inline]
    pub(super) fn new(format: Format, store: &Store) -> Self {
        // In formats without infinity, that code is NaN's.
        let largest = u32::from(format.max_code());
        let infinity = match store.overflow {
            Overflow::Infinity => largest + 1,
            Overflow::Saturate => largest,
        };
        let overflow = BySign::new(|negative| match threshold(store.rounding, negative) {
            NEVER => largest,
            _ => infinity,
        });
        let (bits, added) = match store.rounding {
            Rounding::Stochastic { bits } => (u32::from(bits).min(16), 0),
            _ => (0, INTEGER.to_bits()),
        };
        let shift = 23 - format.mantissa_bits;
        // Codes of bf16 have the bias of f32.
        let normal = if format.bias == 127 { 0 } else { ((127 + format.min_exponent()) as u32) << 23 };
        Self {
            scale: store.scale,
            shift,
            normal,
            unit: (254 + format.mantissa_bits) << 23,
            base: (normal >> shift).wrapping_add(added),
            threshold: BySign::new(|negative| threshold(store.rounding, negative).to_bits()),
            random_mask: (0xFFFF_0000_u32 >> bits) as u16,
            overflow,
            infinity,
            nan: u32::from(format.nan_code()),
            sign_shift: 32 - format.bits(),
            sign: u32::from(format.sign_mask()),
        }
    }

    /// The code of `scale * x`.
    #[inline(always)]
    pub(super) fn code<U: Units, R: Round>(&self, x: f32, random: u16) -> u32 {
        let bits = (self.scale * x).to_bits();
        let magnitude = bits & (u32::MAX >> 1);
        let signs = (bits as i32 >> 31) as u32;
        let (y, base) = U::split::<R>(self, magnitude);
        let integer = R::integer(self, y, signs, random);
        let code = R::bound(self, integer.wrapping_add(base), magnitude, signs);
        let code = if magnitude > INFINITY { self.nan } else { code };
        if !U::SIGNED_ZERO && code == 0 { 0 } else { code | (bits >> self.sign_shift & self.sign) }
    }
}

/// How |x| falls into units of its last place in the format.
pub(super) trait Units {
    /// Whether zero has a sign.
    const SIGNED_ZERO: bool;

    /// |x| in such units (divided as `R` says), less an even number of them: at least zero and, where finite, below
    /// 2^(mantissa bits + 1); and the code of what was taken off, less what `R` adds.
    fn split<R: Round>(target: &Target, magnitude: u32) -> (f32, u32);
}

/// Formats whose smallest normal value is far above f32's.
pub(super) struct Narrow<const SIGNED_ZERO: bool>;

impl<const SIGNED_ZERO: bool> Units for Narrow<SIGNED_ZERO> {
    const SIGNED_ZERO: bool = SIGNED_ZERO;

    #[inline(always)]
    fn split<R: Round>(target: &Target, magnitude: u32) -> (f32, u32) {
        // To every rounding the subnormals of f32 are what its smallest normal value is, and multiply faster so; where
        // zero is not, `Round::bound` says so.
        let magnitude = magnitude.clamp(SMALLEST_NORMAL, R::LARGEST);
        let exponent = (magnitude & INFINITY).max(target.normal);
        let unit = target.unit + (R::FRACTION_BITS << 23);
        let y = f32::from_bits(magnitude) * f32::from_bits(unit - exponent);
        (y, (exponent >> target.shift).wrapping_sub(target.base))
    }
}

/// bf16: codes are the upper halves of f32's.
pub(super) struct Bf16;

impl Units for Bf16 {
    const SIGNED_ZERO: bool = true;

    #[inline(always)]
    fn split<R: Round>(target: &Target, magnitude: u32) -> (f32, u32) {
        let unit = f32::from_bits((127 - 16 + R::FRACTION_BITS) << 23);
        let y = (magnitude & 0x1_FFFF) as i32 as f32 * unit;
        (y, (magnitude >> 16 & !1).wrapping_sub(target.base))
    }
}

/// One element in memory.
pub(super) trait Code {
    fn new(code: u32) -> Self;
}

impl Code for [u8; 1] {
    #[inline(always)]
    fn new(code: u32) -> Self {
        [code as u8]
    }
}

impl Code for [u8; 2] {
    #[inline(always)]
    fn new(code: u32) -> Self {
        (code as u16).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    fn target(rounding: Rounding) -> Target {
        Target::new(Format::E5M2, &Store { rounding, ..Store::nearest(DType::E5M2) })
    }

    #[test]
    fn the_example_of_the_module() {
        let target = target(Rounding::NearestEven);
        for (x, y, share, code) in
            [(0.3, 4.8, 48, 0x35), (-0.47, 7.52, 48, 0xB8), (2.5 / 65536.0, 2.5, 0, 0x02), (61440.0, 7.5, 116, 0x7C)]
        {
            let (units, base) = Narrow::<true>::split::<NearestEven>(&target, f32::to_bits(x) & (u32::MAX >> 1));
            assert_eq!((units, base.wrapping_add(INTEGER.to_bits())), (y, share), "{x}");
            assert_eq!(target.code::<Narrow<true>, NearestEven>(x, 0), code, "{x}");
        }
    }

    #[test]
    fn its_draws() {
        let target = target(Rounding::STOCHASTIC);
        let code = |draw: u16| target.code::<Narrow<true>, Stochastic>(0.3, draw);
        assert_eq!([0, 13107, 13108, u16::MAX].map(code), [0x34, 0x34, 0x35, 0x35]);
        assert_eq!((0..=u16::MAX).filter(|&draw| code(draw) == 0x35).count(), 52428);
    }
}
