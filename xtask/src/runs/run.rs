//! What is kept of a training run.

use fp8_trainer::metrics::StepRecord;
use fp8_trainer::{Config, RunResult};
use serde::{Deserialize, Serialize};

/// A run that ended before its time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub run: String,
    pub reason: String,
}

/// One training run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    pub name: String,
    pub model: String,
    pub recipe: String,
    pub seed: u64,
    /// Resolved configuration, TOML.
    pub config: String,
    /// Training steps done.
    pub steps: u64,
    /// Steps that were skipped because a gradient was Inf or NaN.
    pub skipped: u64,
    /// The curves over the steps, thinned to some hundred points.
    pub curve: Vec<Point>,
    pub epochs: Vec<Epoch>,
    /// Time spent training and validating.
    pub seconds: f64,
    /// Training speed, median over steps.
    pub images_per_second: f64,
    /// Most device memory held at once.
    pub peak_bytes: u64,
}

/// A point of a run's curves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Point {
    pub step: u64,
    pub loss: f64,
    pub loss_scale: f64,
}

/// The state after an epoch. Accuracies in percent; what a run does not measure is absent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Epoch {
    pub epoch: u64,
    pub training_loss: f64,
    pub training_top1: Option<f64>,
    pub validation_loss: f64,
    pub validation_top1: Option<f64>,
    pub validation_top5: Option<f64>,
    /// Of translation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_bleu: Option<f64>,
}

/// Points of a run's curves that are kept.
const POINTS: usize = 400;

impl Run {
    /// What came of a finished run.
    pub fn of(name: String, config: &Config, result: &RunResult) -> Self {
        let epochs = result.epochs.iter().map(|record| Epoch {
            epoch: record.epoch.into(),
            training_loss: record.training.loss,
            training_top1: record.training.top1,
            validation_loss: record.validation.loss,
            validation_top1: record.validation.top1,
            validation_top5: record.validation.top5,
            validation_bleu: record.validation.bleu,
        });
        let last = result.epochs.last();
        Self {
            name,
            model: config.task.model(),
            recipe: config.recipe.recipe().name.clone(),
            seed: config.seed,
            config: config.to_toml(),
            steps: result.steps,
            skipped: result.skipped,
            curve: result.curve.chunks(result.curve.len().div_ceil(POINTS).max(1)).filter_map(Point::of).collect(),
            epochs: epochs.collect(),
            seconds: result.seconds,
            images_per_second: last.map_or(result.per_second, |epoch| epoch.per_second),
            peak_bytes: result.epochs.iter().map(|epoch| epoch.peak_bytes).max().unwrap_or(result.peak_bytes),
        }
    }

    /// A figure of the last epoch; NaN where it was not measured.
    fn last(&self, figure: impl FnOnce(&Epoch) -> Option<f64>) -> f64 {
        self.epochs.last().and_then(figure).unwrap_or(f64::NAN)
    }

    /// Validation accuracy after the last epoch, percent.
    pub fn top1(&self) -> f64 {
        self.last(|epoch| epoch.validation_top1)
    }

    /// BLEU of the validation sentences after the last epoch.
    pub fn bleu(&self) -> f64 {
        self.last(|epoch| epoch.validation_bleu)
    }

    /// Training loss of the last epoch.
    pub fn training_loss(&self) -> f64 {
        self.last(|epoch| Some(epoch.training_loss))
    }

    /// Validation top-5 accuracy after the last epoch, percent.
    pub fn top5(&self) -> f64 {
        self.last(|epoch| epoch.validation_top5)
    }
}

impl Point {
    /// Mean loss and last scale of some steps; `None` when none of them has a finite loss.
    fn of(steps: &[StepRecord]) -> Option<Self> {
        let losses: Vec<f64> = steps.iter().filter_map(|record| record.loss.map(f64::from)).collect();
        let last = steps.last()?;
        let loss = losses.iter().sum::<f64>() / losses.len() as f64;
        (!losses.is_empty()).then(|| Self { step: last.step, loss, loss_scale: last.loss_scale.into() })
    }
}
