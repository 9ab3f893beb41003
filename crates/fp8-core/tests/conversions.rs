//! The oracle against definitions that share no arithmetic with it: search among all values of the format.

use fp8_core::{Format, Overflow, Rounding, Specials, decode, encode};
use proptest::prelude::*;

const DETERMINISTIC: [Rounding; 5] = [
    Rounding::NearestEven,
    Rounding::NearestAway,
    Rounding::TowardZero,
    Rounding::TowardPositive,
    Rounding::TowardNegative,
];

/// The value of non-negative code `code` on a scale that goes on past the largest.
fn unbounded(format: Format, code: u16) -> f64 {
    let (exponent, mantissa) = (code >> format.mantissa_bits, code & ((1 << format.mantissa_bits) - 1));
    let hidden = f64::from(u16::from(exponent > 0));
    let significand = hidden + f64::from(mantissa) / f64::from(1 << format.mantissa_bits);
    significand * 2_f64.powi(i32::from(exponent.max(1)) - format.bias)
}

/// Rounding as IEEE 754 words it: among the two neighbours, by comparison with them and with the midpoint.
fn nearest_by_search(format: Format, x: f64, rounding: Rounding, overflow: Overflow) -> u16 {
    let sign = if x.is_sign_negative() { format.sign_mask() } else { 0 };
    let signed = |code: u16| match format.specials {
        Specials::Fnuz if code == 0 => 0,
        _ => code | sign,
    };
    let past_largest = match (overflow, format.infinity_code()) {
        (Overflow::Saturate, _) => format.max_code(),
        (Overflow::Infinity, Some(infinity)) => infinity,
        (Overflow::Infinity, None) => format.nan_code(),
    };
    if x.is_infinite() {
        return signed(past_largest);
    }
    let end = format.max_code() + 1;
    let above = (0..=end).collect::<Vec<_>>().partition_point(|&code| unbounded(format, code) <= x.abs()) as u16;
    let largest = unbounded(format, format.max_code());
    let away = match rounding {
        Rounding::TowardPositive => x > 0.0,
        Rounding::TowardNegative => x < 0.0,
        _ => false,
    };
    if above > end {
        let toward_zero = rounding == Rounding::TowardZero
            || (matches!(rounding, Rounding::TowardPositive | Rounding::TowardNegative) && !away);
        return signed(if toward_zero { format.max_code() } else { past_largest });
    }
    let (low, high) = (above - 1, above);
    let (below, middle) = (unbounded(format, low), (unbounded(format, low) + unbounded(format, high)) / 2.0);
    assert!(below <= x.abs() && (x.abs() < unbounded(format, high) || largest < x.abs()));
    let up = match rounding {
        Rounding::NearestEven => x.abs() > middle || (x.abs() == middle && low % 2 == 1),
        Rounding::NearestAway => x.abs() >= middle,
        _ => away && x.abs() > below,
    };
    let code = if up { high } else { low };
    signed(if code > format.max_code() { past_largest } else { code })
}

/// f64s of every exponent, thickest where the formats are, and their own values and midpoints with neighbours.
fn values() -> impl Strategy<Value = f64> {
    let near = (any::<u16>(), 0..Format::ALL.len(), -1_i64..=1).prop_map(|(code, format, step)| {
        let format = Format::ALL[format];
        let code = code & (format.sign_mask() - 1);
        let middle = (unbounded(format, code) + unbounded(format, code + 1)) / 2.0;
        f64::from_bits((middle.to_bits() as i64 + step) as u64)
    });
    let wide = (any::<bool>(), -30.0..20.0_f64, 1.0..2.0_f64)
        .prop_map(|(negative, e, m)| if negative { -m } else { m } * e.floor().exp2());
    prop_oneof![near, wide, any::<f32>().prop_map(f64::from), any::<f64>()]
}

