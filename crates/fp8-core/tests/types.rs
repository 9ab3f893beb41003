//! The types: constants, traits, order.

use std::cmp::Ordering;
use std::num::FpCategory;

use fp8_core::{E3M4, E4M3, E4M3Fnuz, E5M2, E5M2Fnuz, E8M0, InexactError, Overflow, Rounding};
use half::{bf16, f16};

#[test]
fn constants() {
    assert_eq!([E5M2::MAX.to_f32(), E5M2::MIN.to_f32()], [57344.0, -57344.0]);
    assert_eq!([E4M3::MAX.to_f32(), E4M3Fnuz::MAX.to_f32()], [448.0, 240.0]);
    assert_eq!([E5M2Fnuz::MAX.to_f32(), E3M4::MAX.to_f32()], [57344.0, 15.5]);
    assert_eq!(E5M2::MIN_POSITIVE.to_f32(), 2_f32.powi(-14));
    assert_eq!(E5M2::MIN_POSITIVE_SUBNORMAL.to_f32(), 2_f32.powi(-16));
    assert_eq!([E5M2::EPSILON.to_f32(), E4M3::EPSILON.to_f32(), E3M4::EPSILON.to_f32()], [0.25, 0.125, 0.0625]);
    assert_eq!([E5M2::INFINITY.to_bits(), E5M2::NEG_INFINITY.to_bits(), E5M2::NAN.to_bits()], [0x7C, 0xFC, 0x7E]);
    assert_eq!([E3M4::INFINITY.to_bits(), E3M4::NAN.to_bits(), E4M3::NAN.to_bits()], [0x70, 0x78, 0x7F]);
    assert_eq!([E4M3Fnuz::NAN.to_bits(), E5M2Fnuz::NAN.to_bits()], [0x80, 0x80]);
    assert_eq!([E5M2::ONE.to_bits(), E4M3::ONE.to_bits(), E4M3Fnuz::ONE.to_bits()], [0x3C, 0x38, 0x40]);
    assert_eq!(size_of::<E5M2>(), 1);
}

/// The same checks on all 256 codes of each type.
macro_rules! each_type {
    ($($test:ident: $type:ident),+) => {$(
        #[test]
        fn $test() {
            let all: Vec<$type> = (0..=255).map($type::from_bits).collect();
            for &x in &all {
                let wide = x.to_f32();
                assert_eq!(x.is_nan(), wide.is_nan());
                assert_eq!(x.is_infinite(), wide.is_infinite());
                assert_eq!(x.is_finite(), wide.is_finite());
                assert_eq!(x.is_subnormal(), wide != 0.0 && wide.abs() < $type::MIN_POSITIVE.to_f32());
                assert_eq!(x.is_sign_negative(), x.to_bits() >= 0x80);
                assert_eq!(x.classify() == FpCategory::Zero, wide == 0.0);
                assert_eq!(format!("{x} {x:?} {x:e}"), format!("{wide} {wide:?} {wide:e}"));
                assert_eq!(format!("{x:+9.3} {x:+11.2e}"), format!("{wide:+9.3} {wide:+11.2e}"));
                if x.is_nan() {
                    assert!(f16::from(x).is_nan() && bf16::from(x).is_nan() && f64::from(x).is_nan());
                    assert!(x != x && $type::try_from(f32::NAN).unwrap().is_nan());
                    assert!($type::try_from(f16::NAN).unwrap().is_nan() && $type::try_from(bf16::NAN).unwrap().is_nan());
                    continue;
                }
                assert_eq!([f16::from(x).to_f32(), bf16::from(x).to_f32(), f32::from(x)], [wide; 3]);
                let codes = [
                    $type::from_f32(wide), $type::from_f64(x.into()), $type::from_f16(x.into()),
                    $type::from_bf16(x.into()), $type::try_from(wide).unwrap(), $type::try_from(f64::from(wide)).unwrap(),
                    $type::try_from(f16::from(x)).unwrap(), $type::try_from(bf16::from(x)).unwrap(),
                    x.to_string().parse().unwrap(), format!("{x:e}").parse().unwrap(),
                ];
                assert_eq!(codes.map($type::to_bits), [x.to_bits(); 10]);
                assert_eq!([x.abs().to_f32(), (-x).to_f32()], [wide.abs(), -wide]);
                let (up, down) = (x.next_up(), x.next_down());
                let neighbours = |y: &&$type| !y.is_nan() && !y.is_infinite() || y.to_f32().abs() == f32::INFINITY;
                let least = all.iter().filter(neighbours).map(|y| y.to_f32()).filter(|&y| y > wide);
                assert_eq!(up.to_f32(), least.fold(f32::NAN, f32::min).max(wide), "{x} up");
                let most = all.iter().filter(neighbours).map(|y| y.to_f32()).filter(|&y| y < wide);
                assert_eq!(down.to_f32(), most.fold(f32::NAN, f32::max).min(wide), "{x} down");
            }
            for x in &all {
                for y in &all {
                    assert_eq!(x.partial_cmp(y), x.to_f32().partial_cmp(&y.to_f32()));
                    assert_eq!(x == y, x.to_f32() == y.to_f32());
                    match x.partial_cmp(y) {
                        None | Some(Ordering::Equal) => assert_eq!(x.total_cmp(y) == Ordering::Equal, x.to_bits() == y.to_bits()),
                        order => assert_eq!(Some(x.total_cmp(y)), order),
                    }
                }
            }
        }
    )+};
}

