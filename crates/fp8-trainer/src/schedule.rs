//! The learning rate over a run.

use crate::config::{Schedule, Training};

/// The learning rate of a step.
///
/// `training.learning_rate`, times the schedule at the start of the step, times (steps done + 1) / (steps of warm-up) until
/// warm-up is over. In f64 by operations that IEEE 754 defines to the bit, then rounded to f32: the same on every platform.
pub fn learning_rate(training: &Training, schedule: &Schedule, step: u64, steps_per_epoch: u64) -> f32 {
    let (step, steps_per_epoch) = (step as f64, steps_per_epoch.max(1) as f64);
    let warmup = training.warmup_epochs * steps_per_epoch;
    let rising = if step + 1.0 < warmup { (step + 1.0) / warmup } else { 1.0 };
    let decay = match schedule {
        Schedule::Constant {} => 1.0,
        Schedule::Step { milestones, factor } => {
            let passed = milestones.iter().filter(|&&milestone| milestone * steps_per_epoch <= step);
            passed.fold(1.0, |decay, _| decay * factor)
        }
        Schedule::Cosine {} => {
            let steps = f64::from(training.epochs) * steps_per_epoch;
            let t = ((step - warmup) / (steps - warmup).max(1.0)).clamp(0.0, 1.0);
            (1.0 + cos_pi(t)) / 2.0
        }
        Schedule::InverseSquareRoot {} => (warmup / (step + 1.0).max(warmup)).sqrt(),
    };
    (training.learning_rate * rising * decay) as f32
}

/// cos(pi t) for t in 0..=1, by its Taylor series on the half nearest to zero; C libraries differ in the last bit.
fn cos_pi(t: f64) -> f64 {
    if t > 0.5 {
        return -cos_pi(1.0 - t);
    }
    let x = std::f64::consts::PI * t;
    // x <= pi / 2: the term after the last is below 2^-60.
    (1..13).rev().fold(1.0, |sum, k| 1.0 - sum * x * x / f64::from((2 * k - 1) * (2 * k)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule, warmup_epochs: f64) -> Vec<f32> {
        let none: [&str; 0] = [];
        let config = crate::Config::parse("[data]\nkind = 'generated'", &none).unwrap();
        let training = Training { epochs: 4, warmup_epochs, learning_rate: 8.0, ..config.training };
        (0..8).map(|step| learning_rate(&training, &schedule, step, 2)).collect()
    }

    #[test]
    fn shapes() {
        assert_eq!(rates(Schedule::Constant {}, 0.0), [8.0; 8]);
        assert_eq!(rates(Schedule::Constant {}, 2.0), [2.0, 4.0, 6.0, 8.0, 8.0, 8.0, 8.0, 8.0]);
        let step = Schedule::Step { milestones: vec![1.0, 3.0], factor: 0.5 };
        assert_eq!(rates(step.clone(), 0.0), [8.0, 8.0, 4.0, 4.0, 4.0, 4.0, 2.0, 2.0]);
        assert_eq!(rates(step, 1.5), [8.0 / 3.0, 16.0 / 3.0, 4.0, 4.0, 4.0, 4.0, 2.0, 2.0]);
        let halves = Schedule::Step { milestones: vec![2.5, 3.0, 3.5], factor: 0.5 };
        assert_eq!(rates(halves, 0.0), [8.0, 8.0, 8.0, 8.0, 8.0, 4.0, 2.0, 1.0]);
        let root = rates(Schedule::InverseSquareRoot {}, 1.0);
        assert_eq!((&root[..2], root[7]), (&[4.0, 8.0][..], 4.0), "half the rate at four times the warm-up");
        let cosine = rates(Schedule::Cosine {}, 1.0);
        assert_eq!(cosine[..3], [4.0, 8.0, 8.0]);
        assert_eq!(cosine[5], 4.0, "half-way between the end of warm-up and the end of the run");
        assert!(cosine[2..].is_sorted_by(|a, b| a > b) && cosine[7] > 0.0, "{cosine:?}");
    }

    #[test]
    fn cosines() {
        for i in 0..=1000 {
            let t = f64::from(i) / 1000.0;
            assert!((cos_pi(t) - (std::f64::consts::PI * t).cos()).abs() < 1e-15, "{t}");
        }
        assert_eq!((cos_pi(0.0), cos_pi(1.0)), (1.0, -1.0));
    }
}
