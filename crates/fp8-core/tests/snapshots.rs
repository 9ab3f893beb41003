//! Tables of the formats, reviewed once and kept: all 256 codes, and both sides of every rounding boundary.

use std::fmt::Write;

use fp8_core::{E8M0, Format, Overflow, Rounding, decode, encode};

#[test]
fn all_codes() {
    for format in Format::FP8 {
        let value = |code: usize| decode(format, code as u16).to_string();
        insta::assert_snapshot!(format!("codes_{format}"), table(value));
    }
    insta::assert_snapshot!("codes_e8m0", table(|code| format!("{:e}", E8M0::from_bits(code as u8))));
}

fn table(value: impl Fn(usize) -> String) -> String {
    (0..32).fold(String::new(), |mut text, row| {
        let values: Vec<String> = (8 * row..8 * row + 8).map(&value).collect();
        writeln!(text, "{:02x}: {}", 8 * row, values.join(" ")).unwrap();
        text
    })
}

const ROUNDINGS: [Rounding; 6] = [
    Rounding::NearestEven,
    Rounding::NearestAway,
    Rounding::TowardZero,
    Rounding::TowardPositive,
    Rounding::TowardNegative,
    Rounding::STOCHASTIC,
];

/// For each pair of neighbours, of both signs: does the value just above the lower, just below the middle, the middle, just
/// above it, and just below the higher give the lower (0) or the higher (1)? Stochastic rounding with the middle draw.
/// The last row is the boundary to infinity or NaN (x), which saturation leaves at the largest (0).
#[test]
fn all_boundaries() {
    for format in Format::FP8 {
        let mut text = String::from("neighbours");
        ROUNDINGS.iter().for_each(|rounding| write!(text, " {rounding:>5}+ {rounding:>5}-").unwrap());
        for low in 0..=format.max_code() {
            let below = decode(format, low);
            let unit = below - decode(format, low.max(1) - 1);
            let above = if low < format.max_code() { decode(format, low + 1) } else { below + unit };
            write!(text, "\n{below} {above}").unwrap();
            for rounding in ROUNDINGS {
                for sign in [1.0, -1.0] {
                    let codes = inputs(below, above).map(|x| outcome(format, low, sign * x, rounding));
                    write!(text, " {}", codes.iter().collect::<String>()).unwrap();
                }
            }
        }
        insta::assert_snapshot!(format!("boundaries_{format}"), text);
    }
}

/// The same of E8M0's neighbours, which have no sign: negative numbers are NaN. The first row is what lies below the smallest,
/// and becomes it (1); the last is the boundary to NaN (x), which saturation leaves at the largest.
#[test]
fn all_boundaries_of_e8m0() {
    let mut text = String::from("neighbours");
    ROUNDINGS.iter().for_each(|rounding| write!(text, " {rounding:>5}").unwrap());
    for high in 0..=255 {
        let [below, above] = match high {
            0 => [0.0, E8M0::MIN.to_f64()],
            255 => [E8M0::MAX.to_f64(), 2.0 * E8M0::MAX.to_f64()],
            _ => [high - 1, high].map(|code| E8M0::from_bits(code).to_f64()),
        };
        write!(text, "\n{below:e} {above:e}").unwrap();
        for rounding in ROUNDINGS {
            let codes = inputs(below, above).map(|x| outcome_of_e8m0(high, x, rounding));
            write!(text, " {}", codes.iter().collect::<String>()).unwrap();
        }
    }
    insta::assert_snapshot!("boundaries_e8m0", text);
}

fn outcome_of_e8m0(high: u8, x: f64, rounding: Rounding) -> char {
    let code = |overflow| E8M0::round(x, rounding, overflow, 0x8000);
    let (code, saturated) = (code(Overflow::Infinity), code(Overflow::Saturate));
    assert!(E8M0::round(-x, rounding, Overflow::Saturate, 0x8000).is_nan(), "{rounding} -{x:e}");
    match code.to_bits() {
        _ if code.is_nan() && high == 255 && saturated == E8M0::MAX => 'x',
        bits if bits != saturated.to_bits() => '?',
        bits if bits == high => '1',
        bits if high > 0 && bits == high - 1 => '0',
        _ => '?',
    }
}

fn inputs(below: f64, above: f64) -> [f64; 5] {
    let middle = (below + above) / 2.0;
    [below.next_up(), middle.next_down(), middle, middle.next_up(), above.next_down()]
}

fn outcome(format: Format, low: u16, x: f64, rounding: Rounding) -> char {
    let code = |overflow| encode(format, x, rounding, overflow, 0x8000);
    let saturated = code(Overflow::Saturate) & (format.sign_mask() - 1);
    if low == format.max_code() {
        assert_eq!(saturated, low, "{format} {rounding} {x}");
    }
    match decode(format, code(Overflow::Infinity)) {
        value if !value.is_finite() => 'x',
        _ if saturated == low => '0',
        _ if saturated == low + 1 => '1',
        _ => '?',
    }
}