each_type! { e5m2: E5M2, e4m3: E4M3, e5m2fnuz: E5M2Fnuz, e4m3fnuz: E4M3Fnuz, e3m4: E3M4 }

#[test]
fn nans_without_a_sign_come_first() {
    assert!(E5M2Fnuz::NAN.total_cmp(&E5M2Fnuz::MIN) == Ordering::Less);
    assert!(E4M3Fnuz::NAN.total_cmp(&E4M3Fnuz::MIN) == Ordering::Less);
}

#[test]
fn conversions_are_const() {
    const THIRD: E5M2 = E5M2::from_f32(1.0 / 3.0);
    const UP: E5M2 = E5M2::round(1.0 / 3.0, Rounding::TowardPositive, Overflow::Infinity, 0);
    assert_eq!([THIRD.to_f32(), UP.to_f32()], [0.3125, 0.375]);
    const SCALE: E8M0 = E8M0::from_f64(1.0 / 3.0);
    assert_eq!(SCALE.to_f32(), 0.25);
    const ORDER: [Ordering; 2] = [THIRD.total_cmp(&UP), SCALE.total_cmp(&E8M0::MIN)];
    assert_eq!(ORDER, [Ordering::Less, Ordering::Greater]);
}

#[test]
fn inexact_values_are_errors() {
    let error = InexactError { format: "e4m3", value: 1.1, nearest: 1.125 };
    assert_eq!(E4M3::try_from(1.1), Err(error));
    assert_eq!(error.to_string(), "1.1 is not a value of e4m3; it rounds to 1.125");
    let error = |format, value, nearest| InexactError { format, value, nearest };
    assert_eq!(E5M2::try_from(f16::from_f32(1.125)), Err(error("e5m2", 1.125, 1.0)));
    assert_eq!(
        E4M3Fnuz::try_from(bf16::from_f32(0.0009)),
        Err(error("e4m3fnuz", bf16::from_f32(0.0009).into(), 2_f64.powi(-10)))
    );
    assert_eq!(E5M2::try_from(f16::NEG_INFINITY).unwrap(), E5M2::NEG_INFINITY);
    assert!(E4M3::try_from(f32::INFINITY).is_err() && E4M3::try_from(f16::INFINITY).is_err());
    assert_eq!(E5M2::try_from(f32::INFINITY).unwrap(), E5M2::INFINITY);
    assert_eq!("x".parse::<E4M3>().unwrap_err().to_string(), "not a number of format e4m3");
    assert_eq!("1.1".parse::<E4M3>().unwrap().to_f32(), 1.125);
}

