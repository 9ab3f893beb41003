//! f32 to codes, rounded once.
//!
//! Let `2^e` be the larger of the power of two below |x| and the format's smallest normal value. In units of
//! `2^(e - mantissa bits)`, |x| is an exact f32 below `2^(mantissa bits + 1)`; its neighbours in the format are the
//! integers around it, and the code is that integer plus `e`'s share: a carry out of the mantissa goes where it belongs,
//! and subnormals need no case of their own.

use fp8_core::{Format, Overflow, Rounding, Specials, Stream};

use super::draws::{PER_BLOCK, draws};
use crate::isa::Isa;
use crate::{Store, per_isa};

/// out = the codes of `store.scale * x` (a product in f32), rounded once as `store` says; `out` holds `x.len()` elements
/// of `store.dtype` (little-endian). Under stochastic rounding element `i` takes draw `first_index + i` of
/// `store.random`.
///
/// # Panics
/// Where `store.dtype` is not floating, or the lengths disagree.
pub fn encode(isa: Isa, store: &Store, first_index: u64, x: &[f32], out: &mut [u8]) {
    let dtype = store.dtype;
    assert!(dtype.is_float(), "encode: {dtype} is not floating");
    assert_eq!(out.len(), x.len() * dtype.size(), "encode: bytes of {} elements of {dtype}", x.len());
    match dtype.format().map(|format| (format, dtype.size())) {
        None => encode_f32(store.scale, x, out),
        Some((format, 1)) => encode_codes::<[u8; 1], Narrow>(isa, format, store, first_index, x, out.as_chunks_mut().0),
        Some((Format::BF16, _)) => {
            encode_codes::<[u8; 2], Bf16>(isa, Format::BF16, store, first_index, x, out.as_chunks_mut().0);
        }
        Some((format, _)) => encode_codes::<[u8; 2], Narrow>(isa, format, store, first_index, x, out.as_chunks_mut().0),
    }
}

fn encode_f32(scale: f32, x: &[f32], out: &mut [u8]) {
    for (out, x) in out.as_chunks_mut().0.iter_mut().zip(x) {
        *out = (scale * x).to_le_bytes();
    }
}

fn encode_codes<C: Code, U: Units>(
    isa: Isa,
    format: Format,
    store: &Store,
    first_index: u64,
    x: &[f32],
    out: &mut [C],
) {
    let target = Target::new(format, store);
    match store.rounding {
        Rounding::NearestEven => nearest_even::<C, U>(isa, &target, x, out),
        Rounding::Stochastic { bits: 1..=16 } => {
            stochastic_blocks::<C, U>(isa, &target, &store.random, first_index, x, out);
        }
        Rounding::Stochastic { bits } => {
            for ((x, out), index) in x.iter().zip(out).zip(first_index..) {
                let random = store.random.draw(index, bits);
                let x = f64::from(store.scale * x);
                *out = C::new(u32::from(fp8_core::encode(format, x, store.rounding, store.overflow, random)));
            }
        }
        _ => directed::<C, U>(isa, &target, x, out),
    }
}

/// Draws elements in runs of some blocks of Philox; the first run starts inside a block where `first_index` does.
fn stochastic_blocks<C: Code, U: Units>(
    isa: Isa,
    target: &Target,
    stream: &Stream,
    first_index: u64,
    mut x: &[f32],
    mut out: &mut [C],
) {
    let mut block = first_index / PER_BLOCK as u64;
    let mut skip = (first_index % PER_BLOCK as u64) as usize;
    let mut random = [[0; PER_BLOCK]; 64];
    while !x.is_empty() {
        let blocks = (skip + x.len()).div_ceil(PER_BLOCK).min(random.len());
        draws(isa, stream, block, &mut random[..blocks]);
        let random = &random[..blocks].as_flattened()[skip..];
        let n = random.len().min(x.len());
        stochastic::<C, U>(isa, target, &x[..n], &random[..n], &mut out[..n]);
        (x, out) = (&x[n..], &mut out[n..]);
        (block, skip) = (block + blocks as u64, 0);
    }
}

per_isa! {
    fn nearest_even<C: Code, U: Units>(target: &Target, x: &[f32], out: &mut [C]) {
        for (x, out) in x.iter().zip(out) {
            // Adding 2^23, which follows, rounds to nearest even.
            *out = C::new(target.code::<U>(*x, |y, _| y));
        }
    }

    fn directed<C: Code, U: Units>(target: &Target, x: &[f32], out: &mut [C]) {
        for (x, out) in x.iter().zip(out) {
            *out = C::new(target.code::<U>(*x, |y, negative| round_at(y, target.threshold.of(negative))));
        }
    }

    fn stochastic<C: Code, U: Units>(target: &Target, x: &[f32], random: &[u16], out: &mut [C]) {
        for ((x, out), random) in x.iter().zip(out).zip(random) {
            // Away from zero iff floor(f 2^N) + r >= 2^N, that is iff f >= 1 - r 2^-N, which is exact in f32.
            let draw = i32::from(random & target.random_mask) as f32 * (1.0 / 65536.0);
            *out = C::new(target.code::<U>(*x, |y, _| round_at(y, 1.0 - draw)));
        }
    }
}

