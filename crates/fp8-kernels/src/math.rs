//! Elementary functions of one f32, for the bodies of [`per_isa!`](crate::per_isa): without branches, calls or tables, so
//! that loops over them vectorise; of additions, multiplications and divisions alone, so that every instruction set gives the
//! same bits.
//!
//! Errors are the largest of all 2^32 inputs against f64, in units of the last place (ULP) of the exact result:
//! `cargo run --release -p fp8-kernels --example exhaustive_math`. The coefficients come from
//! `tools/reference/elementary.py`. NaN gives the one NaN that [`canonical`] gives.

/// `x`, or the positive quiet NaN without payload: instruction sets disagree on the sign and payload of the NaN that an
/// operation makes, and a code keeps the sign.
#[inline(always)]
pub fn canonical(x: f32) -> f32 {
    if x.is_nan() { f32::NAN } else { x }
}

/// Multiples of ln 2 of up to 9 bits by this number are exact.
const LN_2_HIGH: f32 = 0.693_145_75;
/// ln 2 - `LN_2_HIGH`.
const LN_2_LOW: f32 = 1.428_606_8e-6;
/// 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits.
const INTEGER: f32 = 12_582_912.0;

/// x = n ln 2 + r, |r| <= ln 2 / 2: n, and e^r - 1 = r + r^2 q(r).
#[inline(always)]
fn reduced(x: f32) -> (i32, f32) {
    const Q: [f32; 5] = [0.499_999_94, 0.166_665_2, 0.041_668_393, 0.008_368_781, 0.001_381_446_7];
    let shifted = x * std::f32::consts::LOG2_E + INTEGER;
    let n = shifted - INTEGER;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let q = (((Q[4] * r + Q[3]) * r + Q[2]) * r + Q[1]) * r + Q[0];
    (shifted.to_bits().wrapping_sub(INTEGER.to_bits()) as i32, r + r * r * q)
}

/// 2^n, -126 <= n <= 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// e^x, within 1 ULP, subnormals too; infinity from 88.72284 on, 0 below -103.97208.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (n, p) = reduced(x.clamp(-105.0, 89.0));
    let half = n >> 1;
    // In two factors, as 2^n may lie outside f32: the second rounds where the result is subnormal or too large.
    let power = (1.0 + p) * power_of_two(half) * power_of_two(n.wrapping_sub(half));
    if x.is_nan() { f32::NAN } else { power }
}

/// ln x, within 1 ULP; -infinity of zeros, NaN of negative numbers.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    const ROOT_HALF: u32 = std::f32::consts::FRAC_1_SQRT_2.to_bits();
    const ONE: u32 = 1.0_f32.to_bits();
    const R: [f32; 3] = [0.666_667_76, 0.399_774_97, 0.298_730_73];
    let subnormal = x < f32::MIN_POSITIVE;
    let (scaled, exponent) = if subnormal { (x * 8_388_608.0, -23.0) } else { (x, 0.0) };
    // x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2).
    let bits = scaled.to_bits().wrapping_add(ONE - ROOT_HALF);
    let k = ((bits >> 23) as i32 - 127) as f32 + exponent;
    let f = f32::from_bits((bits & 0x007F_FFFF) + ROOT_HALF) - 1.0;
    // ln(1 + f) = 2 atanh(s) = f - f^2 / 2 + s (f^2 / 2 + r(s^2)).
    let s = f / (2.0 + f);
    let z = s * s;
    let (r, half_square) = (((R[2] * z + R[1]) * z + R[0]) * z, 0.5 * f * f);
    let y = k * LN_2_HIGH + (f - (half_square - (s * (half_square + r) + k * LN_2_LOW)));
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x >= 0.0 { y } else { f32::NAN }
}

/// tanh x, within 3 ULP; odd, and keeps the sign of zero.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    // From 9.02 on, the result is 1.
    let magnitude = x.abs();
    let (n, p) = reduced(2.0 * magnitude.min(10.0));
    // e^(2|x|) - 1.
    let power = power_of_two(n);
    let t = power * p + (power - 1.0);
    let y = (t / (t + 2.0)).copysign(x);
    if x.is_nan() { f32::NAN } else { y }
}

/// 1 / (1 + e^-x), within 3 ULP.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let y = (if x < 0.0 { e } else { 1.0 }) / (1.0 + e);
    canonical(y)
}
