//! The elementary functions over slices, and their errors against f64.

use fp8_kernels::isa::Isa;
use fp8_kernels::{math, per_isa};

/// A function of [`fp8_kernels::math`].
pub struct Elementary {
    /// Its name.
    pub name: &'static str,
    /// y = f(x) on an instruction set.
    pub function: fn(Isa, &[f32], &mut [f32]),
    /// The same in f64.
    pub exact: fn(f64) -> f64,
    /// The largest error that the documentation admits, in ULP.
    pub bound: f64,
}

/// All of them.
pub const FUNCTIONS: [Elementary; 4] = [
    Elementary { name: "exp", function: exp, exact: f64::exp, bound: 1.0 },
    Elementary { name: "ln", function: ln, exact: f64::ln, bound: 1.0 },
    Elementary { name: "tanh", function: tanh, exact: f64::tanh, bound: 3.0 },
    Elementary { name: "sigmoid", function: sigmoid, exact: |x| 1.0 / (1.0 + (-x).exp()), bound: 3.0 },
];

per_isa! {
    fn exp(x: &[f32], y: &mut [f32]) {
        x.iter().zip(y).for_each(|(x, y)| *y = math::exp(*x));
    }

    fn ln(x: &[f32], y: &mut [f32]) {
        x.iter().zip(y).for_each(|(x, y)| *y = math::ln(*x));
    }

    fn tanh(x: &[f32], y: &mut [f32]) {
        x.iter().zip(y).for_each(|(x, y)| *y = math::tanh(*x));
    }

    fn sigmoid(x: &[f32], y: &mut [f32]) {
        x.iter().zip(y).for_each(|(x, y)| *y = math::sigmoid(*x));
    }
}

impl Elementary {
    /// The largest error over `x`, in ULP, and where it is.
    ///
    /// # Panics
    /// Where two instruction sets disagree, or a NaN is not the canonical one.
    pub fn worst(&self, x: &[f32]) -> (f64, f32) {
        let mut results = Isa::available().into_iter().map(|isa| {
            let mut y = vec![0.0; x.len()];
            (self.function)(isa, x, &mut y);
            (isa, y)
        });
        let (_, y) = results.next().expect("every CPU has the scalar instruction set");
        for (isa, other) in results {
            let differs = y.iter().zip(&other).position(|(a, b)| a.to_bits() != b.to_bits());
            assert_eq!(differs.map(|i| (x[i], y[i], other[i])), None, "{isa} {}", self.name);
        }
        let wrong_nan = y.iter().position(|y| y.is_nan() && y.to_bits() != f32::NAN.to_bits());
        assert_eq!(wrong_nan.map(|i| x[i]), None, "another NaN: {}", self.name);
        let errors = x.iter().zip(y).map(|(&x, y)| (ulps(y, (self.exact)(x.into())), x));
        errors.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 0.0))
    }
}

/// |found - exact| in units of the last place that f32 has at `exact`; infinite where only one of them is NaN.
fn ulps(found: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    match (found.is_nan(), rounded.is_nan()) {
        (true, true) => 0.0,
        (false, false) if found.to_bits() == rounded.to_bits() => 0.0,
        (false, false) => {
            let exponent = ((rounded.to_bits() >> 23 & 0xFF) as i32).clamp(1, 254) - 150;
            (f64::from(found) - exact).abs() / 2.0_f64.powi(exponent)
        }
        _ => f64::INFINITY,
    }
}