#[test]
fn scales_are_powers_of_two() {
    for code in 0..255 {
        let (scale, x) = (E8M0::from_bits(code), 2_f64.powi(i32::from(code) - 127));
        assert_eq!([scale.to_f64(), f64::from(scale.to_f32())], [x; 2]);
        assert_eq!(
            [E8M0::from_f32(scale.to_f32()), E8M0::floor(scale.to_f32()), E8M0::ceil(scale.to_f32())],
            [scale; 3]
        );
        if scale != E8M0::MAX {
            let next = E8M0::from_bits(code + 1);
            let between = |f: f64| (x * f) as f32;
            assert_eq!([E8M0::floor(between(1.99)), E8M0::ceil(between(1.01))], [scale, next]);
            assert_eq!([E8M0::from_f32(between(1.49)), E8M0::from_f32(between(1.5))], [scale, next]);
        }
    }
    assert!(E8M0::NAN.is_nan() && E8M0::NAN.to_f32().is_nan() && E8M0::NAN != E8M0::NAN);
    assert!(E8M0::from_f32(-1.0).is_nan() && E8M0::from_f32(f32::NAN).is_nan() && E8M0::from_f32(f32::MAX).is_nan());
    assert_eq!([E8M0::ceil(f32::MAX), E8M0::floor(f32::INFINITY)], [E8M0::MAX; 2]);
    assert_eq!([E8M0::from_f32(0.0), E8M0::from_f32(1e-45), E8M0::ceil(0.0)], [E8M0::MIN; 3]);
    assert_eq!(E8M0::default(), E8M0::ONE);
    assert_eq!([E8M0::MIN_POSITIVE.to_bits(), E8M0::MIN.to_bits()], [0; 2]);
    assert!(E8M0::MIN < E8M0::MAX && E8M0::MAX.total_cmp(&E8M0::NAN) == Ordering::Less);
}

/// The traits of a scale: exact where they say so, else rounded as from_f64.
#[test]
fn scales_are_numbers() {
    for code in 0..255 {
        let (scale, x) = (E8M0::from_bits(code), 2_f64.powi(i32::from(code) - 127));
        let codes = [
            E8M0::from_f64(x),
            E8M0::try_from(x).unwrap(),
            E8M0::try_from(x as f32).unwrap(),
            E8M0::try_from(bf16::from_f64(x)).unwrap(),
            x.to_string().parse().unwrap(),
            scale.to_string().parse().unwrap(),
            format!("{scale:e}").parse().unwrap(),
        ];
        assert_eq!(codes.map(E8M0::to_bits), [code; 7]);
        assert_eq!(format!("{scale} {scale:?} {scale:e}"), format!("{0} {0:?} {0:e}", x as f32));
        // Of the f64s beside it none is a scale, but all round to it.
        for beside in [x.next_down(), x.next_up()] {
            assert_eq!(E8M0::from_f64(beside), scale);
            assert_eq!(E8M0::try_from(beside), Err(InexactError { format: "e8m0", value: beside, nearest: x }));
        }
    }
    assert_eq!([E8M0::try_from(f16::MIN_POSITIVE), E8M0::try_from(f16::ONE)].map(|x| x.unwrap().to_bits()), [113, 127]);
    // From f64 and from text: ties go up, what is too small becomes the smallest, what is too large NaN.
    for (text, code) in [("3", 129), ("2.9999999999999996", 128), ("0", 0), ("-0", 0), ("1e-300", 0), ("2.5e38", 254)] {
        assert_eq!(E8M0::from_f64(text.parse().unwrap()).to_bits(), code, "{text}");
        assert_eq!(text.parse::<E8M0>().unwrap().to_bits(), code, "{text}");
    }
    for text in ["2.6e38", "-1", "-1e-300", "inf", "-inf", "NaN"] {
        assert!(text.parse::<E8M0>().unwrap().is_nan(), "{text}");
    }
    assert!(E8M0::try_from(f64::NAN).unwrap().is_nan() && E8M0::try_from(-f32::NAN).unwrap().is_nan());
    for x in [f32::INFINITY, f32::MAX, -1.0, 3.0, 0.0, -0.0, f32::from_bits(1)] {
        assert!(E8M0::try_from(x).is_err(), "{x}");
    }
    let message = |x: f64| E8M0::try_from(x).unwrap_err().to_string();
    assert_eq!(message(3.0), "3.0 is not a value of e8m0; it rounds to 4.0");
    assert_eq!(message(0.0), "0.0 is not a value of e8m0; it rounds to 5.877471754111438e-39");
    assert_eq!(message(-2.0), "-2.0 is not a value of e8m0; it rounds to NaN");
    for text in ["", "2^3", "one"] {
        assert_eq!(text.parse::<E8M0>().unwrap_err().to_string(), "not a number of format e8m0");
    }
}
