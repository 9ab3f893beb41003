//! What `cargo xtask reproduce` found out: the content of `results.json`, from which every report is rendered.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use fp8_trainer::RunResult;
use fp8_trainer::metrics::StepRecord;
use serde::{Deserialize, Serialize};

use crate::provenance::Provenance;

/// A set of runs, model x recipe x seed, and how they were made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    pub provenance: Provenance,
    pub data: DataSet,
    pub scale: String,
    /// What the scale means, in words.
    pub setting: String,
    /// Runs that were asked for; fewer are in `runs` while they are being made.
    pub planned: usize,
    pub runs: Vec<Run>,
    /// Runs that led nowhere.
    #[serde(default)]
    pub failures: Vec<Failure>,
}

/// A run that ended before its time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub run: String,
    pub reason: String,
}

/// The images that the runs saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSet {
    pub name: String,
    /// Whether these are the images of the paper's own experiment.
    pub is_imagenet: bool,
    pub training_images: usize,
    pub validation_images: usize,
    /// Training and validation images that the data set has, of which the runs may see a part.
    pub available: [usize; 2],
    pub classes: usize,
    /// Height and width.
    pub size: usize,
}

/// One training run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
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

/// The state after an epoch. Accuracies in percent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Epoch {
    pub epoch: u64,
    pub training_loss: f64,
    pub training_top1: f64,
    pub validation_loss: f64,
    pub validation_top1: f64,
    pub validation_top5: f64,
}

/// Points of a run's curves that are kept.
const POINTS: usize = 400;

impl Run {
    /// What came of a finished run.
    pub fn of(model: String, recipe: String, seed: u64, config: String, result: &RunResult) -> Self {
        let epochs = result.epochs.iter().map(|record| Epoch {
            epoch: record.epoch.into(),
            training_loss: record.training.loss,
            training_top1: record.training.top1,
            validation_loss: record.validation.loss,
            validation_top1: record.validation.top1,
            validation_top5: record.validation.top5,
        });
        let last = result.epochs.last();
        Self {
            model,
            recipe,
            seed,
            config,
            steps: result.steps,
            skipped: result.skipped,
            curve: result.curve.chunks(result.curve.len().div_ceil(POINTS).max(1)).filter_map(Point::of).collect(),
            epochs: epochs.collect(),
            seconds: result.seconds,
            images_per_second: last.map_or(result.images_per_second, |epoch| epoch.images_per_second),
            peak_bytes: result.epochs.iter().map(|epoch| epoch.peak_bytes).max().unwrap_or(result.peak_bytes),
        }
    }

    /// Model, recipe and seed as one word: `resnet18-fp8-seed1`.
    pub fn name(model: &str, recipe: &str, seed: u64) -> String {
        format!("{model}-{recipe}-seed{seed}")
    }

    /// Validation accuracy after the last epoch, percent.
    pub fn top1(&self) -> f64 {
        self.epochs.last().map_or(f64::NAN, |epoch| epoch.validation_top1)
    }

    /// Validation top-5 accuracy after the last epoch, percent.
    pub fn top5(&self) -> f64 {
        self.epochs.last().map_or(f64::NAN, |epoch| epoch.validation_top5)
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

impl DataSet {
    /// Top-1 accuracy of guessing, percent.
    pub fn chance(&self) -> f64 {
        100.0 / self.classes.max(1) as f64
    }
}

impl Results {
    /// Reads `results.json` of a folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("results.json");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a results file", path.display()))
    }

    /// Writes `results.json` into a folder: the old file or the new one is there at any time.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let json = serde_json::to_string_pretty(self).context("results as JSON")?;
        let [path, beside] = ["results.json", "results.json.part"].map(|name| folder.join(name));
        fs::write(&beside, json).with_context(|| format!("writing {}", beside.display()))?;
        fs::rename(&beside, &path).with_context(|| format!("writing {}", path.display()))
    }
}
