//! exp, ln, tanh and sigmoid on a dense sample of f32; `cargo run --release -p fp8-kernels --example exhaustive_math` does all.

#[path = "elementary/mod.rs"]
mod elementary;

use std::f32::consts::{FRAC_1_SQRT_2, LN_2, SQRT_2};

/// Where something changes: the ends of f32, of a function's range, of an interval of reduction.
const EDGES: [f32; 18] = [
    0.0,
    1e-45,
    f32::MIN_POSITIVE,
    LN_2 / 2.0,
    FRAC_1_SQRT_2,
    1.0,
    SQRT_2,
    9.01,
    10.0,
    87.336_54,
    88.722_84,
    89.0,
    103.278_93,
    103.972_08,
    105.0,
    f32::MAX,
    f32::INFINITY,
    f32::NAN,
];

/// A stride through all of f32, and the neighbours of every edge.
fn inputs() -> Vec<f32> {
    let near = EDGES.into_iter().flat_map(|x| (x.to_bits().saturating_sub(4)..).take(9));
    let magnitudes = near.chain((0..f32::INFINITY.to_bits()).step_by(1009));
    magnitudes.flat_map(|bits| [bits, bits | 1 << 31]).map(f32::from_bits).collect()
}

#[test]
fn errors_stay_within_their_bounds() {
    let x = inputs();
    for function in elementary::FUNCTIONS {
        let (error, at) = function.worst(&x);
        assert!(error <= function.bound, "{}({at:e}): {error} ULP", function.name);
        assert!(error > 0.5, "{}: not even the rounding of the result: is the error measured at all?", function.name);
    }
}

#[test]
fn special_values() {
    use fp8_kernels::math::{canonical, exp, ln, sigmoid, tanh};
    let inf = f32::INFINITY;
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(
        bits(&[exp(0.0), exp(-0.0), exp(inf), exp(-inf), exp(-f32::NAN)]),
        bits(&[1.0, 1.0, inf, 0.0, f32::NAN])
    );
    assert_eq!(bits(&[ln(1.0), ln(0.0), ln(-0.0), ln(inf), ln(-1.0)]), bits(&[0.0, -inf, -inf, inf, f32::NAN]));
    assert_eq!(bits(&[tanh(-0.0), tanh(inf), tanh(-inf), tanh(1e-45)]), bits(&[-0.0, 1.0, -1.0, 1e-45]));
    assert_eq!(bits(&[sigmoid(0.0), sigmoid(inf), sigmoid(-inf)]), bits(&[0.5, 1.0, 0.0]));
    assert_eq!(bits(&[canonical(-0.0), canonical(-inf), canonical(-f32::NAN)]), bits(&[-0.0, -inf, f32::NAN]));
}
