//! Mean and confidence interval of a few runs.

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
    /// The estimate from `values`; `None` from none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
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
}
