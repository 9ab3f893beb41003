//! Mean and confidence interval of a few runs; whether two kinds of runs are equivalent.

use serde::{Deserialize, Serialize};

/// A mean over runs, with the half-width of its 95 % confidence interval where there are two or more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub mean: f64,
    pub half_width: Option<f64>,
}

/// 97.5 % quantiles of Student's t for 1, 2, … degrees of freedom.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

impl Estimate {
    /// The estimate from `values`; `None` from none, and where one of them was not measured (NaN).
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 || values.iter().any(|value| value.is_nan()) {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        if count == 1 {
            return Some(Self { mean, half_width: None });
        }
        let freedom = count - 1;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / freedom as f64;
        let quantile = STUDENT.get(freedom - 1).copied().unwrap_or(1.96);
        Some(Self { mean, half_width: Some(quantile * (variance / count as f64).sqrt()) })
    }
}

impl std::fmt::Display for Estimate {
    /// `71.30` or `71.30 ± 0.42`; with `+`, the mean's sign is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let half_width = self.half_width.map(|half_width| format!(" ± {half_width:.2}")).unwrap_or_default();
        let mean = if f.sign_plus() { format!("{:+.2}", self.mean) } else { format!("{:.2}", self.mean) };
        f.pad(&format!("{mean}{half_width}"))
    }
}

/// Differences of equal figures have so much of a spread, by the rounding of FP64.
const NO_SPREAD: f64 = 1e-9;

/// Whether differences, one for each pair of runs, show that their mean lies within a margin: two one-sided tests (Schuirmann 1987).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Equivalence {
    /// Pairs of runs.
    pub pairs: usize,
    pub mean: f64,
    /// Half-width of the mean's 95 % confidence interval.
    pub half_width: f64,
    /// The mean is to lie between minus and plus this.
    pub margin: f64,
    /// The probability of differences like these where the mean is as far off as the margin or more: the larger one of the two tests. None where all
    /// differences are equal: figures that come in steps, as accuracies on a few images do, are so by chance, and a spread of zero proves anything.
    pub p: Option<f64>,
}

impl Equivalence {
    /// The level at which it is called shown.
    pub const LEVEL: f64 = 0.05;

    /// From two differences or more.
    pub fn of(differences: &[f64], margin: f64) -> Option<Self> {
        let Estimate { mean, half_width } = Estimate::of(differences)?;
        let (half_width, pairs) = (half_width?, differences.len());
        let freedom = (pairs - 1) as f64;
        let variance = differences.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / freedom;
        let error = (variance / pairs as f64).sqrt();
        // By how many errors the mean lies within the nearer bound.
        let within = margin - mean.abs();
        let p = (error > NO_SPREAD).then(|| upper_tail(within / error, freedom));
        Some(Self { pairs, mean, half_width, margin, p })
    }

    /// Whether equivalence is shown. That it is not does not show a difference.
    pub fn is_shown(&self) -> bool {
        self.p.is_some_and(|p| p < Self::LEVEL)
    }
}

/// The probability that Student's t of so many degrees of freedom exceeds `t`.
fn upper_tail(t: f64, freedom: f64) -> f64 {
    let half = 0.5 * incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5);
    if t > 0.0 { half } else { 1.0 - half }
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let coefficient = |n: u32| {
        let m = f64::from(n / 2);
        match n % 2 {
            0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        }
    };
    let fraction = (1..400).rev().fold(1.0, |rest, n| 1.0 + coefficient(n) / rest);
    let log_beta = log_gamma(a) + log_gamma(b) - log_gamma(a + b);
    (a * x.ln() + b * (1.0 - x).ln() - log_beta).exp() / (a * fraction)
}

/// ln of the gamma function for positive numbers: Stirling's series, far enough out.
fn log_gamma(x: f64) -> f64 {
    let (mut shift, mut z) = (0.0, x);
    while z < 12.0 {
        shift += z.ln();
        z += 1.0;
    }
    let series = 1.0 / (12.0 * z) - 1.0 / (360.0 * z.powi(3)) + 1.0 / (1260.0 * z.powi(5));
    (z - 0.5) * z.ln() - z + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_has_no_interval() {
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(Estimate::of(&[70.0]).unwrap().to_string(), "70.00");
    }

    #[test]
    fn the_interval_is_students() {
        // Mean 2, standard deviation 1, three values: 4.303 / sqrt(3).
        let estimate = Estimate::of(&[1.0, 2.0, 3.0]).unwrap();
        assert!((estimate.half_width.unwrap() - 2.484).abs() < 1e-3);
        assert_eq!(format!("{estimate:+}"), "+2.00 ± 2.48");
    }

    /// The quantiles of the table, and closed forms of one, two and four degrees of freedom.
    #[test]
    fn tails_are_students() {
        for (freedom, quantile) in (1..).zip(STUDENT) {
            let tail = upper_tail(quantile, f64::from(freedom));
            assert!((tail - 0.025).abs() < 3e-5, "{freedom}: {tail}");
        }
        for (t, freedom, expected) in
            [(0.5, 1.0, 0.352_416_382_349_566_7), (2.92, 2.0, 0.049_999_577_8), (-1.0, 4.0, 0.813_049_516_8)]
        {
            assert!((upper_tail(t, freedom) - expected).abs() < 1e-9, "{t}, {freedom}: {}", upper_tail(t, freedom));
        }
    }

    #[test]
    fn equivalence_needs_runs_and_a_small_difference() {
        assert_eq!(Equivalence::of(&[0.1], 1.0), None);
        // Error 0.1 / sqrt(3), the bound 0.9 away: t = 15.6 of two degrees of freedom.
        let near = Equivalence::of(&[0.0, 0.1, 0.2], 1.0).unwrap();
        assert!(near.is_shown() && (near.p.unwrap() - 0.002_045).abs() < 1e-6, "{near:?}");
        assert!(!Equivalence::of(&[0.0, 0.1, 0.2], 0.15).unwrap().is_shown());
        assert!(Equivalence::of(&[-1.4, -1.5, -1.6], 1.0).unwrap().p > Some(0.9));
        let equal = Equivalence::of(&[76.3 - 76.1, 76.4 - 76.2, 76.5 - 76.3], 0.5).unwrap();
        assert!(equal.p.is_none() && !equal.is_shown(), "three equal differences tell nothing of their spread");
    }
}
