//! Elementary functions, the same bits on every instruction set: only additions, multiplications and shifts.

use crate::per_isa;

per_isa! {
    /// x = e^x, within 1.5 ulp; subnormal results are within one unit of the smallest.
    pub fn exp(x: &mut [f32]) {
        for x in x {
            *x = exp_of(*x);
        }
    }
}

/// ln 2 in two pieces, the first with so few bits that its product with a small integer is exact.
const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];

/// e^x = 2^n e^r with n = round(x / ln 2), and e^r by its series for |r| <= ln 2 / 2 (the first term left out is below 2^-27).
#[inline(always)]
fn exp_of(x: f32) -> f32 {
    // Past these, the result is infinite or rounds to zero; NaN fails both comparisons and goes through.
    let clamped = if x > 104.0 { 104.0 } else { x };
    let clamped = if clamped < -110.0 { -110.0 } else { clamped };
    // Adding and taking off 1.5 * 2^23 rounds to an integer.
    const ROUND: f32 = 12_582_912.0;
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN_2[0]) - n * LN_2[1];
    let series = 1.0 / 5040.0;
    let series = series * r + 1.0 / 720.0;
    let series = series * r + 1.0 / 120.0;
    let series = series * r + 1.0 / 24.0;
    let series = series * r + 1.0 / 6.0;
    let series = series * r + 0.5;
    let value = 1.0 + (r + r * r * series);
    // 2^n in two factors, each normal; the low bits of `shifted` are n.
    let n = shifted.to_bits() as i32 - ROUND.to_bits() as i32;
    let half = n >> 1;
    value * power_of_two(half) * power_of_two(n - half)
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((127 + n) as u32) << 23)
}

/// ln x, within 1.5 ulp for normal positive x; infinity and NaN stay, zero gives -infinity, negative numbers NaN.
///
/// x = 2^e m with m in sqrt(1/2)..sqrt(2); ln m = 2 artanh(s), s = (m - 1) / (m + 1), by its series.
pub fn ln(x: f32) -> f32 {
    if x <= 0.0 || !x.is_finite() {
        return if x == 0.0 {
            f32::NEG_INFINITY
        } else if x > 0.0 {
            x
        } else {
            f32::NAN
        };
    }
    let (x, bias) = if x < f32::MIN_POSITIVE { (x * 16_777_216.0, 24) } else { (x, 0) };
    // The exponent of x / sqrt(1/2).
    let e = (x.to_bits() as i32 - std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32) >> 23;
    let m = f32::from_bits((x.to_bits() as i32 - (e << 23)) as u32);
    let e = (e - bias) as f32;
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let square = s * s;
    let series = 2.0 / 9.0;
    let series = series * square + 2.0 / 7.0;
    let series = series * square + 2.0 / 5.0;
    let series = series * square + 2.0 / 3.0;
    // ln m = 2 s + s^3 series, and 2 s = f - f s without the error of the division.
    e * LN_2[0] + (f - (s * (f - square * series) - e * LN_2[1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    fn ulps(found: f32, exact: f64) -> f64 {
        let unit =
            f64::from(f32::from_bits(((exact.abs() as f32).to_bits() & 0x7f80_0000).max(1 << 23))) / (1 << 23) as f64;
        (f64::from(found) - exact).abs() / unit
    }

    #[test]
    fn exp_is_within_its_bound_on_every_instruction_set() {
        let inputs: Vec<f32> = (-104_000..88_700).map(|i| i as f32 * 1e-3 + 1e-4).collect();
        for isa in Isa::available() {
            let mut found = inputs.clone();
            exp(isa, &mut found);
            for (x, found) in inputs.iter().zip(&found) {
                let error = ulps(*found, f64::from(*x).exp());
                assert!(error < 1.5, "{isa}: e^{x} = {found}, {error} ulp");
            }
        }
    }

    #[test]
    fn exp_at_its_ends() {
        let mut x = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, -0.0, 89.0, -104.0, -200.0, 1e30];
        exp(Isa::available()[0], &mut x);
        assert_eq!(x[..2], [f32::INFINITY, 0.0]);
        assert!(x[2].is_nan());
        assert_eq!(x[3..], [1.0, 1.0, f32::INFINITY, 0.0, 0.0, f32::INFINITY]);
    }

    #[test]
    fn ln_is_within_its_bound() {
        for bits in (1..0x7f80_0000).step_by(9973) {
            let x = f32::from_bits(bits);
            let error = ulps(ln(x), f64::from(x).ln());
            assert!(error < 1.5, "ln {x} = {}, {error} ulp", ln(x));
        }
        assert_eq!([ln(0.0), ln(f32::INFINITY), ln(1.0)], [f32::NEG_INFINITY, f32::INFINITY, 0.0]);
        assert!(ln(-1.0).is_nan() && ln(f32::NAN).is_nan());
    }
}
