//! What is kept of a training run.

use std::ops::Range;

use fp8_autograd::Role;
use fp8_trainer::RunResult;
use fp8_trainer::metrics::StepRecord;
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::provenance::Provenance;

/// A run that ended before its time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub run: String,
    /// Resolved configuration, TOML.
    #[serde(default)]
    pub config: String,
    pub reason: String,
    /// What made it; absent in files that have one for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}

/// One training run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    pub name: String,
    pub model: String,
    pub recipe: String,
    /// What sets it apart from others of its model: the recipe, and what else.
    pub variant: String,
    pub seed: u64,
    /// Resolved configuration, TOML.
    pub config: String,
    /// Training steps done.
    pub steps: u64,
    /// Steps that were skipped because a gradient was Inf or NaN.
    pub skipped: u64,
    /// How the loss was scaled.
    pub loss_scaling: String,
    /// The least loss scale of any step.
    pub lowest_scale: f64,
    /// The curves over the steps, thinned to some hundred points.
    pub curve: Vec<Point>,
    pub epochs: Vec<Epoch>,
    /// What rounding flushed to zero, where it was counted.
    #[serde(default, skip_serializing_if = "Flushed::is_empty")]
    pub flushed: Flushed,
    /// Time spent training and validating.
    pub seconds: f64,
    /// Training speed, images or tokens of translations, median over steps.
    pub per_second: f64,
    /// Most device memory held at once.
    pub peak_bytes: u64,
    /// What made it; absent in files that have one for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
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
    /// Absent when no step had a finite loss.
    pub training_loss: Option<f64>,
    pub training_top1: Option<f64>,
    /// Absent when it was Inf or NaN.
    pub validation_loss: Option<f64>,
    pub validation_top1: Option<f64>,
    pub validation_top5: Option<f64>,
    /// Of translation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_bleu: Option<f64>,
}

/// What rounding flushed to zero, at some steps, layer by layer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Flushed {
    pub steps: Vec<u64>,
    pub layers: Vec<LayerFlushed>,
}

/// Errors or gradients of a layer, one count for each of the steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerFlushed {
    pub layer: String,
    pub role: Role,
    /// Elements that were not zero before they were rounded.
    pub nonzero: Vec<u64>,
    /// Those of them that are zero afterwards.
    pub flushed: Vec<u64>,
}

/// Points of a run's curves that are kept.
const POINTS: usize = 400;
/// Steps of which counts are kept.
const COUNTS: usize = 50;

impl Run {
    /// What came of a finished run.
    pub fn of(plan: &Plan, result: &RunResult, provenance: &Provenance) -> Self {
        let config = &plan.config;
        let epochs = result.epochs.iter().map(|record| Epoch {
            epoch: record.epoch.into(),
            training_loss: record.training.loss,
            training_top1: record.training.top1,
            validation_loss: record.validation.loss,
            validation_top1: record.validation.top1,
            validation_top5: record.validation.top5,
            validation_bleu: record.validation.bleu,
        });
        // An epoch of which only the validation was left when the run was resumed has none.
        let measured = result.epochs.iter().rev().map(|epoch| epoch.per_second).find(|&speed| speed > 0.0);
        Self {
            name: plan.name.clone(),
            model: config.task.model(),
            recipe: config.recipe.recipe().name.clone(),
            variant: plan.variant.clone(),
            seed: config.seed,
            config: plan.settings(),
            steps: result.steps,
            skipped: result.skipped,
            loss_scaling: config.loss_scaling.to_string(),
            lowest_scale: result.curve.iter().map(|record| record.loss_scale.into()).fold(f64::INFINITY, f64::min),
            flushed: Flushed::of(&result.curve),
            curve: result.curve.chunks(result.curve.len().div_ceil(POINTS).max(1)).filter_map(Point::of).collect(),
            epochs: epochs.collect(),
            seconds: result.seconds,
            per_second: measured.unwrap_or(result.per_second),
            peak_bytes: result.epochs.iter().map(|epoch| epoch.peak_bytes).max().unwrap_or(result.peak_bytes),
            provenance: Some(provenance.clone()),
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

    /// Validation loss after the last epoch.
    pub fn validation_loss(&self) -> f64 {
        self.last(|epoch| epoch.validation_loss)
    }

    /// Loss scale of the last step of the curve.
    pub fn last_scale(&self) -> Option<f64> {
        self.curve.last().map(|point| point.loss_scale)
    }

    /// Training loss of the last epoch.
    pub fn training_loss(&self) -> f64 {
        self.last(|epoch| epoch.training_loss)
    }

    /// Validation top-5 accuracy after the last epoch, percent.
    pub fn top5(&self) -> f64 {
        self.last(|epoch| epoch.validation_top5)
    }
}

impl Flushed {
    fn of(curve: &[StepRecord]) -> Self {
        let counted: Vec<&StepRecord> = curve.iter().filter(|record| !record.flushed.is_empty()).collect();
        let every = counted.len().div_ceil(COUNTS).max(1);
        let mut all = Self::default();
        for record in counted.into_iter().step_by(every) {
            all.steps.push(record.step);
            for count in &record.flushed {
                let same = |layer: &&mut LayerFlushed| layer.layer == count.layer && layer.role == count.role;
                match all.layers.iter_mut().find(same) {
                    Some(layer) => {
                        layer.nonzero.push(count.nonzero);
                        layer.flushed.push(count.flushed);
                    }
                    None => all.layers.push(LayerFlushed {
                        layer: count.layer.clone(),
                        role: count.role,
                        nonzero: vec![count.nonzero],
                        flushed: vec![count.flushed],
                    }),
                }
            }
        }
        all
    }

    fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// (step, share of the elements of all layers that is flushed, percent).
    pub fn shares(&self, role: Role) -> Vec<(f64, f64)> {
        let layers: Vec<&LayerFlushed> = self.layers.iter().filter(|layer| layer.role == role).collect();
        let at = |place: usize| share(layers.iter().map(|layer| layer.counts(place..place + 1)));
        self.steps.iter().enumerate().map(|(place, &step)| (step as f64, at(place))).collect()
    }

    /// The share of the elements of all layers that is flushed over the last quarter of the steps, percent.
    pub fn late(&self) -> f64 {
        share(self.layers.iter().map(LayerFlushed::last_quarter))
    }
}

impl LayerFlushed {
    /// The share of the elements that is flushed over the last quarter of the steps, percent.
    pub fn late(&self) -> f64 {
        share([self.last_quarter()].into_iter())
    }

    fn last_quarter(&self) -> [u64; 2] {
        self.counts(self.nonzero.len() * 3 / 4..self.nonzero.len())
    }

    /// Elements that were not zero, and those of them that were flushed.
    fn counts(&self, places: Range<usize>) -> [u64; 2] {
        [&self.nonzero, &self.flushed].map(|counts| counts.get(places.clone()).unwrap_or_default().iter().sum())
    }
}

/// Percent; NaN of nothing.
fn share(counts: impl Iterator<Item = [u64; 2]>) -> f64 {
    let [nonzero, flushed] = counts.fold([0, 0], |sum, counts| [sum[0] + counts[0], sum[1] + counts[1]]);
    100.0 * flushed as f64 / nonzero as f64
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