proptest! {
    #[test]
    fn rounds_to_the_neighbour_that_the_definition_names(x in values(), saturate: bool) {
        let overflow = if saturate { Overflow::Saturate } else { Overflow::Infinity };
        for format in Format::FP8.into_iter().filter(|_| !x.is_nan()) {
            for rounding in DETERMINISTIC {
                let expected = nearest_by_search(format, x, rounding, overflow);
                prop_assert_eq!(encode(format, x, rounding, overflow, 0), expected, "{} {} {:e}", format, rounding, x);
            }
        }
    }

    #[test]
    fn is_monotonic(x in values(), y in values(), random: u16) {
        let (x, y) = if x <= y { (x, y) } else { (y, x) };
        for format in Format::ALL.into_iter().filter(|_| !x.is_nan() && !y.is_nan()) {
            for rounding in DETERMINISTIC.into_iter().chain([Rounding::STOCHASTIC]) {
                let value = |x: f64| {
                    // The random bits act on |x|: two values of one sign share them.
                    decode(format, encode(format, x, rounding, Overflow::Saturate, u32::from(random)))
                };
                prop_assert!(value(x) <= value(y), "{} {} {:e} {:e}", format, rounding, x, y);
            }
        }
    }

    #[test]
    fn half_agrees(x: f32) {
        let nearest = |format| encode(format, f64::from(x), Rounding::NearestEven, Overflow::Infinity, 0);
        if !x.is_nan() {
            prop_assert_eq!(nearest(Format::F16), half::f16::from_f32(x).to_bits());
            prop_assert_eq!(nearest(Format::BF16), half::bf16::from_f32(x).to_bits());
        }
    }
}

#[test]
fn every_code_survives_the_round_trip_in_every_rounding() {
    for format in Format::ALL {
        for code in 0..=u16::MAX >> (16 - format.bits()) {
            let x = decode(format, code);
            for rounding in DETERMINISTIC.into_iter().chain([Rounding::STOCHASTIC]) {
                for overflow in [Overflow::Infinity, Overflow::Saturate] {
                    let back = encode(format, x, rounding, overflow, 0xFFFF);
                    if x.is_nan() {
                        assert!(decode(format, back).is_nan(), "{format} {code:#x}");
                        assert_eq!(back & (format.sign_mask() - 1), format.nan_code() & (format.sign_mask() - 1));
                    } else if x.is_infinite() && overflow == Overflow::Saturate {
                        assert_eq!(back & (format.sign_mask() - 1), format.max_code());
                    } else {
                        assert_eq!(back, code, "{format} {rounding} {x}");
                    }
                }
            }
        }
    }
}

/// FP32 to FP16 to E5M2 rounds twice and gets this wrong.
#[test]
fn rounds_once() {
    let x = 1.125 + 1.0 / 4096.0;
    let code = encode(Format::E5M2, x, Rounding::NearestEven, Overflow::Infinity, 0);
    assert_eq!(decode(Format::E5M2, code), 1.25);
}

#[test]
fn nan_keeps_its_sign_and_loses_its_payload() {
    let nan = |bits: u64| f64::from_bits(bits);
    for (format, positive, negative) in [
        (Format::E5M2, 0x7E, 0xFE),
        (Format::E4M3, 0x7F, 0xFF),
        (Format::E5M2_FNUZ, 0x80, 0x80),
        (Format::E4M3_FNUZ, 0x80, 0x80),
        (Format::E3M4, 0x78, 0xF8),
        (Format::F16, 0x7E00, 0xFE00),
        (Format::BF16, 0x7FC0, 0xFFC0),
    ] {
        for rounding in DETERMINISTIC {
            for overflow in [Overflow::Infinity, Overflow::Saturate] {
                let code = |bits| encode(format, nan(bits), rounding, overflow, 0);
                assert_eq!(code(0x7FF0_0000_0000_0001), positive, "{format}");
                assert_eq!(code(0xFFFF_1234_5678_9ABC), negative, "{format}");
            }
        }
    }
}

#[test]
fn names_are_parsed_as_printed() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    for rounding in DETERMINISTIC.into_iter().chain((1..=32).map(|bits| Rounding::stochastic(bits).unwrap())) {
        assert_eq!(rounding.to_string().parse(), Ok(rounding));
    }
    for overflow in [Overflow::Infinity, Overflow::Saturate] {
        assert_eq!(overflow.to_string().parse(), Ok(overflow));
    }
    for bad in ["", "E5M2", "sr0", "sr33", "sr-1", "nearest"] {
        assert!(bad.parse::<Format>().is_err() && bad.parse::<Rounding>().is_err() && bad.parse::<Overflow>().is_err());
    }
    let message = "rnd".parse::<Rounding>().unwrap_err().to_string();
    assert_eq!(message, "unknown rounding: choose one of rne, rna, rtz, rtp, rtn, sr, sr1 to sr32");
}
