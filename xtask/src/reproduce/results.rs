//! What `cargo xtask reproduce` found out: the content of `results.json`, from which every report is rendered.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
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
}

/// The images that the runs saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DataSet {
    pub name: String,
    /// Whether these are the images of the paper's own experiment.
    pub is_imagenet: bool,
    pub training_images: usize,
    pub validation_images: usize,
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

impl Run {
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
}