/// The integer below y, or that above it where y is at least `threshold` past the former.
#[inline(always)]
fn round_at(y: f32, threshold: f32) -> f32 {
    let floor = y.floor();
    floor + if y - floor >= threshold { 1.0 } else { 0.0 }
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

/// A choice by the sign of x.
#[derive(Clone, Copy)]
struct BySign<T> {
    positive: T,
    negative: T,
}

impl<T: Copy> BySign<T> {
    fn new(choose: impl Fn(bool) -> T) -> Self {
        Self { positive: choose(false), negative: choose(true) }
    }

    #[inline(always)]
    fn of(&self, negative: bool) -> T {
        if negative { self.negative } else { self.positive }
    }
}

/// A format, a rounding and an overflow policy in terms of the bits of f32.
struct Target {
    scale: f32,
    /// Mantissa bits of f32 that the format lacks.
    shift: u32,
    /// f32 bits of the smallest normal value.
    normal: u32,
    /// f32 bits of 2^(mantissa bits), plus those of 1: less the bits of 2^e, those of the factor of |x|.
    unit: u32,
    /// Where past the integer below rounding goes up (deterministic roundings but nearest-even).
    threshold: BySign<f32>,
    /// The bits of a 16-bit draw that are used.
    random_mask: u16,
    /// The code of finite values past the largest.
    overflow: BySign<u32>,
    /// The code of infinity.
    infinity: u32,
    /// The code of NaN.
    nan: u32,
    /// From the sign bit of f32 to that of a code.
    sign_shift: u32,
    /// Sign bit of a code.
    sign: u32,
    /// The magnitude that has no sign.
    signless: u32,
}

const INFINITY: u32 = f32::INFINITY.to_bits();
const SMALLEST_NORMAL: u32 = f32::MIN_POSITIVE.to_bits();
/// 2^23: its units in the last place are integers.
const INTEGER: f32 = 8_388_608.0;

impl Target {
    #[inline]
    fn new(format: Format, store: &Store) -> Self {
        // In formats without infinity, that code is NaN's.
        let largest = u32::from(format.max_code());
        let infinity = match store.overflow {
            Overflow::Infinity => largest + 1,
            Overflow::Saturate => largest,
        };
        let threshold = BySign::new(|negative| threshold(store.rounding, negative));
        let overflow = BySign::new(|negative| if threshold.of(negative) == NEVER { largest } else { infinity });
        let bits = match store.rounding {
            Rounding::Stochastic { bits } => u32::from(bits).min(16),
            _ => 0,
        };
        Self {
            scale: store.scale,
            shift: 23 - format.mantissa_bits,
            normal: ((127 + format.min_exponent()) as u32) << 23,
            unit: (254 + format.mantissa_bits) << 23,
            threshold,
            random_mask: (0xFFFF_0000_u32 >> bits) as u16,
            overflow,
            infinity,
            nan: u32::from(format.nan_code()),
            sign_shift: 32 - format.bits(),
            sign: u32::from(format.sign_mask()),
            signless: if matches!(format.specials, Specials::Fnuz) { 0 } else { u32::MAX },
        }
    }

    /// The code of `scale * x`; `round` makes an integer of |x| in units of its last place.
    #[inline(always)]
    fn code<U: Units>(&self, x: f32, round: impl Fn(f32, bool) -> f32) -> u32 {
        let bits = (self.scale * x).to_bits();
        let magnitude = bits & (u32::MAX >> 1);
        let (y, base) = U::split(self, magnitude);
        let negative = bits >> 31 != 0;
        let integer = (round(y, negative) + INTEGER).to_bits() - INTEGER.to_bits();
        let mut code = (integer + base).min(self.overflow.of(negative));
        if magnitude == INFINITY {
            code = self.infinity;
        }
        if magnitude > INFINITY {
            code = self.nan;
        }
        if code == self.signless { code } else { code | (bits >> self.sign_shift & self.sign) }
    }
}

/// How |x| falls into units of its last place in the format.
trait Units {
    /// |x| in such units, less an even number of them; and the code of what was taken off.
    fn split(target: &Target, magnitude: u32) -> (f32, u32);
}

/// Formats whose smallest normal value is far above f32's.
struct Narrow;

impl Units for Narrow {
    #[inline(always)]
    fn split(target: &Target, magnitude: u32) -> (f32, u32) {
        // To every rounding the subnormals of f32 are what its smallest normal value is, and multiply faster so.
        let magnitude = if magnitude == 0 { 0 } else { magnitude.max(SMALLEST_NORMAL) };
        let exponent = (magnitude & INFINITY).max(target.normal);
        let y = f32::from_bits(magnitude) * f32::from_bits(target.unit - exponent);
        (y, (exponent - target.normal) >> target.shift)
    }
}

/// bf16: codes are the upper halves of f32's.
struct Bf16;

impl Units for Bf16 {
    #[inline(always)]
    fn split(_: &Target, magnitude: u32) -> (f32, u32) {
        let y = (magnitude & 0x1_FFFF) as i32 as f32 * (1.0 / 65536.0);
        (y, magnitude >> 16 & !1)
    }
}

/// One element in memory.
trait Code {
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
